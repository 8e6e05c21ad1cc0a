"""`PromptCache` runs refreshes in threads, `AsyncPromptCache` in tasks.

`_policy.py` decides what they serve, when they refresh and what a failure means.
"""

from __future__ import annotations

import inspect
import logging
import math
import os
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Generic, Literal, Self, TypeVar
from uuid import UUID

import anyio
from anyio import to_thread
from sniffio import current_async_library

from artanis_api.models import Prompt

from .. import _clock
from .._arguments import check_seconds
from .._client import Artanis, AsyncArtanis, credentials_of, project_of
from .._connections import WAKE_UP, current_loop
from .._errors import printable
from .._secret import raised_by_signal_handler
from ._policy import Policy, Refresh, Served
from ._snapshot import Snapshot

C = TypeVar("C", Artanis, AsyncArtanis)
OnChange = Callable[[Prompt | None, Prompt | None], object]
_EPOCH = datetime.fromtimestamp(0, UTC)
_log = logging.getLogger("artanis_client")


class _Cache(Generic[C]):
    """What the two caches have in common: their arguments, and the methods that load nothing."""

    _client_class: type[Any]
    _event_class: Callable[[], Any]

    def __init__(
        self,
        client: C,
        *,
        project_slug: str | None = None,
        project_id: str | UUID | None = None,
        ttl: float = 60.0,
        stale_for: float | None = None,
        snapshot: str | os.PathLike[str] | None = None,
        fallback: Mapping[str, str] | None = None,
        on_change: OnChange | None = None,
    ) -> None:
        if not isinstance(client, self._client_class):
            raise TypeError(f"client must be an {self._client_class.__name__}, not {type(client).__name__}.")
        if not (on_change is None or callable(on_change)):
            raise TypeError(f"on_change must be a function, not {type(on_change).__name__}.")
        if self._client_class is Artanis and inspect.iscoroutinefunction(on_change):
            raise TypeError("An async on_change needs AsyncPromptCache.")
        if check_seconds("ttl", ttl, allow_zero=True) == 0:
            raise ValueError(f"ttl must be more than 0 seconds, not {ttl!r}.")
        usable_for = math.inf if stale_for is None else ttl + check_seconds("stale_for", stale_for, allow_zero=True)
        self._client = client
        self._on_change = on_change
        self._project: Mapping[str, str] = project_of(client, project_slug, project_id)
        credentials = credentials_of(client)
        owner = {"base_url": credentials.base_url, "org_slug": credentials.org_slug, **self._project}
        self._policy = Policy(
            project=printable(*self._project.values()),
            key=credentials.key,
            ttl=ttl,
            usable_for=usable_for,
            snapshot=None if snapshot is None else Snapshot(snapshot, owner, usable_for),
            fallback=_make_fallback(fallback or {}),
            new_event=self._event_class,
        )

    def source(self, step_id: str) -> Literal["api", "stale", "snapshot", "fallback"]:
        """Tell where the prompt that `get` returns comes from, without loading anything.

        It is `api` for at most `ttl` seconds, then `stale` until a refresh succeeds. It is `snapshot` or `fallback` if
        the API could not be reached.

        Raises:
            KeyError: If there is no such step, or if nothing has been loaded yet.
        """
        served = self._policy.served.require(step_id)
        source = served.source_of(step_id)
        return "stale" if source == "api" and _clock.monotonic() >= served.fresh_until else source

    def age(self, step_id: str) -> float | None:
        """Return the seconds since the API returned the prompt that `get` returns, without loading anything.

        The age of a snapshot is the time since it was written, by the system clock. A fallback has none: None.

        Raises:
            KeyError: If there is no such step, or if nothing has been loaded yet.
        """
        served = self._policy.served.require(step_id)
        return None if served.source_of(step_id) == "fallback" else served.age()

    def __repr__(self) -> str:
        policy = getattr(self, "_policy", "no project")  # not set yet if a traceback shows the constructor
        return f"<{type(self).__name__} of {policy}>"


class PromptCache(_Cache[Artanis]):
    """Keeps the active prompts of a project in memory, by step. Threads may share it. Use it as a context manager.

    The first `get` loads all prompts in one request. After that, `get` returns at once: when the prompts are older than
    `ttl`, one request in the background loads them again, and the old ones are served until it succeeds. A failure is
    logged once and retried later, after at most one minute unless the server asks for more. If nothing can be loaded at
    the start, the snapshot is used, then the fallback; for a step in neither, `get` raises the API's error. An error
    that retrying cannot fix, such as a wrong key (401), organization (403) or configuration, is never hidden: `get`
    raises it at the start, and later it is logged as an error. A project that no longer exists (404) is logged as an
    error, too, while its old prompts are served.

        with Artanis() as client, PromptCache(client, snapshot="prompts.json") as cache:
            print(cache.get("classify").content)

    Timeout and retries of a request are the client's: `client.with_options(timeout=5)`.
    Closing the cache does not close the client. After a fork, each process refreshes on its own.

    Args:
        client: The client that loads the prompts.
        project_slug, project_id: The project, if not the client's own. Pass only one of them.
        ttl: Seconds after which the prompts are loaded again.
        stale_for: Seconds beyond `ttl` for which prompts, including those of a snapshot, may be served while they
            cannot be loaded. After that, `get` waits for the API again. None means no limit; 0 means that nothing stale
            is served.
        snapshot: A file that stores the prompts, in case the API is down at the next start. It is replaced atomically
            when they change (with `stale_for`, on each refresh), and only its owner can read it. It is ignored if it is
            damaged, or if it belongs to another host, organization or project.
        fallback: Texts by step, used if the API is down at the start and the snapshot lacks the step. Prompts made from
            them have an empty `id`, no `output_schema`, and dates in 1970. For all other steps, `get` raises the API's
            error.
        on_change: A function that is called after a refresh with the old and the new prompt of each step that changed.
            A new step has None as the old prompt, and a removed step has None as the new one. The function runs in the
            thread that loaded the prompts, and the next refresh waits for it: if it hangs, nothing is refreshed any
            more. Errors that it raises are logged.

    Raises:
        ValueError: If there is no project or more than one, or if a number is out of range.
        TypeError: If an argument has the wrong type.
    """

    _client_class = Artanis
    _event_class = threading.Event

    def get(self, step_id: str) -> Prompt:
        """Return the active prompt of a step. All callers share the object, so do not change it.

        It waits for the API only if there is nothing to serve. Then all threads wait for the same request.

        Raises:
            KeyError: If there is no such step. The message lists the known steps.
            ArtanisError: If nothing can be loaded and there is nothing else to serve, or if the cache is closed.
        """
        served = self._policy.served
        if _clock.monotonic() < served.fresh_until and (prompt := served.prompts.get(step_id)) is not None:
            return prompt
        return self._wait().find(step_id)

    def load(self) -> None:
        """Load the prompts unless some can be served, so that a program that cannot get any fails at startup.

        It does what the first `get` does, and returns at once if there is something to serve. While the API is down, a
        snapshot or fallback is enough; `source` tells.

        Raises:
            ArtanisError: If nothing can be loaded and there is nothing else to serve, or if the cache is closed.
        """
        self._wait()

    def _wait(self) -> Served:
        """Return what is served, and start a refresh if one is due. Wait for it if there is nothing to serve."""
        while True:
            start, wait = self._policy.plan((os.getpid(), None))
            if start is not None and wait is not None:
                self._load(start)  # in the caller's thread, so that it can be interrupted
            elif start is not None:
                self._start(start)
            if wait is None:
                return self._policy.served
            while not wait.ready.wait(WAKE_UP):
                pass
            if (served := wait.result()) is not None:
                return served

    def _start(self, refresh: Refresh) -> None:
        try:
            # A daemon thread, because the interpreter does not wait for it when it exits.
            threading.Thread(target=self._load, args=[refresh], name="artanis-prompt-cache", daemon=True).start()
        except RuntimeError as error:  # there are too many threads, or the interpreter is exiting
            self._policy.fail(refresh, error)
            self._policy.finish(refresh)

    def _load(self, refresh: Refresh) -> None:
        try:
            try:
                self._policy.succeed(refresh, self._client.prompts.list(**self._project))
            except Exception as error:
                if raised_by_signal_handler(error):
                    raise  # another thread that waits loads instead
                self._policy.fail(refresh, error)
            refresh.ready.set()
            self._policy.save(refresh)
            for old, new in refresh.changes:
                self._notify(old, new)
        finally:
            self._policy.finish(refresh)

    def _notify(self, old: Prompt | None, new: Prompt | None) -> None:
        try:
            if self._on_change is not None and not self._policy.is_closed:
                self._on_change(old, new)
        except Exception as error:
            if raised_by_signal_handler(error):
                raise
            _log.exception("on_change failed for a prompt.")

    def close(self) -> None:
        """Stop refreshing, and ignore the result of a refresh in progress. It returns at once and can be repeated.

        Prompts that have been loaded are still returned, for as long as `stale_for` allows.
        """
        self._policy.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class AsyncPromptCache(_Cache[AsyncArtanis]):
    """Like `PromptCache`, with `await`, on asyncio and trio. Tasks and event loops may share it.

    A refresh runs in a background task of the event loop that first needs it. If that loop ends first, as with one
    `asyncio.run` per call, the next `get` waits for a refresh. `on_change` may be an async function.
    """

    _client_class = AsyncArtanis
    _event_class = anyio.Event

    async def get(self, step_id: str) -> Prompt:
        """Like `PromptCache.get`. Cancelling a waiting task does not cancel the request."""
        served = self._policy.served
        if _clock.monotonic() < served.fresh_until and (prompt := served.prompts.get(step_id)) is not None:
            return prompt
        return (await self._wait()).find(step_id)

    async def load(self) -> None:
        """Like `PromptCache.load`."""
        await self._wait()

    async def _wait(self) -> Served:
        loop = current_loop()
        while True:
            start, wait = self._policy.plan(loop)
            if start is not None:
                self._start(start)
            if wait is None:
                return self._policy.served
            await wait.ready.wait()
            if (served := wait.result()) is not None:
                return served

    def _start(self, refresh: Refresh) -> None:
        refresh.scope = anyio.CancelScope()
        if current_async_library() == "trio":
            from trio.lowlevel import spawn_system_task

            spawn_system_task(self._load, refresh, name="artanis-prompt-cache")
        else:
            from asyncio import get_running_loop

            task = get_running_loop().create_task(self._load(refresh), name="artanis-prompt-cache")
            # A task that is cancelled before it starts never reaches its `finally`.
            task.add_done_callback(lambda _: self._policy.finish(refresh))
            refresh.task = task

    async def _load(self, refresh: Refresh) -> None:
        try:
            with refresh.scope:
                try:
                    self._policy.succeed(refresh, await self._client.prompts.list(**self._project))
                except Exception as error:
                    self._policy.fail(refresh, error)
                refresh.ready.set()
                with anyio.CancelScope(shield=True):  # even a program that exits at once leaves a snapshot
                    await self._save(refresh)
                for old, new in refresh.changes:
                    await self._notify(old, new)
        finally:
            self._policy.finish(refresh)

    async def _save(self, refresh: Refresh) -> None:
        """Write the snapshot in a thread, so that the disk does not hold up the event loop."""
        if (snapshot := self._policy.snapshot) is not None:
            try:
                # The default limiter is shared with the whole program, and may be exhausted for a long time.
                await to_thread.run_sync(self._policy.save, refresh, limiter=anyio.CapacityLimiter(1))
            except RuntimeError as error:  # there are too many threads
                snapshot.report("written", str(error))

    async def _notify(self, old: Prompt | None, new: Prompt | None) -> None:
        try:
            if self._on_change is not None and not self._policy.is_closed:
                result = self._on_change(old, new)
                if inspect.isawaitable(result):
                    await result
        except Exception:
            _log.exception("on_change failed for a prompt.")

    async def aclose(self) -> None:
        """Like `PromptCache.close`. It also cancels a refresh in this event loop."""
        self._policy.close()
        if refresh := self._policy.refreshes.get(current_loop()):
            refresh.scope.cancel()
            await refresh.finished.wait()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()


def _make_fallback(texts: Mapping[str, str]) -> list[Prompt]:
    """Return prompts with an empty id, so that nobody can mistake them for prompts of the API."""
    if not isinstance(texts, Mapping) or not all(isinstance(each, str) for pair in texts.items() for each in pair):
        raise TypeError("fallback must be a mapping from steps to texts, both strings.")
    others: dict[str, Any] = {"id": "", "output_schema": None, "created_at": _EPOCH, "updated_at": _EPOCH}
    return [Prompt(step_id=step, content=text, **others) for step, text in texts.items()]

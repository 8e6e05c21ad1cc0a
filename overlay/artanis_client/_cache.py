"""Prompts for production: always an answer, without waiting for the API, and never stale for long.

`_Cache` decides what is served, when the API is asked again, and what a failure means; it never waits. `PromptCache`
and `AsyncPromptCache` differ in what runs a load and what waits for one. A fresh prompt is a look at the clock and into
a dictionary, with no lock: what is served is one object, which is replaced as a whole.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import logging
import math
import os
import random
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Literal, NamedTuple, Self, TypeVar

import anyio
from anyio import to_thread
from sniffio import current_async_library

from artanis_api.models import Prompt, PromptList

from . import _clock
from ._call import _mismatch
from ._client import Artanis, AsyncArtanis
from ._errors import (
    APIConnectionError,
    APIResponseValidationError,
    APIStatusError,
    ArtanisError,
    AuthenticationError,
    PermissionDeniedError,
    printable,
)
from ._files import replace
from ._http import SIGNAL_CHECK, _here

MAX_BACKOFF = 60.0  # seconds between two attempts, at most
MAX_RETRY_AFTER = 600.0  # seconds, at most, that a server can make it wait instead

C = TypeVar("C", Artanis, AsyncArtanis)
Changes = list[tuple[Prompt | None, Prompt | None]]
OnChange = Callable[[Prompt | None, Prompt | None], object]
Source = Literal["api", "snapshot", "fallback"]

_FORMAT = "artanis-client prompt snapshot"
_VERSION = 1
_EPOCH = datetime.fromtimestamp(0, UTC)
_log = logging.getLogger("artanis_client")


class _Entry(NamedTuple):
    """What is served."""

    prompts: dict[str, Prompt]
    texts: dict[str, str]
    """Each prompt as JSON: what callers do to the shared object is no change of the API's."""
    source: Source
    since: float
    """When it came from the API, by the monotonic clock."""
    expires: float
    """From when on it is not served any more."""
    error: Exception | None = None
    """Why it is not the API's answer."""


_NOTHING = _Entry({}, {}, "api", -math.inf, -math.inf)


class _Flight:
    """One load that is on its way, for the event loop or, with threads, the process that it is of."""

    def __init__(self, here: Any, new_event: Callable[[], Any], is_cold: bool) -> None:
        self.here = here
        self.is_cold = is_cold  # there was nothing to serve when it started
        self.done = new_event()  # there is an entry, or an error; neither, when it was cut short
        self.landed = new_event()  # the snapshot is written, and on_change was told
        self.entry: _Entry | None = None
        self.error: Exception | None = None
        self.traceback: TracebackType | None = None
        self.scope: Any = None
        self.task: Any = None


class _Cache(Generic[C]):
    """Everything of `PromptCache` and `AsyncPromptCache` that does not wait."""

    _client_class: type[Any]
    _event_class: Callable[[], Any]

    def __init__(
        self,
        client: C,
        project_slug: str | None = None,
        ttl: float = 60.0,
        stale_for: float | None = None,
        snapshot: str | os.PathLike[str] | None = None,
        fallback: Mapping[str, str] | None = None,
        on_change: OnChange | None = None,
        *,
        project_id: str | None = None,
    ) -> None:
        if not isinstance(client, self._client_class):
            raise TypeError(f"client must be of {self._client_class.__name__}, not {type(client).__name__}.")
        for name, text in {"project_slug": project_slug, "project_id": project_id}.items():
            if not isinstance(text, str | None):
                raise TypeError(f"{name} must be text, not {type(text).__name__}.")
        if on_change is not None and not callable(on_change):
            raise TypeError(f"on_change must be a function, not {type(on_change).__name__}.")
        if self._client_class is Artanis and inspect.iscoroutinefunction(on_change):
            raise TypeError("An async on_change needs AsyncPromptCache.")
        self._client = client
        self._project: Mapping[str, str] = client.prompts._project(project_slug, project_id)
        self._ttl = _seconds("ttl", ttl)
        if not self._ttl > 0:
            raise ValueError(f"ttl must be more than 0 seconds, not {ttl!r}.")
        self._usable_for = math.inf if stale_for is None else self._ttl + _seconds("stale_for", stale_for)
        # Made absolute now, because the process may change its folder; the target, because a link would be replaced.
        self._snapshot = None if snapshot is None else Path(os.path.realpath(snapshot))
        self._fallback = _fallback(fallback or {})
        self._on_change = on_change

        self._entry = _NOTHING
        self._fresh_until = -math.inf  # until then, a get looks at nothing but the entry
        self._refresh_at = -math.inf
        self._failures = 0  # in a row
        self._logged = logging.NOTSET  # the highest level at which these were
        self._saved: dict[str, str] | None = None  # the texts that the snapshot has
        self._problems: dict[str, str] = {}  # of the snapshot, that were logged: by what could not be done
        self._closed = False
        self._after_fork()
        _caches.add(self)

    def _after_fork(self) -> None:
        """A forked process has none of the threads that could hold the lock or bring a load to its end."""
        self._lock = threading.Lock()
        self._flights: dict[Any, _Flight] = {}

    def source(self, step_id: str) -> Literal["api", "stale", "snapshot", "fallback"]:
        """Where the prompt that `get` serves comes from; nothing is loaded.

        `api` for at most `ttl` seconds, then `stale` until a refresh succeeds; `snapshot` or `fallback` when the API
        could not be reached.

        Raises:
            KeyError: There is no such step, or nothing was loaded yet.
        """
        entry = self._entry_with(step_id)
        return "stale" if entry.source == "api" and _clock.monotonic() >= entry.since + self._ttl else entry.source

    def age(self, step_id: str) -> float:
        """Seconds since the prompt that `get` serves came from the API; nothing is loaded.

        Of a snapshot, since it was written, by the wall clock. Of a fallback, infinite.

        Raises:
            KeyError: There is no such step, or nothing was loaded yet.
        """
        return _clock.monotonic() - self._entry_with(step_id).since

    def _entry_with(self, step_id: str) -> _Entry:
        entry = self._entry
        if entry is _NOTHING:
            raise KeyError("Nothing was loaded yet: call get first.")
        if step_id not in entry.prompts:
            raise _unknown(entry, step_id)
        return entry

    def _pick(self, entry: _Entry, step_id: str) -> Prompt:
        prompt = entry.prompts.get(step_id)
        if prompt is not None:
            return prompt
        if entry.source == "fallback" and entry.error is not None:
            # That the fallback lacks a step says nothing about whether there is one. Without the traceback, which would
            # grow with each time that it is raised.
            raise entry.error.with_traceback(None)
        raise _unknown(entry, step_id)

    def _outcome(self, flight: _Flight, step_id: str) -> Prompt | None:
        """What those get who waited for a load; None when it was cut short."""
        if flight.error is not None:
            # All of them raise the same error, and each time would add to its traceback.
            raise flight.error.with_traceback(flight.traceback)
        return None if flight.entry is None else self._pick(flight.entry, step_id)

    def _plan(self, here: Any) -> tuple[_Flight | None, _Flight | None]:
        """The load to start, if one is due, and the load to wait for, if nothing can be served before it is done."""
        with self._lock:
            now = _clock.monotonic()
            self._flights = {flight.here: flight for flight in self._flights.values() if self._is_alive(flight)}
            if now < self._entry.expires:
                if now < self._refresh_at or self._closed or self._flights:
                    return None, None
                return self._take_off(here, is_cold=False), None
            if (flight := self._flights.get(here)) and not flight.done.is_set():
                return None, flight
            if self._closed:
                raise ArtanisError(
                    "This prompt cache is closed: make a new one, or keep it open for as long as it is used."
                )
            flight = self._take_off(here, is_cold=True)
            return flight, flight

    def _take_off(self, here: Any, *, is_cold: bool) -> _Flight:
        flight = self._flights[here] = _Flight(here, self._event_class, is_cold)
        return flight

    def _is_alive(self, flight: _Flight) -> bool:  # noqa: ARG002 - of use to AsyncPromptCache
        return True

    def _arrived(self, flight: _Flight, prompts: Iterable[Prompt]) -> Changes:
        """Serve what the API sent from now on; returns what changed, as pairs of old and new."""
        now = _clock.monotonic()
        new = _entry(prompts, "api", now, now + self._usable_for)
        flight.entry = new
        with self._lock:
            if self._closed:
                return []
            old, self._entry = self._entry, new
            self._refresh_at = self._fresh_until = now + self._ttl
            self._failures, self._logged = 0, logging.NOTSET
        if old is _NOTHING:
            return []
        steps = {**old.prompts, **new.prompts}
        return [(old.prompts.get(s), new.prompts.get(s)) for s in steps if old.texts.get(s) != new.texts.get(s)]

    def _failed(self, flight: _Flight, error: Exception) -> None:
        """Go on with what there is, or else leave the error for those who wait."""
        # What asks for a correction and not for patience must not hide: a wrong key, organization or configuration, a
        # closed client, whatever the user's own hooks and key functions raise.
        is_outage = isinstance(error, APIConnectionError | APIResponseValidationError | APIStatusError)
        is_outage = is_outage and not isinstance(error, AuthenticationError | PermissionDeniedError)
        stand_in = None
        if _clock.monotonic() >= self._entry.expires:
            stand_in = self._stand_in(error) if is_outage else None
            flight.entry, flight.error = stand_in, None if stand_in else error
            flight.traceback = error.__traceback__
        level = logging.WARNING if is_outage else logging.ERROR
        with self._lock:
            if self._closed:
                return
            now = _clock.monotonic()
            if stand_in is not None and now >= self._entry.expires:
                self._entry = stand_in
            self._failures += 1
            backoff = min(MAX_BACKOFF, min(self._ttl, 1.0) * 2 ** min(self._failures - 1, 10)) * random.uniform(0.75, 1)
            asked: float = getattr(error, "retry_after", None) or 0.0
            self._refresh_at = now + max(backoff, min(asked, MAX_RETRY_AFTER))
            is_new = level > self._logged and not (flight.is_cold and flight.error)  # those who wait get it themselves
            self._logged = level if is_new else self._logged
            entry = self._entry
        if is_new:
            what = str(error) if isinstance(error, ArtanisError) else printable(f"{type(error).__name__}: {error}")
            if secret := self._client._credentials.key.known:  # a key function may have put it in its own error
                what = secret.redact(what)
            served = "nothing is served" if flight.error else _description(entry, now)
            _log.log(level, "The prompts of %s could not be loaded; %s. %s", *self._project.values(), served, what)

    def _stand_in(self, error: Exception) -> _Entry | None:
        """The snapshot, else the fallback; the error is told why a snapshot was refused."""
        entry = problem = None
        if self._snapshot is not None:
            entry, problem = self._read(self._snapshot)
            if problem:
                error.add_note(f"The prompt snapshot {self._snapshot} {problem}.")
            self._report("read", problem)
        if entry is None and self._fallback:
            entry = _entry(self._fallback.values(), "fallback", -math.inf, math.inf)
        return entry and entry._replace(error=error.with_traceback(None))  # whose frames it would keep alive

    def _read(self, path: Path) -> tuple[_Entry | None, str | None]:
        """The snapshot, if there is one and it may be served; else what is wrong with it."""
        try:
            content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(content, dict) or content.get("format") != _FORMAT:
                return None, "is refused: it is no prompt snapshot"
            if content.get("version") != _VERSION:
                return None, "is refused: another version of this library wrote it"
            if content.pop("sha256", None) != _checksum(content):
                return None, "is refused: it is damaged, its checksum does not fit"
            if content["owner"] != self._owner():
                return None, f"is refused: it belongs to {content['owner']}, and this is {self._owner()}"
            listed = {"prompts": content["prompts"]}
            if problem := _mismatch([listed], PromptList, lambda _: "its content"):
                return None, f"is refused: {problem}"
            prompts = PromptList.from_dict(listed).prompts
            age = max(0.0, time.time() - datetime.fromisoformat(content["written"]).timestamp())
        except FileNotFoundError:
            return None, None
        except OSError as error:
            return None, f"cannot be read: {error.strerror}"
        except (ValueError, TypeError, LookupError, RecursionError) as error:
            return None, f"is refused: it is damaged ({type(error).__name__}: {error})"
        if age >= self._usable_for:
            return None, "is refused: it is older than ttl and stale_for allow"
        now = _clock.monotonic()
        entry = _entry(prompts, "snapshot", now - age, now - age + self._usable_for)
        self._saved = entry.texts
        return entry, None

    def _save(self, flight: _Flight) -> None:
        """Write the snapshot, if a load has brought what it should have and has not."""
        entry = self._entry
        # Where its age is limited, a snapshot has to say when it was last right, and not just when it changed.
        is_due = entry.texts != self._saved or self._usable_for < math.inf
        if self._snapshot is None or entry is not flight.entry or entry.source != "api" or not is_due:
            return
        content = {
            "format": _FORMAT,
            "version": _VERSION,
            "owner": self._owner(),
            "written": datetime.now(UTC).isoformat(),
            "prompts": [json.loads(text) for text in entry.texts.values()],
        }
        problem = None
        try:
            replace(self._snapshot, json.dumps({**content, "sha256": _checksum(content)}))
            self._saved = entry.texts
        except Exception as error:  # it must not keep the prompts from being served, whatever it is
            problem = f"cannot be written: {getattr(error, 'strerror', None) or error}"
        self._report("write", problem)

    def _report(self, action: str, problem: str | None) -> None:
        """Log what is wrong with the snapshot, once until that changes."""
        if problem and problem != self._problems.get(action):
            _log.warning("The prompt snapshot %s %s.", self._snapshot, printable(problem))
        self._problems[action] = problem or ""

    def _owner(self) -> dict[str, str]:
        credentials = self._client._credentials
        return {"base_url": credentials.base_url, "org_slug": credentials.org_slug, **self._project}

    def _landed(self, flight: _Flight) -> None:
        """Make way for the next load."""
        with self._lock:
            if self._flights.get(flight.here) is flight:
                del self._flights[flight.here]
        flight.done.set()
        flight.landed.set()

    def _shut(self) -> None:
        with self._lock:
            self._closed = True


class PromptCache(_Cache[Artanis]):
    """The active prompts of a project, by step, always at hand. Threads may share it; use it as a context manager.

    The first `get` loads all prompts in one request. From then on they are returned at once: when they are older than
    `ttl`, one request in the background fetches them anew, and the old ones are served until it has succeeded. A
    failure is logged once and tried again after a while, of at most a minute unless the server asks for more. When
    nothing can be loaded at the start, the snapshot is served, else the fallback; only without both does `get` raise
    the API's error. A wrong key (401), organization (403) or configuration is never hidden: it is raised at the start,
    and later logged as an error.

        with Artanis() as client, PromptCache(client, snapshot="prompts.json") as cache:
            print(cache.get("classify").content)

    How long a load may take, and how often it is repeated, is up to the client: `client.with_options(timeout=5)`. The
    client stays open when the cache is closed. After a fork each process refreshes on its own.

    Args:
        client: What loads the prompts.
        project_slug: Another project than the client's; or `project_id`.
        ttl: Seconds after which a prompt is fetched anew.
        stale_for: Seconds beyond `ttl` for which a prompt may be served while it cannot be fetched; a snapshot, too.
            After that it is as at the start. None for no limit, 0 to serve nothing stale.
        snapshot: A file that keeps the prompts for a start without the API. It is replaced as a whole when they change
            (with `stale_for`, at each refresh), readable by its owner alone, and not served when it is damaged, or of
            another host, organization or project.
        fallback: Texts by step, for a start with neither API nor snapshot. A prompt made of one has an empty `id`, no
            `output_schema`, and 1970 as its dates. A step that is not among them raises the API's error.
        on_change: Called after a refresh with the old and the new prompt of each step that changed in any way; None
            stands for a step that is new or has gone. It runs in the thread that loaded, with no lock held, and the
            next refresh waits for it. What it raises is logged.
        project_id: The project by its id.

    Raises:
        ValueError: No project, here or in the client, or both kinds; a number out of its range.
        TypeError: An argument is of a wrong type.
    """

    _client_class = Artanis
    _event_class = threading.Event

    def get(self, step_id: str) -> Prompt:
        """The active prompt of a step. All callers get the same object: do not change it.

        Waits for the API only while there is nothing to serve, once for all threads.

        Raises:
            KeyError: There is no such step; the text lists those that there are.
            ArtanisError: Nothing could be loaded, and there is nothing else to serve; or the cache is closed.
        """
        if _clock.monotonic() < self._fresh_until:
            prompt = self._entry.prompts.get(step_id)
            if prompt is not None:
                return prompt
        while True:
            start, wait = self._plan(None)
            if start is not None and wait is not None:
                self._load(start)
            elif start is not None:
                self._start(start)
            if wait is None:
                return self._pick(self._entry, step_id)
            while not wait.done.wait(SIGNAL_CHECK):  # which lets Ctrl-C through
                pass
            if (prompt := self._outcome(wait, step_id)) is not None:
                return prompt

    def _start(self, flight: _Flight) -> None:
        try:
            # A daemon, so that the interpreter does not wait for it at its end.
            threading.Thread(target=self._load, args=[flight], name="artanis-prompt-cache", daemon=True).start()
        except RuntimeError as error:  # there are too many, or the interpreter is ending
            self._failed(flight, error)
            self._landed(flight)

    def _load(self, flight: _Flight) -> None:
        changes: Changes = []
        try:
            try:
                changes = self._arrived(flight, self._client.prompts.list(**self._project))
            except Exception as error:
                self._failed(flight, error)
            flight.done.set()
            self._save(flight)
            for old, new in changes:
                self._tell(old, new)
        finally:
            self._landed(flight)

    def _tell(self, old: Prompt | None, new: Prompt | None) -> None:
        try:
            if self._on_change is not None and not self._closed:
                self._on_change(old, new)
        except Exception:
            _log.exception("on_change failed for a prompt.")

    def close(self) -> None:
        """Start no further refresh, and drop what one that is on its way brings; returns at once.

        What is there is served on, for as long as `stale_for` allows. Closing again does nothing.
        """
        self._shut()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class AsyncPromptCache(_Cache[AsyncArtanis]):
    """Like `PromptCache`, with `await`, on asyncio and trio. Tasks may share it, and event loops.

    Loads run in a background task of the event loop that first needs one; `on_change` may be an async function.
    """

    _client_class = AsyncArtanis
    _event_class = anyio.Event

    async def get(self, step_id: str) -> Prompt:
        """Like `PromptCache.get`. A load goes on when a task that waits for it is cancelled."""
        if _clock.monotonic() < self._fresh_until:
            prompt = self._entry.prompts.get(step_id)
            if prompt is not None:
                return prompt
        here = _here()
        while True:
            start, wait = self._plan(here)
            if start is not None:
                self._start(start)
            if wait is None:
                return self._pick(self._entry, step_id)
            await wait.done.wait()
            if (prompt := self._outcome(wait, step_id)) is not None:
                return prompt

    def _is_alive(self, flight: _Flight) -> bool:
        """A loop that is closed, or does not run, would hold up the refreshes of all others."""
        loop = flight.here[1]()
        return loop is not None and getattr(loop, "is_running", lambda: True)()

    def _start(self, flight: _Flight) -> None:
        flight.scope = anyio.CancelScope()
        if current_async_library() == "trio":
            from trio.lowlevel import spawn_system_task

            spawn_system_task(self._load, flight, name="artanis-prompt-cache")
        else:
            from asyncio import get_running_loop

            def land(_: object) -> None:
                self._landed(flight)

            # Kept, because the event loop keeps no task alive.
            flight.task = get_running_loop().create_task(self._load(flight), name="artanis-prompt-cache")
            flight.task.add_done_callback(land)  # what is cancelled before it starts does not get to its `finally`

    async def _load(self, flight: _Flight) -> None:
        changes: Changes = []
        try:
            with flight.scope:
                try:
                    changes = self._arrived(flight, await self._client.prompts.list(**self._project))
                except Exception as error:
                    self._failed(flight, error)
                flight.done.set()
                with anyio.CancelScope(shield=True):  # a program that closes at once has a snapshot the next time
                    await self._save_aside(flight)
                for old, new in changes:
                    await self._tell(old, new)
        finally:
            self._landed(flight)

    async def _save_aside(self, flight: _Flight) -> None:
        """Without holding up the event loop."""
        if self._snapshot is not None:
            try:
                # Not the limiter that everybody shares: it may be exhausted for long.
                await to_thread.run_sync(self._save, flight, limiter=anyio.CapacityLimiter(1))
            except RuntimeError as error:  # there is no thread to be had
                self._report("write", f"cannot be written: {error}")

    async def _tell(self, old: Prompt | None, new: Prompt | None) -> None:
        try:
            result = None if self._on_change is None else self._on_change(old, new)
            if inspect.isawaitable(result):
                await result
        except Exception:
            _log.exception("on_change failed for a prompt.")

    async def aclose(self) -> None:
        """Like `PromptCache.close`; a load of this event loop that is on its way is cancelled."""
        self._shut()
        if flight := self._flights.get(_here()):
            flight.scope.cancel()
            await flight.landed.wait()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()


_caches: weakref.WeakSet[_Cache[Any]] = weakref.WeakSet()


def _after_fork() -> None:
    for cache in _caches:
        cache._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _entry(prompts: Iterable[Prompt], source: Source, since: float, expires: float) -> _Entry:
    by_step = {prompt.step_id: prompt for prompt in prompts}
    texts = {step: json.dumps(prompt.to_dict(), sort_keys=True) for step, prompt in by_step.items()}
    return _Entry(by_step, texts, source, since, expires)


def _fallback(texts: Mapping[str, str]) -> dict[str, Prompt]:
    """Prompts that nobody takes for real ones: no call can be made with their id."""
    if not isinstance(texts, Mapping):
        raise TypeError(f"fallback must be a mapping of steps to texts, not {type(texts).__name__}.")
    for step, text in texts.items():
        if not (isinstance(step, str) and isinstance(text, str)):
            raise TypeError(f"fallback must have texts by step, not {type(text).__name__} by {type(step).__name__}.")
    return {
        step: Prompt(id="", step_id=step, content=text, output_schema=None, created_at=_EPOCH, updated_at=_EPOCH)
        for step, text in texts.items()
    }


def _seconds(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be seconds, not {type(value).__name__}.")
    if not value >= 0:
        raise ValueError(f"{name} must not be less than 0 seconds, as {value!r} is.")
    return float(value)


def _unknown(entry: _Entry, step_id: str) -> KeyError:
    known = ", ".join(map(repr, sorted(entry.prompts))) or "none"
    return KeyError(f"There is no prompt for the step {step_id!r}. There are: {known}.")


def _description(entry: _Entry, now: float) -> str:
    if entry.source == "fallback":
        return "the fallback is served"
    return f"those of {now - entry.since:.0f} s ago ({entry.source}) are served"


def _checksum(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

"""The rules of a prompt cache: what it serves, when it refreshes, and what a failure means.

Nothing here waits, so both caches share it. They run a refresh, wait for it, and tell the policy how it ended.
"""

from __future__ import annotations

import json
import logging
import math
import os
import random
import threading
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Literal, Self

import attrs

from artanis_api.models import Prompt

from .. import _clock, _errors
from .._errors import ArtanisError, printable
from .._secret import Key
from ._snapshot import Snapshot, SnapshotError

OUTAGES = (_errors.APIConnectionError, _errors.APIResponseValidationError, _errors.APIStatusError)
NEVER_HIDDEN = (_errors.AuthenticationError, _errors.PermissionDeniedError)
MAX_BACKOFF = 60.0  # seconds between two attempts, unless the server asks for more
MAX_RETRY_AFTER = 600.0  # seconds that a server can ask for

_log = logging.getLogger("artanis_client")


def _by_step(prompts: Iterable[Prompt]) -> dict[str, Prompt]:
    return {prompt.step_id: prompt for prompt in prompts}


def _to_texts(served: Served) -> dict[str, str]:
    return {step: json.dumps(prompt.to_dict(), sort_keys=True) for step, prompt in served.prompts.items()}


@attrs.frozen(eq=False)
class Served:
    """What the cache serves. It is replaced as a whole, so that reading it needs no lock."""

    prompts: dict[str, Prompt] = attrs.field(converter=_by_step)
    source: Literal["api", "snapshot", "fallback"]
    loaded_at: float
    """When the API returned the prompts. All times are on the monotonic clock."""
    expires_at: float
    """From then on the prompts are not served any more."""
    fresh_until: float = -math.inf
    error: Exception | None = None
    """The failure because of which the snapshot or the fallback is served."""
    texts: dict[str, str] = attrs.field(init=False, default=attrs.Factory(_to_texts, takes_self=True))
    """Each prompt as JSON, because callers share the objects and may change them."""

    def find(self, step_id: str) -> Prompt:
        """Return the prompt of a step.

        Raises:
            KeyError: If there is no such step.
            ArtanisError: If neither snapshot nor fallback has it. The project may, so this is the API's error.
        """
        if step_id not in self.prompts and self.error is not None:
            raise self.error.with_traceback(None)  # otherwise its traceback would grow with each call
        return self.require(step_id).prompts[step_id]

    def require(self, step_id: str) -> Self:
        """Return self, or raise KeyError if a step is not served."""
        if self is NOTHING:
            raise KeyError("Nothing has been loaded yet. Call load() or get() first.")
        if step_id not in self.prompts:
            known = ", ".join(map(repr, sorted(self.prompts))) or "none"
            raise KeyError(f"There is no prompt for the step {step_id!r}. Known steps: {known}.")
        return self

    def source_of(self, step_id: str) -> Literal["api", "snapshot", "fallback"]:
        """Return where the prompt of a step comes from. Fallbacks are recognised by their empty id."""
        return self.source if self.prompts[step_id].id else "fallback"

    def age(self) -> float | None:
        """Return the seconds since the API returned the prompts; None for fallbacks."""
        return None if self.source == "fallback" else _clock.monotonic() - self.loaded_at

    def __str__(self) -> str:
        if self is NOTHING:
            return "nothing loaded yet"
        steps = f"{len(self.prompts)} step{'' if len(self.prompts) == 1 else 's'} from the {self.source}"
        return steps if (age := self.age()) is None else f"{steps}, {age:.0f} s old"


NOTHING = Served([], "api", -math.inf, -math.inf)


@attrs.define(eq=False)
class Refresh:
    """One attempt to load the prompts."""

    loop: tuple[int, Any]
    """The process and the event loop that run it, as `current_loop()` returns them. With threads, the loop is None."""
    ready: Any
    """An event that is set when the outcome is known, or when the refresh was cut short."""
    finished: Any
    """An event that is set when the snapshot has been written and on_change has been called."""
    served: Served | None = None
    changes: list[tuple[Prompt | None, Prompt | None]] = attrs.field(factory=list)
    """The old and the new prompt of each step that changed."""
    error: Exception | None = None
    traceback: TracebackType | None = None
    scope: Any = None
    """Cancels it. This and `task` are used with event loops only."""
    task: Any = None
    """Keeps the task alive: asyncio does not."""
    is_decided: bool = False
    """Whether it has succeeded or failed."""

    def is_alive(self) -> bool:
        """Return whether it can finish. It cannot if its event loop has ended or paused, or after a fork."""
        pid, reference = self.loop
        loop = reference and reference()
        is_running = getattr(loop, "is_running", lambda: loop is not None or reference is None)
        return pid == os.getpid() and is_running()

    def result(self) -> Served | None:
        """Return what is served to those who waited, or None if the refresh was cut short.

        Raises:
            Exception: Why loading failed.
        """
        if self.error is not None:
            raise self.error.with_traceback(self.traceback)  # otherwise each waiter would add to its traceback
        return self.served


@attrs.define(eq=False)
class Policy:
    """What is served, and which refreshes are in progress."""

    project: str
    key: Key
    ttl: float
    usable_for: float
    snapshot: Snapshot | None
    fallback: list[Prompt]
    new_event: Callable[[], Any]
    served: Served = NOTHING
    is_closed: bool = False
    refreshes: dict[Any, Refresh] = attrs.field(factory=dict)
    """Those in progress, by process and event loop. With threads there is at most one."""
    _locks: dict[int, threading.Lock] = attrs.field(factory=dict)
    _was_cut_short: bool = False
    """Whether the last refresh was lost with its event loop. The next loop may end as early, so its caller waits."""
    _refresh_at: float = -math.inf
    _failures: int = 0
    """How many refreshes in a row have failed."""
    _logged: int = logging.NOTSET
    """The highest level at which these failures were logged."""

    def __str__(self) -> str:
        return f"project {self.project}, {self.served}{', closed' if self.is_closed else ''}"

    def lock(self) -> threading.Lock:
        """Return the lock of this process: after a fork, a thread that does not exist here may hold the parent's."""
        return self._locks.setdefault(os.getpid(), threading.Lock())

    def plan(self, loop: tuple[int, Any]) -> tuple[Refresh | None, Refresh | None]:
        """Return the refresh to start, if one is due, and the refresh to wait for, if nothing can be served now.

        Raises:
            ArtanisError: If nothing can be served and the cache is closed.
        """
        with self.lock():
            now = _clock.monotonic()
            can_serve = now < self.served.expires_at
            for refresh in [*self.refreshes.values()]:
                if not refresh.is_alive():
                    self._forget(refresh)
            if can_serve and (now < self._refresh_at or self.is_closed or self.refreshes):
                return None, None
            if (current := self.refreshes.get(loop)) and not current.ready.is_set():
                return None, current
            if self.is_closed:
                raise ArtanisError(
                    "The prompt cache is closed. Create a new one, or keep this one open while you use it."
                )
            refresh = self.refreshes[loop] = Refresh(loop, self.new_event(), self.new_event())
            return refresh, None if can_serve and not self._was_cut_short else refresh

    def succeed(self, refresh: Refresh, prompts: list[Prompt]) -> None:
        """Serve what the API returned from now on."""
        now = _clock.monotonic()
        refresh.is_decided = True
        new = refresh.served = Served(prompts, "api", now, now + self.usable_for, now + self.ttl)
        with self.lock():
            if self.is_closed:
                return
            old, self.served = self.served, new
            self._refresh_at = new.fresh_until
            self._failures, self._logged = 0, logging.NOTSET
        if old is not NOTHING:
            changed = [step for step in {**old.texts, **new.texts} if old.texts.get(step) != new.texts.get(step)]
            refresh.changes = [(old.prompts.get(step), new.prompts.get(step)) for step in changed]

    def fail(self, refresh: Refresh, error: Exception) -> None:
        """Keep serving what there is. If that has expired, serve the snapshot or fallback, or let the waiters raise."""
        # Retrying does not help if the key, organization or configuration is wrong, the client is closed, or the user's
        # own hooks or key functions fail. These errors must not be hidden.
        refresh.is_decided = True
        is_outage = isinstance(error, OUTAGES) and not isinstance(error, NEVER_HIDDEN)
        status = error.status_code if isinstance(error, _errors.APIStatusError) else 0
        is_permanent = status // 100 in (3, 4) and status not in (408, 429)  # such as 404: there is no such project
        level = logging.ERROR if is_permanent or not is_outage else logging.WARNING
        if _clock.monotonic() >= self.served.expires_at:
            refresh.served = self._find_replacement(error) if is_outage else None
            if refresh.served is None:
                refresh.error, refresh.traceback = error, error.__traceback__
        with self.lock():
            if self.is_closed:
                return
            now = _clock.monotonic()
            if refresh.served is not None and now >= self.served.expires_at:
                self.served = refresh.served
            self._failures += 1
            self._refresh_at = now + self._compute_delay(error)
            is_new = level > self._logged and refresh.error is None  # otherwise the waiters raise it
            self._logged = level if is_new else self._logged
        if is_new:
            text = str(error) if isinstance(error, ArtanisError) else printable(f"{type(error).__name__}: {error}")
            text = " ".join([text, *([] if is_outage else getattr(error, "__notes__", []))])  # why there is no new key
            if self.key.known:  # a key function may have put the key into its own error
                text = self.key.known.redact(text)
            message = "Could not load the prompts of project %s; serving %s. %s"
            _log.log(level, message, self.project, self.served, text)

    def _find_replacement(self, error: Exception) -> Served | None:
        """Return the snapshot, else the fallback. If the snapshot cannot be used, add the reason to the error."""
        try:
            found = self.snapshot and self.snapshot.read()
        except SnapshotError as problem:
            found = None
            error.add_note(str(problem))
        if not (found or self.fallback):
            return None
        error = error.with_traceback(None)  # a traceback keeps the variables of its frames alive
        if not found:
            return Served(self.fallback, "fallback", -math.inf, math.inf, error=error)
        prompts, age = found
        loaded_at = _clock.monotonic() - age
        # A prompt of the snapshot replaces the fallback of its step.
        return Served([*self.fallback, *prompts], "snapshot", loaded_at, loaded_at + self.usable_for, error=error)

    def _compute_delay(self, error: Exception) -> float:
        backoff: float = min(MAX_BACKOFF, min(self.ttl, 1.0) * 2 ** min(self._failures - 1, 10))
        retry_after: float = getattr(error, "retry_after", None) or 0.0
        return max(backoff * random.uniform(0.75, 1), min(retry_after, MAX_RETRY_AFTER))

    def save(self, refresh: Refresh) -> None:
        """Write the snapshot, if the refresh loaded what is served."""
        served = self.served
        if self.snapshot is not None and served is refresh.served and served.source == "api":
            self.snapshot.write([*served.texts.values()])

    def finish(self, refresh: Refresh) -> None:
        """Release the waiters, and allow the next refresh. If this one was cut short, a waiter starts the next."""
        with self.lock():
            self._forget(refresh)
        refresh.ready.set()
        refresh.finished.set()

    def _forget(self, refresh: Refresh) -> None:
        if self.refreshes.get(refresh.loop) is refresh:
            del self.refreshes[refresh.loop]
            pid, loop = refresh.loop
            self._was_cut_short = not refresh.is_decided and loop is not None and pid == os.getpid()

    def close(self) -> None:
        """Start no further refresh, and ignore the results of those in progress."""
        with self.lock():
            self.is_closed = True

"""The window of traces that are read ahead of the consumer, in the order of the list. It neither waits nor does I/O.

The consumer adds traces to `pending`, workers take them from there. A failed trace that can be read again waits in the
window, not in a worker, until the consumer makes it pending again.
"""

from __future__ import annotations

import bisect
import logging
from collections import deque
from collections.abc import Sequence

import attrs

from artanis_api.models import TraceDetail

from .. import _clock
from .._arguments import check_integer
from .._errors import (
    APIResponseValidationError,
    ArtanisError,
    NotFoundError,
    is_refusal,
    printable,
    retry_delay,
    summary,
)
from .._http import AsyncHttp, Http
from .._progress import OnProgress, Progress, check_on_progress
from .._retry import MAX_RETRY_TIME
from ._ids import find_id_error

READ_AHEAD = 2  # traces in the window per request in flight, so that a slow answer does not hold up the others
# Limits of the window while the trace that is due waits for a retry.
MAX_TRACES = 1000
MAX_BYTES = 16 * 1024 * 1024
CHECK_INTERVAL = 1.0  # seconds; the window is checked at least, and a pause reported at most, this often
SKIPPABLE = (NotFoundError, APIResponseValidationError)
_log = logging.getLogger("artanis_client")


@attrs.define(eq=False)
class Slot:
    """A trace in the window."""

    trace_id: str
    detail: TraceDetail | None = None
    size: int = 0
    """The bytes of its response."""
    error: BaseException | None = None
    retry_at: float | None = None
    """When it can be read again, on the monotonic clock; None unless it waits for that."""
    is_refused: bool = False
    """Whether the last attempt was refused to limit the rate of requests."""
    failures: int = 0
    """How many attempts failed, except for those that were refused."""
    refusals: int = 0

    @property
    def is_done(self) -> bool:
        """Whether the trace has been read or has failed for good."""
        return self.detail is not None or self.error is not None


def _retry_time(slot: Slot) -> float:
    return slot.retry_at or 0.0


class Window:
    """Which traces there are, which of them are being read, and the results that the consumer has not taken yet."""

    def __init__(self, concurrency: int, on_error: str, on_progress: OnProgress | None) -> None:
        self._concurrency = check_integer("concurrency", concurrency, at_least=1)
        if on_error not in ("raise", "skip"):
            raise ValueError(f'on_error must be "raise" or "skip", not {on_error!r}.')
        self._skips = on_error == "skip"
        self._on_progress = check_on_progress(on_progress)
        self._ids: Sequence[str] = ()
        self._next = self._done = self._skipped = 0
        self.slots: deque[Slot] = deque()
        self.pending: deque[Slot] = deque()
        """The traces to read next."""
        self._failed: deque[Slot] = deque()  # added by workers, and not in `_retries` yet
        self._retries: list[Slot] = []  # by the time of the retry
        self._refused_since: float | None = None  # not counting the time in which the consumer was away
        self._left_at: float | None = None  # when the consumer left with a trace
        self._reported_at = 0.0
        self.workers = 0
        """How many workers to start."""

    def begin(self, ids: Sequence[str], http: Http | AsyncHttp) -> None:
        """Set the traces to read, and the client to read them with."""
        self._ids, self._http = ids, http
        self.workers = min(self._concurrency, http.connections.max_connections, len(ids))

    # By the consumer

    def refill(self) -> int:
        """Make traces pending that are due for a retry, and new ones while there is room. Return how many."""
        count = self._make_retries_pending()
        max_slots, max_new = READ_AHEAD * self.workers, READ_AHEAD * self.workers - len(self.pending)
        if self.slots and self.slots[0].retry_at is not None and sum(slot.size for slot in self.slots) < MAX_BYTES:
            max_slots, max_new = max(max_slots, MAX_TRACES), self.workers - len(self.pending)
        room = max(0, min(max_slots - len(self.slots), max_new))
        slots = [Slot(trace_id) for trace_id in self._ids[self._next : self._next + room]]
        self._next += len(slots)
        self.slots += slots
        self.pending += slots
        return count + len(slots)

    def _make_retries_pending(self) -> int:
        while self._failed:
            bisect.insort(self._retries, self._failed.popleft(), key=_retry_time)
        now, since, left_at = _clock.monotonic(), self._refused_since, self._left_at
        if since is not None and left_at is not None:
            self._refused_since = since + now - max(since, left_at)
        self._left_at = None
        due = self._retries[: bisect.bisect_right(self._retries, now, key=_retry_time)]
        del self._retries[: len(due)]
        for slot in due:
            slot.retry_at = None
        self.pending.extendleft(reversed(due))  # before new traces, because the consumer waits for the oldest first
        return len(due)

    def restart(self) -> None:
        """Make everything pending again that cancelled workers were reading."""
        self.pending = deque(slot for slot in self.slots if not slot.is_done and slot.retry_at is None)

    def seconds_to_wait(self) -> float:
        """Return how many seconds the consumer may wait for the next trace before it must check the window again."""
        if not self._retries:
            return CHECK_INTERVAL
        return min(CHECK_INTERVAL, max(0.0, _retry_time(self._retries[0]) - _clock.monotonic()))

    def report_pause(self) -> None:
        """Tell `on_progress`, at most once a second, that the consumer waits because the server refuses requests."""
        if self._on_progress is None:
            return
        due, now = self.slots[0], _clock.monotonic()
        end = max(
            self._http.connections.pace.paused_until,
            due.retry_at if due.retry_at is not None and due.is_refused else 0.0,
        )
        if end > now >= self._reported_at + CHECK_INTERVAL:
            self._reported_at = now
            self._on_progress(Progress(self._done, len(self._ids), self._skipped, due.trace_id, None, end - now))

    def take(self) -> TraceDetail | None:
        """Remove the first slot, which is done, and return its trace; None if it is skipped."""
        slot = self.slots.popleft()
        error: ArtanisError | None = None
        found = None if slot.detail is None else slot.detail.id
        wrong = find_id_error(self._http.credentials, "traces", slot.trace_id, found)
        if wrong is not None:
            slot.detail, slot.error = None, wrong
        try:
            if slot.error is not None:
                if not (self._skips and isinstance(slot.error, SKIPPABLE)):
                    raise slot.error
                error = slot.error
                self._skipped += 1
                _log.warning("Trace %s is skipped: %s", printable(slot.trace_id), error)
            self._done += 1
            if self._on_progress is not None:
                self._on_progress(Progress(self._done, len(self._ids), self._skipped, slot.trace_id, error))
            self._left_at = _clock.monotonic()
            return slot.detail
        finally:
            del slot, error, wrong  # an error's traceback refers to this frame, which must not refer back to the error

    # By the workers

    def succeed(self, slot: Slot, detail: TraceDetail, size: int) -> None:
        """Store a trace, and the size of its response in bytes."""
        slot.size = size
        slot.detail = detail
        self._refused_since = None

    def fail(self, slot: Slot, error: BaseException) -> None:
        """Store the error of an attempt, or schedule another attempt.

        A refusal does not count as a failure: the server only asks for patience. But if it asks for more than a minute,
        or has accepted nothing for two minutes, its error is raised.
        """
        now = _clock.monotonic()
        delay = retry_delay(error, slot.failures + slot.refusals) if self._http.max_retries else None
        slot.is_refused = is_refusal(error)
        if slot.is_refused:
            since = self._refused_since = now if self._refused_since is None else self._refused_since
            may_retry = delay is not None and now + delay <= since + MAX_RETRY_TIME
            slot.refusals += 1
        else:
            if isinstance(error, SKIPPABLE):  # the server has accepted this request
                self._refused_since = None
            may_retry = slot.failures < self._http.max_retries
            slot.failures += 1
        if delay is None or not may_retry or not isinstance(error, ArtanisError):
            slot.error = error
            return
        _log.info("Trace %s: %s, retry in %.2f s", slot.trace_id, summary(error), delay)
        slot.retry_at = now + delay
        self._failed.append(slot)

    def wakes_consumer(self, slot: Slot) -> bool:
        """Return whether the consumer has something to do after an attempt to read this trace.

        Waking it after every attempt would reduce the throughput by 10%.
        """
        try:
            due = self.slots[0]
        except IndexError:  # the consumer has taken it already
            return False
        return due is slot or slot.retry_at is not None or due.retry_at is not None

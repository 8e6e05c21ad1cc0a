"""The window of traces that are read ahead of the consumer, in the order of the list. Does no I/O or waiting.

The consumer adds traces to `pending`, workers take them from there. A failed trace that can be read again waits in a
heap, not in a worker, until the consumer makes it pending again.
"""

from __future__ import annotations

import heapq
import itertools
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
from ._ids import wrong_id

READ_AHEAD = 2  # traces in the window per request in flight, so that a slow answer does not hold up the others
# Limits of the window while the trace that is due waits for a retry.
MAX_TRACES = 1000
MAX_BYTES = 16 * 1024 * 1024
CHECK_INTERVAL = 1.0  # seconds at most between two looks at the state, and at least between two reports of a pause
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
        """Whether the trace was read, or cannot be."""
        return self.detail is not None or self.error is not None


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
        self._failed: deque[Slot] = deque()  # by workers, and not in the heap yet
        self._retries: list[tuple[float, int, Slot]] = []
        self._number = itertools.count()
        self._refused_since: float | None = None
        self._reported_at = 0.0
        self.workers = 0
        """How many workers to start."""

    def begin(self, ids: Sequence[str], http: Http | AsyncHttp) -> None:
        """Set the traces to read, and the client to read them with."""
        self._ids = ids
        self._max_retries = http.max_retries
        self._pace = http.connections.pace
        self._credentials = http.credentials
        self.workers = min(self._concurrency, http.connections.max_connections, len(ids))

    # By the consumer

    def refill(self) -> int:
        """Make traces pending for which there is room, and those whose retry is due. Return how many."""
        count = self._make_retries_pending()
        limit, most = READ_AHEAD * self.workers, READ_AHEAD * self.workers - len(self.pending)
        if self.slots and self.slots[0].retry_at is not None and sum(slot.size for slot in self.slots) < MAX_BYTES:
            limit, most = max(limit, MAX_TRACES), self.workers - len(self.pending)
        room = max(0, min(limit - len(self.slots), most))
        slots = [Slot(trace_id) for trace_id in self._ids[self._next : self._next + room]]
        self._next += len(slots)
        self.slots += slots
        self.pending += slots
        return count + len(slots)

    def _make_retries_pending(self) -> int:
        while self._failed:
            slot = self._failed.popleft()
            heapq.heappush(self._retries, (slot.retry_at or 0.0, next(self._number), slot))
        now = _clock.monotonic()
        if self._refused_since is not None and self._retries and self._retries[0][0] < now:
            self._refused_since += now - self._retries[0][0]  # no request was waiting, because the consumer was busy
        due: list[Slot] = []
        while self._retries and self._retries[0][0] <= now:
            due.append(heapq.heappop(self._retries)[-1])
            due[-1].retry_at = None
        self.pending.extendleft(reversed(due))  # before new traces, because the consumer waits for the oldest first
        return len(due)

    def restart(self) -> None:
        """Make everything pending again that cancelled workers were reading."""
        self.pending = deque(slot for slot in self.slots if not slot.is_done and slot.retry_at is None)

    def seconds_to_wait(self) -> float:
        """Return after how many seconds at most to look again, while the trace that is due is not done."""
        if not self._retries:
            return CHECK_INTERVAL
        return min(CHECK_INTERVAL, max(0.0, self._retries[0][0] - _clock.monotonic()))

    def report_pause(self) -> None:
        """Tell `on_progress`, at most once a second, that the consumer waits because the server refuses requests."""
        if self._on_progress is None:
            return
        due, now = self.slots[0], _clock.monotonic()
        end = max(self._pace.paused_until, due.retry_at if due.retry_at is not None and due.is_refused else 0.0)
        if end > now >= self._reported_at + CHECK_INTERVAL:
            self._reported_at = now
            self._on_progress(Progress(self._done, len(self._ids), self._skipped, due.trace_id, None, end - now))

    def take(self) -> TraceDetail | None:
        """Remove the first slot, which is done, and return its trace; None if it is skipped."""
        slot = self.slots.popleft()
        error: ArtanisError | None = None
        found = None if slot.detail is None else slot.detail.id
        wrong = wrong_id(self._credentials, "traces", slot.trace_id, found)
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
            return slot.detail
        finally:
            del slot, error, wrong  # its traceback refers to this frame, which would refer back to it

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
        delay = retry_delay(error, slot.failures + slot.refusals) if self._max_retries else None
        slot.is_refused = is_refusal(error)
        if slot.is_refused:
            since = self._refused_since = now if self._refused_since is None else self._refused_since
            may_retry = delay is not None and now + delay <= since + MAX_RETRY_TIME
            slot.refusals += 1
        else:
            if isinstance(error, SKIPPABLE):  # the server has accepted this request
                self._refused_since = None
            may_retry = slot.failures < self._max_retries
            slot.failures += 1
        if delay is None or not may_retry or not isinstance(error, ArtanisError):
            slot.error = error
            return
        _log.info("Trace %s: %s, retry in %.2f s", slot.trace_id, summary(error), delay)
        slot.retry_at = now + delay
        self._failed.append(slot)

    def wakes_consumer(self, slot: Slot) -> bool:
        """Return whether the consumer has something to do after an attempt to read this trace.

        Waking it each time would cost 10% of the rate.
        """
        try:
            due = self.slots[0]
        except IndexError:  # the consumer has taken it already
            return False
        return due is slot or slot.retry_at is not None or due.retry_at is not None

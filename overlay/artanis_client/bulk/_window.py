"""The window of traces that are read ahead of the consumer, in the order of the list. Does no I/O or waiting."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence
from typing import Any

import attrs

from artanis_api.models import TraceDetail

from .._arguments import check_integer
from .._errors import APIResponseValidationError, ArtanisError, NotFoundError, printable
from .._http import AsyncHttp, Http
from .._progress import Progress, check_on_progress
from ._ids import wrong_id

READ_AHEAD = 2  # traces in the window per request in flight, so that a slow answer does not hold up the others
SKIPPABLE = (NotFoundError, APIResponseValidationError)
_log = logging.getLogger("artanis_client")


@attrs.define(eq=False)
class Slot:
    """A trace in the window."""

    trace_id: str
    detail: TraceDetail | None = None
    error: BaseException | None = None

    @property
    def is_done(self) -> bool:
        """Whether the trace was read, or failed."""
        return self.detail is not None or self.error is not None


class Window:
    """Which traces there are, which of them are being read, and the results that the consumer has not taken yet."""

    def __init__(self, concurrency: Any, on_error: Any, on_progress: Any) -> None:
        self._concurrency = check_integer("concurrency", concurrency, at_least=1)
        if on_error not in ("raise", "skip"):
            raise ValueError(f'on_error must be "raise" or "skip", not {on_error!r}.')
        self._skips = on_error == "skip"
        self._on_progress = check_on_progress(on_progress)
        self._ids: Sequence[str] = ()
        self._next = self._done = self._skipped = 0
        self.slots: deque[Slot] = deque()
        self.workers = 0
        """How many workers to start."""

    def begin(self, ids: Sequence[str], http: Http | AsyncHttp) -> None:
        """Set the traces to read, and the client to read them with."""
        self._ids = ids
        self._credentials = http.credentials
        self.workers = min(self._concurrency, http.connections.max_connections, len(ids))

    def refill(self) -> list[Slot]:
        """Add traces for which there is room, and return them."""
        room = READ_AHEAD * self.workers - len(self.slots)
        slots = [Slot(trace_id) for trace_id in self._ids[self._next : self._next + room]]
        self._next += len(slots)
        self.slots += slots
        return slots

    def is_due(self, slot: Slot) -> bool:
        """Return whether the consumer may be waiting for this slot. Waking it for all would cost 10% of the rate."""
        try:
            return self.slots[0] is slot
        except IndexError:  # the consumer has taken it already
            return False

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

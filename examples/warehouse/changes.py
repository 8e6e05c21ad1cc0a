"""Which traces a later run reads: new ones, and those that were not reviewed yet.

A review does not change `updatedAt`, so a run reads unreviewed traces again until they are reviewed or the review
window ends. The state is a dict that the caller stores between runs.
"""

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from artanis_client import Artanis, Progress, models


class Read(NamedTuple):
    """The result of reading one trace."""

    trace_id: str
    created_at: datetime
    detail: models.TraceDetail | None
    """None if the trace was skipped: it is gone, or does not match the contract."""
    again: bool
    """Whether an earlier run has already read this trace."""


Changed = tuple[models.TraceDetail, bool]
"""A trace that is new or has changed, and whether an earlier run has already read it."""


def plan(
    state: dict[str, Any], created: dict[str, datetime], window: timedelta, overlap: timedelta
) -> tuple[list[str], set[str]]:
    """Return the new traces, oldest first, and the traces to read again."""
    window_begin = _before(datetime.now(UTC), window)
    recent, unfinished = state.get("recent", {}), state.get("open", {})
    newest = state.get("newest")
    oldest = None if newest is None else _before(newest, overlap)
    new = sorted(
        (moment, trace_id)
        for trace_id, moment in created.items()
        if oldest is None or (moment >= oldest and trace_id not in recent and trace_id not in unfinished)
    )
    again = {
        trace_id
        for trace_id, found in unfinished.items()
        if trace_id in created and (found == _UNREAD or created[trace_id] >= window_begin)
    }
    for trace_id in unfinished.keys() - again:
        del unfinished[trace_id]
        if trace_id in created:
            recent[trace_id] = created[trace_id]
    return [trace_id for _, trace_id in new], again


def read(
    client: Artanis, trace_ids: list[str], created: dict[str, datetime], again: set[str], concurrency: int
) -> Iterator[Read]:
    """Read traces in this order, and yield a result for each, also if it was skipped."""
    asked: list[Read] = []  # the response may contain a different id

    def take(progress: Progress) -> None:
        if progress.waiting is None:  # otherwise nothing was read: the server makes the loop wait
            asked.append(Read(progress.trace_id, created[progress.trace_id], None, progress.trace_id in again))

    for detail in client.traces.iter(trace_ids=trace_ids, concurrency=concurrency, on_error="skip", on_progress=take):
        *skipped, last = asked
        asked.clear()
        yield from skipped
        yield last._replace(detail=detail)
    yield from asked


def remember(state: dict[str, Any], page: list[Read], window: timedelta, overlap: timedelta) -> list[Changed]:
    """Record in the state what was read, and return the new and changed traces."""
    now = datetime.now(UTC)
    window_begin = _before(now, window)
    recent, unfinished = state.setdefault("recent", {}), state.setdefault("open", {})
    newest = state.setdefault("newest", None)
    changed: list[Changed] = []
    for one in page:
        # A trace dated in the future must not make all later traces look old.
        moment = min(one.created_at, now)
        newest = moment if newest is None else max(newest, moment)
        if one.detail is None:
            unfinished[one.trace_id] = _UNREAD
            continue
        is_reviewed = one.detail.spans and all(span.approved_output is not None for span in one.detail.spans)
        if is_reviewed or one.created_at < window_begin:
            unfinished.pop(one.trace_id, None)
            recent[one.trace_id] = one.created_at
        elif unfinished.get(one.trace_id) == (found := digest(one.detail)):
            continue
        else:
            unfinished[one.trace_id] = found
        changed.append((one.detail, one.again))
    state["newest"] = newest
    if newest is not None:
        oldest = _before(newest, overlap)
        state["recent"] = {trace_id: moment for trace_id, moment in recent.items() if moment >= oldest}
    return changed


def _before(moment: datetime, span: timedelta) -> datetime:
    """Subtract `span` from `moment`, or return the earliest possible time if that overflows."""
    try:
        return moment - span
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC)


_UNREAD = ""  # replaces the digest of a skipped trace: while it is listed, a later run or client may be able to read it


def digest(*parts: Any) -> str:
    """Return a text that changes when one of the objects does."""
    data = json.dumps([part.to_dict() for part in parts], sort_keys=True).encode()
    return hashlib.blake2b(data, digest_size=12).hexdigest()

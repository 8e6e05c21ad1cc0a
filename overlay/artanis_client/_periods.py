"""`since` and `until`: the dates and periods that people type."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

from artanis_api.models import Trace

Filter = Callable[[list[Trace]], list[Trace]]


def filter_by_period(since: date | str | None, until: date | str | None) -> Filter:
    """Return a function that keeps the traces created between the start of `since` and the end of `until`.

    Raises:
        TypeError, ValueError: If one of them is not a date, or `since` is later than `until`.
    """
    if since is None and until is None:
        return lambda traces: traces
    start = None if since is None else _bounds("since", since)[0]
    end = None if until is None else _bounds("until", until)[1]
    if start and end and start >= end:
        raise ValueError(f"since ({since}) is later than until ({until}).")
    return lambda traces: [
        trace for trace in traces if (not start or start <= trace.created_at) and (not end or trace.created_at < end)
    ]


def _bounds(name: str, value: date | str) -> tuple[datetime, datetime]:
    """Return the start of a period and the start of the next one; for a moment, itself and the next microsecond."""
    from dateutil.parser import isoparser
    from dateutil.relativedelta import relativedelta

    if isinstance(value, date) and not isinstance(value, datetime):
        value = value.isoformat()
    if isinstance(value, datetime):
        if value != value:  # pandas.NaT, of which every comparison is false
            raise ValueError(f"{name} must be a time, not {value!r}.")
        start, length = value, dict[str, Any](microseconds=1)
    elif isinstance(value, str):
        try:
            start, length = isoparser(sep="T").isoparse(value.replace(" ", "T", 1)), _length(value)
        except (ValueError, OverflowError):
            raise ValueError(f"{name} must be ISO 8601, such as 2026-04 or 2026-04-08T09:30Z, not {value!r}.") from None
    else:
        raise TypeError(f"{name} must be a datetime, a date or ISO 8601 text, not {type(value).__name__}.")
    start = start if start.utcoffset() is not None else start.replace(tzinfo=UTC)
    try:
        return start, start + relativedelta(**length)
    except (ValueError, OverflowError):  # past the year 9999
        return start, datetime.max.replace(tzinfo=UTC)


def _length(text: str) -> dict[str, Any]:
    """Return how long a period is that ISO 8601 text names, as arguments of relativedelta."""
    day, _, time = text.replace(" ", "T", 1).partition("T")
    if time:
        clock, _, fraction = re.split(r"[Zz+-]", time)[0].replace(",", ".").partition(".")
        if fraction:
            return {"microseconds": 10 ** max(0, 6 - len(fraction))}
        return {{2: "hours", 4: "minutes"}.get(len(clock.replace(":", "")), "seconds"): 1}
    if re.fullmatch(r"\d{4}", day):
        return {"years": 1}
    if re.fullmatch(r"\d{4}-\d{2}", day):
        return {"months": 1}
    return {"weeks" if re.fullmatch(r"\d{4}-?W\d{2}", day) else "days": 1}

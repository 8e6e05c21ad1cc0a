"""How far a bulk read has come."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, cast

import attrs

from ._errors import ArtanisError


@attrs.frozen
class Progress:
    """How far `client.traces.iter` or an export has come.

    `on_progress` gets one for each trace. If the server refuses requests, it also gets one each second of the pause.
    """

    done: int
    """The number of traces that were read or skipped, including this one, unless `waiting` is set."""
    total: int
    """The number of traces to read."""
    skipped: int
    """The number of traces among `done` that were skipped."""
    trace_id: str
    error: ArtanisError | None
    """Why this trace was skipped; None if it was read."""
    waiting: float | None = None
    """The seconds left of a pause that the server asked for, before this trace can be read; None otherwise."""


OnProgress = Callable[[Progress], object]


def check_on_progress(on_progress: Any) -> OnProgress | None:
    """Return `on_progress`; raise TypeError if it is neither None nor a plain function."""
    if on_progress is not None and (not callable(on_progress) or inspect.iscoroutinefunction(on_progress)):
        raise TypeError("on_progress must be a plain function.")
    return cast("OnProgress | None", on_progress)

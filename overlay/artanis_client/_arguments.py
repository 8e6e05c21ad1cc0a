"""Checks of arguments that several functions take."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

MOST_SECONDS = 1e9  # httpx, threads and event loops overflow somewhere beyond
_ID = re.compile(r"(?!\.{1,2}\Z)[^/?\x00-\x1f\x7f\ud800-\udfff]+")  # what can be a segment of a path


def check_id(value: Any) -> str:
    """Return an id as a string; raise TypeError or ValueError if it cannot be one."""
    if not isinstance(value, str | UUID):
        raise TypeError(f"An id must be a string, as returned by list(), not {type(value).__name__}.")
    if not is_id(str(value)):
        raise ValueError(f"Invalid id {str(value)[:100]!r}: use an id exactly as returned by list().")
    return str(value)


def is_id(text: str) -> bool:
    """Return whether a text can be a segment of a path, as ids are."""
    return _ID.fullmatch(text) is not None


def check_integer(name: str, value: Any, at_least: int) -> int:
    """Return `value`; raise TypeError or ValueError if it is not an integer of at least `at_least`."""
    if type(value) is not int or value < at_least:
        error = ValueError if type(value) is int else TypeError
        raise error(f"{name} must be an integer of at least {at_least}, not {value!r}.")
    return value


def check_seconds(name: str, value: Any, *, allow_zero: bool = False) -> float:
    """Return `value` as a float; raise TypeError or ValueError if it is not a positive number of seconds."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number of seconds, not {type(value).__name__}.")
    if not (0 <= value <= MOST_SECONDS and (value or allow_zero)):
        limit = f"at most {MOST_SECONDS:.0e}" if value > 0 else "at least 0" if allow_zero else "more than 0"
        raise ValueError(f"{name} must be {limit} seconds, not {value!r}.")
    return float(value)


def check_text(name: str, value: Any, *, or_uuid: bool = False) -> str | None:
    """Return `value`, a UUID as a string; raise TypeError if it is neither a string nor None."""
    text = str(value) if or_uuid and isinstance(value, UUID) else value
    if not isinstance(text, str | None):
        raise TypeError(f"{name} must be a string, not {type(value).__name__}.")
    return text

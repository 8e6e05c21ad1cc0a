"""Checks of arguments that several functions take."""

from __future__ import annotations

import math
from typing import Any


def check_integer(name: str, value: Any, at_least: int) -> int:
    """Return `value`; raise ValueError if it is not an integer of at least `at_least`."""
    if type(value) is not int or value < at_least:
        raise ValueError(f"{name} must be an integer of at least {at_least}, not {value!r}.")
    return value


def check_seconds(name: str, value: Any, *, allow_zero: bool = False) -> float:
    """Return `value` as a float; raise TypeError or ValueError if it is not a positive number of seconds."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number of seconds, not {type(value).__name__}.")
    if not (value >= 0 if allow_zero else 0 < value < math.inf):
        raise ValueError(f"{name} must be {'at least' if allow_zero else 'more than'} 0 seconds, not {value!r}.")
    return float(value)


def check_text(name: str, value: Any) -> str | None:
    """Return `value`; raise TypeError if it is neither a string nor None."""
    if not isinstance(value, str | None):
        raise TypeError(f"{name} must be a string, not {type(value).__name__}.")
    return value

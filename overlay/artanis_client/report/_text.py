"""How the report writes numbers and names."""

from __future__ import annotations

import unicodedata

from .._errors import printable
from ..evaluation import ScorecardRow

MAX_TEXT = 500  # characters
NOTHING = "\N{EN DASH}"


def visible(text: str) -> str:
    """Return `text` with control and bidirectional characters escaped, cut after `MAX_TEXT` characters."""
    return printable(text[:MAX_TEXT]) + ("…" if len(text) > MAX_TEXT else "")


def shorten(text: str, limit: int = 12) -> str:
    """Return enough of an id or name to find it in the table, which has all of it."""
    text = printable(text)
    if any(unicodedata.east_asian_width(char) in "WF" for char in text):
        limit //= 2
    return text if len(text) <= limit else f"{text[: limit // 2]}…{text[1 - limit + limit // 2 :]}"


def thousands(number: int) -> str:
    """Write an integer as in `1,234`."""
    return f"{number:,}"


def quantity(number: int, noun: str) -> str:
    """Write a number with its noun, as in `1 span` or `1,234 spans`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def percent(share: float | None) -> str:
    """Write a share as in `12.3 %`."""
    return NOTHING if share is None else f"{100 * share:.1f} %"


def interval(row: ScorecardRow) -> str:
    """Write the confidence interval of the acceptance rate as in `12.3 to 45.6 %`."""
    low, high = row["acceptance_low"], row["acceptance_high"]
    return NOTHING if low is None or high is None else f"{100 * low:.1f} to {100 * high:.1f} %"

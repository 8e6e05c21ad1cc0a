"""How the report writes numbers and names."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from urllib.parse import quote, urlsplit

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


def link_maker(link: str) -> Callable[[str], str]:
    """Return a function that returns the URL of a trace by its id.

    Args:
        link: An http or https URL with `{trace_id}` in its path, query or fragment.

    Raises:
        ValueError: If it is anything else.
    """
    try:
        parts = urlsplit(link)
        is_usable = parts.scheme in ("http", "https") and bool(parts.hostname) and "{trace_id}" not in parts.netloc
    except ValueError:
        is_usable = False
    if not is_usable or "{trace_id}" not in link or " " in link or not link.isprintable():
        example = "https://example.com/traces/{trace_id}"
        raise ValueError(
            f"link must be an http or https URL that contains {{trace_id}}, such as {example}, not {link!r}."
        )
    return lambda trace_id: link.replace("{trace_id}", quote(trace_id, safe="", errors="surrogatepass"))


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

"""What the command prints: data on stdout, everything else on stderr.

Text of the API may contain anything. Whatever is printed for people goes through `escape`, so that it cannot move the
cursor, set colours or change the direction of writing. Rich is imported only when it is used.
"""

from __future__ import annotations

import json
import os
import sys
import time
import unicodedata
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple, TextIO

import click

from .._progress import OnProgress, Progress
from ._streams import ClosedStdout, discard

Row = tuple[dict[str, Any], list[str]]
"""The object that programs get, and the cells that people see."""


class Column(NamedTuple):
    """A column of a table, and what happens to it in a narrow terminal."""

    name: str
    kind: Literal["whole", "number", "id", "name", "text"] = "name"
    """`whole` and `number` (aligned to the right) are never cut. Of the others, `text` gives way down to a few words
    first, then `id`, then `name`."""
    rank: int = 0
    """If it is still too narrow, the column of the highest rank is left out, of several the last."""


DIFF_COLOURS = {"+": "green", "-": "red", "@": "cyan"}


def escape(text: str) -> str:
    """Escape everything that a terminal could obey. Line breaks, tabs and the spaces of any script stay."""
    if text.isprintable():
        return text
    return "".join(
        char
        if char.isprintable() or char in "\n\t" or unicodedata.category(char) == "Zs"
        else char.encode("unicode_escape").decode()
        for char in text
    )


def line(text: str) -> str:
    """Return a text on one line, escaped."""
    return escape(text).replace("\n", "\\n").replace("\t", "\\t")


def pretty(value: Any) -> str:
    """Return JSON for people: a string as it is, anything else indented."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)


def compact(value: Any) -> str:
    """Return JSON on one line."""
    return json.dumps(value, ensure_ascii=False)


def moment(when: datetime) -> str:
    """Return a time in UTC, to the second."""
    return when.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def is_coloured(stream: TextIO) -> bool:
    """Return whether colours and progress may be written to a stream."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def style(text: str, colour: str | None = None, *, bold: bool = False, stream: TextIO | None = None) -> str:
    """Return a text with colours if they may be written to the stream, by default stdout."""
    return click.style(text, fg=colour, bold=bold or None) if is_coloured(stream or sys.stdout) else text


def out(text: str) -> None:
    """Print a line of data."""
    sys.stdout.write(text + "\n")


def out_summary(text: str) -> None:
    """Print what a command has done, unless stdout is closed: the command has succeeded all the same."""
    if not isinstance(sys.stdout, ClosedStdout):
        out(text)


def note(text: str) -> None:
    """Print a message on stderr. If that fails, the exit status still tells how the command ended."""
    try:
        sys.stderr.write(escape(text) + "\n")
        sys.stderr.flush()
    except OSError:
        discard(sys.stderr)


def print_error(text: str) -> None:
    """Print an error or a warning, on one line."""
    note(f"artanis: {line(text)}")


def api_object(model: Any) -> dict[str, Any]:
    """Return an object of the API as the API sends it, whose timestamps end in Z."""
    return _restore_times(model.to_dict())


def _restore_times(data: dict[str, Any]) -> dict[str, Any]:
    for name in ("createdAt", "updatedAt"):
        if name in data:
            when = datetime.fromisoformat(data[name]).astimezone(UTC).replace(tzinfo=None)
            data[name] = when.isoformat(timespec="microseconds" if when.microsecond % 1000 else "milliseconds") + "Z"
    for name in ("spans", "feedback", "versions"):
        data.update({name: [_restore_times(each) for each in data[name]]} if name in data else {})
    return data


def out_object(output: str, data: Any) -> None:
    """Print an object as `--json` or `--jsonl`, in ASCII: it can be encoded anywhere, and controls no terminal."""
    out(json.dumps(data, indent=2 if output == "json" else None, allow_nan=False))


def rows(output: str, columns: Sequence[Column], found: Iterable[Row], *, document: Any = None) -> None:
    """Print objects as JSON, as a table, or to a pipe as lines of tab-separated values.

    Args:
        output: `json`, `jsonl`, or empty: for people.
        columns: The columns, in the order of the cells.
        found: The objects.
        document: What `--json` prints; by default, the list of objects.
    """
    if output == "json":
        out_object(output, [data for data, _ in found] if document is None else document)
    elif output == "jsonl":
        for data, _ in found:
            out_object(output, data)
    elif sys.stdout.isatty():
        from ._table import print_table

        print_table(columns, [cells for _, cells in found])
    else:
        out("\t".join(column.name for column in columns))
        for _, cells in found:
            out("\t".join(map(line, cells)))


def _duration(seconds: float) -> str:
    """Return a duration in a unit that fits."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


@contextmanager
def progress(what: str) -> Generator[OnProgress | None]:
    """Show a progress bar with the traces read, the rate and the time left, or why and for how long the server waits.

    Yields:
        A function for `on_progress`; None if stderr does not take a progress bar.
    """
    if not is_coloured(sys.stderr):
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bar

    columns = TextColumn("{task.description}"), BarColumn(20), MofNCompleteColumn(), TextColumn("{task.fields[status]}")
    console = Console(stderr=True, no_color=False, force_terminal=True)
    bar = Bar(*columns, console=console, transient=True)
    task = bar.add_task(what, total=None, status="")
    started = time.monotonic()

    def show(state: Progress) -> None:
        rate = state.done / max(time.monotonic() - started, 1e-3)
        status = f"{rate:,.0f}/s"
        if state.waiting is not None:
            status = f"waiting {state.waiting:.0f} s: rate limited"
        elif state.done:
            status += f", {_duration((state.total - state.done) / rate)} left"
        bar.update(task, completed=state.done, total=state.total, status=status)

    with bar:
        yield show

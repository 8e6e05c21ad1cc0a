"""What is printed: data on stdout, all else on stderr.

Text of the API may hold anything. Whatever is printed for people goes through `escape`, so that none of it moves the
cursor, colours the screen or turns the writing direction. Rich is loaded when a terminal is to see a table or a tree.
"""

from __future__ import annotations

import difflib
import json
import os
import sys
import time
import unicodedata
from collections.abc import Callable, Container, Generator, Iterable
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TextIO

import click

from .._errors import printable

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from .._progress import Progress

Row = tuple[dict[str, Any], list[str]]
"""What a program gets, and the cells that people see."""

DIFF_COLOURS = {"+": "green", "-": "red", "@": "cyan"}


def escape(text: str) -> str:
    """`text` with everything escaped that a terminal could obey; lines, tabs and the spaces of any script stay."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in "\n\t" or unicodedata.category(char) == "Zs" else _escaped(char)
        for char in text
    )


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode()


def line(text: str) -> str:
    """`text` on one line, as much of it as a person reads in a table."""
    return escape(text[:500]).replace("\n", "\\n").replace("\t", "\\t")


def pretty(value: Any) -> str:
    """JSON as people read it: text as it is, the rest indented."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)


def moment(when: datetime) -> str:
    return when.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def is_coloured(stream: TextIO) -> bool:
    """Whether a stream takes colours and progress."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def style(text: str, colour: str | None = None, *, bold: bool = False, stream: TextIO | None = None) -> str:
    return click.style(text, fg=colour, bold=bold or None) if is_coloured(stream or sys.stdout) else text


def out(text: str) -> None:
    sys.stdout.write(text + "\n")


def note(text: str) -> None:
    """Say something that is no data."""
    sys.stderr.write(escape(text) + "\n")


def complain(text: str) -> None:
    note(f"artanis: {printable(text)}")


def out_json(data: Any, *, indent: int | None = 2) -> None:
    # ASCII alone: it is the same in every encoding, and holds nothing that a terminal would obey.
    out(json.dumps(data, indent=indent))


def out_object(output: str, data: Any) -> None:
    """Print one object, as `--json` or `--jsonl` asks for it."""
    out_json(data, indent=2 if output == "json" else None)


def render(what: RenderableType) -> None:
    """Print something of rich on stdout; to a pipe with lines as long as they are, and no colours."""
    from rich.console import Console

    console = Console(
        file=sys.stdout,
        color_system="auto" if is_coloured(sys.stdout) else None,
        no_color=False,  # said by the line above; older versions take an empty NO_COLOR for one
        force_terminal=sys.stdout.isatty(),
        force_jupyter=False,
        width=None if sys.stdout.isatty() else 1_000_000,
        markup=False,
        emoji=False,
        highlight=False,
    )
    if sys.stdout.isatty():
        console.print(what)
        return
    with console.capture() as captured:
        console.print(what)
    for text in captured.get().removesuffix("\n").split("\n"):
        out(text.rstrip())


def rows(output: str, header: list[str], found: Iterable[Row], numbers: Container[str] = ()) -> None:
    """Print objects: as a table, whose last column gives way; in a pipe as lines with tabs; or as JSON.

    Columns whose names are in `numbers` are aligned to the right.
    """
    if output == "json":
        out_json([data for data, _ in found])
    elif output == "jsonl":
        for data, _ in found:
            out_json(data, indent=None)
    elif sys.stdout.isatty():
        _table(header, found, numbers)
    else:
        out("\t".join(header))
        for _, cells in found:
            out("\t".join(map(line, cells)))


def _table(header: list[str], found: Iterable[Row], numbers: Container[str]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in header:
        table.add_column(name, no_wrap=name != header[-1], justify="right" if name in numbers else "left")
    for _, cells in found:
        table.add_row(*(Text(line(cell), no_wrap=True, overflow="ellipsis") for cell in cells))
    render(table)


def diff(before: Any, after: Any) -> Text:
    """What turns one JSON value into another, line by line, in colours."""
    from rich.text import Text

    # Text against text is compared as such, and text against anything else as JSON: "1" is not 1.
    is_text = isinstance(before, str) and isinstance(after, str)
    old, new = (
        pretty(value) if is_text else json.dumps(value, ensure_ascii=False, indent=2) for value in (before, after)
    )
    # The two lines of the heading have no names to say.
    changes = list(difflib.unified_diff(old.split("\n"), new.split("\n"), lineterm=""))[2:]
    return Text("\n").join(Text(escape(change), DIFF_COLOURS.get(change[0], "")) for change in changes)


@contextmanager
def progress(what: str) -> Generator[Callable[[Progress], object] | None]:
    """What shows how far a long work is, with its rate and the time that is left; None where nobody would see it."""
    if not is_coloured(sys.stderr):
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}")
    console = Console(stderr=True, no_color=False, force_terminal=True, force_jupyter=False)
    bar = Bar(*columns, TimeRemainingColumn(), console=console, transient=True)
    task = bar.add_task(what, total=None, rate="")
    started = time.monotonic()

    def show(state: Progress) -> None:
        rate = state.done / max(time.monotonic() - started, 1e-3)
        bar.update(task, completed=state.done, total=state.total, rate=f"{rate:,.0f}/s")

    with bar:
        yield show

"""Tables for a terminal, however narrow. Imported only when needed, because Rich is slow to import."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence

from rich.cells import cell_len, set_cell_size

from ._output import Column, line, note, out, style

_GAP = "  "
# What gives way first, and the width that it keeps: a few words, the first part of a UUID, and what tells names apart.
_GIVES_WAY = (("text", 10), ("id", 9), ("name", 8), ("text", 6))
_LONGEST = 1000  # characters of a cell to look at: more than any terminal shows


def print_table(columns: Sequence[Column], found: list[list[str]]) -> None:
    """Print a table that fits the terminal. Numbers are whole; a note names the columns that had no room."""
    cells = [[column.name for column in columns], *([_encodable(cell) for cell in row] for row in found)]
    natural = [max(map(cell_len, column)) for column in zip(*cells, strict=True)]
    widths = _fit(columns, natural, shutil.get_terminal_size().columns)
    last = max(widths)
    for number, row in enumerate(cells):
        parts = [_pad(row[n], widths[n], columns[n], is_last=n == last) for n in sorted(widths)]
        out(style(_GAP.join(parts), bold=not number).rstrip())
    if left_out := [column.name for n, column in enumerate(columns) if n not in widths]:
        note(f"Not shown, because the terminal is narrow: {', '.join(left_out)}. --json shows all.")


def _fit(columns: Sequence[Column], natural: list[int], room: int) -> dict[int, int]:
    """Return the width of each column that is shown, by its position."""
    shown = [*range(len(columns))]
    while True:
        widths = {n: natural[n] for n in shown}
        excess = sum(widths.values()) + len(_GAP) * (len(shown) - 1) - room
        for kind, least in _GIVES_WAY:
            while excess > 0 and (wide := [n for n in shown if columns[n].kind == kind and widths[n] > least]):
                widths[max(wide, key=widths.__getitem__)] -= 1
                excess -= 1
        if excess <= 0 or len(shown) == 1:
            return widths
        shown.remove(max(shown, key=lambda n: (columns[n].rank, n)))


def _encodable(cell: str) -> str:
    """Return a cell on one line, with what stdout cannot encode escaped, as it will be printed."""
    encoding = sys.stdout.encoding
    return line(cell[:_LONGEST]).encode(encoding, "backslashreplace").decode(encoding)


def _pad(text: str, width: int, column: Column, *, is_last: bool) -> str:
    size = cell_len(text)
    if size > width:
        ellipsis = "…".encode(sys.stdout.encoding, "ignore").decode(sys.stdout.encoding) or "~"
        return set_cell_size(text, width - 1) + ellipsis
    if column.kind == "number":
        return " " * (width - size) + text
    return text if is_last else text + " " * (width - size)

"""Evaluation examples as Arrow tables and Parquet files. Needs the extra `parquet`."""

# pyright: reportUnknownMemberType=false
# The type stubs of pyarrow have gaps.

from __future__ import annotations

import io
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, Any

import attrs

from ._examples import TIMES, EvaluationExample, format_time
from ._formats import format_json, to_cell

try:
    import pyarrow
    import pyarrow.json
    import pyarrow.parquet
except ImportError as error:
    raise ImportError("Parquet and Arrow need pyarrow: pip install 'artanis-client[parquet]'") from error

MAX_ROWS = 10_000
MAX_BYTES = 16 * 1024 * 1024
"""How many rows, and bytes of them, are kept in memory before they become a row group or a chunk of a table."""


def _type_of(name: str) -> Any:
    if name == "feedback":
        return pyarrow.list_(pyarrow.string())
    return pyarrow.timestamp("us", tz="UTC") if name in TIMES else pyarrow.string()


SCHEMA: Any = pyarrow.schema([(field.name, _type_of(field.name)) for field in attrs.fields(EvaluationExample)])
_WITHOUT_ZONE: Any = pyarrow.schema(
    [field.with_type(pyarrow.timestamp("us")) if field.name in TIMES else field for field in SCHEMA]
)


class Rows:
    """Collects rows as `format_row` returns them, and passes them on as tables."""

    def __init__(self, pass_on: Callable[[Any], object]) -> None:
        self._pass_on = pass_on
        self._text = io.BytesIO()
        self._count = 0

    def write(self, rows: bytes) -> None:
        """Add rows; if there are enough then, pass them on."""
        self._text.write(rows)
        self._count += rows.count(b"\n")
        if self._count >= MAX_ROWS or self._text.tell() >= MAX_BYTES:
            self.flush()

    def flush(self) -> None:
        """Pass on the rows collected so far."""
        if self._count:
            text, self._text, self._count = self._text.getvalue(), io.BytesIO(), 0
            # A row must fit into a block, and rows are few enough to need no threads.
            reading = pyarrow.json.ReadOptions(use_threads=False, block_size=len(text))
            parsing = pyarrow.json.ParseOptions(explicit_schema=SCHEMA, unexpected_field_behavior="error")
            self._pass_on(pyarrow.json.read_json(io.BytesIO(text), reading, parsing))


@contextmanager
def parquet_writer(file: IO[bytes]) -> Generator[Rows]:
    """Yield what writes rows to a Parquet file; leaving the block completes the file."""
    with pyarrow.parquet.ParquetWriter(file, SCHEMA, compression="zstd") as writer:
        rows = Rows(writer.write_table)
        yield rows
        rows.flush()


def read_rows(path: Path) -> Iterator[str]:
    """Yield the rows of a Parquet file, as `format_row` returned them."""
    with pyarrow.parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(MAX_ROWS // 10):
            for row in batch.cast(_WITHOUT_ZONE).to_pylist():  # with one, pyarrow needs the database of time zones
                yield format_json(row | {name: format_time(row[name]) for name in TIMES}) + "\n"


def make_table(examples: Iterable[EvaluationExample]) -> pyarrow.Table:
    """Return what `to_arrow` returns."""
    rest, tables = iter(examples), list[pyarrow.Table]()
    while chunk := [*islice(rest, MAX_ROWS)]:
        columns = {name: [*_cells(name, chunk)] for name in SCHEMA.names}
        tables.append(pyarrow.Table.from_pydict(columns, schema=SCHEMA))
    return pyarrow.concat_tables(tables) if tables else SCHEMA.empty_table()


def _cells(name: str, examples: Iterable[EvaluationExample]) -> Iterator[Any]:
    previous = cell = None
    for example in examples:
        value = getattr(example, name)
        if value is not previous:  # the spans of a trace share what is said of the trace
            previous, cell = value, to_cell(name, value)
        yield cell

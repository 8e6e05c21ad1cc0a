"""`to_arrow`. It can be imported without pyarrow, so that `from artanis_client import *` works without the extra."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

from ._examples import EvaluationExample

if TYPE_CHECKING:
    import pyarrow
else:
    with suppress(ImportError):
        import pyarrow  # for those who read the type hints at run time


def to_arrow(examples: Iterable[EvaluationExample]) -> pyarrow.Table:
    """Return examples as an Arrow table, which pandas, polars, DuckDB and datasets can read.

    It has the columns of the format parquet of `export`: `input`, `output`, `approved_output`, `metadata` and
    `trace_metadata` are JSON text, or null for a JSON null; `feedback` is a list of strings; times are timestamps in
    UTC; all others are strings.

    Raises:
        ImportError: If pyarrow is not installed; the extra `parquet` includes it.
        ValueError: If a value contains NaN or an infinity, which JSON lacks.
    """
    from ._parquet import make_table

    return make_table(examples)

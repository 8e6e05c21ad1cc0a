"""A Spark data source for one Artanis project: its spans, traces and feedback as typed rows.

    spark.dataSource.register(ArtanisDataSource)
    spark.read.format("artanis").option("project", "my-project").load()

The driver lists the ids, and each task reads the traces of its share. Driver and workers find the API key themselves
(environment, profile): an option would end up in plans and logs.
"""

from __future__ import annotations

import itertools
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, cast

import orjson
import pyarrow as pa
from pyspark.sql.datasource import DataSource, DataSourceReader, InputPartition, SimpleDataSourceStreamReader
from pyspark.sql.types import StructType

from artanis_client import Artanis, Progress, examples, models

BATCH = 500  # rows that Spark gets together

_log = logging.getLogger("artanis_spark")

Row = dict[str, Any]

# Free-form JSON is text that contains JSON: `parse_json(output)`. Fields that are not in the contract are kept in
# `additional_properties`.
COLUMNS: dict[str, dict[str, str]] = {
    "spans": {
        "id": "string",
        "trace_id": "string",
        "parent_span_id": "string",
        "step_id": "string",
        "prompt_version_id": "string",
        "input": "json",
        "output": "json",
        "approved_output": "json",
        "outcome": "string",
        "feedback": "array<string>",
        "metadata": "json",
        "created_at": "timestamp",
        "additional_properties": "json",
    },
    "traces": {
        "id": "string",
        "status": "string",
        "metadata": "json",
        "created_at": "timestamp",
        "updated_at": "timestamp",
        "additional_properties": "json",
    },
    "feedback": {
        "id": "string",
        "trace_id": "string",
        "span_id": "string",
        "user_id": "string",
        "content": "string",
        "created_at": "timestamp",
        "additional_properties": "json",
    },
}

_ARROW_TYPES: dict[str, pa.DataType] = {
    "string": pa.string(),
    "json": pa.string(),
    "timestamp": pa.timestamp("us", tz="UTC"),
    "array<string>": pa.list_(pa.field("element", pa.string())),
}


class Options:
    """The options of a DataFrame, checked.

    Args:
        given: What the user passed to `option()`:

            - `project`: Slug of the project (default: the one that the client finds).
            - `profile`: Section of the client's configuration file to use.
            - `table`: `spans`, `traces` or `feedback` (default: `spans`).
            - `since`, `until`: Read only traces that were created in this period, as for `client.traces.list`.
            - `requests_in_flight`: Maximum number of requests in flight, of all tasks together (default: 16).
            - `parallel_tasks`: How many tasks can run at once: the cores of all executors (default: as many as there
              are partitions, of which there are then at most a quarter of `requests_in_flight`).
            - `partition_size`: The number of traces that a task reads (default: 1000).
            - `review_window_days`, `overlap_hours`: Of a stream, as in the warehouse recipe (default: 30 and 24).
            - `max_traces`: How many new traces a batch of a stream reads (default: 5000).

    Raises:
        ValueError: If an option is unknown, or has an invalid value.
    """

    def __init__(self, given: Mapping[str, str]) -> None:
        names = {"project", "profile", "table", "since", "until", *_NUMBERS}
        if unknown := sorted({name.lower() for name in given} - names):
            raise ValueError(
                f"Unknown option: {', '.join(unknown)}. The options are {', '.join(sorted(names))}. The API key is"
                " never an option, because Spark writes options into plans and logs: set ARTANIS_API_KEY on the driver"
                " and on each worker."
            )
        self.table = given.get("table", "spans")
        if self.table not in COLUMNS:
            raise ValueError(f"table must be one of {', '.join(COLUMNS)}, not {self.table!r}.")
        self.period = {name: given[name] for name in ("since", "until") if name in given}
        numbers = {name: _number(given, name, default) for name, default in _NUMBERS.items()}
        self.requests_in_flight, self.parallel_tasks = numbers["requests_in_flight"], numbers["parallel_tasks"]
        self.partition_size, self.max_traces = numbers["partition_size"], numbers["max_traces"]
        self.window = timedelta(days=numbers["review_window_days"])
        self.overlap = timedelta(hours=numbers["overlap_hours"])
        self.project, self.profile = given.get("project"), given.get("profile")

    def client(self, requests_in_flight: int = 1) -> Artanis:
        """Return a client that finds its key where it runs."""
        # Retry more often than usual: one request that keeps failing wastes the thousands before it in the task.
        return Artanis(
            project_slug=self.project, profile=self.profile, max_retries=5, max_connections=requests_in_flight
        )

    def split(self, ids: list[str], scope: dict[str, str]) -> list[Share]:
        """Divide the traces of a client's scope, and the requests in flight, among the tasks."""
        count = max(1, -(-len(ids) // self.partition_size))
        if not self.parallel_tasks:
            count = min(count, max(1, self.requests_in_flight // 4))
        at_once = min(count, self.parallel_tasks or count)
        if at_once > self.requests_in_flight:
            count = at_once = self.requests_in_flight
        ends = [number * len(ids) // count for number in range(count + 1)]
        each = self.requests_in_flight // at_once
        return [Share(ids[start:end], each, scope) for start, end in itertools.pairwise(ends)]


_NUMBERS = {
    "requests_in_flight": 16,
    "parallel_tasks": 0,  # all partitions may run at once
    "partition_size": 1000,
    "review_window_days": 30,
    "overlap_hours": 24,
    "max_traces": 5000,
}
"""The options that are numbers, and their defaults."""


def _number(given: Mapping[str, str], name: str, default: int) -> int:
    text = given.get(name, str(default))
    if name in given and not (text.isascii() and text.isdigit() and int(text)):
        raise ValueError(f"{name} must be an integer of at least 1, not {text!r}.")
    return int(text)


class Share(InputPartition):
    """The traces that one task reads, how many requests it may have in flight, and the scope that the ids are from."""

    def __init__(self, trace_ids: list[str], requests_in_flight: int, scope: dict[str, str]) -> None:
        super().__init__(None)
        self.trace_ids = trace_ids
        self.requests_in_flight = requests_in_flight
        self.scope = scope


class ArtanisDataSource(DataSource):
    """The format `artanis`; for its options, see `Options`."""

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self._checked = Options(options)

    @classmethod
    def name(cls) -> str:
        """Return the name of the format."""
        return "artanis"

    def schema(self) -> str:
        """Return the columns of the table."""
        columns = COLUMNS[self._checked.table]
        return ", ".join(f"{name} {'string' if kind == 'json' else kind}" for name, kind in columns.items())

    def reader(self, schema: StructType) -> DataSourceReader:  # noqa: ARG002 - a part of the interface
        """Return a reader for `spark.read`."""
        return ArtanisReader(self._checked)

    def simpleStreamReader(self, schema: StructType) -> SimpleDataSourceStreamReader:  # noqa: ARG002
        """Return a reader for `spark.readStream`."""
        return ArtanisStreamReader(self._checked)


class ArtanisReader(DataSourceReader):
    """Lists the ids on the driver, and reads the traces in tasks."""

    def __init__(self, options: Options) -> None:
        self._options = options

    def partitions(self) -> Sequence[InputPartition]:
        """Divide the traces among the tasks."""
        with self._options.client() as client:
            return self._options.split(client.traces.ids(**self._options.period), client.scope)

    def read(self, partition: InputPartition) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a partition."""
        share = cast(Share, partition)
        table = self._options.table
        kinds = {name: _ARROW_TYPES[kind] for name, kind in COLUMNS[table].items()}
        schema = pa.schema([pa.field(name, kind) for name, kind in kinds.items()])
        rows: list[Row] = []
        for detail in read_traces(self._options, share):
            rows += rows_of(table, detail)
            while len(rows) >= BATCH:
                yield pa.RecordBatch.from_pylist(rows[:BATCH], schema=schema)
                del rows[:BATCH]
        if rows:
            yield pa.RecordBatch.from_pylist(rows, schema=schema)


class ArtanisStreamReader(SimpleDataSourceStreamReader):
    """Reads new traces, and unreviewed ones again, on the driver: only their content shows what has been reviewed.

    The offset holds the ids and digests of the unreviewed traces, and the ids of the batch that ends there.
    """

    def __init__(self, options: Options) -> None:
        self._options = options

    def initialOffset(self) -> dict[str, Any]:
        """Return the offset before the first trace."""
        return {"batch": [], "scope": {}, "state": {}}

    def read(self, start: dict[str, Any]) -> tuple[Iterator[tuple[Any, ...]], dict[str, Any]]:
        """Return the rows of the traces that are new or have changed, and the offset after them."""
        import changes  # of the warehouse recipe: batches do not need it

        options, state = self._options, _times(start["state"], datetime.fromisoformat)
        with options.client(options.requests_in_flight) as client:
            scope = client.scope
            if start["scope"] not in ({}, scope):
                raise ValueError(f"The checkpoint is from {start['scope']}. Stream {scope} with another checkpoint.")
            created = {trace.id: trace.created_at for trace in client.traces.list(**options.period)}
            new, again = changes.plan(state, created, options.window, options.overlap)
            trace_ids = [*new[: options.max_traces], *again]
            page = list(changes.read(client, trace_ids, created, again, options.requests_in_flight))
        changed = [detail for detail, _ in changes.remember(state, page, options.window, options.overlap)]
        rows = [tuple(row.values()) for detail in changed for row in rows_of(options.table, detail)]
        after = _times(state, datetime.isoformat)
        if not page or after == start["state"]:
            return iter([]), start
        return iter(rows), {"batch": [detail.id for detail in changed], "scope": scope, "state": after}

    def readBetweenOffsets(self, start: dict[str, Any], end: dict[str, Any]) -> Iterator[tuple[Any, ...]]:  # noqa: ARG002
        """Read the traces of a batch again, after a failure."""
        for detail in read_traces(self._options, Share(end["batch"], self._options.requests_in_flight, end["scope"])):
            yield from (tuple(row.values()) for row in rows_of(self._options.table, detail))


def _times(state: dict[str, Any], convert: Callable[[Any], Any]) -> dict[str, Any]:
    """Return a copy of the state of a stream with other times: datetimes for `changes`, text for the offset."""
    if not state:
        return {}
    recent = {trace_id: convert(moment) for trace_id, moment in state["recent"].items()}
    return {"newest": state["newest"] and convert(state["newest"]), "recent": recent, "open": dict(state["open"])}


def read_traces(options: Options, share: Share) -> Iterator[models.TraceDetail]:
    """Yield the traces of a share. Log how many are gone or do not match the contract."""
    skipped = 0

    def count(progress: Progress) -> None:
        nonlocal skipped
        skipped = progress.skipped

    with options.client(share.requests_in_flight) as client:
        for name in ("base_url", "org_slug"):
            if client.scope[name] != share.scope[name]:  # every trace would seem to be gone
                raise ValueError(
                    f"The driver has {name} {share.scope[name]}, but a worker has {client.scope[name]}. Give them the"
                    " same environment."
                )
        yield from client.traces.iter(
            trace_ids=share.trace_ids, concurrency=share.requests_in_flight, on_error="skip", on_progress=count
        )
    if skipped:
        _log.warning("Skipped %s of %s traces.", skipped, len(share.trace_ids))


# Rows


def rows_of(table: str, trace: models.TraceDetail) -> list[Row]:
    """Return the rows that a trace has in a table."""
    if table == "traces":
        return [_row(table, trace)]
    if table == "feedback":
        return [_row(table, comment, trace_id=trace.id) for comment in trace.feedback]
    return [
        _row(
            table,
            span,
            trace_id=trace.id,
            input=span.input_,
            prompt_version_id=span.prompt_version_id or None,
            outcome=example.outcome.value,
            feedback=[_text(comment) for comment in example.feedback],
        )
        for span, example in zip(trace.spans, examples(trace), strict=True)
    ]


def _row(table: str, item: Any, **others: Any) -> Row:
    """Return the row of an object: for each column the value in `others`, or else the field of the same name."""
    row: Row = {}
    for column, kind in COLUMNS[table].items():
        value = others[column] if column in others else getattr(item, column)
        if column == "additional_properties":
            value = value or None
        row[column] = _json(value) if kind == "json" else _text(value) if isinstance(value, str) else value
    return row


def _json(value: Any) -> str | None:
    if value is None:
        return None
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # an integer of 30 digits, half a surrogate pair, or deep nesting
        return json.dumps(value)


def _text(text: str) -> str:
    """Replace unpaired surrogates, which JSON allows but UTF-8 does not."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()

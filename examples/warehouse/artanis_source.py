"""A dlt source for one Artanis project: its prompts, its traces and their reviews.

The API always lists all traces and cannot filter by change: a review does not change `updatedAt`. So a run reads the
list once, then the new traces and those with spans that were not reviewed yet. dlt stores which traces those are in the
state of the source, together with the data.

The client finds the API key and the organization itself (environment, profile); they are never passed to dlt.
"""

import json
import logging
import threading
from collections.abc import Callable, Generator, Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import dlt
import orjson
from dlt.common.destination import TLoaderFileFormat
from dlt.common.pipeline import SupportsPipeline
from dlt.extract import DltResource

from artanis_client import (
    APIResponseValidationError,
    Artanis,
    ArtanisError,
    NotFoundError,
    Outcome,
    examples,
    models,
)
from changes import Changed, Read, digest, plan, read, remember

PAGE = 500  # traces that dlt processes together

_log = logging.getLogger("artanis_source")

Row = dict[str, Any]
Free = Callable[[Any], str | None]


# Lists every column, so that each exists from the first run, even if it is still empty. Fields that are not in the
# contract go into `additional_properties`: if they had separate columns and changed their type, dlt would coerce their
# values, or every later load would fail.
_COLUMNS: dict[str, dict[str, str]] = {
    "prompts": {
        "id": "key",
        "step_id": "text",
        "content": "text",
        "output_schema": "json",
        "created_at": "timestamp",
        "updated_at": "timestamp",
        "additional_properties": "json",
    },
    "prompt_versions": {
        "id": "key",
        "prompt_id": "group",
        "step_id": "text",
        "content": "text",
        "is_active": "bool",
        "created_at": "timestamp",
        "additional_properties": "json",
    },
    "traces": {
        "id": "key",
        "status": "text",
        "metadata": "json",
        "created_at": "timestamp",
        "updated_at": "timestamp",
        "additional_properties": "json",
    },
    "spans": {
        "id": "key",
        "trace_id": "group",
        "parent_span_id": "text",
        "step_id": "text",
        "input": "json",
        "output": "json",
        "approved_output": "json",
        "prompt_version_id": "text",
        "metadata": "json",
        "created_at": "timestamp",
        "additional_properties": "json",
        "_deleted": "deleted",
    },
    "feedback": {
        "id": "key",
        "trace_id": "group",
        "span_id": "text",
        "user_id": "text",
        "content": "text",
        "created_at": "timestamp",
        "additional_properties": "json",
        "_deleted": "deleted",
    },
    "evaluation_examples": {
        "span_id": "key",
        "trace_id": "group",
        "step_id": "text",
        "prompt_version_id": "text",
        "input": "json",
        "output": "json",
        "approved_output": "json",
        "outcome": "text",
        "feedback": "json",
        "created_at": "timestamp",
        "_deleted": "deleted",
    },
}

_KINDS: dict[str, dict[str, Any]] = {
    "text": {"data_type": "text"},
    "json": {"data_type": "json"},
    "bool": {"data_type": "bool"},
    "timestamp": {"data_type": "timestamp", "timezone": True},
    "key": {"data_type": "text", "nullable": False, "primary_key": True},
    "group": {"data_type": "text", "merge_key": True},  # rows with the same value are replaced together
    "deleted": {"data_type": "bool", "hard_delete": True},  # makes dlt delete the row, so never true in the warehouse
}


PageReader = Callable[[], list[Read] | None]


@dlt.source(name="artanis", max_table_nesting=0)
def artanis(
    project_slug: str | None = None,
    profile: str | None = None,
    review_window_days: float = 30,
    overlap_hours: float = 24,
    concurrency: int = 16,
    file_format: TLoaderFileFormat | None = None,
) -> tuple[DltResource, ...]:
    """Read `prompts`, `prompt_versions`, `traces`, `spans`, `feedback` and `evaluation_examples` of a project.

    Args:
        project_slug: The project to read (default: the one that the client finds). A pipeline holds one project.
        profile: Section of the client's configuration file to use.
        review_window_days: Every run reads an unreviewed trace again until each of its spans has an approved output, or
            until this many days after the trace was created.
        overlap_hours: A trace that is up to this much older than the newest loaded trace still counts as new. Choose
            more than a trace ever takes to appear in the list.
        concurrency: Maximum number of requests in flight.
        file_format: Format of the files that dlt writes and the destination loads: "jsonl", "parquet" or
            "insert_values" (default: the best one for the pipeline's destination). Create the pipeline before the
            source.

    Raises:
        ValueError: If a time is negative, or if the destination cannot load this file format correctly.
    """
    if not (review_window_days >= 0 and overlap_hours >= 0):
        raise ValueError("review_window_days and overlap_hours must be at least 0.")
    window, overlap = timedelta(days=review_window_days), timedelta(hours=overlap_hours)

    def client() -> Artanis:
        # Retry more often than usual: one request that keeps failing wastes the thousands before it in the run.
        return Artanis(project_slug=project_slug, profile=profile, max_retries=5, max_connections=concurrency)

    def remembered(kind: str) -> dict[str, Any]:
        known: dict[str, Any] = dlt.current.source_state().setdefault(kind, {})
        return known

    loaded = _file_format(dlt.current.pipeline(), file_format)

    def table(name: str) -> dict[str, Any]:
        columns = {column: dict(_KINDS[kind]) for column, kind in _COLUMNS[name].items()}
        return {"columns": columns, "write_disposition": "merge", "file_format": loaded}

    free = _json if loaded == "jsonl" else _json_spelled

    @dlt.resource(selected=False)
    def prompt_histories() -> Iterator[tuple[models.Prompt, models.PromptHistory]]:
        known = remembered("prompts")
        with client() as artanis:
            _check_scope(artanis)
            for prompt in artanis.prompts.list():
                try:
                    history = artanis.prompts.get(prompt.id)
                except (NotFoundError, APIResponseValidationError) as error:
                    _log.warning("Skipping prompt %s: %s", prompt.id, error)
                    continue
                if known.get(prompt.id) != (found := digest(prompt, history)):
                    known[prompt.id] = found
                    yield prompt, history

    @dlt.transformer(data_from=prompt_histories, **table("prompts"))
    def prompts(item: tuple[models.Prompt, models.PromptHistory]) -> Row:
        prompt, _ = item
        return _row("prompts", prompt, free)

    @dlt.transformer(data_from=prompt_histories, **table("prompt_versions"))
    def prompt_versions(item: tuple[models.Prompt, models.PromptHistory]) -> Any:
        _, history = item
        return [
            _row("prompt_versions", version, free, prompt_id=history.id, step_id=history.step_id)
            for version in history.versions
        ] or dlt.mark.materialize_table_schema()

    @dlt.resource(selected=False)
    def trace_pages() -> Iterator[PageReader | None]:
        yield from _in_background(read_pages())

    def read_pages() -> Generator[list[Read]]:
        state = remembered("traces")
        with client() as artanis:
            _check_scope(artanis)
            created = {trace.id: trace.created_at for trace in artanis.traces.list()}
            new, again = plan(state, created, window, overlap)
            page: list[Read] = []

            for one in read(artanis, [*new, *again], created, again, concurrency):
                page.append(one)
                if len(page) >= PAGE:
                    yield page.copy()
                    page.clear()
            if page or not state:
                yield page

    # A separate step, so that `add_limit` on the pages cannot stop a run between recording a page and writing it.
    @dlt.transformer(data_from=trace_pages, selected=False)
    def trace_details(page: list[Read]) -> list[Changed] | None:
        state = remembered("traces")
        is_first = not state
        changed = remember(state, page, window, overlap)
        return changed if changed or is_first else None

    @dlt.transformer(data_from=trace_details, **table("traces"))
    def traces(page: list[Changed]) -> Any:
        return _rows(page, "id", _trace_rows, free)

    @dlt.transformer(data_from=trace_details, **table("spans"))
    def spans(page: list[Changed]) -> Any:
        return _rows(page, "id", _span_rows, free)

    @dlt.transformer(data_from=trace_details, **table("feedback"))
    def feedback(page: list[Changed]) -> Any:
        return _rows(page, "id", _feedback_rows, free)

    @dlt.transformer(data_from=trace_details, **table("evaluation_examples"))
    def evaluation_examples(page: list[Changed]) -> Any:
        return _rows(page, "span_id", _example_rows, free)

    return (
        *(prompt_histories, prompts, prompt_versions),
        *(trace_pages, trace_details, traces, spans, feedback, evaluation_examples),
    )


def _check_scope(client: Artanis) -> None:
    """Record what the pipeline holds, or raise ArtanisError if it already holds something else."""
    url = urlsplit(client.scope["base_url"])
    scope = client.scope | {"base_url": url.netloc.lower() + url.path}
    # Not in the state of the source, which a full refresh discards: it would replace one project by another.
    held = dlt.current.source_state("artanis_scope").setdefault("scope", scope)
    if held != scope:
        raise ArtanisError(
            f"This pipeline already holds {_describe(**held)}. Load {_describe(**scope)} with another pipeline, into"
            " another dataset."
        )


def _describe(base_url: str, org_slug: str, project_slug: str = "", project_id: str = "") -> str:
    return f"project {project_slug or project_id} of organization {org_slug} at {base_url}"


def _file_format(pipeline: SupportsPipeline, chosen: TLoaderFileFormat | None) -> TLoaderFileFormat:
    """Choose the destination's preferred format, but Parquet instead of SQL, which takes DuckDB 15 times as long."""
    preferred = pipeline.destination.capabilities().preferred_loader_file_format
    if chosen == "jsonl" and preferred == "insert_values":
        raise ValueError("This destination guesses types in JSON Lines. Use file format parquet or insert_values.")
    if chosen:
        return chosen
    return "parquet" if preferred in ("insert_values", None) else preferred


def _in_background(pages: Generator[list[Read]]) -> Iterator[PageReader | None]:
    """Read each page in one of dlt's threads, while dlt processes the previous page.

    `parallelized=True` would do the same, but does not work with `add_limit`: when the limit is reached, dlt closes the
    generator without waiting for the thread that runs it, and the run fails ("generator already executing").
    """
    lock = threading.Lock()
    is_busy = is_done = False

    def read_page() -> list[Read] | None:
        nonlocal is_busy, is_done
        with lock:
            page = next(pages, None)
            is_busy, is_done = False, page is None
        return page

    try:
        while not is_done:
            if is_busy:
                yield None  # not ready: dlt does something else, then asks again
            else:
                is_busy = True
                yield read_page
    finally:
        with lock:
            pages.close()


# Rows


def _rows(page: list[Changed], key: str, rows_of: Callable[[models.TraceDetail, Free], list[Row]], free: Free) -> Any:
    """Return the rows of a page; for a trace that no longer has any, add a row that makes dlt delete the old ones."""
    rows = []
    for trace, again in page:
        found = rows_of(trace, free)
        if not found and again:
            found = [{key: trace.id, "trace_id": trace.id, "_deleted": True}]
        rows += found
    return rows or dlt.mark.materialize_table_schema()


def _trace_rows(trace: models.TraceDetail, free: Free) -> list[Row]:
    return [_row("traces", trace, free)]


def _span_rows(trace: models.TraceDetail, free: Free) -> list[Row]:
    return [
        _row(
            "spans", span, free, trace_id=trace.id, input=span.input_, prompt_version_id=span.prompt_version_id or None
        )
        for span in trace.spans
    ]


def _feedback_rows(trace: models.TraceDetail, free: Free) -> list[Row]:
    return [_row("feedback", comment, free, trace_id=trace.id) for comment in trace.feedback]


def _example_rows(trace: models.TraceDetail, free: Free) -> list[Row]:
    return [
        _row("evaluation_examples", example, free, outcome=example.outcome.value)
        for example in examples(trace, outcomes=(Outcome.ACCEPTED, Outcome.CORRECTED))
    ]


def _row(table: str, item: Any, free: Free, **others: Any) -> Row:
    """Return the row of an object: for each column the value in `others`, or else the field of the same name."""
    row: Row = {}
    for column, kind in _COLUMNS[table].items():
        if kind == "deleted":
            continue
        value = others[column] if column in others else getattr(item, column)
        if column == "additional_properties":
            value = value or None
        row[column] = free(value) if kind == "json" else _text(value) if isinstance(value, str) else value
    return row


def _json(value: Any) -> str | None:
    """Encode free-form JSON as text for dlt to parse; passed as it is, the text `"42"` would become a number."""
    if value is None:
        return None
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # Python can read it but orjson cannot write it, such as an integer of 30 digits
        text = _text(json.dumps(value, ensure_ascii=False))
    try:
        orjson.dumps(orjson.loads(text))
    except (TypeError, ValueError):  # nested too deeply for dlt
        return orjson.dumps(text).decode()
    return text


def _json_spelled(value: Any) -> str | None:
    """Encode JSON for file formats in which dlt writes text without quotes, which warehouses reject as JSON."""
    text = _json(value)
    return text if text is None or text[0] in "{[" else orjson.dumps(text).decode()


def _text(text: str) -> str:
    """Replace unpaired surrogates, which JSON allows but no warehouse accepts."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()

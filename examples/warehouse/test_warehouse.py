"""Test the recipe against local servers: every row arrives exactly once, and nothing is read twice needlessly."""

from __future__ import annotations

import json
import os
import random
import re
import runpy
import shutil
import signal
import subprocess
import sys
import threading
import time
import tomllib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dlt
import duckdb
import httpx
import pytest
from dlt.extract import DltSource
from dlt.pipeline.exceptions import PipelineStepFailed

from artanis_client import Artanis, examples, outcome
from artanis_client.sandbox import Sandbox
from artanis_source import _COLUMNS, artanis
from load import dataset_name, load, main
from support import IS_SLOW, KEY, LIMIT, NOW, PROMPT, Answer, Request, Server, span, trace

HERE = Path(__file__).parent
EVERYTHING = 36500
"""A review window, in days, that covers every trace in the sandbox; they date from spring 2026."""
HANG = 300.0
"""Timeout in seconds that a command exceeds only if it hangs, even on a busy computer."""

slow = pytest.mark.skipif(not IS_SLOW, reason="takes minutes: make slow")
"""Marks tests that start many processes, and tests that repeat the cases of a faster test one at a time."""

TRACES = 30
"""The default number of traces in the sandbox."""

TABLES = ["prompts", "prompt_versions", "traces", "spans", "feedback", "evaluation_examples"]


class Warehouse:
    """A DuckDB file and the pipeline that loads it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "warehouse.duckdb"
        self.dataset = "artanis"

    def pipeline(self) -> dlt.Pipeline:
        destination = dlt.destinations.duckdb(str(self.path))
        return dlt.pipeline(
            "artanis", pipelines_dir=str(self.folder / "dlt"), destination=destination, dataset_name=self.dataset
        )

    def run(
        self,
        source: Callable[[], DltSource] | None = None,
        *,
        full_refresh: bool = False,
        tables: list[str] | None = None,
        **options: Any,
    ) -> bool:
        """Load the given tables (fewer are faster) or all, and return whether dlt loaded anything."""
        pipeline = self.pipeline()
        made = source() if source else artanis(**{"review_window_days": EVERYTHING, **options})
        info = load(pipeline, made.with_resources(*tables) if tables else made, full_refresh=full_refresh)
        return bool(info and info.loads_ids)

    def query(self, sql: str) -> list[dict[str, Any]]:
        with duckdb.connect(str(self.path), read_only=True) as connection:
            connection.execute("SET timezone = 'UTC'")
            connection.execute(f"USE {self.dataset}")
            found = connection.execute(sql)
            names = [column[0] for column in found.description]
            return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Return the rows as JSON, sorted by key and without dlt's columns."""
        columns = {row["column_name"]: row["column_type"] for row in self.query(f"DESCRIBE {table}")}
        found = []
        for row in self.query(f"SELECT * FROM {table}"):
            for name, kind in columns.items():
                if row[name] is not None and kind == "JSON":
                    row[name] = json.loads(row[name])
                elif isinstance(row[name], datetime):
                    row[name] = iso(row[name])
            found.append({name: value for name, value in row.items() if name[:4] != "_dlt" and name != "_deleted"})
        return sorted(found, key=lambda row: str(row.get("id") or row.get("span_id")))

    def ids(self, table: str = "traces") -> list[str]:
        return [row["id"] for row in self.query(f"SELECT id FROM {table} ORDER BY id")]

    def counts(self) -> dict[str, int]:
        """Return the number of rows in each table, including dlt's internal tables."""
        schema = f"table_schema = '{self.dataset}'"
        tables = self.query(f"SELECT table_name AS name FROM information_schema.tables WHERE {schema}")
        count = " UNION ALL ".join(
            f"SELECT '{one['name']}' AS name, count(*) AS n FROM {one['name']}" for one in tables
        )
        return {row["name"]: row["n"] for row in self.query(count)}


def iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def held_by(sandbox: Sandbox) -> dict[str, list[dict[str, Any]]]:
    """Compute, without the client, the rows that a sandbox's responses should produce."""
    headers = {"x-api-key": sandbox.api_key, "x-org-slug": sandbox.org_slug}
    with httpx.Client(base_url=sandbox.base_url, headers=headers, timeout=60) as http:

        def get(path: str) -> Any:
            return http.get(path).raise_for_status().json()

        prompts = get(f"/api/prompts?projectSlug={sandbox.project_slug}")["prompts"]
        histories = [get(f"/api/prompts/{prompt['id']}") for prompt in prompts]
        listed = get(f"/api/traces?projectSlug={sandbox.project_slug}")["traces"]
        details = [get(f"/api/traces/{one['id']}") for one in listed]
    return expected(prompts, histories, details)


def expected(
    prompts: list[dict[str, Any]], histories: list[dict[str, Any]], details: list[dict[str, Any]]
) -> dict[str, list[dict[str, Any]]]:
    rows: dict[str, list[dict[str, Any]]] = {table: [] for table in TABLES}
    rows["prompts"] = [row_of("prompts", prompt) for prompt in prompts]
    for history in histories:
        more = {"prompt_id": history["id"], "step_id": history["stepId"]}
        rows["prompt_versions"] += [row_of("prompt_versions", version) | more for version in history["versions"]]
    for detail in details:
        rows["traces"].append(row_of("traces", {k: v for k, v in detail.items() if k not in ("spans", "feedback")}))
        comments = defaultdict(list)
        for comment in sorted(detail["feedback"], key=lambda comment: comment["createdAt"]):
            comments[comment["spanId"]].append(comment["content"])
            rows["feedback"].append(row_of("feedback", comment) | {"trace_id": detail["id"]})
        for one in detail["spans"]:
            row = {"prompt_version_id": None, **row_of("spans", one), "trace_id": detail["id"]}
            rows["spans"].append(row)
            if one["approvedOutput"] is not None:
                is_accepted = json.dumps(one["output"]) == json.dumps(one["approvedOutput"])
                kept = ["trace_id", "step_id", "prompt_version_id", "input", "output", "approved_output", "created_at"]
                rows["evaluation_examples"].append(
                    {
                        "span_id": one["id"],
                        **{name: row[name] for name in kept},
                        "outcome": "accepted" if is_accepted else "corrected",
                        "feedback": comments[one["id"]],
                    }
                )
    return {table: sorted(rows[table], key=lambda row: str(row.get("id") or row.get("span_id"))) for table in TABLES}


def row_of(table: str, data: dict[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {}
    more = {}
    for name, value in data.items():
        column = "".join("_" + c.lower() if c.isupper() else c for c in name)
        if column in _COLUMNS[table]:
            row[column] = value
        else:
            more[name] = value
    return {**row, "additional_properties": more or None}


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    isolate(monkeypatch, tmp_path)


def isolate(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setenv("RUNTIME__DLTHUB_TELEMETRY", "false")
    monkeypatch.setenv("HOME", str(folder / "home"))
    monkeypatch.setenv("DLT_DATA_DIR", str(folder / "dlt"))
    for name in [name for name in os.environ if name.startswith("ARTANIS_") and name != "ARTANIS_SLOW"]:
        monkeypatch.delenv(name)


def retry_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the client's retry delays, which do not matter here."""
    monkeypatch.setattr("artanis_client._clock.sleep", lambda seconds: time.sleep(min(seconds, 0.01)))


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    return Warehouse(tmp_path / "warehouse")


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    with Sandbox(traces=TRACES, now=NOW) as sandbox:
        use(sandbox, monkeypatch)
        yield sandbox


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    folder = tmp_path_factory.mktemp("original")
    warehouse = Warehouse(folder / "warehouse")
    with Sandbox(traces=TRACES, now=NOW) as sandbox, pytest.MonkeyPatch.context() as monkeypatch:
        isolate(monkeypatch, folder)
        use(sandbox, monkeypatch)
        warehouse.run()
    return warehouse


@pytest.fixture
def loaded(original: Warehouse, warehouse: Warehouse, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Warehouse:
    """Return a warehouse with everything from the sandbox: a copy, because the first load takes longest."""
    shutil.copytree(original.folder, warehouse.folder)
    # The original was loaded from the same data, but from another port.
    monkeypatch.setattr("artanis_source._check_scope", lambda client: None)
    return warehouse


def use(server: Sandbox | Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in server.credentials.items():
        monkeypatch.setenv(f"ARTANIS_{name.upper()}", str(value))


class Project:
    """A project on a local server, with traces that tests can change."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.details: list[dict[str, Any]] = []
        self.answers: dict[str, Answer] = {}
        server.answers = [self._answer]

    def _answer(self, request: Request) -> Answer:
        path, _, _ = request.path.partition("?")
        if path == "/api/prompts":
            return Answer(body={"prompts": [PROMPT]})
        if path == f"/api/prompts/{PROMPT['id']}":
            return Answer(body={**PROMPT, "versions": []})
        if path == "/api/traces":
            hidden = ("spans", "feedback")
            newest_first = sorted(self.details, key=lambda one: str(one["createdAt"]), reverse=True)
            return Answer(body={"traces": [{k: v for k, v in one.items() if k not in hidden} for one in newest_first]})
        found = {one["id"]: Answer(body=one) for one in self.details} | self.answers
        return found.get(path.rpartition("/")[2], Answer(404, {"error": "Not found"}))

    def add(self, name: str, created: datetime | None = None, *, output: Any = "x", **fields: Any) -> dict[str, Any]:
        """Add a trace with one span, which is approved as it is unless `approvedOutput` is given."""
        detail = trace(id=name, createdAt=iso(created or datetime(2026, 4, 8, 9, tzinfo=UTC)))
        approved = fields.pop("approvedOutput", output)
        fields = {"id": f"span-{name}", "output": output, "approvedOutput": approved, **fields}
        detail |= {"spans": [span(**fields)], "feedback": []}
        self.details.append(detail)
        return detail

    def read(self) -> list[str]:
        """Return the names of the traces requested since the last call; "" stands for the list of traces."""
        paths = [request.path.partition("?")[0] for request in self.server.requests]
        self.server.requests.clear()
        names = [path.removeprefix("/api/traces").strip("/") for path in paths if path.startswith("/api/traces")]
        return sorted(names)


@pytest.fixture
def project(monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    server = Server()
    use(server, monkeypatch)
    yield Project(server)
    server.close()


def comment(**fields: Any) -> dict[str, Any]:
    return {
        "id": "comment",
        "spanId": "span-a",
        "userId": "reviewer",
        "content": "Wrong team.",
        "createdAt": "2026-04-08T10:00:00.000Z",
        **fields,
    }


# Every row


@pytest.mark.parametrize(
    ("traces", "concurrency"), [(100, 16), pytest.param(20_000, 64, marks=slow)], ids=["100", "20,000"]
)
def test_every_row(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, traces: int, concurrency: int) -> None:
    """The warehouse holds exactly what the sandbox holds, even if one request in twenty fails."""
    if traces == 100:
        retry_at_once(monkeypatch)
    with Sandbox(traces=traces, fault_rate=0.05, now=NOW) as sandbox:
        use(sandbox, monkeypatch)
        assert warehouse.run(concurrency=concurrency)
        assert sandbox.request_count > 1 + 3 + 1 + traces  # some were retried
        sandbox.fault_rate = 0
        held = held_by(sandbox)
    for table in TABLES:
        assert warehouse.rows(table) == held[table], table
    assert len(held["traces"]) == traces
    assert not warehouse.query("SELECT 1 FROM spans WHERE _deleted")


def test_types(loaded: Warehouse) -> None:
    """Columns have the right types, times have a time zone, and every table has a key."""
    columns = {row["column_name"]: row["column_type"] for row in loaded.query("DESCRIBE spans")}
    assert {columns[name] for name in ("input", "output", "approved_output", "metadata")} == {"JSON"}
    assert columns["created_at"] == "TIMESTAMP WITH TIME ZONE"
    assert {columns[name] for name in ("id", "trace_id", "parent_span_id", "prompt_version_id")} == {"VARCHAR"}
    tables = loaded.pipeline().default_schema.tables
    keys = {
        table: [name for name, column in tables[table]["columns"].items() if column.get("primary_key")]
        for table in TABLES
    }
    assert keys == {table: ["span_id" if table == "evaluation_examples" else "id"] for table in TABLES}


JSON: list[Any] = [
    *("hello", "42", '{"a": 1}', "", "a\x00b", "\uf026x"),
    *(42, 1.5, True, False, [], [None], {}, {"a": [1, {"b": "ü"}]}),
]
UNLOADABLE: dict[str, tuple[Any, Any]] = {
    "large": (10**30, 10**30),
    "surrogate": ("half of \ud83d", "half of ?"),
    "surrogate in a key": ({"half \ud83d": 1}, {"half ?": 1}),
    "deep": (json.loads("[" * 300 + "]" * 300), "[" * 300 + "]" * 300),
}
"""Values that would make the load fail, each with the nearest value that loads."""


def together_and_alone(values: list[Any]) -> list[Any]:
    """Return test parameters: all values at once, and with `make slow` also each value alone."""
    alone = [pytest.param([value], marks=slow, id=f"{value!r:.40}") for value in values]
    return [pytest.param(values, id="all at once"), *alone]


@pytest.mark.parametrize("values", together_and_alone(JSON))
def test_json(warehouse: Warehouse, project: Project, values: list[Any]) -> None:
    """Free-form JSON arrives unchanged, including strings that look like JSON."""
    for number, value in enumerate(values):
        project.add(f"{number:02}", output=value, input={"value": value})
    warehouse.run(tables=["traces", "spans"])
    rows = warehouse.rows("spans")
    assert [row["output"] for row in rows] == [row["approved_output"] for row in rows] == values
    assert [row["input"] for row in rows] == [{"value": value} for value in values]
    assert [type(row["output"]) for row in rows] == [type(value) for value in values]


@pytest.mark.parametrize("names", together_and_alone(list(UNLOADABLE)))
def test_json_that_does_not_load(warehouse: Warehouse, project: Project, names: list[str]) -> None:
    """A value that would make this and every later load fail is stored as the nearest value that loads."""
    for number, name in enumerate(names):
        project.add(f"{number:02}", output=UNLOADABLE[name][0])
    warehouse.run(tables=["traces", "spans"])
    assert [row["output"] for row in warehouse.rows("spans")] == [UNLOADABLE[name][1] for name in names]


@pytest.mark.parametrize("file_format", [pytest.param("parquet", marks=slow), "insert_values"])
def test_file_format(warehouse: Warehouse, sandbox: Sandbox, file_format: str) -> None:
    """Every file format that DuckDB supports produces the same rows."""
    warehouse.run(file_format=file_format)
    assert {table: warehouse.rows(table) for table in TABLES} == held_by(sandbox)


def test_parquet_files(tmp_path: Path, command: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    """In Parquet files, free-form JSON is text that any JSON parser can read."""
    with Sandbox(traces=20, now=NOW) as sandbox:
        use(sandbox, monkeypatch)
        monkeypatch.setenv("DESTINATION__FILESYSTEM__BUCKET_URL", (tmp_path / "bucket").as_uri())
        command("--destination", "filesystem", "--file-format", "parquet")
        held = {row["id"]: row["output"] for row in held_by(sandbox)["spans"]}
    files = str(tmp_path / "bucket" / "artanis_support_chat" / "spans" / "*.parquet")
    with duckdb.connect() as connection:
        found = connection.execute("SELECT id, output FROM read_parquet(?)", [files]).fetchall()
    assert {key: json.loads(text) for key, text in found} == held


def test_empty_project(warehouse: Warehouse, project: Project) -> None:
    """Every table has all its columns before it has rows, so queries work on an empty project."""
    assert warehouse.run()
    assert {table: warehouse.rows(table) for table in TABLES[2:]} == {table: [] for table in TABLES[2:]}
    for query in (HERE / "queries").iterdir():
        assert warehouse.query(query.read_text()) == []
    counts = warehouse.counts()
    assert not warehouse.run()
    assert warehouse.counts() == counts
    project.add("a")
    assert warehouse.run()
    assert warehouse.ids() == ["a"]


# Later runs


def unreviewed(sandbox: Sandbox) -> int:
    """Count the traces that have a span without an approved output."""
    spans = [row for row in held_by(sandbox)["spans"] if row["approved_output"] is None]
    return len({row["trace_id"] for row in spans})


def test_nothing_new(loaded: Warehouse, sandbox: Sandbox) -> None:
    """A second run reads the list, the unreviewed traces and the prompts, and writes nothing, even to dlt's tables."""
    counts, expected_requests = loaded.counts(), 1 + unreviewed(sandbox)
    before = sandbox.request_count
    assert not loaded.run()
    paths = [request.path for request in sandbox.requests[before - sandbox.request_count :]]
    assert sum(path.startswith("/api/traces") for path in paths) == expected_requests
    assert sum(path.startswith("/api/prompts") for path in paths) == 1 + 3
    assert loaded.counts() == counts
    assert 5 < expected_requests < TRACES


def test_only_traces(warehouse: Warehouse, sandbox: Sandbox) -> None:
    """A run without the prompt tables does not request prompts."""
    tables = TABLES[2:]
    warehouse.run(tables=tables)
    assert sandbox.request_count == 1 + TRACES
    held = held_by(sandbox)
    assert {table: warehouse.rows(table) for table in tables} == {table: held[table] for table in tables}


def test_changes(loaded: Warehouse, sandbox: Sandbox) -> None:
    """New traces, reviews, comments and prompt versions arrive with the next run, and nothing else is written."""
    open_ids = sorted({row["trace_id"] for row in loaded.rows("spans") if row["approved_output"] is None})
    sandbox.review(open_ids[0], comment="Read again.")
    sandbox.review(open_ids[1], step="classify", comment="Only this one.")
    sandbox.add_trace()
    prompt = loaded.ids("prompts")[0]
    sandbox.add_version(prompt, "Answer with one label, please.")
    assert loaded.run()
    assert {table: loaded.rows(table) for table in TABLES} == held_by(sandbox)
    (load_id,) = loaded.query("SELECT max(load_id) AS id FROM _dlt_loads")
    written = loaded.query(f"SELECT count(*) AS n FROM traces WHERE _dlt_load_id = '{load_id['id']}'")
    assert written == [{"n": 3}]
    (first, *_) = [row["id"] for row in loaded.rows("prompt_versions") if row["prompt_id"] == prompt]
    sandbox.activate_version(prompt, first)
    loaded.run()
    assert {table: loaded.rows(table) for table in TABLES} == held_by(sandbox)


def test_window(warehouse: Warehouse, project: Project) -> None:
    """An unreviewed trace is read again until it is reviewed or the review window ends."""
    tables = ["evaluation_examples"]
    now = datetime.now(UTC)
    project.add("old", now - timedelta(days=31), approvedOutput=None)
    project.add("late", now - timedelta(days=29), approvedOutput=None)
    project.add("done", now - timedelta(days=1))
    warehouse.run(artanis, tables=tables)
    assert project.read() == ["", "done", "late", "old"]
    warehouse.run(artanis, tables=tables)
    assert project.read() == ["", "late"]
    for detail in project.details:
        detail["spans"][0]["approvedOutput"] = "y"
    assert warehouse.run(artanis, tables=tables)
    assert project.read() == ["", "late"]
    assert not warehouse.run(artanis, tables=tables)
    assert project.read() == [""]
    assert {row["trace_id"]: row["outcome"] for row in warehouse.rows("evaluation_examples")} == {
        "done": "accepted",
        "late": "corrected",
    }
    assert warehouse.run(artanis, tables=tables, full_refresh=True)
    assert len(warehouse.rows("evaluation_examples")) == 3


def test_without_spans(warehouse: Warehouse, project: Project) -> None:
    """A trace without spans does not count as reviewed."""
    project.add("a")["spans"].clear()
    warehouse.run(tables=["traces", "spans"])
    project.details[0]["spans"].append(span(id="later"))
    warehouse.run(tables=["traces", "spans"])
    assert warehouse.ids("spans") == ["later"]


def test_overlap(warehouse: Warehouse, project: Project) -> None:
    """A trace that appears late is read once if it is within the overlap, and missed if it is older."""
    newest = datetime(2026, 4, 8, 9, tzinfo=UTC)
    project.add("a", newest)
    project.add("b", newest - timedelta(hours=5))
    warehouse.run(tables=["traces"])
    project.add("late", newest - timedelta(hours=23))
    project.add("same", newest)
    project.add("older", newest - timedelta(hours=25))
    project.read()
    warehouse.run(tables=["traces"])
    assert project.read() == ["", "late", "same"]
    warehouse.run(tables=["traces"])
    assert project.read() == [""]
    warehouse.run(tables=["traces"], full_refresh=True)
    assert len(warehouse.ids()) == 5


def test_a_clock_that_is_ahead(warehouse: Warehouse, project: Project) -> None:
    """A trace dated in the future does not hide current traces."""
    project.add("a", datetime(2099, 1, 1, tzinfo=UTC))
    warehouse.run(tables=["traces"])
    project.add("b", datetime.now(UTC))
    warehouse.run(tables=["traces"])
    project.read()
    warehouse.run(tables=["traces"])
    assert project.read() == [""]
    assert warehouse.ids() == ["a", "b"]


def test_withdrawn(warehouse: Warehouse, project: Project) -> None:
    """Comments and approvals that are withdrawn before the trace is fully reviewed are deleted from the warehouse."""
    tables = ["spans", "feedback", "evaluation_examples"]
    detail = project.add("a")
    detail["spans"].append(span(id="open", approvedOutput=None))
    detail["feedback"].append(comment())
    warehouse.run(tables=tables)
    assert len(warehouse.rows("feedback")) == len(warehouse.rows("evaluation_examples")) == 1
    detail["feedback"].clear()
    detail["spans"][0]["approvedOutput"] = None
    warehouse.run(tables=tables)
    assert warehouse.rows("feedback") == warehouse.rows("evaluation_examples") == []
    assert len(warehouse.rows("spans")) == 2


def test_concurrency(warehouse: Warehouse, project: Project) -> None:
    """`concurrency` requests are in flight at once, even if that exceeds the client's default."""
    for number in range(20):
        project.add(f"{number}")
    together = threading.Barrier(20)

    def hold(request: Request) -> Answer:
        if request.path.startswith("/api/traces/"):
            together.wait(LIMIT)
        return project._answer(request)

    project.server.answers = [hold]
    warehouse.run(tables=["traces"], concurrency=20)
    assert len(warehouse.ids()) == 20


def limited(pages: int) -> DltSource:
    """Return a source that stops after the given number of pages and does not read old traces again."""
    source = artanis()
    source.trace_pages.add_limit(pages)
    return source


def test_limit(warehouse: Warehouse, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """With dlt's `add_limit`, a backlog is loaded in parts without losing anything in between."""
    monkeypatch.setattr("artanis_source.PAGE", 8)
    found = []
    for _ in range(10):
        if not warehouse.run(lambda: limited(2)):
            break
        found.append(len(warehouse.ids()))
    assert found == [16, 30]
    assert {table: warehouse.rows(table) for table in TABLES} == held_by(sandbox)


def test_limit_while_reading(warehouse: Warehouse, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run does not fail if it reaches its limit while the next page is being read."""
    monkeypatch.setattr("artanis_source.PAGE", 1)
    for name in "ab":
        project.add(name)
    is_first_page_read = threading.Event()

    def answer(request: Request) -> Answer:
        path, _, _ = request.path.partition("?")
        if path == "/api/prompts":
            return Answer(body={"prompts": [PROMPT, PROMPT | {"id": "gone"}]})
        if path == "/api/traces/a":
            is_first_page_read.set()
        elif path == "/api/prompts/gone":  # while dlt waits for this prompt, it does not process the first page
            is_first_page_read.wait(LIMIT)
            time.sleep(0.2)  # if this is too short, the limit is reached earlier and the test still passes
        elif path == "/api/traces/b":
            time.sleep(0.5)
        return project._answer(request)

    project.server.answers = [answer]
    assert warehouse.run(lambda: limited(1), tables=["prompts", "traces"])
    assert warehouse.ids() == ["a"]
    assert warehouse.run(lambda: limited(1), tables=["prompts", "traces"])
    assert warehouse.ids() == ["a", "b"]


# Failures


def test_deleted(warehouse: Warehouse, sandbox: Sandbox) -> None:
    """A trace deleted before it is read is skipped, and one deleted after it was loaded stays until a full refresh."""
    ids = [row["id"] for row in held_by(sandbox)["traces"]]
    sandbox.delete_trace(ids[0], listed=True)
    warehouse.run(tables=["traces"])
    assert warehouse.ids() == sorted(ids[1:])
    for trace_id in ids[1:]:
        sandbox.delete_trace(trace_id)
    warehouse.run(tables=["traces"])
    assert warehouse.ids() == sorted(ids[1:])
    sandbox.delete_trace(sandbox.add_trace())
    assert warehouse.run(tables=["traces"], full_refresh=True)
    assert warehouse.ids() == []


def test_server_fails(warehouse: Warehouse, project: Project) -> None:
    """If the server keeps failing, the run fails and writes nothing, and the next run loads everything."""
    project.add("a")
    warehouse.run(tables=["traces", "spans"])
    counts = warehouse.counts()
    for name in "bcd":
        project.add(name, datetime(2026, 4, 9, tzinfo=UTC))
    answer = project._answer
    for failing in ("/api/traces?", "/api/traces/c"):

        def broken(request: Request, failing: str = failing) -> Answer:
            is_broken = request.path.startswith(failing)
            return Answer(500, headers={"retry-after": "0"}) if is_broken else answer(request)

        project.server.answers = [broken]
        with pytest.raises(PipelineStepFailed, match="500"):
            warehouse.run(tables=["traces", "spans"])
        assert warehouse.counts() == counts
    project.server.answers = [answer]
    assert warehouse.run(tables=["traces", "spans"])
    assert warehouse.ids() == ["a", "b", "c", "d"]


def test_a_trace_that_cannot_be_read(warehouse: Warehouse, project: Project) -> None:
    """A trace that does not match the contract is skipped and tried again in every run, however old it is."""

    def run() -> bool:
        return warehouse.run(artanis, tables=["traces"])

    for name in "abc":
        project.add(name)
    project.answers["b"] = Answer(body={"id": "b"})
    run()
    assert warehouse.ids() == ["a", "c"]
    project.read()
    assert not run()
    assert project.read() == ["", "b"]
    del project.answers["b"]
    assert run()
    assert warehouse.ids() == ["a", "b", "c"]
    project.read()
    assert not run()
    assert project.read() == [""]


def test_a_trace_that_is_gone_for_a_moment(warehouse: Warehouse, project: Project) -> None:
    """A review still arrives if an earlier run could not find the trace."""
    tables = ["evaluation_examples"]
    project.add("a", approvedOutput=None)
    project.add("b", datetime(2026, 5, 9, tzinfo=UTC))
    warehouse.run(tables=tables)
    project.answers["a"] = Answer(404, {"error": "Not found"})
    warehouse.run(tables=tables)
    del project.answers["a"]
    project.details[0]["spans"][0]["approvedOutput"] = "x"
    assert warehouse.run(tables=tables)
    assert [row["trace_id"] for row in warehouse.rows("evaluation_examples")] == ["a", "b"]
    project.read()
    warehouse.run(tables=tables)
    assert project.read() == [""]


def test_a_rate_limit(warehouse: Warehouse, project: Project) -> None:
    """A pause at a rate limit is not taken for a trace that could not be read."""
    project.add("a", datetime.now(UTC), approvedOutput=None)
    assert warehouse.run(tables=["traces"])
    (usual,) = project.server.answers
    assert callable(usual)
    refused: list[str] = []

    def answer(request: Request) -> Answer:
        if request.path == "/api/traces/a" and len(refused) < 2:
            refused.append(request.path)
            return Answer(429, headers={"Retry-After": "1"})
        return usual(request)

    project.server.answers = [answer]
    assert not warehouse.run(tables=["traces"])  # nothing has changed
    assert len(refused) == 2


def test_undocumented(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """A field that is not in the contract is kept in `additional_properties` under its original name."""
    with Sandbox(traces=5, drift=["undocumented-field", "undocumented-nested-field"], now=NOW) as sandbox:
        use(sandbox, monkeypatch)
        warehouse.run()
        assert {table: warehouse.rows(table) for table in TABLES} == held_by(sandbox)
    numbers = warehouse.query("SELECT DISTINCT additional_properties.undocumented::DOUBLE AS number FROM spans")
    assert numbers == [{"number": 0.93}]
    assert {row["additional_properties"]["undocumented"] for row in warehouse.rows("prompts")} == {"text"}


UNDOCUMENTED: list[Any] = [
    *(3, 1e300, "99999999999999999999", "2026-04-08T09:00:00Z", 2**62, True, 2, "42", [None], {"a": 1}, 10**30)
]


@pytest.mark.parametrize(
    ("file_format", "runs"),
    [
        ("parquet", [UNDOCUMENTED[:1], UNDOCUMENTED[1:]]),
        pytest.param("parquet", [[value] for value in UNDOCUMENTED], marks=slow),
        pytest.param("insert_values", [[value] for value in UNDOCUMENTED], marks=slow),
    ],
    ids=["at once", "one by one, parquet", "one by one, insert_values"],
)
def test_undocumented_later(warehouse: Warehouse, project: Project, file_format: str, runs: list[list[Any]]) -> None:
    """An undocumented field that appears later or changes its type is kept unchanged, whatever its name and value."""
    more = {"traceId": "another", "_deleted": True, "_dlt_id": "x", "_dlt_root_id": 1, "": 1}
    project.add("a")
    warehouse.run(file_format=file_format, tables=["traces", "spans"])
    for values in runs:
        for value in values:
            number = len(project.details)
            detail = project.add(f"b{number:02}", datetime(2026, 4, 9, number, tzinfo=UTC))
            detail["region"] = "eu"
            detail["spans"][0] |= {"cost": value, **more}
        warehouse.run(file_format=file_format, tables=["traces", "spans"])
    traces, (none, *spans) = warehouse.rows("traces"), warehouse.rows("spans")
    assert [trace["additional_properties"] for trace in traces] == [None] + [{"region": "eu"}] * len(UNDOCUMENTED)
    assert none["additional_properties"] is None
    # Inside an object, dlt turns an integer of more than 64 bits into the nearest float.
    kept = [1e30 if value == 10**30 else value for value in UNDOCUMENTED]
    assert [one["additional_properties"] for one in spans] == [{"cost": value, **more} for value in kept]
    assert [one["trace_id"] for one in spans] == [trace["id"] for trace in traces[1:]]


def test_free_json_that_changes_its_type(warehouse: Warehouse, project: Project) -> None:
    """A documented JSON field may hold an object in one run and another type in the next."""
    project.add("a")
    warehouse.run(tables=["traces", "spans"])
    project.add("b", datetime(2026, 4, 9, tzinfo=UTC), metadata="text")["metadata"] = ["list"]
    warehouse.run(tables=["traces", "spans"])
    spans = {row["id"]: row for row in warehouse.rows("spans")}
    assert spans["span-b"]["metadata"] == "text"
    assert warehouse.rows("traces")[1]["metadata"] == ["list"]


def test_odd_text(warehouse: Warehouse, project: Project) -> None:
    """Text that no warehouse accepts does not make the run fail, whichever field contains it."""
    half = "\ud83d"
    detail = project.add("a", stepId=half, promptVersionId=half, parentSpanId=half)
    detail["spans"][0][half] = half
    detail["feedback"].append(comment(content=half, userId=half))
    detail["status"] = half
    warehouse.run()
    (row,) = warehouse.rows("spans")
    assert [row[name] for name in ("step_id", "prompt_version_id", "parent_span_id")] == ["?", "?", "?"]
    assert row["additional_properties"] == {"?": "?"}
    assert [row["content"] for row in warehouse.rows("feedback")] == ["?"]


def test_odd_answers(warehouse: Warehouse, project: Project) -> None:
    """A trace dated in the year 1, or returned with a different id, does not make the run fail."""
    project.add("a")["createdAt"] = "0001-01-01T00:00:00.000Z"
    warehouse.run(tables=["traces"])
    project.add("b")
    project.answers["b"] = Answer(body={**project.details[1], "id": "B"})
    warehouse.run(tables=["traces"])
    assert warehouse.ids() == ["B", "a"]
    project.read()
    warehouse.run(tables=["traces"])
    assert project.read() == [""]


def test_another_project(warehouse: Warehouse, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipeline refuses to load another project, or one of the same slug elsewhere, and keeps what it holds."""
    project.add("a")
    warehouse.run(tables=["traces"])
    counts, url = warehouse.counts(), project.server.url
    shutil.rmtree(warehouse.folder / "dlt")  # as on another worker
    host = url.removeprefix("http://")
    expected = f"already holds project my-project of organization my-org at {host}. Load project "
    for name, other, full_refresh in (
        ("ARTANIS_BASE_URL", url.replace("127.0.0.1", "localhost"), False),
        ("ARTANIS_ORG_SLUG", "another", True),
        ("ARTANIS_PROJECT_SLUG", "another", False),
    ):
        with monkeypatch.context() as changed:
            changed.setenv(name, other)
            with pytest.raises(PipelineStepFailed, match=re.escape(expected)):
                warehouse.run(tables=["traces"], full_refresh=full_refresh)
        assert warehouse.counts() == counts
    monkeypatch.setenv("ARTANIS_BASE_URL", url.replace("http", "HTTP") + "/")
    assert not warehouse.run(tables=["traces"])


def test_dataset_names() -> None:
    """Each project slug has its own dataset name, and plain slugs keep theirs."""
    assert [dataset_name(slug) for slug in ("sales", "support-chat", "2026")] == [
        "artanis_sales",
        "artanis_support_chat",
        "artanis_2026",
    ]
    odd = ["Sales", "sales-", "support_chat", "support--chat", "support.chat", "日本", "Ελλάδα", "-", "é"]
    names = [dataset_name(slug) for slug in odd]
    assert len({*names}) == len(odd)
    assert all(re.fullmatch(r"artanis(_[a-z0-9]+)*_[0-9a-f]{8}", name) for name in names)
    assert names[2].startswith("artanis_support_chat_")


def test_requirements() -> None:
    """Before the first release, `pip install -r requirements.txt` takes the client from the clone."""
    first = (HERE / "requirements.txt").read_text().split()[0]
    assert tomllib.loads((HERE / first / "pyproject.toml").read_text())["project"]["name"] == "artanis-client"


def test_arguments(warehouse: Warehouse, project: Project) -> None:
    """Negative times are rejected, very long ones work, and JSON Lines is rejected if the destination guesses types."""
    project.add("a", approvedOutput=None)
    for wrong in ({"overlap_hours": -1}, {"review_window_days": -1}, {"file_format": "jsonl"}):
        with pytest.raises(ValueError, match=r"must be at least 0|JSON Lines"):
            warehouse.run(**wrong)
    for _ in range(2):
        warehouse.run(tables=["traces"], overlap_hours=1e9, review_window_days=1e8)
    assert warehouse.ids() == ["a"]


@pytest.mark.parametrize(("half_deleted", "full_refresh"), [(False, False), (True, False), (True, True)])
def test_after_a_run_that_did_not_end(
    warehouse: Warehouse, project: Project, tmp_path: Path, half_deleted: bool, full_refresh: bool
) -> None:
    """The next run loads what an interrupted run had read, then what is new; a full refresh discards the former.

    That includes a run that was killed while dlt deleted the files that it had just normalized.
    """
    project.add("a")
    warehouse.run(tables=["traces"])
    project.add("b", datetime(2026, 4, 9, tzinfo=UTC))
    pipeline = warehouse.pipeline()
    pipeline.extract(artanis().with_resources("traces"))
    (load_id,) = pipeline.list_extracted_load_packages()
    extracted = Path(pipeline.working_dir) / "normalize" / "extracted" / load_id
    shutil.copytree(extracted, tmp_path / "copy")
    pipeline.normalize()
    if half_deleted:
        shutil.copytree(tmp_path / "copy", extracted)
        (extracted / "schema.json").unlink()
    project.details.pop()
    project.add("c", datetime(2026, 4, 9, tzinfo=UTC))
    assert warehouse.run(tables=["traces"], full_refresh=full_refresh)
    assert warehouse.ids() == (["a", "c"] if full_refresh else ["a", "b", "c"])
    assert not warehouse.run(tables=["traces"])


@pytest.mark.parametrize("deleted", ["schemas", "load/normalized"])
def test_half_deleted_folder(warehouse: Warehouse, project: Project, deleted: str) -> None:
    """A first run can be repeated if it was killed while dlt deleted what an earlier one had left behind."""
    project.add("a")
    pipeline = warehouse.pipeline()
    pipeline.extract(artanis().with_resources("traces"))
    pipeline.normalize()
    shutil.rmtree(Path(pipeline.working_dir) / deleted)
    assert warehouse.run(tables=["traces"])
    assert warehouse.ids() == ["a"]
    assert not warehouse.run(tables=["traces"])


def test_loaded_but_not_moved(warehouse: Warehouse, project: Project) -> None:
    """A run goes on if an earlier one was killed between marking a package as loaded and moving it."""
    project.add("a")
    assert warehouse.run(tables=["traces"])
    folder = Path(warehouse.pipeline().working_dir) / "load"
    (package,) = (folder / "loaded").iterdir()
    package.rename(folder / "normalized" / package.name)
    project.add("b")
    assert warehouse.run(tables=["traces"])
    assert sorted(warehouse.ids()) == ["a", "b"]


KILLED_RUNS = """
import itertools, json, os, signal, sys, threading
import load

def run(moment, delay):
    numbers = itertools.count(1)
    last = 0

    def watch(event, arguments):
        nonlocal last
        if event == "open":
            is_step = isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        else:
            is_step = event in ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "socket.connect")
        if is_step:
            last = next(numbers)
            if last == moment and delay:
                threading.Timer(delay, os.kill, [os.getpid(), signal.SIGKILL]).start()
            elif last == moment:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    load.main()
    print(last)

for line in sys.stdin:
    child = os.fork()
    if child == 0:
        signal.alarm(300)  # only a hang takes so long
        run(*json.loads(line))
        sys.exit()
    print("\\nstatus", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
"""A program that forks for every run of load.py, because importing dlt takes longer than a run.

It reads when to kill the run: just before its n-th step (a new connection, or a change to the file system), or some
seconds later.
"""


@slow
@pytest.mark.parametrize("keeps_folder", [True, False], ids=["same worker", "another worker"])
def test_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keeps_folder: bool) -> None:
    """If a run is killed at any moment and started again, every row arrives once, even if dlt's folder is gone."""
    rng = random.Random(7)
    warehouse = Warehouse(tmp_path)
    warehouse.path, warehouse.dataset = tmp_path / "load_artanis_support_chat.duckdb", "artanis_support_chat"
    with Sandbox(traces=100, now=NOW) as sandbox:
        use(sandbox, monkeypatch)
        with launch(tmp_path, "-c", KILLED_RUNS) as program:
            assert program.stdin
            assert program.stdout
            lines = iter(program.stdout.readline, "")

            def run(moment: int = 0, delay: float = 0) -> tuple[int, str]:
                print(json.dumps([moment, delay]), file=program.stdin, flush=True)
                output = ""
                for line in lines:
                    if line.startswith("status "):
                        return int(line.split()[1]), output
                    output += line
                raise AssertionError(output)

            status, output = run()
            assert status == 0, output
            steps = int(output.split()[-1])
            assert steps > 100
            killed = 0
            for number in range(90):
                if number % 3 == 0:  # start with nothing loaded
                    warehouse.path.unlink(missing_ok=True)
                    shutil.rmtree(tmp_path / "dlt", ignore_errors=True)
                sandbox.add_trace()
                status, output = run(rng.randint(1, steps), rng.choice([0, 0, rng.uniform(0, 0.2)]))
                assert status in (0, -signal.SIGKILL), output
                killed += status != 0
                if not keeps_folder:
                    shutil.rmtree(tmp_path / "dlt", ignore_errors=True)
                if number % 3 == 2:
                    status, output = run()
                    assert status == 0, output
                    assert {table: warehouse.rows(table) for table in TABLES} == held_by(sandbox)
            assert killed >= 60


def test_queries(loaded: Warehouse, sandbox: Sandbox) -> None:
    """The queries return the same numbers as the client's functions."""
    with Artanis() as client:
        details = list(client.traces.iter())
    made = [example for detail in details for example in examples(detail) if example.outcome != "unreviewed"]

    def query(name: str) -> list[dict[str, Any]]:
        return loaded.query((HERE / "queries" / name).read_text())

    by_version: dict[Any, Counter[str]] = defaultdict(Counter)
    for example in made:
        week = example.created_at.date() - timedelta(days=example.created_at.weekday())
        by_version[example.step_id, example.prompt_version_id, week][example.outcome] += 1
    assert {
        (row["step_id"], row["prompt_version_id"], row["week"]): (row["reviewed"], row["accepted"])
        for row in query("acceptance.sql")
    } == {key: (count.total(), count["accepted"]) for key, count in by_version.items()}
    by_step: dict[str, Counter[str]] = defaultdict(Counter)
    for example in made:
        explained = "explained" if example.outcome == "corrected" and example.feedback else "other"
        by_step[example.step_id].update([example.outcome, explained])
    assert {row["step_id"]: (row["corrected"], row["explained"]) for row in query("corrections.sql")} == {
        step: (count["corrected"], count["explained"]) for step, count in by_step.items()
    }
    nothing = [one for one in details if all(outcome(span) == "unreviewed" for span in one.spans)]
    assert [row["id"] for row in query("unreviewed.sql")] == [
        one.id for one in sorted(nothing, key=lambda one: (one.created_at, one.id))
    ]
    assert nothing
    assert made


# The command and the API key


def launch(folder: Path, *program: str, project: str = "support-chat", **environment: str) -> subprocess.Popen[str]:
    """Start load.py or another program in a separate working folder, as a scheduler's worker would."""
    return subprocess.Popen(
        [sys.executable, *(program or [str(HERE / "load.py")]), "--project", project],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path),
            "DLT_DATA_DIR": str(folder / "dlt"),
            **environment,
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen[str], *, status: int = 0, limit: float = HANG) -> str:
    """Wait for a process and return its output."""
    try:
        output = process.communicate(timeout=limit)[0]
    finally:
        process.kill()
    assert process.returncode == status, output
    return output


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Return a function that runs load.py in this process, where dlt is already imported, and returns its output."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["load.py", "--project", "support-chat", *arguments])
        capfd.readouterr()
        main()
        return "".join(capfd.readouterr())

    return run


def look(folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> str:
    """Run the README's Python snippet that queries the loaded data, and return its output."""
    readme = (HERE / "README.md").read_text()
    code = readme.split("```python\n")[1].split("```")[0].replace("my_project", "support_chat")
    (folder / "look.py").write_text(code)
    (folder / "queries").symlink_to(HERE / "queries")
    monkeypatch.chdir(folder)
    capfd.readouterr()
    runpy.run_path("look.py")
    return capfd.readouterr().out


def test_commands_of_the_readme(
    tmp_path: Path, sandbox: Sandbox, command: Callable[..., str], monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    """`python load.py` loads the project, the README's query prints a result, and a second run finds nothing new."""
    shutil.copytree(HERE / ".dlt", tmp_path / ".dlt")
    # Normalize in one process: with two, as in config.toml, each has to import dlt.
    output = finish(launch(tmp_path, NORMALIZE__WORKERS="1"))
    assert "LOADED and contains no failed jobs" in output
    (database,) = tmp_path.glob("load_artanis_*.duckdb")
    with duckdb.connect(str(database), read_only=True) as connection:
        assert connection.execute(f"SELECT count(*) FROM {database.stem[5:]}.traces").fetchall() == [(TRACES,)]
    assert "acceptance_rate" in look(tmp_path, monkeypatch, capfd)
    assert command() == "Nothing new to load.\n"


@slow
def test_commands_with_workers(tmp_path: Path, sandbox: Sandbox) -> None:
    """`python load.py` also works with the recipe's configuration, which normalizes in two processes."""
    shutil.copytree(HERE / ".dlt", tmp_path / ".dlt")
    assert "LOADED and contains no failed jobs" in finish(launch(tmp_path))
    assert finish(launch(tmp_path)) == "Nothing new to load.\n"
    warehouse = Warehouse(tmp_path)
    warehouse.path, warehouse.dataset = tmp_path / "load_artanis_support_chat.duckdb", "artanis_support_chat"
    assert {table: warehouse.rows(table) for table in TABLES} == held_by(sandbox)


WRONG = {"none": "Set ARTANIS_API_KEY", "key": "401", "network": "127.0.0.1:1", "project": "40"}
"""Each possible mistake, with a part of its error message."""


def make_wrong(wrong: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Break one setting and return the project to load."""
    if wrong == "none":
        monkeypatch.delenv("ARTANIS_API_KEY")
    elif wrong == "key":
        monkeypatch.setenv("ARTANIS_API_KEY", KEY)
    elif wrong == "network":
        monkeypatch.setenv("ARTANIS_BASE_URL", "http://127.0.0.1:1")
    return "unknown" if wrong == "project" else "support-chat"


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.usefixtures("sandbox")
def test_command_fails(
    command: Callable[..., str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], wrong: str
) -> None:
    """The command exits with a message that names the problem, and without a traceback."""
    retry_at_once(monkeypatch)
    project = make_wrong(wrong, monkeypatch)
    with pytest.raises(SystemExit) as failed:
        command("--project", project)
    message = failed.value.code
    assert isinstance(message, str)
    assert message.startswith("Reading failed; nothing from this run was loaded. ")
    assert WRONG[wrong] in message
    assert "Traceback" not in "".join(capfd.readouterr())


@slow
@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.usefixtures("sandbox")
def test_command_fails_in_a_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    """The process prints only the error message, without a traceback, and exits with status 1."""
    output = finish(launch(tmp_path, project=make_wrong(wrong, monkeypatch)), status=1)
    assert output.startswith("Reading failed; nothing from this run was loaded. ")
    assert "Traceback" not in output
    assert WRONG[wrong] in output


def test_secrecy(
    warehouse: Warehouse,
    project: Project,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The API key never appears in anything that dlt writes or prints, whether the run succeeds or fails."""
    monkeypatch.setenv("RUNTIME__LOG_LEVEL", "DEBUG")
    project.add("a", approvedOutput=None)
    warehouse.run()
    project.server.answers = [Answer(500, headers={"retry-after": "0"})]
    with pytest.raises(PipelineStepFailed) as failed:
        warehouse.run()
    last = warehouse.pipeline().last_trace
    assert last is not None
    output = "".join(capfd.readouterr()) + repr(failed.value) + repr(vars(failed.value)) + last.asstr(2)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 10
    assert "trace_pages" in output
    assert KEY not in output
    assert not [path for path in files if KEY.encode() in path.read_bytes()]
    state = json.dumps(warehouse.query("SELECT * FROM _dlt_pipeline_state"), default=str)
    assert KEY not in state


@slow
def test_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a DuckDB memory limit, four times as many traces need no more memory, except for the list."""
    monkeypatch.setenv("DESTINATION__DUCKDB__CREDENTIALS__GLOBAL_CONFIG", json.dumps({"memory_limit": "100MB"}))
    program = "import load, resource; load.main(); print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    most = []
    for count in (5_000, 20_000):
        folder = tmp_path / str(count)
        folder.mkdir()
        with Sandbox(traces=count, now=NOW) as sandbox:
            use(sandbox, monkeypatch)
            output = finish(launch(folder, "-c", program), limit=10 * HANG)
        most.append(int(output.splitlines()[-1]) / 1024)
    assert most[1] - most[0] < 60 + 15_000 * 0.002, most  # MiB: 2 KiB per listed trace, plus variation in DuckDB

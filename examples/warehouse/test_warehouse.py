"""The recipe, against servers on this machine: every row arrives, once, and nothing is read without need."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
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
from load import load
from support import KEY, PROMPT, Answer, Request, Server, span, trace

HERE = Path(__file__).parent
IS_SLOW = bool(os.environ.get("ARTANIS_SLOW"))
EVERYTHING = 36500
"""A window, in days, that has all traces of the sandbox in it: they are of spring 2026."""

TABLES = ["prompts", "prompt_versions", "traces", "spans", "feedback", "evaluation_examples"]


class Warehouse:
    """A DuckDB file, and the pipeline into it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "warehouse.duckdb"
        self.dataset = "artanis"

    def pipeline(self) -> dlt.Pipeline:
        destination = dlt.destinations.duckdb(str(self.path))
        return dlt.pipeline(
            "artanis", pipelines_dir=str(self.folder / "dlt"), destination=destination, dataset_name=self.dataset
        )

    def run(self, source: Callable[[], DltSource] | None = None, *, full_refresh: bool = False, **options: Any) -> bool:
        """Load; returns whether dlt loaded something."""
        options = {"review_window_days": EVERYTHING, **options}
        pipeline = self.pipeline()
        info = load(pipeline, source() if source else artanis(**options), full_refresh=full_refresh)
        return bool(info and info.loads_ids)

    def query(self, sql: str) -> list[dict[str, Any]]:
        with duckdb.connect(str(self.path), read_only=True) as connection:
            connection.execute("SET timezone = 'UTC'")
            connection.execute(f"USE {self.dataset}")
            found = connection.execute(sql)
            names = [column[0] for column in found.description]
            return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    def rows(self, table: str) -> list[dict[str, Any]]:
        """The rows as JSON, without what dlt adds, in the order of their keys."""
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

    def counts(self) -> dict[str, int]:
        """Rows of every table, dlt's own included."""
        tables = self.query(f"SELECT table_name FROM information_schema.tables WHERE table_schema = '{self.dataset}'")
        return {
            table["table_name"]: self.query(f"SELECT count(*) AS n FROM {table['table_name']}")[0]["n"]
            for table in tables
        }


def iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def held_by(sandbox: Sandbox) -> dict[str, list[dict[str, Any]]]:
    """The rows that a sandbox's answers come to, made without the client."""
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
    monkeypatch.setenv("RUNTIME__DLTHUB_TELEMETRY", "false")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in [name for name in os.environ if name.startswith("ARTANIS_") and name != "ARTANIS_SLOW"]:
        monkeypatch.delenv(name)


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    return Warehouse(tmp_path)


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    with Sandbox(traces=60) as sandbox:
        use(sandbox, monkeypatch)
        yield sandbox


def use(server: Sandbox | Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in server.credentials.items():
        monkeypatch.setenv(f"ARTANIS_{name.upper()}", str(value))


class Project:
    """A project on a server, whose traces a test may change at will."""

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
        """A trace with one span, which is reviewed unless `approvedOutput` says otherwise."""
        detail = trace(id=name, createdAt=iso(created or datetime(2026, 4, 8, 9, tzinfo=UTC)))
        approved = fields.pop("approvedOutput", output)
        fields = {"id": f"span-{name}", "output": output, "approvedOutput": approved, **fields}
        detail |= {"spans": [span(**fields)], "feedback": []}
        self.details.append(detail)
        return detail

    def read(self) -> list[str]:
        """Which traces were read since this was asked last, by name; the list is ``."""
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


def test_every_row(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the sandbox holds is what is in the warehouse, row by row, though one request in twenty goes wrong."""
    with Sandbox(traces=20_000 if IS_SLOW else 400, fault_rate=0.05) as sandbox:
        use(sandbox, monkeypatch)
        assert warehouse.run(concurrency=64)  # many, because a request that failed waits, and so do those behind it
        sandbox.fault_rate = 0
        held = held_by(sandbox)
    for table in TABLES:
        assert warehouse.rows(table) == held[table], table
    assert len(held["traces"]) == (20_000 if IS_SLOW else 400)
    assert not warehouse.query("SELECT 1 FROM spans WHERE _deleted")


def test_types(warehouse: Warehouse, sandbox: Sandbox) -> None:
    """Columns have types, times a zone, and every table a key."""
    warehouse.run()
    columns = {row["column_name"]: row["column_type"] for row in warehouse.query("DESCRIBE spans")}
    assert {columns[name] for name in ("input", "output", "approved_output", "metadata")} == {"JSON"}
    assert columns["created_at"] == "TIMESTAMP WITH TIME ZONE"
    assert {columns[name] for name in ("id", "trace_id", "parent_span_id", "prompt_version_id")} == {"VARCHAR"}
    tables = warehouse.pipeline().default_schema.tables
    keys = {
        table: [name for name, column in tables[table]["columns"].items() if column.get("primary_key")]
        for table in TABLES
    }
    assert keys == {table: ["span_id" if table == "evaluation_examples" else "id"] for table in TABLES}


@pytest.mark.parametrize(
    "value",
    ["hello", "42", '{"a": 1}', "", 42, 1.5, True, False, [], [None], {}, {"a": [1, {"b": "ü"}]}, "a\x00b", "\uf026x"],
    ids=repr,
)
def test_json(warehouse: Warehouse, project: Project, value: Any) -> None:
    """Free JSON is what it was, also where it is a text that spells JSON."""
    project.add("a", output=value, input={"value": value})
    warehouse.run()
    (row,) = warehouse.rows("spans")
    assert row["output"] == row["approved_output"] == value
    assert row["input"] == {"value": value}
    assert type(row["output"]) is type(value)


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (10**30, 10**30),
        ("half of \ud83d", "half of ?"),
        ({"half \ud83d": 1}, {"half ?": 1}),
        (json.loads("[" * 300 + "]" * 300), "[" * 300 + "]" * 300),
    ],
    ids=["large", "surrogate", "surrogate in a key", "deep"],
)
def test_json_that_a_warehouse_does_not_take(warehouse: Warehouse, project: Project, value: Any, kept: Any) -> None:
    """What would make the load fail, for all traces and for good, is kept in the nearest form that does not."""
    project.add("a", output=value)
    warehouse.run()
    (row,) = warehouse.rows("spans")
    assert row["output"] == kept


@pytest.mark.parametrize("file_format", ["parquet", "insert_values"])
def test_file_format(warehouse: Warehouse, sandbox: Sandbox, file_format: str) -> None:
    """Each format that DuckDB loads brings the same rows."""
    warehouse.run(file_format=file_format)
    assert {table: warehouse.rows(table) for table in TABLES} == held_by(sandbox)


def test_parquet_files(tmp_path: Path, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a bucket's Parquet files, free JSON is text that every JSON parser reads."""
    monkeypatch.setenv("DESTINATION__FILESYSTEM__BUCKET_URL", (tmp_path / "bucket").as_uri())
    process = command(tmp_path, "--destination", "filesystem", "--file-format", "parquet")
    output = process.communicate()[0]
    assert process.returncode == 0, output
    held = {row["id"]: row["output"] for row in held_by(sandbox)["spans"]}
    files = str(tmp_path / "bucket" / "artanis_support_chat" / "spans" / "*.parquet")
    with duckdb.connect() as connection:
        found = connection.execute("SELECT id, output FROM read_parquet(?)", [files]).fetchall()
    assert {key: json.loads(text) for key, text in found} == held


def test_empty_project(warehouse: Warehouse, project: Project) -> None:
    """There is a table with all its columns for what nobody has done yet, so that queries work."""
    assert warehouse.run()
    assert {table: warehouse.rows(table) for table in TABLES[2:]} == {table: [] for table in TABLES[2:]}
    for query in (HERE / "queries").iterdir():
        assert warehouse.query(query.read_text()) == []
    counts = warehouse.counts()
    assert not warehouse.run()
    assert warehouse.counts() == counts
    project.add("a")
    assert warehouse.run()
    assert len(warehouse.rows("traces")) == 1


# The next run


def unreviewed(sandbox: Sandbox) -> int:
    """How many traces have a span that nobody has approved an output for."""
    spans = [row for row in held_by(sandbox)["spans"] if row["approved_output"] is None]
    return len({row["trace_id"] for row in spans})


def test_nothing_new(warehouse: Warehouse, sandbox: Sandbox) -> None:
    """A second run reads the list and the unreviewed traces, and the prompts, and writes nothing, not even for dlt."""
    warehouse.run()
    counts, expected_requests = warehouse.counts(), 1 + unreviewed(sandbox)
    before = sandbox.request_count
    assert not warehouse.run()
    paths = [path for _, path in sandbox.requests[before - sandbox.request_count :]]
    assert sum(path.startswith("/api/traces") for path in paths) == expected_requests
    assert sum(path.startswith("/api/prompts") for path in paths) == 1 + 3
    assert warehouse.counts() == counts
    assert 10 < expected_requests < 60


def test_only_traces(warehouse: Warehouse, sandbox: Sandbox) -> None:
    """Whoever leaves out the prompts pays for none."""
    tables = TABLES[2:]
    warehouse.run(lambda: artanis(review_window_days=EVERYTHING).with_resources(*tables))
    assert sandbox.request_count == 1 + 60
    assert {table: warehouse.rows(table) for table in tables} == {table: held_by(sandbox)[table] for table in tables}


def test_changes(warehouse: Warehouse, sandbox: Sandbox) -> None:
    """New traces, reviews, comments and prompt versions arrive with the next run, and nothing else is written."""
    warehouse.run()
    open_ids = sorted({row["trace_id"] for row in warehouse.rows("spans") if row["approved_output"] is None})
    sandbox.review(open_ids[0], comment="Read again.")
    sandbox.review(open_ids[1], step="classify", comment="Only this one.")
    sandbox.add_trace()
    prompt = warehouse.rows("prompts")[0]["id"]
    sandbox.add_version(prompt, "Answer with one label, please.")
    assert warehouse.run()
    assert {table: warehouse.rows(table) for table in TABLES} == held_by(sandbox)
    (load_id,) = warehouse.query("SELECT max(load_id) AS id FROM _dlt_loads")
    written = warehouse.query(f"SELECT count(*) AS n FROM traces WHERE _dlt_load_id = '{load_id['id']}'")
    assert written == [{"n": 3}]
    (first, *_) = [row["id"] for row in warehouse.rows("prompt_versions") if row["prompt_id"] == prompt]
    sandbox.activate_version(prompt, first)
    warehouse.run()
    assert {table: warehouse.rows(table) for table in TABLES} == held_by(sandbox)


def test_window(warehouse: Warehouse, project: Project) -> None:
    """An unreviewed trace is read again until it is reviewed, or until the window has passed."""
    now = datetime.now(UTC)
    project.add("old", now - timedelta(days=31), approvedOutput=None)
    project.add("late", now - timedelta(days=29), approvedOutput=None)
    project.add("done", now - timedelta(days=1))
    warehouse.run(artanis)
    assert project.read() == ["", "done", "late", "old"]
    warehouse.run(artanis)
    assert project.read() == ["", "late"]
    for detail in project.details:
        detail["spans"][0]["approvedOutput"] = "y"
    assert warehouse.run(artanis)
    assert project.read() == ["", "late"]
    assert not warehouse.run(artanis)
    assert project.read() == [""]
    assert {row["trace_id"]: row["outcome"] for row in warehouse.rows("evaluation_examples")} == {
        "done": "accepted",
        "late": "corrected",
    }
    assert warehouse.run(artanis, full_refresh=True)
    assert len(warehouse.rows("evaluation_examples")) == 3


def test_without_spans(warehouse: Warehouse, project: Project) -> None:
    """A trace that has no spans yet is not taken for a reviewed one."""
    project.add("a")["spans"].clear()
    warehouse.run()
    project.details[0]["spans"].append(span(id="later"))
    warehouse.run()
    assert [row["id"] for row in warehouse.rows("spans")] == ["later"]


def test_overlap(warehouse: Warehouse, project: Project) -> None:
    """A trace that appears late, with an older time, is noticed within the overlap, and read once."""
    newest = datetime(2026, 4, 8, 9, tzinfo=UTC)
    project.add("a", newest)
    project.add("b", newest - timedelta(hours=5))
    warehouse.run()
    project.add("late", newest - timedelta(hours=23))
    project.add("same", newest)
    project.add("older", newest - timedelta(hours=25))
    project.read()
    warehouse.run()
    assert project.read() == ["", "late", "same"]
    warehouse.run()
    assert project.read() == [""]
    warehouse.run(full_refresh=True)
    assert len(warehouse.rows("traces")) == 5


def test_a_clock_that_is_ahead(warehouse: Warehouse, project: Project) -> None:
    """A trace from the future does not hide those of the present."""
    project.add("a", datetime(2099, 1, 1, tzinfo=UTC))
    warehouse.run()
    project.add("b", datetime.now(UTC))
    warehouse.run()
    project.read()
    warehouse.run()
    assert project.read() == [""]
    assert [row["id"] for row in warehouse.rows("traces")] == ["a", "b"]


def test_withdrawn(warehouse: Warehouse, project: Project) -> None:
    """A comment and an approval that are taken back while the trace is not reviewed yet leave the warehouse, too."""
    detail = project.add("a")
    detail["spans"].append(span(id="open", approvedOutput=None))
    detail["feedback"].append(comment())
    warehouse.run()
    assert len(warehouse.rows("feedback")) == len(warehouse.rows("evaluation_examples")) == 1
    detail["feedback"].clear()
    detail["spans"][0]["approvedOutput"] = None
    warehouse.run()
    assert warehouse.rows("feedback") == warehouse.rows("evaluation_examples") == []
    assert len(warehouse.rows("spans")) == 2


def test_concurrency(warehouse: Warehouse, project: Project) -> None:
    """As many requests are in flight at once as the source is told, also more than the client would send by itself."""
    for number in range(20):
        project.add(f"{number}")
    together = threading.Barrier(20)

    def hold(request: Request) -> Answer:
        if request.path.startswith("/api/traces/"):
            together.wait(10)
        return project._answer(request)

    project.server.answers = [hold]
    warehouse.run(concurrency=20)
    assert len(warehouse.rows("traces")) == 20


def test_limit(warehouse: Warehouse, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """With dlt's `add_limit` a backlog comes in parts, and nothing of it is lost between them."""
    monkeypatch.setattr("artanis_source.PAGE", 7)
    found = []

    def limited() -> DltSource:
        source = artanis()  # whose window has passed for all of them
        source.trace_pages.add_limit(2)
        return source

    for _ in range(20):
        if not warehouse.run(limited):
            break
        found.append(len(warehouse.rows("traces")))
    assert found == [14, 28, 42, 56, 60]
    assert {table: warehouse.rows(table) for table in TABLES} == held_by(sandbox)


# What goes wrong


def test_deleted(warehouse: Warehouse, sandbox: Sandbox) -> None:
    """A trace that is gone when it is its turn is left out; one that was loaded stays until a full refresh."""
    ids = [row["id"] for row in held_by(sandbox)["traces"]]
    sandbox.delete_trace(ids[0], listed=True)
    warehouse.run()
    assert [row["id"] for row in warehouse.rows("traces")] == sorted(ids[1:])
    for trace_id in ids[1:]:
        sandbox.delete_trace(trace_id)
    warehouse.run()
    assert [row["id"] for row in warehouse.rows("traces")] == sorted(ids[1:])
    sandbox.delete_trace(sandbox.add_trace())
    assert warehouse.run(full_refresh=True)
    assert warehouse.rows("traces") == []


@pytest.mark.parametrize("fails", ["list", "trace"])
def test_server_fails(warehouse: Warehouse, project: Project, fails: str) -> None:
    """A server that fails for good makes the run fail; nothing is written, and the next run has everything."""
    project.add("a")
    warehouse.run()
    counts = warehouse.counts()
    for name in "bcd":
        project.add(name, datetime(2026, 4, 9, tzinfo=UTC))
    answer = project._answer

    def broken(request: Request) -> Answer:
        path = "/api/traces?" if fails == "list" else "/api/traces/c"
        return Answer(500, headers={"retry-after": "0"}) if request.path.startswith(path) else answer(request)

    project.server.answers = [broken]
    with pytest.raises(PipelineStepFailed, match="500"):
        warehouse.run()
    assert warehouse.counts() == counts
    project.server.answers = [answer]
    assert warehouse.run()
    assert [row["id"] for row in warehouse.rows("traces")] == ["a", "b", "c", "d"]


def test_a_trace_that_cannot_be_read(warehouse: Warehouse, project: Project) -> None:
    """A trace that is not what the contract says does not hold up the others, and is tried again, however old it is."""
    for name in "abc":
        project.add(name)
    project.answers["b"] = Answer(body={"id": "b"})
    warehouse.run(artanis)
    assert [row["id"] for row in warehouse.rows("traces")] == ["a", "c"]
    project.read()
    assert not warehouse.run(artanis)
    assert project.read() == ["", "b"]
    del project.answers["b"]
    assert warehouse.run(artanis)
    assert [row["id"] for row in warehouse.rows("traces")] == ["a", "b", "c"]
    project.read()
    assert not warehouse.run(artanis)
    assert project.read() == [""]


def test_a_trace_that_is_gone_for_a_moment(warehouse: Warehouse, project: Project) -> None:
    """A review is not lost because the trace could not be found in a run before it."""
    project.add("a", approvedOutput=None)
    project.add("b", datetime(2026, 5, 9, tzinfo=UTC))
    warehouse.run()
    project.answers["a"] = Answer(404, {"error": "Not found"})
    warehouse.run()
    del project.answers["a"]
    project.details[0]["spans"][0]["approvedOutput"] = "x"
    assert warehouse.run()
    assert [row["trace_id"] for row in warehouse.rows("evaluation_examples")] == ["a", "b"]
    project.read()
    warehouse.run()
    assert project.read() == [""]


def test_undocumented(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """A field that the contract does not know is kept, by its own name."""
    with Sandbox(traces=5, drift=["undocumented-field", "undocumented-nested-field"]) as sandbox:
        use(sandbox, monkeypatch)
        warehouse.run()
        assert {table: warehouse.rows(table) for table in TABLES} == held_by(sandbox)
    assert warehouse.query("SELECT DISTINCT additional_properties.score::DOUBLE AS s FROM spans") == [{"s": 0.93}]
    assert {row["additional_properties"]["language"] for row in warehouse.rows("prompts")} == {"en"}


@pytest.mark.parametrize("file_format", ["parquet", "insert_values"])
def test_undocumented_later(warehouse: Warehouse, project: Project, file_format: Any) -> None:
    """A field that appears later, or changes its type, is kept as it is, whatever its name and its value are."""
    values = [3, 1e300, "99999999999999999999", "2026-04-08T09:00:00Z", 2**62, True, 2, "42", [None], {"a": 1}]
    more = {"traceId": "another", "_deleted": True, "_dlt_id": "x", "_dlt_root_id": 1, "": 1}
    project.add("a")
    for number, value in enumerate([*values, 10**30]):
        detail = project.add(f"b{number:02}", datetime(2026, 4, 9, number, tzinfo=UTC))
        detail["region"] = "eu"
        detail["spans"][0] |= {"cost": value, **more}
        warehouse.run(file_format=file_format)
    traces, (none, *spans) = warehouse.rows("traces"), warehouse.rows("spans")
    assert [trace["additional_properties"] for trace in traces] == [None] + [{"region": "eu"}] * len(spans)
    assert none["additional_properties"] is None
    # The nearest float for an integer of more than 64 bits within an object: dlt reads it so.
    assert [one["additional_properties"] for one in spans] == [{"cost": v, **more} for v in [*values, 1e30]]
    assert [one["trace_id"] for one in spans] == [trace["id"] for trace in traces[1:]]


def test_free_json_that_changes_its_type(warehouse: Warehouse, project: Project) -> None:
    """Documented JSON may be an object in one run and something else in the next."""
    project.add("a")
    warehouse.run()
    project.add("b", datetime(2026, 4, 9, tzinfo=UTC), metadata="text")["metadata"] = ["list"]
    warehouse.run()
    spans = {row["id"]: row for row in warehouse.rows("spans")}
    assert spans["span-b"]["metadata"] == "text"
    assert warehouse.rows("traces")[1]["metadata"] == ["list"]


def test_odd_text(warehouse: Warehouse, project: Project) -> None:
    """Text that no warehouse takes, wherever it is, does not hold up the run."""
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
    """A trace of no time, and one that is called otherwise when it is asked for, do not hold up the run."""
    project.add("a")["createdAt"] = "0001-01-01T00:00:00.000Z"
    warehouse.run()
    project.add("b")
    project.answers["b"] = Answer(body={**project.details[1], "id": "B"})
    warehouse.run()
    assert [row["id"] for row in warehouse.rows("traces")] == ["B", "a"]
    project.read()
    warehouse.run()
    assert project.read() == [""]


def test_another_project(warehouse: Warehouse, sandbox: Sandbox) -> None:
    """A pipeline that holds a project refuses another one, whose traces would be mixed with its own."""
    warehouse.run(project_slug=sandbox.project_slug)
    counts = warehouse.counts()
    with pytest.raises(PipelineStepFailed, match=f"holds the project {sandbox.project_slug}: load another with"):
        warehouse.run(project_slug="another")
    assert warehouse.counts() == counts


def test_arguments(warehouse: Warehouse, sandbox: Sandbox) -> None:
    """Times are not negative, and may be as long as one likes; JSON Lines are refused where their types are guessed."""
    for wrong in ({"overlap_hours": -1}, {"review_window_days": -1}, {"file_format": "jsonl"}):
        with pytest.raises(ValueError, match=r"may not be negative|JSON Lines"):
            warehouse.run(**wrong)
    for _ in range(2):
        warehouse.run(overlap_hours=1e9, review_window_days=1e8)
    assert len(warehouse.rows("traces")) == 60


def test_refresh_after_a_run_that_did_not_end(warehouse: Warehouse, project: Project) -> None:
    """A full refresh does not load what an earlier run left behind."""
    project.add("a")
    warehouse.run()
    project.add("b", datetime(2026, 4, 9, tzinfo=UTC))
    pipeline = warehouse.pipeline()
    pipeline.extract(artanis())
    pipeline.normalize()
    project.details.pop()
    assert warehouse.run(full_refresh=True)
    assert [row["id"] for row in warehouse.rows("traces")] == ["a"]


def command(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """`python load.py` with a working folder of its own, as a scheduler's worker has it."""
    return subprocess.Popen(
        [sys.executable, str(HERE / "load.py"), "--project", "support-chat", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "DLT_DATA_DIR": str(folder / "dlt")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.parametrize("keeps_folder", [True, False], ids=["same worker", "another worker"])
def test_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keeps_folder: bool) -> None:
    """Killed at any moment and run again, every row is there, once; also when dlt's working folder is gone."""
    rng = random.Random(7)
    with Sandbox(traces=300) as sandbox:
        use(sandbox, monkeypatch)
        (tmp_path / "measure").mkdir()
        began = time.monotonic()
        whole = command(tmp_path / "measure")
        assert whole.wait(60) == 0, whole.communicate()[0]
        whole.communicate()
        took = time.monotonic() - began
        warehouse = Warehouse(tmp_path)
        warehouse.path, warehouse.dataset = tmp_path / "load_artanis_support_chat.duckdb", "artanis_support_chat"
        moments = [took * (0.3 + 0.7 * rng.random()) for _ in range(24 if IS_SLOW else 6)]
        killed = 0
        for number, moment in enumerate(moments):
            if number % 3 == 0:  # from nothing
                warehouse.path.unlink(missing_ok=True)
                shutil.rmtree(tmp_path / "dlt", ignore_errors=True)
            sandbox.add_trace()
            process = command(tmp_path)
            try:
                process.wait(moment)
            except subprocess.TimeoutExpired:
                killed += 1
                process.kill()
            process.communicate()
            if not keeps_folder:
                shutil.rmtree(tmp_path / "dlt", ignore_errors=True)
            if number % 3 == 2:
                again = command(tmp_path)
                assert again.wait(60) == 0, again.communicate()[0]
                again.communicate()
                assert {table: warehouse.rows(table) for table in TABLES} == held_by(sandbox)
        assert killed


def test_queries(warehouse: Warehouse, sandbox: Sandbox) -> None:
    """The queries say what the client's own functions say."""
    warehouse.run()
    with Artanis() as client:
        details = list(client.traces.iter())
    made = [example for detail in details for example in examples(detail) if example.outcome != "unreviewed"]

    def query(name: str) -> list[dict[str, Any]]:
        return warehouse.query((HERE / "queries" / name).read_text())

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


# The command, and the key


def test_command(tmp_path: Path, sandbox: Sandbox) -> None:
    """`python load.py` loads, says so, and says when there is nothing new."""
    shutil.copytree(HERE / ".dlt", tmp_path / ".dlt")
    output = command(tmp_path).communicate()[0]
    assert "LOADED and contains no failed jobs" in output
    (database,) = tmp_path.glob("load_artanis_*.duckdb")
    with duckdb.connect(str(database), read_only=True) as connection:
        assert connection.execute(f"SELECT count(*) FROM {database.stem[5:]}.traces").fetchall() == [(60,)]
    again = command(tmp_path).communicate()[0]
    assert again == "Nothing is new.\n"


def test_readme(tmp_path: Path, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the README says to look at what was loaded does so."""
    command(tmp_path).communicate()
    (tmp_path / "queries").symlink_to(HERE / "queries")
    monkeypatch.chdir(tmp_path)
    readme = (HERE / "README.md").read_text()
    code = readme.split("```python\n")[1].split("```")[0].replace("my_project", sandbox.project_slug.replace("-", "_"))
    shown = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert "acceptance_rate" in shown.stdout


@pytest.mark.parametrize("wrong", ["key", "none", "project", "network"])
def test_command_fails(tmp_path: Path, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    """What is wrong is said in one line, without a traceback, and the exit status is 1."""
    if wrong == "none":
        monkeypatch.delenv("ARTANIS_API_KEY")
    elif wrong == "key":
        monkeypatch.setenv("ARTANIS_API_KEY", KEY)
    elif wrong == "network":
        monkeypatch.setenv("ARTANIS_BASE_URL", "http://127.0.0.1:1")
    process = command(tmp_path, *(["--project", "unknown"] if wrong == "project" else []))
    output = process.communicate()[0]
    assert process.returncode == 1
    assert output.startswith("Reading failed, and nothing of this run was loaded. ")
    assert "Traceback" not in output
    said = {"none": "Set ARTANIS_API_KEY", "key": "401", "network": "127.0.0.1:1", "project": "40"}
    assert said[wrong] in output


def test_secrecy(
    warehouse: Warehouse,
    project: Project,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The key is in nothing that dlt writes or prints, neither when all is well nor when it is not."""
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


@pytest.mark.skipif(not IS_SLOW, reason="takes minutes")
def test_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four times as many traces take no more memory, but for the list of them, when DuckDB's own is limited."""
    monkeypatch.setenv("DESTINATION__DUCKDB__CREDENTIALS__GLOBAL_CONFIG", json.dumps({"memory_limit": "100MB"}))
    program = "import load, resource; load.main(); print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    most = []
    for count in (5_000, 20_000):
        folder = tmp_path / str(count)
        folder.mkdir()
        with Sandbox(traces=count) as sandbox:
            use(sandbox, monkeypatch)
            environment = {**os.environ, "DLT_DATA_DIR": str(folder), "PYTHONPATH": os.pathsep.join(sys.path)}
            run = subprocess.run(
                [sys.executable, "-c", program, "--project", sandbox.project_slug],
                cwd=folder,
                env=environment,
                capture_output=True,
                text=True,
                check=True,
            )
        most.append(int(run.stdout.splitlines()[-1]) / 1024)
    assert most[1] - most[0] < 60 + 15_000 * 0.002, most  # MiB: 2 KiB for each trace listed, and DuckDB's ups and downs

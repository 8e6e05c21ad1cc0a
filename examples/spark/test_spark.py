"""Test the data source with Spark against local servers: every row arrives exactly once, and no key appears."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
import pyarrow.parquet
import pyspark
import pytest
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession

from artanis_client import models
from artanis_client.sandbox import Sandbox
from artanis_spark import (
    COLUMNS,
    ArtanisDataSource,
    ArtanisReader,
    ArtanisStreamReader,
    Options,
    Share,
    read_traces,
    rows_of,
)
from support import IS_SLOW, KEY, LIMIT, NOW, Answer, Request, Server, ids, serve, span, trace, wait_until

HERE = Path(__file__).parent
TRACES = 200
SANDBOX_KEY = "sandbox-key"
slow = pytest.mark.skipif(not IS_SLOW, reason="takes minutes: make spark SLOW=1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("spark")


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """The server that drivers and workers find in their environment."""
    with Sandbox(traces=TRACES, now=NOW) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def odd() -> Iterator[Server]:
    """A server that answers as a test says, found with the profile `odd`."""
    server = Server()
    yield server
    server.close()


@pytest.fixture(scope="module")
def spark(sandbox: Sandbox, odd: Server, folder: Path) -> Iterator[SparkSession]:
    """A session with two tasks at once, in the environment of a worker."""
    config = folder / "config.toml"
    config.write_text(
        f'[odd]\norg_slug = "my-org"\nproject_slug = "my-project"\napi_key = "{KEY}"\nbase_url = "{odd.url}"\n'
    )
    config.chmod(0o600)
    with pytest.MonkeyPatch.context() as environment:
        for name in [name for name in os.environ if name.startswith("ARTANIS_")]:
            environment.delenv(name)
        for name, value in {**sandbox.environment, "ARTANIS_CONFIG_FILE": str(config), **python()}.items():
            environment.setenv(name, value)
        (folder / "events").mkdir()
        builder = SparkSession.Builder().master("local[2,4]").appName("artanis")  # 4: attempts of a task
        for name, value in settings(folder).items():
            builder = builder.config(name, value)
        session = builder.getOrCreate()
        session.dataSource.register(ArtanisDataSource)
        yield session
        session.stop()


def python() -> dict[str, str]:
    """The environment that makes Spark's Python processes see what this one sees."""
    return {
        "PYSPARK_PYTHON": sys.executable,
        "PYTHONPATH": os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path if entry),
        "SPARK_LOCAL_IP": "127.0.0.1",
    }


def settings(folder: Path) -> dict[str, str]:
    return {
        "spark.ui.enabled": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.eventLog.enabled": "true",
        "spark.eventLog.compress": "false",
        "spark.eventLog.dir": (folder / "events").as_uri(),
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.warehouse.dir": (folder / "warehouse").as_uri(),
    }


def load(spark: SparkSession, **options: Any) -> DataFrame:
    return spark.read.format("artanis").options(**options).load()


def rows(frame: DataFrame) -> list[dict[str, Any]]:
    """Return the rows with JSON and times as the API has them, sorted by id."""
    return sorted((decode(row.asDict()) for row in frame.collect()), key=lambda row: str(row["id"]))


def decode(row: dict[str, Any]) -> dict[str, Any]:
    json_columns = {name for columns in COLUMNS.values() for name, kind in columns.items() if kind == "json"}
    for name, value in row.items():
        if name in json_columns and value is not None:
            row[name] = json.loads(value)
        elif isinstance(value, datetime):
            row[name] = value.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
    return row


def held_by(sandbox: Sandbox) -> dict[str, list[dict[str, Any]]]:
    """Compute, without the client, the rows that a sandbox's responses should produce."""
    headers = {"x-api-key": sandbox.api_key, "x-org-slug": sandbox.org_slug}
    found: dict[str, list[dict[str, Any]]] = {table: [] for table in COLUMNS}
    with httpx.Client(base_url=sandbox.base_url, headers=headers, timeout=LIMIT) as http:
        for listed in http.get("/api/traces", params={"projectSlug": sandbox.project_slug}).json()["traces"]:
            detail = http.get(f"/api/traces/{listed['id']}").raise_for_status().json()
            comments = defaultdict(list)
            for comment in sorted(detail["feedback"], key=lambda comment: comment["createdAt"]):
                comments[comment["spanId"]].append(comment["content"])
                found["feedback"].append({**snake(comment), "trace_id": detail["id"]})
            for one in detail["spans"]:
                is_accepted = json.dumps(one["output"]) == json.dumps(one["approvedOutput"])
                outcome = "accepted" if is_accepted else "corrected"
                more = {"trace_id": detail["id"], "feedback": comments[one["id"]]}
                more["outcome"] = "unreviewed" if one["approvedOutput"] is None else outcome
                found["spans"].append({"prompt_version_id": None, **snake(one), **more})
            found["traces"].append(snake({k: v for k, v in detail.items() if k not in ("spans", "feedback")}))
    return {table: sorted(found[table], key=lambda row: str(row["id"])) for table in COLUMNS}


def snake(data: dict[str, Any]) -> dict[str, Any]:
    named = {"".join("_" + c.lower() if c.isupper() else c for c in name): value for name, value in data.items()}
    return {**named, "additional_properties": None}


# With Spark


def test_every_row(spark: SparkSession, sandbox: Sandbox) -> None:
    """Each table has exactly the rows of the project, with their types, even if one request in twenty fails."""
    found = {table: rows(load(spark, table=table)) for table in ("traces", "feedback")}
    sandbox.fault_rate = 0.05
    found["spans"] = rows(load(spark, parallel_tasks=2, partition_size=60))
    sandbox.fault_rate = 0
    assert found == held_by(sandbox)
    frame = load(spark)
    assert dict(frame.dtypes)["created_at"] == "timestamp"
    assert dict(frame.dtypes)["feedback"] == "array<string>"
    labels = frame.selectExpr("parse_json(output):label::string AS label").distinct().collect()
    assert len(labels) > 1


def test_a_period(spark: SparkSession, sandbox: Sandbox) -> None:
    """`since` and `until` choose the traces before any of them is read."""
    held = [row for row in held_by(sandbox)["traces"] if row["created_at"][:10] in ("2026-04-08", "2026-04-09")]
    before = sandbox.request_count
    assert rows(load(spark, table="traces", since="2026-04-08", until="2026-04-09")) == held
    assert sandbox.request_count - before == 1 + len(held)
    assert 0 < len(held) < TRACES
    assert load(spark, since="2031").collect() == []


def test_a_trace_that_is_gone(spark: SparkSession, odd: Server) -> None:
    """A trace that was deleted since it was listed is left out."""
    gone = ids(8)[2]
    serve(odd, 8, lambda trace_id: Answer(404, {"error": "Not found"}) if trace_id == gone else None)
    found = rows(load(spark, profile="odd", table="traces"))
    assert [row["id"] for row in found] == [one for one in ids(8) if one != gone]


def test_requests_in_flight(spark: SparkSession, odd: Server) -> None:
    """All tasks together have as many requests in flight as the job may have."""
    serve(odd, 12)
    (usual,) = odd.answers
    assert callable(usual)
    together = threading.Barrier(6)

    def answer(request: Request) -> Answer:
        if request.path.startswith("/api/traces/"):
            together.wait(LIMIT)
        return usual(request)

    odd.answers, odd.most_in_flight = [answer], 0
    frame = load(spark, profile="odd", requests_in_flight=6, parallel_tasks=2, partition_size=6)
    assert frame.count() == 12
    assert odd.most_in_flight == 6


def test_a_failed_stage(spark: SparkSession, odd: Server) -> None:
    """A failure names the trace, and says what the client says."""
    bad = ids(8)[5]
    serve(odd, 8, lambda trace_id: Answer(403, {"error": "Forbidden"}) if trace_id == bad else None)
    with pytest.raises(PySparkException) as failed:
        load(spark, profile="odd").collect()
    assert f"/api/traces/{bad}: 403 Forbidden" in str(failed.value)
    assert KEY not in str(failed.value)


def test_a_killed_task(spark: SparkSession, odd: Server) -> None:
    """If a worker is killed, its traces are read again, and no row is lost or doubled."""
    released = threading.Event()
    last = ids(40)[39]
    serve(odd, 40)
    (usual,) = odd.answers
    assert callable(usual)

    def answer(request: Request) -> Answer:
        if request.path.endswith(last):
            released.wait(LIMIT)
        return usual(request)

    odd.answers = [answer]
    odd.requests.clear()
    with ThreadPoolExecutor() as pool:
        frame = load(spark, profile="odd", table="traces", parallel_tasks=2, partition_size=20)
        reading = pool.submit(lambda: rows(frame))
        odd.wait_for(lambda: any(request.path.endswith(last) for request in odd.requests))
        killed = python_workers()
        for process in killed:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        released.set()
        found = reading.result(LIMIT)
    assert killed
    assert [row["id"] for row in found] == ids(40)
    assert sum(request.path.endswith(last) for request in odd.requests) > 1


def python_workers() -> list[int]:
    """Return the Python workers that this process's Spark has forked."""
    return [process for process in descendants(os.getpid(), "pyspark.daemon") if process != daemon_of(process)]


def daemon_of(process: int) -> int:
    parent = parent_of(process)
    return daemon_of(parent) if "pyspark.daemon" in command_of(parent) else process


def descendants(ancestor: int, command: str) -> list[int]:
    """Return the processes below another one whose command line contains a text."""
    found = []
    for process in (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            above = process
            while above not in (0, ancestor):
                above = parent_of(above)
            if above and command in command_of(process):
                found.append(process)
    return found


def parent_of(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def command_of(process: int) -> str:
    return Path(f"/proc/{process}/cmdline").read_text().replace("\0", " ")


@slow
def test_a_stream(spark: SparkSession, odd: Server, tmp_path: Path) -> None:
    """Runs of a stream append new traces and what was reviewed since the last run, and nothing else."""
    now = datetime.now(UTC)
    details = {f"t{number}": detail(f"t{number}", now - timedelta(hours=number + 1)) for number in range(4)}
    serve_details(odd, details)

    def run() -> list[dict[str, Any]]:
        before = spark.read.parquet(str(tmp_path / "rows")).count() if (tmp_path / "rows").exists() else 0
        stream = spark.readStream.format("artanis").options(profile="odd", max_traces=3).load()
        writer = stream.select("trace_id", "outcome").writeStream.option("checkpointLocation", str(tmp_path / "checks"))
        writer.trigger(availableNow=True).start(str(tmp_path / "rows"), format="parquet").awaitTermination()
        found = spark.read.parquet(str(tmp_path / "rows")).collect()
        assert len(found) >= before
        return sorted((row.asDict() for row in found), key=lambda row: str(row["trace_id"]))

    assert [row["trace_id"] for row in run()] == ["t1", "t2", "t3"]
    assert [row["trace_id"] for row in run()] == ["t0", "t1", "t2", "t3"]
    assert len(run()) == 4
    details["t2"]["spans"][0]["approvedOutput"] = "x"
    details["late"] = detail("late", now - timedelta(hours=20))
    details["too late"] = detail("too late", now - timedelta(hours=30))
    found = run()
    assert [row["trace_id"] for row in found] == ["late", "t0", "t1", "t2", "t2", "t3"]
    assert {row["outcome"] for row in found if row["trace_id"] == "t2"} == {"unreviewed", "corrected"}


def detail(name: str, created: datetime) -> dict[str, Any]:
    moment = created.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {**trace(id=name, createdAt=moment), "spans": [span(id=name, approvedOutput=None)], "feedback": []}


def serve_details(server: Server, details: dict[str, dict[str, Any]]) -> None:
    def answer(request: Request) -> Answer:
        if request.path.startswith("/api/traces?"):
            return Answer(body={"traces": [{**one, "spans": 0, "feedback": 0} for one in details.values()]})
        return Answer(body=details[unquote(request.path.rpartition("/")[2])])

    server.answers = [answer]


def test_secrecy(spark: SparkSession, odd: Server, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The key is neither in the job's configuration nor in its plan, event log or task arguments."""
    serve(odd, 4, lambda trace_id: Answer(403, {"error": f"not with {KEY}"}) if trace_id == ids(4)[3] else None)
    with pytest.raises(PySparkException) as failed:
        load(spark, profile="odd").collect()
    frame = load(spark)
    frame.collect()
    frame.explain("extended")
    reader = ArtanisReader(Options({"profile": "odd"}))
    shares = reader.partitions()
    configuration = str(spark.sparkContext.getConf().getAll()) + str(spark.sql("SET").collect())
    plan = "".join(capfd.readouterr()) + str(frame._jdf.queryExecution().toString())
    arguments = pickle.dumps([reader, shares, ArtanisDataSource({"project": "x"})])

    def log() -> bytes:
        return b"".join(path.read_bytes() for path in (folder / "events").rglob("*") if path.is_file())

    # Spark writes its log later, in a thread.
    wait_until(lambda: b"403 not with" in log() and log().count(b"SparkListenerJobEnd") >= 2)
    assert "artanis" in plan
    for key in (KEY, SANDBOX_KEY):
        assert key not in configuration + plan + str(failed.value)
        assert key.encode() not in arguments + log()


JOB = """
import os, sys
from pyspark.sql import SparkSession
from artanis_spark import ArtanisDataSource

spark = SparkSession.builder.master("local-cluster[2,1,1024]").getOrCreate()
spark.dataSource.register(ArtanisDataSource)
frame = spark.read.format("artanis").options(requests_in_flight=32, parallel_tasks=2, partition_size=1000).load()
frame.write.parquet(sys.argv[1])
print("partitions", frame.rdd.getNumPartitions())
"""


@slow
def test_a_killed_executor(tmp_path: Path) -> None:
    """A cluster of two workers reads 20,000 traces once each, though requests fail and one worker is killed."""
    home = tmp_path / "home"  # workers write into it
    home.mkdir()
    for path in Path(pyspark.__file__).parent.iterdir():
        (home / path.name).symlink_to(path)
    with Sandbox(traces=20_000, fault_rate=0.05, now=NOW) as sandbox:
        environment = {**os.environ, **python(), **sandbox.environment, "SPARK_HOME": str(home)}
        command = [sys.executable, "-c", JOB, str(tmp_path / "spans")]
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as job:
            wait_until(lambda: sandbox.request_count > 8000 or job.poll() is not None, 10 * LIMIT)
            executors = descendants(job.pid, "CoarseGrainedExecutorBackend")
            assert len(executors) == 2
            os.kill(executors[0], signal.SIGKILL)
            assert job.communicate(timeout=20 * LIMIT)[0].split()[-1] == "20"
        assert job.returncode == 0
        assert sandbox.request_count > 20_000
        sandbox.fault_rate = 0
        held = held_by(sandbox)["spans"]
    found = [decode(row) for row in pyarrow.parquet.read_table(tmp_path / "spans").to_pylist()]
    assert sorted(found, key=lambda row: str(row["id"])) == held


# Without Spark


def test_shares() -> None:
    """Traces and requests in flight are divided evenly, and all tasks at once never exceed the limit."""

    def split(count: int, **options: Any) -> tuple[list[int], int]:
        shares = Options({name: str(value) for name, value in options.items()}).split(ids(count), {})
        assert [one for share in shares for one in share.trace_ids] == ids(count)
        (each,) = {share.requests_in_flight for share in shares}
        return [len(share.trace_ids) for share in shares], each

    assert split(0) == ([0], 16)
    assert split(1000) == ([1000], 16)
    assert split(1001) == ([500, 501], 8)
    assert split(9000) == ([2250] * 4, 4)
    assert split(9000, parallel_tasks=3, requests_in_flight=16) == ([1000] * 9, 5)
    assert split(100, parallel_tasks=8, partition_size=50, requests_in_flight=32) == ([50, 50], 16)
    assert split(100, parallel_tasks=50, partition_size=10, requests_in_flight=4) == ([25] * 4, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"api_key": KEY}, "Unknown option: api_key. The options are .* set ARTANIS_API_KEY"),
        ({"table": "prompts"}, "table must be one of spans, traces, feedback, not 'prompts'"),
        ({"parallel_tasks": "0"}, "parallel_tasks must be an integer of at least 1, not '0'"),
        ({"requests_in_flight": "many"}, "requests_in_flight must be an integer of at least 1, not 'many'"),
    ],
)
def test_options(options: dict[str, str], message: str) -> None:
    """Wrong options are rejected, and an API key is not repeated."""
    with pytest.raises(ValueError, match=message) as failed:
        Options(options)
    assert KEY not in str(failed.value)


def test_skipped_traces_are_counted(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A worker logs how many traces are gone or do not match the contract; it fails if it reads from elsewhere."""
    server = Server()
    answers = {ids(6)[1]: Answer(404, {"error": "Not found"}), ids(6)[4]: Answer(body={"id": "x"})}
    serve(server, 6, answers.get)
    for name, value in server.credentials.items():
        monkeypatch.setenv(f"ARTANIS_{name.upper()}", str(value))
    scope = {"base_url": server.url, "org_slug": "my-org"}
    assert len(list(read_traces(Options({}), Share(ids(6), 2, scope)))) == 4
    assert "Skipped 2 of 6 traces." in caplog.messages
    with pytest.raises(ValueError, match="The driver has org_slug other, but a worker has my-org"):
        list(read_traces(Options({}), Share(ids(6), 2, scope | {"org_slug": "other"})))
    server.close()


def test_a_stream_that_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch that is read again has the same traces, and only from where the checkpoint is from."""
    server, details = Server(), {name: detail(name, datetime.now(UTC)) for name in "ab"}
    serve_details(server, details)
    for name, value in server.credentials.items():
        monkeypatch.setenv(f"ARTANIS_{name.upper()}", str(value))
    reader = ArtanisStreamReader(Options({"table": "traces"}))
    start = reader.initialOffset()
    first, end = reader.read(start)
    details["c"] = detail("c", datetime.now(UTC))
    assert list(reader.readBetweenOffsets(start, json.loads(json.dumps(end)))) == list(first)
    server.requests.clear()
    found, after = reader.read(json.loads(json.dumps(end)))
    assert [row[0] for row in found] == ["c"]
    assert len(server.requests) == 1 + 3  # the list, and the unreviewed traces
    assert reader.read(after)[1] is after
    monkeypatch.setenv("ARTANIS_ORG_SLUG", "other")
    with pytest.raises(ValueError, match=r"The checkpoint is from .*'my-org'"):
        reader.read(after)
    server.close()


def test_odd_values() -> None:
    """JSON and text that Spark could not take are replaced by the nearest that it takes."""
    half = "\ud83d"
    detail = {**trace(status=half), "spans": [span(output=10**30, input={"ü": half}, more=1)], "feedback": []}
    parsed = models.TraceDetail.from_dict(detail)
    (row,) = rows_of("spans", parsed)
    assert (row["output"], row["input"]) == ("1" + "0" * 30, '{"\\u00fc": "\\ud83d"}')
    assert row["additional_properties"] == '{"more":1}'
    assert rows_of("traces", parsed)[0]["status"] == "?"
    assert rows_of("traces", parsed)[0]["created_at"] == datetime(2026, 4, 8, 9, tzinfo=UTC)

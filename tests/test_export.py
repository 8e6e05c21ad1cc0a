"""`export` and `aexport` write complete files or none, and read no trace twice."""

from __future__ import annotations

import csv
import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import attrs
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from artanis_client import (
    APIResponseValidationError,
    Artanis,
    ArtanisError,
    AsyncArtanis,
    EvaluationExample,
    ExportReport,
    InternalServerError,
    NotFoundError,
    Outcome,
    Progress,
    aexport,
    examples,
    export,
    models,
    to_arrow,
)
from artanis_client.sandbox import Sandbox
from support import (
    KEY,
    LIMIT,
    NOW,
    PROMPT,
    Answer,
    Both,
    Request,
    Server,
    ids,
    mount,
    serve,
    span,
    trace,
    unmeasured,
    until,
)

FORMULA = "=+@\t\r\n\uff1d\uff0b\uff0d\uff20-"
TEXT = ("trace_id", "span_id", "step_id", "prompt_version_id", "trace_status")
FREE_JSON = ("input", "output", "approved_output", "feedback", "metadata", "trace_metadata")


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(traces=40, now=NOW) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def details(sandbox: Sandbox) -> list[models.TraceDetail]:
    return read_details(sandbox)


@pytest.fixture(params=Both.kinds)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def run(kind: str, server: Any, path: Path, options: dict[str, Any] | None = None, **arguments: Any) -> ExportReport:
    def action(client: Any) -> Any:
        return (export if kind == "sync" else aexport)(client, path, **arguments)

    report: ExportReport = Both(kind, server).run(action, **(options or {}))
    return report


def read_jsonl(path: Path) -> list[EvaluationExample]:
    with path.open(encoding="utf-8") as file:
        return [EvaluationExample.from_dict(json.loads(line)) for line in file]


def read_csv(path: Path) -> list[EvaluationExample]:
    with path.open(encoding="utf-8", newline="") as file:
        rows: list[dict[str, Any]] = list(csv.DictReader(file))
    for row in rows:
        row |= {name: json.loads(row[name]) for name in FREE_JSON}
        row |= {name: re.sub(f"^'(?='*[{FORMULA}])", "", text) for name, text in row.items() if name in TEXT}
        row |= {name: row[name] or None for name in ("prompt_version_id", "trace_status")}
    return [EvaluationExample.from_dict(row) for row in rows]


def read_parquet(path: Path) -> list[EvaluationExample]:
    rows: list[dict[str, Any]] = pyarrow.parquet.read_table(path).to_pylist()
    for row in rows:
        row |= {name: json.loads(row[name]) for name in FREE_JSON if name != "feedback" and row[name] is not None}
        row |= {name: value.isoformat() for name, value in row.items() if name.endswith("_at")}
    return [EvaluationExample.from_dict(row) for row in rows]


READERS: dict[str, Any] = {"jsonl": read_jsonl, "csv": read_csv, "parquet": read_parquet}


def read_details(sandbox: Sandbox) -> list[models.TraceDetail]:
    with Artanis(**sandbox.credentials, timeout=LIMIT) as client:
        return [client.traces.get(listed.id) for listed in client.traces.list()]


def expected(details: list[models.TraceDetail], **arguments: Any) -> list[EvaluationExample]:
    return [made for detail in details for made in examples(detail, **arguments)]


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"config"}


# Contents of the file


@pytest.mark.parametrize("suffix", READERS)
def test_every_example(
    sandbox: Sandbox, details: list[models.TraceDetail], kind: str, tmp_path: Path, suffix: str
) -> None:
    """The file contains all examples of all traces, in the order of the list."""
    report = run(kind, sandbox, tmp_path / f"all.{suffix}")
    made = READERS[suffix](tmp_path / f"all.{suffix}")
    assert made == expected(details)
    assert (report.traces, report.read, report.examples, report.skipped) == (40, 40, len(made), ())
    assert report.outcomes == {outcome: sum(one.outcome is outcome for one in made) for outcome in Outcome}
    assert names(tmp_path) == {f"all.{suffix}", f"all.{suffix}.manifest.json"}


def test_some_examples(sandbox: Sandbox, details: list[models.TraceDetail], kind: str, tmp_path: Path) -> None:
    """`outcomes` and `steps` select examples as in `examples`."""
    path = tmp_path / "some.jsonl"
    run(kind, sandbox, path, outcomes="corrected", steps=["tone", "classify"])
    made = read_jsonl(path)
    assert made == expected(details, outcomes="corrected", steps=["tone", "classify"])
    assert made


def test_period(sandbox: Sandbox, kind: str, tmp_path: Path) -> None:
    """Only traces between `since` and `until` are read."""
    report = run(kind, sandbox, tmp_path / "april.jsonl", since="2026-04", until="2026-04-20")
    made = read_jsonl(tmp_path / "april.jsonl")
    assert {f"{one.trace_created_at:%Y-%m}" for one in made} == {"2026-04"}
    assert 0 < report.read < 40


def test_empty_project(server: Server, kind: str, tmp_path: Path) -> None:
    """A project without traces becomes an empty file, or a table with only its heading or schema."""
    serve(server, 0)
    assert run(kind, server, tmp_path / "none.jsonl").examples == 0
    run(kind, server, tmp_path / "none.csv")
    run(kind, server, tmp_path / "none.parquet")
    assert (tmp_path / "none.jsonl").read_bytes() == b""
    assert (tmp_path / "none.csv").read_text().startswith("trace_id,span_id,step_id,")
    table = pyarrow.parquet.read_table(tmp_path / "none.parquet")
    assert (table.num_rows, table.schema) == (0, to_arrow([]).schema)
    assert len(names(tmp_path)) == 6


def test_chat(sandbox: Sandbox, details: list[models.TraceDetail], kind: str, tmp_path: Path) -> None:
    """Each reviewed span becomes a conversation of the prompt version, the input and the approved output."""
    path = tmp_path / "tune.jsonl"
    with pytest.warns(UserWarning, match="unfilled"):
        run(kind, sandbox, path, format="chat")
    contents = prompt_contents(sandbox)
    wanted = expected(details, outcomes=["accepted", "corrected"])
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert len(lines) == len(wanted)
    for line, one in zip(lines, wanted, strict=True):
        *system, user, assistant = line["messages"]
        version = one.prompt_version_id
        assert system == ([{"role": "system", "content": contents[version]}] if version else [])
        assert (user["role"], assistant["role"]) == ("user", "assistant")
        for message, value in ((user, one.input), (assistant, one.approved_output)):
            assert message["content"] == value if isinstance(value, str) else json.loads(message["content"]) == value
        assert line["metadata"] == {
            "trace_id": one.trace_id,
            "span_id": one.span_id,
            "step_id": one.step_id,
            "prompt_version_id": version,
            "outcome": one.outcome,
        }


@pytest.mark.parametrize("format_", ["chat", "preference"])
def test_unfilled_placeholders(
    sandbox: Sandbox, details: list[models.TraceDetail], kind: str, tmp_path: Path, format_: Any
) -> None:
    """Rows that would train on an unfilled template are counted, in a warning that names the placeholders."""
    contents, made = prompt_contents(sandbox), expected(details, outcomes=["accepted", "corrected"])
    texts = [
        contents.get(one.prompt_version_id or "", "") for one in made if format_ == "chat" or one.outcome == "corrected"
    ]
    counts = {name: sum(f"{{{name}}}" in text for text in texts) for name in ("message", "documents")}
    assert all(counts.values())
    with pytest.warns(UserWarning, match=rf"documents in {counts['documents']} rows.*\. In Python, export\(render=…\)"):
        report = run(kind, sandbox, tmp_path / "a.jsonl", format=format_)
    assert report.unfilled == counts
    assert json.loads(report.manifest.read_text())["unfilled"] == counts
    with pytest.warns(UserWarning, match="unfilled placeholders"):
        again = run(kind, sandbox, tmp_path / "a.jsonl", format=format_, recheck="unreviewed")
    assert again.read < 40
    assert again.unfilled == counts  # also in the traces that were not read again


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("{a} and {b_2} and {a}", {"a": 2, "b_2": 2}),
        ("{{a}} {{ é }}", {"a": 2, "é": 2}),
        ('{"a": 1} {} {0} {a b} {{ }} {a', {}),
        ("x", {}),
    ],
)
def test_names_of_placeholders(server: Server, tmp_path: Path, content: str, found: dict[str, int]) -> None:
    """Placeholders are `{name}` and `{{name}}`, but neither JSON nor other braces."""
    version = {"id": "v1", "content": content, "isActive": True, "createdAt": PROMPT["createdAt"]}

    def answer(request: Request) -> Answer:
        if "?" in request.path:
            return Answer(body={"traces": [trace(id=id_) for id_ in ids(2)], "prompts": [PROMPT]})
        id_ = request.path.rpartition("/")[2]
        if id_ == PROMPT["id"]:
            return Answer(body={**PROMPT, "versions": [version]})
        return Answer(body={**trace(id=id_), "spans": [span(promptVersionId="v1")], "feedback": []})

    server.answers = [answer]
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        report = run("sync", server, tmp_path / "a.jsonl", format="chat")
    assert report.unfilled == found
    assert len(shown) == bool(found)


@pytest.mark.parametrize("format_", ["chat", "preference", "function"])
def test_render(sandbox: Sandbox, details: list[models.TraceDetail], kind: str, tmp_path: Path, format_: str) -> None:
    """`render` makes the system message from the prompt and the input, and then there is nothing to warn of."""
    contents, seen = prompt_contents(sandbox), list[tuple[str, Any]]()

    def render(content: str, value: Any) -> str:
        seen.append((content, value))
        return f"{content}!"

    function: Any = {
        "function": lambda _, prompt: {"prompt": [{"role": "system" if prompt else "", "content": prompt}]}
    }
    arguments: Any = {"format": function.get(format_, format_), "render": render, "outcomes": "corrected"}
    report = run(kind, sandbox, tmp_path / "a.jsonl", **arguments)
    made = [one for one in expected(details, outcomes="corrected") if one.prompt_version_id]
    assert seen == [(contents[one.prompt_version_id or ""], one.input) for one in made]
    rows = [json.loads(line) for line in report.path.read_text(encoding="utf-8").splitlines()]
    first = [row["messages" if format_ == "chat" else "prompt"][0] for row in rows]
    assert [one["content"] for one in first if one["role"] == "system"] == [f"{content}!" for content, _ in seen]
    assert report.unfilled == {}


@pytest.mark.parametrize("format_", ["chat", "jsonl", "csv", "parquet"])
def test_require_prompt(
    sandbox: Sandbox, details: list[models.TraceDetail], kind: str, tmp_path: Path, format_: Any
) -> None:
    """`require_prompt` leaves out and counts the examples without a prompt."""
    arguments: Any = {"outcomes": "corrected", "require_prompt": True, "steps": ["classify", "handle"]}
    path = tmp_path / f"a.{'jsonl' if format_ == 'chat' else format_}"
    report = run(kind, sandbox, path, format=format_, **arguments)
    made = expected(details, outcomes="corrected", steps=["classify", "handle"])
    assert report.left_out == sum(one.prompt_version_id is None for one in made) > 0
    assert report.examples == len(made) - report.left_out > 0


def test_chat_without_metadata(sandbox: Sandbox, kind: str, tmp_path: Path) -> None:
    """Trainers that refuse further keys get messages only, which a file with metadata is not reused for."""
    path = tmp_path / "a.jsonl"
    arguments: Any = {"format": "chat", "steps": "handle"}
    run(kind, sandbox, path, **arguments)
    report = run(kind, sandbox, path, **arguments, metadata=False, recheck="unreviewed")
    assert report.read == 40
    assert {tuple(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()} == {("messages",)}


def test_mixed_steps(sandbox: Sandbox, kind: str, tmp_path: Path) -> None:
    """A file for training with several steps is noted, unless `steps` chooses them."""
    render: Any = lambda content, _: content  # noqa: E731
    report = run(kind, sandbox, tmp_path / "a.jsonl", format="chat", render=render)
    [text] = report.notes
    assert re.search(r"from \d steps: answer, .*tone\. Choose those", text)
    for arguments in ({"format": "chat", "steps": ["tone", "handle"]}, {"format": "chat", "steps": "tone"}, {}):
        assert run(kind, sandbox, tmp_path / "a.jsonl", **arguments).notes == ()


def test_chat_without_the_prompt(kind: str, tmp_path: Path) -> None:
    """Spans whose prompt was deleted are left out and reported."""
    with Sandbox(traces=10) as sandbox, Artanis(**sandbox.credentials) as client:
        [prompt] = [prompt for prompt in client.prompts.list() if prompt.step_id == "tone"]
        gone = {version.id for version in client.prompts.get(prompt.id).versions}
        sandbox.remove_prompt(prompt.id)
        report = run(kind, sandbox, tmp_path / "tune.jsonl", format="chat", render=lambda content, _: content)
        reviewed = expected(read_details(sandbox), outcomes=["accepted", "corrected"])
        lost = [one for one in reviewed if one.prompt_version_id in gone]
    assert lost
    assert [(skipped.trace_id, skipped.span_id) for skipped in report.skipped] == [
        (one.trace_id, one.span_id) for one in lost
    ]
    assert "no prompt version" in report.skipped[0].reason


@pytest.mark.parametrize("how", ["recheck", "resume"])
def test_chat_when_the_prompt_comes_back(server: Server, kind: str, tmp_path: Path, how: str) -> None:
    """A span that was left out for lack of a prompt version is read again when a later run could find the version."""
    path, versions, count = tmp_path / "tune.jsonl", list[Any](), 4

    def answer(request: Request) -> Answer:
        prompt = {**PROMPT, "versions": versions}
        name = request.path.partition("?")[0].rpartition("/")[2]
        if name in ("traces", "prompts"):
            return Answer(body={"traces": [trace(id=id_) for id_ in ids(count)], "prompts": [PROMPT]})
        if name == ids(count)[-1] and is_failing:
            return Answer(404)
        number = ids(count).index(name) if name in ids(count) else 0
        spans = [span(promptVersionId="v1" if number else None)]
        return Answer(body=prompt if name == PROMPT["id"] else {**trace(id=name), "spans": spans, "feedback": []})

    server.answers = [answer]
    is_failing = how == "resume"
    if is_failing:
        with pytest.raises(NotFoundError):
            run(kind, server, path, format="chat")
        is_failing = False
    else:
        assert len(run(kind, server, path, format="chat").skipped) == 3
    arguments: Any = {"resume": True} if how == "resume" else {"recheck": "unreviewed"}
    for known in (False, True):
        versions += [{"id": "v1", "content": "x", "isActive": True, "createdAt": PROMPT["createdAt"]}] if known else []
        report = run(kind, server, path, format="chat", **arguments)
        assert (len(report.skipped), report.examples, report.read) == ((0, 4, 3) if known else (3, 1, 3))
        if how == "resume":  # which is over after a success
            arguments = {"recheck": "unreviewed"}
    assert run(kind, server, path, format="chat", recheck="unreviewed").read == 0


def prompt_contents(sandbox: Sandbox) -> dict[str, str]:
    with Artanis(**sandbox.credentials, timeout=LIMIT) as client:
        histories = [client.prompts.get(prompt.id) for prompt in client.prompts.list()]
    return {version.id: version.content for history in histories for version in history.versions}


def test_preference(sandbox: Sandbox, details: list[models.TraceDetail], kind: str, tmp_path: Path) -> None:
    """Each corrected span becomes a pair of the approved and the original output, for the same prompt and input."""
    contents, made = prompt_contents(sandbox), expected(details, outcomes="corrected")
    report = run(kind, sandbox, tmp_path / "pairs.jsonl", format="preference", render=lambda content, _: content)
    rows = [json.loads(line) for line in (tmp_path / "pairs.jsonl").read_text(encoding="utf-8").splitlines()]
    assert (report.examples, report.outcomes) == (
        len(made),
        {Outcome.UNREVIEWED: 0, Outcome.ACCEPTED: 0, Outcome.CORRECTED: len(made)},
    )
    for row, one in zip(rows, made, strict=True):
        assert list(row) == ["prompt", "chosen", "rejected"]
        version = one.prompt_version_id
        roles = [message["role"] for message in row["prompt"]]
        assert roles == (["system", "user"] if version else ["user"])
        assert not version or row["prompt"][0]["content"] == contents[version]
        for messages, value in (
            (row["prompt"][-1:], one.input),
            (row["chosen"], one.approved_output),
            (row["rejected"], one.output),
        ):
            [message] = messages
            content = message["content"]
            assert content == value if isinstance(value, str) else json.loads(content) == value
        assert {message["role"] for message in row["chosen"] + row["rejected"]} == {"assistant"}
    assert {len(row["prompt"]) for row in rows} == {1, 2}


def make_pair(made: EvaluationExample, prompt: str | None) -> dict[str, Any] | None:
    """A format function that leaves out what is not reviewed."""
    if made.approved_output is None:
        return None
    return {"in": made.input, "out": made.approved_output, "prompt": prompt, "line": "a\u2028b"}


def test_a_format_function(sandbox: Sandbox, details: list[models.TraceDetail], kind: str, tmp_path: Path) -> None:
    """A function makes the rows; what it leaves out is counted, and prompts that it does not need are no error."""
    contents, path = prompt_contents(sandbox), tmp_path / "own.jsonl"
    report = run(kind, sandbox, path, format=make_pair, outcomes=["unreviewed", "corrected"])
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    made = expected(details, outcomes="corrected")
    assert rows == [
        {
            "in": one.input,
            "out": one.approved_output,
            "prompt": contents.get(one.prompt_version_id or ""),
            "line": "a\u2028b",
        }
        for one in made
    ]
    assert (report.examples, report.left_out) == (len(made), len(expected(details, outcomes="unreviewed")))
    manifest = json.loads(report.manifest.read_text())
    assert (manifest["format"], manifest["left_out"]) == ("function", report.left_out)


@pytest.mark.parametrize(
    ("returned", "error", "text"),
    [
        ([], TypeError, "must return a dict or None, not list"),
        ({"a": float("nan")}, ValueError, "JSON"),
        ({"a": {1}}, TypeError, "set"),
    ],
)
def test_a_format_function_with_a_bug(server: Server, tmp_path: Path, returned: Any, error: Any, text: str) -> None:
    """Anything but a JSON object raises an error, and the old file stays."""
    serve(server, 2)
    (tmp_path / "a.jsonl").write_text("old")
    with pytest.raises(error, match=text):
        run("sync", server, tmp_path / "a.jsonl", format=lambda *_: returned)
    assert (tmp_path / "a.jsonl").read_text() == "old"


def test_a_format_function_without_the_prompt(tmp_path: Path) -> None:
    """A format function also gets the spans whose prompt was deleted."""
    with Sandbox(traces=10) as sandbox, Artanis(**sandbox.credentials) as client:
        for prompt in client.prompts.list():
            sandbox.remove_prompt(prompt.id)
        report = export(
            client, tmp_path / "a.jsonl", format=lambda made, prompt: {"id": made.span_id, "prompt": prompt}
        )
        rows = [json.loads(line) for line in report.path.read_text(encoding="utf-8").splitlines()]
        assert rows == [{"id": one.span_id, "prompt": None} for one in expected(read_details(sandbox))]
    assert report.skipped == ()


@pytest.mark.parametrize("format_", ["jsonl", "csv", make_pair])
def test_where(sandbox: Sandbox, details: list[models.TraceDetail], kind: str, tmp_path: Path, format_: Any) -> None:
    """`where` selects examples, in addition to the other arguments and in any format."""
    seen: list[EvaluationExample] = []

    def where(made: EvaluationExample) -> bool:
        seen.append(made)
        return made.feedback != ()

    path = tmp_path / ("a.csv" if format_ == "csv" else "a.jsonl")
    report = run(kind, sandbox, path, format=format_, where=where, outcomes="corrected", steps="answer")
    assert seen == expected(details, outcomes="corrected", steps="answer")
    assert (report.examples, report.left_out) == (sum(1 for one in seen if one.feedback), 0)
    assert 0 < report.examples < len(seen)


def test_files_of_functions_are_not_reused(sandbox: Sandbox, kind: str, tmp_path: Path) -> None:
    """A later export without the function reads every trace."""
    for arguments in ({"where": lambda made: made.feedback}, {"format": make_pair}):
        run(kind, sandbox, tmp_path / "a.jsonl", **arguments)
        assert run(kind, sandbox, tmp_path / "a.jsonl", recheck="unreviewed").read == 40


def test_a_table_for_spreadsheets(kind: str, server: Server, tmp_path: Path) -> None:
    """A byte order mark is written on request, and text that looks like a formula is escaped, but not JSON."""
    steps = ["=1+1", "'=1", "'a", "a=b", "-"]
    serve(server, 1, lambda id_: Answer(body={**trace(id=id_), "spans": made, "feedback": []}))
    made = [span(stepId=step, input=-5, output="=1", promptVersionId="@x", approvedOutput="=1") for step in steps]
    path = tmp_path / "a.csv"
    run(kind, server, path, encoding="utf-8-sig")
    assert path.read_bytes().startswith(b"\xef\xbb\xbftrace_id,span_id,")
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["step_id"] for row in rows] == ["'=1+1", "''=1", "'a", "a=b", "'-"]
    assert {(row["input"], row["output"], row["prompt_version_id"]) for row in rows} == {("-5", '"=1"', "'@x")}
    written = path.read_bytes()
    assert run(kind, server, path, encoding="utf-8-sig", recheck="unreviewed").read == 0
    assert path.read_bytes() == written
    assert run(kind, server, path, recheck="unreviewed").read == 1  # another encoding


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_no_number_that_json_lacks(server: Server, kind: str, tmp_path: Path, suffix: str) -> None:
    """A trace with NaN or 1e999 in it is an error or skipped, so that no file contains what no other reader accepts."""
    numbers = dict(zip(ids(3), ["1e308", "1e999", "NaN"], strict=True))

    def answer(id_: str) -> Answer:
        body = {**trace(id=id_), "spans": [span(output={"x": "<>"}, metadata="<>")], "feedback": []}
        return Answer(body=json.dumps(body).replace('"<>"', numbers[id_]).encode())

    serve(server, 3, answer)
    path = tmp_path / f"a.{suffix}"
    with pytest.raises(APIResponseValidationError, match=r"spans\[0\]\.output\.x is not a finite number"):
        run(kind, server, path)
    report = run(kind, server, path, on_error="skip")
    assert (report.examples, [skipped.trace_id for skipped in report.skipped]) == (1, ids(3)[1:])
    assert not re.search("NaN|Infinity", path.read_text())


def test_manifest(sandbox: Sandbox, details: list[models.TraceDetail], kind: str, tmp_path: Path) -> None:
    """The manifest describes what was read, when and from where, and counts the outcomes."""
    run(kind, sandbox, tmp_path / "a.jsonl", outcomes=["corrected"], since="2026-03")
    manifest = json.loads((tmp_path / "a.jsonl.manifest.json").read_text())
    made = expected(details, outcomes="corrected")
    assert manifest["source"] == {
        "base_url": sandbox.base_url,
        "org_slug": sandbox.org_slug,
        "project_slug": sandbox.project_slug,
    }
    assert (manifest["outcomes"], manifest["steps"], manifest["since"]) == (["corrected"], None, "2026-03")
    assert manifest["counts"] == {"unreviewed": 0, "accepted": 0, "corrected": len(made)}
    assert manifest["started_at"] <= manifest["finished_at"]
    assert len(manifest["traces"]) == 40
    lines = (tmp_path / "a.jsonl.manifest.json").read_text().splitlines()
    assert [json.loads(line.removesuffix(",")) for line in lines if '"bytes"' in line] == manifest["traces"]
    assert sum(trace["bytes"] for trace in manifest["traces"]) == (tmp_path / "a.jsonl").stat().st_size


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture
def client(server: Server) -> Iterator[Artanis]:
    with Artanis(**server.credentials, timeout=LIMIT) as client:
        yield client


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(value=JSON, approved=JSON, comments=st.lists(st.text(), max_size=2), step=st.text(st.characters(codec="utf-8")))
@example("a\nb\r\n\"c\", 'd' 🙂\u2028\x85\x00", {"a": [None, {"b": None}]}, ["x\ny"], "a,b\n")
@example("=1", "+1", ["-1"], "=HYPERLINK(1)")
@example("a", "b", [], "'\t'")
@example("a", "b", [], "'-")
@example("\ud83d", ["\ude42", 2**53 + 1, -(2**80), 1e-320], ["\udc00"], '"')
def test_there_and_back(
    server: Server, client: Artanis, tmp_path: Path, value: Any, approved: Any, comments: list[str], step: str
) -> None:
    """Any JSON in a span survives a round trip through each format."""
    made = span(input=value, output=value, approvedOutput=approved, stepId=step, metadata={"x": value})
    feedback = [
        {"id": "f", "spanId": made["id"], "userId": "u", "content": text, "createdAt": made["createdAt"]}
        for text in comments
    ]
    listed = trace()
    details = Answer(body={**listed, "spans": [made], "feedback": feedback})
    server.answers = [lambda request: Answer(body={"traces": [listed]}) if "?" in request.path else details]
    [wanted] = examples(client.traces.get(listed["id"]))
    for suffix, read in READERS.items():
        export(client, tmp_path / f"one.{suffix}")
        [found] = read(tmp_path / f"one.{suffix}")
        assert (found.outcome, found.step_id) == (wanted.outcome, step)
        if suffix == "parquet":  # where text must be Unicode; JSON text escapes what is not
            assert pyarrow.parquet.read_table(tmp_path / "one.parquet").to_pylist() == to_arrow([wanted]).to_pylist()
            escaped = tuple(text.encode("utf-8", "backslashreplace").decode() for text in wanted.feedback)
            wanted = attrs.evolve(wanted, feedback=escaped)
        assert json.dumps(found.to_dict()) == json.dumps(wanted.to_dict())
    assert (tmp_path / "one.jsonl").read_text(encoding="utf-8").count("\n") == 1
    assert len((tmp_path / "one.jsonl").read_text(encoding="utf-8").splitlines()) == 1


# Nothing empty by accident


def test_a_step_that_there_is_not(server: Server, kind: str, tmp_path: Path) -> None:
    """A step in neither a trace nor a prompt is an error that lists the steps; the old file stays."""
    serve(server, 3)
    answer: Any = server.answers[0]
    prompts = Answer(body={"prompts": [{**PROMPT, "stepId": "tone"}]})
    server.answers = [lambda request: prompts if request.path.startswith("/api/prompts?") else answer(request)]
    path, step = tmp_path / "a.jsonl", str(span()["stepId"])
    path.write_text("old")
    listing = ", ".join(sorted([step, "tone"]))
    with pytest.raises(ValueError, match=f"has the step 'tune'. Did you mean 'tone'\\? The steps are: {listing}.$"):
        run(kind, server, path, steps=[step, "tune"])
    with pytest.raises(ValueError, match=r"has the step 'xyz'\. The steps are: tone\.$"):
        run(kind, server, path, steps="xyz", since="2030")
    assert (path.read_text(), names(tmp_path)) == ("old", {"a.jsonl"})
    assert run(kind, server, path, steps="tone").examples == 0
    assert run(kind, server, path, steps=[step]).examples == 3
    assert run(kind, server, path, steps=[step], outcomes="unreviewed").examples == 0


def test_a_step_in_a_project_without_any(server: Server, kind: str, tmp_path: Path) -> None:
    """If there are no steps, the error says so."""
    serve(server, 0)
    with pytest.raises(ValueError, match=r"has the step 'tone'\. The project has no steps\."):
        run(kind, server, tmp_path / "a.jsonl", steps=["tone"])


def test_steps_of_traces_that_are_not_read_again(server: Server, kind: str, tmp_path: Path) -> None:
    """A step that only the traces of an earlier run have is no error."""
    serve(server, 3)
    step = str(span()["stepId"])
    assert run(kind, server, tmp_path / "a.jsonl", steps=step).read == 3
    assert run(kind, server, tmp_path / "a.jsonl", steps=step, recheck="unreviewed").read == 0
    partial_of(server, tmp_path / "b.jsonl", 3, steps=step)
    other = [span(stepId="other")]
    serve(server, 4, lambda id_: Answer(body={**trace(id=id_), "spans": other, "feedback": []}))
    report = run(kind, server, tmp_path / "b.jsonl", steps=step, resume=True)
    assert (report.read, report.examples) == (1, 3)


def test_fail_if_empty(server: Server, kind: str, tmp_path: Path) -> None:
    """With `fail_if_empty`, a file without examples is an error, and the old file stays."""
    path = tmp_path / "a.csv"
    path.write_text("old")
    for count, arguments in ((0, {}), (3, {"where": lambda _: False}), (3, {"since": "2030"})):
        serve(server, count)
        with pytest.raises(ArtanisError, match=r"No examples match in [0-3] traces"):
            run(kind, server, path, fail_if_empty=True, **arguments)
        assert (path.read_text(), names(tmp_path)) == ("old", {"a.csv"})
    assert run(kind, server, path, fail_if_empty=True).examples == 3


def test_a_prompt_that_was_just_deleted(server: Server, kind: str, tmp_path: Path) -> None:
    """A listed prompt that answers 404 ends the export, or with `on_error="skip"` only its spans are skipped."""
    prompts = {name: {**PROMPT, "id": name} for name in ("gone", "kept")}

    def answer(request: Request) -> Answer:
        if "?" in request.path:
            return Answer(body={"traces": [trace(id=id_) for id_ in ids(2)], "prompts": [*prompts.values()]})
        id_ = request.path.rpartition("/")[2]
        if id_ == "gone":
            return Answer(404, {"error": "Not found"})
        if id_ == "kept":
            version = {"id": "of-kept", "content": "x", "isActive": True, "createdAt": PROMPT["createdAt"]}
            return Answer(body={**prompts[id_], "versions": [version]})
        used = "of-gone" if id_ == ids(2)[0] else "of-kept"
        return Answer(body={**trace(id=id_), "spans": [span(promptVersionId=used)], "feedback": []})

    server.answers = [answer]
    with pytest.raises(NotFoundError, match="/api/prompts/gone"):
        run(kind, server, tmp_path / "a.jsonl", format="chat")
    report = run(kind, server, tmp_path / "a.jsonl", format="chat", on_error="skip")
    assert (report.examples, [skipped.reason for skipped in report.skipped]) == (
        1,
        ["There is no prompt version of-gone."],
    )


@pytest.mark.parametrize("resume", [False, True])
def test_a_trace_that_is_listed_twice(server: Server, kind: str, tmp_path: Path, resume: bool) -> None:
    """A trace that the list contains twice is exported once."""
    listed = [trace(id=id_) for id_ in (*ids(3), ids(3)[1])]
    serve(server, 3)
    answer: Any = server.answers[0]
    twice = Answer(body={"traces": listed})
    server.answers = [lambda request: twice if request.path.startswith("/api/traces?") else answer(request)]
    report = run(kind, server, tmp_path / "a.jsonl", resume=resume)
    assert (report.traces, report.read, report.examples) == (3, 3, 3)
    assert [one.trace_id for one in read_jsonl(tmp_path / "a.jsonl")] == ids(3)
    assert run(kind, server, tmp_path / "a.jsonl", recheck="unreviewed").examples == 3


@pytest.mark.skipif(sys.platform == "win32", reason="pipes are those of Unix")
def test_special_files(server: Server, kind: str, tmp_path: Path) -> None:
    """Pipes and devices are refused before anything is read."""
    os.mkfifo(tmp_path / "pipe")
    reader, writer = os.pipe()
    for path in (tmp_path / "pipe", "/dev/null", f"/dev/fd/{writer}"):
        with pytest.raises(OSError, match="is not a file"):
            run(kind, server, Path(path), format="jsonl")
    os.close(reader)
    os.close(writer)
    assert not server.requests


# Invalid arguments


@pytest.mark.parametrize(
    ("name", "arguments", "error", "text"),
    [
        ("a.txt", {}, ValueError, "Unknown format 'txt': name the file .jsonl, .csv, .parquet, or"),
        ("a", {}, ValueError, "Unknown format ''"),
        ("a.jsonl", {"format": "xml"}, ValueError, "Unknown format 'xml'"),
        ("a.jsonl", {"format": "chat", "outcomes": ["unreviewed"]}, ValueError, 'remove "unreviewed" from outcomes'),
        ("a.jsonl", {"format": "preference", "outcomes": ["accepted", "unreviewed"]}, ValueError, '"unreviewed", "acc'),
        ("a.parquet", {"format": "chat"}, ValueError, "name the file .jsonl"),
        ("a.parquet", {"format": "jsonl"}, ValueError, "name the file .jsonl"),
        ("a.jsonl", {"format": "parquet"}, ValueError, "name the file .parquet"),
        ("a.parquet", {"encoding": "utf-8-sig"}, ValueError, "only for the format csv"),
        ("a.parquet", {"render": max}, ValueError, "render does not apply to the format parquet"),
        ("a.csv", {"format": "chat"}, ValueError, "The format chat does not match the suffix of 'a.csv'"),
        ("a.csv", {"format": make_pair}, ValueError, "name the file .jsonl"),
        ("a.jsonl", {"format": "csv"}, ValueError, "name the file .csv"),
        ("a.jsonl", {"format": make_pair, "resume": True}, ValueError, "reuse finished rows"),
        ("a.jsonl", {"format": make_pair, "recheck": "unreviewed"}, ValueError, "reuse finished rows"),
        ("a.jsonl", {"format": "chat", "render": max, "resume": True}, ValueError, "reuse finished rows"),
        ("a.jsonl", {"render": max}, ValueError, "render does not apply to the format jsonl"),
        ("a.jsonl", {"format": "chat", "render": "x"}, TypeError, "render must be a function"),
        ("a.jsonl", {"where": bool, "resume": True}, ValueError, "reuse finished rows"),
        ("a.jsonl", {"where": bool, "recheck": "unreviewed"}, ValueError, "reuse finished rows"),
        ("a.jsonl", {"where": "corrected"}, TypeError, "where must be a function"),
        ("a.csv", {"encoding": "latin-1"}, ValueError, "Unknown encoding 'latin-1'"),
        ("a.jsonl", {"encoding": "utf-8-sig"}, ValueError, "only for the format csv"),
        ("a.jsonl", {"outcomes": ["wrong"]}, ValueError, "'wrong' is not a valid Outcome"),
        ("a.jsonl", {"recheck": "some"}, ValueError, 'recheck must be "all" or "unreviewed"'),
        ("a.jsonl", {"on_error": "ignore"}, ValueError, "on_error"),
        ("a.jsonl", {"on_progress": anyio.sleep}, TypeError, "on_progress"),
        ("a.jsonl", {"concurrency": 0}, ValueError, "concurrency"),
        ("a.jsonl", {"since": "soon"}, ValueError, "since must be ISO 8601"),
        ("a.jsonl", {"project_slug": "a", "project_id": "b"}, ValueError, "project"),
        ("folder.jsonl", {}, IsADirectoryError, "is not a file"),
        ("missing/a.jsonl", {}, FileNotFoundError, "directory to write to does not exist"),
    ],
)
def test_arguments(
    server: Server, kind: str, tmp_path: Path, name: str, arguments: Any, error: type[Exception], text: str
) -> None:
    """An invalid argument raises an error before anything is read or written."""
    (tmp_path / "folder.jsonl").mkdir()
    with pytest.raises(error, match=text):
        run(kind, server, tmp_path / name, **arguments)
    assert not server.requests
    assert names(tmp_path) == {"folder.jsonl"}


@pytest.mark.skipif(getattr(os, "geteuid", lambda: 0)() == 0, reason="nothing is forbidden to root")
def test_a_folder_that_may_not_be_written(server: Server, kind: str, tmp_path: Path) -> None:
    """A directory without write permission raises an error before anything is read."""
    (tmp_path / "folder").mkdir(mode=0o500)
    with pytest.raises(PermissionError):
        run(kind, server, tmp_path / "folder" / "a.jsonl")
    assert not server.requests


LIMITED = """
import resource, sys
from artanis_client import Artanis, export
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]),) * 2)
with Artanis(api_key="k", org_slug="my-org", project_slug="my-project", base_url=sys.argv[1]) as client:
    export(client, sys.argv[2])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits are those of Unix")
@pytest.mark.parametrize("limit", [10, 5000])
def test_full_disk(server: Server, tmp_path: Path, limit: int) -> None:
    """A full disk raises an error before anything is read, and a disk that fills up later loses nothing."""
    serve(server, 40)
    path = tmp_path / "a.jsonl"
    path.write_text("old")
    command = [sys.executable, "-c", LIMITED, server.url, str(path), str(limit)]
    done = subprocess.run(command, env=unmeasured(), capture_output=True, text=True, check=False, timeout=LIMIT)
    assert "OSError: [Errno 27]" in done.stderr  # what a limit says in place of "No space left on device"
    assert path.read_text() == "old"
    if limit == 10:
        assert not server.requests
    else:
        assert run("sync", server, path, resume=True).read < 40
        run("sync", server, tmp_path / "b.jsonl")
        assert path.read_bytes() == (tmp_path / "b.jsonl").read_bytes()


# Interrupted and resumed


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_resume(server: Server, kind: str, tmp_path: Path, suffix: str) -> None:
    """After a failure the old file is intact, and the next run reads only what is missing and writes the same bytes."""
    path = tmp_path / f"a.{suffix}"
    path.write_text("old")
    serve(server, 30, lambda trace_id: Answer(500) if trace_id == ids(30)[20] else None)
    with pytest.raises(InternalServerError):
        run(kind, server, path, {"max_retries": 0})
    assert path.read_text() == "old"
    assert names(tmp_path) == {f"a.{suffix}", f"a.{suffix}.partial"}
    serve(server, 30)
    told: list[Progress] = []
    again = {"httpx_args": {"headers": {"x-run": "again"}}}  # the last requests of the first run may arrive late
    report = run(kind, server, path, again, resume=True, on_progress=told.append)
    requested = [request.path for request in server.requests if "x-run" in request.headers and "?" not in request.path]
    assert sorted(requested) == [f"/api/traces/{trace_id}" for trace_id in ids(30)[20:]]
    assert (report.traces, report.read, report.examples) == (30, 10, 30)
    assert [progress.total for progress in told] == [10] * 10
    run(kind, server, tmp_path / f"b.{suffix}")
    assert path.read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()
    assert not list(tmp_path.glob("*.partial"))


def test_start_over(server: Server, kind: str, tmp_path: Path) -> None:
    """Without `resume`, a partial file is overwritten."""
    partial_of(server, tmp_path / "a.jsonl", 4)
    assert run(kind, server, tmp_path / "a.jsonl").read == 5
    assert names(tmp_path) == {"a.jsonl", "a.jsonl.manifest.json"}


def partial_of(server: Server, path: Path, count: int, **arguments: Any) -> Path:
    """Make an export fail after some traces, and return its partial file."""
    serve(server, count + 1, lambda trace_id: Answer(404, {}) if trace_id == ids(count + 1)[-1] else None)
    with pytest.raises(NotFoundError):
        run("sync", server, path, **arguments)
    serve(server, count + 1)
    return path.with_name(path.name + ".partial")


def test_updated_since(server: Server, kind: str, tmp_path: Path) -> None:
    """A trace that was updated after it was read is read again."""
    partial = partial_of(server, tmp_path / "a.jsonl", 5)
    text = partial.read_text()
    assert text.count("2026-04-08T09:00:05+00:00") == 5
    partial.write_text(text.replace("2026-04-08T09:00:05+00:00", "2026-04-08T09:00:04+00:00", 2))
    assert run(kind, server, tmp_path / "a.jsonl", resume=True).read == 3


@pytest.mark.parametrize(
    "arguments", [{"outcomes": ["accepted"]}, {"steps": "tone"}, {"format": "chat"}, {"project_slug": "other"}]
)
def test_resume_another_export(server: Server, kind: str, tmp_path: Path, arguments: Any) -> None:
    """The partial file of another export is kept, and the error names the difference."""
    partial = partial_of(server, tmp_path / "a.jsonl", 5)
    before = partial.read_bytes()
    with pytest.raises(
        ValueError, match=r"belongs to another export: its (outcomes|steps|format|source) is .*, not .* without resume"
    ):
        run(kind, server, tmp_path / "a.jsonl", resume=True, **arguments)
    assert partial.read_bytes() == before


def test_torn_journal(server: Server, tmp_path: Path) -> None:
    """A partial file that was cut off anywhere is resumed from its complete lines."""
    partial = partial_of(server, tmp_path / "a.jsonl", 5)
    content = partial.read_bytes()
    run("sync", server, tmp_path / "whole.jsonl")
    for end in range(0, len(content) + 1, 97):
        partial.write_bytes(content[:end])
        report = run("sync", server, tmp_path / "a.jsonl", resume=True)
        assert report.read == 6 - max(0, content[:end].count(b"\n") - 1)
        assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


PROGRAM = """
import sys
from artanis_client import Artanis, export
with Artanis(api_key="k", org_slug="my-org", project_slug="my-project", base_url=sys.argv[1], timeout=None) as client:
    export(client, sys.argv[2], concurrency=4)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="nothing is killed that way there")
@pytest.mark.parametrize("requests", [1, 2, 15, 39, 41])
def test_killed(server: Server, tmp_path: Path, requests: int) -> None:
    """If an export is killed at any moment, the old file is intact, and the next run writes the same bytes."""
    path = tmp_path / "a.jsonl"
    path.write_text("old")
    serve(server, 40)
    handle: Any = server.answers[0]
    killed = threading.Event()

    def answer(request: Request) -> Answer:
        if len(server.requests) >= requests != 41:  # the last of which is answered, so that the file is being finished
            killed.wait(LIMIT)
        answer: Answer = handle(request)
        return answer

    server.answers = [answer]
    command = [sys.executable, "-c", PROGRAM, server.url, str(path)]
    with subprocess.Popen(command, env=unmeasured()) as process:
        try:
            server.wait_for_requests(requests)
        finally:
            process.kill()
            killed.set()
    if requests != 41:
        assert process.returncode == -signal.SIGKILL
        assert path.read_text() == "old"
    is_partial = path.with_name("a.jsonl.partial").exists()
    report = run("sync", server, path, resume=True)
    # A window of two traces for each of the four in flight was asked for, but perhaps not written.
    assert report.read <= 40 - max(0, requests - 2 * 4 - 4) or not is_partial
    run("sync", server, tmp_path / "b.jsonl")
    assert path.read_bytes() == (tmp_path / "b.jsonl").read_bytes()
    assert not list(tmp_path.glob("*.partial")) + list(tmp_path.glob(".artanis-*"))


@pytest.mark.parametrize("step", [0, 1])
def test_killed_while_moving(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """If an export is stopped while it replaces the file and the manifest, nothing has to be read again."""
    serve(server, 6)
    path = tmp_path / "a.jsonl"
    moved: list[Path] = []
    replace = Path.replace

    def stop(source: Path, target: Path) -> Path:
        if len(moved) == step:
            raise KeyboardInterrupt
        moved.append(target)
        return replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", stop)
        with pytest.raises(KeyboardInterrupt):
            run("sync", server, path)
    assert path.exists() == bool(step)
    assert run("sync", server, path, resume=True).read == 0
    assert len(read_jsonl(path)) == 6


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_cancelled(server: Server, backend: str, tmp_path: Path) -> None:
    """A cancelled export releases the lock and can be resumed."""
    held = threading.Event()
    serve(server, 20, lambda trace_id: Answer(hold=held) if trace_id == ids(20)[10] else None)
    path = tmp_path / "a.jsonl"

    async def main(client: Any) -> ExportReport:
        told: list[Progress] = []
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: aexport(client, path, on_progress=told.append))
            await until(lambda: len(told) == 10 and server.in_flight == 1)
            group.cancel_scope.cancel()
        held.set()
        serve(server, 20)
        return await aexport(client, path, resume=True)

    report: ExportReport = Both(backend, server).run(main)
    assert (report.read, report.examples) == (10, 20)


def test_two_at_once(server: Server, kind: str, tmp_path: Path) -> None:
    """A second export to the same path fails, and harms neither the first one nor the file."""
    held, path = threading.Event(), tmp_path / "a.jsonl"
    path.write_text("old")

    def answer(_: str) -> None:
        held.wait(LIMIT)

    serve(server, 6, answer)
    first = threading.Thread(target=run, args=("sync", server, path))
    first.start()
    try:
        server.wait_for_requests(1)
        with pytest.raises(ArtanisError, match="Another export is writing to"):
            run(kind, server, path, resume=True)
        assert path.read_text() == "old"
    finally:
        held.set()
        first.join()
    assert len(read_jsonl(path)) == 6
    assert run(kind, server, path).examples == 6


# Recheck


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_recheck(kind: str, tmp_path: Path, suffix: str) -> None:
    """`recheck="unreviewed"` reads only new or incompletely reviewed traces and writes what a full run writes."""
    with Sandbox(traces=30) as sandbox, Artanis(**sandbox.credentials) as client:
        path, whole = tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"
        assert run(kind, sandbox, path, recheck="unreviewed").read == 30
        details = [client.traces.get(listed.id) for listed in client.traces.list()]
        open_ = [one.id for one in details if any(made.outcome == "unreviewed" for made in examples(one))]
        sandbox.review(open_[0], comment="late")
        sandbox.delete_trace(next(one.id for one in details if one.id not in open_))
        new = sandbox.add_trace()
        before = sandbox.request_count
        report = run(kind, sandbox, path, recheck="unreviewed")
        assert {request.path.rpartition("/")[2] for request in sandbox.requests[before + 1 :]} == {new, *open_}
        assert (report.traces, report.read) == (30, len(open_) + 1)
        run(kind, sandbox, whole)
        assert path.read_bytes() == whole.read_bytes()
        assert run(kind, sandbox, path).read == 30


@pytest.mark.parametrize("how", ["changed", "gone", "other", "damaged", "empty"])
def test_recheck_of_another_file(kind: str, tmp_path: Path, how: str) -> None:
    """If the old file was edited, or exported with other arguments, every trace is read."""
    path, manifest = tmp_path / "a.csv", tmp_path / "a.csv.manifest.json"
    with Sandbox(traces=12) as sandbox:
        run(kind, sandbox, path)
        good = path.read_bytes()
        match how:
            case "changed":
                path.write_bytes(good.replace(b"completed", b"Completed", 1))
            case "gone":
                path.unlink()
            case "damaged":
                manifest.write_bytes(manifest.read_bytes()[:-40])
            case "empty":
                manifest.write_text("")
        arguments: Any = {"steps": "tone"} if how == "other" else {}
        report = run(kind, sandbox, path, recheck="unreviewed", **arguments)
        assert report.read == 12
        assert (path.read_bytes() == good) == (how != "other")


# Errors


def test_skip(server: Server, kind: str, tmp_path: Path) -> None:
    """With `on_error="skip"`, a trace that cannot be read is left out and named in the report and the manifest."""
    serve(server, 6, lambda trace_id: Answer(404, {"error": "Not found"}) if trace_id == ids(6)[2] else None)
    report = run(kind, server, tmp_path / "a.jsonl", on_error="skip")
    [skipped] = report.skipped
    assert (skipped.trace_id, skipped.span_id) == (ids(6)[2], None)
    assert "404" in skipped.reason
    assert [one.trace_id for one in read_jsonl(tmp_path / "a.jsonl")] == [*ids(6)[:2], *ids(6)[3:]]
    manifest = json.loads((tmp_path / "a.jsonl.manifest.json").read_text())
    assert [entry["trace_id"] for entry in manifest["skipped"]] == [ids(6)[2]]


@pytest.mark.parametrize("listed", [["ABC", "def"], ["abc", "ABC"], ["Abc"]])
def test_ids_in_another_case(server: Server, kind: str, tmp_path: Path, listed: list[str]) -> None:
    """A trace whose detail has the id of the list in another case is in the file, and is not read again."""

    def answer(request: Request) -> Answer:
        if "?" in request.path:
            return Answer(body={"traces": [trace(id=id_) for id_ in listed]})
        asked = request.path.rpartition("/")[2]
        id_ = asked if asked in ("abc", "ABC") else asked.swapcase()
        return Answer(body={**trace(id=id_), "spans": [span()], "feedback": []})

    server.answers = [answer]
    path = tmp_path / "a.jsonl"
    report = run(kind, server, path)
    assert (report.traces, report.examples, report.skipped) == (len(listed), len(listed), ())
    again = run(kind, server, path, recheck="unreviewed")
    assert (again.read, again.examples) == (0, len(listed))


def test_everything_skipped(server: Server, kind: str, tmp_path: Path) -> None:
    """If every trace is skipped, the export fails, counts the causes, and keeps the old file; an empty list is fine."""
    path = tmp_path / "a.jsonl"
    serve(server, 1)
    run(kind, server, path)
    old = {name: (tmp_path / name).read_bytes() for name in names(tmp_path)}
    answers = {id_: Answer(404, {"error": "Not found"}) for id_ in ids(5)[:3]} | {
        id_: Answer(body=trace(id=id_, spans=[], feedback=None)) for id_ in ids(5)[3:]
    }
    serve(server, 5, answers.get)
    with pytest.raises(ArtanisError) as caught:
        run(kind, server, path, on_error="skip")
    assert str(caught.value) == (
        "All 5 traces were skipped, so nothing was written: 3 x 404 Not found, 2 x feedback should be array, not null."
    )
    assert {name: (tmp_path / name).read_bytes() for name in names(tmp_path)} == old
    answers.popitem()
    assert run(kind, server, path, on_error="skip").examples == 1
    serve(server, 0)
    assert run(kind, server, path, on_error="skip").traces == 0
    assert path.read_bytes() == b""


def test_skipped_after_an_update(server: Server, kind: str, tmp_path: Path) -> None:
    """A trace that was updated, and then cannot be read, is not kept from the earlier run."""
    path = tmp_path / "a.jsonl"
    partial = partial_of(server, path, 3)
    partial.write_text(partial.read_text().replace("09:00:05+00:00", "09:00:04+00:00", 1))
    serve(server, 4, lambda id_: Answer(404) if id_ == ids(4)[0] else None)
    report = run(kind, server, path, resume=True, on_error="skip")
    assert [skipped.trace_id for skipped in report.skipped] == ids(4)[:1]
    assert [one.trace_id for one in read_jsonl(path)] == ids(4)[1:]


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.jsonl.partial", "of somebody else\n"),
        ("a.jsonl.partial", '{"kind": "x"}\n'),
        ("a.jsonl.partial", '{"kind":"artanis-client export"}\n'),
        ("a.jsonl.partial", "\x00" * 5000),
        ("a.jsonl.manifest.json", "[1]"),
        ("a.jsonl.manifest.json", '{"kind": "something else"}'),
        ("a.jsonl.manifest.json", "notes"),
    ],
)
def test_files_of_others(server: Server, kind: str, tmp_path: Path, name: str, text: str, resume: bool) -> None:
    """A file that no export wrote is neither emptied nor replaced nor removed, and no request is sent."""
    serve(server, 2)
    (tmp_path / "a.jsonl").write_text("old")
    (tmp_path / name).write_text(text)
    with pytest.raises(FileExistsError, match="not written by artanis-client") as caught:
        run(kind, server, tmp_path / "a.jsonl", resume=resume)
    assert str(tmp_path / name) in str(caught.value)
    assert ((tmp_path / name).read_text(), (tmp_path / "a.jsonl").read_text()) == (text, "old")
    assert names(tmp_path) == {"a.jsonl", name}
    assert server.requests == []


def test_a_file_with_the_name_of_a_new_one(server: Server, kind: str, tmp_path: Path) -> None:
    """Other files beside the target are left alone, whatever they are called."""
    serve(server, 2)
    others = {"a.jsonl.new", "a.jsonl.tmp", ".artanis-0123456789abcdef.tmp"}
    for name in others:
        (tmp_path / name).write_text("mine")
    run(kind, server, tmp_path / "a.jsonl")
    assert names(tmp_path) == {"a.jsonl", "a.jsonl.manifest.json", *others}
    assert {(tmp_path / name).read_text() for name in others} == {"mine"}


@pytest.mark.parametrize("resume", [False, True])
def test_a_left_over_of_a_kill(server: Server, tmp_path: Path, resume: bool) -> None:
    """What a killed export left is recognised by its journal, complete or cut off in its first line, and removed."""
    partial = partial_of(server, tmp_path / "a.jsonl", 3)
    left_over = tmp_path / json.loads(partial.read_text().splitlines()[0])["temporary"]
    left_over.write_text("half")
    assert run("sync", server, tmp_path / "a.jsonl", resume=resume).read == (1 if resume else 4)
    assert names(tmp_path) == {"a.jsonl", "a.jsonl.manifest.json"}
    partial.write_text('{"kind":"artanis-cl')
    assert run("sync", server, tmp_path / "a.jsonl", resume=resume).read == 4
    assert names(tmp_path) == {"a.jsonl", "a.jsonl.manifest.json"}


def test_a_listed_prompt_that_cannot_be_asked_for(server: Server, kind: str, tmp_path: Path) -> None:
    """A prompt with an impossible id, or with a history of another id, is an error that names it."""
    for id_, path in (("..", "prompts[*].id"), ("p1", "id")):
        listed = Answer(body={"prompts": [{**PROMPT, "id": id_}], "traces": []})

        def answer(request: Request, listed: Answer = listed) -> Answer:
            return listed if "?" in request.path else Answer(body={**PROMPT, "versions": []})

        server.answers = [answer]
        with pytest.raises(APIResponseValidationError) as caught:
            run(kind, server, tmp_path / "a.jsonl", format="chat")
        assert caught.value.path == path


def test_nothing_read(server: Server, kind: str, tmp_path: Path) -> None:
    """If the list cannot be read, no file is left behind."""
    server.answer(401, {"error": "Not authenticated"})
    with pytest.raises(ArtanisError):
        run(kind, server, tmp_path / "a.jsonl")
    assert names(tmp_path) == set()


def test_faults(kind: str, tmp_path: Path, quick_retries: None) -> None:
    """If one request in twenty fails temporarily, the file is the same as without faults."""
    with Sandbox(traces=60, seed=5) as sandbox:
        run(kind, sandbox, tmp_path / "a.jsonl")
        sandbox.fault_rate = 0.05
        run(kind, sandbox, tmp_path / "b.jsonl", {"max_retries": 6})
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()


@pytest.mark.skipif(sys.platform == "win32", reason="modes are those of Unix")
def test_links_and_modes(server: Server, kind: str, tmp_path: Path) -> None:
    """A symlink still leads to the file, which keeps its mode, and only the owner can read the partial file."""
    (tmp_path / "data").mkdir()
    real = tmp_path / "data" / "real.jsonl"
    real.write_text("old")
    real.chmod(0o640)
    (tmp_path / "a.jsonl").symlink_to(real)
    modes = []

    def answer(_: str) -> None:
        modes.append(real.with_name("real.jsonl.partial").stat().st_mode & 0o777)

    serve(server, 3, answer)
    run(kind, server, tmp_path / "a.jsonl")
    assert (tmp_path / "a.jsonl").is_symlink()
    assert len(read_jsonl(real)) == 3
    assert real.stat().st_mode & 0o777 == 0o640
    assert real.with_name("real.jsonl.manifest.json").stat().st_mode & 0o777 == 0o640
    assert set(modes) == {0o600}


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_the_format_of_a_link(server: Server, kind: str, tmp_path: Path) -> None:
    """The name that was given says the format, whatever the file is called that it leads to."""
    serve(server, 3)
    (tmp_path / "a.csv").symlink_to(tmp_path / "set")
    assert run(kind, server, tmp_path / "a.csv").path == tmp_path / "set"
    assert len(read_csv(tmp_path / "a.csv")) == 3


def test_no_key_in_any_file(server: Server, kind: str, tmp_path: Path) -> None:
    """The key is neither in the file, nor in the manifest, nor in the partial file."""
    partial = partial_of(server, tmp_path / "a.jsonl", 3)
    assert KEY not in partial.read_text()
    run(kind, server, tmp_path / "a.jsonl", resume=True)
    assert not any(KEY in path.read_text() for path in tmp_path.glob("a.jsonl*"))


def test_the_clients_match(server: Server, tmp_path: Path) -> None:
    """Passing an async client to `export` raises a TypeError that says what to do."""
    with pytest.raises(TypeError, match="AsyncArtanis cannot run sync functions"):
        export(AsyncArtanis(**server.credentials), tmp_path / "a.jsonl")  # type: ignore[arg-type]
    assert names(tmp_path) == set()


@pytest.mark.parametrize("error", [errno.EBUSY, errno.EXDEV])
def test_a_file_that_is_mounted_on_its_own(
    server: Server, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    """A file that cannot be renamed over is written in place, with a warning, and keeps its mode."""
    serve(server, 3)
    run(kind, server, tmp_path / "b.jsonl")
    path = tmp_path / "a.jsonl"
    path.write_text("old\n" * 10_000)
    path.chmod(0o640)
    inode = path.stat().st_ino
    mount(monkeypatch, "a.jsonl", "a.jsonl.manifest.json", error=error)
    path.with_name("a.jsonl.manifest.json").touch()
    with pytest.warns(UserWarning, match=r"a\.jsonl(\.manifest\.json)? cannot be replaced .* written in place"):
        run(kind, server, path)
    assert path.read_bytes() == (tmp_path / "b.jsonl").read_bytes()
    assert (path.stat().st_ino, path.stat().st_mode & 0o777) == (inode, 0o640)
    assert json.loads(path.with_name("a.jsonl.manifest.json").read_text())["examples"] == 3
    assert len(names(tmp_path)) == 4


def test_a_full_disk_under_a_mounted_file(
    server: Server, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that can only be written in place keeps its content if there is no room for the new one."""
    serve(server, 3)
    path = tmp_path / "a.jsonl"
    path.write_text("old\n")

    def copy(_: Path, target: Path) -> None:
        target.write_text("half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    mount(monkeypatch, "a.jsonl")
    monkeypatch.setattr(shutil, "copyfile", copy)
    with pytest.warns(UserWarning, match="in place"), pytest.raises(OSError, match=r"No space left .*a\.jsonl"):
        run(kind, server, path)
    assert path.read_text() == "old\n"
    assert names(tmp_path) == {"a.jsonl", "a.jsonl.partial"}


@pytest.mark.skipif(sys.platform == "win32", reason="flock is a call of Unix")
@pytest.mark.parametrize("error", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL])
def test_a_file_system_without_locks(
    server: Server, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    """If the file system does not support locks, the export continues without one, with a warning."""

    def flock(*_: object) -> None:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr("fcntl.flock", flock)
    serve(server, 3)
    with pytest.warns(UserWarning, match=rf"a\.jsonl\.partial cannot be locked \({os.strerror(error)}\)"):
        assert run(kind, server, tmp_path / "a.jsonl").examples == 3
    assert names(tmp_path) == {"a.jsonl", "a.jsonl.manifest.json"}


@pytest.mark.parametrize("length", [255 - 7, 255 - 10, 255 - 13, 256])
def test_a_name_without_room_for_a_suffix(server: Server, kind: str, tmp_path: Path, length: int) -> None:
    """A name that is too long for the partial file or the manifest is reported before the first request."""
    serve(server, 1)
    with pytest.raises(OSError, match="File name too long"):
        run(kind, server, tmp_path / ("a" * (length - 6) + ".jsonl"))
    assert server.requests == []
    assert names(tmp_path) == set()
    run(kind, server, tmp_path / ("a" * (255 - 14 - 6) + ".jsonl"))


def test_a_manifest_that_cannot_be_written(
    server: Server, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A directory in the place of a file, or a write-protected manifest, is reported before the first request."""
    manifest = tmp_path / "a.jsonl.manifest.json"
    manifest.mkdir()
    with pytest.raises(IsADirectoryError, match=r"manifest\.json"):
        run(kind, server, tmp_path / "a.jsonl")
    manifest.rmdir()
    manifest.write_text("{}")
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != manifest and access(path, mode))  # for root, too
    with pytest.raises(PermissionError, match=r"write-protected.*manifest\.json"):
        run(kind, server, tmp_path / "a.jsonl")
    assert server.requests == []


def test_side_files_of_others(server: Server, kind: str, tmp_path: Path) -> None:
    """A file that happens to be named like a temporary file of earlier versions stays."""
    serve(server, 1)
    (tmp_path / "a.jsonl.new").write_text("mine")
    run(kind, server, tmp_path / "a.jsonl")
    assert (tmp_path / "a.jsonl.new").read_text() == "mine"

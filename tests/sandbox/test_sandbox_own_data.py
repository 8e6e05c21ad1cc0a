"""A sandbox with the prompts and traces of a team."""

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from artanis_client import (
    Artanis,
    Outcome,
    PromptCache,
    examples,
    export,
    models,
    outcome,
    prompts_status,
    pull_prompts,
)
from artanis_client.contract import check
from artanis_client.sandbox import Sandbox
from support import LIMIT, NOW, PROMPT, span, trace

SPAN: dict[str, Any] = {"stepId": "summarise", "input": "A long text.", "output": "A text."}
DETAIL: dict[str, Any] = {**trace(), "spans": [span()], "feedback": []}
VERSION = {"id": "v1", "content": "Answer.", "isActive": True, "createdAt": "2026-04-01T12:00:00.000Z"}
HISTORY: dict[str, Any] = {"id": "p1", "stepId": "answer", "outputSchema": None, "versions": [VERSION]}


ROW = examples(models.TraceDetail.from_dict(DETAIL))[0].to_dict()


def client_of(sandbox: Sandbox) -> Artanis:
    return Artanis(**sandbox.credentials, timeout=LIMIT)


def everything(client: Artanis) -> list[Any]:
    """Return all prompts and traces as JSON."""
    listed: list[Any] = [*client.prompts.list(), *client.traces.list()]
    details = [client.prompts.get(prompt.id) for prompt in client.prompts.list()]
    traces = [client.traces.get(listed.id) for listed in client.traces.list()]
    return [one.to_dict() for one in (*listed, *details, *traces)]


def test_own_prompts() -> None:
    """Texts by step replace the prompts, and made-up traces are runs of these steps with their versions."""
    own = {"summarise": "Summarise.", "check": "Check."}
    with Sandbox(prompts=own, traces=30) as sandbox, client_of(sandbox) as client:
        prompts = client.prompts.list()
        assert [(prompt.step_id, prompt.content) for prompt in prompts] == [
            ("summarise", "Summarise."),
            ("check", "Check."),
        ]
        versions = {prompt.step_id: client.prompts.get(prompt.id).versions[0].id for prompt in prompts}
        traces = list(client.traces.iter())
        assert len(traces) == 30
        for detail in traces:
            assert all(span.prompt_version_id == versions[span.step_id] for span in detail.spans)
            root, *others = detail.spans
            assert (root.step_id, root.parent_span_id) == ("summarise", None)
            assert {span.parent_span_id for span in others} <= {root.id}
            assert root.created_at >= prompts[0].created_at
        reviews = {(span.step_id, outcome(span)) for detail in traces for span in detail.spans}
        assert reviews == {(step, kind) for step in versions for kind in Outcome}
        new = client.traces.get(sandbox.add_trace())
        assert [span.step_id for span in new.spans] == ["summarise", "check"]
        sandbox.review(new.id)
        assert all(outcome(span) != Outcome.UNREVIEWED for span in client.traces.get(new.id).spans)
        assert check(client).in_step


@pytest.mark.parametrize("as_models", [False, True])
def test_the_apis_own_shape(as_models: bool) -> None:
    """Prompts, histories and traces of the API come back as they are, traces newest first."""
    older: dict[str, Any] = {
        **DETAIL,
        "id": "older",
        "createdAt": "2026-04-08T10:00:00.000+02:00",
        "metadata": None,
        "extra": [1],
    }
    prompts: list[Any] = [PROMPT, HISTORY]
    traces: list[Any] = [older, DETAIL]
    if as_models:
        prompts = [models.Prompt.from_dict(PROMPT), models.PromptHistory.from_dict(HISTORY)]
        traces = [models.TraceDetail.from_dict(one) for one in traces]
    with Sandbox(prompts=prompts, traces=traces) as sandbox, client_of(sandbox) as client:
        first, second = client.prompts.list()
        assert first == models.Prompt.from_dict(PROMPT)
        assert second.to_dict() == {
            **{key: HISTORY[key] for key in ("id", "stepId", "outputSchema")},
            "content": "Answer.",
            "createdAt": "2026-04-01T12:00:00+00:00",
            "updatedAt": "2026-04-01T12:00:00+00:00",
        }
        assert client.prompts.get("p1") == models.PromptHistory.from_dict(HISTORY)
        assert [one.id for one in client.traces.list()] == [DETAIL["id"], "older"]
        assert [client.traces.get(one["id"]) for one in (DETAIL, older)] == [
            models.TraceDetail.from_dict(one) for one in (DETAIL, older)
        ]


def test_what_is_left_out_is_filled_in() -> None:
    """A trace needs only the step, input and output of its spans."""
    eight = datetime(2026, 4, 30, 10, tzinfo=timezone(timedelta(hours=2)))
    spans = [SPAN, {**SPAN, "stepId": "check", "approvedOutput": "Better.", "createdAt": eight}]
    traces: list[dict[str, Any]] = [{"spans": spans, "feedback": [{"spanId": "x", "content": "So."}]}, {"spans": []}]
    with Sandbox(prompts={"summarise": "…"}, traces=traces, now=NOW) as sandbox, client_of(sandbox) as client:
        newest, oldest = (client.traces.get(one.id) for one in client.traces.list())
        version = client.prompts.get(client.prompts.list()[0].id).versions[0].id
    assert newest.created_at == newest.updated_at == datetime(2026, 4, 30, 17, 59, tzinfo=UTC)
    assert oldest.created_at == datetime(2026, 4, 30, 17, 58, tzinfo=UTC)
    assert (newest.status, newest.metadata, oldest.spans, oldest.feedback) == ("completed", {}, [], [])
    root, inner = newest.spans
    assert (root.parent_span_id, root.prompt_version_id, root.approved_output) == (None, version, None)
    assert (inner.parent_span_id, inner.prompt_version_id or None, inner.approved_output) == (root.id, None, "Better.")
    assert (root.created_at, inner.created_at) == (newest.created_at, eight)
    assert newest.feedback[0].content == "So."


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"traces": [DETAIL | {"spans": [SPAN, {"stepId": 1}]}]},
            "traces[0].spans[1].stepId should be string, not integer",
        ),
        (
            {"traces": [{"spans": [{**SPAN, "createdAt": "today"}]}]},
            "traces[0].spans[0].createdAt should be date-time, not 'today'",
        ),
        ({"traces": [{"spans": [{"output": 1, "input": 1}]}]}, "traces[0].spans[0].stepId is missing"),
        (
            {"traces": [{"spans": [{**SPAN, "approved_output": "x"}]}]},
            "traces[0].spans[0].approved_output must be spelled as the API does: approvedOutput",
        ),
        ({"traces": [{}, {"metadata": []}]}, "traces[1].metadata should be object or null, not []"),
        ({"traces": [DETAIL, DETAIL]}, f"traces[1].id {DETAIL['id']!r} occurs twice"),
        (
            {"traces": [{"spans": [{**SPAN, "output": {1, 2}}]}]},
            "traces[0] cannot be written as JSON: set is not a model or a JSON value",
        ),
        ({"traces": [5]}, "traces[0] must be a model or a dict, not int"),
        ({"traces": {"id": 1}}, "traces must be a list, not dict"),
        ({"traces": None}, "traces must be a list, not NoneType"),
        ({"prompts": {"summarise": None}}, "prompts[0].content should be string, not null"),
        ({"prompts": [{"stepId": "summarise"}]}, "prompts[0].content is missing"),
        ({"prompts": [{"content": "…"}]}, "prompts[0].stepId is missing"),
        ({"prompts": [PROMPT, {**PROMPT, "id": "other"}]}, "prompts[1].stepId 'classify' occurs twice"),
        ({"prompts": [HISTORY | {"versions": [{"isActive": True}]}]}, "prompts[0].versions[0].content is missing"),
        (
            {"prompts": [HISTORY | {"versions": [VERSION, {**VERSION, "id": "v2"}]}]},
            "prompts[0].versions must have exactly one with isActive: true, not 2",
        ),
        ({"prompts": [HISTORY | {"outputSchema": "x"}]}, 'prompts[0].outputSchema should be object or null, not "x"'),
        ({"prompts": "summarise"}, "prompts must be a list, not str"),
    ],
)
def test_what_does_not_fit_the_contract(arguments: dict[str, Any], message: str) -> None:
    """What does not fit is a ValueError with the path."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        Sandbox(**arguments)
    assert str(caught.value) == message


def test_given_data_is_copied() -> None:
    """Changing what was passed changes nothing in the sandbox, and the sandbox changes nothing in it."""
    mine: dict[str, Any] = {"spans": [{**SPAN, "input": {"text": "…"}}]}
    with Sandbox(traces=[mine]) as sandbox, client_of(sandbox) as client:
        assert mine == {"spans": [{**SPAN, "input": {"text": "…"}}]}
        mine["spans"][0]["input"]["text"] = "changed"
        assert client.traces.get(client.traces.list()[0].id).spans[0].input_ == {"text": "…"}


def test_text_that_is_not_valid_unicode() -> None:
    """Lone surrogates, which JSON can express, are served as they are."""
    text = "\ud83d"
    given: Any = {"metadata": {text: 1}, "spans": [{"stepId": text, "input": text, "output": 1}]}
    with Sandbox(prompts={text: text}, traces=[given]) as sandbox, client_of(sandbox) as client:
        (detail,) = client.traces.iter()
        (prompt,) = client.prompts.list()
        assert (prompt.step_id, prompt.content, detail.metadata) == (text, text, {text: 1})
        assert (detail.spans[0].step_id, detail.spans[0].input_) == (text, text)
        sandbox.review_span(detail.spans[0].id, approved_output=text, comment=text)
        assert client.traces.get(detail.id).spans[0].approved_output == text


def test_add_prompt() -> None:
    """An added prompt is the last of the list, has one version, and can be changed like the others."""
    with Sandbox(traces=0, now=NOW) as sandbox, client_of(sandbox) as client:
        prompt_id = sandbox.add_prompt("summarise", "Summarise.")
        *_, added = client.prompts.list()
        assert (added.id, added.step_id, added.content, added.output_schema) == (
            prompt_id,
            "summarise",
            "Summarise.",
            None,
        )
        assert added.created_at == added.updated_at == datetime(2026, 4, 30, 18, 1, tzinfo=UTC)
        with pytest.raises(ValueError, match=r"^the step 'summarise' has a prompt already; use add_version$"):
            sandbox.add_prompt("summarise", "Again.")
        version = sandbox.add_version(prompt_id, "Briefly.")
        first, second = client.prompts.get(prompt_id).versions
        assert (first.content, first.is_active, second.id, second.is_active) == ("Summarise.", False, version, True)
        assert first.id != second.id
        with PromptCache(client) as cache:
            assert cache.get("summarise").content == "Briefly."
        detail = client.traces.get(sandbox.add_trace(spans=[SPAN]))
        assert detail.spans[0].prompt_version_id == version
        sandbox.remove_prompt(prompt_id)
        assert sandbox.add_prompt("summarise", "New.") != prompt_id


@pytest.mark.parametrize("created_at", ["2026-04-10T12:00Z", datetime(2026, 4, 10, 12)])
def test_add_trace(created_at: Any) -> None:
    """A trace with a time takes its place in the list; without a time, it is the newest."""
    with Sandbox(traces=20, now=NOW) as sandbox, client_of(sandbox) as client:
        old = sandbox.add_trace(spans=[SPAN, models.Span.from_dict(span(id="s"))], created_at=created_at)
        new = sandbox.add_trace(spans=[])
        listed = client.traces.list()
        assert listed[0].id == new
        assert listed == sorted(listed, key=lambda trace: trace.created_at, reverse=True)
        detail = client.traces.get(old)
        assert detail.created_at == datetime(2026, 4, 10, 12, tzinfo=UTC)
        assert detail.spans[1] == models.Span.from_dict(span(id="s"))
        with pytest.raises(ValueError, match=r"^spans\[0\]\.output is missing$"):
            sandbox.add_trace(spans=[{"stepId": "x", "input": 1}])
        with pytest.raises(ValueError, match=r"^created_at must be a datetime or ISO 8601 text"):
            sandbox.add_trace(spans=[], created_at="x")
        with pytest.raises(TypeError, match=r"^created_at needs spans"):
            sandbox.add_trace(created_at=created_at)
        assert len(client.traces.list()) == 22
        sandbox.delete_trace(old)
        assert len(client.traces.list()) == 21


def test_review_span() -> None:
    """A span of an added or a made-up trace gets the approved output, a comment, and its review can be withdrawn."""
    with Sandbox(traces=5) as sandbox, client_of(sandbox) as client:
        made_up = client.traces.get(client.traces.list()[3].id)
        for trace_id in (sandbox.add_trace(spans=[SPAN, SPAN]), made_up.id):
            before = client.traces.get(trace_id)
            sandbox.review_span(before.spans[1].id, approved_output={"so": [1]}, comment="Better.")
            after = client.traces.get(trace_id)
            assert after.spans[1].approved_output == {"so": [1]}
            assert (after.feedback[-1].content, after.feedback[-1].span_id) == ("Better.", before.spans[1].id)
            assert after.spans[0] == before.spans[0]
            sandbox.review_span(before.spans[1].id, approved_output=None)
            again = client.traces.get(trace_id)
            assert again.spans[1].approved_output is None
            assert again.feedback == after.feedback
        sandbox.review_span(made_up.spans[1].id, approved_output="mine")
        sandbox.review(made_up.id)
        assert client.traces.get(made_up.id).spans[1].approved_output == "mine"
        with pytest.raises(KeyError, match="the sandbox has no span 'x'"):
            sandbox.review_span("x", approved_output=1)
        with pytest.raises(ValueError, match=r"^approved_output cannot be written as JSON"):
            sandbox.review_span(made_up.spans[1].id, approved_output=float("nan"))
        added = sandbox.add_trace(spans=[SPAN])
        with pytest.raises(ValueError, match="not made up; use review_span"):
            sandbox.review(added)


@pytest.mark.parametrize("options", [{}, {"prompts": {"summarise": "…"}, "traces": [{"spans": [SPAN]}]}])
def test_reset(options: dict[str, Any]) -> None:
    """A reset undoes every change, restores the behaviour and forgets the requests; then the same changes repeat."""

    def change(sandbox: Sandbox, client: Artanis) -> list[Any]:
        first, *_ = client.prompts.list()
        sandbox.add_version(first.id, "New.")
        sandbox.remove_prompt(first.id)
        sandbox.add_prompt("other", "Other.")
        listed = client.traces.list()
        span_id = client.traces.get(listed[-1].id).spans[0].id
        sandbox.review_span(span_id, approved_output=1, comment="No.")
        sandbox.add_trace()
        sandbox.add_trace(spans=[SPAN], created_at="2026-01-01")
        changed = everything(client)
        sandbox.delete_trace(listed[0].id)
        return changed

    with Sandbox(**options, latency=0.001, rate_limit=1_000_000) as sandbox, client_of(sandbox) as client:
        before = everything(client)
        changed = change(sandbox, client)
        assert changed != before
        sandbox.status, sandbox.latency, sandbox.fault_rate, sandbox.rate_limit = 500, 0, 1, 1
        sandbox.reset()
        behaviour = [getattr(sandbox, name) for name in ("status", "latency", "fault_rate", "rate_limit")]
        assert behaviour == [None, 0.001, 0, 1_000_000]
        assert (sandbox.requests, sandbox.request_count) == ([], 0)
        assert everything(client) == before
        assert change(sandbox, client) == changed


def record(folder: Path) -> tuple[list[Any], list[Any]]:
    """Record prompts and traces of a sandbox as a team would, and return the lists."""
    with Sandbox(traces=12, now=NOW) as sandbox, client_of(sandbox) as client:
        pull_prompts(client, folder / "prompts")
        export(client, folder / "all.jsonl")
        export(client, folder / "corrected.jsonl", outcomes="corrected")
        return client.prompts.list(), client.traces.list()


def test_from_files(tmp_path: Path) -> None:
    """What a pull and an export recorded is served again: a second pull and export get the same."""
    prompts, traces = record(tmp_path)
    with Sandbox.from_files(tmp_path, latency=0.001) as sandbox, client_of(sandbox) as client:
        assert sandbox.latency == 0.001
        assert sorted(client.prompts.list(), key=lambda prompt: prompt.id) == sorted(
            prompts, key=lambda prompt: prompt.id
        )
        assert client.traces.list() == traces
        export(client, tmp_path / "again.jsonl")
        assert (tmp_path / "again.jsonl").read_text() == (tmp_path / "all.jsonl").read_text()
        pull_prompts(client, tmp_path / "again")
        for name in ("classify.md", "classify.schema.json"):
            assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "prompts" / name).read_bytes()
        assert prompts_status(client, tmp_path / "again").clean
        assert check(client).in_step


def test_from_exports_of_two_months(tmp_path: Path) -> None:
    """If several exports have a span, the last one counts, with its review and comments."""
    with Sandbox(traces=[{"spans": [SPAN]}], now=NOW) as sandbox, client_of(sandbox) as client:
        export(client, tmp_path / "2026-04.jsonl")
        (detail,) = client.traces.iter()
        sandbox.review_span(detail.spans[0].id, approved_output="Better.", comment="No.")
        export(client, tmp_path / "2026-05.jsonl")
    with Sandbox.from_files(tmp_path) as sandbox, client_of(sandbox) as client:
        (detail,) = client.traces.iter()
        assert [(span.approved_output, outcome(span)) for span in detail.spans] == [("Better.", Outcome.CORRECTED)]
        assert [comment.content for comment in detail.feedback] == ["No."]


def test_from_one_kind_of_file(tmp_path: Path) -> None:
    """A pull alone has no traces, unless some are to be made up; an export alone has no prompts."""
    record(tmp_path)
    (tmp_path / "prompts" / "tone.md").write_text("Edited.", encoding="utf-8")
    with Sandbox.from_files(tmp_path / "prompts", traces=3) as sandbox, client_of(sandbox) as client:
        assert {prompt.step_id: prompt.content for prompt in client.prompts.list()}["tone"] == "Edited."
        assert len(client.traces.list()) == 3
    with Sandbox.from_files(tmp_path / "prompts") as sandbox, client_of(sandbox) as client:
        assert client.traces.list() == []
    (tmp_path / "prompts" / "prompts.json").unlink()
    with Sandbox.from_files(tmp_path) as sandbox, client_of(sandbox) as client:
        assert client.prompts.list() == []
        assert len(client.traces.list()) == 12


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.jsonl", "{}\n", r"x\.jsonl, line 1: Not an evaluation example: 'trace_id' is missing\."),
        ("x.jsonl", "\n", r"x\.jsonl, line 1: "),
        ("x.jsonl", "[]\n", r"x\.jsonl, line 1: "),
        ("x.jsonl", b"\xff\xfe{\x00", r"x\.jsonl, line 1: 'utf-8' codec can't decode"),
        ("x.jsonl", "[" * 100_000 + "\n", r"x\.jsonl, line 1: maximum recursion depth"),
        ("x.jsonl", json.dumps({**ROW, "trace_id": []}), r"x\.jsonl, line 1: unhashable type: 'list'"),
        (
            "prompts.json",
            '{"prompts": {"x": {}}}',
            r"prompts\.json or one of its files is not what a pull wrote \(KeyError: 'version_id'\)",
        ),
        ("prompts.json", "[]", r"prompts\.json or one of its files is not what a pull wrote"),
    ],
)
def test_damaged_files(name: str, content: str | bytes, message: str, tmp_path: Path) -> None:
    """A file that nothing of ours wrote is an error with its name."""
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=message):
        Sandbox.from_files(tmp_path)


def test_no_files(tmp_path: Path) -> None:
    """A directory without recorded data is an error that says what is missing."""
    with pytest.raises(FileNotFoundError, match=r"has neither the prompts\.json of a pull nor the \.jsonl file"):
        Sandbox.from_files(tmp_path)

"""The check of a live API: what it finds in an API that has changed, and how it reports it."""

from __future__ import annotations

import functools
import json
import re
import subprocess
import sys
import typing
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

import pytest
import yaml

from artanis_client import APIResponseValidationError, Artanis, contract
from artanis_client.contract.__main__ import main
from artanis_client.contract._contract import operations_of
from artanis_client.sandbox import Sandbox
from support import KEY, LIMIT, PROMPT, Answer, Request, Server, span, trace, unmeasured

TRACE_ID = trace()["id"]

load_yaml = yaml.safe_load


@functools.cache
def parse_once(text: str) -> Any:
    """Parse the contract, without the operations that the sandbox and the servers of these tests do not have."""
    document = load_yaml(text)
    served = ("/api/prompts", "/api/traces", "/api/knowledge-docs")
    document["paths"] = {path: item for path, item in document["paths"].items() if path.partition("/{")[0] in served}
    return document


@pytest.fixture(autouse=True)
def one_parsed_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every check parses openapi.yaml, which takes most of a test's time; here they share the result."""
    monkeypatch.setattr(yaml, "safe_load", parse_once)


# By the kind of drift in the sandbox: operation, kind, status, path, and what was seen.
NAMED: dict[str, list[tuple[str, str, int, str, str]]] = {
    "undocumented-field": [("listPrompts", "undocumented field", 200, "$.prompts[*].undocumented", "string")],
    "undocumented-nested-field": [("getTrace", "undocumented field", 200, "$.spans[*].undocumented", "number")],
    "missing-field": [
        ("listPrompts", "missing field", 200, "$.prompts[*].content", ""),
        ("getPrompt", "missing field", 200, "$.versions[*].content", ""),
    ],
    "wrong-type": [("listTraces", "wrong type", 200, "$.traces[*].createdAt", "integer")],
    "null": [("getTrace", "null", 200, "$.status", "null")],
    "date-format": [("getPrompt", "format", 200, "$.versions[*].createdAt", "string")],
    "free-form": [("getTrace", "wrong type", 200, "$.spans[*].metadata", "string")],
    "renamed-key": [
        ("listTraces", "missing field", 200, "$.traces", ""),
        ("listTraces", "undocumented field", 200, "$.items", "array"),
    ],
    "bare-list": [("listPrompts", "wrong type", 200, "$", "array")],
    "not-json": [("listTraces", "not JSON", 200, "$", "text")],
    "content-type": [("getPrompt", "content type", 200, "$", "text/html")],
    "undocumented-status": [("getTrace", "undocumented status", 410, "$", "410")],
    "operation-gone": [],
    "error-body": [
        (operation, kind, 404, f"$.{field}", seen)
        for operation in ("getPrompt", "getTrace", "getKnowledgeDoc")
        for kind, field, seen in (("missing field", "error", ""), ("undocumented field", "message", "string"))
    ],
    "knowledge-docs-renamed": [
        ("listKnowledgeDocs", "missing field", 200, "$.knowledgeDocs", ""),
        ("listKnowledgeDocs", "undocumented field", 200, "$.docs", "array"),
    ],
    "no-knowledge-docs": [],
}


def check(credentials: Mapping[str, Any], **options: Any) -> contract.Report:
    """Check with a client that has these credentials."""
    with Artanis(**credentials) as client:
        return contract.check(client, **options)


def findings(report: contract.Report) -> list[tuple[str, str, int, str, str]]:
    return [
        (operation.operation_id, finding.kind, finding.status, finding.path, finding.seen)
        for operation in report.operations
        for finding in operation.findings
    ]


def verdicts(report: contract.Report) -> dict[str, str]:
    return {operation.operation_id: operation.verdict for operation in report.operations}


def test_the_clean_sandbox_is_in_step() -> None:
    """The check finds nothing, calls every operation, and stays within its limit of requests."""
    with Sandbox() as sandbox:
        report = check(sandbox.credentials)
        assert report.requests == sandbox.request_count <= 50
    assert report.in_step
    assert findings(report) == []
    assert set(verdicts(report).values()) == {"ok"}
    assert report.problem == ""


@pytest.mark.parametrize("kind", NAMED)
def test_each_kind_of_drift_is_found_and_named(kind: str) -> None:
    """The check reports what the sandbox does differently, and nothing else."""
    with Sandbox(traces=8, drift=[kind]) as sandbox:
        report = check(sandbox.credentials)
    assert sorted(findings(report)) == sorted(NAMED[kind])
    assert report.in_step is (kind in ("knowledge-docs-renamed", "no-knowledge-docs"))
    if kind == "operation-gone":
        assert verdicts(report)["getPrompt"] == "missing"


def test_all_kinds_that_the_sandbox_has_are_tested() -> None:
    """A kind of drift added to the sandbox must be added here."""
    from artanis_client.sandbox import DRIFTS

    assert sorted(DRIFTS) == sorted(NAMED)


@pytest.mark.parametrize(
    ("number", "finding"),
    [
        ("1e999", ("getTrace", "invalid value", 200, "$.spans[*].output.x[*]", "number")),
        ("NaN", ("getTrace", "not JSON", 200, "$", "text")),
        ("-Infinity", ("getTrace", "not JSON", 200, "$", "text")),
    ],
)
def test_a_number_that_json_or_python_lacks(
    server: Server, number: str, finding: tuple[str, str, int, str, str]
) -> None:
    """A number that Python lacks is a drift at its place; one that JSON lacks makes the body something else."""
    body = json.dumps(trace(spans=[span(output={"x": ["<>"]})], feedback=[])).replace('"<>"', number)
    server.answers = [api(getTrace=Answer(200, body.encode(), {"content-type": "application/json"}))]
    assert findings(check(server.credentials)) == [finding]


@pytest.mark.parametrize(
    ("date", "fits"),
    [
        ("2026-04-08t09:00:00z", True),
        ("2026-04-08T09:00:00.123456789+02:00", True),
        ("2026-04-08T09:00:00.123+02:00", True),
        ("2026-02-30T09:00:00Z", False),
        ("2026-04-08 09:00:00Z", False),
        ("2026-04-08T09:00:00", False),
    ],
)
def test_dates_by_the_rule_of_the_client(server: Server, date: str, fits: bool) -> None:
    """A date is a drift exactly if the client refuses it."""
    server.answers = [api(getTrace=Answer(200, trace(spans=[], feedback=[], updatedAt=date)))]
    assert (findings(check(server.credentials)) == []) is fits
    with Artanis(**server.credentials) as client:
        if fits:
            client.traces.get(TRACE_ID)
        else:
            with pytest.raises(APIResponseValidationError, match="updatedAt"):
                client.traces.get(TRACE_ID)


def test_ids_are_found_under_another_key() -> None:
    """Details are checked even if the key around their list is renamed."""
    with Sandbox(traces=8, drift=["renamed-key", "undocumented-nested-field"]) as sandbox:
        report = check(sandbox.credentials)
    assert ("getTrace", "undocumented field", 200, "$.spans[*].undocumented", "number") in findings(report)


def test_what_is_provisional_is_settled() -> None:
    """The report says whether the knowledge docs exist and what they return; neither makes the check fail."""
    with Sandbox(traces=8) as sandbox:
        there = check(sandbox.credentials)
    with Sandbox(traces=8, drift=["no-knowledge-docs"]) as sandbox:
        gone = check(sandbox.credentials)
    [docs] = [each for each in there.operations if each.operation_id == "listKnowledgeDocs"]
    assert docs.provisional
    assert docs.returned["$.knowledgeDocs[*].title"] == "string"
    assert verdicts(gone)["listKnowledgeDocs"] == "missing"
    assert gone.in_step


def api(**answers: Any) -> Callable[[Request], Answer]:
    """An API with one prompt and one trace, and with the given answers for some operations."""
    usual = {
        "listPrompts": Answer(200, {"prompts": [PROMPT]}),
        "getPrompt": Answer(200, {"id": PROMPT["id"], "stepId": "classify", "outputSchema": {}, "versions": []}),
        "listTraces": Answer(200, {"traces": [trace()]}),
        "getTrace": Answer(200, trace(spans=[span()], feedback=[])),
        "listKnowledgeDocs": Answer(404, {"error": "Not found"}),
        "mistake": Answer(404, {"error": "Not found"}),
    }

    def answer(request: Request) -> Answer:
        path, _, query = request.path.partition("?")
        operation = {
            "/api/prompts": "listPrompts",
            f"/api/prompts/{PROMPT['id']}": "getPrompt",
            "/api/traces": "listTraces",
            f"/api/traces/{TRACE_ID}": "getTrace",
            "/api/knowledge-docs": "listKnowledgeDocs",
        }.get(path, "mistake")
        given: Answer = {**usual, **answers}[operation]
        if operation.startswith("list") and not query:
            given = Answer(400, {"error": "projectSlug or projectId is required"})
        json_header = {"content-type": "application/json"}
        return given if given.headers or given.reset or given.raw else Answer(given.status, given.body, json_header)

    return answer


@pytest.fixture
def command(server: Server, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """A function that runs the command against the server, with credentials in the environment."""
    for name, value in server.credentials.items():
        monkeypatch.setenv(f"ARTANIS_{name.upper()}", value)
    return lambda *arguments: main(arguments)


def test_in_step_is_0(server: Server, command: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    """The report names each operation and what it returned, and says whether the provisional ones exist."""
    server.answers = [api()]
    assert command() == 0
    shown = capsys.readouterr().out
    assert "getTrace: ok (1 x 200, 1 x 404)\n" in shown
    assert "listKnowledgeDocs: does not exist (1 x 400, 1 x 404)\n" in shown
    assert "getKnowledgeDoc: not checked (no list returned an id)\n" in shown
    assert shown.endswith("In step after 10 requests; not checked: getKnowledgeDoc.\n")


def test_drift_is_1(server: Server, command: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    """Each finding is a line that says what, where, how often and in which form, without values."""
    spans = [span(tokens=1234567, stepId="one"), span(tokens=4567890)]  # longer than the number of a port
    server.answers = [api(getTrace=Answer(200, trace(spans=spans, feedback=[], status=None, reviewedAt="8 April")))]
    assert command() == 1
    shown = capsys.readouterr().out
    assert "getTrace: drift (1 x 200, 1 x 404)\n" in shown
    assert "    undocumented field $.spans[*].tokens: integer (2 times in 1 response, such as 0000000)\n" in shown
    assert "    undocumented field $.reviewedAt: string (1 response, such as 0 aaaaa)\n" in shown
    assert "    null $.status: null instead of string (1 response)\n" in shown
    assert "Drift after" in shown
    assert not any(value in shown for value in ("1234567", "4567890", "April", TRACE_ID))


def test_values_on_request(server: Server, command: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    """--show-values shows values and the request that returned them, but never the API key."""
    server.answers = [api(getTrace=Answer(200, trace(spans=[], feedback=[], echo=[KEY, "8 April"])))]
    assert command("--show-values") == 1
    shown = capsys.readouterr().out
    assert f'(1 response, such as ["****", "8 April"], at /api/traces/{TRACE_ID})' in shown
    assert KEY not in shown


def test_a_key_in_the_name_of_a_field(
    server: Server, command: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    """The API key stays out of the report even if the server uses it as the name of a field."""
    docs = Answer(200, {"knowledgeDocs": [{"id": "one", KEY: KEY}]})
    server.answers = [api(listKnowledgeDocs=docs, getTrace=Answer(200, trace(spans=[], feedback=[], **{KEY: KEY})))]
    for arguments in ([], ["--json"], ["--show-values"], ["--json", "--show-values"]):
        assert command(*arguments) == 1
        shown = "".join(capsys.readouterr())
        assert "****" in shown
        assert KEY not in shown


def test_a_name_that_would_break_out_of_its_line(
    server: Server, command: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    """Escape sequences sent by the server are escaped before they are printed."""
    server.answers = [api(getTrace=Answer(200, trace(spans=[], feedback=[], **{"a\x1b[2J\nb": 1})))]
    assert command() == 1
    assert "\x1b" not in capsys.readouterr().out


def test_json(server: Server, command: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    """--json prints the whole report as one document, with the same exit status."""
    server.answers = [api(getTrace=Answer(200, trace(spans=[span(stepId=7)], feedback=[])))]
    assert command("--json") == 1
    report = json.loads(capsys.readouterr().out)
    assert report["base_url"] == server.url
    [finding] = [each for operation in report["operations"] for each in operation["findings"]]
    assert finding == {
        "kind": "wrong type",
        "status": 200,
        "path": "$.spans[*].stepId",
        "expected": "string",
        "seen": "integer",
        "count": 1,
        "responses": 1,
        "sample": "0",
        "request": "",
    }
    assert {each["operation_id"]: each["unseen"] for each in report["operations"]}["getTrace"] == ["401", "403"]


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (["--max-requests", "0"], "max_requests must be at least 1"),
        (["--project", "x", "--project-id", "y"], "not both"),
    ],
)
def test_wrong_usage_is_2(
    command: Callable[..., int], capsys: pytest.CaptureFixture[str], arguments: list[str], advice: str
) -> None:
    """A wrong argument leads to one line that says what to do, before any request."""
    assert command(*arguments) == 2
    assert advice in capsys.readouterr().err


def test_no_project_is_2(
    command: Callable[..., int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a project, the check fails before any request."""
    monkeypatch.delenv("ARTANIS_PROJECT_SLUG")
    assert command() == 2
    assert "ARTANIS_PROJECT_SLUG" in capsys.readouterr().err


def test_an_unknown_project_is_4(
    server: Server, command: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    """If every list returns 404, the check blames the project or the host, not the contract, as any command does."""
    not_found = Answer(404, {"error": "Not found"})
    server.answers = [api(listPrompts=not_found, listTraces=not_found)]
    assert command() == 4
    assert "Check the id or project, and that base_url points to Artanis" in capsys.readouterr().err


def test_both_commands_have_the_same_options(capsys: pytest.CaptureFixture[str]) -> None:
    """What `artanis contract` calls an option, `python -m artanis_client.contract` does, too."""
    click = pytest.importorskip("click")
    from artanis_client.cli._tools import contract as command

    with pytest.raises(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out
    names = {name for one in command.params if isinstance(one, click.Option) for name in one.opts}
    for name in names - {"--debug", "--jsonl"}:
        assert re.search(rf"^  {name}\b(?!-)", shown, re.MULTILINE), name


def test_no_key_is_3(
    command: Callable[..., int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Missing credentials have their own exit status."""
    monkeypatch.delenv("ARTANIS_API_KEY")
    assert command() == 3
    assert "ARTANIS_API_KEY" in capsys.readouterr().err


@pytest.mark.parametrize("status", [401, 403])
def test_refused_credentials_are_3(server: Server, command: Callable[..., int], status: int) -> None:
    """If the API refuses the key or the organization, the check ends at once and reports no drift."""
    server.answer(status, {"error": "no"})
    assert command() == 3
    assert len(server.requests) == 1


def test_one_operation_that_refuses_is_drift(server: Server, command: Callable[..., int]) -> None:
    """If other operations have accepted the key, a refusal counts as drift."""
    server.answers = [api(getTrace=Answer(403, {"error": "Forbidden"}))]
    assert command() == 1


@pytest.mark.usefixtures("no_waiting")
def test_unreachable_is_5(command: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    """If nothing answers, the check reports the network, not drift."""
    assert command("--base-url", "http://127.0.0.1:9") == 5
    assert "Check the network" in capsys.readouterr().err


@pytest.mark.usefixtures("no_waiting")
@pytest.mark.parametrize("failing", [Answer(503, {"error": "no"}), Answer(429), Answer(reset=True)])
def test_failing_is_5(
    server: Server, command: Callable[..., int], capsys: pytest.CaptureFixture[str], failing: Answer
) -> None:
    """An operation that fails on the server is not drift, and the others are reported."""
    server.answers = [api(getTrace=failing)]
    assert command() == 5
    shown = capsys.readouterr().out
    assert "listPrompts: ok" in shown
    assert "getTrace: not checked" in shown
    assert "Incomplete: " in shown


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries do not wait."""
    monkeypatch.setattr("artanis_client._clock.sleep", lambda _: None)


@pytest.mark.usefixtures("no_waiting")
def test_drift_outweighs_a_failure(server: Server, command: Callable[..., int]) -> None:
    """Drift decides the exit status, even if another operation fails."""
    server.answers = [api(getTrace=Answer(500), getPrompt=Answer(200, {}))]
    assert command() == 1


@pytest.mark.usefixtures("no_waiting")
def test_retries_count(server: Server, command: Callable[..., int]) -> None:
    """Retries count towards the limit of requests."""
    server.answers = [api(listPrompts=Answer(503))]
    command("--max-requests", "2")
    assert len(server.requests) == 2


def test_a_small_budget_goes_to_what_matters(
    server: Server, command: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    """Lists come first, then one detail of each kind; the report and the status say that something was left out."""
    server.answers = [api()]
    assert command("--max-requests", "4") == 5
    shown = capsys.readouterr().out
    assert "getPrompt: ok (1 x 200)\n" in shown
    assert "getTrace: not checked (the request limit was reached)\n" in shown


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Answer(200, b"[" * 100_000, {"content-type": "application/json"}), "not JSON"),
        (
            Answer(200, b"\x1f\x8b no", {"content-type": "application/json", "content-encoding": "gzip"}),
            "content encoding",
        ),
        (Answer(200, trace(spans=[], feedback=[]), {"x": "no content type"}), "content type"),
        (Answer(302, b"", {"location": "/login"}), "undocumented status"),
        (Answer(204, b"", {"x": "y"}), "undocumented status"),
        (
            Answer(200, {**trace(), "spans": [], "feedback": []}, {"content-type": "Application/JSON; charset=utf-8"}),
            "",
        ),
    ],
)
def test_responses_that_are_odd_as_a_whole(server: Server, answer: Answer, kind: str) -> None:
    """Whatever a server sends leads to a finding, not to an exception."""
    server.answers = [api(getTrace=answer)]
    report = check(server.credentials)
    assert [found[1] for found in findings(report) if found[0] == "getTrace"] == ([kind] if kind else [])


def test_the_form_of_a_page(server: Server, command: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    """The form of a body that is not JSON is the number of its characters."""
    server.answers = [
        api(getTrace=Answer(200, b"<title>Please log in to go on</title>", {"content-type": "text/html"}))
    ]
    assert command() == 1
    assert "content type: text/html instead of application/json (1 response, such as text of 37 characters)" in (
        capsys.readouterr().out
    )


def test_a_list_of_nothing(server: Server) -> None:
    """An empty project has no drift, but its details are named as not checked, and the exit status says so."""
    server.answers = [api(listPrompts=Answer(200, {"prompts": []}), listTraces=Answer(200, {"traces": []}))]
    report = check(server.credentials)
    assert report.in_step
    assert verdicts(report)["getTrace"] == "not checked"
    assert report.unchecked == ["getPrompt", "getTrace"]
    assert report.exit_code == 5
    assert [*report.lines()][-1].startswith("Incomplete after 6 requests; not checked: getPrompt, getTrace")


@pytest.mark.parametrize("id_", ["urn:trace:1", "a.b", "trace_1", "a b", "ä", "a%2Fb", "a#b", "a;b"])
def test_ids_of_any_form_are_followed(server: Server, id_: str) -> None:
    """Any id that can be in a path is asked for, quoted."""
    asked = f"/api/traces/{quote(id_, safe='')}"

    def answer(request: Request) -> Answer:
        is_asked = request.path == asked
        body = trace(id=id_, spans=[], feedback=[])
        return Answer(200, body, {"content-type": "application/json"}) if is_asked else usual(request)

    usual = api(listTraces=Answer(200, {"traces": [trace(id=id_)]}))
    server.answers = [answer]
    report = check(server.credentials)
    assert (findings(report), report.exit_code) == ([], 0)
    assert asked in [request.path for request in server.requests]


def test_another_object_than_the_one_asked_for(server: Server) -> None:
    """A detail with another id than the one in its path is a drift, whose id is not shown."""
    server.answers = [api(getTrace=Answer(200, trace(id="other-1", spans=[], feedback=[])))]
    report = check(server.credentials)
    assert findings(report) == [("getTrace", "another object", 200, "$.id", "another id")]
    assert "    another object $.id: another id instead of the id in the path (1 response, such as aaaaa-0)" in [
        *report.lines()
    ]


@pytest.mark.usefixtures("no_waiting")
@pytest.mark.parametrize("status", [200, 500])
@pytest.mark.parametrize(
    ("operation", "path", "promised"),
    [("listTraces", "/api/traces", "400"), ("getTrace", "/api/traces/", "404")],
)
def test_a_documented_error_that_does_not_come(
    server: Server, status: int, operation: str, path: str, promised: str
) -> None:
    """A success or a crash where an error is documented is a drift."""
    usual = api()

    def answer(request: Request) -> Answer:
        is_mistake = request.path.startswith(path) and "?" not in request.path and TRACE_ID not in request.path
        body = {"traces": []} if path == "/api/traces" else trace(spans=[], feedback=[])
        is_mistake = is_mistake and (path != "/api/traces" or request.path == path)
        return Answer(status, body, {"content-type": "application/json"}) if is_mistake else usual(request)

    server.answers = [answer]
    report = check(server.credentials)
    assert findings(report) == [(operation, "no error", status, "$", str(status))]
    [finding] = [finding for each in report.operations for finding in each.findings]
    assert finding.expected == promised
    assert report.exit_code == 1


@pytest.mark.usefixtures("no_waiting")
@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_breaks_no_promise(server: Server, status: int) -> None:
    """A server that is busy when an error is documented is not a drift."""
    server.answers = [api(mistake=Answer(status, {"error": "busy"}))]
    assert findings(check(server.credentials)) == []


@pytest.mark.parametrize(
    ("fields", "link", "expected"),
    [
        ({"nextCursor": None}, "", [("$.nextCursor", "null")]),
        ({"next_page_token": "x"}, "", [("$.next_page_token", "string")]),
        ({"has_more": True}, "", [("$.has_more", "boolean")]),
        ({}, '<https://x/api/traces?page=2>; rel="next"', [("$", "Link: rel=next")]),
        ({}, "<https://x/2>; rel=next, <https://x/0>; rel=prev", [("$", "Link: rel=next")]),
        ({}, '<https://x/next>; rel="prev"', []),
    ],
)
def test_pagination(server: Server, fields: dict[str, Any], link: str, expected: list[tuple[str, str]]) -> None:
    """A list that goes on elsewhere is named as such, because the client would miss the rest."""
    headers = {"content-type": "application/json", **({"link": link} if link else {})}
    server.answers = [api(listTraces=Answer(200, {"traces": [trace()], **fields}, headers))]
    found = findings(check(server.credentials))
    assert found == [("listTraces", "pagination appeared", 200, path, seen) for path, seen in expected]


def version(id_: str, month: int, *, active: bool) -> dict[str, Any]:
    return {"id": id_, "content": "x", "isActive": active, "createdAt": f"2026-{month:02}-01T00:00:00.000Z"}


@pytest.mark.parametrize(
    ("versions", "expected"),
    [
        ([version("a", 1, active=False), version("b", 2, active=True)], []),
        ([version("a", 1, active=True), version("b", 1, active=False)], []),
        (
            [version("a", 1, active=True), version("b", 2, active=True)],
            [("number of items", "$.versions[*].isActive", "true 2 times")],
        ),
        ([version("a", 1, active=False)], [("number of items", "$.versions[*].isActive", "true 0 times")]),
        (
            [version("a", 2, active=False), version("b", 1, active=True)],
            [("order", "$.versions", "another order")],
        ),
    ],
)
def test_promises_about_versions(
    server: Server, versions: list[dict[str, Any]], expected: list[tuple[str, str, str]]
) -> None:
    """Exactly one version is active, and the oldest comes first."""
    prompt = {"id": PROMPT["id"], "stepId": "classify", "outputSchema": {}, "versions": versions}
    server.answers = [api(getPrompt=Answer(200, prompt))]
    found = findings(check(server.credentials))
    assert found == [("getPrompt", kind, 200, path, seen) for kind, path, seen in expected]


def test_promises_about_traces(server: Server) -> None:
    """The newest trace comes first."""
    old, new = (trace(id=f"t{month}", createdAt=f"2026-{month:02}-01T00:00:00.000Z") for month in (1, 2))
    server.answers = [api(listTraces=Answer(200, {"traces": [old, new]}))]
    found = findings(check(server.credentials))
    assert ("listTraces", "order", 200, "$.traces", "another order") in found
    server.answers = [api(listTraces=Answer(200, {"traces": [new, old]}))]
    assert "order" not in [kind for _, kind, *_ in findings(check(server.credentials))]


def test_a_body_that_cannot_be_unpacked(
    server: Server, command: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    """It is named as such, not as a wrong content type."""
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    server.answers = [api(getTrace=Answer(200, b"\x1f\x8b no", headers))]
    assert command() == 1
    assert "    content encoding: the body cannot be decoded (" in capsys.readouterr().out


def test_a_trace_deleted_meanwhile(server: Server) -> None:
    """A 404 for one of several traces is not drift: it may have been deleted."""
    gone = trace(id="gone")
    server.answers = [api(listTraces=Answer(200, {"traces": [trace(), gone]}))]
    assert check(server.credentials).in_step


def test_ids_that_could_lead_elsewhere_are_not_followed(server: Server) -> None:
    """The check ignores ids that would change the path of a request."""
    bad = [trace(id=id_) for id_ in ("../x", "a/b", "", "a?b")]
    server.answers = [api(listTraces=Answer(200, {"traces": [*bad, {"id": 7}, 7, trace()]}))]
    check(server.credentials)
    asked = [request.path for request in server.requests if request.path.startswith("/api/traces/")]
    assert len(asked) == 2


def test_only_reads(server: Server) -> None:
    """The check sends only GET requests."""
    server.answers = [api()]
    check(server.credentials)
    assert {request.method for request in server.requests} == {"GET"}


def test_as_a_program() -> None:
    """`python -m artanis_client.contract` prints the report and exits with its status."""
    with Sandbox(traces=8, drift=["null"]) as sandbox:
        environment = {**unmeasured(), **sandbox.environment}
        program = [sys.executable, "-m", "artanis_client.contract"]
        done = subprocess.run(program, env=environment, capture_output=True, text=True, check=False, timeout=LIMIT)
    assert (done.returncode, done.stderr) == (1, "")
    assert "null $.status" in done.stdout


def test_a_reader_that_has_seen_enough() -> None:
    """`| head -1` does not change the exit status or cause a traceback."""
    with Sandbox(traces=8) as sandbox:
        environment = {**unmeasured(), **sandbox.environment}
        program = [sys.executable, "-m", "artanis_client.contract"]
        process = subprocess.Popen(program, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        with process.stderr as errors:
            assert errors.read() == ""
        assert process.wait(LIMIT) in (0, 1)  # 1: the sandbox lacks an operation, which is not what this test is about


def test_without_the_extra(command: Callable[..., int], monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """Without the extra, one line says what to install, and the exit status is not that of drift."""
    monkeypatch.setitem(sys.modules, "yaml", None)
    assert command() == 2
    assert "pip install 'artanis-client[contract]'" in capsys.readouterr().err
    with pytest.raises(AttributeError):
        _ = contract.no_such_name  # type: ignore[attr-defined]


def test_interrupted_is_130(
    server: Server, command: Callable[..., int], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C ends the check without output."""

    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("artanis_client.contract.__main__.check", interrupt)
    assert command() == 130
    assert capsys.readouterr() == ("", "")


def test_type_hints() -> None:
    """`typing.get_type_hints` works on everything public."""
    for name in contract.__all__:
        assert typing.get_type_hints(getattr(contract, name))


def test_the_client_is_used_as_it_is(server: Server) -> None:
    """The client's hooks see every request that the report counts, and the client stays open."""
    server.answers = [api()]
    seen: list[Any] = []
    with Artanis(**server.credentials, httpx_args={"event_hooks": {"request": [seen.append]}}) as client:
        report = contract.check(client)
        assert report.requests == len(seen) == len(server.requests)
        assert client.prompts.list()


def test_a_renewed_key_counts(server: Server) -> None:
    """A request sent again with a renewed key counts twice, and the new key stays out of the report."""
    docs = Answer(200, {"knowledgeDocs": [{"id": "one", "keys": ["first-secret", "other-secret"]}]})
    server.answers = [Answer(401, {"error": "expired"}), api(listKnowledgeDocs=docs)]
    keys = iter(["first-secret", "other-secret"])
    with Artanis(**{**server.credentials, "api_key": lambda: next(keys)}) as client:
        report = contract.check(client, show_values=True)
    assert report.requests == len(server.requests)
    assert report.in_step
    assert "other-secret" not in repr(report)


def test_an_escaped_key(server: Server) -> None:
    """The API key is removed even if the server writes it with JSON escapes."""
    body = json.dumps({**trace(), "spans": [], "feedback": [], "echo": "KEY"})
    escaped = "".join(f"\\u{ord(char):04x}" for char in KEY)
    server.answers = [api(getTrace=Answer(200, body.replace("KEY", escaped).encode()))]
    report = check(server.credentials, show_values=True)
    assert [(found.path, found.sample) for each in report.operations for found in each.findings] == [
        ("$.echo", '"****"')
    ]


def test_deep_values(server: Server) -> None:
    """Free-form values may be nested as deeply as JSON can be read."""
    value: Any = "deep"
    for _ in range(400):
        value = [value]
    server.answers = [api(getTrace=Answer(200, trace(spans=[span(input=value)], feedback=[])))]
    assert findings(check(server.credentials)) == []


def test_operations_that_are_not_called() -> None:
    """Operations that write, or need a value that the check lacks, are skipped with a reason."""
    documented = {"operationId": "op", "responses": {"200": {"description": "OK"}}}
    needed = {"name": "query", "in": "query", "required": True}
    document = {
        "paths": {
            "/a": {"get": documented, "post": documented, "summary": "A"},
            "/b": {"get": {**documented, "parameters": [{"$ref": "#/components/parameters/Query"}]}},
            "/c": {"get": documented, "parameters": [needed]},
            "/c/{c}/d/{d}": {"get": documented},
        },
        "components": {"parameters": {"Query": needed}},
    }
    assert [(each.method, each.path, each.obstacle) for each in operations_of(document)] == [
        ("GET", "/a", ""),
        ("POST", "/a", "it is not read-only"),
        ("GET", "/b", "the check has no value for query"),
        ("GET", "/c", "the check has no value for query"),
        ("GET", "/c/{c}/d/{d}", "the check has no value for /c/{c}/d/{d}"),
    ]

"""A sandbox that departs from the contract on purpose."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from artanis_client.sandbox import DRIFTS, Sandbox
from support import NOW

PROMPTS, PROMPT, NO_PROMPT = "/api/prompts", "/api/prompts/{id}", "/api/prompts/unknown"
TRACES, TRACE, NO_TRACE = "/api/traces", "/api/traces/{id}", "/api/traces/unknown"
DOCS, DOC, NO_DOC = "/api/knowledge-docs", "/api/knowledge-docs/{id}", "/api/knowledge-docs/unknown"
HERE = {"projectSlug": "support-chat"}

Answer = tuple[int, str, bytes]


def ask(client: httpx.Client, right: httpx.Client) -> dict[str, Answer]:
    """Return status, content type and body of each kind of response; `right` is a client that lists the ids."""
    answers: dict[str, Answer] = {}
    for path in (PROMPTS, TRACES, DOCS):
        (items,) = right.get(path, params=HERE).json().values()
        for name in (path, f"{path}/{{id}}", f"{path}/unknown"):
            response = client.get(name.replace("{id}", items[0]["id"]), params=HERE)
            answers[name] = (response.status_code, response.headers["content-type"], response.content)
    return answers


@pytest.fixture(scope="session")
def ask_drifted(client: httpx.Client, connect: Callable[..., httpx.Client]) -> Callable[..., dict[str, Answer]]:
    """Request each kind of response from a sandbox with drifts."""

    def ask_drifted(names: Iterable[str]) -> dict[str, Answer]:
        with Sandbox(traces=30, now=NOW, drift=names) as drifted:
            return ask(connect(drifted), client)

    return ask_drifted


def each(key: str, change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return a function that changes fields in each item of a body's list."""
    return lambda body: {**body, key: [{**item, **change(item)} for item in body[key]]}


def third_without_content(key: str) -> Callable[[Any], Any]:
    """Return a function that removes `content` from the last of three items."""

    def change(body: Any) -> Any:
        first, second, third = body[key]
        return {**body, key: [first, second, {name: value for name, value in third.items() if name != "content"}]}

    return change


def since_1970(timestamp: str) -> int:
    return (datetime.fromisoformat(timestamp) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def doc_with_name(doc: dict[str, Any]) -> dict[str, Any]:
    return {"id": doc["id"], "name": doc["title"], **{key: doc[key] for key in ("content", "createdAt", "updatedAt")}}


NOT_FOUND = (404, "application/json", b'{"error":"Not found"}')
MESSAGE = (404, "application/json", b'{"message":"Not found"}')

# The response that each drift sends instead, or its change of the body.
EXPECTED: dict[str, dict[str, Answer | Callable[[Any], Any]]] = {
    "undocumented-field": {PROMPTS: each("prompts", lambda _: {"undocumented": "text"})},
    "undocumented-nested-field": {TRACE: each("spans", lambda _: {"undocumented": 0.93})},
    "missing-field": {PROMPTS: third_without_content("prompts"), PROMPT: third_without_content("versions")},
    "wrong-type": {TRACES: each("traces", lambda trace: {"createdAt": since_1970(trace["createdAt"])})},
    "null": {TRACE: lambda body: {**body, "status": None}},
    "date-format": {
        PROMPT: each(
            "versions",
            lambda version: {"createdAt": re.sub(r"(....)-(..)-(..)T(.....).*", r"\3/\2/\1 \4", version["createdAt"])},
        )
    },
    "free-form": {TRACE: each("spans", lambda span: {"metadata": json.dumps(span["metadata"])})},
    "renamed-key": {TRACES: lambda body: {"items": body["traces"]}},
    "bare-list": {PROMPTS: lambda body: body["prompts"]},
    "knowledge-docs-renamed": {DOCS: lambda body: {"docs": [doc_with_name(doc) for doc in body["knowledgeDocs"]]}},
    "not-json": {TRACES: (200, "application/json", b"traces: []")},
    "content-type": {PROMPT: (200, "text/html; charset=utf-8", b"<!doctype html><title>Prompt</title>")},
    "undocumented-status": {TRACE: (410, "application/json", b'{"error":"Gone"}')},
    "operation-gone": {PROMPT: NOT_FOUND},
    "no-knowledge-docs": {DOCS: NOT_FOUND, DOC: NOT_FOUND},
    "error-body": dict.fromkeys([NO_PROMPT, NO_TRACE, NO_DOC], MESSAGE),
}


@pytest.mark.parametrize("name", DRIFTS)
def test_each(name: str, client: httpx.Client, ask_drifted: Callable[..., dict[str, Answer]]) -> None:
    """Each drift changes what its description says, and not a byte of anything else."""
    expected = ask(client, client)
    for path, change in EXPECTED[name].items():
        if callable(change):
            status, content_type, body = expected[path]
            changed = json.dumps(change(json.loads(body)), ensure_ascii=False, separators=(",", ":")).encode()
            expected[path] = (status, content_type, changed)
        else:
            expected[path] = change
    assert ask_drifted([name]) == expected


@pytest.mark.parametrize(
    ("names", "path", "answer"),
    [
        (["error-body", "operation-gone"], PROMPT, MESSAGE),
        (["null", "undocumented-status", "free-form"], TRACE, (410, "application/json", b'{"error":"Gone"}')),
        (["content-type", "date-format", "missing-field"], PROMPT, (200, "text/html; charset=utf-8", None)),
        (["no-knowledge-docs", "knowledge-docs-renamed"], DOCS, NOT_FOUND),
        (DRIFTS, TRACES, (200, "application/json", b"traces: []")),
    ],
)
def test_one_beats_another(
    names: Iterable[str], path: str, answer: Any, ask_drifted: Callable[..., dict[str, Answer]]
) -> None:
    """A drift that replaces a response wins over other drifts, in any order."""
    for order in (list(names), list(names)[::-1]):
        status, content_type, body = ask_drifted(order)[path]
        assert (status, content_type, answer[2] and body) == answer


def test_several_in_one_body(ask_drifted: Callable[..., dict[str, Answer]]) -> None:
    """Drifts of fields and of the body around them combine, in any order."""
    prompts = json.loads(ask_drifted(["bare-list", "missing-field", "undocumented-field"])[PROMPTS][2])
    assert [prompt["undocumented"] for prompt in prompts] == ["text"] * 3
    assert ["content" in prompt for prompt in prompts] == [True, True, False]


def test_with_faults_and_changes(connect: Callable[..., httpx.Client]) -> None:
    """Drift, faults and changes work together."""
    with Sandbox(traces=1, fault_rate=0.5, latency=0.001, drift=["renamed-key"]) as sandbox:
        sandbox.add_trace()
        client = connect(sandbox)
        seen: Counter[str] = Counter()
        for _ in range(30):
            try:
                response = client.get(TRACES, params=HERE)
            except httpx.RemoteProtocolError:
                seen["cut"] += 1
            else:
                seen[str(len(response.json()["items"]) if response.is_success else response.status_code)] += 1
    assert set(seen) == {"2", "429", "503", "cut"}


def test_refusals_do_not_drift(connect: Callable[..., httpx.Client]) -> None:
    """A request with a wrong key gets 401 in spite of drifts, unless the operation is gone."""
    with Sandbox(traces=1, drift=DRIFTS) as sandbox:
        client = connect(sandbox, key="wrong-key")
        statuses = {path: client.get(path, params=HERE).status_code for path in (PROMPTS, PROMPT, TRACES, TRACE, DOCS)}
    assert statuses == {PROMPTS: 401, PROMPT: 404, TRACES: 401, TRACE: 401, DOCS: 404}


def test_unknown_name() -> None:
    """An unknown name raises ValueError, which lists the known names."""
    with pytest.raises(ValueError, match=rf"^Unknown drift: a, b\. Choose from {', '.join(DRIFTS)}\.$"):
        Sandbox(drift=["b", "null", "a"])

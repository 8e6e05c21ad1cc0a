"""Ways in which a sandbox can deviate from openapi.yaml on purpose, to test a contract check."""

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

import attrs
from starlette.responses import HTMLResponse, JSONResponse, Response

PROMPTS, PROMPT = "/api/prompts", "/api/prompts/{id}"
TRACES, TRACE = "/api/traces", "/api/traces/{id}"
DOCS, DOC = "/api/knowledge-docs", "/api/knowledge-docs/{id}"


@attrs.frozen
class Drift:
    """A change of some responses."""

    description: str
    paths: Sequence[str] | None
    """Paths of the responses; None for any path."""
    change: Callable[[dict[str, Any]], Any] | Response
    """A function that returns the body to send instead, or the response to send instead."""
    status: int | None = 200
    """Status of the responses; None for any status."""


def _each(key: str, change: Callable[[Any], Any]) -> Callable[[dict[str, Any]], Any]:
    """Return a function that changes each item of a body's list."""
    return lambda body: {**body, key: [change(item) for item in body[key]]}


def _drop_content(body: Any) -> Any:
    for item in body["prompts" if "prompts" in body else "versions"][2::3]:
        del item["content"]
    return body


def _use_epoch(trace: Any) -> Any:
    return {**trace, "createdAt": round(datetime.fromisoformat(trace["createdAt"]).timestamp() * 1000)}


def _use_local_date(version: Any) -> Any:
    return {**version, "createdAt": datetime.fromisoformat(version["createdAt"]).strftime("%d/%m/%Y %H:%M")}


def _rename_docs(body: Any) -> Any:
    names = {"title": "name"}
    return {"docs": [{names.get(key, key): value for key, value in doc.items()} for doc in body["knowledgeDocs"]]}


_NOT_FOUND = JSONResponse({"error": "Not found"}, 404)

# They are applied in this order, so that they combine: first those that change fields, then those that change the body
# around the fields, then those that replace the response. New fields are called `undocumented`: the contract will never
# have a field of that name.
_DRIFTS = {
    "undocumented-field": Drift(
        "each prompt of the list has an `undocumented` text",
        [PROMPTS],
        _each("prompts", lambda prompt: {**prompt, "undocumented": "text"}),
    ),
    "undocumented-nested-field": Drift(
        "each span of a trace has an `undocumented` number",
        [TRACE],
        _each("spans", lambda span: {**span, "undocumented": 0.93}),
    ),
    "missing-field": Drift(
        "every third prompt of the list, and every third version of a prompt, lacks its `content`",
        [PROMPTS, PROMPT],
        _drop_content,
    ),
    "wrong-type": Drift(
        "`createdAt` of each trace of the list is a number of milliseconds", [TRACES], _each("traces", _use_epoch)
    ),
    "null": Drift("`status` of a single trace is null", [TRACE], lambda body: {**body, "status": None}),
    "date-format": Drift(
        "`createdAt` of each version of a prompt looks like 01/04/2026 12:00",
        [PROMPT],
        _each("versions", _use_local_date),
    ),
    "free-form": Drift(
        "`metadata` of each span of a trace is a string",
        [TRACE],
        _each("spans", lambda span: {**span, "metadata": json.dumps(span["metadata"])}),
    ),
    "renamed-key": Drift("the list of traces is under `items`", [TRACES], lambda body: {"items": body["traces"]}),
    "bare-list": Drift("the list of prompts is an array", [PROMPTS], lambda body: body["prompts"]),
    "knowledge-docs-renamed": Drift(
        "the list of knowledge docs is under `docs`, each with a `name` instead of a `title`", [DOCS], _rename_docs
    ),
    "not-json": Drift(
        "the list of traces is not JSON", [TRACES], Response("traces: []", media_type="application/json")
    ),
    "content-type": Drift(
        "a single prompt is an HTML page", [PROMPT], HTMLResponse("<!doctype html><title>Prompt</title>")
    ),
    "undocumented-status": Drift("a single trace has status 410", [TRACE], JSONResponse({"error": "Gone"}, 410)),
    "operation-gone": Drift("a single prompt is never found", [PROMPT], _NOT_FOUND, status=None),
    "no-knowledge-docs": Drift(
        "neither the list nor a single knowledge doc is found", [DOCS, DOC], _NOT_FOUND, status=None
    ),
    "error-body": Drift(
        "every 404 has a `message` instead of an `error`",
        None,
        JSONResponse({"message": "Not found"}, 404),
        status=404,
    ),
}

DRIFTS = {name: drift.description for name, drift in _DRIFTS.items()}
"""The ways in which a sandbox can deviate from openapi.yaml, with a description of each."""


def find_drifts(names: Iterable[str]) -> list[Drift]:
    """Return the drifts with these names, in the order in which they must be applied.

    Raises:
        ValueError: If a name is unknown.
    """
    wanted = set(names)
    if unknown := sorted(wanted - DRIFTS.keys()):
        raise ValueError(f"Unknown drift: {', '.join(unknown)}. Choose from {', '.join(DRIFTS)}.")
    return [drift for name, drift in _DRIFTS.items() if name in wanted]


def apply_drifts(drifts: Iterable[Drift], path: str, response: Response) -> Response:
    """Return the response to send instead of this one."""
    for drift in drifts:
        if (drift.paths is None or path in drift.paths) and drift.status in (None, response.status_code):
            if isinstance(drift.change, Response):
                response = drift.change
            else:
                response = JSONResponse(drift.change(json.loads(bytes(response.body))))
    return response

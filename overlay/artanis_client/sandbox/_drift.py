"""Ways to depart from openapi.yaml on purpose: what a check of the contract has to find, and to name."""

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from starlette.responses import HTMLResponse, JSONResponse, Response


class Drift(NamedTuple):
    """What becomes of the answers with a status under some paths; None stands for all of them."""

    description: str
    paths: Sequence[str] | None
    change: Callable[[Response], Response]
    status: int | None = 200


def _body(change: Callable[[Any], Any]) -> Callable[[Response], Response]:
    """Puts another body in place of the decoded one, which may be altered for it."""
    return lambda response: JSONResponse(change(json.loads(bytes(response.body))))


def _items(key: str, change: Callable[[Any], Any]) -> Callable[[Response], Response]:
    """Puts another item in place of each in the list under a key."""
    return _body(lambda body: {**body, key: [change(item) for item in body[key]]})


def _instead(response: Response) -> Callable[[Response], Response]:
    return lambda _: response


def _without_some_content(body: Any) -> Any:
    for item in body["prompts" if "prompts" in body else "versions"][2::3]:
        del item["content"]
    return body


def _with_epoch(trace: Any) -> Any:
    return {**trace, "createdAt": round(datetime.fromisoformat(trace["createdAt"]).timestamp() * 1000)}


def _with_local_date(version: Any) -> Any:
    return {**version, "createdAt": datetime.fromisoformat(version["createdAt"]).strftime("%d/%m/%Y %H:%M")}


def _renamed_docs(body: Any) -> Any:
    names = {"title": "name"}
    return {"docs": [{names.get(key, key): value for key, value in doc.items()} for doc in body["knowledgeDocs"]]}


# Applied in this order, so that they combine: first what changes fields, then what changes the body around them, and
# last what replaces the answer.
_DRIFTS = {
    "undocumented-field": Drift(
        "every prompt of the list has a `language`",
        ["/api/prompts"],
        _items("prompts", lambda prompt: {**prompt, "language": "en"}),
    ),
    "undocumented-nested-field": Drift(
        "every span of a trace has a `score`",
        ["/api/traces/{id}"],
        _items("spans", lambda span: {**span, "score": 0.93}),
    ),
    "missing-field": Drift(
        "every third prompt of the list, and every third version of a prompt, has no `content`",
        ["/api/prompts", "/api/prompts/{id}"],
        _body(_without_some_content),
    ),
    "wrong-type": Drift(
        "`createdAt` of every trace of the list is a number of milliseconds",
        ["/api/traces"],
        _items("traces", _with_epoch),
    ),
    "null": Drift(
        "`status` of a single trace is null",
        ["/api/traces/{id}"],
        _body(lambda body: {**body, "status": None}),
    ),
    "date-format": Drift(
        "`createdAt` of every version of a prompt is like 01/04/2026 12:00",
        ["/api/prompts/{id}"],
        _items("versions", _with_local_date),
    ),
    "free-form": Drift(
        "`metadata` of every span of a trace is a string",
        ["/api/traces/{id}"],
        _items("spans", lambda span: {**span, "metadata": json.dumps(span["metadata"])}),
    ),
    "renamed-key": Drift(
        "the list of traces is under `items`",
        ["/api/traces"],
        _body(lambda body: {"items": body["traces"]}),
    ),
    "bare-list": Drift(
        "the list of prompts is an array",
        ["/api/prompts"],
        _body(lambda body: body["prompts"]),
    ),
    "knowledge-docs-renamed": Drift(
        "the list of knowledge docs is under `docs`, each with a `name` instead of a `title`",
        ["/api/knowledge-docs"],
        _body(_renamed_docs),
    ),
    "not-json": Drift(
        "the list of traces is no JSON",
        ["/api/traces"],
        _instead(Response("traces: []", media_type="application/json")),
    ),
    "content-type": Drift(
        "a single prompt is an HTML page",
        ["/api/prompts/{id}"],
        _instead(HTMLResponse("<!doctype html><title>Prompt</title>")),
    ),
    "undocumented-status": Drift(
        "a single trace is answered with 410",
        ["/api/traces/{id}"],
        _instead(JSONResponse({"error": "Gone"}, 410)),
    ),
    "operation-gone": Drift(
        "a single prompt is not found, whatever its id",
        ["/api/prompts/{id}"],
        _instead(JSONResponse({"error": "Not found"}, 404)),
        status=None,
    ),
    "no-knowledge-docs": Drift(
        "knowledge docs are not found, neither the list nor a single one",
        ["/api/knowledge-docs", "/api/knowledge-docs/{id}"],
        _instead(JSONResponse({"error": "Not found"}, 404)),
        status=None,
    ),
    "error-body": Drift(
        "what is not found is answered with a `message` instead of an `error`",
        None,
        _instead(JSONResponse({"message": "Not found"}, 404)),
        status=404,
    ),
}

DRIFTS = {name: drift.description for name, drift in _DRIFTS.items()}
"""The ways in which a sandbox can depart from openapi.yaml: the name of each, and what it does."""


def find_drifts(names: Iterable[str]) -> list[Drift]:
    """What these names stand for, in the order in which it has to be applied."""
    wanted = set(names)
    if unknown := sorted(wanted - DRIFTS.keys()):
        raise ValueError(f"no such drift: {', '.join(unknown)}; there are {', '.join(DRIFTS)}")
    return [drift for name, drift in _DRIFTS.items() if name in wanted]


def apply(drifts: Iterable[Drift], path: str, response: Response) -> Response:
    """What is answered instead."""
    for drift in drifts:
        if (drift.paths is None or path in drift.paths) and drift.status in (None, response.status_code):
            response = drift.change(response)
    return response

"""Compare responses with the contract, and report on each operation."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import attrs

from ._contract import Operation
from ._report import Finding, OperationReport, Verdict
from ._requests import NotJSON, Request
from ._schema import ROOT, Drift, find_drifts, json_type, observed_types

# Fields of a list that say that it goes on.
_PAGE = re.compile(
    r"\$\.(\w+\.)?(next|cursor|next_?(cursor|page|page_?token|token|url|link)|has_?(more|next(_?page)?)|page_?(info|token)"
    r"|pagination|total_?pages)",
    re.IGNORECASE,
)
_NEXT = re.compile(r"""\brel\s*=\s*["']?([^"';,]*\s)?next\b""", re.IGNORECASE)


def report_on(operation: Operation, requests: Iterable[Request], stopped: str, show_values: bool) -> OperationReport:
    """Report on one operation.

    Args:
        operation: The operation.
        requests: The requests planned for all operations, sent or not.
        stopped: Why some of them were not sent.
        show_values: Whether findings show values.
    """
    planned = [request for request in requests if request.operation is operation]
    sent = [request for request in planned if request.status]
    uses = [request for request in sent if not request.expects_error]
    statuses = Counter(request.status for request in sent)
    works = any(request.is_success for request in uses)
    comparable = [request for request in sent if not request.is_unavailable or (works and request.is_crash)]
    findings = list(_findings(comparable, show_values))
    unavailable = [f"it returned {request.status}" for request in uses if request.is_unavailable]
    note = "".join(unavailable[-1:])
    if not uses:
        note = operation.obstacle or (stopped if planned else "no list returned an id")
    bodies = [request.body for request in sent if request.is_success and not isinstance(request.body, NotJSON)]
    return OperationReport(
        operation_id=operation.id,
        method=operation.method,
        path=operation.path,
        provisional=operation.is_provisional,
        verdict=_verdict({request.status for request in uses}, findings),
        note=note,
        statuses=dict(sorted(statuses.items())),
        unseen=[code for code in operation.declared["responses"] if code not in map(str, statuses)],
        findings=findings,
        returned=observed_types(bodies) if operation.is_provisional else {},
    )


def _verdict(statuses: set[int], findings: list[Finding]) -> Verdict:
    if statuses == {404}:
        return "missing"
    if findings:
        return "drift"
    return "ok" if any(status // 100 == 2 for status in statuses) else "not checked"


def _findings(requests: Iterable[Request], show_values: bool) -> Iterator[Finding]:
    """Find every difference, once for all the places where it is."""
    places: dict[Finding, list[tuple[Any, Request]]] = {}
    for request in requests:
        for kind, path, expected, seen, value in _drifts(request):
            finding = Finding(kind=kind, status=request.status, path=path, expected=expected, seen=seen)
            places.setdefault(finding, []).append((value, request))
    for finding, found in places.items():
        value, request = found[0]
        sample, source = (_as_text(value)[:200], request.path) if show_values else (_form(value), "")
        responses = {id(request) for _, request in found}
        yield attrs.evolve(finding, count=len(found), responses=len(responses), sample=sample, request=source)


def _drifts(request: Request) -> Iterator[Drift]:
    operation, status, body = request.operation, str(request.status), request.body
    documented = operation.response_to(request.status)
    if request.expects_error and operation.documented_error and (request.is_success or request.is_crash):
        yield Drift("no error", ROOT, operation.documented_error, status, body)
        return
    if request.broken:
        yield Drift("content encoding", ROOT, "", f"the body {request.broken}", None)
        return
    if documented is None:
        yield Drift("undocumented status", ROOT, " or ".join(operation.declared["responses"]), status, body)
        return
    if not (request.is_success or request.status == 404 or request.expects_error):
        yield Drift("no success", ROOT, "2xx", status, None)
    content = documented.get("content", {})
    if not content:
        return
    if request.media_type not in content:
        yield Drift("content type", ROOT, " or ".join(content), request.media_type or "none", body)
    elif isinstance(body, NotJSON):
        yield Drift("not JSON", ROOT, "", "text", body)
    else:
        try:
            for drift in find_drifts(body, content[request.media_type].get("schema", {}), operation.document):
                is_page = operation.is_list and drift.kind == "undocumented field" and _PAGE.fullmatch(drift.path)
                yield drift._replace(kind="pagination appeared") if is_page else drift
        except RecursionError:
            yield Drift("not JSON", ROOT, "", "nested too deeply", None)
    yield from _drifts_of_the_object(request)


def _drifts_of_the_object(request: Request) -> Iterator[Drift]:
    """Find what no schema says: that a list is whole, and that a detail is the one that was asked for."""
    if request.operation.is_list and _NEXT.search(request.link):
        yield Drift("pagination appeared", ROOT, "", "Link: rel=next", None)
    body: Any = request.body
    returned: Any = body.get("id") if request.asked and body.__class__ is dict else None
    if request.is_success and returned.__class__ is str and returned != request.asked:
        yield Drift("another object", f"{ROOT}.id", "the id in the path", "another id", returned)


def _as_text(value: Any) -> str:
    return value if isinstance(value, NotJSON) else json.dumps(value, ensure_ascii=False)


def _form(value: Any) -> str:
    """Describe a value without showing it."""
    kind = "text" if isinstance(value, NotJSON) else json_type(value)
    if isinstance(value, bool) or value is None:
        return kind
    if value.__class__ in (list, dict):
        return f"{kind} of {len(value)}"
    text = str(value)
    if len(text) > 30:
        return f"{kind} of {len(text)} characters"
    return "".join("0" if char.isdigit() else "a" if char.isalpha() else char for char in text)

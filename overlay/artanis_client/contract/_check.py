"""Calling the operations, and what came of it."""

from __future__ import annotations

import functools
import itertools
import json
import re
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any, Literal

import attrs
import yaml

from .._client import Artanis
from .._errors import (
    APIConnectionError,
    APIResponseValidationError,
    APIStatusError,
    AuthenticationError,
    PermissionDeniedError,
)
from .._version import __version__
from ._schema import Drift, Schema, json_type, resolve, shape

Verdict = Literal["ok", "drift", "missing", "not checked"]

_METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}


@attrs.frozen(kw_only=True)
class Finding:
    """One drift of an operation, wherever it was seen."""

    kind: str
    """`undocumented field`, `missing field`, `wrong type`, `null`, `format` or `invalid value`; of a response as a
    whole `undocumented status`, `no success`, `content type` or `not JSON`."""
    status: int
    """The status of the responses."""
    path: str
    """JSONPath, with `[*]` for any item of an array."""
    expected: str
    """What the contract says; empty where it says nothing."""
    seen: str
    """The JSON type that arrived, or the status or content type."""
    count: int
    """At how many places."""
    responses: int
    """In how many responses."""
    sample: str
    """The first one: its form (letters as `a`, digits as `0`), or with `show_values` as it was."""
    request: str
    """With `show_values`, the path of the request that the sample is from."""


@attrs.frozen(kw_only=True)
class OperationReport:
    """What was found out about one operation."""

    operation_id: str
    method: str
    path: str
    provisional: bool
    verdict: Verdict
    """`missing`: it answered nothing but 404."""
    note: str
    """Why it was not checked."""
    statuses: dict[int, int]
    """How often each status came."""
    unseen: list[str]
    """Documented statuses that never came, and so were not compared."""
    findings: list[Finding]
    returned: dict[str, str]
    """Of a provisional operation: the types that were seen at each path of its successful responses."""


@attrs.frozen(kw_only=True)
class Report:
    """The outcome of a check."""

    contract: str
    """Version of the contract."""
    client: str
    """Version of this package."""
    base_url: str
    org_slug: str
    project: str
    checked_at: str
    requests: int
    problem: str
    """What kept the check from being complete: the network, or failures on the server's side."""
    operations: list[OperationReport]

    @property
    def in_step(self) -> bool:
        """Whether no drift was found; what is provisional does not count, because there the contract only guesses."""
        return all(each.provisional or each.verdict not in ("drift", "missing") for each in self.operations)


def check(*, max_requests: int = 50, show_values: bool = False, **client: Any) -> Report:
    """Call every operation of the contract that only reads, and compare what comes back.

    An operation with an id in its path takes ids from the list above it. Beside its proper use, each is asked once in
    the way that has a documented error: a list without a project, a detail with an id that nobody has.

    Args:
        max_requests: Requests to send at most, retries included.
        show_values: Put real values into the samples; without it they show the form of a value alone.
        client: The arguments of `Artanis`, except `httpx_args`.

    Raises:
        ValueError: No project, `max_requests` is less than 1, or the API knows no such project.
        CredentialsError: As `Artanis`.
        AuthenticationError: The API refuses the key.
        PermissionDeniedError: The project does not belong to the organization.
        APIConnectionError: The API cannot be reached at all; if that happens later, `Report.problem` says so.
    """
    if max_requests < 1:
        raise ValueError(f"max_requests must be at least 1, not {max_requests}.")
    budget = _Budget(max_requests)
    with Artanis(**client, httpx_args={"event_hooks": {"request": [budget]}}) as artanis:
        run = _Check(artanis, budget, show_values)
        run.run()
        return run.report()


class _BudgetSpent(Exception):
    pass


class _Budget:
    """Counts requests as they go out, retries included, and lets no more of them out than it has."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.spent = 0

    def __call__(self, _request: object) -> None:
        if self.spent >= self.limit:
            raise _BudgetSpent
        self.spent += 1


@attrs.define
class _Seen:
    """How often a drift was seen, and where first."""

    value: Any
    request: str
    count: int = 0
    responses: int = 0


@attrs.define(eq=False)
class _Operation:
    """What the contract says of an operation, and what has come back from it."""

    id: str
    method: str
    path: str
    declared: Mapping[str, Any]
    note: str = ""
    used: Counter[int] = attrs.field(factory=Counter)  # statuses of proper uses
    misused: Counter[int] = attrs.field(factory=Counter)
    drifts: dict[tuple[str, int, str, str, str], _Seen] = attrs.field(factory=dict)
    bodies: list[Any] = attrs.field(factory=list)  # of successful responses

    @property
    def is_provisional(self) -> bool:
        return bool(self.declared.get("x-provisional"))

    @property
    def is_list(self) -> bool:
        return "{" not in self.path

    def at(self, resource_id: str) -> str:
        return re.sub(r"\{[^}]+\}", resource_id, self.path)

    @property
    def verdict(self) -> Verdict:
        if self.used and self.used.keys() <= {404}:
            return "missing"
        if self.drifts:
            return "drift"
        return "ok" if any(status // 100 == 2 for status in self.used) else "not checked"


class _Check:
    def __init__(self, client: Artanis, budget: _Budget, show_values: bool) -> None:
        self._client = client
        self._budget = budget
        self._show_values = show_values
        self._started = datetime.now(UTC)
        self._problem = ""
        self._document: Any = yaml.safe_load((files("artanis_client") / "openapi.yaml").read_text("utf-8"))
        self._schema = functools.cache(self._new_schema)
        [(kind, project)] = client.traces._project(None, None).items()
        self._project = {"projectSlug" if kind == "project_slug" else "projectId": project}
        self._operations = list(self._read_operations())

    def _read_operations(self) -> Iterator[_Operation]:
        for path, item in self._document["paths"].items():
            for method, declared in item.items():
                if method not in _METHODS:
                    continue
                parameters = [*item.get("parameters", ()), *declared.get("parameters", ())]
                parameters = [resolve(parameter, self._document) for parameter in parameters]
                operation = _Operation(declared["operationId"], method.upper(), path, declared)
                needed = [each["name"] for each in parameters if each.get("required") and each["in"] != "path"]
                if method != "get":
                    operation.note = "it does not only read"
                elif needed or path.count("{") > 1:
                    operation.note = f"what to send is not known: {', '.join(needed) or path}"
                yield operation

    def _new_schema(self, operation: _Operation, status: str, media_type: str) -> Schema:
        response = resolve(operation.declared["responses"][status], self._document)
        return Schema(response["content"][media_type].get("schema", {}), self._document)

    def run(self) -> None:
        """Ask in the order of what is most worth knowing, for as long as requests are left."""
        cut_short = ""
        try:
            self._ask_everything()
        except _BudgetSpent:
            cut_short = "no requests were left"
        except APIConnectionError as error:
            if not any(operation.used for operation in self._operations):
                raise
            self._problem = str(error)
            cut_short = "the connection failed before"
        for operation in self._operations:
            if not operation.used:
                operation.note = operation.note or cut_short

    def _ask_everything(self) -> None:
        asked = [operation for operation in self._operations if not operation.note]
        lists = [operation for operation in asked if operation.is_list]
        details = [operation for operation in asked if not operation.is_list]
        for operation in lists:
            self._use(operation, operation.path, self._project)
        if {status for operation in lists if not operation.is_provisional for status in operation.used} == {404}:
            raise ValueError(
                f"Every list of {self._client!r} answers 404: check the project, and that the base URL is Artanis's."
            )
        known = {operation: self._ids(operation) for operation in details}
        for operation, ids in known.items():
            operation.note = "" if ids else "no list has shown an id to ask for"
        rounds = itertools.zip_longest(*([(operation, id_) for id_ in ids] for operation, ids in known.items()))
        uses = [use for turn in rounds for use in turn if use]
        firsts = uses[: sum(map(bool, known.values()))]
        for operation, id_ in firsts:
            self._use(operation, operation.at(id_))
        for operation in lists:
            self._ask(operation, operation.path, {}, operation.misused)
        for operation in filter(known.get, details):
            self._ask(operation, operation.at(str(uuid.uuid4())), {}, operation.misused)
        for operation, id_ in uses[len(firsts) :]:
            self._use(operation, operation.at(id_))

    def _ids(self, operation: _Operation) -> list[str]:
        """Ids for a detail operation, as many as could be asked for, spread evenly over the list above it."""
        above = operation.path.partition("/{")[0]
        bodies = [body for each in self._operations if each.path == above for body in each.bodies]
        # The key around the list is not looked at: if that has changed, the details are worth seeing all the same.
        lists: list[Any] = [each for body in bodies for each in (body.values() if body.__class__ is dict else [body])]
        items: list[Any] = [item for each in lists if each.__class__ is list for item in each]
        ids: list[Any] = [item.get("id") for item in items if item.__class__ is dict]
        ids = [each for each in ids if each.__class__ is str and re.fullmatch(r"[\w-]+", each)]
        number = min(len(ids), self._budget.limit)
        return [ids[nth * len(ids) // number] for nth in range(number)]

    def _use(self, operation: _Operation, path: str, query: Mapping[str, str] | None = None) -> None:
        status = self._ask(operation, path, query or {}, operation.used)
        if _is_unavailable(status):
            operation.note = self._problem = f"{operation.id} answered {status}"
        elif status not in (404, *range(200, 300)) and str(status) in operation.declared["responses"]:
            self._add(operation, path, status, [Drift("no success", "$", "2xx", str(status), None)])

    def _ask(self, operation: _Operation, path: str, query: Mapping[str, str], statuses: Counter[int]) -> int:
        """Send one request, compare the answer with the contract, and return its status."""
        try:
            response = self._client._http.get(path.removeprefix("/"), params=query)
            status, headers, body = response.status_code, dict(response.headers), _parsed(response)
        except APIResponseValidationError as error:
            status, headers, body = error.status_code, {}, _Unparsed(error.body)
        except APIStatusError as error:
            has_worked = any(status // 100 == 2 for each in self._operations for status in each.used)
            if isinstance(error, AuthenticationError | PermissionDeniedError) and not has_worked:
                raise
            status, headers, body = error.status_code, error.headers, error.body
            body = _Unparsed(body) if isinstance(body, str) else body
        statuses[status] += 1
        if status // 100 == 2 and not isinstance(body, _Unparsed):
            operation.bodies.append(body)
        if not _is_unavailable(status):
            media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
            self._add(operation, path, status, self._compared(operation, status, media_type, body))
        return status

    def _compared(self, operation: _Operation, status: int, media_type: str, body: Any) -> list[Drift]:
        documented = operation.declared["responses"]
        code = next((code for code in (str(status), f"{status // 100}XX", "default") if code in documented), None)
        if code is None:
            return [Drift("undocumented status", "$", " or ".join(documented), str(status), body)]
        content: dict[str, Any] = resolve(documented[code], self._document).get("content", {})
        if not content:
            return []
        if media_type not in content:
            return [Drift("content type", "$", " or ".join(content), media_type or "none", body)]
        if isinstance(body, _Unparsed):
            return [Drift("not JSON", "$", "", "text", body)]
        try:
            return list(self._schema(operation, code, media_type).drifts(body))
        except RecursionError:
            return [Drift("not JSON", "$", "", "too deep nesting", None)]

    def _add(self, operation: _Operation, path: str, status: int, drifts: list[Drift]) -> None:
        keys = [(drift.kind, status, drift.path, drift.expected, drift.seen) for drift in drifts]
        for key, drift in zip(keys, drifts, strict=True):
            operation.drifts.setdefault(key, _Seen(drift.value, path)).count += 1
        for key in set(keys):
            operation.drifts[key].responses += 1

    def report(self) -> Report:
        credentials = self._client._credentials
        return Report(
            contract=self._document["info"]["version"],
            client=__version__,
            base_url=credentials.base_url,
            org_slug=credentials.org_slug,
            project=next(iter(self._project.values())),
            checked_at=self._started.isoformat(timespec="seconds"),
            requests=self._budget.spent,
            problem=self._problem,
            operations=[self._report_of(operation) for operation in self._operations],
        )

    def _report_of(self, operation: _Operation) -> OperationReport:
        statuses = operation.used + operation.misused
        return OperationReport(
            operation_id=operation.id,
            method=operation.method,
            path=operation.path,
            provisional=operation.is_provisional,
            verdict=operation.verdict,
            note=operation.note,
            statuses=dict(sorted(statuses.items())),
            unseen=[
                code for code in operation.declared["responses"] if not code.isdigit() or int(code) not in statuses
            ],
            findings=[self._finding(*key, seen) for key, seen in operation.drifts.items()],
            returned=self._redacted(shape(operation.bodies)) if operation.is_provisional else {},
        )

    def _finding(self, kind: str, status: int, path: str, expected: str, seen: str, first: _Seen) -> Finding:
        show = self._show_values
        return Finding(
            kind=kind,
            status=status,
            path=self._redacted(path),
            expected=expected,
            seen=self._redacted(seen),
            count=first.count,
            responses=first.responses,
            sample=self._redacted(_as_it_was(first.value))[:200] if show else _form(first.value),
            request=first.request if show else "",
        )

    def _redacted(self, value: Any) -> Any:
        """Without the key, should the server have sent it back."""
        return self._client._credentials.key.known.redact(value)


class _Unparsed(str):
    """A body that is no JSON."""


def _parsed(response: Any) -> Any:
    try:
        return json.loads(response.content)
    except (ValueError, RecursionError):
        return _Unparsed(response.text)


def _is_unavailable(status: int) -> bool:
    """Whether a status says nothing about the contract."""
    return status // 100 == 5 or status in (408, 429)


def _as_it_was(value: Any) -> str:
    return value if isinstance(value, _Unparsed) else json.dumps(value, ensure_ascii=False)


def _form(value: Any) -> str:
    """What a value looks like, without saying what it is."""
    if isinstance(value, bool) or value is None:
        return json_type(value)
    if value.__class__ in (list, dict):
        return f"{json_type(value)} of {len(value)}"
    text = str(value)
    if len(text) > 30:
        return f"{'text' if isinstance(value, _Unparsed) else json_type(value)} of {len(text)} characters"
    return "".join("0" if char.isdigit() else "a" if char.isalpha() else char for char in text)

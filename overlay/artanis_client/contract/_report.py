"""The report of a check: plain data, which `attrs.asdict` turns into JSON, and its rendering as text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import attrs

from .._errors import printable
from ..cli._exit_codes import API, NEGATIVE, SUCCESS

Verdict = Literal["ok", "drift", "missing", "not checked"]

_PROVISIONAL_VERDICTS = {"ok": "exists, as guessed", "drift": "exists, but differs", "missing": "does not exist"}


@attrs.frozen(kw_only=True)
class Finding:
    """One way in which the responses of an operation differ from the contract, however often it was seen."""

    kind: str
    """`undocumented field`, `missing field`, `wrong type`, `null`, `format` or `invalid value`. About the response as a
    whole: `undocumented status`, `no success`, `no error`, `content type`, `content encoding`, `not JSON`,
    `another object` or `pagination appeared`. About a list: `order` or `number of items`."""
    status: int
    """The status of the responses."""
    path: str
    """Where in the body, as JSONPath; `[*]` stands for any item of an array."""
    expected: str
    """What the contract says there; empty if it says nothing."""
    seen: str
    """The JSON type that arrived, or the status or content type; empty if a field is missing."""
    count: int = 0
    """How many times it was seen."""
    responses: int = 0
    """How many responses it was seen in."""
    sample: str = ""
    """The first value: its form (`a` for a letter, `0` for a digit), or with `show_values` the value itself."""
    request: str = ""
    """The path of the request that returned the sample; empty without `show_values`."""

    def __str__(self) -> str:
        what = f"{self.seen} instead of {self.expected}" if self.seen and self.expected else self.seen
        times = f"{self.count} times in " if self.count > self.responses else ""
        responses = f"{times}{self.responses} response{'s' if self.responses > 1 else ''}"
        if self.status != 200:
            responses += f" with status {self.status}"
        has_sample = self.kind not in ("missing field", "null", "content encoding")
        sample = f"such as {self.sample}" if has_sample else ""
        details = ", ".join(filter(None, [responses, sample, self.request and f"at {self.request}"]))
        path = "" if self.path == "$" else f" {self.path}"
        return printable(f"{self.kind}{path}{what and f': {what}'} ({details})")


@attrs.frozen(kw_only=True)
class OperationReport:
    """What the check found out about one operation."""

    operation_id: str
    """The `operationId` in the contract, such as `listPrompts`."""
    method: str
    """The HTTP method, in upper case."""
    path: str
    """The path in the contract, such as `/api/prompts/{promptId}`."""
    provisional: bool
    """Whether the contract only guesses (`x-provisional`)."""
    verdict: Verdict
    """`ok`; `drift`, see `findings`; `missing` if it returned nothing but 404; `not checked`, see `note`."""
    note: str
    """Why it was not checked, or not completely; empty if it was."""
    statuses: dict[int, int]
    """How many responses had each status."""
    unseen: list[str]
    """Documented statuses that no response had, so that they were not compared."""
    findings: list[Finding]
    """Every difference from the contract."""
    returned: dict[str, str]
    """For a provisional operation: the JSON types seen at each path of its successful responses; else empty."""

    def lines(self) -> Iterator[str]:
        """Render the report as lines of text."""
        statuses = ", ".join(f"{count} x {status}" for status, count in self.statuses.items())
        details = "; ".join(filter(None, [statuses, printable(self.note)]))
        verdict = _PROVISIONAL_VERDICTS.get(self.verdict, self.verdict) if self.provisional else self.verdict
        yield f"{self.operation_id}: {verdict}{details and f' ({details})'}"
        for finding in self.findings:
            yield f"    {finding}"
        if self.returned:
            yield "    returns:"
        for path, types in self.returned.items():
            yield f"        {printable(path)}  {types}"


@attrs.frozen(kw_only=True)
class Report:
    """The result of a check."""

    contract: str
    """The version of the contract (`info.version`)."""
    client: str
    """The version of this package."""
    base_url: str
    """The API that was checked."""
    org_slug: str
    """The organization whose data was read."""
    project: str
    """The project whose data was read: its slug or id."""
    checked_at: str
    """When the check started, as ISO 8601 in UTC."""
    requests: int
    """How many requests were sent, retries included."""
    problem: str
    """Why the check is incomplete, if the network or the server failed; else empty."""
    operations: list[OperationReport]
    """Every operation of the contract, in its order."""

    @property
    def in_step(self) -> bool:
        """Whether no drift was found. Provisional operations are ignored: there, the contract only guesses."""
        return all(each.provisional or each.verdict not in ("drift", "missing") for each in self.operations)

    @property
    def unchecked(self) -> list[str]:
        """The ids of the documented operations that could not be checked."""
        return [each.operation_id for each in self.operations if each.verdict == "not checked" and not each.provisional]

    @property
    def exit_code(self) -> int:
        """The exit code of the commands that print this report."""
        if not self.in_step:
            return NEGATIVE
        return API if self.problem or self.unchecked else SUCCESS

    def lines(self) -> Iterator[str]:
        """Render the report as lines of text."""
        yield f"Contract {self.contract} at {self.base_url}, organization {self.org_slug}, project {self.project}"
        for provisional in (False, True):
            operations = [operation for operation in self.operations if operation.provisional is provisional]
            if operations:
                yield "\nProvisional operations, at which the contract only guesses:" if provisional else ""
            for operation in operations:
                yield from operation.lines()
        yield ""
        if self.problem:
            yield f"Incomplete: {printable(self.problem)}"
        unchecked = [each.operation_id for each in self.operations if each.verdict == "not checked"]
        verdict = {NEGATIVE: "Drift", API: "Incomplete"}.get(self.exit_code, "In step")
        rest = f"; not checked: {', '.join(unchecked)}" if unchecked else ""
        yield f"{verdict} after {self.requests} requests{rest}."

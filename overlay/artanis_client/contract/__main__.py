"""`python -m artanis_client.contract`: hold the live API against the contract, and say where they differ."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import attrs

from .._errors import (
    APIConnectionError,
    ArtanisError,
    AuthenticationError,
    CredentialsError,
    PermissionDeniedError,
    printable,
)

if TYPE_CHECKING:
    from . import Finding, OperationReport, Report

IN_STEP, DRIFT, USAGE, CREDENTIALS, UNREACHABLE, INTERRUPTED = 0, 1, 2, 3, 5, 130

_GUESSES = {"ok": "exists, as guessed", "drift": "exists, but differs", "missing": "does not exist"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Check, print the report on stdout, and return the exit status; what went wrong goes to stderr."""
    options = vars(_parser().parse_args(arguments))
    as_json = options.pop("json")
    try:
        from . import check

        report = check(**options)
    except KeyboardInterrupt:
        return INTERRUPTED
    except (ArtanisError, ValueError, ImportError) as error:
        print(f"contract: {error}", file=sys.stderr)
        if isinstance(error, CredentialsError | AuthenticationError | PermissionDeniedError):
            return CREDENTIALS
        return UNREACHABLE if isinstance(error, APIConnectionError) else USAGE
    text = json.dumps(attrs.asdict(report), indent=2) if as_json else "\n".join(lines(report))
    try:
        print(text, flush=True)
    except BrokenPipeError:  # of a reader that has seen enough; Python would try once more at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if not report.in_step:
        return DRIFT
    return UNREACHABLE if report.problem else IN_STEP


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m artanis_client.contract",
        description="Call every operation of the Artanis API that is in the contract, and say where an answer differs "
        "from it. Reads only. The API key comes from the environment or the configuration file, as for the client.",
        epilog="Exit status: 0 in step, 1 drift, 2 wrong usage, 3 credentials, 5 the API cannot be reached or fails. "
        "Provisional operations are reported and never make it 1.",
    )
    parser.add_argument("--base-url", help="where the API is, for a self-hosted deployment or the sandbox")
    parser.add_argument("--org-slug", help="the organization to read from")
    parser.add_argument("--project-slug", help="the project to read, by its slug")
    parser.add_argument("--project-id", help="the project to read, by its id")
    parser.add_argument("--profile", help="the profile of the configuration file to use, alone")
    parser.add_argument("--allow-http", action="store_true", help="allow http:// to a host that is not this machine")
    parser.add_argument("--max-requests", type=int, default=50, help="requests to send at most (default: 50)")
    parser.add_argument("--show-values", action="store_true", help="show real values, not just their form")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    return parser


def lines(report: Report) -> Iterator[str]:
    yield f"Contract {report.contract} at {report.base_url}, organization {report.org_slug}, project {report.project}"
    for provisional in (False, True):
        operations = [operation for operation in report.operations if operation.provisional is provisional]
        if operations:
            yield "\nProvisional in the contract, which only guesses here:" if provisional else ""
        for operation in operations:
            yield from _lines_of(operation)
    yield ""
    if report.problem:
        yield f"Incomplete: {printable(report.problem)}"
    unchecked = [each.operation_id for each in report.operations if each.verdict == "not checked"]
    verdict = "In step" if report.in_step else "Drift"
    rest = f"; not checked: {', '.join(unchecked)}" if unchecked else ""
    yield f"{verdict} after {report.requests} requests{rest}."


def _lines_of(operation: OperationReport) -> Iterator[str]:
    answers = ", ".join(f"{count} x {status}" for status, count in operation.statuses.items())
    about = "; ".join(filter(None, [answers, printable(operation.note)]))
    verdict = _GUESSES.get(operation.verdict, operation.verdict) if operation.provisional else operation.verdict
    yield f"{operation.operation_id}: {verdict}{about and f' ({about})'}"
    for finding in operation.findings:
        yield f"    {_line_of(finding)}"
    if operation.returned:
        yield "    returns:"
    for path, types in operation.returned.items():
        yield f"        {printable(path)}  {types}"


def _line_of(finding: Finding) -> str:
    match finding.kind:
        case "undocumented field":
            what = finding.seen
        case "missing field" | "not JSON":
            what = ""
        case _:
            what = f"{finding.seen} instead of {finding.expected}"
    times = f"{finding.count} times in " if finding.count > finding.responses else ""
    answers = f"{finding.responses} answer{'s' if finding.responses > 1 else ''}"
    answers += "" if finding.status == 200 else f" of status {finding.status}"
    sample = f", such as {finding.sample}" if finding.kind not in ("missing field", "null") else ""
    place = "" if finding.path == "$" else f" {finding.path}"
    request = f", at {finding.request}" if finding.request else ""
    return printable(f"{finding.kind}{place}{what and f': {what}'} ({times}{answers}{sample}{request})")


if __name__ == "__main__":
    sys.exit(main())

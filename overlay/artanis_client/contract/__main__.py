"""`python -m artanis_client.contract`: check the live API against the contract, and print the differences.

For people without the extra `cli`; `artanis contract` does the same.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

import attrs

from .._client import Artanis
from .._errors import ArtanisError
from ..cli._exit_codes import API, USAGE, exit_code_of
from ..cli._streams import ClosedStdout, discard, prepare_streams
from ._check import check, require_extra


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the check, print the report on stdout or the error on stderr, and return the exit code."""
    prepare_streams()
    options = vars(_parser().parse_args(arguments))
    as_json, max_requests, show_values = (options.pop(name) for name in ("json", "max_requests", "show_values"))
    try:
        require_extra()
        with Artanis(**options) as client:
            report = check(client, max_requests=max_requests, show_values=show_values)
    except (ArtanisError, ValueError, ImportError, KeyboardInterrupt) as error:
        if not isinstance(error, KeyboardInterrupt):
            print(f"contract: {error}", file=sys.stderr)
        return exit_code_of(error) or API
    try:
        print(json.dumps(attrs.asdict(report), indent=2) if as_json else "\n".join(report.lines()), flush=True)
    except OSError as error:
        if not isinstance(sys.stdout, ClosedStdout):
            discard(sys.stdout)
        if not isinstance(error, BrokenPipeError):  # of which the reader knows
            print(f"contract: {error.strerror}", file=sys.stderr)
            return USAGE
    return report.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m artanis_client.contract",
        description="Call every operation of the Artanis API that is in the contract, and print where a response "
        "differs from it. It only reads. The API key comes from the environment or the configuration file.",
        epilog="Exit status: 0 every documented operation is in step, 1 drift, 2 wrong usage, 3 credentials, 4 the API "
        "knows no such project, 5 the API cannot be reached or fails, or has no data to check an operation with, 130 "
        "interrupted. Provisional operations are reported, but never change the exit status.",
    )
    parser.add_argument("--profile", metavar="NAME", help="use only this profile of the configuration file")
    parser.add_argument("--org", dest="org_slug", metavar="SLUG", help="organization to read from")
    parser.add_argument("--project", dest="project_slug", metavar="SLUG", help="project to read, by its slug")
    parser.add_argument("--project-id", metavar="ID", help="project to read, by its id")
    parser.add_argument("--base-url", metavar="URL", help="URL of the API, if you host it yourself or use the sandbox")
    parser.add_argument("--allow-http", action="store_true", help="allow http:// to a host other than this machine")
    parser.add_argument(
        "--timeout", type=float, default=argparse.SUPPRESS, metavar="SECONDS", help="timeout of each phase of a request"
    )
    parser.add_argument(
        "--max-retries",
        type=int,
        default=argparse.SUPPRESS,
        metavar="N",
        help="how often to repeat a request that failed in a transient way (default: 2)",
    )
    parser.add_argument("--max-requests", type=int, default=50, help="send at most this many requests (default: 50)")
    parser.add_argument("--show-values", action="store_true", help="print values instead of only their form")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())

"""`python -m artanis_client.sandbox`: run a sandbox, and print the variables that point a client at it.

For people without the extra `cli`; `artanis sandbox` does the same.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..cli._exit_codes import SUCCESS, USAGE
from ..cli._streams import prepare_streams

if TYPE_CHECKING:
    from . import Sandbox


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a sandbox until SIGINT or SIGTERM, and return the exit code."""
    prepare_streams()
    try:
        from . import DRIFTS, serve

        options = vars(_parser(DRIFTS).parse_args(arguments))
        serve(_print_environment, None if options.pop("quiet") else _print_request, **options)
    except (ImportError, OSError, ValueError) as error:
        print(f"sandbox: {error}", file=sys.stderr)
        return USAGE
    return SUCCESS


class _HelpFormatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Shows the default values, and keeps the line breaks in the list of drifts."""


def _parser(drifts: Mapping[str, str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m artanis_client.sandbox",
        description="Serve the documented Artanis API with made-up data on 127.0.0.1 until Ctrl-C.",
        epilog="\n".join(["drifts:", *(f"  {name:26}{description}" for name, description in drifts.items())]),
        formatter_class=_HelpFormatter,
    )
    parser.add_argument("--port", type=int, default=8400, help="port to listen on; 0 selects a free one")
    parser.add_argument("--traces", type=int, default=60, help="number of traces in the project")
    parser.add_argument("--seed", type=int, default=0, help="selects the data and the faults")
    parser.add_argument(
        "--now",
        metavar="TIME",
        default=argparse.SUPPRESS,
        help="time at which the data ends, such as 2026-04-30T18:00Z (default: the present time)",
    )
    parser.add_argument("--latency", type=float, default=0.0, help="seconds to wait before each response")
    parser.add_argument("--fault-rate", type=float, default=0.0, help="share of requests that fail, from 0 to 1")
    parser.add_argument(
        "--rate-limit",
        metavar="N",
        type=float,
        default=argparse.SUPPRESS,
        help="requests that are accepted per second; more get 429 (default: no limit)",
    )
    parser.add_argument(
        "--drift",
        metavar="NAME",
        action="append",
        default=argparse.SUPPRESS,
        help="deviate from openapi.yaml in one of the ways below; can be repeated",
    )
    parser.add_argument("--quiet", action="store_true", help="do not print a line per request")
    return parser


def _print_environment(sandbox: Sandbox) -> None:
    for name, value in sandbox.environment.items():
        print(f"export {name}={shlex.quote(value)}")
    print("The sandbox is running. Paste these lines into another shell to use it. Ctrl-C stops it.", file=sys.stderr)
    sys.stdout.flush()  # last, because a program that reads it may stop the sandbox at once


def _print_request(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

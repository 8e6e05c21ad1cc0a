"""`python -m artanis_client.sandbox`: a sandbox until Ctrl-C, and the lines that point a client at it."""

import argparse
import contextlib
import shlex
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from . import DRIFTS, Sandbox


class _HelpFormatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Shows the defaults, and the list of drifts as it is."""


def main() -> None:
    """Serve until SIGINT or SIGTERM; a bad argument exits with 2, a port that cannot be had with 1."""
    parser = argparse.ArgumentParser(
        prog="python -m artanis_client.sandbox",
        description="Serve the documented Artanis API, with made-up data, on 127.0.0.1 until Ctrl-C.",
        epilog="\n".join(["drifts:", *(f"  {name:26}{description}" for name, description in DRIFTS.items())]),
        formatter_class=_HelpFormatter,
    )
    parser.add_argument("--port", type=int, default=8400, help="port to listen on; 0 takes a free one")
    parser.add_argument("--traces", type=int, default=60, help="how many traces the project has")
    parser.add_argument("--seed", type=int, default=0, help="chooses the data and the faults")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds to wait before each answer")
    parser.add_argument("--fault-rate", type=float, default=0.0, help="share of requests that go wrong, from 0 to 1")
    parser.add_argument(
        "--drift",
        metavar="NAME",
        action="append",
        default=argparse.SUPPRESS,
        help="depart from openapi.yaml in one of the ways below; can be given several times",
    )
    arguments = parser.parse_args()
    try:
        serve(_announce, **vars(arguments))
    except ValueError as error:
        parser.error(str(error))
    except OSError as error:
        parser.exit(1, f"{parser.prog}: {error}\n")


def serve(announce: Callable[[Sandbox], object], **options: Any) -> None:
    """Run a sandbox until SIGINT or SIGTERM; `announce` is called once it listens."""
    # Python does this for SIGINT alone, and not even for that in a shell's background job.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt), Sandbox(**options) as sandbox:
        announce(sandbox)
        while True:
            time.sleep(3600)


def _announce(sandbox: Sandbox) -> None:
    for name, value in sandbox.environment.items():
        print(f"export {name}={shlex.quote(value)}", flush=True)
    print("The sandbox runs. Paste these lines where a client is to use it; Ctrl-C ends it.", file=sys.stderr)


if __name__ == "__main__":
    main()

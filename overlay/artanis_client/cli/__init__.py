"""The command `artanis`: look at prompts and traces, export, report, diagnose. Needs the extra `cli`.

This package, `_exit_codes` and `_streams` can be imported without the extra, so that
`python -m artanis_client.contract` and `python -m artanis_client.sandbox` can use them.
"""

import sys
from collections.abc import Sequence
from typing import NoReturn

from ._exit_codes import INTERRUPTED, USAGE
from ._streams import prepare_streams

_EXTRA = ("click", "rich", "tomlkit")


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command line, by default that of the process, and exit with its status."""
    try:
        from ._interrupts import exit_when_interrupted

        exit_when_interrupted()
        from ._app import run

        sys.exit(run(sys.argv[1:] if arguments is None else arguments))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except ImportError as error:
        if error.name not in _EXTRA:
            raise
        prepare_streams()
        sys.stderr.write("artanis: the command line needs an extra: pip install 'artanis-client[cli]'\n")
        sys.exit(USAGE)

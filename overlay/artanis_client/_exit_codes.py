"""The exit codes of `artanis` and of `python -m artanis_client.…`, and which exception leads to which."""

from __future__ import annotations

from ._errors import (
    APIConnectionError,
    APIResponseValidationError,
    APIStatusError,
    ArtanisError,
    AuthenticationError,
    CredentialsError,
    NotFoundError,
    PermissionDeniedError,
)

SUCCESS = 0
"""The command did what it was asked to do."""
NEGATIVE = 1
"""The command worked and its answer is "no": files differ, the API has drifted, a check failed."""
USAGE = 2
"""An argument, a setting or a file cannot be used, or an extra is not installed."""
CREDENTIALS = 3
"""Credentials are missing or unsafe, or the API refuses them."""
NOT_FOUND = 4
"""The API knows no such project, prompt or trace."""
API = 5
"""The API cannot be reached, fails, or returns something unexpected."""
INTERRUPTED = 130
"""The user pressed Ctrl-C."""


def exit_code_of(error: BaseException) -> int | None:
    """Map an exception to the exit code of the command that it ends.

    Returns:
        None for an exception that only a bug raises.
    """
    match error:
        case KeyboardInterrupt():
            return INTERRUPTED
        case CredentialsError() | AuthenticationError() | PermissionDeniedError():
            return CREDENTIALS
        case NotFoundError():
            return NOT_FOUND
        case APIConnectionError() | APIResponseValidationError() | APIStatusError():
            return API
        case ArtanisError() | ValueError() | OSError() | ImportError():
            return USAGE
        case _:
            return None

"""The exit codes of `artanis` and of `python -m artanis_client.…`, and which exception leads to which."""

from __future__ import annotations

from .. import _errors

SUCCESS = 0
"""The command did what it was asked to do."""
NEGATIVE = 1
"""The command worked and its answer is "no": files differ, the API has drifted, a check failed."""
USAGE = 2
"""An argument, a setting or a file cannot be used, or an extra is not installed."""
CREDENTIALS = 3
"""Credentials are missing or unsafe, or the API refuses them."""
NOT_FOUND = 4
"""The project, prompt or trace does not exist."""
API = 5
"""The API cannot be reached, fails, or returns something unexpected."""
INTERRUPTED = 130
"""The user pressed Ctrl-C."""


def exit_code_of(error: BaseException) -> int | None:
    """Return the exit code of a command that ends with this exception; None if only a bug can raise it."""
    match error:
        case KeyboardInterrupt():
            return INTERRUPTED
        case _errors.CredentialsError() | _errors.AuthenticationError() | _errors.PermissionDeniedError():
            return CREDENTIALS
        case _errors.NotFoundError():
            return NOT_FOUND
        case _errors.APIConnectionError() | _errors.APIResponseValidationError() | _errors.APIStatusError():
            return API
        case _errors.ArtanisError() if isinstance(error.__cause__, _errors.ArtanisError):  # every trace was skipped
            return exit_code_of(error.__cause__)
        case _errors.ArtanisError() | ValueError() | OSError() | ImportError():
            return USAGE
        case _:
            return None

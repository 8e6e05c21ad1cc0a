"""Typed client of the Artanis REST API: prompts with their versions, and traces with what reviewers approved.

`Artanis` and `AsyncArtanis` are the clients; `call` and `acall` run any generated function of `artanis_api`.
"""

from artanis_api import models

from ._call import acall, call
from ._client import Artanis, AsyncArtanis
from ._errors import (
    APIConnectionError,
    APIResponseValidationError,
    APIStatusError,
    APITimeoutError,
    ArtanisError,
    AuthenticationError,
    BadRequestError,
    CredentialsError,
    InternalServerError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    UnexpectedRedirectError,
)
from ._version import __version__

__all__ = [
    "APIConnectionError",
    "APIResponseValidationError",
    "APIStatusError",
    "APITimeoutError",
    "Artanis",
    "ArtanisError",
    "AsyncArtanis",
    "AuthenticationError",
    "BadRequestError",
    "CredentialsError",
    "InternalServerError",
    "NotFoundError",
    "PermissionDeniedError",
    "RateLimitError",
    "UnexpectedRedirectError",
    "__version__",
    "acall",
    "call",
    "models",
]

"""The exceptions of the core. A room that has one more puts it below `ArtanisError`.

ArtanisError
├── CredentialsError               local: something is missing, malformed or unsafe; no request was sent
├── APIConnectionError             no usable answer: refused, reset, DNS, TLS, cut off in the middle
│   └── APITimeoutError
├── APIResponseValidationError     2xx, but not what openapi.yaml says
└── APIStatusError                 any other status
    ├── UnexpectedRedirectError    3xx
    ├── BadRequestError            400
    ├── AuthenticationError        401
    ├── PermissionDeniedError      403
    ├── NotFoundError              404
    ├── RateLimitError             429
    └── InternalServerError        5xx

All of them can be pickled and copied; they keep their type, text and attributes, but not their cause.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from datetime import UTC
from typing import Any

_REQUEST_ID_HEADERS = ("x-request-id", "x-vercel-id", "cf-ray")


def printable(text: str) -> str:
    """The first 500 characters of `text`, with everything escaped that could break out of a line of a log."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text[:500])


class ArtanisError(Exception):
    """Base of everything that the library raises on its own account."""

    def __reduce__(self) -> tuple[Any, ...]:
        # BaseException would call the class with `args` alone; the subclasses need keywords.
        return _restore, (type(self), self.args, self.__dict__.copy())


def _restore(cls: type[ArtanisError], args: tuple[object, ...], attributes: dict[str, object]) -> ArtanisError:
    error = cls.__new__(cls, *args)
    error.__dict__.update(attributes)
    return error


class CredentialsError(ArtanisError):
    """The API key, organization, base URL or configuration is missing, malformed or unsafe; no request was sent.

    The text names the field and where its value came from, and never quotes the value.
    """


class APIConnectionError(ArtanisError):
    """No usable answer arrived: refused, reset, DNS, TLS, or cut off in the middle.

    `method` and `url` name the request, `__cause__` is what the operating system or the protocol said.
    """

    def __init__(self, message: str, *, method: str = "", url: str = "") -> None:
        self.method = method
        self.url = url
        super().__init__(f"{method} {url}: {message}".strip())


class APITimeoutError(APIConnectionError):
    """The answer, or a part of it, took longer than the timeout of the attempt."""


class APIResponseValidationError(ArtanisError):
    """The request succeeded, but the response is not what `openapi.yaml` says.

    The text says what is wrong and where; `status_code`, `body` (parsed JSON, else text of at most 64 KiB), `method`
    and `url` describe the response.
    """

    def __init__(
        self, message: str, *, status_code: int = 200, body: object = None, method: str = "", url: str = ""
    ) -> None:
        self.status_code = status_code
        self.body = body
        self.method = method
        self.url = url
        super().__init__(f"{method} {url}: {message}".strip())


class APIStatusError(ArtanisError):
    """The API answered with a status other than 2xx.

    Attributes:
        status_code: The status, such as 404.
        message: The `error` text of the body, else the reason phrase.
        body: Parsed JSON, else text, of the first 64 KiB.
        headers: The headers of the response, with lower-case names.
        request_id: The first of `x-request-id`, `x-vercel-id`, `cf-ray`; None without any. Quote it to support.
        retry_after: Seconds that the server asked to wait; None if it did not ask.
        method, url: The request.
    """

    def __init__(
        self,
        message: str,
        *,
        status_code: int,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        method: str = "",
        url: str = "",
        hint: str = "",
    ) -> None:
        self.status_code = status_code
        self.message = message
        self.body = body
        self.headers = {name.lower(): value for name, value in (headers or {}).items()}
        self.method = method
        self.url = url
        self.request_id = next((self.headers[name] for name in _REQUEST_ID_HEADERS if name in self.headers), None)
        self.retry_after = _seconds(self.headers.get("retry-after"))
        text = f"{method} {url}: {status_code} {printable(message)}".strip()
        if self.request_id is not None:
            text += f" (request {printable(self.request_id)})"
        super().__init__(f"{text}. {hint}" if hint else text)


class UnexpectedRedirectError(APIStatusError):
    """3xx. Redirects are not followed, because the key must not travel to another place."""


class BadRequestError(APIStatusError):
    """400, documented for a list call without a project (https://docs.artanis.ai/rest-api/overview)."""


class AuthenticationError(APIStatusError):
    """401, the API key is missing or invalid (https://docs.artanis.ai/authentication)."""


class PermissionDeniedError(APIStatusError):
    """403, the project or resource belongs to another organization (https://docs.artanis.ai/authentication)."""


class NotFoundError(APIStatusError):
    """404, there is no such project or resource (https://docs.artanis.ai/rest-api/overview)."""


class RateLimitError(APIStatusError):
    """429, too many requests; `retry_after` says how long to wait, when the server said so."""


class InternalServerError(APIStatusError):
    """5xx, of any number: the failure is on the server's side."""


_BY_STATUS: dict[int, tuple[type[APIStatusError], str]] = {
    400: (BadRequestError, "Check the parameters; list calls need a project (project_slug or project_id)."),
    401: (AuthenticationError, "The API key came from {key_source}: check that it is whole and not revoked."),
    403: (
        PermissionDeniedError,
        "The organization {org_slug!r} came from {org_source}: check that the project or resource belongs to it.",
    ),
    404: (NotFoundError, "Check the id or the project, and that the base URL is that of Artanis."),
    429: (RateLimitError, "Send fewer requests at a time (max_connections), or try again later."),
}
_REDIRECT = (UnexpectedRedirectError, "Redirects are not followed: check the base URL.")
_SERVER = (InternalServerError, "The failure is on the server's side: try again later.")


def status_error_class(status_code: int) -> tuple[type[APIStatusError], str]:
    """The class for a status, and the template of its advice."""
    by_hundreds = {3: _REDIRECT, 5: _SERVER}.get(status_code // 100, (APIStatusError, ""))
    return _BY_STATUS.get(status_code, by_hundreds)


def _seconds(retry_after: str | None) -> float | None:
    """A `Retry-After` header, in seconds or as an HTTP date, as seconds from now; None when it says nothing usable."""
    if not retry_after:
        return None
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]+)?", retry_after.strip()):
        return float(retry_after)
    from email.utils import parsedate_to_datetime

    try:
        date = parsedate_to_datetime(retry_after)
        return max(0.0, (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None

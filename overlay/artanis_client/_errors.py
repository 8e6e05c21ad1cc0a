"""The exceptions of the core. An optional part that needs one more derives it from `ArtanisError`.

ArtanisError
├── CredentialsError               settings or key are missing, malformed or unsafe, or the key cannot be fetched
├── APIConnectionError             no usable answer: refused, reset, DNS, TLS, cut off in the middle
│   └── APITimeoutError
├── APIResponseValidationError     2xx, but the body does not match openapi.yaml
└── APIStatusError                 any other status
    ├── UnexpectedRedirectError    3xx
    ├── BadRequestError            400
    ├── AuthenticationError        401
    ├── PermissionDeniedError      403
    ├── NotFoundError              404
    ├── RateLimitError             429
    └── InternalServerError        5xx

All of them can be pickled and copied. A copy keeps type, text and attributes, but not the cause.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from . import _retry

CONFIG_FILE = "configuration file"  # the value of Problem.field for problems with the file itself

_REQUEST_ID_HEADERS = ("x-request-id", "x-vercel-id", "cf-ray")


def printable(text: str) -> str:
    """Return the first 500 characters of `text`, with control characters escaped: it cannot inject log lines."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text[:500])


def listed(names: Iterable[str], most: int = 20) -> str:
    """Return names for a message: the first of them, and how many more there are."""
    found = [printable(name) for name in names]
    return ", ".join(found[:most]) + (f" and {len(found) - most} more" if found[most:] else "")


class ArtanisError(Exception):
    """The base of every exception of this library, except errors in arguments (TypeError, ValueError)."""

    def __reduce__(self) -> tuple[Any, ...]:
        # BaseException would call the class with `args` alone; the subclasses need keywords.
        return _restore, (type(self), self.args, self.__dict__.copy())


def _restore(cls: type[ArtanisError], args: tuple[object, ...], attributes: dict[str, object]) -> ArtanisError:
    error = cls.__new__(cls, *args)
    error.__dict__.update(attributes)
    return error


class Problem(NamedTuple):
    """One thing that is wrong with the credentials."""

    field: str
    """The name of the setting, such as `api_key` or `project`, or "configuration file"."""
    source: str
    """Where the value came from, such as `ARTANIS_API_KEY`; the path of the file; empty if the value is missing."""
    advice: str
    """What to do."""
    reason: str = "is missing"
    """What is wrong. Never quotes the value."""

    def __str__(self) -> str:
        subject = f"The {self.field} {self.source}" if self.field == CONFIG_FILE else f"The {self.field}"
        origin = f" from {self.source}" if self.source and self.field != CONFIG_FILE else ""
        return f"{subject}{origin} {self.reason}. {self.advice}".strip()


class CredentialsError(ArtanisError):
    """Credentials or configuration are missing, malformed or unsafe, or the key could not be fetched.

    Attributes:
        problems: What is wrong, as a tuple of `Problem`; empty if TLS or httpx could not be set up.
    """

    def __init__(self, message: str, problems: Iterable[Problem] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)

    @classmethod
    def of(cls, *problems: Problem) -> CredentialsError:
        """Return the error that reports these problems."""
        return cls(" ".join(map(str, problems)), problems)


class APIConnectionError(ArtanisError):
    """No usable response arrived: the connection was refused, reset or cut off, or DNS or TLS failed.

    Attributes:
        message: What went wrong.
        method, url: The request.

    `__cause__` is the underlying OSError, if any.
    """

    remedy = ""
    """What to do if retrying cannot help: the certificate is not trusted, or the proxy refuses. Empty if it may."""

    def __init__(self, message: str, *, method: str = "", url: str = "", hint: str = "") -> None:
        self.message = message
        self.method = method
        self.url = url
        text = f"{method} {url}: {message}".strip()
        super().__init__(f"{text}. {hint}" if hint else text)


class APITimeoutError(APIConnectionError):
    """Connecting, sending, or waiting for the next part of the response took longer than `timeout`."""


class APIResponseValidationError(ArtanisError):
    """The request succeeded, but the response does not match `openapi.yaml`.

    Attributes:
        path: Where in the body, such as `prompts[2].content`; empty for the body as a whole.
        problem: What is wrong there, such as "is missing".
        status_code: The status, 2xx.
        body: Parsed JSON, else text, of the first 64 KiB.
        method, url: The request.
    """

    def __init__(
        self,
        message: str,
        *,
        path: str = "",
        problem: str = "",
        status_code: int = 200,
        body: object = None,
        method: str = "",
        url: str = "",
    ) -> None:
        self.path = path
        self.problem = problem
        self.status_code = status_code
        self.body = body
        self.method = method
        self.url = url
        super().__init__(f"{method} {url}: {message}".strip())

    @classmethod
    def of(cls, path: str, problem: str, *, status_code: int = 200, **attributes: Any) -> APIResponseValidationError:
        """Return the error for a mismatch, with a message that says where and what."""
        path, problem = printable(path), printable(problem)
        message = (
            f"{status_code}, but the body does not match the contract: {path or 'it'} {problem}. "
            "The response may be corrupt, or the API has changed."
        )
        return cls(message, path=path, problem=problem, status_code=status_code, **attributes)


class APIStatusError(ArtanisError):
    """The API answered with a status other than 2xx.

    Attributes:
        status_code: The status, such as 404.
        message: The `error` text of the body, else the reason phrase.
        body: Parsed JSON, else text, of the first 64 KiB.
        headers: The headers of the response, with lower-case names.
        request_id: The first of `x-request-id`, `x-vercel-id`, `cf-ray`; None without any. Quote it to support.
        retry_after: The seconds that the server asked to wait (`Retry-After`); None if it did not.
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
        self.retry_after = _retry.parse_retry_after(self.headers.get("retry-after"))
        text = f"{method} {url}: {status_code} {printable(message)}".strip()
        if self.request_id is not None:
            text += f" (request {printable(self.request_id)})"
        super().__init__(f"{text}. {hint}" if hint else text)


class UnexpectedRedirectError(APIStatusError):
    """3xx. Redirects are not followed, because the API key must not be sent to another host."""


class BadRequestError(APIStatusError):
    """400. Documented for a list call without a project (https://docs.artanis.ai/rest-api/overview)."""


class AuthenticationError(APIStatusError):
    """401: the API key is missing or invalid (https://docs.artanis.ai/authentication)."""


class PermissionDeniedError(APIStatusError):
    """403: the project or resource belongs to another organization (https://docs.artanis.ai/authentication)."""


class NotFoundError(APIStatusError):
    """404: the project or resource does not exist (https://docs.artanis.ai/rest-api/overview)."""


class RateLimitError(APIStatusError):
    """429: too many requests. `retry_after` is the number of seconds to wait, if the server gave one."""


class InternalServerError(APIStatusError):
    """5xx, including non-standard codes: the server failed."""


_BY_STATUS: dict[int, tuple[type[APIStatusError], str]] = {
    400: (BadRequestError, "Check the parameters. List calls need a project (project_slug or project_id)."),
    401: (
        AuthenticationError,
        "The API key came from {api_key_source}: check that it was copied completely and has not been revoked.{host}",
    ),
    403: (
        PermissionDeniedError,
        "The organization {org_slug!r} came from {org_slug_source}: check that the project or resource belongs to it.",
    ),
    404: (NotFoundError, "Check the id or project, and that base_url points to Artanis."),
    429: (RateLimitError, "Try again later, or lower max_connections."),
}
_REDIRECT = (UnexpectedRedirectError, "Redirects are not followed. Check base_url.")
_SERVER = (InternalServerError, "The server failed. Try again later.")


def status_error_class(status_code: int) -> tuple[type[APIStatusError], str]:
    """Return the class for a status, and the template of its advice."""
    by_hundreds = {3: _REDIRECT, 5: _SERVER}.get(status_code // 100, (APIStatusError, ""))
    return _BY_STATUS.get(status_code, by_hundreds)


def is_refusal(error: BaseException) -> bool:
    """Return whether the server refused a request to limit their rate."""
    return isinstance(error, APIStatusError) and _retry.is_refusal(error.status_code, error.retry_after)


def retry_delay(error: BaseException, retries: int) -> float | None:
    """Return the seconds to wait before the next attempt, or None if the failure is permanent."""
    if isinstance(error, APIStatusError):
        return _retry.retry_delay(retries, error.status_code, error.retry_after)
    is_transient = isinstance(error, APIConnectionError) and not error.remedy
    return _retry.retry_delay(retries, None, None) if is_transient else None


def summary(error: ArtanisError) -> str:
    """Return the status or the type of an error, for a line in the log."""
    return str(error.status_code) if isinstance(error, APIStatusError) else type(error).__name__

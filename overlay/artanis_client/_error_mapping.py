"""Turns responses and exceptions of httpx into our errors.

An exception of httpx must be turned into an error outside the `except` block that caught it, before it is raised.
Otherwise `__context__` would keep httpx's frames, which hold the API key, and error reporters upload local variables.
"""

from __future__ import annotations

import copy
import json
import re
import traceback
from typing import Any

from ._credentials import Credentials
from ._errors import (
    APIConnectionError,
    APIResponseValidationError,
    APIStatusError,
    APITimeoutError,
    ArtanisError,
    printable,
    status_error_class,
)
from ._httpx import httpx
from ._shape import FINITE

MAX_ERROR_BODY = 64 * 1024  # bytes, decoded
# Exceptions that are raised in these modules are failures of the network.
_HTTP_STACK = re.compile(
    r"(httpx2?|httpcore2?|h11|h2|hpack|hyperframe|socksio|aiohttp|aiohappyeyeballs|anyio|asyncio|trio|outcome|uvloop"
    r"|gevent|eventlet|socket|ssl|selectors|encodings|idna)(\.|$)"
)


def status_error(
    response: httpx.Response, credentials: Credentials, renewal: Exception | None = None
) -> APIStatusError:
    """Return the error for a status; for a 401, `renewal` is why no new key could be fetched."""
    cls, advice = status_error_class(response.status_code)
    request, body = response.request, _error_body(response)
    if "artanis_location" in response.extensions:
        response.headers["location"] = response.extensions["artanis_location"]
    reason = _redact(response.reason_phrase or httpx.codes.get_reason_phrase(response.status_code), request)
    error = cls(
        _message(body) or reason or "no reason given",
        status_code=response.status_code,
        body=body,
        headers=_redact(dict(response.headers), request),
        method=request.method,
        url=str(request.url),
        hint=credentials.fill_in(advice),
    )
    if renewal is not None:
        text = str(renewal) if isinstance(renewal, ArtanisError) else f"{type(renewal).__name__}: {renewal}"
        error.add_note(printable(_redact(f"A new key could not be fetched: {text}", request)))
    return error


def shape_error(response: httpx.Response, path: str, problem: str) -> APIResponseValidationError:
    """Return the error for a 2xx response that does not match the contract."""
    request = response.request
    return APIResponseValidationError.of(
        _redact(path, request),
        _redact(problem, request),
        status_code=response.status_code,
        body=_error_body(response),
        method=request.method,
        url=str(request.url),
    )


def _error_body(response: httpx.Response) -> Any:
    """Return the body for an error: parsed if possible, cut, and without the key."""
    # Redacted before it is cut, because half a key would not be found.
    text = response.content[: 2 * MAX_ERROR_BODY].decode("utf-8-sig", "replace")
    try:
        if len(text) > MAX_ERROR_BODY:
            raise ValueError("too long to be parsed")
        return _redact(json.loads(text, **FINITE), response.request)
    except (ValueError, RecursionError):
        return _redact(text, response.request)[:MAX_ERROR_BODY]


def _redact(value: Any, request: httpx.Request) -> Any:
    for secret in request.extensions.get("artanis_keys", ()):
        value = secret.redact(value)
    return value


def _message(body: Any) -> str:
    try:
        text: Any = body["error"]
    except (TypeError, LookupError):  # not an object, or without a message
        return ""
    return text if isinstance(text, str) else ""


def connection_error(error: Exception, request: httpx.Request, credentials: Credentials) -> Exception:
    """Return our error for an exception of the HTTP stack. Foreign exceptions are returned as they were raised."""
    if (foreign := foreign_exception(error)) is not None:
        return foreign
    request_of = {"method": request.method, "url": str(request.url)}
    cause = _operating_system_error(error)
    failure: APIConnectionError
    if isinstance(error, httpx.TimeoutException):
        phase = type(error).__name__.removesuffix("Timeout").lower()
        seconds = request.extensions.get("timeout", {}).get(phase)
        after = f" after {seconds} s" if seconds else ""
        message, hint = f"timed out{after} ({phase})", "Try again, or raise timeout."
        failure = APITimeoutError(message, **request_of, hint=hint)
    else:
        text = _redact(str(error) or str(cause or type(error).__name__), request)
        hint = f"Check the network, any proxy, and base_url (from {credentials.sources['base_url']})."
        remedy = _remedy(error, cause)
        failure = APIConnectionError(printable(text).rstrip("."), **request_of, hint=remedy or hint)
        failure.remedy = remedy
    failure.__cause__ = cause
    return failure


def foreign_exception(error: Exception) -> Exception | None:
    """Return what a signal handler, a hook or other foreign code raised, if `error` is that or was mapped from it.

    httpx and httpcore map every TimeoutError and OSError that passes through them, whoever raised it.
    """
    modules = _modules(error)
    if isinstance(error, httpx.RequestError):
        if not (_HTTP_STACK.match(modules[-1]) or modules[-1].startswith("artanis_client.")):
            return None  # a transport of the user, or a mock, says that the network failed
    elif not any(module.startswith("httpcore") for module in modules):
        return error
    return next((each for each in _origins(error) if not _is_of_http_stack(each)), None)


def _is_of_http_stack(error: Exception) -> bool:
    """Return whether its innermost frame and its class are. httpx leaves some unmapped, such as late TLS alerts."""
    if isinstance(error, httpx.RequestError):
        return True
    if isinstance(error, MemoryError | RecursionError):
        return False
    kind = type(error).__module__
    return bool(_HTTP_STACK.match(_modules(error)[-1]) and (kind == "builtins" or _HTTP_STACK.match(kind)))


def _modules(error: Exception) -> list[str]:
    """Return the modules of its traceback, innermost last. httpcore's pool removes some tracebacks."""
    frames = traceback.walk_tb(error.__traceback__)
    return [frame.f_globals.get("__name__", "") for frame, _ in frames] or ["httpcore"]


def _origins(error: Exception) -> list[Exception]:
    """Return an exception and what it was mapped from, directly or not."""
    found = [error]
    for current in found:
        # httpcore's pool removes the cause of what it passes on, but the argument is the same exception.
        sources: tuple[Any, ...] = (current.__cause__, *current.args, *getattr(current, "exceptions", ()))
        found += [each for each in sources if isinstance(each, Exception) and each not in found]
    return found


def _remedy(error: Exception, cause: OSError | None) -> str:
    """Return what to do if another attempt would fail in the same way, else an empty string."""
    if type(cause).__name__ == "SSLCertVerificationError":
        return "If your organization has its own certificate authority, set SSL_CERT_FILE to its file or pass verify."
    if isinstance(error, httpx.ProxyError) and re.match(r"4(?!08|29)\d\d", str(error)):
        return "Check the proxy, and its user name and password."
    return ""


def _operating_system_error(error: Exception) -> OSError | None:
    """Return what the operating system or TLS said, as a copy without frames: the innermost OSError."""
    found = [each for each in _origins(error) if isinstance(each, OSError)]
    return copy.copy(found[-1]) if found else None

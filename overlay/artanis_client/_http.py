"""The HTTP layer: signs requests, refuses unsafe ones, retries, and turns every failure into one of our errors.

`Http` and `AsyncHttp` are httpx clients, so that generated functions and users can call them. They build requests, and
send them through their connections. `send()` sees everything that goes in or out.

Errors are raised outside `except` blocks for httpx's exceptions. Otherwise `__context__` would keep httpx's frames,
which hold the API key, and error reporters upload local variables.
"""

from __future__ import annotations

import inspect
import json
import logging
import re
import sys
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Self, cast
from urllib.parse import unquote

from . import _clock, _errors, _httpx
from ._arguments import check_integer
from ._connections import AsyncConnections, Connections, Local
from ._credentials import Credentials
from ._errors import ArtanisError, CredentialsError
from ._httpx import httpx
from ._retry import MAX_RETRY_TIME, is_idempotent, retry_delay
from ._secret import Secret

_UNSET: Any = httpx.USE_CLIENT_DEFAULT
_SAFE_PATH = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+")  # nearly all paths, recognised quickly
_log = logging.getLogger("artanis_client")

received: ContextVar[list[httpx.Response] | None] = ContextVar("received", default=None)
"""Collects the successful responses of `send()`, so that `call` can inspect them."""


class _Shared:
    """Shared by `Http` and `AsyncHttp`: everything that does no I/O."""

    _connections_class: Callable[..., Any]
    _hide_location: Callable[..., Any]

    def __init__(self, credentials: Credentials, connections: Any, *, timeout: Any, max_retries: int) -> None:
        self.credentials = credentials
        self.connections: Any = connections
        self.max_retries = check_integer("max_retries", max_retries, at_least=0)
        of_requests = connections.settings.of_requests
        checked, unused = _httpx.check_timeout(timeout), _httpx.UnusedTransport()
        set_up: Any = super().__init__  # of the client of httpx
        set_up(**of_requests, timeout=checked, transport=unused, trust_env=False)
        self._origin = _httpx.origin(of_requests["base_url"])
        self._base = str(of_requests["base_url"]).rstrip("/")

    @classmethod
    def create(
        cls, credentials: Credentials, *, timeout: Any, max_retries: int, max_connections: int, httpx_args: Any
    ) -> Self:
        """Return a client with new connections; for the arguments and errors, see `Artanis`."""
        check_integer("max_connections", max_connections, at_least=1)
        checked = _httpx.check_timeout(timeout)
        settings = _httpx.settings(credentials, max_connections, httpx_args, cls._hide_location)
        try:
            connections = cls._connections_class(settings, max_connections)
        except ImportError as error:  # a SOCKS proxy and HTTP/2 need another package
            raise CredentialsError(f"The HTTP client cannot be set up: {error}") from None
        return cls(credentials, connections, timeout=checked, max_retries=max_retries)

    def view(self, *, connections: Any = None, timeout: Any = _UNSET, max_retries: int | None = None) -> Self:
        """Return the same client with other options, or other connections."""
        unchanged: Any = self
        return type(self)(
            self.credentials,
            connections or self.connections,
            timeout=unchanged.timeout if timeout is _UNSET else timeout,
            max_retries=self.max_retries if max_retries is None else max_retries,
        )

    def build_request(self, method: str, url: Any, **arguments: Any) -> httpx.Request:
        """Build a request. Refuses unsafe ids: by the time of `send()`, httpx has normalised `..` away.

        Raises:
            ValueError: If the URL is invalid or contains an unsafe id, such as `..`.
        """
        _refuse_unsafe_path(str(url))
        if isinstance(url, str) and url.startswith("/"):
            url = self._base + url  # otherwise httpx parses the path, and then base URL and path together
        try:
            httpx_client = cast(httpx.Client, super())
            return httpx_client.build_request(method, url, **arguments)
        except httpx.InvalidURL as error:
            raise ValueError(f"Invalid URL: {error}") from None

    def _check(self, request: httpx.Request, options: dict[str, Any]) -> None:
        """Refuse a request that must not be sent."""
        if options.get("auth") not in (None, _UNSET):
            raise TypeError("auth cannot be set: artanis-client sends its own credentials.")
        self._check_open()
        if _httpx.origin(request.url) != self._origin:
            url = self.credentials.base_url
            raise ValueError(
                f"Refusing to send the API key to {request.url.scheme}://{request.url.netloc.decode('ascii')}: "
                f"this client only talks to {url}."
            )
        request.extensions.pop("artanis_started", None)  # if it was sent before

    def _check_open(self) -> None:
        if closed := self.connections.closed_error():
            raise closed

    def _sign(self, request: httpx.Request, secret: Secret) -> None:
        request.headers["x-api-key"] = secret.reveal()
        request.headers["x-org-slug"] = self.credentials.org_slug
        request.extensions.setdefault("artanis_keys", []).append(secret)  # to redact
        request.extensions.setdefault("artanis_started", _clock.monotonic())

    def _delay(self, error: ArtanisError, request: httpx.Request, retries: int) -> float | None:
        """Return and log the seconds until the next attempt; None if the request must not be retried."""
        if retries >= self.max_retries or self.connections.closed_error():
            return None
        if not (is_idempotent(request.method) and _httpx.is_repeatable(request)):
            return None
        if isinstance(error, _errors.APIStatusError):
            delay = retry_delay(retries, error.status_code, error.retry_after)
        else:
            delay = retry_delay(retries, None, None) if isinstance(error, _errors.APIConnectionError) else None
        elapsed = _clock.monotonic() - request.extensions.get("artanis_started", _clock.monotonic())
        if delay is None or elapsed + delay > MAX_RETRY_TIME:
            return None
        what = error.status_code if isinstance(error, _errors.APIStatusError) else type(error).__name__
        target = request.url.raw_path.decode("ascii")
        nth = f"{retries + 1} of {self.max_retries}"
        _log.info("%s %s: %s, retry %s in %.2f s", request.method, target, what, nth, delay)
        return delay

    def _failure(self, error: Exception, request: httpx.Request, outer: BaseException | None) -> ArtanisError | None:
        """Return our error for an exception of the HTTP stack, and None for any other.

        `outer` is the exception that the caller was already handling, which has nothing to do with it.
        """
        closed: ArtanisError | None = self.connections.closed_error()
        if isinstance(error, RuntimeError) and closed is not None:
            return closed  # httpx raises RuntimeError if the client was closed meanwhile
        if not _httpx.is_of_http_stack(error):
            return None
        request_of = {"method": request.method, "url": str(request.url)}
        cause = _httpx.operating_system_error(error, outer)
        failure: _errors.APIConnectionError
        if isinstance(error, httpx.TimeoutException):
            phase = type(error).__name__.removesuffix("Timeout").lower()
            seconds = request.extensions.get("timeout", {}).get(phase)
            message, hint = f"timed out after {seconds} s ({phase})", "Try again, or raise timeout."
            failure = _errors.APITimeoutError(message, **request_of, hint=hint)
        else:
            text = _redact(str(error) or str(cause or type(error).__name__), request)
            hint = f"Check the network, any proxy, and base_url (from {self.credentials.sources['base_url']})."
            failure = _errors.APIConnectionError(_errors.printable(text).rstrip("."), **request_of, hint=hint)
        failure.__cause__ = cause
        return failure

    def _checked(self, response: httpx.Response) -> httpx.Response:
        """Return a 2xx response that could be read; raise the error for any other."""
        if not response.is_success:
            raise self._status_error(response)
        problem = response.extensions.get("artanis_problem")
        if problem is not None:
            raise shape_error(response, "", problem)
        responses = received.get()
        if responses is not None:
            if type(response) is httpx.Response:
                response.__class__ = _httpx.JSONResponse
            responses.append(response)
        return response

    def _status_error(self, response: httpx.Response) -> _errors.APIStatusError:
        cls, advice = _errors.status_error_class(response.status_code)
        request, body = response.request, _error_body(response)
        if "artanis_location" in response.extensions:
            response.headers["location"] = response.extensions["artanis_location"]
        reason = _redact(response.reason_phrase or httpx.codes.get_reason_phrase(response.status_code), request)
        sources = self.credentials.sources
        return cls(
            _message(body) or reason or "no reason given",
            status_code=response.status_code,
            body=body,
            headers=_redact(dict(response.headers), request),
            method=request.method,
            url=str(request.url),
            hint=advice.format(
                key_source=sources["api_key"], org_slug=self.credentials.org_slug, org_source=sources["org_slug"]
            ),
        )


class Http(_Shared, _httpx.Client):
    """The httpx client under `Artanis`."""

    _connections_class = Connections
    _hide_location = staticmethod(_httpx.hide_location)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        pass

    def close(self) -> None:
        """Do nothing: `Artanis.close` closes the connections."""

    def send(self, request: httpx.Request, *, stream: bool = False, **options: Any) -> httpx.Response:
        """Send a request, with retries, and return a 2xx response. Redirects are never followed.

        Raises:
            ArtanisError: If the request failed, or the response is not 2xx; see `_errors`.
            TypeError: If `auth` is set.
            ValueError: If the request would carry the key to another host.
        """
        self._check(request, options)
        retries = 0
        while True:
            try:
                return self._attempt(request, stream)
            except ArtanisError as error:
                delay = self._delay(error, request, retries)
                if delay is None:
                    raise
            self.connections.pause(delay)
            retries += 1

    def _attempt(self, request: httpx.Request, stream: bool) -> httpx.Response:
        local = self.connections.local()
        secret = self._secret(local, refused=None)
        response = self._transmit(local, request, secret, stream)
        if response.status_code == 401 and _httpx.is_repeatable(request):
            renewed = self._secret(local, refused=secret)
            if renewed != secret:
                response = self._transmit(local, request, renewed, stream)
        return self._checked(response)

    def _secret(self, local: Local, refused: Secret | None) -> Secret:
        """Return the key. Only one caller asks its source; concurrent callers wait and share the result or error."""
        key = self.credentials.key
        asked = key.asked
        if key.is_usable(refused) and key.known is not None:
            return key.known
        with local.key_lock:
            if key.asked == asked:
                try:
                    key.accept(key.ask())
                except Exception as error:
                    key.fail(error)
                    raise
            return key.result()

    def _transmit(self, local: Local, request: httpx.Request, secret: Secret, stream: bool) -> httpx.Response:
        outer = sys.exception()
        with local.slots:
            self._check_open()  # it may have been closed while this waited
            self._sign(request, secret)
            try:
                response: httpx.Response = local.client.send(request, stream=True, auth=None, follow_redirects=False)
                if not (stream and response.is_success):
                    _httpx.read_body(response)
                return response
            except Exception as error:
                failure = self._failure(error, request, outer)
                if failure is None:
                    raise
        raise failure


class AsyncHttp(_Shared, _httpx.AsyncClient):
    """The httpx client under `AsyncArtanis`."""

    _connections_class = AsyncConnections
    _hide_location = staticmethod(_httpx.hide_location_async)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        pass

    async def aclose(self) -> None:
        """Do nothing: `AsyncArtanis.aclose` closes the connections."""

    async def send(self, request: httpx.Request, *, stream: bool = False, **options: Any) -> httpx.Response:
        """Like `Http.send`."""
        self._check(request, options)
        retries = 0
        while True:
            try:
                return await self._attempt(request, stream)
            except ArtanisError as error:
                delay = self._delay(error, request, retries)
                if delay is None:
                    raise
            await self.connections.pause(delay)
            retries += 1

    async def _attempt(self, request: httpx.Request, stream: bool) -> httpx.Response:
        local = self.connections.local()
        secret = await self._secret(local, refused=None)
        response = await self._transmit(local, request, secret, stream)
        if response.status_code == 401 and _httpx.is_repeatable(request):
            renewed = await self._secret(local, refused=secret)
            if renewed != secret:
                response = await self._transmit(local, request, renewed, stream)
        return self._checked(response)

    async def _secret(self, local: Local, refused: Secret | None) -> Secret:
        """Like `Http._secret`."""
        key = self.credentials.key
        asked = key.asked
        if key.is_usable(refused) and key.known is not None:
            return key.known
        async with local.key_lock:
            if key.asked == asked:
                try:
                    key.accept(await _answer(key.ask))
                except Exception as error:
                    key.fail(error)
                    raise
            return key.result()

    async def _transmit(self, local: Local, request: httpx.Request, secret: Secret, stream: bool) -> httpx.Response:
        outer = sys.exception()
        async with local.slots:
            self._check_open()  # it may have been closed while this waited
            self._sign(request, secret)
            try:
                response: httpx.Response = await local.client.send(
                    request, stream=True, auth=None, follow_redirects=False
                )
                if not (stream and response.is_success):
                    await _httpx.aread_body(response)
                return response
            except Exception as error:
                failure = self._failure(error, request, outer)
                if failure is None:
                    raise
        raise failure


def shape_error(response: httpx.Response, path: str, problem: str) -> _errors.APIResponseValidationError:
    """Return the error for a 2xx response that does not match the contract."""
    request = response.request
    path, problem = _errors.printable(_redact(path, request)), _errors.printable(_redact(problem, request))
    return _errors.APIResponseValidationError(
        f"{response.status_code}, but the body does not match the contract: {f'{path} ' if path else 'it '}{problem}. "
        "The response may be corrupt, or the API has changed.",
        path=path,
        problem=problem,
        status_code=response.status_code,
        body=_error_body(response),
        method=request.method,
        url=str(request.url),
    )


def _error_body(response: httpx.Response) -> Any:
    """Return the body for an error: parsed if possible, cut, and without the key."""
    # Redacted before it is cut, because half a key would not be found.
    text = response.content[: 2 * _httpx.MAX_ERROR_BODY].decode("utf-8", "replace")
    try:
        if len(text) > _httpx.MAX_ERROR_BODY:
            raise ValueError("too long to be parsed")
        return _redact(json.loads(text), response.request)
    except (ValueError, RecursionError):
        return _redact(text, response.request)[: _httpx.MAX_ERROR_BODY]


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


async def _answer(ask: Any) -> Any:
    """Return what the source of the key answers, without blocking the event loop."""
    from anyio.to_thread import run_sync

    answer = ask() if inspect.iscoroutinefunction(ask) else await run_sync(ask, abandon_on_cancel=True)
    return await answer if inspect.isawaitable(answer) else answer


def _refuse_unsafe_path(url: str) -> None:
    path = url.partition("?")[0]
    if _SAFE_PATH.fullmatch(path):
        return
    if "://" in path:
        path = path.partition("://")[2]
    for segment in path.split("/")[1:]:
        plain = unquote(segment)
        if plain in ("", ".", "..") or re.search(r"[/?\x00-\x1f\x7f]", plain):
            raise ValueError(f"Invalid id {plain!r}: use an id exactly as returned by list().")

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
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from typing import Any, Self, cast
from urllib.parse import unquote

from . import _clock, _errors, _httpx
from ._arguments import check_id, check_integer
from ._connections import AsyncConnections, Connections, Local
from ._credentials import Credentials
from ._errors import ArtanisError, CredentialsError
from ._httpx import httpx
from ._retry import MAX_RETRY_TIME, is_idempotent, is_refusal, parse_retry_after
from ._secret import Secret, raised_by_signal_handler
from ._shape import FINITE

_UNSET: Any = httpx.USE_CLIENT_DEFAULT
_ORIGIN = re.compile(r"\A[A-Za-z][A-Za-z0-9+.-]*://[^/]*")
_SAFE_PATH = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+")  # nearly all paths, recognised quickly
_log = logging.getLogger("artanis_client")

received: ContextVar[list[httpx.Response] | None] = ContextVar("received", default=None)
"""Collects the successful responses of `send()`, so that `call` can inspect them."""


class _Shared:
    """Shared by `Http` and `AsyncHttp`: everything that does no I/O."""

    _connections_class: Callable[..., Any]
    _hide_location: Callable[..., Any]

    def __init__(
        self, credentials: Credentials, connections: Any, *, timeout: Any, max_retries: int, is_paced: bool
    ) -> None:
        self.credentials = credentials
        self.connections: Any = connections
        self.max_retries = check_integer("max_retries", max_retries, at_least=0)
        self._is_paced = is_paced
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
        return cls(credentials, connections, timeout=checked, max_retries=max_retries, is_paced=max_retries != 0)

    def view(
        self,
        *,
        connections: Any = None,
        timeout: Any = _UNSET,
        max_retries: int | None = None,
        is_paced: bool | None = None,
    ) -> Self:
        """Return the same client with other options, or other connections.

        `is_paced` is whether requests wait for their turn after refusals; by default, if they are retried.
        """
        unchanged: Any = self
        max_retries = self.max_retries if max_retries is None else max_retries
        return type(self)(
            self.credentials,
            connections or self.connections,
            timeout=unchanged.timeout if timeout is _UNSET else timeout,
            max_retries=max_retries,
            is_paced=max_retries != 0 if is_paced is None else is_paced,
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
        delay = _errors.retry_delay(error, retries)
        elapsed = _clock.monotonic() - request.extensions.get("artanis_started", _clock.monotonic())
        if delay is None or elapsed + delay > MAX_RETRY_TIME:
            return None
        target, nth = request.url.raw_path.decode("ascii"), f"{retries + 1} of {self.max_retries}"
        _log.info("%s %s: %s, retry %s in %.2f s", request.method, target, _errors.summary(error), nth, delay)
        return delay

    def _waits(self) -> Iterable[float]:
        """Return how many seconds to wait, again and again, before a request may start."""
        return self.connections.pace.waits() if self._is_paced else ()

    def _note_answer(self, response: httpx.Response, started: float) -> None:
        """Tell the pace of the client whether the server refused or accepted a request."""
        status, retry_after = response.status_code, None
        if status in (429, 503):
            retry_after = parse_retry_after(response.headers.get("retry-after"))
        if is_refusal(status, retry_after):
            self.connections.pace.refuse(started, retry_after)
        elif status < 500:
            self.connections.pace.accept()

    def _failure(self, error: Exception, request: httpx.Request) -> Exception:
        """Return our error for an exception of the HTTP stack. Foreign exceptions are returned as they were raised."""
        closed: ArtanisError | None = self.connections.closed_error()
        if isinstance(error, RuntimeError) and closed is not None:
            return closed  # httpx raises RuntimeError if the client was closed meanwhile
        if (foreign := _httpx.foreign_exception(error)) is not None:
            return foreign
        request_of = {"method": request.method, "url": str(request.url)}
        cause = _httpx.operating_system_error(error)
        failure: _errors.APIConnectionError
        if isinstance(error, httpx.TimeoutException):
            phase = type(error).__name__.removesuffix("Timeout").lower()
            seconds = request.extensions.get("timeout", {}).get(phase)
            after = f" after {seconds} s" if seconds else ""
            message, hint = f"timed out{after} ({phase})", "Try again, or raise timeout."
            failure = _errors.APITimeoutError(message, **request_of, hint=hint)
        else:
            text = _redact(str(error) or str(cause or type(error).__name__), request)
            hint = f"Check the network, any proxy, and base_url (from {self.credentials.sources['base_url']})."
            remedy = _httpx.remedy(error, cause)
            failure = _errors.APIConnectionError(_errors.printable(text).rstrip("."), **request_of, hint=remedy or hint)
            failure.remedy = remedy
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

    def _status_error(self, response: httpx.Response, renewal: Exception | None = None) -> _errors.APIStatusError:
        """Return the error for a status; for a 401, `renewal` is why no new key could be fetched."""
        cls, advice = _errors.status_error_class(response.status_code)
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
            hint=self.credentials.fill_in(advice),
        )
        if renewal is not None:
            text = str(renewal) if isinstance(renewal, ArtanisError) else f"{type(renewal).__name__}: {renewal}"
            error.add_note(_errors.printable(_redact(f"A new key could not be fetched: {text}", request)))
        return error


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
            try:
                renewed = self._secret(local, refused=secret)
            except Exception as error:
                if raised_by_signal_handler(error):
                    raise
                raise self._status_error(response, error) from None
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
        with local.slots:
            for seconds in self._waits():
                self.connections.pause(seconds)
                self._check_open()
            self._check_open()  # it may have been closed while this waited
            self._sign(request, secret)
            started = _clock.monotonic()
            try:
                response: httpx.Response = local.client.send(request, stream=True, auth=None, follow_redirects=False)
                if not (stream and response.is_success):
                    _httpx.read_body(response)
                self._note_answer(response, started)
                return response
            except Exception as error:
                failure = self._failure(error, request)
                if failure is error:
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
            try:
                renewed = await self._secret(local, refused=secret)
            except Exception as error:
                if raised_by_signal_handler(error):
                    raise
                raise self._status_error(response, error) from None
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
        async with local.slots:
            for seconds in self._waits():
                await self.connections.pause(seconds)
                self._check_open()
            self._check_open()  # it may have been closed while this waited
            self._sign(request, secret)
            started = _clock.monotonic()
            try:
                response: httpx.Response = await local.client.send(
                    request, stream=True, auth=None, follow_redirects=False
                )
                if not (stream and response.is_success):
                    await _httpx.aread_body(response)
                self._note_answer(response, started)
                return response
            except BaseException as error:
                await local.client.release(request)
                failure = self._failure(error, request) if isinstance(error, Exception) else error
                if failure is error:
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
    text = response.content[: 2 * _httpx.MAX_ERROR_BODY].decode("utf-8-sig", "replace")
    try:
        if len(text) > _httpx.MAX_ERROR_BODY:
            raise ValueError("too long to be parsed")
        return _redact(json.loads(text, **FINITE), response.request)
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

    # In a list, because trio refuses to return an awaitable from a thread.
    [answer] = [ask()] if inspect.iscoroutinefunction(ask) else await run_sync(lambda: [ask()], abandon_on_cancel=True)
    return await answer if inspect.isawaitable(answer) else answer


def _refuse_unsafe_path(url: str) -> None:
    path = _ORIGIN.sub("", re.split("[?#]", url, maxsplit=1)[0])
    if not path or _SAFE_PATH.fullmatch(path):
        return
    for segment in path.removeprefix("/").split("/"):
        if not segment:
            raise ValueError(f"Invalid path {path[:200]!r}: an id is empty, or there is a slash too many.")
        check_id(unquote(segment))

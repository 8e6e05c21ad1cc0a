"""The HTTP layer: signs requests, refuses unsafe ones, waits for the pace of the client, and retries.

`Http` and `AsyncHttp` are httpx clients, so that generated functions and users can call them. They build requests, and
send them through their connections. `send()` sees everything that goes in or out.
"""

from __future__ import annotations

import inspect
import logging
import re
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from typing import Any, Self, cast
from urllib.parse import unquote

from . import _clock, _errors, _httpx
from ._arguments import check_id, check_integer
from ._body import aread_body, read_body
from ._connections import AsyncConnections, Connections, Local
from ._credentials import Credentials
from ._error_mapping import connection_error, shape_error, status_error
from ._errors import ArtanisError, CredentialsError
from ._httpx import httpx
from ._retry import MAX_RETRY_TIME, is_idempotent, is_refusal, parse_retry_after
from ._secret import Secret, raised_by_signal_handler

_UNSET: Any = httpx.USE_CLIENT_DEFAULT
_ORIGIN = re.compile(r"\A[A-Za-z][A-Za-z0-9+.-]*://[^/]*")
_SAFE_PATH = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+")  # nearly all paths, recognised quickly
_log = logging.getLogger("artanis_client")
_log.addHandler(logging.NullHandler())  # as libraries do: nothing is printed unless the program configures logging

captured: ContextVar[list[httpx.Response] | None] = ContextVar("captured", default=None)
"""Collects the successful responses of `send()`, so that `call` can inspect them."""


class _HttpBase:
    """Shared by `Http` and `AsyncHttp`: everything that does no I/O."""

    _connections_class: Callable[..., Any]
    _hide_location: Callable[..., Any]

    def __init__(self, credentials: Credentials, connections: Any, *, timeout: Any, max_retries: int) -> None:
        self.credentials = credentials
        self.connections: Any = connections
        self.max_retries = check_integer("max_retries", max_retries, at_least=0)
        request_arguments = connections.settings.request_arguments
        checked, unused = _httpx.check_timeout(timeout), _httpx.UnusedTransport()
        set_up: Any = super().__init__  # of the client of httpx
        set_up(**request_arguments, timeout=checked, transport=unused, trust_env=False)
        self._origin = _httpx.origin(request_arguments["base_url"])
        self._base = str(request_arguments["base_url"]).rstrip("/")

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
        may_retry = retries < self.max_retries and self.connections.retries and not self.connections.closed_error()
        if not (may_retry and is_idempotent(request.method) and _httpx.is_repeatable(request)):
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
        return self.connections.pace.waits() if self.max_retries else ()

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
        """Return the error to raise instead of an exception, or the exception itself."""
        closed: ArtanisError | None = self.connections.closed_error()
        if isinstance(error, RuntimeError) and closed is not None:
            return closed  # httpx raises RuntimeError if the client was closed meanwhile
        return connection_error(error, request, self.credentials)

    def _checked(self, response: httpx.Response) -> httpx.Response:
        """Return a 2xx response that could be read; raise the error for any other."""
        if not response.is_success:
            raise status_error(response, self.credentials)
        problem = response.extensions.get("artanis_problem")
        if problem is not None:
            raise shape_error(response, "", problem)
        responses = captured.get()
        if responses is not None:
            if type(response) is httpx.Response:
                response.__class__ = _httpx.JSONResponse
            responses.append(response)
        return response


class Http(_HttpBase, _httpx.Client):
    """The httpx client under `Artanis`."""

    _connections_class = Connections
    _hide_location = staticmethod(_httpx.hide_location)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        pass

    def close(self) -> None:
        """Do nothing: `Artanis.close` closes the connections."""

    def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        """Send a request, with retries, and return a 2xx response. Redirects are never followed.

        The body is always read, even with `stream=True`: reading it can fail, and is part of the request in flight.

        Raises:
            ArtanisError: If the request failed, or the response is not 2xx; see `_errors`.
            TypeError: If `auth` is set.
            ValueError: If the request would carry the key to another host.
        """
        self._check(request, options)
        retries = 0
        while True:
            try:
                return self._attempt(request)
            except ArtanisError as error:
                delay = self._delay(error, request, retries)
                if delay is None:
                    raise
            self.connections.pause(delay)
            retries += 1

    def _attempt(self, request: httpx.Request) -> httpx.Response:
        local = self.connections.local()
        secret = self._secret(local, refused=None)
        response = self._transmit(local, request, secret)
        if response.status_code == 401 and _httpx.is_repeatable(request):
            try:
                renewed = self._secret(local, refused=secret)
            except Exception as error:
                if raised_by_signal_handler(error):
                    raise
                raise status_error(response, self.credentials, error) from None
            if renewed != secret:
                response = self._transmit(local, request, renewed)
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

    def _transmit(self, local: Local, request: httpx.Request, secret: Secret) -> httpx.Response:
        with local.slots:
            for seconds in self._waits():
                self.connections.pause(seconds)
                self._check_open()
            self._check_open()  # it may have been closed while this waited
            self._sign(request, secret)
            started = _clock.monotonic()
            try:
                response: httpx.Response = local.client.send(request, stream=True, auth=None, follow_redirects=False)
                read_body(response)
                self._note_answer(response, started)
                return response
            except Exception as error:
                failure = self._failure(error, request)
                if failure is error:
                    raise
        raise failure


class AsyncHttp(_HttpBase, _httpx.Cookieless, httpx.AsyncClient):
    """The httpx client under `AsyncArtanis`."""

    _connections_class = AsyncConnections
    _hide_location = staticmethod(_httpx.hide_location_async)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        pass

    async def aclose(self) -> None:
        """Do nothing: `AsyncArtanis.aclose` closes the connections."""

    async def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        """Like `Http.send`."""
        self._check(request, options)
        retries = 0
        while True:
            try:
                return await self._attempt(request)
            except ArtanisError as error:
                delay = self._delay(error, request, retries)
                if delay is None:
                    raise
            await self.connections.pause(delay)
            retries += 1

    async def _attempt(self, request: httpx.Request) -> httpx.Response:
        local = self.connections.local()
        secret = await self._secret(local, refused=None)
        response = await self._transmit(local, request, secret)
        if response.status_code == 401 and _httpx.is_repeatable(request):
            try:
                renewed = await self._secret(local, refused=secret)
            except Exception as error:
                if raised_by_signal_handler(error):
                    raise
                raise status_error(response, self.credentials, error) from None
            if renewed != secret:
                response = await self._transmit(local, request, renewed)
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

    async def _transmit(self, local: Local, request: httpx.Request, secret: Secret) -> httpx.Response:
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
                await aread_body(response)
                self._note_answer(response, started)
                return response
            except BaseException as error:
                await local.client.release(request)
                failure = self._failure(error, request) if isinstance(error, Exception) else error
                if failure is error:
                    raise
        raise failure


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

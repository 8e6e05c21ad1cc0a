"""The HTTP layer: both headers on, unsafe requests refused, everything but a 2xx turned into one of our errors.

`Http` and `AsyncHttp` are httpx clients, so that every generated function works with them, and the proxies and TLS
settings of the environment do too. `send()` is the place that sees everything. What the two share is in `_Shared`; they
differ in what waits.

This is the one module that imports httpx. Nothing here raises while an exception of httpx is being handled, because
its frames hold the headers of the request, and error reporters send local variables along.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import inspect
import json
import logging
import math
import os
import re
import sys
import traceback
import weakref
from collections.abc import Awaitable, Callable, Generator
from contextvars import ContextVar
from itertools import islice
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, NamedTuple, Self, cast
from urllib.parse import unquote

import anyio
import httpx

from . import _clock
from ._credentials import Credentials, Secret
from ._errors import (
    APIConnectionError,
    APIResponseValidationError,
    APIStatusError,
    APITimeoutError,
    ArtanisError,
    CredentialsError,
    printable,
    status_error_class,
)
from ._version import __version__

if TYPE_CHECKING:
    import ssl

    from tenacity import RetryCallState

AsyncByteStream = httpx.AsyncByteStream
NetworkError = httpx.NetworkError
ReadTimeout = httpx.ReadTimeout
Request = httpx.Request
Response = httpx.Response
Timeout = httpx.Timeout
TransportError = httpx.TransportError

DEFAULT_TIMEOUT = Timeout(60.0, connect=5.0, pool=None)  # seconds
MAX_ERROR_BODY = 64 * 1024  # bytes, decoded
MAX_RETRY_AFTER = 60.0  # seconds; the error of a server that asks for more is raised at once
MAX_RETRY_TIME = 120.0  # seconds from the first attempt to the start of the last
USER_AGENT = f"artanis-client/{__version__} python/{sys.version.split()[0]} httpx/{httpx.__version__}"
SIGNAL_CHECK = 1.0  # seconds
"""How long a thread waits before it lets the interpreter handle signals, and then waits again.

Without a timeout, a wait misses a Ctrl-C that arrives just before the thread blocks: Python's handler only sets a flag,
which the interpreter does not check until the wait is over.
"""

_CLOSED = "This client is closed: make a new one, or keep it open for as long as it is used."
_CODINGS = ("gzip", "deflate")
_HTTPX_VARIABLES = {
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "SSLKEYLOGFILE",
}
_IDEMPOTENT = {"GET", "HEAD", "PUT", "DELETE", "OPTIONS"}
_SAFE_PATH = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+")  # which is what nearly all are
_OWN_ARGUMENTS = {
    "auth": "the credentials are arguments of the client",
    "base_url": "it is an argument of the client",
    "cookies": "cookies are never sent",
    "follow_redirects": "redirects are never followed",
    "timeout": "it is an argument of the client",
}
_log = logging.getLogger("artanis_client")

received: ContextVar[list[Response] | None] = ContextVar("received", default=None)
"""Where `send()` leaves its responses for a caller further out that has put a list here."""


class _Response(httpx.Response):
    """Keeps the JSON that a parser reads from it, so that `_call` can compare it with the contract."""

    def json(self, **arguments: Any) -> Any:
        self.extensions["artanis_json"] = value = super().json(**arguments)
        return value


class _NoCookies(httpx.Cookies):
    def extract_cookies(self, response: Response) -> None:
        pass


class _Cookieless:
    """A browser session that the server offers would stick to the client; and looking for one takes 20 µs a call."""

    @property
    def cookies(self) -> httpx.Cookies:
        return _NoCookies()

    @cookies.setter
    def cookies(self, cookies: object) -> None:
        pass


class _Client(_Cookieless, httpx.Client):
    pass


class _AsyncClient(_Cookieless, httpx.AsyncClient):
    pass


class _Slots:
    """A semaphore made of a queue in C; an interrupt inside threading's own leaves it locked for good."""

    def __init__(self, number: int) -> None:
        self._queue: SimpleQueue[None] = SimpleQueue()
        for _ in range(number):
            self._queue.put(None)
        self._get = functools.partial(self._queue.get, timeout=SIGNAL_CHECK)

    def __enter__(self) -> None:
        taken: list[None] = []
        try:
            while not taken:
                try:
                    # A single call in C takes the slot and records it, so no interrupt comes in between.
                    taken.extend(islice(iter(self._get, self), 1))
                except Empty:
                    continue
        except BaseException:
            if taken:
                self._queue.put(None)
            raise

    def __exit__(self, *exc_info: object) -> None:
        self._queue.put(None)


class _Place(NamedTuple):
    """What belongs to one process, or to one event loop of it, and is of no use in another."""

    client: Any
    slots: Any
    key_lock: Any


class _Shared(_Cookieless):
    """Everything of `Http` and `AsyncHttp` that does not wait."""

    _new_client: Callable[..., Any]

    def _prepare(
        self, credentials: Credentials, arguments: dict[str, Any], max_retries: int, max_connections: int
    ) -> None:
        self.max_retries = whole("max_retries", max_retries, at_least=0)
        self.max_connections = whole("max_connections", max_connections, at_least=1)
        self._credentials = credentials
        self._origin = _origin(arguments["base_url"])
        self._base = str(arguments["base_url"]).rstrip("/")
        self._arguments = arguments
        self._root = self
        self._closed = False
        self._places: dict[Any, _Place] = {}
        self._unused = [self]  # the client for the first place; popping it is atomic

    def view(self, timeout: Any, max_retries: int) -> Self:
        """The same connections with other options. Closing it closes nothing."""
        view: Any = copy.copy(self)
        view.timeout = _checked_timeout(timeout)
        view.max_retries = whole("max_retries", max_retries, at_least=0)
        return cast(Self, view)

    def _absolute(self, url: Any) -> Any:
        # httpx would parse the path, and then base URL and path together.
        return self._base + url if isinstance(url, str) and url.startswith("/") else url

    def _admit(self, request: httpx.Request) -> None:
        self._refuse_closed()
        request.extensions.pop("artanis_started", None)  # of an earlier time
        if _origin(request.url) != self._origin:
            raise ValueError(f"The key is sent to {self._credentials.base_url} alone, not to {request.url.host!r}.")

    def _refuse_closed(self) -> None:
        if self._root._closed:
            raise ArtanisError(_CLOSED)

    def _sign(self, request: httpx.Request, secret: Secret) -> None:
        """Put the headers on, and remember each key for what has to be redacted."""
        request.headers["x-api-key"] = secret.reveal()
        request.headers["x-org-slug"] = self._credentials.org_slug
        request.extensions.setdefault("artanis_keys", []).append(secret)

    def _place(self, here: Any) -> _Place:
        """The connections and slots of this process or event loop; the first takes those made at construction."""
        places = self._root._places
        place = places.get(here)
        if place is not None:
            return place
        self._forget_ended()
        try:
            client: Any = self._root._unused.pop()
        except IndexError:
            client = self._new_client(**self._arguments)
        # No lock: a thread that a forked process does not have could be holding it.
        return places.setdefault(here, _Place(client, *self._locks()))

    def another_client(self) -> Any:
        """An httpx client with connections of its own; None where the user's arguments say which connections to use."""
        chosen = self._arguments.get("transport") or self._arguments.get("mounts")
        if chosen or self._arguments["limits"].max_connections is not None:
            return None
        return self._new_client(**self._arguments)

    def _locks(self) -> tuple[Any, Any]:
        raise NotImplementedError

    def _forget_ended(self) -> None:
        """Drop what belongs to event loops that have ended."""

    def _failure(self, error: Exception, request: httpx.Request, outer: BaseException | None) -> ArtanisError | None:
        """What to raise for an exception on the way; None for one of the user's own.

        `outer` is the exception that the caller was handling already, which has nothing to do with this.
        """
        if isinstance(error, RuntimeError) and self._root._closed:  # while this was on its way
            return ArtanisError(_CLOSED)
        if not isinstance(error, httpx.RequestError) and not _is_of_httpcore(error):
            return None
        at = {"method": request.method, "url": str(request.url)}
        cause = _cause(error, outer)
        failure: APIConnectionError
        if isinstance(error, httpx.TimeoutException):
            phase = type(error).__name__.removesuffix("Timeout").lower()
            seconds = request.extensions.get("timeout", {}).get(phase)
            failure = APITimeoutError(f"timed out after {seconds} s ({phase}). Try again, or raise timeout.", **at)
        else:
            text = printable(_redact(str(error) or str(cause or type(error).__name__), request)).rstrip(".")
            source = self._credentials.sources["base_url"]
            failure = APIConnectionError(
                f"{text}. Check the network, the proxy if there is one, and the base URL (from {source}).", **at
            )
        failure.__cause__ = cause
        return failure

    def _checked(self, response: Response) -> Response:
        """The response, if it is a 2xx that could be read."""
        problem = response.extensions.get("artanis_problem")
        if problem is not None:
            raise shape_error(response, problem)
        if not response.is_success:
            raise self._status_error(response)
        if (responses := received.get()) is not None:
            if type(response) is Response:
                response.__class__ = _Response
            responses.append(response)
        return response

    def _status_error(self, response: Response) -> APIStatusError:
        cls, advice = status_error_class(response.status_code)
        request, body = response.request, _error_body(response)
        if "artanis_location" in response.extensions:
            response.headers["location"] = response.extensions["artanis_location"]
        reason = _redact(response.reason_phrase or httpx.codes.get_reason_phrase(response.status_code), request)
        return cls(
            _message(body) or reason or "no reason given",
            status_code=response.status_code,
            body=body,
            headers=_redact(dict(response.headers), request),
            method=request.method,
            url=str(request.url),
            hint=advice.format(
                key_source=self._credentials.sources["api_key"],
                org_slug=self._credentials.org_slug,
                org_source=self._credentials.sources["org_slug"],
            ),
        )

    def _retryable(self, error: BaseException, request: httpx.Request) -> bool:
        if not self.max_retries or request.method not in _IDEMPOTENT or not _can_repeat(request) or self._root._closed:
            return False
        if isinstance(error, APIStatusError):
            passing = error.status_code in (408, 429) or error.status_code // 100 == 5
            return passing and (error.retry_after or 0.0) <= MAX_RETRY_AFTER
        return isinstance(error, APIConnectionError)

    def _retry_policy(self, request: httpx.Request) -> dict[str, Any]:
        """The arguments of tenacity, whose first attempt stands for the one that has failed."""
        import tenacity  # not loaded until something fails

        backoff = tenacity.wait_exponential(multiplier=0.5) + tenacity.wait_random(0, 0.5)

        def failure(state: RetryCallState) -> BaseException | None:
            return state.outcome.exception() if state.outcome else None

        def wait(state: RetryCallState) -> float:
            asked: float | None = getattr(failure(state), "retry_after", None)
            return min(8.0, backoff(state)) if asked is None else asked

        def log(state: RetryCallState) -> None:
            error = failure(state)
            what = error.status_code if isinstance(error, APIStatusError) else type(error).__name__
            nth, seconds = state.attempt_number, state.upcoming_sleep
            at = f"{request.method} {request.url.raw_path.decode('ascii')}"
            _log.info("%s: %s, retry %d of %d in %.2f s", at, what, nth, self.max_retries, seconds)

        left = MAX_RETRY_TIME - (_clock.monotonic() - request.extensions.get("artanis_started", _clock.monotonic()))
        return {
            "retry": tenacity.retry_if_exception(lambda error: self._retryable(error, request)),
            "wait": wait,
            "stop": tenacity.stop_after_attempt(self.max_retries + 1) | tenacity.stop_before_delay(left),
            "before_sleep": log,
            "reraise": True,
        }


class Http(_Shared, httpx.Client):
    """The httpx client under `Artanis`."""

    _new_client = _Client

    def __init__(
        self, credentials: Credentials, timeout: Any, max_retries: int, max_connections: int, httpx_args: dict[str, Any]
    ) -> None:
        checked = _checked_timeout(timeout)
        with _naming_the_environment():
            arguments = _httpx_arguments(credentials, max_connections, httpx_args, _hide_location)
            super().__init__(**arguments, timeout=checked)
        self._prepare(credentials, arguments, max_retries, max_connections)
        self._place(os.getpid())

    def _locks(self) -> tuple[Any, Any]:
        return _Slots(self.max_connections), _Slots(1)

    def _sleep(self, seconds: float) -> None:
        _clock.sleep(seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        if self is self._root:
            self._closed = True
            # In a forked process that has not used it yet, there is nothing of its own to close.
            if place := self._places.get(os.getpid()):
                httpx.Client.close(place.client)

    def build_request(self, method: str, url: Any, **arguments: Any) -> httpx.Request:
        """Refuses what can be no id; httpx has normalised `..` away by the time of `send()`."""
        return _built(super().build_request, method, self._absolute(url), arguments)

    def send(self, request: httpx.Request, *, stream: bool = False, **_: Any) -> Response:
        """Send a request, again where that may help; returns a 2xx response.

        Raises:
            ArtanisError: Anything else came back, or nothing did; see `_errors`.
            ValueError: The request would carry the key to another host.
        """
        self._admit(request)
        try:
            return self._attempt(request, stream)
        except ArtanisError as error:
            if not self._retryable(error, request):
                raise
            first = error
        from tenacity import Retrying

        for attempt in Retrying(**self._retry_policy(request), sleep=self._sleep):
            with attempt:
                if attempt.retry_state.attempt_number > 1:
                    return self._attempt(request, stream)
                raise first
        raise first

    def _attempt(self, request: httpx.Request, stream: bool) -> Response:
        place = self._place(os.getpid())
        secret = self._secret(place, None)
        response = self._transmit(place, request, secret, stream)
        if response.status_code == 401 and _can_repeat(request):
            renewed = self._secret(place, secret)
            if renewed != secret:
                response = self._transmit(place, request, renewed, stream)
        return self._checked(response)

    def _secret(self, place: _Place, refused: Secret | None) -> Secret:
        """The key; its source is asked by one caller, whose outcome those take who were waiting meanwhile."""
        key = self._credentials.key
        asked = key.asked
        if key.outdated(refused):
            with place.key_lock:
                if key.asked == asked:
                    with key.asking():
                        key.accept(key.ask())
                elif key.failure is not None:
                    raise key.failure
        return cast(Secret, key.known)

    def _transmit(self, place: _Place, request: httpx.Request, secret: Secret, stream: bool) -> Response:
        self._sign(request, secret)
        outer = sys.exception()
        with place.slots:
            self._refuse_closed()  # it may have been while this waited
            request.extensions.setdefault("artanis_started", _clock.monotonic())
            try:
                response = httpx.Client.send(place.client, request, stream=True, auth=None, follow_redirects=False)
                if not (stream and response.is_success):
                    self._read(response)
                return response
            except Exception as error:
                failure = self._failure(error, request, outer)
                if failure is None:
                    raise
        raise failure

    def _read(self, response: Response) -> None:
        body = _Body(response)
        try:
            for chunk in response.iter_bytes() if body.is_readable else ():
                if body.is_full_with(chunk):
                    break
        except httpx.RequestError as error:
            body.broke_off(error)
        finally:
            response.close()
        body.finish()


class AsyncHttp(_Shared, httpx.AsyncClient):
    """The httpx client under `AsyncArtanis`."""

    _new_client = _AsyncClient

    def __init__(
        self, credentials: Credentials, timeout: Any, max_retries: int, max_connections: int, httpx_args: dict[str, Any]
    ) -> None:
        checked = _checked_timeout(timeout)
        with _naming_the_environment():
            arguments = _httpx_arguments(credentials, max_connections, httpx_args, _hide_location_async)
            super().__init__(**arguments, timeout=checked)
        self._prepare(credentials, arguments, max_retries, max_connections)

    def _locks(self) -> tuple[Any, Any]:
        return anyio.Semaphore(self.max_connections, fast_acquire=True), anyio.Lock()

    def _forget_ended(self) -> None:
        for pid, loop in list(self._root._places):
            if loop() is None or getattr(loop(), "is_closed", bool)():  # asyncio's connections keep their loop alive
                self._root._places.pop((pid, loop), None)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        if self is self._root:
            self._closed = True
            # The connections of another event loop cannot be closed from this one.
            if place := self._places.get(_here()):
                await httpx.AsyncClient.aclose(place.client)

    def build_request(self, method: str, url: Any, **arguments: Any) -> httpx.Request:
        """Like `Http.build_request`."""
        return _built(super().build_request, method, self._absolute(url), arguments)

    async def send(self, request: httpx.Request, *, stream: bool = False, **_: Any) -> Response:
        """Like `Http.send`."""
        self._admit(request)
        try:
            return await self._attempt(request, stream)
        except ArtanisError as error:
            if not self._retryable(error, request):
                raise
            first = error
        from tenacity import AsyncRetrying

        async for attempt in AsyncRetrying(**self._retry_policy(request), sleep=_clock.async_sleep):
            with attempt:
                if attempt.retry_state.attempt_number > 1:
                    return await self._attempt(request, stream)
                raise first
        raise first

    async def _attempt(self, request: httpx.Request, stream: bool) -> Response:
        place = self._place(_here())
        secret = await self._secret(place, None)
        response = await self._transmit(place, request, secret, stream)
        if (
            response.status_code == 401
            and _can_repeat(request)
            and (new := await self._secret(place, secret)) != secret
        ):
            response = await self._transmit(place, request, new, stream)
        return self._checked(response)

    async def _secret(self, place: _Place, refused: Secret | None) -> Secret:
        """Like `Http._secret`."""
        key = self._credentials.key
        asked = key.asked
        if key.outdated(refused):
            async with place.key_lock:
                if key.asked == asked:
                    with key.asking():
                        key.accept(await _answer(key.ask))
                elif key.failure is not None:
                    raise key.failure
        return cast(Secret, key.known)

    async def _transmit(self, place: _Place, request: httpx.Request, secret: Secret, stream: bool) -> Response:
        self._sign(request, secret)
        outer = sys.exception()
        async with place.slots:
            self._refuse_closed()  # it may have been while this waited
            request.extensions.setdefault("artanis_started", _clock.monotonic())
            try:
                response = await self._send_on(place.client, request)
                if not (stream and response.is_success):
                    await self._read(response)
                return response
            except Exception as error:
                failure = self._failure(error, request, outer)
                if failure is None:
                    raise
        raise failure

    def _send_on(self, client: Any, request: httpx.Request) -> Awaitable[Response]:
        return httpx.AsyncClient.send(client, request, stream=True, auth=None, follow_redirects=False)

    async def _read(self, response: Response) -> None:
        body = _Body(response)
        try:
            if body.is_readable:
                async for chunk in response.aiter_bytes():
                    if body.is_full_with(chunk):
                        break
        except httpx.RequestError as error:
            body.broke_off(error)
        finally:
            await response.aclose()
        body.finish()


class _Body:
    """Collects the body of a response, as much of it as is wanted."""

    def __init__(self, response: Response) -> None:
        self._response = response
        self._chunks: list[bytes] = []
        self._size = 0
        coding = response.headers.get("content-encoding", "").strip().lower()
        # What was not asked for, and layers of it, inflate without a bound before the first piece can be looked at.
        self.is_readable = coding in ("", "identity", *_CODINGS)
        if not self.is_readable:
            response.extensions["artanis_problem"] = f"the body cannot be decoded (content-encoding {coding!r})"

    def is_full_with(self, chunk: bytes) -> bool:
        self._chunks.append(chunk)
        self._size += len(chunk)
        if not self._response.is_success:
            return self._size >= MAX_ERROR_BODY + 4096  # so that a key which the cut would halve is found
        # No JSON of this API compresses to a hundredth; what does is meant to fill the memory.
        packed = "content-encoding" in self._response.headers and 100 * self._response.num_bytes_downloaded
        if packed and self._size > max(packed, 64 * 1024 * 1024):
            self._response.extensions["artanis_problem"] = "the body inflates to more than a hundred times its size"
            self._chunks.clear()
            return True
        return False

    def broke_off(self, error: httpx.RequestError) -> None:
        """Of an error's body, what has arrived is enough; of any other, all of it is needed."""
        if isinstance(error, httpx.DecodingError):
            self._response.extensions["artanis_problem"] = f"the body cannot be decoded ({error})"
        elif self._response.is_success:
            raise error

    def finish(self) -> None:
        body = b"".join(self._chunks)
        # What httpx's own read() does, which could not stop in the middle.
        self._response._content = body  # pyright: ignore[reportPrivateUsage]
        if not self._response.is_success:
            self._response.extensions.pop("artanis_problem", None)


def shape_error(response: Response, problem: str) -> APIResponseValidationError:
    """The error for a 2xx response that is not what the contract says."""
    request = response.request
    return APIResponseValidationError(
        f"{response.status_code}, but {printable(_redact(problem, request))}. Either the response is broken, or "
        "openapi.yaml no longer says what the API does.",
        status_code=response.status_code,
        body=_error_body(response),
        method=request.method,
        url=str(request.url),
    )


def _error_body(response: Response) -> Any:
    """The body for an error: parsed where possible, cut, and without the key."""
    # First redacted, then cut, because half a key is found by nothing.
    text = response.content[: 2 * MAX_ERROR_BODY].decode("utf-8", "replace")
    try:
        if len(text) > MAX_ERROR_BODY:
            raise ValueError("too long to be parsed")
        return _redact(json.loads(text), response.request)
    except (ValueError, RecursionError):
        return _redact(text, response.request)[:MAX_ERROR_BODY]


def _redact(value: Any, request: httpx.Request) -> Any:
    for secret in request.extensions.get("artanis_keys", ()):
        value = secret.redact(value)
    return value


def _message(body: Any) -> str:
    try:
        text: Any = body["error"]
    except (TypeError, LookupError):  # no object, or another one
        return ""
    return text if isinstance(text, str) else ""


def _is_of_httpcore(error: Exception) -> bool:
    """Whether an exception that httpx has no name for comes from below it: a late TLS alert, a fault in HTTP/2."""
    return any(
        frame.f_globals.get("__name__", "").startswith("httpcore.")
        for frame, _ in traceback.walk_tb(error.__traceback__)
    )


def _cause(error: BaseException, outer: BaseException | None) -> OSError | None:
    """What the operating system or TLS said: the innermost OSError, as a copy without frames."""
    found: OSError | None = None
    seen: set[int] = {id(outer)}
    todo: list[BaseException | None] = [error]
    while todo and len(seen) < 100:
        current = todo.pop()
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        found = current if isinstance(current, OSError) else found
        nested: Any = getattr(current, "exceptions", ())  # of a group: one for each address that was tried
        todo += [*nested, current.__context__, current.__cause__]  # httpcore suppresses contexts that say the most
    return copy.copy(found)


def _hide_location(response: Response) -> None:
    """Keep httpx from preparing to follow a redirect, which fails where the location is no URL."""
    if response.has_redirect_location:
        response.extensions["artanis_location"] = response.headers.pop("location")


async def _hide_location_async(response: Response) -> None:
    _hide_location(response)


async def _answer(ask: Any) -> Any:
    """What the source of the key says, without holding up the event loop."""
    from anyio.to_thread import run_sync

    answer = ask() if inspect.iscoroutinefunction(ask) else await run_sync(ask, abandon_on_cancel=True)
    return await answer if inspect.isawaitable(answer) else answer


def _here() -> tuple[int, weakref.ref[Any]]:
    from anyio.lowlevel import current_token  # here, because it takes a millisecond that sync programs need not spend

    return os.getpid(), weakref.ref(current_token().native_token)


def _built(build: Callable[..., httpx.Request], method: str, url: Any, arguments: dict[str, Any]) -> httpx.Request:
    _refuse_unsafe_path(str(url))
    try:
        return build(method, url, **arguments)
    except httpx.InvalidURL as error:
        raise ValueError(f"No URL can be made of this: {error}") from None


def _can_repeat(request: httpx.Request) -> bool:
    """Whether the body is at hand, and not a stream that the first attempt has used up."""
    return isinstance(request.stream, httpx.ByteStream)


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _refuse_unsafe_path(url: str) -> None:
    path = url.partition("?")[0]
    if _SAFE_PATH.fullmatch(path):
        return
    if "://" in path:
        path = path.partition("://")[2]
    for segment in path.split("/")[1:]:
        plain = unquote(segment)
        if plain in ("", ".", "..") or re.search(r"[/?\x00-\x1f\x7f]", plain):
            raise ValueError(f"{plain!r} can be no id: pass one as a list returns it.")


def _checked_timeout(timeout: Any) -> Timeout:
    """As httpx has it, without a limit on waiting for a connection: that is what the slots are for."""
    phases = ("connect", "read", "write")
    seconds = {phase: getattr(timeout, phase) if isinstance(timeout, Timeout) else timeout for phase in phases}
    for value in seconds.values():
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise TypeError(f"timeout must be seconds, an httpx.Timeout or None, not {type(value).__name__}.")
        if value is not None and not 0 < value < math.inf:
            raise ValueError(f"timeout must be more than 0 seconds, or None for no limit, not {value!r}.")
    return Timeout(**seconds, pool=None)


def whole(name: str, value: Any, at_least: int) -> int:
    if type(value) is not int or value < at_least:
        raise ValueError(f"{name} must be a whole number from {at_least}, not {value!r}.")
    return value


@contextlib.contextmanager
def _naming_the_environment() -> Generator[None]:
    """Says where to look when what httpx reads from the environment keeps it from being set up."""
    problem = ""
    try:
        yield
    except (OSError, ImportError, ValueError, httpx.InvalidURL) as error:
        variables = [name for name in os.environ if name.upper() in _HTTPX_VARIABLES and os.environ[name]]
        if not variables:
            raise
        problem = f"{printable(str(error))}. Check the arguments, and in the environment: {', '.join(variables)}."
    if problem:
        raise CredentialsError(f"The HTTP client cannot be set up: {problem}")


def _httpx_arguments(
    credentials: Credentials, max_connections: int, httpx_args: dict[str, Any], last_hook: Callable[[Response], Any]
) -> dict[str, Any]:
    """The arguments of httpx's clients, except the timeout."""
    try:
        base_url = httpx.URL(credentials.base_url)
        _origin(base_url)  # which decodes the host, and so finds what is wrong with it
    except (httpx.InvalidURL, ValueError) as error:
        source = credentials.sources["base_url"]
        raise CredentialsError(f"The base_url from {source} cannot be used: {printable(str(error))}.") from None
    for name in sorted(httpx_args.keys() & _OWN_ARGUMENTS.keys()):
        raise TypeError(f"httpx_args cannot hold {name!r}: {_OWN_ARGUMENTS[name]}.")
    hooks: dict[str, list[Any]] = httpx_args.get("event_hooks") or {}
    arguments: dict[str, Any] = {
        # Requests wait for a slot of ours. In httpx's pool, every one that waits slows all of them down.
        "limits": httpx.Limits(max_connections=None, max_keepalive_connections=max_connections),
        **httpx_args,
        "base_url": base_url,
        "headers": {
            "user-agent": USER_AGENT,
            "accept": "application/json",
            "accept-encoding": ", ".join(_CODINGS),
            **httpx.Headers(httpx_args.get("headers")),
        },
        "event_hooks": {**hooks, "response": [*hooks.get("response", []), last_hook]},
    }
    if httpx_args.get("http2"):
        for name in ("hpack.hpack", "hpack.table"):
            logging.getLogger(name).addFilter(_is_no_header)
    trust_env = httpx_args.get("trust_env", True)
    if httpx_args.keys() & {"verify", "cert", "http2"}:
        # Made once, for all the clients that these arguments make.
        settings = arguments.pop("verify", True), arguments.pop("cert", None)
        arguments["verify"] = httpx.create_ssl_context(*settings, trust_env=trust_env)
    else:
        tls_variables = (os.environ.get(name) for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE"))
        arguments["verify"] = _shared_ssl_context(trust_env, *tls_variables)
    return arguments


@functools.cache
def _shared_ssl_context(trust_env: bool, *_tls_variables: str | None) -> ssl.SSLContext:
    """Reading the CA file takes 20 ms. Whoever brings TLS settings of their own must not meet this context."""
    return httpx.create_ssl_context(trust_env=trust_env)


def _is_no_header(record: logging.LogRecord) -> bool:
    """At DEBUG, hpack logs the value of every header."""
    return record.levelno > logging.DEBUG

"""Everything that depends on httpx: its arguments, TLS, cookies, timeouts, failures, and the reading of a body.

This is the only module that imports httpx, so that replacing httpx means changing one file. `make successor` runs the
tests with httpx2, its successor, under the name httpx. On the day of the change: import httpx2 here, depend on it in
pyproject.toml, and regenerate with a generator that imports it, too. Nothing else in this file has to change.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import logging
import os
import re
import sys
import traceback
import weakref
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from urllib.request import getproxies, proxy_bypass

import httpx as httpx  # for the other modules, too
from httpx import Request, RequestError, Response, Timeout

from ._arguments import check_seconds
from ._credentials import Credentials, is_loopback
from ._errors import CredentialsError, Problem, printable
from ._shape import FINITE
from ._version import __version__

if TYPE_CHECKING:
    import ssl

DEFAULT_TIMEOUT = Timeout(60.0, connect=5.0, pool=None)  # seconds
MAX_ERROR_BODY = 64 * 1024  # bytes, decoded
USER_AGENT = f"artanis-client/{__version__} python/{sys.version.split()[0]} httpx/{httpx.__version__}"

# Exceptions that are raised in these modules are failures of the network.
_HTTP_STACK = re.compile(
    r"(httpx2?|httpcore2?|h11|h2|hpack|hyperframe|socksio|aiohttp|aiohappyeyeballs|anyio|asyncio|trio|outcome|uvloop"
    r"|gevent|eventlet|socket|ssl|selectors|encodings|idna)(\.|$)"
)
_CODINGS = ("gzip", "deflate")
_TLS_VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE")
_OWN_ARGUMENTS = {
    "auth": "the credentials are arguments of the client",
    "base_url": "it is an argument of the client",
    "cookies": "cookies are never sent",
    "follow_redirects": "redirects are never followed",
    "timeout": "it is an argument of the client",
}


class _NoCookies(httpx.Cookies):
    def extract_cookies(self, response: Response) -> None:
        pass


class _Cookieless:
    """Ignores cookies: the client must stay stateless, and extracting cookies takes 20 µs per call."""

    @property
    def cookies(self) -> httpx.Cookies:
        return _NoCookies()

    @cookies.setter
    def cookies(self, cookies: object) -> None:
        pass


class Client(_Cookieless, httpx.Client):
    """An httpx client without cookies."""


class AsyncClient(_Cookieless, httpx.AsyncClient):
    """An async httpx client without cookies, which can close what httpcore leaves open after a cancellation."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        for pool in self._pools():
            backend = pool._network_backend
            backend.connect_tcp = functools.partial(_connect, backend.connect_tcp)

    def _pools(self) -> list[Any]:
        pools: list[Any] = [getattr(each, "_pool", None) for each in (self._transport, *self._mounts.values())]
        return [pool for pool in pools if hasattr(pool, "_assign_requests_to_connections")]

    async def release(self, request: Request) -> None:
        """Close the connection of a request that failed or was cancelled, unless it is idle or others use it."""
        for pool in self._pools():
            pool._requests = [each for each in pool._requests if each.request.extensions is not request.extensions]
            used = [each.connection for each in pool._requests]
            unused = [each for each in pool.connections if not (each.is_idle() or each in used)]
            pool._connections = [each for each in pool._connections if each not in unused]
            await pool._close_connections([*unused, *pool._assign_requests_to_connections()])


_streams: weakref.WeakSet[Any] = weakref.WeakSet()


def _detach_streams() -> None:
    """Keep a forked process from shutting down its parent's connections, such as when it cancels inherited tasks."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in _streams:
        if (number := stream.get_extra_info("socket").fileno()) >= 0:
            os.dup2(nothing, number)
    os.close(nothing)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_detach_streams)


async def _connect(connect_tcp: Any, **arguments: Any) -> Any:
    """Connect; if the setup of the connection is cancelled, such as the TLS handshake, close it."""

    async def or_close(method: Any, *args: Any, **more: Any) -> Any:
        try:
            result = await method(*args, **more)
        except BaseException:
            await stream.aclose()  # closes the socket at once, even if this is cancelled, too
            raise
        if method.__name__ == "start_tls":
            result.plain_stream = stream  # keeps it in _streams
        return result

    stream = await connect_tcp(**arguments)
    _streams.add(stream)
    for name in ("read", "write", "start_tls"):
        setattr(stream, name, functools.partial(or_close, getattr(stream, name)))
    return stream


class UnusedTransport(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """The transport of a client that sends through other clients. It fails, so that no request leaves unsigned."""

    def handle_request(self, request: Request) -> Response:
        raise RuntimeError(
            f"{request.method} {request.url} would bypass artanis-client. Use the methods of the client."
        )

    async def handle_async_request(self, request: Request) -> Response:
        return self.handle_request(request)


class JSONResponse(Response):
    """Keeps the JSON that a parser reads from it, so that it can be compared with the contract."""

    def json(self, **arguments: Any) -> Any:
        self.extensions["artanis_json"] = value = super().json(**{**FINITE, **arguments})
        return value


class Settings(NamedTuple):
    """The arguments of httpx's clients, checked."""

    of_requests: dict[str, Any]
    """For the client that builds requests."""
    of_connections: dict[str, Any]
    """For each client that sends them."""
    owns_connections: bool
    """Whether bulk reads may open their own connections: the user chose no transport, mounts or limits."""


def settings(
    credentials: Credentials, max_connections: int, httpx_args: Mapping[str, Any], hide_location: Callable[..., Any]
) -> Settings:
    """Return the arguments of httpx's clients; `hide_location` becomes the last hook of responses.

    Raises:
        TypeError: If `httpx_args` contains a name that `Artanis` or the transport sets itself.
        CredentialsError: If the base URL, a proxy or a file with certificates cannot be used.
    """
    for name in sorted(httpx_args.keys() & _OWN_ARGUMENTS.keys()):
        raise TypeError(f"httpx_args cannot contain {name!r}: {_OWN_ARGUMENTS[name]}.")
    transport = httpx_args.get("transport")
    for name in sorted(httpx_args.keys() & getattr(transport, "own_arguments", set[str]())):
        raise TypeError(
            f"httpx_args cannot contain {name!r} beside {type(transport).__name__}: pass it to the transport."
        )
    try:
        base_url = httpx.URL(credentials.base_url)
        origin(base_url)  # decodes the host, which finds what is wrong with it
    except (httpx.InvalidURL, ValueError) as error:
        problem = Problem("base_url", credentials.sources["base_url"], "", f"cannot be used: {printable(str(error))}")
        raise CredentialsError.of(problem) from None
    arguments = dict(httpx_args)
    headers = {
        "user-agent": USER_AGENT,
        "accept": "application/json",
        "accept-encoding": ", ".join(_CODINGS),
        **httpx.Headers(arguments.pop("headers", None)),
    }
    of_requests = {"base_url": base_url, "headers": headers, "params": arguments.pop("params", None)}
    chosen = arguments.get("transport") or arguments.get("mounts") or "limits" in arguments
    hooks: dict[str, list[Any]] = arguments.get("event_hooks") or {}
    arguments["event_hooks"] = {**hooks, "response": [*hooks.get("response", []), hide_location]}
    # Our slots do the queueing: every request that is queued in httpx's pool slows down the rest.
    arguments.setdefault("limits", httpx.Limits(max_connections=None, max_keepalive_connections=max_connections))
    if arguments.get("http2"):
        for name in ("hpack.hpack", "hpack.table"):
            logging.getLogger(name).addFilter(_drop_debug)
    arguments["verify"] = _ssl_context(arguments)
    if arguments.get("proxy") is not None:
        arguments["proxy"] = _check_proxy(arguments["proxy"], "the argument proxy in httpx_args")
    elif arguments.get("trust_env", True) and not transport:
        arguments["proxy"] = environment_proxy(base_url)
    arguments["trust_env"] = False  # httpx fails if NO_PROXY contains an IPv6 network, and proxies loopback hosts
    return Settings(of_requests, arguments, not chosen)


def environment_proxy(url: httpx.URL) -> httpx.Proxy | None:
    """Return the proxy that the environment names for a URL; never one for this machine, which it could not reach.

    `NO_PROXY` may list domains, hosts with or without a port, addresses and networks, or `*`.

    Raises:
        CredentialsError: If it is not the URL of a proxy.
    """
    proxies = getproxies()
    scheme = url.scheme if proxies.get(url.scheme) else "all"
    if not proxies.get(scheme) or is_loopback(url.host) or url.host.endswith(".localhost"):
        return None
    excluded = proxies.get("no", "").replace(",", " ").split()
    port = "" if url.port else ":443" if url.scheme == "https" else ":80"
    if proxy_bypass(f"{url.netloc.decode()}{port}") or any(_matches(url.host, entry) for entry in excluded):
        return None
    proxy = proxies[scheme] if "://" in proxies[scheme] else f"http://{proxies[scheme]}"
    return _check_proxy(proxy, f"the environment ({scheme.upper()}_PROXY)")


def _matches(host: str, entry: str) -> bool:
    """Return whether an entry of NO_PROXY is a network that contains the host, a pattern, or an address in brackets."""
    entry = re.sub(r"[][]|.*://", "", entry.lower())
    try:
        return ip_address(host) in ip_network(entry, strict=False)
    except ValueError:
        return fnmatchcase(host, entry)


def _check_proxy(proxy: Any, source: str) -> httpx.Proxy:
    """Return a proxy; raise a CredentialsError that does not quote the URL, which may contain a password."""
    with contextlib.suppress(httpx.InvalidURL, ValueError):
        checked = proxy if isinstance(proxy, httpx.Proxy) else httpx.Proxy(proxy)
        after_host = f"{checked.url.path}{checked.url.query.decode()}{checked.url.fragment}"
        if checked.url.host and "@" not in after_host:  # else a / in the password has ended the host
            return checked
    raise CredentialsError(
        f"The proxy from {source} cannot be used. It must be a URL like http://user:password@proxy.example.com:3128 "
        "(or https or socks5), with special characters of the password percent-encoded."
    )


def _ssl_context(arguments: dict[str, Any]) -> ssl.SSLContext:
    """Return one TLS context for all clients of these arguments; with default ones, for the whole process."""
    trust_env = arguments.get("trust_env", True)
    if not arguments.keys() & {"verify", "cert", "http2"}:
        return _shared_ssl_context(trust_env, *map(os.environ.get, _TLS_VARIABLES))
    return ssl_context(arguments.pop("verify", True), arguments.pop("cert", None), trust_env=trust_env)


def ssl_context(verify: Any, cert: Any, *, trust_env: bool) -> ssl.SSLContext:
    """Return a TLS context for `verify` and `cert`, which mean what they mean for httpx.

    Raises:
        CredentialsError: If a file cannot be loaded.
        TypeError: If `cert` is passed beside an SSLContext, because others may use that.
    """
    import ssl

    if cert and isinstance(verify, ssl.SSLContext):
        raise TypeError("cert cannot be passed beside an SSLContext: call load_cert_chain() of the context instead.")
    chain: list[Any] = [*((cert,) if isinstance(cert, str | os.PathLike) else cert or ()), None, None]
    try:
        if isinstance(verify, str | os.PathLike):
            is_folder = os.path.isdir(cast(str, verify))  # noqa: PTH112
            context = ssl.create_default_context(**cast(Any, {"capath" if is_folder else "cafile": verify}))
        else:
            context = httpx.create_ssl_context(verify, trust_env=trust_env)
        if cert:
            context.load_cert_chain(chain[0], chain[1], chain[2] or "")  # with None, OpenSSL would ask the terminal
        return context
    except OSError as error:
        problem = printable(f"{error.strerror or error}")
    places: dict[str, Any] = {"verify": verify, "cert": chain[0], **os.environ}
    found = [f"{name}={places[name]}" for name in ("verify", "cert", *_TLS_VARIABLES) if places.get(name)]
    raise CredentialsError(f"TLS cannot be set up: {problem}. Check {', '.join(found)}.")


@functools.cache
def _shared_ssl_context(trust_env: bool, *_variables: str | None) -> ssl.SSLContext:
    """Return the TLS context of the whole process."""
    # Cached because loading the CA file takes 20 ms. A client certificate must never be added to it.
    return ssl_context(True, None, trust_env=trust_env)


def _drop_debug(record: logging.LogRecord) -> bool:
    """At DEBUG, hpack logs the value of every header."""
    return record.levelno > logging.DEBUG


def hide_location(response: Response) -> None:
    """Keep httpx from preparing to follow a redirect, which fails if the location is not a URL."""
    if response.has_redirect_location:
        response.extensions["artanis_location"] = response.headers.pop("location")


async def hide_location_async(response: Response) -> None:
    """Like `hide_location`."""
    hide_location(response)


def origin(url: httpx.URL) -> tuple[str, str, int | None]:
    """Return scheme, host and port."""
    return url.scheme, url.host, url.port


def is_repeatable(request: Request) -> bool:
    """Return whether the body is in memory, rather than a stream that the first attempt used up."""
    return isinstance(request.stream, httpx.ByteStream)


def check_timeout(timeout: Any) -> Timeout:
    """Return an httpx.Timeout without a pool timeout: our slots limit concurrency instead."""
    phases = ("connect", "read", "write")
    seconds = {phase: getattr(timeout, phase) if isinstance(timeout, Timeout) else timeout for phase in phases}
    for value in seconds.values():
        if value is not None:
            check_seconds("timeout", value)
    return Timeout(**seconds, pool=None)


def foreign_exception(error: Exception) -> Exception | None:
    """Return what a signal handler, a hook or other foreign code raised, if `error` is that or was mapped from it.

    httpx and httpcore map every TimeoutError and OSError that passes through them, whoever raised it.
    """
    modules = _modules(error)
    if isinstance(error, RequestError):
        if not (_HTTP_STACK.match(modules[-1]) or modules[-1].startswith("artanis_client.")):
            return None  # a transport of the user, or a mock, says that the network failed
    elif not any(module.startswith("httpcore") for module in modules):
        return error
    return next((each for each in _origins(error) if not _is_of_http_stack(each)), None)


def _is_of_http_stack(error: Exception) -> bool:
    """Return whether its innermost frame and its class are. httpx leaves some unmapped, such as late TLS alerts."""
    if isinstance(error, RequestError | MemoryError | RecursionError):
        return isinstance(error, RequestError)
    kind = type(error).__module__
    return bool(_HTTP_STACK.match(_modules(error)[-1]) and (kind == "builtins" or _HTTP_STACK.match(kind)))


def _modules(error: Exception) -> list[str]:
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


def remedy(error: Exception, cause: OSError | None) -> str:
    """Return what to do if another attempt would fail in the same way, else an empty string."""
    if type(cause).__name__ == "SSLCertVerificationError":
        return "If your organization has its own certificate authority, set SSL_CERT_FILE to its file or pass verify."
    if isinstance(error, httpx.ProxyError) and re.match(r"4(?!08|29)\d\d", str(error)):
        return "Check the proxy, and its user name and password."
    return ""


def operating_system_error(error: Exception) -> OSError | None:
    """Return what the operating system or TLS said, as a copy without frames: the innermost OSError."""
    found = [each for each in _origins(error) if isinstance(each, OSError)]
    return copy.copy(found[-1]) if found else None


def read_body(response: Response) -> None:
    """Read the body (of errors, only the start) and close the response."""
    body = _Body(response)
    try:
        for chunk in response.iter_bytes() if body.is_readable else ():
            if body.add(chunk):
                break
    except RequestError as error:
        body.cut_off(error)
    finally:
        response.close()
    body.finish()


async def aread_body(response: Response) -> None:
    """Like `read_body`."""
    body = _Body(response)
    try:
        if body.is_readable:
            async for chunk in response.aiter_bytes():
                if body.add(chunk):
                    break
    except RequestError as error:
        body.cut_off(error)
    finally:
        await response.aclose()
    body.finish()


class _Body:
    """Collects the chunks of a body, up to a limit."""

    def __init__(self, response: Response) -> None:
        self._response = response
        self._chunks: list[bytes] = []
        self._size = 0
        coding = response.headers.get("content-encoding", "").strip().lower()
        # Codings that we did not ask for, and layers of them, inflate without limit before the first chunk is seen.
        self.is_readable = coding in ("", "identity", *_CODINGS)
        if not self.is_readable:
            self._report(f"cannot be decoded (content-encoding {coding!r})")

    def add(self, chunk: bytes) -> bool:
        """Add a chunk; return whether that is enough."""
        self._chunks.append(chunk)
        self._size += len(chunk)
        if not self._response.is_success:
            return self._size >= MAX_ERROR_BODY + 4096  # more, so that a key at the cut is still found and redacted
        # JSON of this API never compresses to a hundredth; a body that does is meant to fill the memory.
        packed = "content-encoding" in self._response.headers and 100 * self._response.num_bytes_downloaded
        if packed and self._size > max(packed, 64 * 1024 * 1024):
            self._report("inflates to more than a hundred times its size")
            self._chunks.clear()
            return True
        return False

    def cut_off(self, error: RequestError) -> None:
        """Accept a truncated error body; raise for any other."""
        if isinstance(error, httpx.DecodingError):
            self._report(f"cannot be decoded ({error})")
        elif self._response.is_success or foreign_exception(error):
            raise error

    def _report(self, problem: str) -> None:
        if self._response.is_success:
            self._response.extensions["artanis_problem"] = problem

    def finish(self) -> None:
        # As httpx's own read() does, which cannot stop early.
        self._response._content = b"".join(self._chunks)  # pyright: ignore[reportPrivateUsage]

"""What depends on httpx: its arguments, proxies, TLS, cookies and timeouts.

This is the only module that imports httpx, so that replacing httpx means changing one file. `make successor` runs the
tests with httpx2, its successor, under the name httpx. On the day of the change: import httpx2 here, depend on it in
pyproject.toml, and regenerate with a generator that imports it, too. Nothing else in this file has to change.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import re
import sys
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from urllib.request import getproxies, proxy_bypass

import httpx as httpx  # for the other modules, too
from httpx import Request, Response, Timeout

from ._arguments import check_seconds
from ._credentials import Credentials, is_loopback
from ._errors import CredentialsError, Problem, printable
from ._shape import FINITE
from ._version import __version__

if TYPE_CHECKING:
    import ssl

DEFAULT_TIMEOUT = Timeout(60.0, connect=5.0, pool=None)  # seconds
USER_AGENT = f"artanis-client/{__version__} python/{sys.version.split()[0]} httpx/{httpx.__version__}"

CODINGS = ("gzip", "deflate")
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


class Cookieless:
    """Ignores cookies: the client must stay stateless, and extracting cookies takes 20 µs per call."""

    @property
    def cookies(self) -> httpx.Cookies:
        return _NoCookies()

    @cookies.setter
    def cookies(self, cookies: object) -> None:
        pass


class Client(Cookieless, httpx.Client):
    """An httpx client without cookies."""


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

    request_arguments: dict[str, Any]
    """For the client that builds requests."""
    connection_arguments: dict[str, Any]
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
        "accept-encoding": ", ".join(CODINGS),
        **httpx.Headers(arguments.pop("headers", None)),
    }
    request_arguments = {"base_url": base_url, "headers": headers, "params": arguments.pop("params", None)}
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
    return Settings(request_arguments, arguments, not chosen)


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
    advice = (
        "It must be a URL like http://user:password@proxy.example.com:3128 (or https or socks5), with special "
        "characters of the password percent-encoded."
    )
    raise CredentialsError.of(Problem("proxy", source, advice, "cannot be used"))


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
    names = ("verify", "cert", *_TLS_VARIABLES)
    found = [f"{name}={places[name]}" for name in names if places.get(name) not in (None, "", True)]
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

"""`artanis doctor`: from the configuration to an answer, step by step."""

from __future__ import annotations

import platform
import socket
import sys
import time
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import attrs
import click

from .._client import Artanis
from .._errors import (
    APIConnectionError,
    APIResponseValidationError,
    APIStatusError,
    ArtanisError,
    AuthenticationError,
    CredentialsError,
    NotFoundError,
    PermissionDeniedError,
)
from .._exit_codes import NEGATIVE, SUCCESS
from .._httpx import USER_AGENT
from ._app import State, api_options, in_words
from ._auth import probe
from ._output import escape, out, out_json, style

SKEW = 30  # seconds, from which it is worth a warning; the Date header has whole ones
EXPIRY = 14  # days
CONNECT_TIMEOUT = 5.0  # seconds
_COLOURS = {"ok": "green", "warning": "yellow", "failed": "red"}


@attrs.frozen
class Check:
    """One line of the report."""

    name: str
    status: Literal["ok", "warning", "failed"]
    detail: str
    remedy: str = ""
    seconds: float | None = None


@click.command()
@api_options
@click.pass_obj
def doctor(state: State) -> int:
    """Say what keeps the client from working, and what to do about it.

    Looks at versions, configuration, proxy, DNS, TCP, TLS, HTTP, authentication, organization, project and clock. Exits
    with 1 if something has failed; warnings alone are 0. The output holds no key, and so can go into a ticket.
    """
    checks: list[Check] = []
    for check in _checks(state):
        checks.append(check)
        if state.output == "jsonl":
            out_json(attrs.asdict(check), indent=None)
        elif not state.output:
            _show(check)
            sys.stdout.flush()
    is_well = all(check.status != "failed" for check in checks)
    if state.output == "json":
        out_json({"ok": is_well, "checks": [attrs.asdict(check) for check in checks]})
    return SUCCESS if is_well else NEGATIVE


def _show(check: Check) -> None:
    took = f" ({check.seconds * 1000:.0f} ms)" if check.seconds is not None else ""
    status = style(f"{check.status:8}", _COLOURS[check.status], bold=check.status == "failed")
    out(f"{status} {check.name:15} {escape(check.detail)}{took}")
    if check.remedy:
        out(f"{'':24} -> {escape(check.remedy)}")


def _checks(state: State) -> Iterator[Check]:
    yield Check("versions", "ok", f"{USER_AGENT} {platform.system()}/{platform.release()}")
    dates: list[tuple[str, float]] = []

    def note_date(response: Any) -> None:
        dates.append((response.headers.get("date", ""), time.time()))

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            client = state.connect(
                needs_project=False, max_retries=0, httpx_args={"event_hooks": {"response": [note_date]}}
            )
        except (CredentialsError, ValueError) as error:
            yield Check("configuration", "failed", in_words(str(error)), "artanis auth login")
            return
    with client:
        yield from _configuration(client)
        for warning in caught:
            yield Check("configuration", "warning", str(warning.message), "Do what it says.")
        is_reached = True
        for check in _reach(client):
            yield check
            is_reached = is_reached and check.status != "failed"
        if is_reached:
            yield from _ask(client)
    for date, arrived in dates[-1:]:
        yield from _clock(date, arrived)


def _configuration(client: Artanis) -> Iterator[Check]:
    credentials = client._credentials
    sources = {name: in_words(source) for name, source in credentials.sources.items()}
    yield Check("configuration", "ok", f"API key from {sources['api_key']}")
    yield Check("configuration", "ok", f"organization {credentials.org_slug} from {sources['org_slug']}")
    yield Check("configuration", "ok", f"base URL {credentials.base_url} from {sources['base_url']}")
    for project in credentials.project.values():
        yield Check("configuration", "ok", f"project {project} from {sources['project']}")
    if not credentials.project:
        yield Check("configuration", "warning", "no project", f"Pass --project, or {credentials.project_advice}.")


def _reach(client: Artanis) -> Iterator[Check]:
    """DNS, TCP and TLS of the API, or of the proxy in front of it."""
    url = urlsplit(client._credentials.base_url)
    host = url.hostname or ""
    proxies = getproxies()
    proxy = "" if proxy_bypass(host) else proxies.get(url.scheme) or proxies.get("all") or ""
    if proxy:
        url = urlsplit(proxy if "//" in proxy else f"//{proxy}", scheme="http")
        host = url.hostname or ""
        where = f"{url.scheme}://{host}" + (f":{url.port}" if url.port else "")
        yield Check("proxy", "ok", f"{where}, from the environment; DNS, TCP and TLS below are the proxy's")
    port = url.port or {"https": 443, "socks5": 1080, "socks5h": 1080}.get(url.scheme, 80)
    started = time.perf_counter()
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        remedy = "Check the name in the base URL (or of the proxy), the network, and the name server."
        yield Check("dns", "failed", f"{host}: {_reason(error)}", remedy, time.perf_counter() - started)
        return
    found = ", ".join(dict.fromkeys(str(address[4][0]) for address in addresses))
    yield Check("dns", "ok", f"{host} is {found}", "", time.perf_counter() - started)
    started = time.perf_counter()
    try:
        connection = socket.create_connection((host, port), CONNECT_TIMEOUT)
    except OSError as error:
        remedy = "Check the port, the firewall, and whether a proxy is needed (HTTPS_PROXY)."
        yield Check("tcp", "failed", f"{host}:{port}: {_reason(error)}", remedy, time.perf_counter() - started)
        return
    with connection:
        yield Check("tcp", "ok", f"connected to {connection.getpeername()[0]}", "", time.perf_counter() - started)
        if url.scheme == "https":
            yield _tls(client, connection, host)


def _tls(client: Artanis, connection: socket.socket, host: str) -> Check:
    context = client._http.connections.settings.of_connections["verify"]
    started = time.perf_counter()
    try:
        with context.wrap_socket(connection, server_hostname=host) as secured:
            took, version, certificate = time.perf_counter() - started, secured.version(), secured.getpeercert()
    except OSError as error:
        remedy = "Check the base URL and the clock. With a CA of your own, as of a proxy, set SSL_CERT_FILE to it."
        return Check("tls", "failed", _reason(error), remedy, time.perf_counter() - started)
    import ssl

    days = (ssl.cert_time_to_seconds(certificate["notAfter"]) - time.time()) / 86400
    detail = f"{version}, certificate good for {days:.0f} days"
    if days < EXPIRY:
        return Check("tls", "warning", detail, "Whoever runs the server has to renew its certificate.", took)
    return Check("tls", "ok", detail, "", took)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _ask(client: Artanis) -> Iterator[Check]:
    """One request, and what its answer says of everything from HTTP to the project."""
    credentials = client._credentials
    project = next(iter(credentials.project.values()), "")
    started = time.perf_counter()
    failure: ArtanisError | None = None
    verdict = ""
    try:
        verdict = probe(client)
    except ArtanisError as error:
        failure = error
    took = time.perf_counter() - started
    said = "" if failure is None else in_words(str(failure))
    if isinstance(failure, APIConnectionError):
        yield Check("http", "failed", said, "Check the proxy and the network; a longer --timeout may help.", took)
        return
    if isinstance(failure, APIResponseValidationError):
        yield Check("http", "failed", said, "Check that the base URL is that of Artanis; else: artanis contract", took)
        return
    known = AuthenticationError | PermissionDeniedError | NotFoundError
    if isinstance(failure, APIStatusError) and not isinstance(failure, known):
        yield Check("http", "failed", said, "The message says what to do.", took)
        return
    if failure is not None and not isinstance(failure, known):  # as of a command that should print the key
        yield Check("authentication", "failed", said, "Check where the API key comes from.")
        return
    yield Check("http", "ok", "the API answers", "", took)
    if isinstance(failure, AuthenticationError):
        yield Check("authentication", "failed", said, "artanis auth login, with a key that is not revoked")
        return
    yield Check("authentication", "ok" if project else "warning", "the key is accepted" if project else verdict)
    if isinstance(failure, PermissionDeniedError):
        yield Check("organization", "failed", said, "Check the organization: is the project, and the key, of it?")
    elif isinstance(failure, NotFoundError):
        yield Check("project", "failed", said, f"There is no project {project}: check its slug or id.")
    elif project:
        yield Check("organization", "ok", f"{credentials.org_slug} may be read")
        yield Check("project", "ok", f"{project}: {verdict.rpartition(' and the project ')[2]}")


def _clock(date: str, arrived: float) -> Iterator[Check]:
    try:
        theirs = parsedate_to_datetime(date)
    except ValueError:  # it has no date, or none that is one
        return
    theirs = theirs if theirs.tzinfo else theirs.replace(tzinfo=UTC)
    skew = (datetime.fromtimestamp(arrived, UTC) - theirs).total_seconds()
    detail = f"this machine's is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the server's"
    if -1 <= skew < 2:  # the header has whole seconds, and the answer took a while
        detail = "this machine's agrees with the server's"
    if abs(skew) > SKEW:
        yield Check("clock", "warning", detail, "Set the clock, best by NTP: TLS and dates depend on it.")
    else:
        yield Check("clock", "ok", detail)

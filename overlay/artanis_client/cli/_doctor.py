"""`artanis doctor`: checks each step from the configuration to a response of the API."""

from __future__ import annotations

import platform
import socket
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal

import attrs
import click

from .. import _errors
from .._client import Artanis, credentials_of, tls_context_of
from .._errors import ArtanisError, CredentialsError
from .._httpx import USER_AGENT, environment_proxy, httpx
from ._auth import describe, probe
from ._exit_codes import NEGATIVE, SUCCESS
from ._messages import MISSING_PROJECT, name_source
from ._options import State, api_options, usage_examples
from ._output import escape, out, out_object, style

MAX_SKEW = 30  # seconds between this machine's clock and the server's
MIN_VALIDITY = 14  # days
CONNECT_TIMEOUT = 5.0  # seconds
_COLOURS = {"ok": "green", "warning": "yellow", "failed": "red"}
# An error, and the check that it fails. The first match applies.
_FAILURES: list[tuple[Any, str]] = [
    (_errors.AuthenticationError, "authentication"),
    (_errors.PermissionDeniedError, "organization"),
    (_errors.NotFoundError, "project"),
    (_errors.APIConnectionError | _errors.APIResponseValidationError | _errors.APIStatusError, "http"),
    (ArtanisError, "authentication"),  # such as a failed api_key_command
]
_NO_ADVICE = "Correct the setting or file that the message names."


@attrs.frozen
class Check:
    """One line of the report."""

    name: str
    status: Literal["ok", "warning", "failed"]
    detail: str
    remedy: str = ""
    seconds: float | None = None


@click.command(epilog=usage_examples("artanis doctor", "artanis doctor --profile staging --json"))
@api_options
def doctor(state: State) -> int:
    """Diagnose why the client does not work.

    Checks versions, configuration, proxy, DNS, TCP, TLS, HTTP, authentication, organization, project and clock. Exits
    with 1 if a check failed, but not for warnings. The output contains no key, so you can paste it into a ticket.
    """
    checks: list[Check] = []
    for check in _run_checks(state):
        checks.append(check)
        if state.output == "jsonl":
            out_object(state.output, attrs.asdict(check))
        elif not state.output:
            _show(check)
            sys.stdout.flush()
    is_ok = all(check.status != "failed" for check in checks)
    if state.output == "json":
        out_object(state.output, {"ok": is_ok, "checks": [attrs.asdict(check) for check in checks]})
    return SUCCESS if is_ok else NEGATIVE


def _show(check: Check) -> None:
    duration = f" ({check.seconds * 1000:.0f} ms)" if check.seconds is not None else ""
    status = style(f"{check.status:8}", _COLOURS[check.status], bold=check.status == "failed")
    out(f"{status} {check.name:15} {escape(check.detail)}{duration}")
    if check.remedy:
        out(f"{'':24} -> {escape(check.remedy)}")


def _run_checks(state: State) -> Iterator[Check]:
    yield Check("versions", "ok", f"{USER_AGENT} {platform.system()}/{platform.release()}")
    dates: list[tuple[str, float]] = []

    def note_date(response: Any) -> None:
        dates.append((response.headers.get("date", ""), time.time()))

    hooks = {"event_hooks": {"response": [note_date]}}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            client = state.connect(needs_project=False, max_retries=0, httpx_args=hooks)
        except (CredentialsError, ValueError) as error:
            yield from _report_configuration(error, state)
            return
    with client:
        yield from _check_configuration(client)
        for warning in caught:
            detail = str(warning.message)
            yield Check("configuration", "warning", detail, detail.rpartition(": ")[2])  # such as chmod 600 …
        is_reachable = True
        for check in _check_network(client):
            yield check
            is_reachable = is_reachable and check.status != "failed"
        if is_reachable:
            yield from _check_request(client, state)
    for date, arrived in dates[-1:]:
        yield from _check_clock(date, arrived)


def _report_configuration(error: CredentialsError | ValueError, state: State) -> Iterator[Check]:
    """Report why there is no client; a missing project with the other settings that are missing."""
    problems = error.problems if isinstance(error, CredentialsError) else ()
    if isinstance(error, CredentialsError) and state.lacks_project(error):
        error = CredentialsError.of(*problems, MISSING_PROJECT)
    name = "proxy" if [problem.field for problem in problems] == ["proxy"] else "configuration"
    for problem, advice in state.explain(error):
        yield Check(name, "failed", problem, advice or _NO_ADVICE)


def _check_configuration(client: Artanis) -> Iterator[Check]:
    credentials = credentials_of(client)
    sources = {field: name_source(source) for field, source in credentials.sources.items()}
    yield Check("configuration", "ok", f"API key from {sources['api_key']}")
    yield Check("configuration", "ok", f"organization {credentials.org_slug} from {sources['org_slug']}")
    yield Check("configuration", "ok", f"base URL {credentials.base_url} from {sources['base_url']}")
    for project in credentials.project.values():
        yield Check("configuration", "ok", f"project {project} from {sources['project']}")
    if not credentials.project:
        yield Check("configuration", "warning", "no project", f"Pass --project, or {credentials.project_advice}.")


def _check_network(client: Artanis) -> Iterator[Check]:
    """Check DNS, TCP and TLS of the API, or of the proxy in front of it."""
    url = httpx.URL(credentials_of(client).base_url)
    if proxy := environment_proxy(url):
        url = proxy.url
        address = f"{url.scheme}://{url.netloc.decode()}"
        yield Check("proxy", "ok", f"{address}, from the environment; the next checks are of the proxy")
    host = url.host
    port = url.port or {"https": 443, "socks5": 1080, "socks5h": 1080}.get(url.scheme, 80)
    found, problem, seconds = _try(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    if problem:
        remedy = "Check the host in the base URL (or of the proxy), the network and the name server."
        yield Check("dns", "failed", f"{host}: {problem}", remedy, seconds)
        return
    addresses = ", ".join(dict.fromkeys(str(address[4][0]) for address in found))
    yield Check("dns", "ok", f"{host} is {addresses}", "", seconds)
    connection, problem, seconds = _try(socket.create_connection, (host, port), CONNECT_TIMEOUT)
    if problem:
        remedy = "Check the port and the firewall, and whether you need a proxy (HTTPS_PROXY)."
        yield Check("tcp", "failed", f"{host}:{port}: {problem}", remedy, seconds)
        return
    with connection:
        yield Check("tcp", "ok", f"connected to {connection.getpeername()[0]}", "", seconds)
        if url.scheme == "https":
            yield _check_tls(client, connection, host)


def _check_tls(client: Artanis, connection: socket.socket, host: str) -> Check:
    secured, problem, seconds = _try(tls_context_of(client).wrap_socket, connection, server_hostname=host)
    if problem:
        remedy = "Check the base URL and the clock. If you use a CA of your own, set SSL_CERT_FILE to its certificate."
        return Check("tls", "failed", problem, remedy, seconds)
    import ssl

    with secured:
        days = (ssl.cert_time_to_seconds(secured.getpeercert()["notAfter"]) - time.time()) / 86400
        detail = f"{secured.version()}, certificate valid for {days:.0f} days"
    if days < MIN_VALIDITY:
        return Check("tls", "warning", detail, "The operator of the server should renew the certificate.", seconds)
    return Check("tls", "ok", detail, "", seconds)


def _try(function: Callable[..., Any], *arguments: Any, **options: Any) -> tuple[Any, str, float]:
    """Call a function, and return its result, why it failed, and the seconds that it took."""
    result, problem, started = None, "", time.perf_counter()
    try:
        result = function(*arguments, **options)
    except (OSError, UnicodeError) as error:
        problem = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return result, problem, time.perf_counter() - started


def _check_request(client: Artanis, state: State) -> Iterator[Check]:
    """Send one request, and report what its outcome says about HTTP, the key, the organization and the project."""
    started = time.perf_counter()
    try:
        prompts = probe(client)
    except ArtanisError as error:
        [(detail, advice), *_] = state.explain(error)
        source = credentials_of(client).sources["api_key"]
        if isinstance(error, _errors.AuthenticationError) and source.startswith("profile"):
            advice += " Run 'artanis auth login' to replace it."
        yield from _report_failure(error, detail, advice, time.perf_counter() - started)
        return
    credentials = credentials_of(client)
    yield Check("http", "ok", "the API responds", "", time.perf_counter() - started)
    if prompts is None:
        yield Check("authentication", "warning", describe(prompts))
    for project in credentials.project.values():
        yield Check("authentication", "ok", "the key is accepted")
        yield Check("organization", "ok", f"{credentials.org_slug} can be read")
        yield Check("project", "ok", f"{project} has {prompts} prompts")


def _report_failure(error: ArtanisError, detail: str, advice: str, seconds: float) -> Iterator[Check]:
    """Report the check that failed, and before it those that must have passed."""
    name = next(name for kind, name in _FAILURES if isinstance(error, kind))
    remedy = advice or (_NO_ADVICE if name == "authentication" else "Check that the base URL points to Artanis.")
    if name == "http":
        yield Check(name, "failed", detail, remedy, seconds)
        return
    if isinstance(error, _errors.APIStatusError):
        yield Check("http", "ok", "the API responds", "", seconds)
        if name != "authentication":
            yield Check("authentication", "ok", "the key is accepted")
    yield Check(name, "failed", detail, remedy)


def _check_clock(date: str, arrived: float) -> Iterator[Check]:
    try:
        server_time = parsedate_to_datetime(date)
    except ValueError:  # there is no Date header, or it is not a date
        return
    server_time = server_time if server_time.tzinfo else server_time.replace(tzinfo=UTC)
    skew = (datetime.fromtimestamp(arrived, UTC) - server_time).total_seconds()
    if abs(skew) <= MAX_SKEW:
        yield Check("clock", "ok", "this machine agrees with the server")
    else:
        detail = f"this machine is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the server"
        yield Check("clock", "warning", detail, "Set the clock, best with NTP: TLS and dates depend on it.")

"""The options that several commands share, and the client that they configure."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import click

from .._arguments import check_seconds
from .._client import Artanis, credentials_of
from .._credentials import Credentials
from .._errors import CredentialsError
from .._periods import filter_by_period
from ._exit_codes import USAGE
from ._messages import MISSING_PROJECT, Explanation, explain, explain_problem, selected_profile

F = TypeVar("F", bound=Callable[..., Any])


class Failure(click.ClickException):
    """The end of a command, with a message and an exit status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class State:
    """The values of the shared options."""

    def __init__(self) -> None:
        self.output = ""
        """`json`, `jsonl`, or empty: text for people."""
        self.debug = False
        self.connection: dict[str, Any] = {}
        """Arguments of `Artanis`."""
        self.credentials: Credentials | None = None
        """The credentials of the client, once there is one."""

    def connect(self, *, needs_project: bool = True, **arguments: Any) -> Artanis:
        """Return a client; raise CredentialsError, ValueError or Failure if the options do not allow one."""
        if self.connection.keys() >= {"project_slug", "project_id"}:
            raise ValueError("Pass --project or --project-id, not both.")
        if "timeout" in self.connection:
            check_seconds("--timeout", self.connection["timeout"])
        try:
            client = Artanis(**self.connection, **arguments)
        except CredentialsError as error:
            if needs_project and self.lacks_project(error):
                raise CredentialsError.of(*error.problems, MISSING_PROJECT) from None
            raise
        self.credentials = credentials_of(client)
        if needs_project and not self.credentials.project:
            client.close()
            raise Failure(str(explain_problem(MISSING_PROJECT, self._profile)), USAGE)
        return client

    def explain(self, error: Exception) -> list[Explanation]:
        """Return what went wrong and what to do, without the key."""
        found = explain(error, self.credentials, self._profile)
        return [Explanation(*map(self.redact, explanation)) for explanation in found]

    def redact(self, text: str) -> str:
        """Return `text` without the key: only the library's own exceptions are redacted already."""
        known = self.credentials and self.credentials.key.known
        return known.redact(text) if known else text

    @property
    def _profile(self) -> str:
        return selected_profile(self.connection.get("profile"))

    def lacks_project(self, error: CredentialsError) -> bool:
        """Return whether the project is missing besides what the error reports as missing."""
        stand_ins: dict[str, Any] = {problem.field: "-" for problem in error.problems if not problem.source}
        with suppress(CredentialsError), Artanis(**{**self.connection, **stand_ins}) as client:
            return not credentials_of(client).project
        return False


class NonEmptyPath(click.Path):
    """A path. An empty one, as from an unset variable of a shell, would be the current directory."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path; raise BadParameter if it is empty."""
        return super().convert(value or self.fail("The path is empty.", param, ctx), param, ctx)


def refuse_empty(_: click.Context, __: click.Parameter, value: Any) -> Any:
    """Raise BadParameter for an empty value, which would otherwise be replaced by a default."""
    if value == "":
        raise click.BadParameter("The value is empty.")
    return value


def _store_connection(ctx: click.Context, parameter: click.Parameter, value: Any) -> None:
    refuse_empty(ctx, parameter, value)
    if value is not None and value is not False and not ctx.resilient_parsing:
        ctx.obj.connection[parameter.name] = value


def _store_output(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        if ctx.obj.output:
            raise click.UsageError("--json and --jsonl exclude each other.", ctx)
        ctx.obj.output = parameter.name


def _store_debug(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        ctx.obj.debug = True
        log, handler = logging.getLogger("artanis_client"), logging.StreamHandler()
        log.setLevel(logging.INFO)  # retries
        log.addHandler(handler)
        ctx.call_on_close(lambda: log.removeHandler(handler))


def _check_period(ctx: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Check a date by the rules of the library, and report it by the name of its option."""
    alone: dict[str, Any] = {"since": None, "until": None, str(parameter.name): value}
    try:
        filter_by_period(**alone)
    except ValueError:
        example = "2026-04, 2026-04-08 or 2026-04-08T09:30Z"
        raise click.BadParameter(f"{value!r} is not an ISO 8601 date such as {example}.") from None
    try:  # with the other option, if that was parsed first
        filter_by_period(**{name: date or ctx.params.get(name) for name, date in alone.items()})
    except ValueError:
        raise click.UsageError("--since is later than --until.") from None
    return value


def _on_error(_: click.Context, __: click.Parameter, skip: bool) -> str:
    return "skip" if skip else "raise"  # with flag_value and default, old versions of click always return "skip"


def none_if_empty(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return the values of an option that can be repeated, as the library expects them."""
    return values or None


def _combine(*options: Callable[[Any], Any]) -> Callable[[F], F]:
    """Return one decorator for several options, which the help shows in this order."""
    return lambda command: functools.reduce(lambda command, option: option(command), reversed(options), command)


_connection = functools.partial(click.option, expose_value=False, callback=_store_connection)
_output = functools.partial(click.option, is_flag=True, expose_value=False, callback=_store_output)
_date = functools.partial(click.option, metavar="WHEN", callback=_check_period)

allow_http_help = "Allow http:// to a host other than this machine."

output_options = _combine(
    _output("--json", help="Print JSON."),
    _output("--jsonl", help="Print one JSON object per line."),
    _output("--debug", callback=_store_debug, help="Show retries, and the traceback of an error."),
    click.pass_obj,
)
"""Options of every command, which gets the `State` as its first argument."""

api_options = _combine(
    _connection("--profile", metavar="NAME", help="Use only this profile."),
    _connection("--org", "org_slug", metavar="SLUG", help="Organization to read from."),
    _connection("--project", "project_slug", metavar="SLUG", help="Project to read, by its slug."),
    _connection("--project-id", metavar="ID", help="Project to read, by its id."),
    _connection("--base-url", metavar="URL", help="URL of the API, if you host it yourself or use the sandbox."),
    _connection("--allow-http", is_flag=True, help=allow_http_help),
    _connection(
        "--timeout",
        type=float,
        metavar="SECONDS",
        help="Timeout to connect, and of each read and write, not of the whole request (default 5 and 60).",
    ),
    output_options,
)
"""Options of every command that calls the API."""

period_options = _combine(
    _date("--since", help="Only traces created since 2026-04, 2026-04-08 or 2026-04-08T09:30Z."),
    _date("--until", help="Only traces created until then. A day or month is included completely."),
)
"""Options that filter traces by when they were created."""

bulk_options = _combine(
    click.option("--step", "steps", multiple=True, callback=none_if_empty, help="Only this step. Can be repeated."),
    period_options,
    click.option("--concurrency", type=click.IntRange(1), default=16, show_default=True, help="Requests in flight."),
    click.option("--skip-errors", "on_error", is_flag=True, callback=_on_error, help="Skip unreadable traces."),
)
"""Options of every command that reads many traces, with the names of the library's arguments."""

"""The options that several commands share, and the client that they configure."""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from warnings import catch_warnings, simplefilter

import click

from .._arguments import check_seconds
from .._client import Artanis, credentials_of
from .._credentials import Credentials, config_path, parse_profiles
from .._errors import ArtanisError, CredentialsError
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
            client = Artanis(**{**self.connection, **arguments})
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


class Group(click.Group):
    """A group of commands, which takes the options of all API commands before the name of the command, too."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the group's own options and the common ones, for the help and for completion."""
        *own, help_option = super().get_params(ctx)
        return [*own, *_common_options(), help_option]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Move the common options behind the name of the command."""
        takes_value = {name: not option.is_flag for option in _common_options() for name in option.opts}
        end = 0
        while end < len(args) and (name := args[end].partition("=")[0]) in takes_value:
            end += 1 + (takes_value[name] and "=" not in args[end])
        if end > len(args):  # the value of the last one is missing, which click reports
            end = 0
        super().parse_args(ctx, args[end:])
        ctx.args = [*args[:end], *ctx.args]
        return ctx.args

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the whole first sentence of each command, which click would cut."""
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        summaries = [(name, command.help.split("\n\n")[0]) for name, command in commands if command and command.help]
        with formatter.section("Commands"):
            formatter.write_dl([(name, " ".join(text.split()).split(". ")[0]) for name, text in summaries])


def usage_examples(*commands: str) -> str:
    """Return the end of a help text: commands to copy."""
    return "\n".join(["\b", "Examples:", *(f"  {command}" for command in commands)])


@functools.cache
def _common_options() -> list[click.Option]:
    def command() -> None: ...

    found = click.command()(api_options(command)).params
    return [option for option in found if isinstance(option, click.Option)]


class NonEmptyPath(click.Path):
    """A path. An empty one, as from an unset variable of a shell, would be the current directory; `-` is a stream."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path; raise BadParameter if it is empty, or a stream in place of a directory."""
        if value == "-" and self.dir_okay:
            self.fail("A directory cannot be a stream. Write ./- if it has that name.", param, ctx)
        return super().convert(value or self.fail("The path is empty.", param, ctx), param, ctx)


def refuse_empty(_: click.Context, __: click.Parameter, value: Any) -> Any:
    """Raise BadParameter for an empty value, which would otherwise be replaced by a default."""
    if value == "":
        raise click.BadParameter("The value is empty.")
    return value


def _store_connection(ctx: click.Context, parameter: click.Parameter, value: Any) -> None:
    refuse_empty(ctx, parameter, value)
    if value is not None and value is not False:
        ctx.obj.connection[parameter.name] = value


def _store_output(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value:
        if ctx.obj.output not in ("", parameter.name):
            raise click.UsageError("--json and --jsonl exclude each other.", ctx)
        ctx.obj.output = parameter.name


def _store_debug(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        ctx.obj.debug = True
        log, handler = logging.getLogger("artanis_client"), logging.StreamHandler()
        log.setLevel(logging.INFO)  # retries
        log.addHandler(handler)
        ctx.call_on_close(lambda: log.removeHandler(handler))


def complete_profile(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """Return the profiles of the configuration file, for completion in a shell."""
    with suppress(OSError, UnicodeError):
        profiles = parse_profiles(config_path()[0].read_text(encoding="utf-8-sig"), "")[0]
        return [name for name in profiles if name.startswith(incomplete)]
    return []


def complete_step(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Return the steps that have a prompt, for completion in a shell, which must neither fail nor wait for long."""
    found: list[Any] = []
    with suppress(ArtanisError, OSError, ValueError, click.ClickException), catch_warnings():
        simplefilter("ignore")
        with ctx.obj.connect(timeout=2, max_retries=0) as client:
            found = client.prompts.list()
    return [prompt.step_id for prompt in found if prompt.step_id.startswith(incomplete)]


def _find_start(value: str | None) -> str | None:
    """Return the date of `30d` and `2w` (before today in UTC), the time of `12h` (before now), other text as it is."""
    match = re.fullmatch(r"([0-9]{1,6})([hdw])", value or "")
    if match is None:
        return value
    unit = {"h": "hours", "d": "days", "w": "weeks"}[match[2]]
    with suppress(OverflowError):
        start = datetime.now(UTC) - timedelta(**{unit: int(match[1])})
        return start.strftime("%Y-%m-%dT%H:%M:%SZ" if unit == "hours" else "%Y-%m-%d")
    return value  # before the year 1


def _check_period(ctx: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Check a date by the rules of the library, and report it by the name of its option."""
    value = _find_start(value)
    alone: dict[str, Any] = {"since": None, "until": None, str(parameter.name): value}
    try:
        filter_by_period(**alone)
    except ValueError:
        example = "2026-04, 2026-04-08 or 2026-04-08T09:30Z, nor a period such as 30d or 12h"
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
    _connection(
        "--profile",
        metavar="NAME",
        shell_complete=complete_profile,
        help="Use only this profile. Environment: ARTANIS_PROFILE.",
    ),
    _connection("--org", "org_slug", metavar="SLUG", help="Organization to read from. Environment: ARTANIS_ORG_SLUG."),
    _connection(
        "--project",
        "project_slug",
        metavar="SLUG",
        help="Project to read, by its slug. Environment: ARTANIS_PROJECT_SLUG.",
    ),
    _connection("--project-id", metavar="ID", help="Project to read, by its id."),
    _connection(
        "--base-url",
        metavar="URL",
        help="URL of the API, if you host it yourself or use the sandbox. Environment: ARTANIS_BASE_URL.",
    ),
    _connection("--allow-http", is_flag=True, help=allow_http_help),
    _connection(
        "--max-retries",
        type=click.IntRange(min=0),
        metavar="N",
        help="How often to repeat a request that failed in a transient way (default 2).",
    ),
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
    _date(
        "--since",
        help="Only traces created since then: 2026-04, 2026-04-08 or 2026-04-08T09:30Z, or 30d, 2w or 12h ago (UTC).",
    ),
    _date("--until", help="Only traces created until then. A day or month is included completely."),
)
"""Options that filter traces by when they were created."""

bulk_options = _combine(
    click.option(
        "--step",
        "steps",
        metavar="STEP",
        multiple=True,
        callback=none_if_empty,
        shell_complete=complete_step,
        help="Only this step. Can be repeated.",
    ),
    period_options,
    click.option("--concurrency", type=click.IntRange(1), default=16, show_default=True, help="Requests in flight."),
    click.option("--skip-errors", "on_error", is_flag=True, callback=_on_error, help="Skip unreadable traces."),
)
"""Options of every command that reads many traces, with the names of the library's arguments."""

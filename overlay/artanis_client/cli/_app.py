"""The group of all commands, the options that they share, and what becomes of errors."""

from __future__ import annotations

import functools
import io
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, TypeVar

import click

from .._client import Artanis
from .._secret import Key
from .._exit_codes import API, CREDENTIALS, INTERRUPTED, SUCCESS, USAGE, exit_code_of
from .._version import __version__
from ._output import complain, note

_COMMANDS = {
    "auth": ("_auth", "Log in and out; say which credentials are used, and whether they work."),
    "completion": ("_tools", "Print the script that completes commands and options in a shell."),
    "contract": ("_tools", "Hold the live API against the contract."),
    "doctor": ("_doctor", "Say what keeps the client from working, and what to do about it."),
    "prompts": ("_prompts", "List, show and compare prompts, and pull them into a directory."),
    "report": ("_report", "Say how often reviewers accepted what each step returned."),
    "sandbox": ("_tools", "Serve the API with made-up data on this machine."),
    "traces": ("_traces", "List and show traces, and export what reviewers made of them."),
}

# The library's messages name arguments of Python.
_WORDS = {
    "pass api_key=…, ": "",
    "pass org_slug=…": "pass --org",
    "pass allow_http=True": "pass --allow-http",
    "pass force=True": "pass --force",
    "pass format: ": "pass --format: ",
    "start over with resume=False": "start over without --resume",
    "the argument api_key": "what was entered",
    "the argument base_url": "--base-url",
    "the argument org_slug": "--org",
    "the argument project_slug": "--project",
    "the argument project_id": "--project-id",
    "(max_connections)": "(--concurrency)",
    "project_slug and project_id are both given": "--project and --project-id are both given",
}

_ADVICE = {
    CREDENTIALS: "'artanis auth login' writes a profile, 'artanis auth status' says which values are used.",
    API: "'artanis doctor' looks for the cause.",
}

F = TypeVar("F", bound=Callable[..., Any])


class Failure(click.ClickException):
    """An end with a status and a line of its own."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class State:
    """What the options that all commands share have said."""

    def __init__(self) -> None:
        self.output = ""
        """`json`, `jsonl`, or nothing: for people."""
        self.debug = False
        self.connection: dict[str, Any] = {}
        """Arguments of `Artanis`."""
        self.key: Key | None = None

    def connect(self, *, needs_project: bool = True, **arguments: Any) -> Artanis:
        client = Artanis(**self.connection, **arguments)
        credentials = client._credentials
        self.key = credentials.key
        if needs_project and not credentials.project:
            client.close()
            raise Failure(f"No project. Pass --project, or {credentials.project_advice}.", USAGE)
        return client

    def redact(self, text: str) -> str:
        """`text` without the key, for exceptions that the library has not made and so not redacted."""
        known = None if self.key is None else self.key.known
        return text if known is None else known.redact(text)


def in_words(text: str) -> str:
    """A message of the library in the words of the command line."""
    return functools.reduce(lambda text, pair: text.replace(*pair), _WORDS.items(), text)


class _Commands(click.Group):
    """Loads the module of a command when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = getattr(import_module(f".{_COMMANDS[cmd_name][0]}", __package__), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in _COMMANDS.items()])


def _explain(error: Exception, state: State) -> int:
    """Say in a line or two what went wrong, with `--debug` also where."""
    code = exit_code_of(error)
    if state.debug:
        note(state.redact("".join(traceback.format_exception(error)).rstrip()))
    if code is None:
        complain(state.redact(f"{type(error).__name__}: {error}"))
        note("This is a mistake in artanis-client. Please report it, with what --debug shows.")
        return API
    text = in_words(str(error))
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    if isinstance(error, ImportError) and (error.name or "").partition(".")[0] in ("rich", "tomlkit"):
        text = "the command line needs an extra: pip install 'artanis-client[cli]'"
    complain(text)
    if code in _ADVICE:
        note(_ADVICE[code])
    return code


def _warn(message: Warning | str, *_: object, **__: object) -> None:
    complain(f"warning: {message}")


def run(arguments: Sequence[str]) -> int:
    """Run a command line and return its exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if instruction := os.environ.get("_ARTANIS_COMPLETE"):
        from click.shell_completion import shell_complete

        return shell_complete(artanis, {}, "artanis", "_ARTANIS_COMPLETE", instruction)
    with warnings.catch_warnings():
        warnings.showwarning = _warn
        return _flushed(_status(arguments))


def _status(arguments: Sequence[str]) -> int:
    """What becomes of a command line. Not `artanis.main`, because click has statuses of its own for some errors."""
    state = State()
    try:
        with artanis.make_context("artanis", [*arguments], obj=state) as context:
            return artanis.invoke(context) or SUCCESS
    except click.exceptions.Exit as end:
        return end.exit_code
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except click.ClickException as error:
        complain(error.format_message())
        if isinstance(error, click.UsageError) and error.ctx is not None:
            note(f"'{error.ctx.command_path} --help' says more.")
        return error.status if isinstance(error, Failure) else USAGE
    except BrokenPipeError:  # of a reader that has seen enough
        return SUCCESS
    except Exception as error:
        return _explain(error, state)


def _flushed(code: int) -> int:
    try:
        sys.stdout.flush()
    except OSError as error:
        # Python would try once more at its end, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError) and code == SUCCESS:
            complain(str(error.strerror))
            return USAGE
    return code


@click.group(cls=_Commands, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="artanis")
@click.pass_context
def artanis(ctx: click.Context) -> None:
    """Read prompts and reviewed traces of Artanis: look, export, report, diagnose.

    Credentials come from the environment or from the configuration file that 'artanis auth login' writes.

    \b
    Exit status: 0 done, 1 the answer is "no" (differences, drift, a failed check),
    2 wrong usage or a file that cannot be used, 3 credentials, 4 not found,
    5 the API or the network, 130 interrupted.
    """  # noqa: D301
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def _kept(name: str, **attributes: Any) -> Callable[[F], F]:
    """An option whose value goes into the state, for `State.connect`."""

    def keep(ctx: click.Context, parameter: click.Parameter, value: Any) -> None:
        if value is not None and value is not False and not ctx.resilient_parsing:
            ctx.obj.connection[parameter.name] = value

    return click.option(*name.split(), expose_value=False, callback=keep, **attributes)


def _output(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        if ctx.obj.output:
            raise click.UsageError("--json and --jsonl exclude each other.", ctx)
        ctx.obj.output = parameter.name


def _debug(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        ctx.obj.debug = True
        log, handler = logging.getLogger("artanis_client"), logging.StreamHandler()
        log.setLevel(logging.INFO)  # retries
        log.addHandler(handler)
        ctx.call_on_close(lambda: log.removeHandler(handler))


_OUTPUT: list[Callable[[Any], Any]] = [
    click.option("--json", is_flag=True, expose_value=False, callback=_output, help="Print JSON."),
    click.option("--jsonl", is_flag=True, expose_value=False, callback=_output, help="Print a line of JSON per item."),
    click.option("--debug", is_flag=True, expose_value=False, callback=_debug, help="Say more of what goes wrong."),
]

_CONNECTION: list[Callable[[Any], Any]] = [
    _kept("--profile", metavar="NAME", help="The profile of the configuration file to use, alone."),
    _kept("--org org_slug", metavar="SLUG", help="The organization to read from."),
    _kept("--project project_slug", metavar="SLUG", help="The project, by its slug."),
    _kept("--project-id", metavar="ID", help="The project, by its id."),
    _kept("--base-url", metavar="URL", help="Where the API is, for a self-hosted deployment or the sandbox."),
    _kept("--allow-http", is_flag=True, help="Allow http:// to a host that is not this machine."),
    _kept("--timeout", type=float, metavar="SECONDS", help="Of an attempt (default: 60, and 5 to connect)."),
]


def output_options(command: F) -> F:
    """Options of every command."""
    return functools.reduce(lambda command, option: option(command), reversed(_OUTPUT), command)


def api_options(command: F) -> F:
    """Options of every command that calls the API."""
    return functools.reduce(lambda command, option: option(command), reversed(_CONNECTION), output_options(command))


step_option = click.option("--step", "steps", multiple=True, help="Only spans of this step. Repeatable.")
concurrency_option = click.option(
    "--concurrency", type=click.IntRange(min=1), default=16, show_default=True, help="Requests at once."
)


def period_options(command: F) -> F:
    """Options that choose traces by when they were created."""
    until = click.option("--until", metavar="WHEN", help="Traces created until then; a day or month counts whole.")
    since = click.option(
        "--since", metavar="WHEN", help="Traces created from then on: 2026-04, 2026-04-08, 2026-04-08T09:30Z."
    )
    return since(until(command))

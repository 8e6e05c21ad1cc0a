"""The command `artanis` as a whole: its subcommands, its exit status, and how errors are reported."""

from __future__ import annotations

import os
import re
import sys
import traceback
import warnings
from collections.abc import Sequence
from importlib import import_module

import click

from .._errors import APIStatusError
from .._version import __version__
from ._exit_codes import API, CREDENTIALS, INTERRUPTED, SUCCESS, USAGE, exit_code_of
from ._options import Failure, Group, State, usage_examples
from ._output import note, print_error
from ._streams import discard, prepare_streams

_COMMANDS = {
    "auth": ("_auth", "Log in and out, and check the credentials."),
    "completion": ("_tools", "Print the script that completes commands and options in a shell."),
    "contract": ("_tools", "Check the live API against the contract."),
    "doctor": ("_doctor", "Diagnose why the client does not work."),
    "prompts": ("_prompts", "List, show and compare prompts, and pull them into a directory."),
    "report": ("_report", "Report how often reviewers accepted the output of each step."),
    "sandbox": ("_tools", "Serve the API with made-up data on this machine."),
    "traces": ("_traces", "List, show and export traces and their reviews."),
}
_REFUSED = "Run 'artanis auth login' to write a profile, or 'artanis auth status' to see which values are used."


class _Commands(Group):
    """Imports the module of a command only when the command runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = getattr(import_module(f".{_COMMANDS[cmd_name][0]}", __package__), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the summaries, without importing the commands."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in _COMMANDS.items()])


@click.group(
    cls=_Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=usage_examples("artanis auth login", "artanis traces list --since 30d"),
)
@click.version_option(__version__, prog_name="artanis")
@click.pass_context
def artanis(ctx: click.Context) -> None:
    """Read the prompts and reviewed traces of Artanis: look, export, report, diagnose.

    Credentials come from the environment, or from the configuration file that 'artanis auth login' writes. The options
    below can also follow the name of a command.

    \b
    Environment variables:
      ARTANIS_API_KEY       the API key, which is never an option
      ARTANIS_ORG_SLUG      organization
      ARTANIS_PROJECT_SLUG  project
      ARTANIS_BASE_URL      URL of the API
      ARTANIS_PROFILE       profile, which is then used alone
      ARTANIS_CONFIG_FILE   path of the configuration file
      NO_COLOR              no colours and no progress
      HTTPS_PROXY, NO_PROXY, SSL_CERT_FILE, COLUMNS  as usual

    \b
    Exit status: 0 success, 1 a negative result (differences, drift, a failed check),
    2 invalid usage or an unusable file, 3 credentials, 4 not found,
    5 the API or the network, 130 interrupted.
    """  # noqa: D301
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def run(arguments: Sequence[str]) -> int:
    """Run a command line, and return its exit status."""
    prepare_streams()
    for name in ("COLUMNS", "LINES"):  # 0 would leave no room for output; unset, the size is detected
        if not re.fullmatch("0*[1-9][0-9]*", os.environ.get(name, "")):
            os.environ.pop(name, None)
    if instruction := os.environ.get("_ARTANIS_COMPLETE"):
        from click.shell_completion import shell_complete

        return shell_complete(artanis, {"obj": State()}, "artanis", "_ARTANIS_COMPLETE", instruction)
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        return _flush(_invoke(arguments))


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    print_error(f"warning: {message}")


def _invoke(arguments: Sequence[str]) -> int:
    """Run the command, and report its errors. `artanis.main` would exit with click's own statuses for some of them."""
    state = State()
    try:
        with artanis.make_context("artanis", [*arguments], obj=state) as context:
            return artanis.invoke(context) or SUCCESS
    except click.exceptions.Exit as end:
        return end.exit_code
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except click.ClickException as error:
        print_error(error.format_message())
        if isinstance(error, click.UsageError) and error.ctx is not None:
            note(f"Run '{error.ctx.command_path} --help' for help.")
        return error.status if isinstance(error, Failure) else USAGE
    except BrokenPipeError:  # the reader has seen enough
        return SUCCESS
    except Exception as error:
        return _report(error, state)


def _report(error: Exception, state: State) -> int:
    """Print what went wrong and what to do, with `--debug` after the traceback; return the exit status."""
    if state.debug:
        note(state.redact("".join(traceback.format_exception(error)).rstrip()))
    code = exit_code_of(error)
    if code is None:
        print_error(state.redact(f"{type(error).__name__}: {error}"))
        note("This is a bug in artanis-client. Please report it with the --debug output.")
        return API
    for text in state.explain(error):
        print_error(str(text))
    if code == CREDENTIALS and isinstance(error, APIStatusError):
        note(_REFUSED)
    elif code == API:
        note("Run 'artanis doctor' to diagnose.")
    return code


def _flush(code: int) -> int:
    """Flush stdout, and return the exit status: `code`, unless the output could not be written."""
    try:
        sys.stdout.flush()
    except OSError as error:
        discard(sys.stdout)
        if not isinstance(error, BrokenPipeError) and code == SUCCESS:
            print_error(str(error.strerror))
            return USAGE
    return code

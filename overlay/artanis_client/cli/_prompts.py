"""`artanis prompts`: list, show, versions, diff, pull, status."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import attrs
import click

from artanis_api.models import PromptHistory

from .._errors import listed
from ..prompts import PromptConflictError, diff_versions, find_version, label_version, prompts_status, pull_prompts
from ._exit_codes import NEGATIVE, NOT_FOUND, SUCCESS
from ._options import Failure, Group, NonEmptyPath, State, api_options, complete_step, usage_examples
from ._output import DIFF_COLOURS, Column, api_object, escape, line, moment, note, out, out_object, rows, style
from ._streams import ClosedStdout, write_bytes

_STEP = click.argument("step", shell_complete=complete_step)
_DIRECTORY = click.argument("directory", type=NonEmptyPath(file_okay=False, path_type=Path))
_VERSION = "A version: v1 is the oldest; or an id, 'active' or 'previous'."


@click.group(
    cls=Group, no_args_is_help=False, epilog=usage_examples("artanis prompts list", "artanis prompts diff classify")
)
def prompts() -> None:
    """List, show and compare prompts, and pull them into a directory.

    STEP is the id of a pipeline step or of its prompt.
    """


def _get_history(state: State, step: str) -> PromptHistory:
    with state.connect() as client:
        found = client.prompts.list()
        for prompt in found:
            if step in (prompt.step_id, prompt.id):
                return client.prompts.get(prompt.id)
    steps = listed(prompt.step_id for prompt in found) or "none"
    raise Failure(f"The project has no prompt for the step {step!r}. Its steps: {steps}.", NOT_FOUND)


def _refuse_integer(_: click.Context, __: click.Parameter, value: str) -> str:
    """Return the name of a version; raise BadParameter for an integer, which could be counted from 0 or 1."""
    if re.fullmatch(r"[-+]?[0-9]+", value):
        number = max(1, abs(int(value))) if len(value) < 9 else 1
        raise click.BadParameter(f"{value!r} is not a version. Write 'v{number}'; 'v1' is the oldest version.")
    return value


@prompts.command("list", epilog=usage_examples("artanis prompts list", "artanis prompts list --json"))
@api_options
def list_(state: State) -> None:
    """List the active version of every prompt."""
    with state.connect() as client:
        found = client.prompts.list()
    rows(
        state.output,
        [
            Column("step"),
            Column("id", "id"),
            Column("updated (UTC)", "whole", rank=1),
            Column("content", "text", rank=1),
        ],
        [(api_object(each), [each.step_id, each.id, moment(each.updated_at), each.content]) for each in found],
    )


@prompts.command(
    epilog=usage_examples("artanis prompts show classify", "artanis prompts show classify --version v1 > old.md")
)
@_STEP
@click.option(
    "--version", default="active", metavar="VERSION", callback=_refuse_integer, help=f"{_VERSION} Default: active."
)
@api_options
def show(state: State, step: str, version: str) -> None:
    """Print the text of a prompt. To a file or pipe, it is written unchanged."""
    history = _get_history(state, step)
    chosen = find_version(history, version)
    if state.output:
        data = {"stepId": history.step_id, "outputSchema": history.output_schema, **api_object(chosen)}
        out_object(state.output, data)
    elif sys.stdout.isatty():
        active = "active" if chosen.is_active else "not active"
        name = f"{line(history.step_id)}  {label_version(history, chosen)}"
        heading = f"{name}  {moment(chosen.created_at)} UTC  {active}  {line(chosen.id)}"
        sys.stderr.write(style(heading, bold=True, stream=sys.stderr) + "\n")
        out(escape(chosen.content.removesuffix("\n")))
    else:
        write_bytes(chosen.content)


@prompts.command(epilog=usage_examples("artanis prompts versions classify", "artanis prompts versions classify --json"))
@_STEP
@api_options
def versions(state: State, step: str) -> None:
    """List every version of a prompt, oldest first."""
    rows(
        state.output,
        [
            Column("version", "whole"),
            Column("id", "id"),
            Column("created (UTC)", "whole", rank=1),
            Column("active", "whole"),
            Column("content", "text", rank=1),
        ],
        [
            (
                api_object(each),
                [f"v{n}", each.id, moment(each.created_at), "yes" if each.is_active else "", each.content],
            )
            for n, each in enumerate(_get_history(state, step).versions, start=1)
        ],
    )


@prompts.command(
    epilog=usage_examples("artanis prompts diff classify", "artanis prompts diff classify --from v1 --to active")
)
@_STEP
@click.option(
    "--from",
    "old",
    default="previous",
    metavar="VERSION",
    callback=_refuse_integer,
    help=f"{_VERSION} Default: previous.",
)
@click.option(
    "--to",
    "new",
    default="active",
    metavar="VERSION",
    callback=_refuse_integer,
    help="As for --from. Default: active.",
)
@api_options
def diff(state: State, step: str, old: str, new: str) -> int:
    """Compare two versions of a prompt. Exits with 1 if they differ."""
    text = diff_versions(_get_history(state, step), old, new)
    if state.output:
        out_object(state.output, {"equal": not text, "diff": text})
    elif sys.stdout.isatty():
        for changed in text.removesuffix("\n").split("\n") if text else []:
            out(style(escape(changed), DIFF_COLOURS.get(changed[:1])))
    else:
        write_bytes(text)
    return NEGATIVE if text else SUCCESS


@prompts.command(epilog=usage_examples("artanis prompts pull prompts", "artanis prompts pull prompts --force --json"))
@_DIRECTORY
@click.option("--force", is_flag=True, help="Overwrite and remove files that were edited or not written by a pull.")
@api_options
def pull(state: State, directory: Path, force: bool) -> None:
    """Write the active version of every prompt into DIRECTORY.

    Exits with 1, and writes nothing, if that would overwrite edited files.
    """
    with state.connect() as client:
        try:
            report = attrs.asdict(pull_prompts(client, directory, force=force))
        except PromptConflictError as error:
            files = f"These files were edited or not written by a pull: {listed(error.files)}."
            advice = "Nothing was written. Commit them or move them away, then pass --force."
            raise Failure(f"{files} {advice}", NEGATIVE) from None
    if state.output or not isinstance(sys.stdout, ClosedStdout):  # the pull has succeeded even if stdout is closed
        _print_names(state, "file", report, report)
    if not report["written"] and not report["removed"]:
        note("Nothing has changed.")


@prompts.command(epilog=usage_examples("artanis prompts status prompts", "artanis prompts status prompts --json"))
@_DIRECTORY
@api_options
def status(state: State, directory: Path) -> int:
    """Compare DIRECTORY with the prompts of the project. Exits with 1 if they differ."""
    with state.connect() as client:
        found = prompts_status(client, directory)
    data: dict[str, Any] = {**attrs.asdict(found), "clean": found.clean}
    _print_names(state, "step", {what: data[what] for what in ("new", "changed", "gone", "edited", "missing")}, data)
    if not found.pulled:
        note("Nothing has been pulled into this directory yet.")
    elif found.clean:
        note("There are no differences.")
    return SUCCESS if found.clean else NEGATIVE


def _print_names(state: State, column: str, names: dict[str, tuple[str, ...]], document: dict[str, Any]) -> None:
    """Print names by what happened to them."""
    pairs = [(what, name) for what in names for name in names[what]]
    found = [({"what": what, column: name}, [what, name]) for what, name in pairs]
    rows(state.output, [Column("what", "whole"), Column(column)], found, document=document)

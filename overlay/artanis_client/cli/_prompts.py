"""`artanis prompts`: list, show, versions, diff, pull, status."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import attrs
import click

from artanis_api.models import PromptHistory

from .._client import Artanis
from .._exit_codes import NEGATIVE, NOT_FOUND, SUCCESS
from ..prompts import PromptConflictError, diff_versions, prompts_status, pull_prompts
from ..prompts import find_version as version_of
from ._app import Failure, State, api_options, in_words
from ._output import DIFF_COLOURS, escape, line, moment, note, out, out_json, out_object, rows, style

_STEP = click.argument("step")
_DIRECTORY = click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
_WHICH = "A position from the oldest, 0, or the newest, -1; an id; 'active' or 'previous'."


@click.group(no_args_is_help=False)
def prompts() -> None:
    """List, show and compare prompts, and pull them into a directory.

    STEP is the id of a pipeline step, or of its prompt.
    """


def _history(client: Artanis, step: str) -> PromptHistory:
    found = client.prompts.list()
    for prompt in found:
        if step in (prompt.step_id, prompt.id):
            return client.prompts.get(prompt.id)
    steps = ", ".join(prompt.step_id for prompt in found) or "none"
    raise Failure(f"There is no prompt of {step!r} in this project. There are: {steps}.", NOT_FOUND)


def _which(text: str) -> int | str:
    return int(text) if re.fullmatch(r"-?[0-9]{1,6}", text) else text


@prompts.command("list")
@api_options
@click.pass_obj
def list_(state: State) -> None:
    """List the active version of every prompt."""
    with state.connect() as client:
        found = client.prompts.list()
    rows(
        state.output,
        ["step", "id", "updated (UTC)", "content"],
        [(each.to_dict(), [each.step_id, each.id, moment(each.updated_at), each.content]) for each in found],
    )


@prompts.command()
@_STEP
@click.option("--version", default="active", help=f"{_WHICH} Default: active.")
@api_options
@click.pass_obj
def show(state: State, step: str, version: str) -> None:
    """Print the text of a prompt, to a file or pipe as it is."""
    with state.connect() as client:
        history = _history(client, step)
    chosen = version_of(history, _which(version))
    if state.output:
        data = {"stepId": history.step_id, "outputSchema": history.output_schema, **chosen.to_dict()}
        out_object(state.output, data)
    elif sys.stdout.isatty():
        active = "active" if chosen.is_active else "not active"
        heading = f"{line(history.step_id)}  {moment(chosen.created_at)} UTC  {active}  {line(chosen.id)}"
        sys.stderr.write(style(heading, bold=True, stream=sys.stderr) + "\n")
        out(escape(chosen.content.removesuffix("\n")))
    else:
        sys.stdout.write(chosen.content)


@prompts.command()
@_STEP
@api_options
@click.pass_obj
def versions(state: State, step: str) -> None:
    """List every version of a prompt, oldest first."""
    with state.connect() as client:
        found = _history(client, step).versions
    rows(
        state.output,
        ["version", "id", "created (UTC)", "active", "content"],
        [
            (each.to_dict(), [str(n), each.id, moment(each.created_at), "yes" if each.is_active else "", each.content])
            for n, each in enumerate(found)
        ],
    )


@prompts.command()
@_STEP
@click.option("--from", "old", default="previous", metavar="VERSION", help=f"{_WHICH} Default: previous.")
@click.option("--to", "new", default="active", metavar="VERSION", help="The same. Default: active.")
@api_options
@click.pass_obj
def diff(state: State, step: str, old: str, new: str) -> int:
    """Compare two versions of a prompt. Exits with 1 where they differ."""
    with state.connect() as client:
        text = diff_versions(_history(client, step), _which(old), _which(new))
    if state.output:
        out_object(state.output, {"equal": not text, "diff": text})
    elif sys.stdout.isatty():
        for changed in text.removesuffix("\n").split("\n") if text else []:
            out(style(escape(changed), DIFF_COLOURS.get(changed[:1])))
    else:
        sys.stdout.write(text)
    return NEGATIVE if text else SUCCESS


@prompts.command()
@_DIRECTORY
@click.option("--force", is_flag=True, help="Replace and remove files that were edited, or that no pull wrote.")
@api_options
@click.pass_obj
def pull(state: State, directory: Path, force: bool) -> None:
    """Write the active version of every prompt into DIRECTORY.

    Exits with 1, and writes nothing, where that would replace what was edited.
    """
    with state.connect() as client:
        try:
            report = pull_prompts(client, directory, force=force)
        except PromptConflictError as error:
            raise Failure(in_words(str(error)), NEGATIVE) from None
    found = [(what, name) for what, names in attrs.asdict(report).items() for name in names]
    if state.output == "json":
        out_json(attrs.asdict(report))
    else:
        rows(state.output, ["what", "file"], [({"what": what, "file": name}, [what, name]) for what, name in found])
    if not report.written and not report.removed:
        note("Nothing has changed.")


@prompts.command()
@_DIRECTORY
@api_options
@click.pass_obj
def status(state: State, directory: Path) -> int:
    """Say how DIRECTORY differs from the prompts of Artanis. Exits with 1 where it does."""
    with state.connect() as client:
        found = prompts_status(client, directory)
    data: dict[str, Any] = {**attrs.asdict(found), "clean": found.clean}
    if state.output == "json":
        out_json(data)
    else:
        kinds = ("new", "changed", "gone", "edited", "missing")
        steps = [(kind, step) for kind in kinds for step in data[kind]]
        rows(state.output, ["what", "step"], [({"what": what, "step": step}, [what, step]) for what, step in steps])
    if not found.pulled:
        note("Nothing was pulled into this directory yet.")
    elif found.clean:
        note("There is no difference.")
    return SUCCESS if found.clean else NEGATIVE

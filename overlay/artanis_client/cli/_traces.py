"""`artanis traces`: list, show, export."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import attrs
import click

from artanis_api.models import Span, TraceDetail

from ..evaluation import FORMATS, Outcome, export, outcome
from ._app import State, api_options, concurrency_option, period_options, step_option
from ._output import diff, escape, line, moment, note, out, out_object, pretty, progress, render, rows

if TYPE_CHECKING:
    from rich.console import Group, RenderableType
    from rich.text import Text
    from rich.tree import Tree

_COLOURS = {Outcome.ACCEPTED: "green", Outcome.CORRECTED: "yellow", Outcome.UNREVIEWED: "bright_black"}


@click.group(no_args_is_help=False)
def traces() -> None:
    """List and show traces, and export what reviewers made of them."""


@traces.command("list")
@period_options
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="The newest N alone.")
@api_options
@click.pass_obj
def list_(state: State, since: str | None, until: str | None, limit: int | None) -> None:
    """List traces, newest first."""
    with state.connect() as client:
        found = client.traces.list(since=since, until=until)[:limit]
    rows(
        state.output,
        ["created (UTC)", "id", "status", "metadata"],
        ((each.to_dict(), [moment(each.created_at), each.id, each.status, _compact(each.metadata)]) for each in found),
    )
    if not found and not state.output:
        note("There are no such traces.")


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


@traces.command()
@click.argument("trace_id", metavar="ID")
@api_options
@click.pass_obj
def show(state: State, trace_id: str) -> None:
    """Show the spans of a trace as a tree, with what reviewers made of them."""
    with state.connect(needs_project=False) as client:
        trace = client.traces.get(trace_id)
    if state.output:
        data = trace.to_dict()
        for written, span in zip(data["spans"], trace.spans, strict=True):
            written["outcome"] = outcome(span).value
        out_object(state.output, data)
    else:
        render(_tree(trace))


def _tree(trace: TraceDetail) -> Tree:
    from rich.console import Group
    from rich.text import Text
    from rich.tree import Tree

    heading = Text(f"{line(trace.id)}  {line(trace.status)}  {moment(trace.created_at)} UTC", "bold")
    if trace.metadata:
        heading.append(f"\n{line(_compact(trace.metadata))}", "not bold")
    tree = Tree(heading)
    comments: dict[str, list[str]] = {}
    for comment in sorted(trace.feedback, key=lambda comment: comment.created_at):
        said = f"{escape(comment.content)}  ({line(comment.user_id)}, {moment(comment.created_at)} UTC)"
        comments.setdefault(comment.span_id, []).append(said)
    # A parent may be missing, or be its own ancestor: whatever no root leads to is put below the trace itself.
    nodes: dict[str, Any] = {}
    for span in _in_order(trace.spans):
        parent = nodes.get(span.parent_span_id or "", tree)
        nodes[span.id] = parent.add(_span(span, comments.get(span.id, [])))
    for span_id in [span_id for span_id in comments if span_id not in nodes]:
        heading = Text(f"on a span that is not in the trace, {line(span_id)}", "bold")
        tree.add(Group(heading, *_block("feedback", Text("\n".join(comments[span_id])))))
    return tree


def _in_order(spans: list[Span]) -> Iterator[Span]:
    """Each span once, after its parent where it has one."""
    children: dict[str | None, list[Span]] = {}
    ids = {span.id for span in spans}
    for span in spans:
        children.setdefault(span.parent_span_id if span.parent_span_id in ids else None, []).append(span)
    seen: set[int] = set()
    for start in [*children.get(None, []), *spans]:
        todo = [start]
        while todo:
            span = todo.pop()
            if id(span) not in seen:
                seen.add(id(span))
                yield span
                todo += reversed(children.get(span.id, []))


def _span(span: Span, comments: list[str]) -> Group:
    from rich.console import Group
    from rich.text import Text

    judged = outcome(span)
    heading = Text.assemble((line(span.step_id), "bold"), "  ", (judged.value, _COLOURS[judged]))
    if span.prompt_version_id:
        heading.append(f"  prompt {line(span.prompt_version_id)}", "bright_black")
    parts: list[RenderableType] = [
        heading,
        *_block("input", Text(escape(pretty(span.input_)))),
        *_block("output", Text(escape(pretty(span.output)))),
    ]
    if judged is Outcome.CORRECTED:
        parts += _block("correction", diff(span.output, span.approved_output))
    if comments:
        parts += _block("feedback", Text("\n".join(comments)))
    return Group(*parts)


def _block(name: str, text: Text) -> list[RenderableType]:
    from rich.padding import Padding
    from rich.text import Text

    return [Text(name, "bright_black"), Padding.indent(text, 2)]


@traces.command("export")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--format", "format_", type=click.Choice(FORMATS), help="Default: what the suffix of FILE says.")
@click.option(
    "--outcome",
    "outcomes",
    multiple=True,
    type=click.Choice([each.value for each in Outcome]),
    help="Only these spans. Repeatable.",
)
@step_option
@period_options
@click.option("--resume", is_flag=True, help="Go on with what an export that was interrupted has left.")
@click.option(
    "--recheck",
    type=click.Choice(["all", "unreviewed"]),
    default="all",
    help="'unreviewed' takes from FILE what was reviewed completely when it was written.",
)
@click.option("--skip-errors", is_flag=True, help="Leave out traces that cannot be read, and say which.")
@concurrency_option
@api_options
@click.pass_obj
def export_(
    state: State,
    file: Path,
    format_: str | None,
    outcomes: tuple[str, ...],
    steps: tuple[str, ...],
    since: str | None,
    until: str | None,
    resume: bool,
    recheck: str,
    skip_errors: bool,
    concurrency: int,
) -> None:
    """Write evaluation examples, one per span, to FILE (.jsonl or .csv).

    FILE appears when it is complete. Until then what was read is in FILE.partial, from where --resume goes on.
    """
    with state.connect(max_connections=max(16, concurrency)) as client:
        try:
            with progress("Reading traces") as on_progress:
                report = export(
                    client,
                    file,
                    format=cast(Any, format_),
                    outcomes=outcomes or None,
                    steps=steps or None,
                    since=since,
                    until=until,
                    concurrency=concurrency,
                    resume=resume,
                    recheck=cast(Literal["all", "unreviewed"], recheck),
                    on_error="skip" if skip_errors else "raise",
                    on_progress=on_progress,
                )
        except BaseException:
            if file.with_name(f"{file.name}.partial").exists():
                note(f"What was read is in {file}.partial. The same command with --resume goes on from there.")
            raise
    for skipped in report.skipped:
        where = f"trace {skipped.trace_id}" + (f", span {skipped.span_id}" if skipped.span_id else "")
        note(f"Left out: {where}: {skipped.reason}")
    data = {
        **attrs.asdict(report),
        "path": str(report.path),
        "manifest": str(report.manifest),
        "outcomes": {outcome.value: count for outcome, count in report.outcomes.items()},
    }
    if state.output:
        out_object(state.output, data)
    else:
        counts = ", ".join(f"{count} {outcome.value}" for outcome, count in report.outcomes.items() if count)
        out(f"{report.examples} examples{counts and f' ({counts})'} of {report.traces} traces in {escape(str(file))}")

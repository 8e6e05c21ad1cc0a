"""`artanis traces`: list, show, export."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import attrs
import click

from ..evaluation import FORMATS, OUTCOMES, EmptyExportError, ExportReport, Outcome, export, outcome
from ._exit_codes import NEGATIVE
from ._options import (
    Failure,
    Group,
    NonEmptyPath,
    State,
    api_options,
    bulk_options,
    none_if_empty,
    period_options,
    usage_examples,
)
from ._output import Column, api_object, compact, escape, moment, note, out_object, out_summary, progress, rows
from ._streams import is_stdout, write_bytes, write_file

IN_A_TERMINAL = 20  # traces that a list shows there


@click.group(
    cls=Group,
    no_args_is_help=False,
    epilog=usage_examples("artanis traces list --since 30d", "artanis traces export set.jsonl"),
)
def traces() -> None:
    """List, show and export traces and their reviews."""


@traces.command(
    "list",
    epilog=usage_examples("artanis traces list --since 30d", "artanis traces list --limit 100 --jsonl > traces.jsonl"),
)
@period_options
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    metavar="N",
    help=f"List only the newest N. Default: {IN_A_TERMINAL} in a terminal, else all.",
)
@api_options
def list_(state: State, since: str | None, until: str | None, limit: int | None) -> None:
    """List traces, newest first."""
    with state.connect() as client:
        found = client.traces.list(since=since, until=until)
    is_for_people = not state.output and sys.stdout.isatty()
    shown = found[: limit or (IN_A_TERMINAL if is_for_people else None)]
    rows(
        state.output,
        [Column("created (UTC)", "whole"), Column("id", "id"), Column("status"), Column("metadata", "text", rank=1)],
        ((api_object(each), [moment(each.created_at), each.id, each.status, compact(each.metadata)]) for each in shown),
    )
    if is_for_people and len(found) > len(shown):
        note(f"{len(found) - len(shown)} older traces are not shown. Pass --limit {len(found)} to see all.")
    if not found and not state.output:
        note("No traces match.")


@traces.command(
    epilog=usage_examples(
        "artanis traces show 3f2b8a44-0c7e-4f0f-b6a5-9f1c2d3e4f50",
        "artanis traces show 3f2b8a44-0c7e-4f0f-b6a5-9f1c2d3e4f50 --json",
    )
)
@click.argument("trace_id", metavar="ID")
@api_options
def show(state: State, trace_id: str) -> None:
    """Show the spans of a trace as a tree, with their reviews."""
    with state.connect(needs_project=False) as client:
        try:
            trace = client.traces.get(trace_id)
        except ValueError:
            advice = "Use an id exactly as 'artanis traces list' prints it."
            raise click.BadParameter(f"{trace_id!r}. {advice}", param_hint="ID") from None
    if state.output:
        data = api_object(trace)
        for written, span in zip(data["spans"], trace.spans, strict=True):
            written["outcome"] = outcome(span).value
        out_object(state.output, data)
    else:
        from ._rich import print_trace

        print_trace(trace)


@traces.command(
    "export",
    epilog=usage_examples(
        "artanis traces export set.jsonl --outcome corrected --since 30d",
        "artanis traces export - --format chat --step answer > chat.jsonl",
    ),
)
@click.argument("file", type=NonEmptyPath(dir_okay=False, path_type=Path))
@click.option("--format", type=click.Choice(FORMATS), help="Default: the suffix of FILE; jsonl to stdout.")
@click.option(
    "--outcome",
    "outcomes",
    multiple=True,
    callback=none_if_empty,
    type=click.Choice([each.value for each in Outcome]),
    help="Only spans with this outcome. Can be repeated.",
)
@bulk_options
@click.option(
    "--encoding",
    type=click.Choice(["utf-8", "utf-8-sig"]),
    default="utf-8",
    help="'utf-8-sig' starts a CSV file with a byte order mark, for spreadsheets.",
)
@click.option("--metadata/--no-metadata", default=True, help="Add the ids and the outcome to rows of --format chat.")
@click.option("--require-prompt", is_flag=True, help="Leave out spans without a prompt.")
@click.option("--fail-if-empty", is_flag=True, help="If there are no examples, write nothing and exit with 1.")
@click.option("--resume", is_flag=True, help="Continue an interrupted export.")
@click.option(
    "--recheck",
    type=click.Choice(["all", "unreviewed"]),
    default="all",
    help="'unreviewed' reads a trace again only if its review was incomplete when FILE was written.",
)
@api_options
def export_(state: State, file: Path, **options: Any) -> None:
    """Write evaluation examples, one per span, to FILE (.jsonl, .csv or .parquet), or to stdout if FILE is -.

    FILE appears once it is complete. Until then, the traces that were read are in FILE.partial, and --resume continues
    from there.
    """
    name = options["format"]
    for each in options["outcomes"] or ():
        if each not in OUTCOMES.get(name, [*Outcome]):
            kind = "approved" if name == "chat" else "corrected"
            raise click.UsageError(f"--format {name} needs {kind} outputs. Remove --outcome {each}.")
    if is_stdout(file):
        _export_to_stdout(state, options)
        return
    try:
        report = _export(state, file, options)
    except BaseException as error:
        is_of_others = isinstance(error, FileExistsError)
        if file.with_name(f"{file.name}.partial").exists() and not is_of_others:
            note(f"The traces that were read are in {file}.partial. Repeat the command with --resume to continue.")
        raise
    _print_report(state, report)


def _export_to_stdout(state: State, options: dict[str, Any]) -> None:
    if state.output or options["resume"] or options["recheck"] != "all":
        raise click.UsageError("--json, --jsonl, --resume and --recheck need a file. Remove them, or replace -.")
    write_bytes("")  # fails now if stdout is closed
    with tempfile.TemporaryDirectory() as folder:
        report = _export(state, Path(folder, "stdout"), {**options, "format": options["format"] or "jsonl"})
        write_file(report.path)
    note(_summarize(report))


def _export(state: State, file: Path, options: dict[str, Any]) -> ExportReport:
    with state.connect(max_connections=max(16, options["concurrency"])) as client:
        try:
            with progress("Reading traces") as on_progress:
                report = export(client, file, **options, on_progress=on_progress)
        except EmptyExportError as error:
            raise Failure(str(error), NEGATIVE) from None
    for skipped in report.skipped:
        where = f"trace {skipped.trace_id}" + (f", span {skipped.span_id}" if skipped.span_id else "")
        note(f"Skipped {where}: {skipped.reason}")
    for text in report.notes:
        note(text)
    return report


def _print_report(state: State, report: ExportReport) -> None:
    if state.output:
        outcomes = {outcome.value: count for outcome, count in report.outcomes.items()}
        files = {"path": str(report.path), "manifest": str(report.manifest)}
        out_object(state.output, {**attrs.asdict(report), **files, "outcomes": outcomes})
    else:
        out_summary(f"{_summarize(report)} in {escape(str(report.path))}")


def _summarize(report: ExportReport) -> str:
    counts = ", ".join(f"{count} {outcome.value}" for outcome, count in report.outcomes.items() if count)
    return f"{report.examples} examples{counts and f' ({counts})'} of {report.traces} traces"

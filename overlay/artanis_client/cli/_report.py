"""`artanis report`: the scorecard, as a table or a page."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from .._client import Artanis, credentials_of, project_of
from .._files import replacing
from ..bulk import read_prompts
from ..evaluation import EvaluationExample, ScorecardRow, check_steps, examples, scorecard
from ._options import NonEmptyPath, State, api_options, bulk_options, usage_examples
from ._output import Column, Row, note, progress, rows
from ._streams import is_stdout, write_bytes

_COLUMNS = [
    Column("step"),
    Column("prompt", "id", rank=1),
    Column("spans", "number", rank=3),
    Column("reviewed", "number", rank=2),
    Column("accepted", "number", rank=3),
    Column("corrected", "number", rank=3),
    Column("rate", "number"),
    Column("range", "number", rank=2),
]


def _check_link(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    """Check a link by the rules of the library."""
    if value is not None:
        from ..report import link_maker

        try:
            link_maker(value)
        except ValueError:
            example = "https://example.com/traces/{trace_id}"
            raise click.BadParameter(
                f"{value!r} is not an http or https URL with {{trace_id}}, as in {example}."
            ) from None
    return value


@click.command(
    epilog=usage_examples(
        "artanis report --since 30d --step classify", "artanis report --html report.html --since 2026-04"
    )
)
@bulk_options
@click.option("--weekly", is_flag=True, help="Split the rows by week.")
@click.option(
    "--html",
    type=NonEmptyPath(dir_okay=False, path_type=Path),
    help="Write a page with charts instead; - writes it to stdout.",
)
@click.option("--corrections", is_flag=True, help="List the 20 most frequent corrections, and their newest traces.")
@click.option(
    "--link",
    metavar="URL",
    callback=_check_link,
    help="Link to the traces of corrections: https://…/{trace_id}. For --corrections and --html.",
)
@api_options
def report(
    state: State,
    steps: tuple[str, ...] | None,
    weekly: bool,
    html: Path | None,
    corrections: bool,
    link: str | None,
    **options: Any,
) -> None:
    """Report how often reviewers accepted the output of each step, by prompt version.

    The range is the 95 % Wilson interval of the rate. All traces are read. The page is a single file that needs no
    network and no script. It shows acceptance by version and by week, the most frequent corrections, and what has not
    been reviewed yet.
    """
    if html is not None and (state.output or weekly or corrections):
        tables = "--json, --jsonl, --weekly and --corrections"
        raise click.UsageError(f"--html writes a page instead of a table. Remove {tables}.")
    if corrections and weekly:
        raise click.UsageError("--corrections and --weekly exclude each other.")
    if link is not None and not corrections and html is None:
        raise click.UsageError("--link needs --corrections or --html.")
    if html is not None and not html.absolute().parent.is_dir():
        raise click.UsageError(f"The directory {html.absolute().parent} does not exist.")
    if html is not None and is_stdout(html):
        write_bytes("")  # fails now if stdout is closed
    with (
        state.connect(max_connections=max(16, options["concurrency"])) as client,
        progress("Reading traces") as on_progress,
    ):
        read = _read(client, steps, {**options, "on_progress": on_progress})
        if html is not None and is_stdout(html):
            write_bytes(_make_page(client, read, options, link).decode())
            return
        if html is not None:
            with replacing(html) as file:
                file.write(_make_page(client, read, options, link))
            note(f"Wrote {html}")
            return
        if corrections:
            _list_corrections(state, read, link)
            return
        card = scorecard(read)
        names = {} if state.output else _name_versions(client)
    if weekly:
        found = [(dict(row), [row["week"], *_format_cells(row, names)]) for row in card["weeks"]]
    else:
        found = [(dict(row), _format_cells(row, names)) for row in card["versions"]]
    rows(state.output, [Column("week", "whole"), *_COLUMNS] if weekly else _COLUMNS, found, document=card)
    if not card["versions"] and not state.output:
        note("No spans match.")


def _read(client: Artanis, steps: tuple[str, ...] | None, options: dict[str, Any]) -> Iterator[EvaluationExample]:
    """Yield the examples of all traces; raise ValueError at the end if a step is in no trace and no prompt."""
    seen: set[str] = set()
    for trace in client.traces.iter(**options):
        seen.update(span.step_id for span in trace.spans)
        yield from examples(trace, steps=steps)
    if not seen.issuperset(steps or ()):
        check_steps(steps or (), seen | {prompt.step_id for prompt in client.prompts.list()})


def _list_corrections(state: State, found: Iterable[EvaluationExample], link: str | None) -> None:
    from ..report import Corrections, link_maker

    corrections = Corrections()
    deque(corrections.watch(found), maxlen=0)
    name_trace = link_maker(link) if link else str
    listed: list[Row] = []
    for (step, path, old, new), frequency in corrections.changes.top(at_least=1):
        names = [name_trace(trace_id) for trace_id in frequency.trace_ids]
        counts = {"spans": frequency.spans, "traces": frequency.traces}
        change = {"step_id": step, "path": path, "output": old, "approved_output": new}
        links = {"links": names} if link else {}
        data = {**change, **counts, "newest_traces": frequency.trace_ids, **links}
        more = f" and {frequency.traces - len(names)} more" if frequency.traces > len(names) else ""
        listed.append((data, [step, path, old, new, str(frequency.spans), ", ".join(names) + more]))
    columns = [
        Column("step"),
        Column("path"),
        Column("output", "text"),
        Column("approved", "text"),
        Column("spans", "number"),
        Column("traces", "text", rank=1),
    ]
    rows(state.output, columns, listed)
    if missed := corrections.changes.missed:
        note(f"There are too many different corrections to count all: each count may be too low by up to {missed:,}.")
    if not corrections.spans and not state.output:
        note("No output was corrected.")


def _make_page(client: Artanis, found: Iterable[EvaluationExample], options: dict[str, Any], link: str | None) -> bytes:
    from ..report import report_html

    credentials = credentials_of(client)
    [project] = project_of(client).values()
    source = {"Project": project, "Organization": credentials.org_slug, "API": credentials.base_url}
    source |= {name.capitalize(): options[name] for name in ("since", "until") if options[name]}
    title = f"How reviewers judged {project}"
    names = _name_versions(client)
    page = report_html(found, title=title, source=source, generated_at=datetime.now(UTC), prompt_names=names, link=link)
    return page.encode("utf-8", "xmlcharrefreplace")


def _name_versions(client: Artanis) -> dict[str, str]:
    """Return the name of each prompt version by its id, as in `artanis prompts versions`."""
    return {
        version.id: f"v{number}{' active' if version.is_active else ''}"
        for _, history in read_prompts(client, project_of(client), skip_missing=True)
        for number, version in enumerate(history.versions, start=1)
    }


def _format_cells(row: ScorecardRow, names: dict[str, str]) -> list[str]:
    version = row["prompt_version_id"]
    rate, low, high = row["acceptance_rate"], row["acceptance_low"], row["acceptance_high"]
    return [
        row["step_id"],
        names.get(version, version) if version else "none",
        *map(str, (row["spans"], row["reviewed"], row["accepted"], row["corrected"])),
        "" if rate is None else f"{rate:.1%}",
        "" if low is None or high is None else f"{low * 100:.0f}-{high:.0%}",
    ]

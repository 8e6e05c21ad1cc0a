"""`artanis report`: the scorecard."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import click

from .._client import Artanis
from ..evaluation import EvaluationExample, ScorecardRow, examples, scorecard
from ._app import State, api_options, concurrency_option, period_options, step_option
from ._output import note, out_json, progress, rows


@click.command()
@period_options
@step_option
@click.option("--weekly", is_flag=True, help="A row for each week, too.")
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="Write a page with charts instead.")
@click.option("--skip-errors", is_flag=True, help="Leave out traces that cannot be read.")
@concurrency_option
@api_options
@click.pass_obj
def report(
    state: State,
    since: str | None,
    until: str | None,
    steps: tuple[str, ...],
    weekly: bool,
    html: Path | None,
    skip_errors: bool,
    concurrency: int,
) -> None:
    """Say how often reviewers accepted what each step returned, by version of its prompt.

    The range is the 95 % Wilson interval of the rate. All traces are read. The page is one file, which needs no network
    and no script; it has acceptance by version and by week, the most frequent corrections, and what waits for review.
    """
    if html is not None and (state.output or weekly):
        raise click.UsageError("--html writes a page instead of a table: leave out --json, --jsonl and --weekly.")
    if html is not None and not html.absolute().parent.is_dir():
        raise click.UsageError(f"There is no directory {html.absolute().parent} to write to.")
    with state.connect(max_connections=max(16, concurrency)) as client, progress("Reading traces") as on_progress:
        read = client.traces.iter(
            since=since,
            until=until,
            concurrency=concurrency,
            on_error="skip" if skip_errors else "raise",
            on_progress=on_progress,
        )
        found = (example for trace in read for example in examples(trace, steps=steps or None))
        if html is not None:
            page = _page(client, found, since, until)
            new = html.with_name(html.name + ".new")
            new.write_text(page, encoding="utf-8")
            new.replace(html)
            note(f"Wrote {html}")
            return
        card = scorecard(found)
        names = {} if state.output else _versions(client)
    if state.output == "json":
        out_json(card)
        return
    header = ["step", "prompt", "spans", "reviewed", "accepted", "corrected", "rate", "range"]
    if weekly:
        weeks = [(dict(row), [row["week"], *_cells(row, names)]) for row in card["weeks"]]
        rows(state.output, ["week", *header], weeks, header[2:])
    else:
        rows(state.output, header, [(dict(row), _cells(row, names)) for row in card["versions"]], header[2:])
    if not card["versions"] and not state.output:
        note("There are no such spans.")


def _page(client: Artanis, found: Iterable[EvaluationExample], since: str | None, until: str | None) -> str:
    from ..report import report_html

    credentials = client._credentials
    [project] = client.traces._project(None, None).values()
    source = {"Project": project, "Organization": credentials.org_slug, "API": credentials.base_url}
    source |= {"Since": since} if since else {}
    source |= {"Until": until} if until else {}
    names = {version: f"v{name}" for version, name in _versions(client).items()}
    title = f"What reviewers made of {project}"
    return report_html(found, title=title, source=source, generated_at=datetime.now(UTC), prompt_names=names)


def _versions(client: Artanis) -> dict[str, str]:
    """What people call each version of a prompt: by its position, as `artanis prompts versions` does."""
    histories = [client.prompts.get(prompt.id) for prompt in client.prompts.list()]
    return {
        version.id: f"{position}{' active' if version.is_active else ''}"
        for history in histories
        for position, version in enumerate(history.versions)
    }


def _cells(row: ScorecardRow, names: dict[str, str]) -> list[str]:
    version = row["prompt_version_id"]
    rate, low, high = row["acceptance_rate"], row["acceptance_low"], row["acceptance_high"]
    return [
        row["step_id"],
        names.get(version, version) if version else "none",
        *map(str, (row["spans"], row["reviewed"], row["accepted"], row["corrected"])),
        "" if rate is None else f"{rate:.1%}",
        "" if low is None or high is None else f"{low * 100:.0f}-{high:.0%}",
    ]

"""`artanis report`: the scorecard."""

from __future__ import annotations

import click

from .._client import Artanis
from .._evaluation import ScorecardRow, examples, scorecard
from ._app import State, api_options, period_options
from ._output import note, out_json, progress, rows


@click.command()
@period_options
@click.option("--step", "steps", multiple=True, help="Only spans of this step. Repeatable.")
@click.option("--weekly", is_flag=True, help="A row for each week, too.")
@click.option("--skip-errors", is_flag=True, help="Leave out traces that cannot be read.")
@click.option("--concurrency", type=click.IntRange(min=1), default=16, show_default=True, help="Requests at once.")
@api_options
@click.pass_obj
def report(
    state: State,
    since: str | None,
    until: str | None,
    steps: tuple[str, ...],
    weekly: bool,
    skip_errors: bool,
    concurrency: int,
) -> None:
    """Say how often reviewers accepted what each step returned, by version of its prompt.

    The range is the 95 % Wilson interval of the rate. All traces are read.
    """
    with state.connect(max_connections=max(16, concurrency)) as client, progress("Reading traces") as on_progress:
        read = client.traces.iter(
            since=since,
            until=until,
            concurrency=concurrency,
            on_error="skip" if skip_errors else "raise",
            on_progress=on_progress,
        )
        card = scorecard(example for trace in read for example in examples(trace, steps=steps or None))
        names = {} if state.output else _versions(client)
    if state.output == "json":
        out_json(card)
        return
    header = ["step", "prompt", "spans", "reviewed", "accepted", "corrected", "rate", "range"]
    if weekly:
        found = [(dict(row), [row["week"], *_cells(row, names)]) for row in card["weeks"]]
        rows(state.output, ["week", *header], found, header[2:])
    else:
        rows(state.output, header, [(dict(row), _cells(row, names)) for row in card["versions"]], header[2:])
    if not card["versions"] and not state.output:
        note("There are no such spans.")


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

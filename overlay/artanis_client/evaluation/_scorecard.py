"""Scorecards: how often reviewers accepted what the steps returned."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from typing import TypedDict

from ._examples import EvaluationExample
from ._outcomes import Outcome


class ScorecardRow(TypedDict):
    """How reviewers judged the outputs of one step with one version of its prompt."""

    step_id: str
    prompt_version_id: str | None
    spans: int
    """The number of spans, reviewed or not."""
    reviewed: int
    accepted: int
    corrected: int
    acceptance_rate: float | None
    """`accepted / reviewed`; None if no span is reviewed."""
    acceptance_low: float | None
    """The lower end of the 95 % Wilson score interval of the rate; None if no span is reviewed."""
    acceptance_high: float | None
    """The upper end of the interval; None if no span is reviewed."""


class ScorecardWeek(ScorecardRow):
    """The same for the spans that ran in one week."""

    week: str
    """The Monday on which the week starts, in UTC, such as `2026-04-06`."""


class Scorecard(TypedDict):
    """Two tables, for `json.dumps`, `pandas.DataFrame(card["versions"])` or `csv.DictWriter`.

    Rows are sorted by step, then by the first use of the prompt version, then by week. Spans without a prompt version
    come last within their step.
    """

    versions: list[ScorecardRow]
    """One row per step and prompt version."""
    weeks: list[ScorecardWeek]
    """One row per step, prompt version and week."""


def scorecard(examples: Iterable[EvaluationExample]) -> Scorecard:
    """Count how often reviewers accepted what the steps returned, by prompt version and by week.

    The examples may come from a generator: each is counted once and not kept.
    """
    counts: dict[tuple[str, str | None], dict[date, Counter[Outcome]]] = {}
    first_used: dict[tuple[str, str | None], datetime] = {}
    for example in examples:
        version = example.step_id, example.prompt_version_id
        day = example.created_at.date()
        monday = day - timedelta(days=day.weekday())
        counts.setdefault(version, {}).setdefault(monday, Counter())[example.outcome] += 1
        first_used[version] = min(example.created_at, first_used.get(version, example.created_at))
    card: Scorecard = {"versions": [], "weeks": []}
    for version in sorted(counts, key=lambda key: (key[0], key[1] is None, first_used[key], key[1] or "")):
        weeks = counts[version]
        card["versions"].append(scorecard_row(*version, sum(weeks.values(), Counter[Outcome]())))
        card["weeks"] += [
            ScorecardWeek(week=str(week), **scorecard_row(*version, weeks[week])) for week in sorted(weeks)
        ]
    return card


def scorecard_row(step_id: str, prompt_version_id: str | None, counts: Counter[Outcome]) -> ScorecardRow:
    """Return the row for a step and prompt version with these outcomes."""
    accepted, corrected = counts[Outcome.ACCEPTED], counts[Outcome.CORRECTED]
    reviewed = accepted + corrected
    return {
        "step_id": step_id,
        "prompt_version_id": prompt_version_id,
        "spans": counts.total(),
        "reviewed": reviewed,
        "accepted": accepted,
        "corrected": corrected,
        "acceptance_rate": accepted / reviewed if reviewed else None,
        "acceptance_low": _wilson_low(accepted, reviewed) if reviewed else None,
        # Computed from the corrections, so that the ends are exact: 0 if none was accepted, and 1 if all were.
        "acceptance_high": 1 - _wilson_low(corrected, reviewed) if reviewed else None,
    }


def _wilson_low(successes: int, trials: int) -> float:
    """Return the lower end of the 95 % Wilson score interval: the smaller root p of trials (rate - p)² = z² p (1 - p).

    It is the product of the roots divided by the larger root, because the usual difference loses digits near 0.
    """
    z = 1.959963984540054
    spread = z * math.sqrt(successes * (trials - successes) / trials + z * z / 4)
    return successes * successes / (trials * (successes + z * z / 2 + spread))

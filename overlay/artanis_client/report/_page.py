"""The scorecard as one HTML page that needs no script and no network.

This module computes what the page shows; the template `page.html.j2` and the style sheet `page.css` lay it out.
Examples are counted and then dropped, so that memory does not limit the size of a project.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache
from itertools import groupby
from typing import TYPE_CHECKING, Any

from ..evaluation import (
    EvaluationExample,
    Outcome,
    Scorecard,
    ScorecardRow,
    ScorecardWeek,
    scorecard,
    scorecard_row,
    to_utc,
)
from . import _text
from ._charts import svg_length, versions_chart, weeks_chart
from ._corrections import Corrections

if TYPE_CHECKING:
    from jinja2 import Template

# Limits on the size of the page, whatever the API sends. The page says what it leaves out.
MAX_STEPS = 40
MAX_VERSIONS = 200
MAX_WEEKS = 104


def report_html(
    examples: Iterable[EvaluationExample],
    *,
    title: str,
    source: Mapping[str, str],
    generated_at: datetime,
    prompt_names: Mapping[str, str] | None = None,
    link: str | None = None,
) -> str:
    """Return an HTML page that shows how reviewers judged the outputs of each step; write it to a file as UTF-8.

    The page has the tables of `scorecard`, charts of them, the spans that have not been reviewed yet, and the most
    frequent corrections with the newest traces behind each. The same arguments always give the same page.

    Args:
        examples: Each is looked at once and not kept. Memory grows with the number of steps, prompt versions and weeks,
            not with the number of examples. Corrections are counted exactly up to 10,000 different ones; with more,
            rare ones are dropped, and the page says by how much its counts may be too low.
        title: Heading of the page.
        source: Where the examples come from, such as `{"Project": "support-chat"}`.
        generated_at: Time to put on the page; without an offset it is UTC.
        prompt_names: Names of prompt versions by id, such as `v3`. The page shows the id, too.
        link: The URL of a trace, to which its id then links, such as `https://example.com/traces/{trace_id}`.

    Raises:
        ValueError: If `link` is not an http or https URL that contains `{trace_id}`.
        ImportError: If Jinja2 is not installed; the extra `cli` includes it.
    """
    template = _load_template()
    make_link = None if link is None else _text.link_maker(link)
    names = prompt_names or {}
    corrections = Corrections()
    card = scorecard(corrections.watch(examples))
    return template.render(
        title=title,
        names=names,
        facts={**source, "Generated": f"{to_utc(generated_at):%Y-%m-%dT%H:%M:%SZ}"},
        content=_compute_content(card, names) if card["versions"] else None,
        corrections=corrections,
        make_link=make_link,
        limits={"steps": MAX_STEPS, "versions": MAX_VERSIONS, "weeks": MAX_WEEKS},
    )


@cache
def _load_template() -> Template:
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError as error:
        raise ImportError("the HTML report needs an extra: pip install 'artanis-client[cli]'") from error
    environment = Environment(
        autoescape=True,
        finalize=_make_visible,
        loader=PackageLoader("artanis_client.report", ""),
        lstrip_blocks=True,
        trim_blocks=True,
        undefined=StrictUndefined,
    )
    filters: tuple[Any, ...] = (
        svg_length,
        _text.interval,
        _text.percent,
        _text.quantity,
        _text.shorten,
        _text.thousands,
    )
    environment.filters.update({function.__name__: function for function in filters})
    return environment.get_template("page.html.j2")


def _make_visible(value: object) -> object:
    """Prepare a value for the template; Jinja2 calls this before it escapes markup."""
    return _text.visible(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def _compute_content(card: Scorecard, names: Mapping[str, str]) -> dict[str, Any]:
    """Return what the template shows of a scorecard, by the names that the template uses."""
    all_steps = [_add_up(step, rows) for step, rows in groupby(card["versions"], _step_of)]
    steps = _with_most_spans(all_steps, MAX_STEPS)
    shown = {row["step_id"] for row in steps}
    all_versions = [row for row in card["versions"] if row["step_id"] in shown]
    versions = [
        (step, _label_versions(list(rows), names))
        for step, rows in groupby(_with_most_spans(all_versions, MAX_VERSIONS), _step_of)
    ]
    weeks = sorted({row["week"] for row in card["weeks"]})
    shown_weeks = [row for row in card["weeks"] if row["step_id"] in shown]
    oldest_unreviewed: dict[str, str] = {}
    for row in card["weeks"]:
        if row["spans"] > row["reviewed"]:
            step, week = row["step_id"], row["week"]
            oldest_unreviewed[step] = min(week, oldest_unreviewed.get(step, week))
    return {
        "total": _add_up("", card["versions"]),
        "first_week": weeks[0],
        "last_week": weeks[-1],
        "week_count": len(weeks),
        "step_count": len(all_steps),
        "steps": steps,
        "version_count": len(all_versions),
        "versions": versions,
        "versions_chart": versions_chart(versions),
        "step_weeks": [*_split_by_week(shown_weeks, weeks[-MAX_WEEKS:], names)],
        "most_unreviewed": max(row["spans"] - row["reviewed"] for row in steps) or 1,
        "oldest_unreviewed": oldest_unreviewed,
    }


def _split_by_week(
    rows: Iterable[ScorecardWeek], weeks: Sequence[str], names: Mapping[str, str]
) -> Iterator[dict[str, Any]]:
    """Yield the weeks of each step that has spans in them, with the counts of all its prompt versions added up."""
    for number, (step, rows_of_step) in enumerate(groupby(rows, _step_of)):
        by_week: dict[str, list[ScorecardWeek]] = {}
        new_versions: dict[str, list[str]] = {}
        seen: set[str | None] = {None}
        for row in rows_of_step:
            by_week.setdefault(row["week"], []).append(row)
            if row["prompt_version_id"] not in seen:
                seen.add(row["prompt_version_id"])
                new_versions.setdefault(row["week"], []).append(_version_name(row, names))
        totals = {week: _add_up(step, by_week[week]) for week in weeks if week in by_week}
        if totals:
            chart = weeks_chart(f"step-{number}", step, totals, new_versions, weeks)
            yield {"step_id": step, "rows": totals, "new_versions": new_versions, "chart": chart}


def _step_of(row: ScorecardRow) -> str:
    return row["step_id"]


def _add_up(step_id: str, rows: Iterable[ScorecardRow]) -> ScorecardRow:
    counts = Counter[Outcome]()
    for row in rows:
        counts[Outcome.ACCEPTED] += row["accepted"]
        counts[Outcome.CORRECTED] += row["corrected"]
        counts[Outcome.UNREVIEWED] += row["spans"] - row["reviewed"]
    return scorecard_row(step_id, None, counts)


def _with_most_spans(rows: Sequence[ScorecardRow], limit: int) -> list[ScorecardRow]:
    """Return the rows with the most spans, in their original order."""
    chosen = sorted(range(len(rows)), key=lambda index: -rows[index]["spans"])[:limit]
    return [rows[index] for index in sorted(chosen)]


def _version_name(row: ScorecardRow, names: Mapping[str, str]) -> str:
    version = row["prompt_version_id"]
    return "no prompt" if version is None else names.get(version) or version


def _label_versions(rows: Sequence[ScorecardRow], names: Mapping[str, str]) -> list[tuple[str, ScorecardRow]]:
    """Give each prompt version of a step a short, unique label."""
    labels = [_text.shorten(_version_name(row, names)) for row in rows]
    if len(set(labels)) < len(labels):  # ids that differ only in the middle
        labels = [f"version {number}" for number, _ in enumerate(labels, 1)]
    return list(zip(labels, rows, strict=True))

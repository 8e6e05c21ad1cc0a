"""The charts of the report as data: where each line, dot and label goes. The template draws them as SVG.

Horizontal positions are shares of the chart's width, vertical ones are pixels. Charts fit a phone and a sheet of paper,
and their text keeps its size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

import attrs

from ..evaluation import ScorecardRow
from ._text import percent, quantity, shorten

LEFT_MARGIN = "-6.5rem"  # where the labels of the versions start; the style sheet reserves the margin
MAX_STEP_NAME = 40  # characters
MANY_WEEKS = 40  # more weeks than this need thinner lines


@attrs.frozen
class Line:
    """A straight line."""

    css: str
    x1: float
    y1: float
    x2: float
    y2: float


@attrs.frozen
class Dot:
    """A circle, with a tooltip unless `tip` is empty."""

    x: float
    y: float
    radius: float
    tip: str = ""


@attrs.frozen
class Label:
    """A piece of text; `x` is an SVG length."""

    text: str
    x: str
    y: float
    css: str = ""
    anchor: str = "start"
    dx: int = 0


@attrs.frozen
class Chart:
    """An SVG image with the title and description that a screen reader reads out."""

    name: str
    css: str
    height: float
    title: str
    description: str
    lines: Sequence[Line]
    dots: Sequence[Dot]
    labels: Sequence[Label]


def svg_length(share: float) -> str:
    """Return the SVG length for a share of the chart's width."""
    return f"{100 * share:.2f}%"


def versions_chart(steps: Sequence[tuple[str, Sequence[tuple[str, ScorecardRow]]]]) -> Chart:
    """Draw a row for each prompt version, with its acceptance rate as a dot on a horizontal axis.

    Args:
        steps: Each step with its rows of the scorecard and their labels.
    """
    lines: list[Line] = []
    dots: list[Dot] = []
    labels: list[Label] = []
    rates: list[tuple[float, str]] = []
    y = 4
    for step_id, rows in steps:
        y += 16
        step = shorten(step_id, MAX_STEP_NAME)
        labels.append(Label(step, LEFT_MARGIN, y, "name"))
        for name, row in rows:
            y += 20
            labels.append(Label(name, LEFT_MARGIN, y))
            if (rate := row["acceptance_rate"]) is None:
                labels.append(Label("not reviewed", "0", y, "quiet", dx=6))
                continue
            rates.append((rate, f"{step}, {name}"))
            lines.append(Line("mark", row["acceptance_low"] or 0, y - 4, row["acceptance_high"] or 0, y - 4))
            dots.append(Dot(rate, y - 4, 3.5))
            labels.append(Label(percent(rate), "100%", y, dx=8))
        y += 8
    grid = [Line("rule", share, 6, share, y) for share in (0, 0.25, 0.5, 0.75, 1)]
    # A phone has no room to label 25 % and 75 %.
    labels += [Label(f"{100 * share:.0f} %", svg_length(share), y + 14, "quiet", "middle") for share in (0, 0.5, 1)]
    description = "The axis goes from 0 to 100 %. The numbers are in the table below. "
    if rates:
        (lowest, worst), (highest, best) = min(rates), max(rates)
        description += f"Lowest: {percent(lowest)} ({worst}). Highest: {percent(highest)} ({best})."
    else:
        description += "Nothing has been reviewed yet."
    title = "Acceptance by step and prompt version"
    return Chart("chart", "versions", y + 20, title, description, grid + lines, dots, labels)


def weeks_chart(
    name: str,
    step_id: str,
    rows: Mapping[str, ScorecardRow],
    new_versions: Mapping[str, Sequence[str]],
    weeks: Sequence[str],
) -> Chart:
    """Draw how the acceptance rate of one step changed from week to week, on a vertical axis.

    Args:
        name: Unique prefix of the ids in this chart.
        step_id: Step whose weeks are shown.
        rows: The step's counts in each of its weeks.
        new_versions: Names of the prompt versions that first appeared in a week.
        weeks: All weeks of the axis, which the charts of all steps share.
    """
    dates = [date.fromisoformat(week) for week in weeks]
    days = (dates[-1] - dates[0]).days
    x = {week: (day - dates[0]).days / days if days else 0.5 for week, day in zip(weeks, dates, strict=True)}
    lines = [Line("rule", 0, _y_of(share), 1, _y_of(share)) for share in (0, 0.5, 1)]
    labels = [Label(f"{100 * share:.0f} %", "-6", _y_of(share) + 4, "quiet", "end") for share in (0, 0.5, 1)]
    new = [(x[week], ", ".join(new_versions[week])) for week in weeks if week in new_versions]
    lines += [Line("new", at, 14, at, _y_of(0)) for at, _ in new]
    labels += _place_labels(new)
    dots: list[Dot] = []
    reviewed = [(week, row, row["acceptance_rate"] or 0) for week, row in rows.items() if row["reviewed"]]
    previous: tuple[date, float] | None = None
    for week, row, rate in reviewed:
        day, at, y = date.fromisoformat(week), x[week], _y_of(rate)
        if previous and (day - previous[0]).days == 7:
            lines.append(Line("mark", x[str(previous[0])], previous[1], at, y))
        css = "mark thin" if len(weeks) > MANY_WEEKS else "mark"
        lines.append(Line(css, at, _y_of(row["acceptance_low"] or 0), at, _y_of(row["acceptance_high"] or 0)))
        tip = f"Week of {week}: {row['accepted']:,} of {row['reviewed']:,}, {percent(rate)}"
        dots.append(Dot(at, y, 2.5, tip))
        previous = day, y
    if days:
        labels += [Label(weeks[0], "0", 114, "quiet"), Label(weeks[-1], "100%", 114, "quiet", "end")]
    else:
        labels.append(Label(weeks[0], "50%", 114, "quiet", "middle"))
    if reviewed:
        first, last = (f"{percent(rate)} in the week of {week}" for week, _, rate in (reviewed[0], reviewed[-1]))
        description = f"{quantity(len(reviewed), 'week')} with reviews; first {first}, last {last}. "
    else:
        labels.append(Label("not reviewed", "50%", 62, "quiet", "middle"))
        description = "These weeks have no reviews. "
    description += "The axis goes from 0 to 100 %. The numbers are in the table below the charts."
    title = f"{shorten(step_id, MAX_STEP_NAME)}: acceptance by week"
    return Chart(name, "weeks", 120, title, description, lines, dots, labels)


def _y_of(share: float) -> float:
    return 18 + 80 * (1 - share)


def _place_labels(names: Sequence[tuple[float, str]]) -> list[Label]:
    """Label the first appearances of prompt versions, except where two labels would overlap."""
    labels: list[Label] = []
    free_from = 0.0
    for x, name in names:
        if shorten(name) == name and x >= free_from:
            anchor = "end" if x > 0.85 else "start" if x < 0.15 else "middle"
            labels.append(Label(name, svg_length(x), 10, "quiet", anchor))
            free_from = x + 0.05 * len(name)
    return labels

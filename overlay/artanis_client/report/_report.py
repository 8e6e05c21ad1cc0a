"""The scorecard as one page for people: HTML that needs no script and no network, with charts as SVG.

Nothing is kept of an example but counts, so that a project of any size can be reported. Every piece of text becomes
markup in one place, `_tag`. Charts place things in per cent of their width and hang labels into margins of fixed width,
so that they fit a telephone and a sheet of paper while their text keeps its size.
"""

from __future__ import annotations

import html
import json
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from itertools import groupby, takewhile, zip_longest
from typing import Any

from .._errors import printable
from ..evaluation._evaluation import (
    EvaluationExample,
    Outcome,
    ScorecardRow,
    ScorecardWeek,
    _is_same_json,
    _row,
    _utc,
    scorecard,
)

# What bounds the page, whatever the API sends. The page says what it leaves out.
_STEPS = 40
_VERSIONS = 200
_WEEKS = 104
_CORRECTIONS = 20
_COUNTED = 10_000  # different corrections in memory at once
_LONGEST = 120  # characters of a value
_LONGEST_TEXT = 500  # characters of anything else

_ABSENT: Any = object()  # stands for a value that only the other of two outputs has
_NONE = "\N{EN DASH}"

_STYLE = """
:root { color-scheme: light dark;
  --paper: #ffffff; --ink: #1c1c1c; --quiet: #595959; --rule: #cfcfcf; --mark: #0b4f8a; }
@media screen and (prefers-color-scheme: dark) { :root {
  --paper: #16191c; --ink: #e6e4df; --quiet: #a8aeb4; --rule: #41474d; --mark: #8fbff5; } }
@media (forced-colors: active) { :root {
  --paper: Canvas; --ink: CanvasText; --quiet: CanvasText; --rule: GrayText; --mark: CanvasText; } }
* { box-sizing: border-box; }
html { background: var(--paper); color: var(--ink);
  font: 100%/1.45 Charter, "Bitstream Charter", Cambria, Georgia, serif; }
body { max-width: 62rem; margin: 0 auto; padding: 1.25rem 1rem 3rem; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: 0 0 .5rem; }
h2 { font-size: 1.15rem; margin: 2.25rem 0 .25rem; border-top: 1px solid var(--ink); padding-top: .5rem; }
h3 { font-size: .9rem; margin: 0; }
p { max-width: 44rem; margin: .4rem 0; text-wrap: pretty; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0 .9rem; margin: .5rem 0 1rem; font-size: .85rem; }
dt { color: var(--quiet); }
dd { margin: 0; }
.lead { font-size: 1.05rem; }
.note, figcaption { color: var(--quiet); font-size: .85rem; }
figure { margin: .75rem 0; overflow: hidden; }
figcaption { margin-top: .4rem; }
svg { display: block; overflow: visible; font: .75rem/1 system-ui, sans-serif; fill: var(--ink); }
svg .quiet { fill: var(--quiet); }
svg .name { font-weight: 600; }
svg .rule { stroke: var(--rule); }
svg .new { stroke: var(--quiet); stroke-dasharray: 2 3; }
svg .mark { fill: var(--mark); stroke: var(--mark); stroke-width: 1.5; }
.versions { width: calc(100% - 10rem); margin: 0 3.5rem 0 6.5rem; }
.weeks { width: calc(100% - 3.5rem); margin: 0 .5rem 0 3rem; }
.panels { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 17.5rem), 1fr)); gap: 1rem 1.5rem; }
.panels figure { margin: 0; }
.scroll { overflow-x: auto; margin: .75rem 0; }
table { border-collapse: collapse; width: 100%; font: .8rem/1.35 system-ui, sans-serif; }
.wide table { min-width: 46rem; }
.wide th { min-width: 5.5rem; }
.wide .number { min-width: 0; }
.wide code { white-space: nowrap; }
.values table { min-width: 32rem; }
caption { text-align: left; color: var(--quiet); padding-bottom: .25rem; }
th, td { text-align: left; vertical-align: top; padding: .15rem .75rem .15rem 0; font-weight: 400; }
.number + :not(.number) { padding-left: .75rem; }
thead th { vertical-align: bottom; color: var(--quiet); border-bottom: 1px solid var(--ink); }
tbody { border-bottom: 1px solid var(--rule); }
tbody .group { font-weight: 600; padding-top: .4rem; }
.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums lining-nums; }
.bars { display: grid; min-width: 5.25rem; align-items: center; gap: .5rem;
  grid-template-columns: 3.25rem minmax(.5rem, 14rem); }
.bars span { text-align: right; font-variant-numeric: tabular-nums lining-nums; }
svg .thin { stroke-width: .5; }
svg .bar { fill: var(--mark); }
.short table { width: auto; }
.short th, .path { min-width: 4.25rem; }
.short .number { min-width: 0; }
.values :is(th, td) { min-width: 5rem; }
.values .number { min-width: 0; width: 4rem; }
code, bdi { unicode-bidi: isolate; }
code { font-family: ui-monospace, Menlo, Consolas, monospace; font-size: .95em; }
summary { cursor: pointer; font-size: .85rem; }
:focus-visible { outline: 2px solid var(--mark); outline-offset: 2px; }
@media (max-width: 30rem) { th, td { padding-right: .4rem; } }
@media print {
  @page { margin: 15mm; }
  :root { color-scheme: light; }
  html { font-size: 80%; }
  body { max-width: none; padding: 0; }
  figure, tr { break-inside: avoid; }
  h2, h3, caption { break-after: avoid; }
  .scroll { overflow: visible; }
  .wide table, .values table { min-width: 0; }
  .wide code { white-space: normal; }
  summary { display: none; }
  details::details-content { content-visibility: visible; block-size: auto; }
}
"""


def report_html(
    examples: Iterable[EvaluationExample],
    *,
    title: str,
    source: Mapping[str, str],
    generated_at: datetime,
    prompt_names: Mapping[str, str] | None = None,
) -> str:
    """A page of HTML that shows how reviewers judged what the steps returned, for `Path.write_text` in UTF-8.

    The same arguments give the same page. It has what `scorecard` returns, as charts and as tables, how much nobody has
    reviewed, and what was corrected most often.

    Args:
        examples: Each is looked at once and not kept. Memory grows with steps, prompt versions and weeks, and not with
            the number of examples. Corrections are counted exactly while no more than 10,000 different ones are known;
            beyond that, rare ones are forgotten, and the page says by how much its counts may be too low.
        title: Heading of the page.
        source: What the examples are of, such as `{"Project": "support-chat"}`.
        generated_at: Time to put on the page; without an offset it is UTC.
        prompt_names: What to call a prompt version, by its id, such as `v3`; the page has the id, too.
    """
    corrections = _Corrections()
    card = scorecard(corrections.passing(examples))
    names = prompt_names or {}
    facts = {**source, "Generated": f"{_utc(generated_at):%Y-%m-%dT%H:%M:%SZ}"}
    terms = [child for key, value in facts.items() for child in (_tag("dt", key), _tag("dd", value))]
    parts = [_tag("h1", title), _tag("dl", *terms)]
    if not card["versions"]:
        parts.append(_tag("p", "There are no spans here, and so there is nothing to report.", class_="lead"))
    else:
        known = _steps(card["versions"])
        steps = _most(known, _STEPS)
        shown = {row["step_id"] for row in steps}
        weeks = sorted({row["week"] for row in card["weeks"]})
        parts += [
            _lead(card["versions"], weeks),
            _note(len(known) > _STEPS, f"Of {len(known):,} steps, the {_STEPS} with the most spans are shown."),
            *_by_version([row for row in card["versions"] if row["step_id"] in shown], names),
            *_by_week([row for row in card["weeks"] if row["step_id"] in shown], weeks[-_WEEKS:], names),
            _note(len(weeks) > _WEEKS, f"Of {len(weeks):,} weeks, the last {_WEEKS} are shown."),
            *corrections.section(),
            *_backlog(steps, card["weeks"]),
            *_reading(),
        ]
    head = (
        _Html('<meta charset="utf-8"/>\n'),
        _Html(
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"/>\n"
        ),
        _Html('<meta name="viewport" content="width=device-width, initial-scale=1"/>\n'),
        _tag("title", title),
        _tag("style", _Html(_STYLE)),
    )
    page = _tag("html", _tag("head", *head), _tag("body", _tag("main", *parts)), lang="en")
    return f"<!DOCTYPE html>\n{page}\n"


class _Html(str):
    """Markup, as against text, which is escaped where it becomes part of some."""

    __slots__ = ()


def _tag(name: str, *children: str, **attributes: object) -> _Html:
    """An element; the names of attributes are those of HTML, with `_` for `-` and one more where Python has a keyword.

    Also XML, so that a test can parse a page strictly.
    """
    inner = "".join(child if isinstance(child, _Html) else html.escape(_visible(child)) for child in children)
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"' for key, value in attributes.items()
    )
    return _Html(f"<{name}{given}>{inner}</{name}>" + ("\n" if name in _LINES else ""))


def _visible(text: str) -> str:
    """Text as one line that UTF-8 can hold and in which nothing hides; of what is very long, the beginning."""
    return printable(text[:_LONGEST_TEXT]) + ("…" if len(text) > _LONGEST_TEXT else "")


_LINES = {"p", "tr", "figure", "table", "h1", "h2", "h3", "dl", "title", "style", "head"}


def _note(condition: object, text: str) -> _Html:
    return _tag("p", text, class_="note") if condition else _Html()


def _percent(share: float | None) -> str:
    return _NONE if share is None else f"{100 * share:.1f} %"


def _interval(row: ScorecardRow) -> str:
    if row["acceptance_low"] is None or row["acceptance_high"] is None:
        return _NONE
    return f"{100 * row['acceptance_low']:.1f} to {_percent(row['acceptance_high'])}"


def _count(number: int, one: str) -> str:
    return f"{number:,} {one}{'' if number == 1 else 's'}"


def _steps(rows: Iterable[ScorecardRow]) -> list[ScorecardRow]:
    """Rows of the scorecard put together by step."""
    return [_sum(step, group) for step, group in groupby(rows, key=lambda row: row["step_id"])]


def _most(rows: Sequence[ScorecardRow], limit: int) -> list[ScorecardRow]:
    """The rows with the most spans, in the order that they have."""
    chosen = sorted(range(len(rows)), key=lambda index: -rows[index]["spans"])[:limit]
    return [rows[index] for index in sorted(chosen)]


def _sum(step_id: str, rows: Iterable[ScorecardRow]) -> ScorecardRow:
    counts = Counter[Outcome]()
    for row in rows:
        counts[Outcome.ACCEPTED] += row["accepted"]
        counts[Outcome.CORRECTED] += row["corrected"]
        counts[Outcome.UNREVIEWED] += row["spans"] - row["reviewed"]
    return _row(step_id, None, counts)


def _lead(rows: Sequence[ScorecardRow], weeks: Sequence[str]) -> _Html:
    total = _sum("", rows)
    steps = len({row["step_id"] for row in rows})
    when = f"in the week of {weeks[0]}" if len(weeks) == 1 else f"from the week of {weeks[0]} to that of {weeks[-1]}"
    text = f"{_count(total['spans'], 'span')} of {_count(steps, 'step')}, {when}. "
    if total["reviewed"]:
        text += (
            f"Reviewers judged {total['reviewed']:,} of them ({_percent(total['reviewed'] / total['spans'])}) and "
            f"accepted {total['accepted']:,} as they were: {_percent(total['acceptance_rate'])} of those reviewed "
            f"(95 % interval {_interval(total)})."
        )
    else:
        text += "Nobody has reviewed any of them yet."
    return _tag("p", text, class_="lead")


def _chart(css: str, height: float, title: str, description: str, *children: str, name: str) -> _Html:
    """A chart that a screen reader can tell of."""
    head = (_tag("title", title, id=f"{name}-title"), _tag("desc", description, id=f"{name}-text"))
    size = {"width": "100%", "height": height, "class": css}
    return _tag("svg", *head, *children, **size, role="img", aria_labelledby=f"{name}-title {name}-text")


def _table(caption: str, columns: Sequence[str], *bodies: str, name: str, css: str = "") -> _Html:
    """A table with columns of numbers, which are those whose headings begin with `#`."""
    head = [
        _tag("th", column.removeprefix("#"), scope="col", class_="number" if column.startswith("#") else "text")
        for column in columns
    ]
    table = _tag("table", _tag("caption", caption, id=name), _tag("thead", _tag("tr", *head)), *bodies)
    return _tag("div", table, class_=f"scroll {css}".strip(), role="region", tabindex=0, aria_labelledby=name)


def _numbers(*texts: str) -> list[_Html]:
    return [_tag("td", text, class_="number") for text in texts]


def _bar(text: str, share: float) -> _Html:
    """A cell with a number, and once more as a bar."""
    bar = _tag("rect", class_="bar", width=_x(share), height="100%")
    drawn = _tag("svg", bar, width="100%", height=9, aria_hidden="true")
    return _tag("td", _tag("div", _tag("span", text), drawn, class_="bars"))


def _x(share: float) -> str:
    return f"{100 * share:.2f}%"


def _line(css: str, x1: float, y1: float, x2: float, y2: float) -> _Html:
    return _tag("line", class_=css, x1=_x(x1), y1=f"{y1:.1f}", x2=_x(x2), y2=f"{y2:.1f}")


def _short(text: str, most: int = 12) -> str:
    """Enough of an id or name to find it in the table, where it is whole."""
    text = printable(text)
    if any(unicodedata.east_asian_width(char) in "WF" for char in text):
        most //= 2
    return text if len(text) <= most else f"{text[: most // 2]}…{text[1 - most + most // 2 :]}"


def _version_name(row: ScorecardRow, names: Mapping[str, str]) -> str:
    version = row["prompt_version_id"]
    return "no prompt" if version is None else names.get(version) or version


def _labels(rows: Sequence[ScorecardRow], names: Mapping[str, str]) -> list[str]:
    """What there is room for, to call the versions of one step by."""
    labels = [_short(_version_name(row, names)) for row in rows]
    if len(set(labels)) < len(labels):  # ids that differ in the middle
        labels = [f"version {number}" for number, _ in enumerate(labels, 1)]
    return labels


def _by_version(rows: Sequence[ScorecardRow], names: Mapping[str, str]) -> Iterator[_Html]:
    yield _tag("h2", "Acceptance by step and prompt version")
    yield _note(
        len(rows) > _VERSIONS, f"Of {len(rows):,} prompt versions, the {_VERSIONS} with the most spans are shown."
    )
    groups = [(step, list(group)) for step, group in groupby(_most(rows, _VERSIONS), key=lambda row: row["step_id"])]
    yield _tag("figure", _version_chart(groups, names), _tag("figcaption", _VERSIONS_CAPTION))
    bodies = [
        _tag(
            "tbody",
            _tag("tr", _tag("th", step, scope="rowgroup", colspan=8, class_="group")),
            *(
                _tag(
                    "tr",
                    _tag("th", names.get(row["prompt_version_id"] or "", label), scope="row"),
                    *_numbers(_percent(row["acceptance_rate"]), _interval(row)),
                    *_numbers(*(f"{row[key]:,}" for key in ("accepted", "corrected", "reviewed", "spans"))),
                    _tag("td", _tag("code", row["prompt_version_id"] or _NONE)),
                )
                for row, label in zip(group, _labels(group, names), strict=True)
            ),
        )
        for step, group in groups
    ]
    columns = ["Prompt version", "#Rate", "#95 % interval", "#Accepted", "#Corrected", "#Reviewed", "#Spans", "Id"]
    yield _table("Numbers of the chart, oldest version first", columns, *bodies, name="versions", css="wide")


_VERSIONS_CAPTION = (
    "Dot: share of the reviewed spans whose output was accepted as it was. Line: its 95 % Wilson interval. "
    "Versions from the oldest to the newest."
)


def _version_chart(groups: Sequence[tuple[str, Sequence[ScorecardRow]]], names: Mapping[str, str]) -> _Html:
    marks: list[_Html] = []
    rates: list[tuple[float, str]] = []
    y = 4.0
    for step, rows in groups:
        y += 16
        marks.append(_tag("text", _short(step, 40), x="-6.5rem", y=f"{y:.0f}", class_="name"))
        for row, label in zip(rows, _labels(rows, names), strict=True):
            y += 20
            marks.append(_tag("text", label, x="-6.5rem", y=f"{y:.0f}"))
            rate, low, high = row["acceptance_rate"], row["acceptance_low"], row["acceptance_high"]
            if rate is None or low is None or high is None:
                marks.append(_tag("text", "not reviewed", x="0", dx=6, y=f"{y:.0f}", class_="quiet"))
                continue
            rates.append((rate, f"{_short(step, 40)}, {label}"))
            marks.append(_line("mark", low, y - 4, high, y - 4))
            marks.append(_tag("circle", class_="mark", cx=_x(rate), cy=f"{y - 4:.0f}", r=3.5))
            marks.append(_tag("text", _percent(rate), x="100%", dx=8, y=f"{y:.0f}"))
        y += 8
    grid = [_line("rule", share, 6, share, y) for share in (0.25, 0.75)]  # not named: there is no room on a telephone
    grid += [
        part
        for share in (0, 0.5, 1)
        for part in (
            _line("rule", share, 6, share, y),
            _tag(
                "text",
                f"{100 * share:.0f} %",
                x=_x(share),
                y=f"{y + 14:.0f}",
                class_="quiet",
                text_anchor="middle",
            ),
        )
    ]
    description = "The axis goes from 0 to 100 %. The numbers are in the table below. "
    if rates:
        (least, worst), (most, best) = min(rates), max(rates)
        description += f"Lowest: {_percent(least)} ({worst}). Highest: {_percent(most)} ({best})."
    else:
        description += "Nothing is reviewed yet."
    return _chart("versions", y + 20, "Acceptance by step and prompt version", description, *grid, *marks, name="chart")


def _by_week(rows: Sequence[ScorecardWeek], weeks: Sequence[str], names: Mapping[str, str]) -> Iterator[_Html]:
    yield _tag("h2", "Acceptance by week")
    yield _tag(
        "p",
        "A week starts on Monday, in UTC. Dot: share accepted of that week's spans that are reviewed; line: its "
        "95 % Wilson interval; weeks in a row are joined. A dotted line is where a prompt version first appears.",
        class_="note",
    )
    panels: list[_Html] = []
    bodies: list[_Html] = []
    for number, (step, of_step) in enumerate(groupby(rows, key=lambda row: row["step_id"])):
        by_week: dict[str, list[ScorecardWeek]] = {}
        new: dict[str, list[str]] = {}
        seen: set[str | None] = {None}
        for row in of_step:
            by_week.setdefault(row["week"], []).append(row)
            if row["prompt_version_id"] not in seen:
                seen.add(row["prompt_version_id"])
                new.setdefault(row["week"], []).append(_version_name(row, names))
        totals = {week: _sum(step, by_week[week]) for week in weeks if week in by_week}
        if not totals:
            continue
        chart = _week_chart(_short(step, 40), totals, weeks, new, name=f"step-{number}")
        panels.append(_tag("figure", _tag("h3", step), chart))
        lines = [
            _tag(
                "tr",
                _tag("th", _tag("time", week), scope="row"),
                *_numbers(_percent(row["acceptance_rate"]), _interval(row)),
                *_numbers(*(f"{row[key]:,}" for key in ("accepted", "corrected", "reviewed", "spans"))),
                _tag("td", ", ".join(new.get(week, ()))),
            )
            for week, row in totals.items()
        ]
        heading = _tag("tr", _tag("th", step, scope="rowgroup", colspan=8, class_="group"))
        bodies.append(_tag("tbody", heading, *lines))
    yield _tag("div", *panels, class_="panels")
    columns = ["Week of", "#Rate", "#95 % interval", "#Accepted", "#Corrected", "#Reviewed", "#Spans", "First seen"]
    table = _table("Acceptance by step and week", columns, *bodies, name="weeks", css="wide")
    yield _tag("details", _tag("summary", "Numbers of these charts, as a table"), table)


def _week_chart(
    step: str,
    totals: Mapping[str, ScorecardRow],
    weeks: Sequence[str],
    new: Mapping[str, Sequence[str]],
    *,
    name: str,
) -> _Html:
    first, last = date.fromisoformat(weeks[0]), date.fromisoformat(weeks[-1])
    days = (last - first).days

    def x(week: str) -> float:
        return (date.fromisoformat(week) - first).days / days if days else 0.5

    def y(share: float) -> float:
        return 18 + 80 * (1 - share)

    marks = [
        part
        for share in (0, 0.5, 1)
        for part in (
            _line("rule", 0, y(share), 1, y(share)),
            _tag("text", f"{100 * share:.0f} %", x=-6, y=y(share) + 4, class_="quiet", text_anchor="end"),
        )
    ]
    free_from = 0.0  # where there is room for the next label
    for week in (week for week in weeks if week in new):
        marks.append(_line("new", x(week), 14, x(week), y(0)))
        label = ", ".join(new[week])
        if _short(label) == label and x(week) >= free_from:
            anchor = "end" if x(week) > 0.85 else "start" if x(week) < 0.15 else "middle"
            marks.append(_tag("text", label, x=_x(x(week)), y=10, class_="quiet", text_anchor=anchor))
            free_from = x(week) + 0.05 * len(label)
    reviewed: list[tuple[str, float]] = []
    for week, row in totals.items():
        rate, low, high = row["acceptance_rate"], row["acceptance_low"], row["acceptance_high"]
        if rate is None or low is None or high is None:
            continue
        if reviewed and (date.fromisoformat(week) - date.fromisoformat(reviewed[-1][0])).days == 7:
            marks.append(_line("mark", x(reviewed[-1][0]), y(reviewed[-1][1]), x(week), y(rate)))
        marks.append(_line("mark thin" if len(weeks) > 40 else "mark", x(week), y(low), x(week), y(high)))
        tip = f"Week of {week}: {row['accepted']:,} of {row['reviewed']:,}, {_percent(rate)}"
        dot = {"cx": _x(x(week)), "cy": f"{y(rate):.1f}", "r": 2.5}
        marks.append(_tag("circle", _tag("title", tip), class_="mark", **dot))
        reviewed.append((week, rate))
    if days:
        marks.append(_tag("text", weeks[0], x="0", y=114, class_="quiet"))
        marks.append(_tag("text", weeks[-1], x="100%", y=114, class_="quiet", text_anchor="end"))
    else:
        marks.append(_tag("text", weeks[0], x="50%", y=114, class_="quiet", text_anchor="middle"))
    if reviewed:
        ends = [f"{_percent(rate)} in the week of {week}" for week, rate in (reviewed[0], reviewed[-1])]
        description = f"{_count(len(reviewed), 'week')} with reviews; first {ends[0]}, last {ends[1]}. "
    else:
        marks.append(_tag("text", "not reviewed", x="50%", y=62, class_="quiet", text_anchor="middle"))
        description = "Nothing is reviewed in these weeks. "
    description += "The axis goes from 0 to 100 %. The numbers are in the table below the charts."
    return _chart("weeks", 120, f"{step}: acceptance by week", description, *marks, name=name)


def _backlog(steps: Sequence[ScorecardRow], weeks: Iterable[ScorecardWeek]) -> Iterator[_Html]:
    yield _tag("h2", "Not reviewed yet")
    oldest: dict[str, str] = {}
    for week in weeks:
        if week["spans"] > week["reviewed"]:
            oldest[week["step_id"]] = min(week["week"], oldest.get(week["step_id"], week["week"]))
    if not oldest:
        yield _tag("p", "Every span is reviewed.")
        return
    most = max(row["spans"] - row["reviewed"] for row in steps) or 1
    lines: list[_Html] = []
    for row in steps:
        unreviewed, since = row["spans"] - row["reviewed"], oldest.get(row["step_id"], _NONE)
        bar = _bar(f"{unreviewed:,}", unreviewed / most)
        numbers = _numbers(f"{row['spans']:,}", _percent(unreviewed / row["spans"]), since)
        lines.append(_tag("tr", _tag("th", row["step_id"], scope="row"), bar, *numbers))
    yield _table(
        "Spans without an approved output, by step",
        ["Step", "Unreviewed", "#Of spans", "#Share", "#Oldest, week of"],
        _tag("tbody", *lines),
        name="backlog",
        css="short",
    )


def _reading() -> Iterator[_Html]:
    yield _tag("h2", "How to read this")
    yield _tag(
        "p",
        "A span is one step of one run. It is accepted where the approved output is, as JSON, the output; corrected "
        "where it differs; unreviewed where there is none. Rates are of reviewed spans only.",
    )
    yield _tag(
        "p",
        "The 95 % Wilson interval says how far off a rate may be by chance: it is wide where few spans are reviewed. "
        "It assumes that reviewers pick spans without regard to how good they are. Where the intervals of two versions "
        "overlap widely, more reviews are needed to tell them apart.",
    )


class _Frequent:
    """Counts of the most frequent keys in bounded memory, after Misra and Gries.

    Exact while there are no more than `_COUNTED` different keys; then each count may be too low, by `missed` at most,
    and what is missing was counted no more often than that.
    """

    def __init__(self) -> None:
        self.counts = Counter[tuple[str, ...]]()
        self.missed = 0

    def add(self, keys: Iterable[tuple[str, ...]]) -> None:
        self.counts.update(list(keys))  # a list, because a mapping would be taken for counts
        if len(self.counts) > _COUNTED:
            rare = sorted(self.counts.values(), reverse=True)[_COUNTED // 2]
            self.missed += rare
            self.counts = Counter({key: count - rare for key, count in self.counts.items() if count > rare})

    def top(self, *, least: int) -> list[tuple[tuple[str, ...], int]]:
        found = [(key, count) for key, count in self.counts.items() if count >= least]
        return sorted(found, key=lambda item: (-item[1], item[0]))[:_CORRECTIONS]

    def caution(self) -> _Html:
        return _note(
            self.missed,
            f"Too many are different to count each of them: these counts may be too low, by up to {self.missed:,}.",
        )


class _Corrections:
    """What reviewers changed: where, and into what."""

    def __init__(self) -> None:
        self._spans = 0
        self._places = _Frequent()
        self._changes = _Frequent()

    def passing(self, examples: Iterable[EvaluationExample]) -> Iterator[EvaluationExample]:
        """The same examples, counted on their way."""
        for example in examples:
            if example.outcome is Outcome.CORRECTED:
                self._spans += 1
                step = example.step_id
                found = [
                    (step, path, *_texts(*pair))
                    for path, *pair in _differences(example.output, example.approved_output)
                ]
                # A span counts once for each, and in an order that does not depend on the hash of text.
                self._places.add(dict.fromkeys(change[:2] for change in found))
                self._changes.add(dict.fromkeys(found))
            yield example

    def section(self) -> Iterator[_Html]:
        yield _tag("h2", "Most frequent corrections")
        if not self._spans:
            yield _tag("p", "No output was corrected.")
            return
        yield _tag(
            "p",
            f"{_count(self._spans, 'output')} {'was' if self._spans == 1 else 'were'} corrected. A path says where in "
            "the JSON: $ is all of the output, .name a field, [*] any element of a list. A span counts once for each "
            "path, and once for each change.",
            class_="note",
        )
        lines = [
            _tag(
                "tr",
                _tag("th", step, scope="row"),
                _path(path),
                *_numbers(f"{count:,}"),
                _bar(_percent(count / self._spans), count / self._spans),
            )
            for (step, path), count in self._places.top(least=1)
        ]
        yield _table(
            f"Where: the {len(lines)} paths corrected in the most spans, with their share of all corrected ones",
            ["Step", "Path", "#Spans", "Share"],
            _tag("tbody", *lines),
            name="places",
            css="short",
        )
        yield self._places.caution()
        changes = self._changes.top(least=2)
        if not changes:
            yield _tag("p", "No change was made in more than one span.")
            return
        lines = [
            _tag("tr", _tag("th", step, scope="row"), _path(path), _value(old), _value(new), *_numbers(f"{count:,}"))
            for (step, path, old, new), count in changes
        ]
        yield _table(
            f"What: the {len(lines)} changes made in the most spans",
            ["Step", "Path", "Output", "Approved", "#Spans"],
            _tag("tbody", *lines),
            name="changes",
            css="values",
        )
        yield self._changes.caution()


def _path(path: str) -> _Html:
    return _tag("td", _tag("code", path), class_="path")


def _value(text: str) -> _Html:
    return _tag("td", _tag("code", text) if text else _tag("em", "absent"))


def _differences(output: Any, approved: Any) -> Iterator[tuple[str, Any, Any]]:
    """The path of everything that differs, and the values there; of lists, what lies between their equal ends."""
    todo: list[tuple[str, Any, Any]] = [("$", output, approved)]  # recursion would end at a depth of 1,000
    while todo:
        path, old, new = todo.pop()
        if len(path) > _LONGEST:
            path = f"{path[:_LONGEST]}…"
        if old.__class__ is new.__class__ is dict:
            todo += [(path + _key(key), old.get(key, _ABSENT), new.get(key, _ABSENT)) for key in {**old, **new}]
        elif old.__class__ is new.__class__ is list:
            start, ends = 0, [len(old), len(new)]
            if len(old) != len(new):  # else each faces its own, and where the equal ends are makes no difference
                while start < min(ends) and _is_same_json(old[start], new[start]):
                    start += 1
                while start < min(ends) and _is_same_json(old[ends[0] - 1], new[ends[1] - 1]):
                    ends = [end - 1 for end in ends]
            pairs = zip_longest(old[start : ends[0]], new[start : ends[1]], fillvalue=_ABSENT)
            todo += [(f"{path}[*]", *pair) for pair in pairs]
        elif not _is_same_json(old, new):
            yield path, old, new


def _key(key: str) -> str:
    return f".{key}" if key.isidentifier() else f"[{_json(key)}]"


def _texts(old: Any, new: Any) -> tuple[str, str]:
    """Two values as JSON, from shortly before they differ; empty for what is absent."""
    texts = ["" if value is _ABSENT else _json(value) for value in (old, new)]
    start = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(*texts, strict=False))) - 20
    if start > 20 and max(map(len, texts)) > _LONGEST:
        texts = [f"…{text[start:]}" for text in texts]
    first, second = (text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…" for text in texts)
    return first, second


def _json(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, sort_keys=True)
    except RecursionError:
        return "(nested too deeply to show)"

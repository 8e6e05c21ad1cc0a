"""The HTML report: its contents, its accessibility, and that no data can break it."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import weakref
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from artanis_client import Artanis, EvaluationExample, ScorecardRow, examples, report, scorecard
from artanis_client._errors import printable
from artanis_client.report import _corrections, report_html
from artanis_client.sandbox import Sandbox
from support import IS_SLOW, NOW, unmeasured

NOON = datetime(2026, 4, 8, 12, tzinfo=UTC)
FOLDER = Path(report.__file__).parent
STYLE = (FOLDER / "page.css").read_text(encoding="utf-8")
text = st.text(st.characters(exclude_categories=()))  # lone surrogates, too


def example(output: Any = "no", approved: Any = "yes", **fields: Any) -> EvaluationExample:
    made = EvaluationExample(
        trace_id="t",
        span_id="s",
        step_id="classify",
        prompt_version_id=None,
        input=None,
        output=output,
        approved_output=approved,
        feedback=(),
        metadata=None,
        trace_metadata=None,
        trace_status=None,
        created_at=NOON,
        trace_created_at=NOON,
        trace_updated_at=NOON,
    )
    return attrs.evolve(made, **fields)


def page(made: Iterable[EvaluationExample], **more: Any) -> str:
    return report_html(made, **{"title": "Support", "source": {"Project": "chat"}, "generated_at": NOON, **more})


def parse(html: str) -> ElementTree.Element:
    """Parse the page as XML, which is stricter than a browser."""
    return ElementTree.fromstring(html.removeprefix("<!DOCTYPE html>\n"))  # noqa: S314


def words(element: ElementTree.Element) -> str:
    return "".join(element.itertext())


def prose(root: ElementTree.Element) -> str:
    """Return the text of a page with all white space collapsed, as a browser shows it."""
    return " ".join(words(root).split())


def table(root: ElementTree.Element, name: str) -> list[list[str]]:
    """Return the rows of a table; the name of a group becomes the first cell of each of its rows."""
    [found] = [each for each in root.iter("table") if each.find(f"caption[@id='{name}']") is not None]
    rows: list[list[str]] = []
    group: list[str] = []
    for row in found.iterfind("tbody/tr"):
        cells = [words(cell) for cell in row]
        if row.find("th[@scope='rowgroup']") is not None:
            group = cells
        else:
            rows.append(group + cells)
    return rows


def charts(root: ElementTree.Element) -> list[ElementTree.Element]:
    return [svg for svg in root.iter("svg") if svg.get("aria-hidden") != "true"]


@pytest.fixture(scope="module")
def project() -> list[EvaluationExample]:
    with Sandbox(traces=60, now=NOW) as sandbox, Artanis(**sandbox.credentials) as client:
        return [made for trace in client.traces.iter() for made in examples(trace)]


def percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"  # noqa: RUF001


def interval(row: ScorecardRow) -> str:
    low, high = row["acceptance_low"], row["acceptance_high"]
    return "–" if low is None or high is None else f"{100 * low:.1f} to {100 * high:.1f} %"  # noqa: RUF001


def test_tables_are_the_scorecard(project: list[EvaluationExample]) -> None:
    """The tables show the numbers of `scorecard`: per version, and per week summed up by step."""
    root = parse(page(iter(project)))
    expected = [
        [
            *(row["step_id"], percent(row["acceptance_rate"]), interval(row)),
            *(str(row["accepted"]), str(row["corrected"]), str(row["reviewed"]), str(row["spans"])),
            row["prompt_version_id"] or "–",  # noqa: RUF001
        ]
        for row in scorecard(project)["versions"]
    ]
    assert [[row[0], *row[2:]] for row in table(root, "versions")] == expected

    by_step = scorecard(attrs.evolve(made, prompt_version_id=None) for made in project)
    assert [row[:-1] for row in table(root, "weeks")] == [
        [
            *(row["step_id"], row["week"], percent(row["acceptance_rate"]), interval(row)),
            *(str(row["accepted"]), str(row["corrected"]), str(row["reviewed"]), str(row["spans"])),
        ]
        for row in by_step["weeks"]
    ]
    assert [row[:4] for row in table(root, "backlog")] == [
        [
            *(row["step_id"], str(row["spans"] - row["reviewed"]), str(row["spans"])),
            percent((row["spans"] - row["reviewed"]) / row["spans"]),
        ]
        for row in by_step["versions"]
    ]


def test_the_backlog_is_as_old_as_its_oldest() -> None:
    """The backlog shows the week of each step's oldest unreviewed span."""
    made = [
        example(approved=approved, created_at=NOON + timedelta(weeks=weeks))
        for weeks, approved in ((0, 1), (2, None), (3, None), (4, 1))
    ]
    assert table(parse(page(made)), "backlog") == [["classify", "2", "4", "50.0 %", "2026-04-20"]]


def test_charts_show_the_scorecard(project: list[EvaluationExample]) -> None:
    """Dots and lines are where the numbers of the scorecard put them."""
    card = scorecard(project)
    across, *panels = charts(parse(page(project)))
    reviewed = [row for row in card["versions"] if row["reviewed"]]
    assert [dot.get("cx") for dot in across.iter("circle")] == [
        f"{100 * (row['acceptance_rate'] or 0):.2f}%" for row in reviewed
    ]
    assert [(line.get("x1"), line.get("x2")) for line in across.iterfind("line[@class='mark']")] == [
        (f"{100 * (row['acceptance_low'] or 0):.2f}%", f"{100 * (row['acceptance_high'] or 0):.2f}%")
        for row in reviewed
    ]

    by_step = scorecard(attrs.evolve(made, prompt_version_id=None) for made in project)
    weeks = sorted({row["week"] for row in by_step["weeks"]})
    assert [panel.findtext("title") for panel in panels] == [
        f"{row['step_id']}: acceptance by week" for row in by_step["versions"]
    ]
    for panel, step in zip(panels, by_step["versions"], strict=True):
        rows = [row for row in by_step["weeks"] if row["step_id"] == step["step_id"] and row["reviewed"]]
        bottom, middle, top = (float(line.get("y1", "")) for line in panel.iterfind("line[@class='rule']"))
        assert middle == (top + bottom) / 2
        assert [float(dot.get("cy", "")) for dot in panel.iter("circle")] == [
            pytest.approx(bottom + (row["acceptance_rate"] or 0) * (top - bottom), abs=0.06) for row in rows
        ]
        assert [float(dot.get("cx", "").removesuffix("%")) for dot in panel.iter("circle")] == [
            pytest.approx(100 * weeks.index(row["week"]) / (len(weeks) - 1), abs=0.01) for row in rows
        ]


def test_weeks_without_reviews_are_gaps() -> None:
    """Only consecutive weeks are connected; each week has its interval."""
    made = [example(created_at=NOON + timedelta(weeks=weeks)) for weeks in (0, 1, 3)]
    _, panel = charts(parse(page(made)))
    lines = [(line.get("x1"), line.get("x2")) for line in panel.iterfind("line[@class='mark']")]
    assert [one for one in lines if one[0] != one[1]] == [("0.00%", "33.33%")]
    assert [one for one in lines if one[0] == one[1]] == [(x, x) for x in ("0.00%", "33.33%", "100.00%")]


def test_versions_by_name() -> None:
    """A version is shown by name, with its id in the table, and is marked in its first week."""
    made = [
        example(prompt_version_id=version, created_at=NOON + timedelta(weeks=weeks))
        for version, weeks in (("old-id", 0), ("new-id", 1), ("new-id", 2))
    ]
    root = parse(page(made, prompt_names={"old-id": "v1", "new-id": "v2"}))
    assert [(row[1], row[-1]) for row in table(root, "versions")] == [("v1", "old-id"), ("v2", "new-id")]
    assert [row[-1] for row in table(root, "weeks")] == ["v1", "v2", ""]
    across, panel = charts(root)
    assert {"v1", "v2"} < {words(label) for label in across.iter("text")}
    assert [line.get("x1") for line in panel.iterfind("line[@class='new']")] == ["0.00%", "50.00%"]
    assert {"v1", "v2"} < {words(label) for label in panel.iter("text")}


def test_labels_of_versions_differ() -> None:
    """A version without a name is shown by its shortened id, or by a number if shortened ids collide."""
    made = [
        example(step_id=step, prompt_version_id=version, created_at=NOON + timedelta(hours=hours))
        for hours, (step, version) in enumerate(
            [("a", "first-of-those"), ("a", "second-of-those"), ("b", "one-and-the-same"), ("b", "one-and-not-same")]
        )
    ]
    root = parse(page(made))
    across, _, _ = charts(root)
    labels = [words(label) for label in across.iter("text") if not words(label).endswith("%")]
    assert labels == ["a", "first-…those", "second…those", "b", "version 1", "version 2"]
    assert [(row[0], row[1]) for row in table(root, "versions")] == [
        *(("a", "first-…those"), ("a", "second…those")),
        *(("b", "version 1"), ("b", "version 2")),
    ]


LONG = "It was sent on Monday and will be with you soon. "


@pytest.mark.parametrize(
    ("output", "approved", "expected"),
    [
        ("a", "b", [["$", '"a"', '"b"']]),
        ({"a": 1, "b": 2}, {"b": 3, "a": 1.0}, [["$.b", "2", "3"]]),
        ({"a": {"b c": None}}, {"a": {"b c": True}}, [['$.a["b c"]', "null", "true"]]),
        ({"a": 1}, {"b": 1}, [["$.a", "1", "absent"], ["$.b", "absent", "1"]]),
        ({"a": None}, {}, [["$.a", "null", "absent"]]),
        (["x", "y"], ["x", "z"], [["$[*]", '"y"', '"z"']]),
        (["x", "y"], ["new", "x", "y"], [["$[*]", "absent", '"new"']]),
        ([1, 2, 3], [1, 3], [["$[*]", "2", "absent"]]),
        ([1, 1], [1], [["$[*]", "1", "absent"]]),
        ([{"a": 1}, 0], [{"a": True}, 0], [["$[*].a", "1", "true"]]),
        ([0, 0], [1, 1], [["$[*]", "0", "1"]]),
        ({"a": [1]}, {"a": {"0": 1}}, [["$.a", "[1]", '{"0": 1}']]),
        ({"b": 1, "a": 2}, 3, [["$", '{"a": 2, "b": 1}', "3"]]),
        (3 * LONG + "Bye.", 3 * LONG + "Hi.", [["$", '…l be with you soon. Bye."', '…l be with you soon. Hi."']]),
        ("x" * 500, "y", [["$", '"' + 119 * "x" + "…", '"y"']]),
        ("<b>&", "\u202e\ud800", [["$", '"<b>&"', r'"\u202e\ud800"']]),
    ],
)
def test_corrections(output: Any, approved: Any, expected: list[list[str]]) -> None:
    """A correction is a path and two values: the smallest parts of the JSON that differ, counted once per span."""
    root = parse(page([example(output, approved)] * 3))
    assert table(root, "changes") == [["classify", *change, "3", "t"] for change in expected]
    paths = sorted({path for path, _, _ in expected})
    assert table(root, "places") == [["classify", path, "3", "100.0 %", "t"] for path in paths]


def test_frequent_corrections_come_first() -> None:
    """Corrections are sorted by frequency; a change that was made only once is left out."""
    made = [
        example(n, "other", step_id=step)
        for step, n, times in (("b", 1, 2), ("a", 2, 3), ("a", 3, 1))
        for _ in range(times)
    ]
    root = parse(page(made))
    assert [(row[0], row[-2]) for row in table(root, "changes")] == [("a", "3"), ("b", "2")]
    assert [row[:-1] for row in table(root, "places")] == [["a", "$", "4", "66.7 %"], ["b", "$", "2", "33.3 %"]]
    assert "No change was made in more than one span." in page([example()])


def seen_in(*ids: str, output: Any = "no", approved: Any = "yes") -> list[EvaluationExample]:
    """Return a corrected span for each trace id, the newest trace first."""
    return [
        example(output, approved, trace_id=id_, trace_created_at=NOON - timedelta(hours=number))
        for number, id_ in enumerate(ids)
    ]


def traces(root: ElementTree.Element) -> list[list[str]]:
    """Return what each correction says of its traces, first by path and then by change."""
    cells = [cell for cell in root.iter("td") if cell.get("class") == "traces"]
    return [[words(each) for each in cell] for cell in cells]


def test_traces_of_corrections() -> None:
    """Each correction names its newest traces, whatever their order, and how many more there are."""
    made = seen_in("n1", "n1", "n2", "n3", "n4", "n5")
    for order in (made, made[::-1]):
        assert traces(parse(page(order))) == [["n1", "n2", "n3", "and 2 more"]] * 2
    assert traces(parse(page(made[:4]))) == [["n1", "n2", "n3"]] * 2
    assert not [*parse(page(made)).iter("a")]


def test_links_to_traces() -> None:
    """With `link`, the ids are links, in which they are quoted."""
    made = seen_in("a/../b?<&\ud800é", "n2", output=1)
    root = parse(page(made, link="https://example.com/{trace_id}?tab=<1>&of={trace_id}"))
    first, second, *_ = (each.get("href") for each in root.iter("a"))
    quoted = "a%2F..%2Fb%3F%3C%26%ED%A0%80%C3%A9"
    assert first == f"https://example.com/{quoted}?tab=<1>&of={quoted}"
    assert second == "https://example.com/n2?tab=<1>&of=n2"
    assert len([*root.iter("a")]) == 4
    assert traces(root) == [["a/../b?<&\\ud800é", "n2"]] * 2


@pytest.mark.parametrize(
    "link",
    [
        *("https://example.com/", "example.com/{trace_id}", "javascript:alert({trace_id})", "https://{trace_id}/"),
        *(
            "https:///{trace_id}",
            "http://[::1/{trace_id}",
            "https://a.example/ {trace_id}",
            "https://a/\n{trace_id}",
            "",
        ),
    ],
)
def test_links_that_are_none(link: str) -> None:
    """Anything but an http or https URL with `{trace_id}` is refused before any example is read."""
    with pytest.raises(ValueError, match=r"link must be an http or https URL that contains \{trace_id\}, such as"):
        page(iter(lambda: pytest.fail("read"), 1), link=link)


def test_too_many_different_corrections(monkeypatch: pytest.MonkeyPatch) -> None:
    """If there are too many corrections to count, frequent ones stay, and the page says how far off counts may be."""
    monkeypatch.setattr(_corrections, "MAX_COUNTED", 40)
    held: list[int] = []

    def generate() -> Iterator[EvaluationExample]:
        for number in range(2_000):
            yield example("often" if number % 4 == 0 else number)
            held.append(len(corrections.changes.counts))

    corrections = _corrections.Corrections()
    assert sum(1 for _ in corrections.watch(generate())) == 2_000
    [[key, found]] = corrections.changes.top(at_least=2)
    count, missed = found.spans, corrections.changes.missed
    assert key == ("classify", "$", '"often"', '"yes"')
    assert count <= 500 <= count + missed
    assert missed <= 2_000 / 20
    assert max(held) <= 40
    html = page(generate())
    assert f"these counts may be too low by up to {missed}." in prose(parse(html))
    assert html.count("may be too low") == 1, "there are few paths, and those are counted exactly"
    assert "may be too low" not in page([example()] * 50)
    html = page(map(example, range(41)))
    assert "these counts may be too low by up to 1." in prose(parse(html))
    assert "No change was made" not in html


def test_examples_are_let_go() -> None:
    """Each example is looked at once and then released."""
    seen: list[weakref.ref[EvaluationExample]] = []

    def generate() -> Iterator[EvaluationExample]:
        for number in range(20):
            assert not any(ref() for ref in seen[:-1])
            made = example({"a": [number]})
            seen.append(weakref.ref(made))
            yield made
            del made

    assert "20 spans of 1 step" in page(generate())


def test_nothing_to_report() -> None:
    """The page of an empty project says so, and shows where the data is from."""
    html = page([])
    root = parse(html)
    assert "There are no spans, so there is nothing to report." in words(root)
    assert not [*root.iter("svg"), *root.iter("table")]
    assert [words(each) for each in root.iter("dd")] == ["chat", "2026-04-08T12:00:00Z"]


def test_nothing_reviewed() -> None:
    """Without reviews, the page shows no rates and no dots, and says so."""
    root = parse(page([example(approved=None, created_at=NOON + timedelta(weeks=weeks)) for weeks in (0, 1)]))
    assert "2 spans of 1 step, from the week of 2026-04-06 to the week of 2026-04-13. None of them" in prose(root)
    assert "No output was corrected." in words(root)
    assert not [*root.iter("circle")]
    assert all("not reviewed" in words(chart) for chart in charts(root))
    assert table(root, "versions")[0][2:4] == ["–", "–"]  # noqa: RUF001


def test_everything_reviewed() -> None:
    """A sentence replaces an empty backlog; a single week is in the middle of its chart."""
    root = parse(page([example(1, 1), example(1, 2)]))
    assert "Every span has been reviewed." in words(root)
    assert "accepted 1 unchanged: 50.0 % of those reviewed (95 % interval 9.5 to 90.5 %)" in prose(root)
    assert [dot.get("cx") for dot in charts(root)[1].iter("circle")] == ["50.00%"]


def test_times_are_utc() -> None:
    """The time on the page is marked as UTC."""
    html = page([], generated_at=datetime(2026, 4, 8, 14, 30, 1, 999, tzinfo=timezone(timedelta(hours=2))))
    assert "2026-04-08T12:30:01Z" in html


def test_the_order_of_examples_does_not_matter(project: list[EvaluationExample]) -> None:
    """The page does not depend on the order of the examples."""
    assert page(project) == page(project[::-1])


def test_the_same_page_in_every_process() -> None:
    """The page does not depend on string hashes, which differ from process to process."""
    code = (
        "import json, sys; from datetime import datetime; from artanis_client import EvaluationExample\n"
        "from artanis_client.report import report_html\n"
        "made = map(EvaluationExample.from_dict, json.load(sys.stdin))\n"
        "print(report_html(made, title='', source={}, generated_at=datetime(2026, 1, 1)))"
    )
    made = [example(dict.fromkeys("abcdefg", 1), dict.fromkeys("gfedcba", n)).to_dict() for n in (2, 3, 2)]
    one, other = (
        subprocess.run(
            [sys.executable, "-c", code],
            env={**unmeasured(), "PYTHONHASHSEED": seed},
            input=json.dumps(made),
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    )
    assert one == other
    assert "$.a" in one


class Tags(HTMLParser):
    """Collects the tags and the text of an HTML page."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


TAGS = {
    *("html", "head", "meta", "title", "style", "body", "main", "h1", "h2", "h3", "p", "dl", "dt", "dd"),
    *("figure", "figcaption", "svg", "desc", "line", "circle", "text", "rect"),
    *(
        "div",
        "details",
        "summary",
        "table",
        "caption",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "code",
        "em",
        "span",
        "time",
        "a",
    ),
}
ATTRIBUTES = {
    *("lang", "charset", "http-equiv", "name", "content", "id", "class", "scope", "colspan", "tabindex"),
    *("role", "aria-labelledby", "aria-hidden", "href", "rel"),
    *("width", "height", "x", "y", "dx", "cx", "cy", "r", "x1", "x2", "y1", "y2", "text-anchor"),
}

odd = st.one_of(
    text,
    st.sampled_from(
        ["<script>alert(1)</script>", "]]>", "</style>", "-->", "&amp;", '"\'><svg onload="x">', "\x00\x1b[2J"]
    ),
    st.sampled_from(["\ud83d", "\ufffe", "a\u0301", "\u202egnp.exe", "語" * 40, "w" * 700, "", " ", "👩‍💻"]),
)
leaf = st.none() | st.booleans() | st.integers() | st.floats() | odd
json_values = st.recursive(
    leaf, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(odd, inner, max_size=3), max_leaves=8
)


@pytest.mark.once
@settings(max_examples=150 if IS_SLOW else 75, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    made=st.lists(
        st.builds(
            example,
            json_values,
            json_values,
            trace_id=odd,
            step_id=odd,
            prompt_version_id=st.none() | odd,
            created_at=st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC)),
        ),
        max_size=6,
    ),
    title=odd,
    source=st.dictionaries(odd, odd, max_size=2),
    names=st.dictionaries(odd, odd, max_size=3),
    link=st.sampled_from([None, "https://example.com/{trace_id}?a&b='\"<é>"]),
)
def test_odd_text(
    made: list[EvaluationExample], title: str, source: dict[str, str], names: dict[str, str], link: str | None
) -> None:
    """Whatever the API sends, the page can be encoded, is well-formed, and shows text as text."""
    html = page(made * 2, title=title, source=source, prompt_names=names, link=link)
    html.encode()
    root = parse(html)
    parser = Tags()
    parser.feed(html)
    parser.close()
    assert parser.tags == [element.tag for element in root.iter()]
    assert parser.text.strip() == words(root).strip()
    style = words(next(root.iter("style")))
    assert all(char.isprintable() or char == "\n" for char in words(root).replace(style, ""))
    heading = words(next(root.iter("h1")))
    assert heading.removesuffix("…") == printable(title)
    assert set(parser.tags) <= TAGS
    assert {name for element in root.iter() for name in element.attrib} <= ATTRIBUTES


def nested(depth: int, core: Any) -> Any:
    for _ in range(depth):
        core = {"a": [core]}
    return core


def test_deep_values() -> None:
    """Values that are nested too deeply for a recursion are compared, too."""
    root = parse(page([example(nested(2_000, 1), nested(2_000, 2))] * 2))
    [[step, path, old, new, count, _]] = table(root, "changes")
    assert (step, old, new, count) == ("classify", "1", "2", "2")
    assert path.startswith("$.a[*].a[*]")
    assert path.endswith("…")
    [[_, _, old, _, _, _]] = table(parse(page([example(nested(100_000, 1), 2)] * 2)), "changes")
    assert old == "(nested too deeply to show)"


def test_it_refers_to_nothing(project: list[EvaluationExample]) -> None:
    """The page needs neither the network nor scripts, and forbids both."""
    html = page(project)
    root = parse(html)
    assert root.get("lang") == "en"
    [policy] = [each for each in root.iter("meta") if each.get("http-equiv") == "Content-Security-Policy"]
    assert policy.get("content") == "default-src 'none'; style-src 'unsafe-inline'"
    assert not re.search(
        r"url\(|@import|@font-face|https?:|//|\bhref|\bsrc=|\bon[a-z]+=|<script|<link|<img|<base", html
    )


def test_it_can_be_heard(project: list[EvaluationExample]) -> None:
    """A screen reader finds titles, descriptions, a hierarchy of headings, and headers in tables."""
    root = parse(page(project))
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    assert len(ids) == len(set(ids))
    for element in root.iter():
        assert set(element.get("aria-labelledby", "").split()) <= set(ids)
    for chart in charts(root):
        assert chart.get("role") == "img"
        heading, description = chart.find("title"), chart.find("desc")
        assert heading is not None
        assert description is not None
        assert chart.get("aria-labelledby") == f"{heading.get('id')} {description.get('id')}"
        assert words(heading)
        assert "table below" in words(description)
    assert len(charts(root)) == 1 + len({made.step_id for made in project})
    levels = [int(element.tag[1]) for element in root.iter() if re.fullmatch("h[1-6]", element.tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    for each in root.iter("table"):
        assert each.find("caption") is not None
        columns = [cell.get("scope") for cell in each.iterfind("thead/tr/th")]
        assert set(columns) == {"col"}
        for row in each.iterfind("tbody/tr"):
            assert row.find("th") is not None
            assert sum(int(cell.get("colspan", 1)) for cell in row) == len(columns)


def luminance(colour: str) -> float:
    """Return the relative luminance as WCAG 2 defines it."""
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_it_can_be_seen() -> None:
    """Text and marks have a contrast of at least 4.5, in light and in dark mode; all colours are variables."""
    style = STYLE
    themes = [
        dict(re.findall(r"--(\w+): (#[0-9a-f]{6});", block)) for block in re.findall(r":root \{[^}]*--[^}]*\}", style)
    ]
    light, dark = (theme for theme in themes if theme)
    assert light.keys() == dark.keys() == set(re.findall(r"var\(--(\w+)\)", style))
    for theme in (light, dark):
        paper = luminance(theme["paper"])
        for name in ("ink", "quiet", "mark"):
            darker, lighter = sorted([paper, luminance(theme[name])])
            assert (lighter + 0.05) / (darker + 0.05) >= 4.5, name
    assert luminance(dark["paper"]) < 0.1 < luminance(light["paper"])
    assert len(re.findall("#[0-9a-f]{3,8}", style)) == 2 * len(light)


def test_every_style_is_used(project: list[EvaluationExample]) -> None:
    """Every class in the style sheet is used, and every used class is in the style sheet."""
    root = parse(page([*project, *(example(created_at=NOON + timedelta(weeks=weeks)) for weeks in range(50))]))
    used = {name for element in root.iter() for name in element.get("class", "").split()}
    styled = set(re.findall(r"\.([a-z]+)\b(?=[^{}]*\{)", STYLE))
    assert styled <= used
    assert used - styled <= {"text"}


def test_size_of_10_000_traces() -> None:
    """The size of the page has a limit that does not depend on the number of traces."""
    steps = [example(number % 7, 1, step_id=f"step-{number % 3}") for number in range(21)]
    usual = page(
        attrs.evolve(steps[number % 21], created_at=NOON - timedelta(hours=number % 1500)) for number in range(30_000)
    )
    assert len(usual.encode()) < 60_000
    long = "語" * 900
    hostile = page(
        example(
            {f"{number}": long},
            long + "y",
            step_id=f"{number} {long}",
            prompt_version_id=f"{number} {long}",
            created_at=NOON - timedelta(weeks=number),
        )
        for number in range(10_000)
    )
    assert len(hostile.encode()) < 1_000_000
    assert "Of 10,000 steps, the 40" in hostile
    assert "Of 10,000 weeks, the last 104 are" in hostile
    versions = page(example(prompt_version_id=f"v{number}") for number in range(10_000))
    assert len(versions.encode()) < 250_000
    assert "Of 10,000 prompt versions, the 200" in versions


def test_it_is_pure() -> None:
    """The report is computed from examples; it reads nothing but its own files."""
    parts: set[str] = set()
    others: set[str] = set()
    for path in FOLDER.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level == 2:
                parts.add((node.module or "").partition(".")[0])
            elif isinstance(node, ast.ImportFrom) and not node.level:
                others.add(node.module or "")
            elif isinstance(node, ast.Import):
                others |= {alias.name for alias in node.names}
    assert parts == {"_errors", "evaluation"}
    assert others <= {
        *("__future__", "collections", "collections.abc", "datetime", "functools", "importlib.resources", "itertools"),
        *("attrs", "jinja2", "json", "typing", "unicodedata", "urllib.parse"),
    }


def test_everything_is_escaped() -> None:
    """Markup in any value is shown as text: the template escapes every value."""
    hostile = "<script>alert(1)</script>"
    made = [
        example(
            {hostile: hostile}, {hostile: f"{hostile}!"}, step_id=hostile, prompt_version_id=version, created_at=day
        )
        for version, day in ((f"{hostile}1", NOON), ("v2", NOON + timedelta(weeks=1)))
        for _ in range(2)
    ]
    made.append(example(hostile, None, step_id=hostile, feedback=(hostile,), metadata={hostile: hostile}))
    html = page(made, title=hostile, source={hostile: hostile}, prompt_names={"v2": hostile})
    assert "<script" not in html
    root = parse(html)
    assert table(root, "versions")[1][:2] == [hostile, hostile]
    assert table(root, "versions")[0][-1] == f"{hostile}1"
    assert table(root, "weeks")[1][-1] == hostile
    assert table(root, "backlog")[0][0] == hostile
    assert table(root, "places")[0][:2] == [hostile, f'$["{hostile}"]']
    assert table(root, "changes")[0][2:4] == [f'"{hostile}"', f'"{hostile}!"']
    assert {words(each) for each in (*root.iter("h1"), *root.iter("h3"), *root.iter("dt"), *root.iter("dd"))} == {
        *(hostile, "Generated", "2026-04-08T12:00:00Z")
    }
    templates = "".join(path.read_text(encoding="utf-8") for path in FOLDER.glob("*.j2"))
    assert re.findall(r"\w+\|safe|autoescape|Markup", templates) == []


def test_without_jinja2() -> None:
    """Without Jinja2, the error says how to install it, before any example is read."""
    code = (
        "import sys; sys.modules['jinja2'] = None; from datetime import datetime\n"
        "from artanis_client.report import report_html\n"
        "report_html(iter(lambda: print('read'), 1), title='', source={}, generated_at=datetime(2026, 1, 1))"
    )
    done = subprocess.run([sys.executable, "-c", code], env=unmeasured(), capture_output=True, text=True, check=False)
    assert done.stderr.endswith("ImportError: the HTML report needs an extra: pip install 'artanis-client[cli]'\n")
    assert done.stdout == ""

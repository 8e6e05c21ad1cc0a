"""Outcomes, evaluation examples and scorecards."""

from __future__ import annotations

import copy
import hashlib
import json
import math
import pickle
import weakref
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from fractions import Fraction
from statistics import NormalDist
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from artanis_client import Artanis, EvaluationExample, Outcome, examples, models, outcome, scorecard, split
from artanis_client.sandbox import Sandbox
from support import IS_SLOW, NOW, Server, span, trace

thorough = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))

NAN = float("nan")
NOON = datetime(2026, 4, 8, 12, tzinfo=UTC)

# Few values, and ones that are easily confused, so that two of them drawn independently are often equal.
confusable = st.sampled_from(
    [None, False, True, 0, 1, 0.0, -0.0, 1.0, 2**53, 2**53 + 1, 2.0**53, NAN, "", "1", "\u00e9", "e\u0301"]
)
# Text as JSON brings it: with lone surrogates, but a pair of them is one character.
text = st.text(st.characters(exclude_categories=())).map(lambda value: str(json.loads(json.dumps(value))))
leaf = confusable | st.integers() | st.floats() | text


def nested(leaves: st.SearchStrategy[Any], keys: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    return st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3))


json_values = nested(leaf, text)
json_objects = st.dictionaries(text, json_values, max_size=3)
small_values = nested(confusable, st.sampled_from("ab"))


def judged(output: Any, approved_output: Any) -> Outcome:
    return outcome(models.Span.from_dict(span(output=output, approvedOutput=approved_output)))


def canonical(value: Any) -> Any:
    """Map values that are equal as JSON to one value, and all others to different ones, without comparing numbers."""
    if isinstance(value, dict):
        return "object", frozenset((key, canonical(inner)) for key, inner in value.items())
    if isinstance(value, list):
        return "array", tuple(map(canonical, value))
    if isinstance(value, int | float) and not isinstance(value, bool):
        return "number", str(Fraction(value) if math.isfinite(value) else value)
    return type(value).__name__, value


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of each part of a value that contains no further parts."""
    if isinstance(value, dict | list) and value:
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(inner, (*path, key))
    else:
        yield path


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    changed = copy.copy(value)
    changed[path[0]] = replaced(value[path[0]], path[1:], new)
    return changed


def reordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: reordered(value[key]) for key in reversed(value)}
    return [reordered(inner) for inner in value] if isinstance(value, list) else value


def detail(*spans: dict[str, Any], feedback: list[dict[str, Any]] | None = None) -> models.TraceDetail:
    return models.TraceDetail.from_dict(trace(spans=list(spans), feedback=feedback or []))


def comment(content: str, created: str, span_id: str = span()["id"]) -> dict[str, Any]:
    return {"id": content, "spanId": span_id, "userId": "u", "content": content, "createdAt": created}


def example(**fields: Any) -> EvaluationExample:
    [made] = examples(detail(span()))
    return attrs.evolve(made, **fields)


@pytest.mark.parametrize(
    ("output", "approved"),
    [
        ({"a": 1, "b": [None]}, {"b": [None], "a": 1.0}),
        (0, -0.0),
        (10**400, 10**400),
        (math.inf, math.inf),
        (NAN, float("nan")),
        ([{"a": NAN}], [{"a": float("nan")}]),
        ("\ud800", "\ud800"),
        (2**53, 2.0**53),
        ([], []),
        ("", ""),
        (False, False),
    ],
)
def test_accepted(output: Any, approved: Any) -> None:
    """An output is accepted if the approved output equals it as JSON, including NaN and infinity."""
    assert judged(output, approved) is judged(approved, output) is Outcome.ACCEPTED


@pytest.mark.parametrize(
    ("output", "approved"),
    [
        (1, True),
        (0, False),
        (1.0, True),
        ([{"a": 0}], [{"a": False}]),
        ({"a": True, "b": 1}, {"a": 1, "b": True}),
        (2**53 + 1, 2.0**53),
        (10**400, math.inf),
        (NAN, math.inf),
        (NAN, 0),
        (math.inf, -math.inf),
        ("1", 1),
        ("no", "no "),
        ("no", "No"),
        ("\u00e9", "e\u0301"),
        ("\ud83d\ude00", "😀"),
        ([], {}),
        ([], False),
        ("", []),
        ([1, 2], [2, 1]),
        ([1], [1, 1]),
        ({"a": 1}, {"b": 1}),
        ({"a": 1}, {"a": 1, "b": None}),
        ({"a": None}, {"a": {}}),
    ],
)
def test_corrected(output: Any, approved: Any) -> None:
    """Any other approved output is a correction, even one that Python or Unicode normalization calls equal."""
    assert judged(output, approved) is judged(approved, output) is Outcome.CORRECTED


@pytest.mark.parametrize("output", [None, False, 0, "", [], {}, {"label": "other"}])
def test_unreviewed(output: Any) -> None:
    """A span whose approved output is null is unreviewed, whatever its output."""
    assert judged(output, None) is Outcome.UNREVIEWED


def test_a_null_that_was_corrected() -> None:
    """A null output can be corrected."""
    assert judged(None, {}) is Outcome.CORRECTED


def test_deep_nesting() -> None:
    """Values nested deeper than Python can recurse are compared completely."""

    def deep(value: Any) -> Any:
        for _ in range(5_000):
            value = {"inner": [value]}
        return value

    assert judged(deep(1), deep(1.0)) is Outcome.ACCEPTED
    assert judged(deep(1), deep(True)) is Outcome.CORRECTED


@pytest.mark.once
@thorough
@given(json_values)
def test_reflexive(value: Any) -> None:
    """Every output equals its copy, and a copy with the keys in another order."""
    assume(value is not None)
    assert judged(value, pickle.loads(pickle.dumps(value))) is Outcome.ACCEPTED
    assert judged(value, reordered(value)) is Outcome.ACCEPTED


@pytest.mark.once
@thorough
@given(small_values, small_values)
def test_agrees_with_a_slow_comparison(one: Any, other: Any) -> None:
    """The result is that of comparing canonical forms, in either order."""
    assume(one is not None and other is not None)
    expected = Outcome.ACCEPTED if canonical(one) == canonical(other) else Outcome.CORRECTED
    assert judged(one, other) is judged(other, one) is expected


@pytest.mark.once
@thorough
@given(st.data(), json_values, leaf)
def test_one_change(data: st.DataObject, value: Any, new: Any) -> None:
    """A change of one value is a correction at any depth; the same number in another type is not."""
    path = data.draw(st.sampled_from(list(leaves(value))))
    other = replaced(value, path, new)
    assume(value is not None and other is not None)
    expected = Outcome.ACCEPTED if canonical(value) == canonical(other) else Outcome.CORRECTED
    assert judged(value, other) is expected


def test_from_the_wire(server: Server) -> None:
    """Very large numbers and lone surrogates arrive and are compared."""
    fields = '{"x": [1e308, -0.0, "1e999 NaN", "\\ud800"], "y": 9007199254740993}'
    changed = fields.replace("993}", "992.0}")
    spans = [span(output="<1>", approvedOutput="<1>"), span(output="<1>", approvedOutput="<2>")]
    body = json.dumps(trace(spans=spans, feedback=[])).replace('"<1>"', fields).replace('"<2>"', changed)
    server.answer(body=body.encode())
    with Artanis(**server.credentials) as client:
        made = examples(client.traces.get("t"))
    assert [one.outcome for one in made] == ["accepted", "corrected"]
    assert repr(EvaluationExample.from_dict(json.loads(json.dumps(made[1].to_dict())))) == repr(made[1])


def test_an_example_has_everything() -> None:
    """An example has the ids of its trace, span and prompt version, both outputs, comments, times and metadata."""
    made = examples(
        detail(
            span(promptVersionId="v1"),
            feedback=[comment("Not this.", "2026-04-08T09:05:00.000Z")],
        )
    )
    assert [one.to_dict() for one in made] == [
        {
            "trace_id": "3f2b8a44-0c7e-4f0f-b6a5-9f1c2d3e4f50",
            "span_id": "8c1d7e60-2f4b-4a39-8e7d-0a1b2c3d4e51",
            "step_id": "classify",
            "prompt_version_id": "v1",
            "input": "Where is my order?",
            "output": {"label": "other"},
            "approved_output": {"label": "shipping"},
            "outcome": "corrected",
            "feedback": ["Not this."],
            "metadata": {"latency_ms": 412},
            "trace_metadata": {"user_id": "user-123"},
            "trace_status": "completed",
            "created_at": "2026-04-08T09:00:01.000Z",
            "trace_created_at": "2026-04-08T09:00:00.000Z",
            "trace_updated_at": "2026-04-08T09:00:05.000Z",
        }
    ]


@pytest.mark.parametrize("fields", [{}, {"promptVersionId": None}])
def test_no_prompt_version(fields: dict[str, Any]) -> None:
    """A missing or null prompt version becomes None."""
    [made] = examples(detail(span(**fields)))
    assert made.prompt_version_id is None


def test_feedback_in_order() -> None:
    """An example has the comments on its span, oldest first; comments on unknown spans are ignored."""
    comments = [
        comment("three", "2026-04-08T09:07:00.000Z"),
        comment("one", "2026-04-08T11:05:00.000+02:00"),
        comment("lost", "2026-04-08T09:05:30.000Z", "no-such-span"),
        comment("two", "2026-04-08T09:06:00.000"),
        comment("of b", "2026-04-08T09:05:00.000Z", "b"),
    ]
    made = examples(detail(span(), span(id="b"), span(id="c"), feedback=comments))
    assert [one.feedback for one in made] == [("one", "two", "three"), ("of b",), ()]


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({}, "abcd"),
        ({"outcomes": Outcome.ACCEPTED}, "ad"),
        ({"outcomes": "accepted"}, "ad"),
        ({"outcomes": ["corrected", Outcome.UNREVIEWED]}, "bc"),
        ({"outcomes": iter(["corrected"])}, "b"),
        ({"outcomes": []}, ""),
        ({"steps": "answer"}, "cd"),
        ({"steps": ["answer", "no-such-step"]}, "cd"),
        ({"steps": iter(["classify"])}, "ab"),
        ({"steps": []}, ""),
        ({"steps": ""}, ""),
        ({"outcomes": "accepted", "steps": {"answer"}}, "d"),
    ],
)
def test_choosing(chosen: dict[str, Any], expected: str) -> None:
    """Examples can be selected by one or several outcomes and steps, and keep the order of the trace."""
    spans = [
        span(id="a", output=1, approvedOutput=1),
        span(id="b", output=1, approvedOutput=2),
        span(id="c", stepId="answer", approvedOutput=None),
        span(id="d", stepId="answer", output=1, approvedOutput=1),
    ]
    assert "".join(one.span_id for one in examples(detail(*spans), **chosen)) == expected


@pytest.mark.parametrize("outcomes", ["good", "Accepted", ["accepted", "good"]])
def test_no_such_outcome(outcomes: Any) -> None:
    """An unknown outcome raises a ValueError that lists the known ones."""
    with pytest.raises(ValueError, match=r"(good|Accepted).*unreviewed, accepted, corrected"):
        examples(detail(), outcomes=outcomes)


moments = st.datetimes(
    datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.sampled_from([None, UTC, timezone(timedelta(hours=5.5))])
).map(lambda moment: moment.replace(fold=0))  # UTC has no daylight saving time


@pytest.mark.once
@settings(thorough, max_examples=300 if IS_SLOW else 100)  # large ones
@given(
    st.builds(
        EvaluationExample,
        trace_id=text,
        span_id=text,
        step_id=text,
        prompt_version_id=st.none() | text,
        input=json_values,
        output=json_values,
        approved_output=json_values,
        feedback=st.lists(text, max_size=3).map(tuple),
        metadata=st.none() | json_objects,
        trace_metadata=st.none() | json_objects,
        trace_status=text,
        created_at=moments,
        trace_created_at=moments,
        trace_updated_at=moments,
    )
)
def test_round_trip(made: EvaluationExample) -> None:
    """An example survives a round trip through JSON, including the types of numbers and the order of keys."""
    back = EvaluationExample.from_dict(json.loads(json.dumps(made.to_dict())))
    assert repr(back) == repr(made)
    assert back == made or "nan" in repr(made)


@pytest.mark.parametrize(
    ("moment", "written"),
    [
        (NOON, "2026-04-08T12:00:00.000Z"),
        (NOON.replace(tzinfo=None), "2026-04-08T12:00:00.000Z"),
        (NOON.astimezone(timezone(timedelta(hours=-7))), "2026-04-08T12:00:00.000Z"),
        (NOON.replace(microsecond=120_000), "2026-04-08T12:00:00.120Z"),
        (NOON.replace(microsecond=120_001), "2026-04-08T12:00:00.120001Z"),
    ],
    ids=str,
)
def test_times(moment: datetime, written: str) -> None:
    """Times are converted to UTC and written as the API writes them, with more digits if they are needed."""
    made = example(created_at=moment)
    assert made.created_at.tzinfo is UTC
    assert made.to_dict()["created_at"] == written


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("created_at", "yesterday"),
        ("trace_created_at", None),
        ("trace_updated_at", 1775638801),
        ("created_at", "0001-01-01T00:00:00+14:00"),
        ("feedback", None),
        ("feedback", "Not this."),
        ("feedback", ["Not this.", 1]),
    ],
)
def test_from_dict_refuses_a_wrong_value(name: str, value: Any) -> None:
    """An invalid time or feedback that is not a list of strings raises a ValueError that names the field."""
    with pytest.raises(ValueError, match=f"Not an evaluation example: '{name}' must be"):
        EvaluationExample.from_dict({**example().to_dict(), name: value})


@pytest.mark.parametrize("name", [field.name for field in attrs.fields(EvaluationExample) if field.init])
def test_from_dict_refuses_a_missing_key(name: str) -> None:
    """A missing key raises a ValueError that names it."""
    data = example().to_dict()
    del data[name]
    with pytest.raises(ValueError, match=f"'{name}' is missing"):
        EvaluationExample.from_dict(data)


@pytest.mark.parametrize("data", [None, [], "text", 5])
def test_from_dict_needs_a_mapping(data: Any) -> None:
    """Data that is not a mapping raises a TypeError."""
    with pytest.raises(TypeError):
        EvaluationExample.from_dict(data)


def test_a_listed_trace_has_no_examples() -> None:
    """A trace from a list raises a TypeError that says how to get its spans."""
    listed: Any = models.Trace.from_dict(trace())
    with pytest.raises(TypeError, match=r"not a Trace: pass client\.traces\.get\(id\)"):
        examples(listed)


def test_the_outcome_follows() -> None:
    """The outcome is computed again from an edited file, and unknown columns are ignored."""
    data = example(approved_output=None).to_dict()
    edited = {**data, "approved_output": data["output"], "note": "mine"}
    assert EvaluationExample.from_dict(edited).outcome is Outcome.ACCEPTED
    assert attrs.evolve(example(), approved_output=None).outcome is Outcome.UNREVIEWED


def test_an_example_is_a_value() -> None:
    """An example is immutable, unhashable because JSON is, and can be copied and pickled."""
    made = example()
    assert copy.copy(made) == copy.deepcopy(made) == pickle.loads(pickle.dumps(made)) == made
    assert made != example(step_id="answer")
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        made.output = None  # type: ignore[misc]
    with pytest.raises(TypeError, match="unhashable type: 'EvaluationExample'"):
        hash(made)


SHARES = {"train": 0.8, "valid": 0.1, "test": 0.1}


@pytest.mark.parametrize("seed", [0, 7])
def test_split(seed: int) -> None:
    """An example is assigned by the hash of its trace id, as documented."""
    counts: Counter[str] = Counter()
    for number in range(2000):
        made = example(trace_id=f"trace-{number}")
        digest = hashlib.sha256(f"{seed}:trace-{number}".encode()).digest()
        position = int.from_bytes(digest[:8], "big") / 2**64
        wanted = "train" if position < 0.8 else "valid" if position < 0.9 else "test"
        assert split(made, SHARES, seed=seed) == wanted
        counts[wanted] += 1
    assert counts["train"] == pytest.approx(1600, abs=60)
    assert counts["valid"] == pytest.approx(200, abs=50)


def test_split_of_a_trace() -> None:
    """All spans of a trace are in one split, another seed assigns others, and any id is accepted."""
    made = [example(trace_id=trace_id, span_id=str(n)) for n in range(5) for trace_id in ("a", "b", "\ud83d")]
    assert len({(one.trace_id, split(one, SHARES)) for one in made}) == 3
    traces = [example(trace_id=str(n)) for n in range(50)]
    assert [split(one, SHARES) for one in traces] == [split(one, SHARES, 0) for one in traces]
    assert [split(one, SHARES, 1) for one in traces] != [split(one, SHARES, 0) for one in traces]
    assert {split(one, {"all": 1}) for one in traces} == {"all"}
    assert {split(one, dict.fromkeys("abcdefghij", 0.1)) for one in traces} <= set("abcdefghij")


@pytest.mark.parametrize(
    "shares",
    [
        {},
        {"a": 0.5},
        {"a": 0.8, "b": 0.3},
        {"a": 1.0, "b": 0.0},
        {"a": 1.5, "b": -0.5},
        {"a": float("nan")},
        {"a": float("inf")},
    ],
)
def test_shares_that_are_refused(shares: Any) -> None:
    """Shares must be positive and sum to 1."""
    with pytest.raises(ValueError, match="shares must be positive and sum to 1"):
        split(example(), shares)


def reviewed(accepted: int, corrected: int, unreviewed: int = 0, **fields: Any) -> list[EvaluationExample]:
    outputs = [1] * accepted + [2] * corrected + [None] * unreviewed
    return [example(output=1, approved_output=approved, **fields) for approved in outputs]


def test_scorecard_counts() -> None:
    """The scorecard counts spans by outcome, and unreviewed spans do not lower the rate."""
    [row] = scorecard(reviewed(3, 1, 6))["versions"]
    assert row == {
        "step_id": "classify",
        "prompt_version_id": None,
        "spans": 10,
        "reviewed": 4,
        "accepted": 3,
        "corrected": 1,
        "acceptance_rate": 0.75,
        "acceptance_low": pytest.approx(0.3006, abs=5e-5),
        "acceptance_high": pytest.approx(0.9544, abs=5e-5),
    }


def test_nothing_to_score() -> None:
    """The rate of unreviewed spans is None, and a scorecard without examples has no rows."""
    [row] = scorecard(reviewed(0, 0, 2))["versions"]
    assert (row["spans"], row["reviewed"]) == (2, 0)
    assert row["acceptance_rate"] is row["acceptance_low"] is row["acceptance_high"] is None
    assert scorecard([]) == {"versions": [], "weeks": []}


@pytest.mark.parametrize(
    ("accepted", "reviews", "low", "high"),
    # R. G. Newcombe, Two-sided confidence intervals for the single proportion, Stat Med 17 (1998), table I, method 3.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_published_intervals(accepted: int, reviews: int, low: float, high: float) -> None:
    """The intervals match published values."""
    [row] = scorecard(reviewed(accepted, reviews - accepted))["versions"]
    assert row["acceptance_low"] == pytest.approx(low, abs=5e-5)
    assert row["acceptance_high"] == pytest.approx(high, abs=5e-5)


@pytest.mark.parametrize("reviews", [1, 2, 3, 7, 50, 199])
def test_intervals_by_definition(reviews: int) -> None:
    """Each end is z standard errors from the observed rate, and only rates of 0 and 1 reach 0 and 1."""
    z = NormalDist().inv_cdf(0.975)
    for accepted in {0, 1, reviews // 2, reviews - 1, reviews}:
        [row] = scorecard(reviewed(accepted, reviews - accepted))["versions"]
        low, high, rate = row["acceptance_low"], row["acceptance_high"], row["acceptance_rate"]
        assert low is not None
        assert high is not None
        assert rate == accepted / reviews
        assert 0 <= low <= rate <= high <= 1
        assert low < high
        assert (low == 0) is (accepted == 0)
        assert (high == 1) is (accepted == reviews)
        for end in (low, high):
            assert abs(rate - end) == pytest.approx(z * math.sqrt(end * (1 - end) / reviews), abs=1e-12)


def test_scorecard_order() -> None:
    """Rows are sorted by step, then by the first use of the prompt version, with spans without a version last."""
    given_order = [
        ("b", "v1", 3),
        ("a", None, 0),
        ("a", "new", 4),
        ("a", "old", 9),
        ("a", "old", 2),
        ("a", "also-old", 2),
    ]
    made = [
        example(step_id=step, prompt_version_id=version, created_at=NOON + timedelta(hours=hours))
        for step, version, hours in given_order
    ]
    expected = [("a", "also-old", 1), ("a", "old", 2), ("a", "new", 1), ("a", None, 1), ("b", "v1", 1)]
    for order in (made, made[::-1]):
        rows = scorecard(order)["versions"]
        assert [(row["step_id"], row["prompt_version_id"], row["spans"]) for row in rows] == expected


@pytest.mark.parametrize(
    ("moment", "monday"),
    [
        ("2026-04-06T00:00:00.000Z", "2026-04-06"),
        ("2026-04-12T23:59:59.999Z", "2026-04-06"),
        ("2026-04-13T01:00:00.000+02:00", "2026-04-06"),
        ("2026-01-01T00:00:00.000Z", "2025-12-29"),
        ("2024-02-29T12:00:00.000Z", "2024-02-26"),
    ],
)
def test_weeks(moment: str, monday: str) -> None:
    """A week starts on Monday in UTC, even across years."""
    card = scorecard(examples(detail(span(createdAt=moment))))
    assert [row["week"] for row in card["weeks"]] == [monday]


def test_weeks_add_up() -> None:
    """The weeks of a step and prompt version are in order, and add up to its row."""
    later = NOON + timedelta(weeks=2)
    made = [
        *reviewed(2, 1, 1, prompt_version_id="v2", created_at=later),
        *reviewed(1, 1, prompt_version_id="v1", created_at=later),
        *reviewed(3, 0, 1, prompt_version_id="v1", created_at=NOON),
    ]
    card = json.loads(json.dumps(scorecard(one for one in made)))
    weeks = [(row["prompt_version_id"], row["week"], row["spans"], row["acceptance_rate"]) for row in card["weeks"]]
    assert weeks == [("v1", "2026-04-06", 4, 1.0), ("v1", "2026-04-20", 2, 0.5), ("v2", "2026-04-20", 4, 2 / 3)]
    assert [(row["prompt_version_id"], row["spans"], row["accepted"]) for row in card["versions"]] == [
        ("v1", 6, 4),
        ("v2", 4, 2),
    ]


def test_scorecard_keeps_nothing() -> None:
    """Examples from a generator are counted and released, so that any number of them can be scored."""
    seen: list[weakref.ref[EvaluationExample]] = []

    def generate() -> Iterator[EvaluationExample]:
        for _ in range(20):
            assert not any(ref() for ref in seen[:-1])
            made = example()
            seen.append(weakref.ref(made))
            yield made
            del made

    assert scorecard(generate())["versions"][0]["spans"] == len(seen) == 20


def test_a_project() -> None:
    """Every span of the sandbox becomes one example, and the scorecard counts each once."""
    with Sandbox(traces=40, now=NOW) as sandbox, Artanis(**sandbox.credentials) as client:
        details = [client.traces.get(one.id) for one in client.traces.list()]
    made = [one for trace in details for one in examples(trace)]
    assert [one.span_id for one in made] == [one.id for trace in details for one in trace.spans]
    assert {one.outcome for one in made} == set(Outcome)
    assert sum(len(one.feedback) for one in made) == sum(len(trace.feedback) for trace in details) > 0
    card = scorecard(made)
    for rows in card.values():
        assert isinstance(rows, list)
        assert sum(row["spans"] for row in rows) == len(made)
        assert sum(row["accepted"] for row in rows) == sum(one.outcome == "accepted" for one in made)
    assert len(card["weeks"]) > len(card["versions"]) > len({row["step_id"] for row in card["versions"]})

"""Reviewed work as data: what reviewers made of each span, spans as evaluation examples, and scores of them.

All of it is computed from traces that are here already; nothing is read or sent.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Any, Self, TypedDict

import attrs

from artanis_api.models import Span, TraceDetail


class Outcome(StrEnum):
    """What a reviewer made of a span's output."""

    UNREVIEWED = "unreviewed"
    """Nothing yet: there is no approved output."""
    ACCEPTED = "accepted"
    """The output was approved as it is."""
    CORRECTED = "corrected"
    """Another output was approved in its place."""


def outcome(span: Span) -> Outcome:
    """What a reviewer made of a span's output: whether `approved_output` is null, equal to `output`, or different.

    Equal as JSON: `1` is `1.0` but not `true`, the order of keys does not matter, and text is compared character by
    character, without normalisation.
    """
    return _outcome(span.output, span.approved_output)


def _outcome(output: Any, approved_output: Any) -> Outcome:
    if approved_output is None:
        return Outcome.UNREVIEWED
    return Outcome.ACCEPTED if _is_same_json(output, approved_output) else Outcome.CORRECTED


def _is_same_json(one: Any, other: Any) -> bool:
    """Equality as JSON has it, of values as `json.loads` makes them.

    Python's `==` is no short cut. Where it says True, a `true` may face a 1, and where it says False, a NaN may face a
    NaN, which is no JSON but what `json.loads` reads: the reviewer left it as it was. The rest of `==` is right: JSON's
    numbers have a value and no type, and Python compares int and float exactly, also where one cannot become the other.
    """
    todo: list[Iterable[tuple[Any, Any]]] = [((one, other),)]  # recursion would end at a depth of 1,000
    while todo:
        for left, right in todo.pop():
            if left is right:
                continue
            kind = left.__class__
            if kind is not right.__class__:
                if kind is bool or right.__class__ is bool or left != right:
                    return False
            elif kind is str:
                if left != right:
                    return False
            elif kind is dict:
                if left.keys() != right.keys():
                    return False
                facing: Iterable[Any] = map(right.__getitem__, left)
                todo.append(zip(left.values(), facing, strict=True))
            elif kind is list:
                if len(left) != len(right):
                    return False
                todo.append(zip(left, right, strict=True))
            elif left != right and (left == left or right == right):
                return False
    return True


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _iso(moment: datetime) -> str:
    """A time as the API writes it, with as many more digits as it takes to lose nothing."""
    precision = "microseconds" if moment.microsecond % 1000 else "milliseconds"
    return moment.replace(tzinfo=None).isoformat(timespec=precision) + "Z"


_TIMES = ("created_at", "trace_created_at", "trace_updated_at")


@attrs.frozen(kw_only=True, unsafe_hash=False)  # it holds JSON, which has no hash
class EvaluationExample:
    """A span with all that an evaluation set needs: what the step was given, what it returned, and what was right.

    `to_dict` and `from_dict` are for files. The JSON in it is that of the span, not a copy.
    """

    trace_id: str
    """Id of the trace that the span is part of."""
    span_id: str
    """Id of the span."""
    step_id: str
    """Name of the pipeline step."""
    prompt_version_id: str | None
    """Id of the prompt version that the step used, if it used one."""
    input: Any
    """What the step was given."""
    output: Any
    """What the step returned."""
    approved_output: Any
    """What a reviewer says that the step should have returned; None where nobody has yet."""
    outcome: Outcome = attrs.field(
        init=False, default=attrs.Factory(lambda self: _outcome(self.output, self.approved_output), takes_self=True)
    )
    """What the reviewer made of `output`; it follows from the two."""
    feedback: tuple[str, ...]
    """Comments of reviewers on the span, oldest first."""
    metadata: Any
    """Metadata of the span: an object, or None."""
    trace_metadata: Any
    """Metadata of the trace: an object, or None."""
    trace_status: str | None
    """State of the run, such as `completed`."""
    created_at: datetime = attrs.field(converter=_utc)
    """When the step ran, in UTC."""
    trace_created_at: datetime = attrs.field(converter=_utc)
    """When the run started, in UTC."""
    trace_updated_at: datetime = attrs.field(converter=_utc)
    """When the run was last changed, in UTC, which a review is not."""

    def to_dict(self) -> dict[str, Any]:
        """The example as JSON-ready data.

        Keys are the names of the fields, and times are as the API writes them (`2026-04-08T09:00:01.000Z`).
        """
        data = {field.name: getattr(self, field.name) for field in attrs.fields(type(self))}
        data |= {"outcome": self.outcome.value, "feedback": list(self.feedback)}
        return data | {name: _iso(data[name]) for name in _TIMES}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The example that `to_dict` made this of.

        Other keys are ignored, and so is `outcome`: it follows from the two outputs, one of which may have been edited.

        Raises:
            ValueError: A key is missing, or a time is not ISO 8601.
        """
        try:
            fields = {field.name: data[field.name] for field in attrs.fields(cls) if field.init}
        except KeyError as error:
            raise ValueError(f"Not an evaluation example: {error} is missing.") from None
        fields |= {name: datetime.fromisoformat(fields[name]) for name in _TIMES}
        fields["feedback"] = tuple(fields["feedback"])
        return cls(**fields)


def examples(
    trace: TraceDetail,
    *,
    outcomes: Iterable[Outcome | str] | None = None,
    steps: Iterable[str] | None = None,
) -> list[EvaluationExample]:
    """An example for each span of a trace, in the trace's order.

    Args:
        trace: A trace with its spans, as `client.traces.get` returns it.
        outcomes: Only spans with this outcome or one of these: `"corrected"`, `[Outcome.ACCEPTED, Outcome.CORRECTED]`.
        steps: Only spans of this step or one of these.

    Raises:
        ValueError: An outcome that there is none of.
    """
    wanted = outcomes_of(Outcome if outcomes is None else outcomes)
    wanted_steps = {steps} if isinstance(steps, str) else set(steps or ())
    feedback: dict[str, list[str]] = {}
    for comment in sorted(trace.feedback, key=lambda comment: _utc(comment.created_at)):
        feedback.setdefault(comment.span_id, []).append(comment.content)
    made = [
        EvaluationExample(
            trace_id=trace.id,
            span_id=span.id,
            step_id=span.step_id,
            prompt_version_id=span.prompt_version_id or None,
            input=span.input_,
            output=span.output,
            approved_output=span.approved_output,
            feedback=tuple(feedback.get(span.id, ())),
            metadata=span.metadata,
            trace_metadata=trace.metadata,
            trace_status=trace.status,
            created_at=span.created_at,
            trace_created_at=trace.created_at,
            trace_updated_at=trace.updated_at,
        )
        for span in trace.spans
        if steps is None or span.step_id in wanted_steps
    ]
    return [example for example in made if example.outcome in wanted]


def outcomes_of(outcomes: Iterable[Outcome | str]) -> set[Outcome]:
    try:
        return {Outcome(value) for value in ([outcomes] if isinstance(outcomes, str) else outcomes)}
    except ValueError as error:
        raise ValueError(f"{error}. There are: {', '.join(Outcome)}.") from None


class ScorecardRow(TypedDict):
    """How reviewers judged what one step returned with one version of its prompt."""

    step_id: str
    prompt_version_id: str | None
    spans: int
    """Reviewed and unreviewed ones."""
    reviewed: int
    accepted: int
    corrected: int
    acceptance_rate: float | None
    """`accepted / reviewed`; None when nothing is reviewed, as are the next two."""
    acceptance_low: float | None
    """The lower end of the rate's 95 % Wilson score interval."""
    acceptance_high: float | None
    """The upper end of it."""


class ScorecardWeek(ScorecardRow):
    """The same, of the spans that ran in one week."""

    week: str
    """The Monday on which it starts, in UTC, such as `2026-04-06`."""


class Scorecard(TypedDict):
    """Two tables, for `json.dumps`, `pandas.DataFrame(card["versions"])` or `csv.DictWriter`.

    Rows are sorted by step, then by when a version was first used, spans without one last, then by week.
    """

    versions: list[ScorecardRow]
    """A row for each step and prompt version."""
    weeks: list[ScorecardWeek]
    """A row for each of those and week in which it ran."""


def scorecard(examples: Iterable[EvaluationExample]) -> Scorecard:
    """How often reviewers accepted what the steps returned, by prompt version, and by week.

    Examples may come from a generator: each is looked at once and not kept.
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
        card["versions"].append(_row(*version, sum(weeks.values(), Counter[Outcome]())))
        card["weeks"] += [ScorecardWeek(week=str(week), **_row(*version, weeks[week])) for week in sorted(weeks)]
    return card


def _row(step_id: str, prompt_version_id: str | None, counts: Counter[Outcome]) -> ScorecardRow:
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
        # A mirror image, so that the ends are exact: 0 for none of n, and 1 for all of them.
        "acceptance_high": 1 - _wilson_low(corrected, reviewed) if reviewed else None,
    }


def _wilson_low(successes: int, trials: int) -> float:
    """The lower end of the 95 % Wilson score interval: the smaller root p of trials (rate - p)² = z² p (1 - p).

    Written as the roots' product by the larger root, because the usual difference loses digits near 0.
    """
    z = 1.959963984540054
    spread = z * math.sqrt(successes * (trials - successes) / trials + z * z / 4)
    return successes * successes / (trials * (successes + z * z / 2 + spread))

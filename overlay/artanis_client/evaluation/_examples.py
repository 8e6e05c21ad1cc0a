"""Evaluation examples: spans with everything that an evaluation set needs."""

# No `from __future__ import annotations`: attrs would copy the annotations to __init__ as strings, which
# typing.get_type_hints cannot resolve there.

import difflib
from collections.abc import Iterable, Mapping, Set
from datetime import UTC, datetime
from typing import Any, Self, cast

import attrs

from artanis_api.models import TraceDetail

from .._errors import listed
from ._outcomes import Outcome, compare_outputs, parse_outcomes

TIMES = ("created_at", "trace_created_at", "trace_updated_at")


def to_utc(moment: datetime) -> datetime:
    """Convert a time to UTC. A time without an offset is in UTC already."""
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


@attrs.frozen(kw_only=True, unsafe_hash=False)  # JSON values have no hash
class EvaluationExample:
    """A span with everything that an evaluation set needs: input, output and approved output of the step.

    `to_dict` and `from_dict` convert to and from JSON-ready data. The JSON values are those of the span, not copies.
    """

    trace_id: str
    """Id of the trace that the span belongs to."""
    span_id: str
    """Id of the span."""
    step_id: str
    """Name of the pipeline step."""
    prompt_version_id: str | None
    """Id of the prompt version that the step used; None if it used none."""
    input: Any
    """The input of the step."""
    output: Any
    """The output of the step."""
    approved_output: Any
    """The output that a reviewer approved; None if the span is unreviewed."""
    outcome: Outcome = attrs.field(
        init=False,
        default=attrs.Factory(lambda self: compare_outputs(self.output, self.approved_output), takes_self=True),
    )
    """What the reviewer decided, computed from `output` and `approved_output`."""
    feedback: tuple[str, ...]
    """Reviewers' comments on the span, oldest first."""
    metadata: Any
    """Metadata of the span: an object, or None."""
    trace_metadata: Any
    """Metadata of the trace: an object, or None."""
    trace_status: str | None
    """State of the run, such as `completed`."""
    created_at: datetime = attrs.field(converter=to_utc)
    """When the step ran, in UTC."""
    trace_created_at: datetime = attrs.field(converter=to_utc)
    """When the run started, in UTC."""
    trace_updated_at: datetime = attrs.field(converter=to_utc)
    """When the run last changed, in UTC. A review does not change it."""

    def to_dict(self) -> dict[str, Any]:
        """Return the example as JSON-ready data.

        The keys are the names of the fields. Times are written as the API writes them (`2026-04-08T09:00:01.000Z`).
        """
        data = {field.name: getattr(self, field.name) for field in attrs.fields(type(self))}
        data |= {"outcome": self.outcome.value, "feedback": list(self.feedback)}
        return data | {name: format_time(data[name]) for name in TIMES}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Restore an example from what `to_dict` returned.

        Unknown keys are ignored. So is `outcome`: it is computed again, because the outputs may have been edited.

        Raises:
            ValueError: If a key is missing, a time is not ISO 8601, or `feedback` is not a list of strings.
            TypeError: If `data` is not a mapping.
        """
        try:
            fields = {field.name: data[field.name] for field in attrs.fields(cls) if field.init}
        except KeyError as error:
            raise ValueError(f"Not an evaluation example: {error} is missing.") from None
        if not _is_list_of_strings(fields["feedback"]):
            raise ValueError("Not an evaluation example: 'feedback' must be a list of strings.")
        fields["feedback"] = tuple(fields["feedback"])
        for name in TIMES:
            try:
                fields[name] = to_utc(datetime.fromisoformat(fields[name]))
            except (TypeError, ValueError, OverflowError):
                text = f"Not an evaluation example: {name!r} must be an ISO 8601 time, not {fields[name]!r}."
                raise ValueError(text) from None
        return cls(**fields)


def _is_list_of_strings(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(each, str) for each in cast("list[Any]", value))


def format_time(moment: datetime) -> str:
    """Write a time as the API does, with microseconds only if they are needed."""
    precision = "microseconds" if moment.microsecond % 1000 else "milliseconds"
    return moment.replace(tzinfo=None).isoformat(timespec=precision) + "Z"


def examples(
    trace: TraceDetail,
    *,
    outcomes: Iterable[Outcome | str] | None = None,
    steps: Iterable[str] | None = None,
) -> list[EvaluationExample]:
    """Return an example for each span of a trace, in the order of the trace.

    Args:
        trace: A trace with its spans, from `client.traces.get` or `client.traces.iter`.
        outcomes: Return only spans with this outcome, or one of these: `"corrected"`,
            `[Outcome.ACCEPTED, Outcome.CORRECTED]`.
        steps: Return only spans of this step, or of one of these.

    Raises:
        ValueError: If an outcome is unknown.
        TypeError: If the trace has no spans because it comes from `client.traces.list`.
    """
    if not isinstance(trace, TraceDetail):
        raise TypeError(
            f"examples() needs a trace with its spans, not a {type(trace).__name__}: pass client.traces.get(id)."
        )
    wanted = parse_outcomes(Outcome if outcomes is None else outcomes)
    wanted_steps = None if steps is None else parse_steps(steps)
    feedback: dict[str, list[str]] = {}
    for comment in sorted(trace.feedback, key=lambda comment: to_utc(comment.created_at)):
        feedback.setdefault(comment.span_id, []).append(comment.content)
    found = [
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
        if wanted_steps is None or span.step_id in wanted_steps
    ]
    return [example for example in found if example.outcome in wanted]


def parse_steps(steps: Iterable[str]) -> set[str]:
    """Return one step or several as a set."""
    return {steps} if isinstance(steps, str) else set(steps)


def check_steps(steps: Iterable[str], known: Set[str]) -> None:
    """Raise ValueError if a step is not among the known ones, which it lists."""
    for step in sorted(set(steps) - known):
        nearest = difflib.get_close_matches(step, known, n=1)
        suggestion = f" Did you mean {nearest[0]!r}?" if nearest else ""
        names = f"The steps are: {listed(sorted(known))}." if known else "The project has no steps."
        raise ValueError(f"No prompt and no trace has the step {step!r}.{suggestion} {names}")

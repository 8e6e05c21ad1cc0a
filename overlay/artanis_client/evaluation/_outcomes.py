"""What a reviewer decided about the output of a span."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Any

from artanis_api.models import Span


class Outcome(StrEnum):
    """What a reviewer decided about the output of a span."""

    UNREVIEWED = "unreviewed"
    """Nothing yet: the span has no approved output."""
    ACCEPTED = "accepted"
    """The output was approved unchanged."""
    CORRECTED = "corrected"
    """A different output was approved."""


REVIEWED = frozenset({Outcome.ACCEPTED, Outcome.CORRECTED})


def outcome(span: Span) -> Outcome:
    """Return what a reviewer decided about the output of a span.

    A span without an approved output is unreviewed. Otherwise its output was accepted if it equals the approved output,
    and corrected if not. The two are compared as JSON: `1` equals `1.0` but not `true`, the order of keys does not
    matter, and strings must match character by character, without Unicode normalization.
    """
    return compare_outputs(span.output, span.approved_output)


def compare_outputs(output: Any, approved_output: Any) -> Outcome:
    """Return the outcome of a span with these outputs."""
    if approved_output is None:
        return Outcome.UNREVIEWED
    return Outcome.ACCEPTED if equal_json(output, approved_output) else Outcome.CORRECTED


def equal_json(one: Any, other: Any) -> bool:
    """Return whether two values, as `json.loads` returns them, are equal as JSON.

    Python's `==` differs in two cases: it says that `True` equals 1, and that NaN, which `json.loads` accepts, does not
    equal itself.
    """
    pairs: list[tuple[Any, Any]] = [(one, other)]  # a stack, because JSON may be nested deeper than Python can recurse
    while pairs:
        left, right = pairs.pop()
        types: set[Any] = {type(left), type(right)}
        if types == {dict}:
            if left.keys() != right.keys():
                return False
            pairs += [(value, right[key]) for key, value in left.items()]
        elif types == {list}:
            if len(left) != len(right):
                return False
            pairs += zip(left, right, strict=True)
        elif (bool in types and types != {bool}) or (left != right and (left == left or right == right)):
            return False  # NaN is the one value that is not equal to itself
    return True


def parse_outcomes(outcomes: Iterable[Outcome | str]) -> set[Outcome]:
    """Return one outcome or several as a set; raise ValueError for an unknown one."""
    try:
        return {Outcome(value) for value in ([outcomes] if isinstance(outcomes, str) else outcomes)}
    except ValueError as error:
        raise ValueError(f"{error}. Use one of: {', '.join(Outcome)}.") from None

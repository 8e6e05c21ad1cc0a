"""The most frequent corrections: where the approved outputs differ from the outputs, and how."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import takewhile, zip_longest
from typing import Any

import attrs

from ..evaluation import EvaluationExample, Outcome, equal_json

MAX_COUNTED = 10_000  # different corrections in memory at once
MAX_SHOWN = 20
MAX_VALUE = 120  # characters of a path or value
MAX_TRACES = 3  # whose ids are kept for each correction

_ABSENT: Any = object()  # stands for a value that is in only one of two outputs


@attrs.define
class Frequency:
    """In how many spans and traces something occurs, and the newest of these traces."""

    spans: int = 0
    traces: int = 0
    """The number of traces, if the spans of each come one after the other."""
    _newest: list[tuple[datetime, str]] = attrs.field(factory=list[tuple[datetime, str]])
    _last: str | None = None

    def add(self, example: EvaluationExample) -> None:
        """Count a span."""
        self.spans += 1
        if example.trace_id != self._last:
            self._last = example.trace_id
            self.traces += 1
            traces = {*self._newest, (example.trace_created_at, example.trace_id)}
            self._newest = sorted(traces, reverse=True)[:MAX_TRACES]

    @property
    def trace_ids(self) -> list[str]:
        """The ids of the newest traces, newest first."""
        return [trace_id for _, trace_id in self._newest]


class FrequentItems:
    """Counts the most frequent items in bounded memory (the Misra-Gries algorithm).

    The counts are exact for up to `MAX_COUNTED` different items. With more, each count may be too low by up to
    `missed`, and no item that is missing occurred more often than that.
    """

    def __init__(self) -> None:
        self.counts: dict[tuple[str, ...], Frequency] = {}
        self.missed = 0

    def add(self, items: Iterable[tuple[str, ...]], example: EvaluationExample) -> None:
        """Count each of the items, which occur in the example, once."""
        for item in items:
            if item not in self.counts:
                self.counts[item] = Frequency()
            self.counts[item].add(example)
        if len(self.counts) > MAX_COUNTED:
            rare = sorted((found.spans for found in self.counts.values()), reverse=True)[MAX_COUNTED // 2]
            self.missed += rare
            self.counts = {item: found for item, found in self.counts.items() if found.spans > rare}
            for found in self.counts.values():
                found.spans -= rare

    def top(self, *, at_least: int) -> list[tuple[tuple[str, ...], Frequency]]:
        """Return the most frequent items, the most frequent first."""
        found = [(item, frequency) for item, frequency in self.counts.items() if frequency.spans >= at_least]
        return sorted(found, key=lambda pair: (-pair[1].spans, pair[0]))[:MAX_SHOWN]


class Corrections:
    """Counts what reviewers changed: at which paths of the output, and from which value to which."""

    def __init__(self) -> None:
        self.spans = 0
        self.paths = FrequentItems()
        self.changes = FrequentItems()

    def watch(self, examples: Iterable[EvaluationExample]) -> Iterator[EvaluationExample]:
        """Yield the same examples, counting the corrections among them."""
        for example in examples:
            if example.outcome is Outcome.CORRECTED:
                self.spans += 1
                changes = [
                    (example.step_id, path, *_as_text(old, new))
                    for path, old, new in _find_differences(example.output, example.approved_output)
                ]
                # Not sets: their order, and with it the page, would differ from process to process.
                self.paths.add(dict.fromkeys(change[:2] for change in changes), example)
                self.changes.add(dict.fromkeys(changes), example)
            yield example


def _find_differences(output: Any, approved: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield the path and both values of every difference, as deep in the JSON as possible."""
    todo: list[tuple[str, Any, Any]] = [("$", output, approved)]  # recursion would fail at a depth of 1,000
    while todo:
        path, old, new = todo.pop()
        if len(path) > MAX_VALUE:
            path = f"{path[:MAX_VALUE]}…"
        if old.__class__ is new.__class__ is dict:
            todo += [(path + _format_key(key), old.get(key, _ABSENT), new.get(key, _ABSENT)) for key in {**old, **new}]
        elif old.__class__ is new.__class__ is list:
            todo += [(f"{path}[*]", *pair) for pair in _pair_elements(old, new)]
        elif not equal_json(old, new):
            yield path, old, new


def _pair_elements(old: Sequence[Any], new: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    """Pair the elements of two lists. If their lengths differ, leave out the equal elements at both ends."""
    start, old_end, new_end = 0, len(old), len(new)
    if old_end != new_end:
        while start < min(old_end, new_end) and equal_json(old[start], new[start]):
            start += 1
        while start < min(old_end, new_end) and equal_json(old[old_end - 1], new[new_end - 1]):
            old_end, new_end = old_end - 1, new_end - 1
    return zip_longest(old[start:old_end], new[start:new_end], fillvalue=_ABSENT)


def _format_key(key: str) -> str:
    return f".{key}" if key.isidentifier() else f"[{_json(key)}]"


def _as_text(old: Any, new: Any) -> tuple[str, str]:
    """Return two values as JSON, starting shortly before they differ; an absent one is empty."""
    texts = ["" if value is _ABSENT else _json(value) for value in (old, new)]
    start = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(*texts, strict=False))) - 20
    if start > 20 and max(map(len, texts)) > MAX_VALUE:
        texts = [f"…{text[start:]}" for text in texts]
    first, second = (text if len(text) <= MAX_VALUE else f"{text[:MAX_VALUE]}…" for text in texts)
    return first, second


def _json(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, sort_keys=True)
    except RecursionError:
        return "(nested too deeply to show)"

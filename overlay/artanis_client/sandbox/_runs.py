"""Made-up runs of a support pipeline, and what reviewers said about them.

By default `handle`, the root, calls `classify`, `retrieve` and `answer`; `answer` calls `tone`. The right output of
each step is known here, and reviewers approve it: they accept a right output and correct a wrong one.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from ._content import CASES, COMMENTS, LABELS, PROMPTS, Case
from ._random import KeyedRandom
from ._times import write_time

JsonObject = dict[str, Any]

WEEKS = 8  # between the time of the sandbox and the oldest trace, however many traces there are
DAY = 24 * 3600 * 1000  # times are whole milliseconds before `now`, the time of the sandbox, and negative after it
MINUTE = 60 * 1000
OWN_RIGHT = 0.75  # share of right outputs of a user's own steps

STEPS = {  # parent, start and duration; the times are shares of the trace's duration
    "handle": (None, 0.0, 1.0),
    "classify": ("handle", 0.02, 0.2),
    "retrieve": ("handle", 0.25, 0.08),
    "answer": ("handle", 0.35, 0.6),
    "tone": ("answer", 0.7, 0.2),
}


class Step(NamedTuple):
    """One step of a run."""

    input: object
    output: object
    right: object
    """The output that a reviewer approves; None if it is unknown."""


class Runs:
    """The runs of one project, by index: 0 is the newest of the first runs; -1, -2 and so on were added later."""

    def __init__(self, random: KeyedRandom, count: int, now: datetime, own: Mapping[str, str] | None = None) -> None:
        """Spread `count` runs evenly over the weeks before `now`, the time of the sandbox.

        `own` has the steps of prompts that a user has passed, with the active version of each. They replace the steps
        of the support pipeline: the first is the root and calls the others.
        """
        self._random = random
        self._count = count
        self._now = now
        self._own = own
        self._pipeline: Mapping[str, tuple[str | None, float, float]] = STEPS
        if own is not None:
            share = 1 / max(len(own), 1)
            root = next(iter(own), None)
            self._pipeline = {step: (None if step == root else root, n * share, share) for n, step in enumerate(own)}

    def timestamp(self, before: int) -> str:
        """Write a time, in milliseconds before `now`, as the API does."""
        return write_time(self._now - timedelta(milliseconds=before))

    def trace(self, index: int) -> JsonObject:
        """Return a trace as the list shows it."""
        began, took = self._timing(index)
        user = {"user_id": f"user-{100 + int(400 * self._random.number(index, 'user'))}"}
        return {
            "id": self._random.id("trace", index),
            "status": "failed" if self._failed(index) else "completed",
            "metadata": user if self._random.number(index, "known") < 0.9 else {},
            "createdAt": self.timestamp(began),
            "updatedAt": self.timestamp(began - took),
        }

    def detail(self, index: int) -> JsonObject:
        """Return a trace with its spans and their feedback."""
        spans = self.spans(index)
        return {**self.trace(index), "spans": spans, "feedback": list(self._feedback(index, spans))}

    def spans(self, index: int) -> list[JsonObject]:
        """Return the spans of a trace, some of them reviewed."""
        began, took = self._timing(index)
        # Reviewers have looked at few traces of the last days, and at most of the older ones.
        shares = (0, 0, 0.5, 1) if began < 5 * DAY else (0, 0.5, 1, 1, 1, 1)
        reviewed = self._random.choice(shares, index, "reviewed")
        spans: list[JsonObject] = []
        for name, step in self.steps(index).items():
            parent, start, duration = self._pipeline[name]
            span: JsonObject = {
                "id": self._random.id("span", index, name),
                "parentSpanId": self._random.id("span", index, parent) if parent else None,
                "stepId": name,
                "input": step.input,
                "output": step.output,
                "approvedOutput": step.right if self._random.number(index, "reviewed", name) < reviewed else None,
                "metadata": {"latency_ms": int(duration * took)} if self.has_prompt(name) else {},
                "createdAt": self.timestamp(began - int(start * took)),
            }
            if self.has_prompt(name):
                own = self._own or {}
                span["promptVersionId"] = own.get(name) or self._random.id(name, PROMPTS[name].at(began))
            elif name != "retrieve":  # the API may return null or leave the field out, so one step has each
                span["promptVersionId"] = None
            spans.append(span)
        return spans

    def has_prompt(self, step: str) -> bool:
        """Return whether a step of the runs had a prompt at first."""
        return step in (PROMPTS if self._own is None else self._own)

    def steps(self, index: int) -> dict[str, Step]:
        """Return the steps of a run by name."""
        return self._support_steps(index) if self._own is None else self._own_steps(index, self._own)

    def _own_steps(self, index: int, own: Iterable[str]) -> dict[str, Step]:
        """Return made-up texts for each step: nothing is known about it but its name."""
        case, order = self._case(index)
        answer, poor_answer = (text.format(order=order) for text in (case.answer, case.poor_answer))
        message = {"text": case.text.format(order=order)}
        if self._failed(index):
            return {step: Step(message, {"error": "timed out"}, None) for step in list(own)[:1]}
        return {
            step: Step(
                message, answer if self._random.number(index, "right", step) < OWN_RIGHT else poor_answer, answer
            )
            for step in own
        }

    def _case(self, index: int) -> tuple[Case, str]:
        """Return what the customer of a run asked, and an order number."""
        order = f"A-{10_000 + int(90_000 * self._random.number(index, 'order'))}"
        return self._random.choice(CASES, index, "case"), order

    def _support_steps(self, index: int) -> dict[str, Step]:
        random = self._random
        case, order = self._case(index)
        text, answer, poor_answer = (text.format(order=order) for text in (case.text, case.answer, case.poor_answer))
        began, _ = self._timing(index)
        right = {
            name: random.number(index, "right", name) < prompt.versions[prompt.at(began)].right
            for name, prompt in PROMPTS.items()
        }
        wrong_labels = [label for label in LABELS if label != case.label]
        label = case.label if right["classify"] else random.choice(wrong_labels, index, "label")
        confidence = round(0.5 + random.number(index, "confidence") / 2, 2)
        found = case.documents if random.number(index, "found") < 0.85 else ["Opening hours", *case.documents[1:]]
        reply = answer if right["answer"] else poor_answer
        friendly = right["answer"]
        tones = {verdict: {"tone": "friendly" if verdict else "curt", "send": verdict} for verdict in (True, False)}
        message = {"text": text}
        classify = Step(
            message, {"label": label, "confidence": confidence}, {"label": case.label, "confidence": confidence}
        )
        if self._failed(index):
            return {"handle": Step(message, {"error": "retrieve: timed out"}, None), "classify": classify}
        return {
            "handle": Step(message, {"label": label, "reply": reply}, {"label": case.label, "reply": answer}),
            "classify": classify,
            "retrieve": Step(text, found, case.documents),
            "answer": Step({"message": text, "documents": found}, reply, answer),
            "tone": Step(reply, tones[friendly == right["tone"]], tones[friendly]),
        }

    def _feedback(self, index: int, spans: Sequence[JsonObject]) -> Iterator[JsonObject]:
        began, took = self._timing(index)
        for span in spans:
            step = str(span["stepId"])
            accepted = span["approvedOutput"] == span["output"]
            share = 0.08 if accepted else 0.6
            if span["approvedOutput"] is None or self._random.number(index, "comment", step) > share:
                continue
            # Feedback comes half an hour to two days after the last change of the trace, and does not change the trace.
            later = took + DAY // 48 + int(2 * DAY * self._random.number(index, "later", step))
            yield {
                "id": self._random.id("feedback", index, step),
                "spanId": span["id"],
                "userId": self._random.id("reviewer", int(3 * self._random.number(index, "reviewer"))),
                "content": "Just right."
                if accepted
                else self._random.choice(COMMENTS.get(step, ["Not right."]), index, "comment", step),
                "createdAt": self.timestamp(began - later),
            }

    def _timing(self, index: int) -> tuple[int, int]:
        """Return when a trace began, in milliseconds before `now`, and how many milliseconds it took."""
        took = 1_500 + int(3_500 * self._random.number(index, "took"))
        if index < 0:
            return index * MINUTE, took
        age = (index + self._random.number(index, "began")) / self._count
        return 10_000 + int(age * WEEKS * 7 * DAY), took

    def _failed(self, index: int) -> bool:
        return index >= 0 and self._random.number(index, "failed") < 0.04

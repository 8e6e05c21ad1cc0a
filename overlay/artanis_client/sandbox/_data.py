"""What the sandbox serves: made-up data that depends on the seed and on nothing else.

A trace is one run of a support pipeline: `handle`, the root, calls `classify`, `retrieve` and `answer`, and `answer`
calls `tone`. What each step should have returned is known here, and a reviewer approves exactly that: a right output
is so accepted and a wrong one corrected.

What is changed later, one minute after the other, happens after all that.
"""

import hashlib
import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from ._content import CASES, COMMENTS, DOC_DATES, DOCS, LABELS, PROMPTS, Prompt

T = TypeVar("T")
JsonObject = dict[str, Any]

END = datetime(2026, 4, 30, 18, tzinfo=UTC)  # The newest trace is a little older than this, ...
WEEKS = 8  # ... and the oldest one at most that many weeks older, however many there are.
DAY = 24 * 3600 * 1000  # Times are kept in whole milliseconds before END, ...
MINUTE = 60 * 1000  # ... and are negative for what happens later.

STEPS = {  # parent, start, duration; the times as shares of the trace's
    "handle": (None, 0.0, 1.0),
    "classify": ("handle", 0.02, 0.2),
    "retrieve": ("handle", 0.25, 0.08),
    "answer": ("handle", 0.35, 0.6),
    "tone": ("answer", 0.7, 0.2),
}


def roll(*key: object) -> float:
    """A number in [0, 1) that depends on the key alone; `random` promises little across versions of Python."""
    digest = hashlib.blake2b("/".join(map(str, key)).encode(), digest_size=6).digest()
    return int.from_bytes(digest, "big") / 2**48


def pick(options: Sequence[T], *key: object) -> T:
    """One of the options, all equally likely, that depends on the key alone."""
    return options[int(roll(*key) * len(options))]


def encode(value: JsonObject) -> bytes:
    """A JSON body as the API sends it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _timestamp(before_end: int) -> str:
    return f"{(END - timedelta(milliseconds=before_end)).replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


class Project:
    """One project: `lists` holds the body of each list, by resource; `detail()` makes the objects behind them.

    One thread at a time may change it. Others may read meanwhile: what they read is replaced, never altered.
    """

    def __init__(self, org: str, slug: str, *, seed: int, traces: int, empty: bool = False) -> None:
        """Make the data; `empty` leaves out prompts and documents."""
        self.org = org
        self.slug = slug
        self._key = f"{seed}/{slug}"
        self.id = self._id("project")
        prompts = [] if empty else [self._prompt(step, prompt) for step, prompt in PROMPTS.items()]
        docs = [] if empty else [self._doc(title, contents) for title, contents in DOCS.items()]
        self._count = traces
        runs = [self._trace(index) for index in range(traces)]
        self._trace_index = {run["id"]: index for index, run in enumerate(runs)}
        self._details: dict[str, dict[str, JsonObject]] = {
            "prompts": {history["id"]: history for _, history in prompts},
            "traces": {},  # only those that were changed or added: the others are made when they are asked for
            "knowledge-docs": {history["id"]: history for _, history in docs},
        }
        self._changes = 0
        self.lists: dict[str, bytes] = {
            "prompts": encode({"prompts": [active for active, _ in prompts]}),
            "traces": encode({"traces": runs}),
            "knowledge-docs": encode({"knowledgeDocs": [active for active, _ in docs]}),
        }

    def detail(self, resource: str, resource_id: str) -> JsonObject | None:
        """The object with this id, or None when the project has none."""
        found = self._details[resource].get(resource_id)
        if found is None and resource == "traces" and (index := self._trace_index.get(resource_id)) is not None:
            return self._trace_detail(index)
        return found

    def add_trace(self) -> str:
        """Put a trace before all others: a run with the active versions, which nobody has reviewed."""
        index = self._next_change()
        trace_id = self._id("trace", index)
        trace = self._trace(index)
        active = {
            prompt["stepId"]: version["id"]
            for prompt in self._details["prompts"].values()
            for version in prompt["versions"]
            if version["isActive"]
        }
        spans = [{**span, "approvedOutput": None} for span in self._spans(index)]
        for span in spans:
            if span["stepId"] in PROMPTS:
                span["promptVersionId"] = active.get(span["stepId"])
        self._details["traces"][trace_id] = {**trace, "spans": spans, "feedback": []}
        self._trace_index[trace_id] = index
        start = b'{"traces":['
        others = self.lists["traces"].removeprefix(start)
        self.lists["traces"] = start + encode(trace) + (b"" if others == b"]}" else b",") + others
        return trace_id

    def delete_trace(self, trace_id: str, *, listed: bool) -> None:
        """Forget a trace; `listed` leaves it in the list."""
        index = self._trace_index.pop(trace_id)
        self._details["traces"].pop(trace_id, None)
        if not listed:
            # Of 50,000 traces, that takes milliseconds; to decode and encode the others, a fifth of a second.
            before, _, after = self.lists["traces"].partition(encode(self._trace(index)))
            if after.startswith(b","):
                self.lists["traces"] = before + after[1:]
            else:
                self.lists["traces"] = before.removesuffix(b",") + after

    def review(self, trace_id: str, step: str | None, comment: str | None) -> None:
        """Approve what one step or all should have returned, and comment on that step or the root.

        What was approved before is approved again: it is the same.
        """
        index = self._trace_index[trace_id]
        trace = self._details["traces"].get(trace_id) or self._trace_detail(index)
        ids = {span["stepId"]: span["id"] for span in trace["spans"]}
        if step not in {None, *ids}:
            raise KeyError(f"there is no step {step!r} in the trace, only {', '.join(ids)}")
        steps = self._steps(index, self._versions(self._timing(index)[0]))
        spans = [
            {**span, "approvedOutput": steps[span["stepId"]][2]} if step in (None, span["stepId"]) else span
            for span in trace["spans"]
        ]
        feedback = list(trace["feedback"])
        change = self._next_change()
        if comment is not None:
            feedback.append(
                {
                    "id": self._id("feedback", change),
                    "spanId": ids[step or "handle"],
                    "userId": self._id("reviewer", 0),
                    "content": comment,
                    "createdAt": _timestamp(change * MINUTE),
                }
            )
        self._details["traces"][trace_id] = {**trace, "spans": spans, "feedback": feedback}

    def add_version(self, prompt_id: str, content: str) -> str:
        """Give a prompt another version, which becomes the active one."""
        prompt = self._details["prompts"][prompt_id]
        version_id = self._id(prompt["stepId"], len(prompt["versions"]))
        version = {
            "id": version_id,
            "content": content,
            "isActive": False,
            "createdAt": _timestamp(self._next_change() * MINUTE),
        }
        self._details["prompts"][prompt_id] = {**prompt, "versions": [*prompt["versions"], version]}
        self.activate_version(prompt_id, version_id)
        return version_id

    def activate_version(self, prompt_id: str, version_id: str) -> None:
        """Make a version of a prompt the active one."""
        prompt = self._details["prompts"][prompt_id]
        versions = [{**version, "isActive": version["id"] == version_id} for version in prompt["versions"]]
        active = next((version for version in versions if version["isActive"]), None)
        if active is None:
            raise KeyError(f"there is no version {version_id!r} of the prompt")
        changed = {"content": active["content"], "updatedAt": _timestamp(self._next_change() * MINUTE)}
        self._details["prompts"][prompt_id] = {**prompt, "versions": versions}
        listed = json.loads(self.lists["prompts"])["prompts"]
        self.lists["prompts"] = encode(
            {"prompts": [{**other, **changed} if other["id"] == prompt_id else other for other in listed]}
        )

    def remove_prompt(self, prompt_id: str) -> None:
        """Forget a prompt and its versions."""
        del self._details["prompts"][prompt_id]
        listed = json.loads(self.lists["prompts"])["prompts"]
        self.lists["prompts"] = encode({"prompts": [prompt for prompt in listed if prompt["id"] != prompt_id]})

    def _next_change(self) -> int:
        """What to count the next change by, in minutes before END and as the index of a trace: -1, -2 and so on."""
        self._changes -= 1
        return self._changes

    def _roll(self, *key: object) -> float:
        return roll(self._key, *key)

    def _pick(self, options: Sequence[T], *key: object) -> T:
        return pick(options, self._key, *key)

    def _id(self, *key: object) -> str:
        name = "/".join(map(str, (self._key, *key)))
        return str(uuid.UUID(bytes=hashlib.blake2b(name.encode(), digest_size=16).digest(), version=4))

    def _prompt(self, step: str, prompt: Prompt) -> tuple[JsonObject, JsonObject]:
        contents = [prompt.content(version) for version in range(len(prompt.created))]
        return self._versioned(
            {"stepId": step, "outputSchema": prompt.schema}, step, contents, prompt.created, prompt.active
        )

    def _doc(self, title: str, contents: Sequence[str]) -> tuple[JsonObject, JsonObject]:
        return self._versioned({"title": title}, title, contents, DOC_DATES, len(contents) - 1)

    def _versioned(
        self, fields: JsonObject, name: str, contents: Sequence[str], dates: Sequence[str], active: int
    ) -> tuple[JsonObject, JsonObject]:
        """A prompt or document as the list shows it, and with all its versions."""
        head = {"id": self._id(name), **fields}
        versions = [
            {
                "id": self._id(name, version),
                "content": content,
                "isActive": version == active,
                "createdAt": dates[version],
            }
            for version, content in enumerate(contents)
        ]
        summary = {**head, "content": contents[active], "createdAt": dates[0], "updatedAt": dates[active]}
        return summary, {**head, "versions": versions}

    def _timing(self, index: int) -> tuple[int, int]:
        """When a trace began, before END, and how long it took, both in milliseconds."""
        took = 1_500 + int(3_500 * self._roll(index, "took"))
        if index < 0:
            return index * MINUTE, took
        age = (index + self._roll(index, "began")) / self._count
        return 10_000 + int(age * WEEKS * 7 * DAY), took

    def _failed(self, index: int) -> bool:
        return index >= 0 and self._roll(index, "failed") < 0.04

    def _trace(self, index: int) -> JsonObject:
        began, took = self._timing(index)
        known = self._roll(index, "known") < 0.9
        return {
            "id": self._id("trace", index),
            "status": "failed" if self._failed(index) else "completed",
            "metadata": {"user_id": f"user-{100 + int(400 * self._roll(index, 'user'))}"} if known else {},
            "createdAt": _timestamp(began),
            "updatedAt": _timestamp(began - took),
        }

    def _trace_detail(self, index: int) -> JsonObject:
        spans = list(self._spans(index))
        return {**self._trace(index), "spans": spans, "feedback": list(self._feedback(index, spans))}

    def _versions(self, began: int) -> dict[str, int]:
        return {step: prompt.version_at(_timestamp(began)) for step, prompt in PROMPTS.items()}

    def _spans(self, index: int) -> Iterator[JsonObject]:
        began, took = self._timing(index)
        versions = self._versions(began)
        # Reviewers have got round to few of the last days' traces, and to most of the older ones.
        reviewed = self._pick((0, 0, 0.5, 1) if began < 5 * DAY else (0, 0.5, 1, 1, 1, 1), index, "reviewed")
        for step, (given, output, right) in self._steps(index, versions).items():
            parent, start, duration = STEPS[step]
            span: JsonObject = {
                "id": self._id("span", index, step),
                "parentSpanId": self._id("span", index, parent) if parent else None,
                "stepId": step,
                "input": given,
                "output": output,
                "approvedOutput": right if self._roll(index, "reviewed", step) < reviewed else None,
                "metadata": {"latency_ms": int(duration * took)} if step in versions else {},
                "createdAt": _timestamp(began - int(start * took)),
            }
            # Of the steps without a prompt, one says null and the other says nothing: the API may do either.
            if step != "retrieve":
                span["promptVersionId"] = self._id(step, versions[step]) if step in versions else None
            yield span

    def _steps(self, index: int, versions: Mapping[str, int]) -> dict[str, tuple[object, object, object]]:
        """What each step of a trace was given, what it returned, and what it should have returned."""
        case = self._pick(CASES, index, "case")
        order = f"A-{10_000 + int(90_000 * self._roll(index, 'order'))}"
        text, answer, poor_answer = (text.format(order=order) for text in (case.text, case.answer, case.poor_answer))
        right = {
            step: self._roll(index, "right", step) < PROMPTS[step].right[version] for step, version in versions.items()
        }
        wrong_labels = [label for label in LABELS if label != case.label]
        label = case.label if right["classify"] else self._pick(wrong_labels, index, "label")
        confidence = round(0.5 + self._roll(index, "confidence") / 2, 2)
        found = case.documents if self._roll(index, "found") < 0.85 else ["Opening hours", *case.documents[1:]]
        reply = answer if right["answer"] else poor_answer
        friendly = right["answer"]
        tones = {verdict: {"tone": "friendly" if verdict else "curt", "send": verdict} for verdict in (True, False)}
        steps: dict[str, tuple[object, object, object]] = {
            "handle": ({"text": text}, {"label": label, "reply": reply}, {"label": case.label, "reply": answer}),
            "classify": (
                {"text": text},
                {"label": label, "confidence": confidence},
                {"label": case.label, "confidence": confidence},
            ),
            "retrieve": (text, found, case.documents),
            "answer": ({"message": text, "documents": found}, reply, answer),
            "tone": (reply, tones[friendly == right["tone"]], tones[friendly]),
        }
        if self._failed(index):
            return {"handle": ({"text": text}, {"error": "retrieve: timed out"}, None), "classify": steps["classify"]}
        return steps

    def _feedback(self, index: int, spans: Sequence[JsonObject]) -> Iterator[JsonObject]:
        began, took = self._timing(index)
        for span in spans:
            step = str(span["stepId"])
            accepted = span["approvedOutput"] == span["output"]
            if span["approvedOutput"] is None or self._roll(index, "comment", step) > (0.08 if accepted else 0.6):
                continue
            # Reviewers come half an hour to two days after the trace was last changed; that does not change it.
            later = took + DAY // 48 + int(2 * DAY * self._roll(index, "later", step))
            yield {
                "id": self._id("feedback", index, step),
                "spanId": span["id"],
                "userId": self._id("reviewer", int(3 * self._roll(index, "reviewer"))),
                "content": "Just right." if accepted else self._pick(COMMENTS[step], index, "comment", step),
                "createdAt": _timestamp(began - later),
            }


def make_projects(*, traces: int, seed: int) -> list[Project]:
    """Every project of the sandbox; the first has the given number of traces, the others a few or none."""
    few = min(traces, 12)
    return [
        Project("sandbox-org", "support-chat", seed=seed, traces=traces),
        Project("sandbox-org", "support-mail", seed=seed, traces=few),
        Project("sandbox-org", "new-project", seed=seed, traces=0, empty=True),
        Project("other-org", "other-project", seed=seed, traces=few),
    ]

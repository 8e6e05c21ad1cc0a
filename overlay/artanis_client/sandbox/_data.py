"""The projects of the sandbox: what the API returns, and the changes that a test can make while the sandbox runs.

The first data depends on the seed and the time alone. Changes are dated one minute after another, after all of it.
"""

import bisect
import json
from datetime import datetime, timedelta
from typing import Any

import attrs

from ._content import DOCS, PROMPTS, Versions
from ._given import complete_trace, read_prompts, read_traces
from ._random import KeyedRandom
from ._runs import MINUTE, JsonObject, Runs
from ._times import write_time

# The field of a list's body that contains the items, by resource.
LIST_KEYS = {"prompts": "prompts", "traces": "traces", "knowledge-docs": "knowledgeDocs"}


def encode(value: Any) -> bytes:
    """Encode JSON as compactly as the API does. Lone surrogates, which UTF-8 cannot express, are escaped."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")


@attrs.define
class _State:
    """What a change may replace. `copy` is what `reset` goes back to."""

    changes: int = 0
    """The number of changes, negated."""
    trace_index: dict[str, int] = attrs.field(factory=dict)
    """The indexes of made-up traces, by id."""
    listed: dict[str, dict[str, bytes]] = attrs.field(factory=lambda: {resource: {} for resource in LIST_KEYS})
    """Encoded items of the lists, by resource and id."""
    details: dict[str, dict[str, JsonObject]] = attrs.field(factory=lambda: {resource: {} for resource in LIST_KEYS})
    """Details by resource and id; of made-up traces, only changed and added ones. The others are made on request."""

    def copy(self) -> "_State":
        """Return a copy. The objects are shared, because none is ever altered."""
        listed = {resource: {**items} for resource, items in self.listed.items()}
        details = {resource: {**items} for resource, items in self.details.items()}
        return _State(self.changes, {**self.trace_index}, listed, details)


class Project:
    """One project, with its prompts, traces and knowledge docs.

    Only one thread at a time may change it. Others may read at the same time, because a change replaces objects and
    never alters them.
    """

    def __init__(
        self, org: str, slug: str, *, seed: int, now: datetime, traces: Any, prompts: Any = None, empty: bool = False
    ) -> None:
        """Make the data; with `empty`, there are no prompts and no knowledge docs.

        `traces` is the number of traces to make up, or the traces. `prompts` are those of the user.
        """
        self.org = org
        self.slug = slug
        self._now = now
        self._random = KeyedRandom(f"{seed}/{slug}")
        self.id = self._random.id("project")
        self._state = _State()
        if not empty:
            for name, versions in DOCS.items():
                self._add_versions("knowledge-docs", name, versions)
        if prompts is not None:
            for listed, history in read_prompts(prompts, self._random, now):
                self._add("prompts", listed, history)
        elif not empty:
            for name, versions in PROMPTS.items():
                self._add_versions("prompts", name, versions)
        count = traces if isinstance(traces, int) else 0
        self._runs = Runs(self._random, count, now, None if prompts is None else self._active_versions())
        for index in range(count):
            trace = self._runs.trace(index)
            self._state.trace_index[trace["id"]] = index
            self._state.listed["traces"][trace["id"]] = encode(trace)
        if not isinstance(traces, int):
            for trace in read_traces(traces, self._random, now, self._active_versions()):
                self._state.details["traces"][trace["id"]] = trace
                self._state.listed["traces"][trace["id"]] = _encode_listed(trace)
        self._initial = self._state.copy()

    def reset(self) -> None:
        """Undo all changes."""
        self._state = self._initial.copy()

    def list_body(self, resource: str) -> bytes:
        """Return the body of a list."""
        return b'{"%s":[%s]}' % (LIST_KEYS[resource].encode(), b",".join(self._state.listed[resource].values()))

    def detail(self, resource: str, resource_id: str) -> JsonObject | None:
        """Return the object with this id, or None if the project does not have it."""
        state = self._state
        found = state.details[resource].get(resource_id)
        if found is None and resource == "traces" and (index := state.trace_index.get(resource_id)) is not None:
            return self._runs.detail(index)
        return found

    def find_trace(self, span_id: str) -> JsonObject | None:
        """Return the trace that has this span, or None. Traces that were never changed are made anew for this."""
        for trace_id in [*self._state.details["traces"], *self._state.trace_index]:
            trace = self.detail("traces", trace_id) or {}
            if any(span["id"] == span_id for span in trace["spans"]):
                return trace
        return None

    def add_prompt(self, step: str, content: str) -> str:
        """Add a prompt of one version, and return its id."""
        if step in self._active_versions():
            raise ValueError(f"the step {step!r} has a prompt already; use add_version")
        change = self._next_change()
        version = {"id": self._random.id("version", change), "content": content}
        given = {"id": self._random.id("prompt", change), "stepId": step, "versions": [version]}
        given["createdAt"] = self._runs.timestamp(change * MINUTE)
        ((listed, history),) = read_prompts([given], self._random, self._now)
        self._add("prompts", listed, history)
        return str(listed["id"])

    def add_trace(self, spans: Any, created_at: datetime | None) -> str:
        """Add a trace and return its id: one with these spans, or else an unreviewed run of the active versions."""
        index = self._next_change()
        if spans is None:
            trace = self._run_active_versions(index)
            self._state.trace_index[trace["id"]] = index
        else:
            created = write_time(created_at) if created_at else self._runs.timestamp(index * MINUTE)
            given = {"spans": spans, "createdAt": created}
            trace = complete_trace("", given, self._random.id("trace", index), self._active_versions())
        self._state.details["traces"][trace["id"]] = trace
        items = [*self._state.listed["traces"].items()]
        added = trace["id"], _encode_listed(trace)
        items.insert(bisect.bisect_left(items, _sort_key(added), key=_sort_key), added)
        self._state.listed["traces"] = dict(items)
        return str(trace["id"])

    def delete_trace(self, trace_id: str, *, listed: bool) -> None:
        """Delete a trace; with `listed`, it stays in the list."""
        self._state.trace_index.pop(trace_id, None)
        self._state.details["traces"].pop(trace_id, None)
        if not listed:
            self._state.listed["traces"] = _remove_item(self._state.listed["traces"], trace_id)

    def review(self, trace_id: str, step: str | None, comment: str | None) -> None:
        """Approve the right output of one step or of all, and comment on that step or on the root."""
        trace = self.detail("traces", trace_id) or {}
        ids = {span["stepId"]: span["id"] for span in trace["spans"]}
        if step not in {None, *ids}:
            raise KeyError(f"the trace has no step {step!r}, only {', '.join(ids)}")
        if trace_id not in self._state.trace_index:
            raise ValueError("the right outputs of this trace are unknown, because it was not made up; use review_span")
        steps = self._runs.steps(self._state.trace_index[trace_id])
        spans = [
            {**span, "approvedOutput": steps[span["stepId"]].right}
            if span["approvedOutput"] is None and step in (None, span["stepId"])
            else span
            for span in trace["spans"]
        ]
        root = next(iter(ids.values()), None)
        self._replace_trace({**trace, "spans": spans}, ids[step] if step else root, comment)

    def review_span(self, trace: JsonObject, span_id: str, approved_output: Any, comment: str | None) -> None:
        """Set the approved output of one span, and comment on it."""
        spans = [
            {**span, "approvedOutput": approved_output} if span["id"] == span_id else span for span in trace["spans"]
        ]
        self._replace_trace({**trace, "spans": spans}, span_id, comment)

    def add_version(self, prompt_id: str, content: str) -> str:
        """Add a version to a prompt, make it the active one, and return its id."""
        prompt = self._state.details["prompts"][prompt_id]
        version = {
            "id": self._random.id(prompt["stepId"], len(prompt["versions"])),
            "content": content,
            "isActive": False,
            "createdAt": self._runs.timestamp(self._next_change() * MINUTE),
        }
        self._state.details["prompts"][prompt_id] = {**prompt, "versions": [*prompt["versions"], version]}
        self.activate_version(prompt_id, str(version["id"]))
        return str(version["id"])

    def activate_version(self, prompt_id: str, version_id: str) -> None:
        """Make a version of a prompt the active one."""
        prompt = self._state.details["prompts"][prompt_id]
        versions = [{**version, "isActive": version["id"] == version_id} for version in prompt["versions"]]
        active = next((version for version in versions if version["isActive"]), None)
        if active is None:
            raise KeyError(f"the prompt has no version {version_id!r}")
        changed = {"content": active["content"], "updatedAt": self._runs.timestamp(self._next_change() * MINUTE)}
        listed = json.loads(self._state.listed["prompts"][prompt_id])
        self._add("prompts", {**listed, **changed}, {**prompt, "versions": versions})

    def remove_prompt(self, prompt_id: str) -> None:
        """Delete a prompt and its versions."""
        del self._state.details["prompts"][prompt_id]
        self._state.listed["prompts"] = _remove_item(self._state.listed["prompts"], prompt_id)

    def _active_versions(self) -> dict[str, str]:
        """Return the id of the active version of each step."""
        return {
            prompt["stepId"]: version["id"]
            for prompt in self._state.details["prompts"].values()
            for version in prompt["versions"]
            if version["isActive"]
        }

    def _run_active_versions(self, index: int) -> JsonObject:
        active = self._active_versions()
        spans: list[JsonObject] = [{**span, "approvedOutput": None} for span in self._runs.spans(index)]
        for span in spans:
            if self._runs.has_prompt(span["stepId"]):
                span["promptVersionId"] = active.get(span["stepId"])
        return {**self._runs.trace(index), "spans": spans, "feedback": []}

    def _replace_trace(self, trace: JsonObject, span_id: str | None, comment: str | None) -> None:
        change = self._next_change()
        if comment is not None:
            feedback = {
                "id": self._random.id("feedback", change),
                "spanId": span_id,
                "userId": self._random.id("reviewer", 0),
                "content": comment,
                "createdAt": self._runs.timestamp(change * MINUTE),
            }
            trace = {**trace, "feedback": [*trace["feedback"], feedback]}
        self._state.details["traces"][trace["id"]] = trace

    def _add_versions(self, resource: str, name: str, contents: Versions) -> None:
        versions = [
            {
                "id": self._random.id(name, index),
                "content": version.content,
                "isActive": index == contents.active,
                "createdAt": write_time(self._now - timedelta(milliseconds=version.created)),
            }
            for index, version in enumerate(contents.versions)
        ]
        first, active = versions[0], versions[contents.active]
        item = {"id": self._random.id(name), **contents.fields}
        dates = {"createdAt": first["createdAt"], "updatedAt": active["createdAt"]}
        self._add(resource, {**item, "content": active["content"], **dates}, {**item, "versions": versions})

    def _add(self, resource: str, listed: JsonObject, detail: JsonObject) -> None:
        """Add an object as the last one of its list, or replace it. The list is a new one, because it may be read."""
        self._state.details[resource][detail["id"]] = detail
        self._state.listed[resource] = {**self._state.listed[resource], detail["id"]: encode(listed)}

    def _next_change(self) -> int:
        """Return the number of the next change: the index of an added run, and its time in minutes before `now`."""
        self._state.changes -= 1
        return self._state.changes


def _encode_listed(trace: JsonObject) -> bytes:
    return encode({key: value for key, value in trace.items() if key not in ("spans", "feedback")})


def _sort_key(item: tuple[str, bytes]) -> float:
    """Return what sorts listed traces: the newest come first."""
    return -datetime.fromisoformat(json.loads(item[1])["createdAt"]).timestamp()


def _remove_item(items: dict[str, bytes], item_id: str) -> dict[str, bytes]:
    return {key: value for key, value in items.items() if key != item_id}


def make_projects(*, traces: Any, seed: int, now: datetime, prompts: Any = None) -> list[Project]:
    """Make every project of the sandbox; the first has these traces and prompts, the others have few or none."""
    few = min(traces, 12) if isinstance(traces, int) else 12
    return [
        Project("sandbox-org", "support-chat", seed=seed, now=now, traces=traces, prompts=prompts),
        Project("sandbox-org", "support-mail", seed=seed, now=now, traces=few),
        Project("sandbox-org", "new-project", seed=seed, now=now, traces=0, empty=True),
        Project("other-org", "other-project", seed=seed, now=now, traces=few),
    ]

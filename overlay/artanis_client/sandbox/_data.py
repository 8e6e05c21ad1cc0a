"""The projects of the sandbox: what the API returns, and the changes that a test can make while the sandbox runs.

The first data depends on the seed and the time alone. Changes are dated one minute after another, after all of it.
"""

import json
from datetime import datetime
from typing import Any

from ._content import DOCS, PROMPTS, Versions
from ._random import KeyedRandom
from ._runs import MINUTE, JsonObject, Runs

# The field of a list's body that contains the items, by resource.
LIST_KEYS = {"prompts": "prompts", "traces": "traces", "knowledge-docs": "knowledgeDocs"}


def encode(value: Any) -> bytes:
    """Encode JSON as compactly as the API does."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


class Project:
    """One project, with its prompts, traces and knowledge docs.

    Only one thread at a time may change it. Others may read at the same time, because a change replaces objects and
    never alters them.
    """

    def __init__(self, org: str, slug: str, *, seed: int, now: datetime, traces: int, empty: bool = False) -> None:
        """Make the data; with `empty`, there are no prompts and no knowledge docs."""
        self.org = org
        self.slug = slug
        self._random = KeyedRandom(f"{seed}/{slug}")
        self.id = self._random.id("project")
        self._changes = 0
        self._runs = Runs(self._random, traces, now)
        self._trace_index: dict[str, int] = {}
        self._listed: dict[str, dict[str, bytes]] = {resource: {} for resource in LIST_KEYS}  # encoded items by id
        self._details: dict[str, dict[str, JsonObject]] = {
            "prompts": {},
            "traces": {},  # only changed and added ones; the others are made on request
            "knowledge-docs": {},
        }
        for index in range(traces):
            trace = self._runs.trace(index)
            self._trace_index[trace["id"]] = index
            self._listed["traces"][trace["id"]] = encode(trace)
        if not empty:
            for name, versions in PROMPTS.items():
                self._add_versions("prompts", name, versions)
            for name, versions in DOCS.items():
                self._add_versions("knowledge-docs", name, versions)

    def list_body(self, resource: str) -> bytes:
        """Return the body of a list."""
        return b'{"%s":[%s]}' % (LIST_KEYS[resource].encode(), b",".join(self._listed[resource].values()))

    def detail(self, resource: str, resource_id: str) -> JsonObject | None:
        """Return the object with this id, or None if the project does not have it."""
        found = self._details[resource].get(resource_id)
        if found is None and resource == "traces" and (index := self._trace_index.get(resource_id)) is not None:
            return self._runs.detail(index)
        return found

    def add_trace(self) -> str:
        """Add an unreviewed run of the active prompt versions as the first of the list, and return its id."""
        index = self._next_change()
        trace = self._runs.trace(index)
        trace_id = str(trace["id"])
        active = {
            prompt["stepId"]: version["id"]
            for prompt in self._details["prompts"].values()
            for version in prompt["versions"]
            if version["isActive"]
        }
        spans = [{**span, "approvedOutput": None} for span in self._runs.spans(index)]
        for span in spans:
            if span["stepId"] in PROMPTS:
                span["promptVersionId"] = active.get(span["stepId"])
        self._details["traces"][trace_id] = {**trace, "spans": spans, "feedback": []}
        self._trace_index[trace_id] = index
        self._listed["traces"] = {trace_id: encode(trace), **self._listed["traces"]}
        return trace_id

    def delete_trace(self, trace_id: str, *, listed: bool) -> None:
        """Delete a trace; with `listed`, it stays in the list."""
        del self._trace_index[trace_id]
        self._details["traces"].pop(trace_id, None)
        if not listed:
            self._listed["traces"] = _remove_item(self._listed["traces"], trace_id)

    def review(self, trace_id: str, step: str | None, comment: str | None) -> None:
        """Approve the right output of one step or of all, and comment on that step or on the root."""
        steps = self._runs.steps(self._trace_index[trace_id])
        trace = self.detail("traces", trace_id) or {}
        ids = {span["stepId"]: span["id"] for span in trace["spans"]}
        if step not in {None, *ids}:
            raise KeyError(f"the trace has no step {step!r}, only {', '.join(ids)}")
        spans = [
            {**span, "approvedOutput": steps[span["stepId"]].right} if step in (None, span["stepId"]) else span
            for span in trace["spans"]
        ]
        change = self._next_change()
        feedback = {
            "id": self._random.id("feedback", change),
            "spanId": ids[step or "handle"],
            "userId": self._random.id("reviewer", 0),
            "content": comment,
            "createdAt": self._runs.timestamp(change * MINUTE),
        }
        comments = [*trace["feedback"], *([] if comment is None else [feedback])]
        self._details["traces"][trace_id] = {**trace, "spans": spans, "feedback": comments}

    def add_version(self, prompt_id: str, content: str) -> str:
        """Add a version to a prompt, make it the active one, and return its id."""
        prompt = self._details["prompts"][prompt_id]
        version = {
            "id": self._random.id(prompt["stepId"], len(prompt["versions"])),
            "content": content,
            "isActive": False,
            "createdAt": self._runs.timestamp(self._next_change() * MINUTE),
        }
        self._details["prompts"][prompt_id] = {**prompt, "versions": [*prompt["versions"], version]}
        self.activate_version(prompt_id, str(version["id"]))
        return str(version["id"])

    def activate_version(self, prompt_id: str, version_id: str) -> None:
        """Make a version of a prompt the active one."""
        prompt = self._details["prompts"][prompt_id]
        versions = [{**version, "isActive": version["id"] == version_id} for version in prompt["versions"]]
        active = next((version for version in versions if version["isActive"]), None)
        if active is None:
            raise KeyError(f"the prompt has no version {version_id!r}")
        changed = {"content": active["content"], "updatedAt": self._runs.timestamp(self._next_change() * MINUTE)}
        listed = json.loads(self._listed["prompts"][prompt_id])
        self._details["prompts"][prompt_id] = {**prompt, "versions": versions}
        self._listed["prompts"] = {**self._listed["prompts"], prompt_id: encode({**listed, **changed})}

    def remove_prompt(self, prompt_id: str) -> None:
        """Delete a prompt and its versions."""
        del self._details["prompts"][prompt_id]
        self._listed["prompts"] = _remove_item(self._listed["prompts"], prompt_id)

    def _add_versions(self, resource: str, name: str, contents: Versions) -> None:
        versions = [
            {
                "id": self._random.id(name, index),
                "content": version.content,
                "isActive": index == contents.active,
                "createdAt": self._runs.timestamp(version.created),
            }
            for index, version in enumerate(contents.versions)
        ]
        first, active = versions[0], versions[contents.active]
        item = {"id": self._random.id(name), **contents.fields}
        dates = {"createdAt": first["createdAt"], "updatedAt": active["createdAt"]}
        self._details[resource][item["id"]] = {**item, "versions": versions}
        self._listed[resource][item["id"]] = encode({**item, "content": active["content"], **dates})

    def _next_change(self) -> int:
        """Return the number of the next change: the index of an added run, and its time in minutes before `now`."""
        self._changes -= 1
        return self._changes


def _remove_item(items: dict[str, bytes], item_id: str) -> dict[str, bytes]:
    return {key: value for key, value in items.items() if key != item_id}


def make_projects(*, traces: int, seed: int, now: datetime) -> list[Project]:
    """Make every project of the sandbox; the first has this many traces, the others have few or none."""
    few = min(traces, 12)
    return [
        Project("sandbox-org", "support-chat", seed=seed, now=now, traces=traces),
        Project("sandbox-org", "support-mail", seed=seed, now=now, traces=few),
        Project("sandbox-org", "new-project", seed=seed, now=now, traces=0, empty=True),
        Project("other-org", "other-project", seed=seed, now=now, traces=few),
    ]

"""A sandbox that changes while it runs."""

import json
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from artanis_client.sandbox import Sandbox
from support import LIMIT, NOW

HERE = {"projectSlug": "support-chat"}


class Api:
    """A sandbox and a client of it."""

    def __init__(self, sandbox: Sandbox, client: httpx.Client) -> None:
        self.sandbox = sandbox
        self.client = client

    def listed(self, resource: str) -> list[dict[str, Any]]:
        """Return the items of a list, and check that its body is compact JSON."""
        response = self.client.get(f"/api/{resource}", params=HERE)
        assert response.text == json.dumps(response.json(), ensure_ascii=False, separators=(",", ":"))
        items: list[dict[str, Any]] = response.json()[resource]
        return items

    def detail(self, resource: str, resource_id: str) -> Any:
        """Return the object with this id, or None if it is not found."""
        response = self.client.get(f"/api/{resource}/{resource_id}")
        return None if response.status_code == 404 else response.raise_for_status().json()


@pytest.fixture
def api(connect: Callable[..., httpx.Client]) -> Iterator[Api]:
    """A running sandbox for one test."""
    with Sandbox(traces=40) as sandbox:
        yield Api(sandbox, connect(sandbox))


@pytest.mark.parametrize("index", [0, 1, 39])
def test_deleted_trace(index: int, api: Api) -> None:
    """A deleted trace is neither listed nor found; the others keep their contents and order."""
    before = api.listed("traces")
    details = [api.detail("traces", trace["id"]) for trace in before]
    gone = before.pop(index)
    del details[index]
    api.sandbox.delete_trace(gone["id"])
    assert api.detail("traces", gone["id"]) is None
    assert api.listed("traces") == before
    assert [api.detail("traces", trace["id"]) for trace in before] == details


def test_deleted_but_listed(api: Api) -> None:
    """A deleted trace can stay in the list."""
    before = api.listed("traces")
    api.sandbox.delete_trace(before[3]["id"], listed=True)
    assert api.detail("traces", before[3]["id"]) is None
    assert api.listed("traces") == before


def test_all_deleted(api: Api) -> None:
    """All traces can be deleted, and new ones added afterwards."""
    for trace in api.listed("traces"):
        api.sandbox.review(trace["id"])
        api.sandbox.delete_trace(trace["id"])
        assert api.detail("traces", trace["id"]) is None
    assert api.listed("traces") == []
    added = [api.sandbox.add_trace() for _ in range(2)]
    assert [trace["id"] for trace in api.listed("traces")] == added[::-1]


def test_review(api: Api) -> None:
    """A review approves the right output of every unreviewed span and changes nothing else."""
    before = api.listed("traces")
    newly_reviewed = 0
    for trace in before:
        old = api.detail("traces", trace["id"])
        api.sandbox.review(trace["id"])
        new = api.detail("traces", trace["id"])
        approved = {span["stepId"]: span["approvedOutput"] for span in new["spans"]}
        if new["status"] == "failed":
            assert approved["handle"] is None
            assert approved["classify"] is not None
        else:
            # The root returns the outputs of `classify` and `answer`, and so its right output contains theirs.
            assert approved["handle"] == {"label": approved["classify"]["label"], "reply": approved["answer"]}
            assert approved["tone"]["send"] is (approved["tone"]["tone"] == "friendly")
        for old_span, new_span in zip(old["spans"], new["spans"], strict=True):
            newly_reviewed += old_span["approvedOutput"] != new_span["approvedOutput"]
            if old_span["approvedOutput"] is None:
                old_span["approvedOutput"] = new_span["approvedOutput"]
        assert new == old
    assert newly_reviewed > 20
    assert "failed" in {trace["status"] for trace in before}
    assert api.listed("traces") == before


def test_review_corrects(api: Api) -> None:
    """A review accepts some outputs and corrects others."""
    accepted = set()
    for _ in range(20):
        trace_id = api.sandbox.add_trace()
        api.sandbox.review(trace_id, step="answer")
        (span,) = (span for span in api.detail("traces", trace_id)["spans"] if span["approvedOutput"] is not None)
        assert span["stepId"] == "answer"
        accepted.add(span["approvedOutput"] == span["output"])
    assert accepted == {True, False}


@pytest.mark.parametrize(("step", "commented"), [("tone", "tone"), (None, "handle")])
def test_comment(step: str | None, commented: str, api: Api) -> None:
    """A comment is on the reviewed step or else on the root, and newer than the trace and earlier comments."""
    trace_id = api.sandbox.add_trace()
    api.sandbox.review(trace_id, step=step, comment="First.")
    api.sandbox.review(trace_id, step=step, comment="Second.")
    trace = api.detail("traces", trace_id)
    (span,) = (span for span in trace["spans"] if span["stepId"] == commented)
    first, second = trace["feedback"]
    assert [(item["content"], item["spanId"]) for item in (first, second)] == [
        ("First.", span["id"]),
        ("Second.", span["id"]),
    ]
    assert first["id"] != second["id"]
    assert trace["createdAt"] < trace["updatedAt"] < first["createdAt"] < second["createdAt"]


def test_comments_are_added(api: Api) -> None:
    """A new comment comes after the existing ones."""
    old = next(trace for listed in api.listed("traces") if (trace := api.detail("traces", listed["id"]))["feedback"])
    api.sandbox.review(old["id"], comment="One more.")
    *earlier, new = api.detail("traces", old["id"])["feedback"]
    assert earlier == old["feedback"]
    assert new["content"] == "One more."
    assert new["createdAt"] > old["updatedAt"]


def test_added_trace(api: Api) -> None:
    """An added trace is the newest, completed and unreviewed."""
    before = api.listed("traces")
    first, second = api.sandbox.add_trace(), api.sandbox.add_trace()
    now = api.listed("traces")
    assert [trace["id"] for trace in now[:2]] == [second, first]
    assert now[2:] == before
    assert now[0]["createdAt"] > now[1]["updatedAt"] > now[1]["createdAt"] > before[0]["updatedAt"]
    detail = api.detail("traces", second)
    spans, feedback = detail.pop("spans"), detail.pop("feedback")
    assert detail == now[0]
    assert detail["status"] == "completed"
    assert [span["stepId"] for span in spans] == ["handle", "classify", "retrieve", "answer", "tone"]
    assert [span["approvedOutput"] for span in spans] == [None] * 5
    assert feedback == []


@pytest.mark.parametrize("traces", [0, 1])
def test_added_to_few(traces: int, connect: Callable[..., httpx.Client]) -> None:
    """A trace can be added before the server starts and to an empty project, and deleted again."""
    sandbox = Sandbox(traces=traces)
    added = sandbox.add_trace()
    with sandbox:
        api = Api(sandbox, connect(sandbox))
        assert len(api.listed("traces")) == traces + 1
        assert api.listed("traces")[0]["id"] == added
        sandbox.delete_trace(added)
        assert len(api.listed("traces")) == traces


def test_added_trace_ran_with_the_active_versions(api: Api) -> None:
    """An added trace has the version ids that are active at that time, and null if the prompt was removed."""
    first, second, third = api.listed("prompts")
    new = api.sandbox.add_version(first["id"], "New.")
    oldest = api.detail("prompts", second["id"])["versions"][0]["id"]
    api.sandbox.activate_version(second["id"], oldest)
    api.sandbox.remove_prompt(third["id"])
    spans = api.detail("traces", api.sandbox.add_trace())["spans"]
    used = {span["stepId"]: span["promptVersionId"] for span in spans if "promptVersionId" in span}
    assert used == {first["stepId"]: new, second["stepId"]: oldest, third["stepId"]: None, "handle": None}


def test_same_changes_same_data(connect: Callable[..., httpx.Client]) -> None:
    """The same changes to the same data give the same result."""

    def change(seed: int) -> list[object]:
        with Sandbox(traces=3, seed=seed, now=NOW) as sandbox:
            api = Api(sandbox, connect(sandbox))
            prompt = api.listed("prompts")[0]["id"]
            version, trace = sandbox.add_version(prompt, "New."), sandbox.add_trace()
            sandbox.review(trace, comment="Right.")
            return [version, api.listed("traces"), api.detail("traces", trace), api.detail("prompts", prompt)]

    assert change(1) == change(1) != change(2)


def test_other_version(api: Api) -> None:
    """Activating another version lists its text with a later date, and changes nothing else."""
    first, second, third = api.listed("prompts")
    before = api.detail("prompts", second["id"])
    old = before["versions"][0]
    assert not old["isActive"]
    api.sandbox.activate_version(second["id"], old["id"])
    after = api.detail("prompts", second["id"])
    assert [version["id"] for version in after["versions"] if version["isActive"]] == [old["id"]]
    for version in [*before["versions"], *after["versions"]]:
        del version["isActive"]
    assert after == before
    updated = api.listed("prompts")[1]["updatedAt"]
    assert updated > second["updatedAt"]
    assert api.listed("prompts") == [first, {**second, "content": old["content"], "updatedAt": updated}, third]


def test_new_version(api: Api) -> None:
    """An added version is the newest and the active one."""
    prompt = api.listed("prompts")[0]
    before = api.detail("prompts", prompt["id"])["versions"]
    ids = [api.sandbox.add_version(prompt["id"], content) for content in ("Äpfel?", "Birnen?")]
    *others, first, second = api.detail("prompts", prompt["id"])["versions"]
    assert [first["id"], second["id"]] == ids
    assert [version["isActive"] for version in (*others, first, second)] == [False] * (len(before) + 1) + [True]
    assert before[-1]["createdAt"] < first["createdAt"] < second["createdAt"]
    listed = api.listed("prompts")[0]
    assert listed == {**prompt, "content": "Birnen?", "updatedAt": listed["updatedAt"]}
    assert listed["updatedAt"] >= second["createdAt"]


def test_removed_prompt(api: Api) -> None:
    """A removed prompt is neither listed nor found."""
    first, second, third = api.listed("prompts")
    api.sandbox.remove_prompt(second["id"])
    assert api.listed("prompts") == [first, third]
    assert api.detail("prompts", second["id"]) is None


def test_other_projects(connect: Callable[..., httpx.Client]) -> None:
    """Changes to another project leave the default project alone."""
    with Sandbox(traces=5) as sandbox:
        client = connect(sandbox, org=sandbox.other_org_slug)
        api = Api(sandbox, connect(sandbox))
        before = api.listed("traces")
        there = {"projectSlug": "other-project"}
        trace, *others = client.get("/api/traces", params=there).json()["traces"]
        sandbox.delete_trace(trace["id"])
        assert client.get("/api/traces", params=there).json()["traces"] == others
        assert api.listed("traces") == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda sandbox, _: sandbox.delete_trace("no-id"), "the sandbox has no 'no-id' among its traces"),
        (lambda sandbox, _: sandbox.review("no-id"), "the sandbox has no 'no-id' among its traces"),
        (lambda sandbox, _: sandbox.add_version("no-id", ""), "the sandbox has no 'no-id' among its prompts"),
        (lambda sandbox, _: sandbox.remove_prompt("no-id"), "the sandbox has no 'no-id' among its prompts"),
        (
            lambda sandbox, _: sandbox.activate_version("no-id", "no-id"),
            "the sandbox has no 'no-id' among its prompts",
        ),
        (
            lambda sandbox, api: sandbox.activate_version(api.listed("prompts")[0]["id"], "no-id"),
            "the prompt has no version 'no-id'",
        ),
        (
            lambda sandbox, api: sandbox.review(api.listed("traces")[0]["id"], step="no-step"),
            "the trace has no step 'no-step', only handle, classify, retrieve, answer, tone",
        ),
    ],
)
def test_unknown(change: Callable[[Sandbox, Api], None], message: str, api: Api) -> None:
    """An unknown id or step raises KeyError with its name, and changes nothing."""
    before = api.listed("traces"), api.listed("prompts")
    with pytest.raises(KeyError) as caught:
        change(api.sandbox, api)
    assert caught.value.args == (message,)
    assert (api.listed("traces"), api.listed("prompts")) == before


def test_deleted_twice(api: Api) -> None:
    """A deleted object cannot be changed."""
    first, second, *_ = api.listed("traces")
    for trace_id, listed in ((first["id"], True), (second["id"], False)):
        api.sandbox.delete_trace(trace_id, listed=listed)
        for change in (api.sandbox.delete_trace, api.sandbox.review):
            with pytest.raises(KeyError, match=trace_id):
                change(trace_id)


def test_many_threads(api: Api) -> None:
    """Concurrent changes are not lost, and responses are never half changed."""
    before = [trace["id"] for trace in api.listed("traces")]
    prompt = api.listed("prompts")[0]["id"]
    barrier = threading.Barrier(4, timeout=LIMIT)

    def change(number: int) -> list[str]:
        added: list[str] = []
        barrier.wait()
        for trace_id in before[number::4]:
            api.sandbox.delete_trace(trace_id)
            api.sandbox.add_version(prompt, trace_id)
            added.append(api.sandbox.add_trace())
        return added

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            changes = [pool.submit(change, number) for number in range(4)]
            while not all(future.done() for future in changes):
                api.listed("traces")
                versions = api.detail("prompts", prompt)["versions"]
                assert [version["isActive"] for version in versions].count(True) == 1
    finally:
        sys.setswitchinterval(interval)
    added = [trace_id for future in changes for trace_id in future.result()]
    assert sorted(trace["id"] for trace in api.listed("traces")) == sorted(added)
    assert len(set(added)) == 40
    versions = api.detail("prompts", prompt)["versions"]
    assert {version["content"] for version in versions} >= set(before)
    assert len({version["id"] for version in versions}) == len(versions)


def test_status(api: Api) -> None:
    """While a status is set, every response has it; afterwards, responses are normal again."""
    before = api.listed("traces")
    for status, message in {503: "Service unavailable", 401: "Not authenticated", 500: "Internal Server Error"}.items():
        api.sandbox.status = status
        for path in ("/api/traces", "/api/traces/x", "/elsewhere"):
            response = api.client.get(path, params=HERE)
            assert (response.status_code, response.json()) == (status, {"error": message})
        assert api.sandbox.status == status
    api.sandbox.status = 520
    assert api.client.get("/").json() == {"error": "Unknown error"}
    api.sandbox.status = None
    assert api.listed("traces") == before


def test_fault_rate_and_latency(api: Api) -> None:
    """Faults and latency can be switched on and off."""
    api.sandbox.fault_rate = 1
    assert api.sandbox.fault_rate == 1
    api.sandbox.status = 404
    assert api.client.get("/api/traces", params=HERE).status_code == 404  # a status overrides the faults
    api.sandbox.status = None
    with pytest.raises((httpx.HTTPStatusError, httpx.RemoteProtocolError)):
        api.client.get("/api/traces", params=HERE).raise_for_status()
    api.sandbox.fault_rate = 0
    api.sandbox.latency = 600
    assert api.sandbox.latency == 600
    with pytest.raises(httpx.ReadTimeout):
        api.client.get("/api/traces", params=HERE, timeout=httpx.Timeout(LIMIT, read=0.05))
    api.sandbox.latency = 0
    assert len(api.listed("traces")) == 40


@pytest.mark.parametrize(
    ("name", "value", "bounds"),
    [
        ("latency", -1, "from 0 to 3600"),
        ("latency", float("nan"), "from 0 to 3600"),
        ("fault_rate", 1.1, "from 0 to 1"),
        ("status", 200, "from 400 to 599"),
        ("status", 600, "from 400 to 599"),
    ],
)
def test_settings_out_of_range(name: str, value: float, bounds: str) -> None:
    """A setting out of range raises ValueError and leaves the old value."""
    sandbox = Sandbox(traces=0)
    before = getattr(sandbox, name)
    with pytest.raises(ValueError, match=f"^{name} must be {bounds}, not {value}$"):
        setattr(sandbox, name, value)
    assert getattr(sandbox, name) == before

"""What users can rely on in the data."""

import hashlib
import json
import re
import runpy
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import httpx
import pytest

from artanis_client.sandbox import Sandbox, _sandbox
from support import NOW

ROOT = Path(__file__).resolve().parents[2]


def digest(seed: int) -> str:
    """Return a hash of all data of a sandbox with this seed."""
    sha256 = hashlib.sha256()
    with Sandbox(traces=8, seed=seed, now=NOW) as sandbox:
        headers = {"x-api-key": sandbox.api_key, "x-org-slug": sandbox.org_slug}
        with httpx.Client(base_url=sandbox.base_url, headers=headers, trust_env=False, timeout=60) as client:
            for path in ("/api/prompts", "/api/traces", "/api/knowledge-docs"):
                listed = client.get(path, params={"projectSlug": sandbox.project_slug})
                sha256.update(listed.content)
                (items,) = listed.json().values()
                for item in items:
                    sha256.update(client.get(f"{path}/{item['id']}").content)
    return sha256.hexdigest()


@pytest.fixture(scope="session")
def traces(sandbox: Sandbox, client: httpx.Client) -> list[dict[str, Any]]:
    """The details of all traces of the default project, newest first."""
    listed = client.get("/api/traces", params={"projectSlug": sandbox.project_slug}).json()["traces"]
    return [client.get(f"/api/traces/{trace['id']}").json() for trace in listed]


@pytest.fixture(scope="session")
def prompts(sandbox: Sandbox, client: httpx.Client) -> list[dict[str, Any]]:
    """All prompts of the default project with their versions."""
    listed = client.get("/api/prompts", params={"projectSlug": sandbox.project_slug}).json()["prompts"]
    return [client.get(f"/api/prompts/{prompt['id']}").json() for prompt in listed]


def test_same_seed_same_bytes(run_python: Callable[..., Any]) -> None:
    """The data depends on the seed alone, not on the process or its hash seed."""
    assert run_python(__file__, PYTHONHASHSEED="1").stdout == f"{digest(3)}\n"


def test_same_on_every_python(sandbox: Sandbox) -> None:
    """Ids are the same with every version of Python."""
    assert sandbox.project_id == "17db87dd-6103-4b4d-aa0b-d8d46bf37075"


def test_two_organizations(sandbox: Sandbox, connect: Callable[..., httpx.Client]) -> None:
    """The other organization has its own project with its own data."""
    other = connect(sandbox, org=sandbox.other_org_slug).get("/api/traces", params={"projectSlug": "other-project"})
    mine = connect(sandbox).get("/api/traces", params={"projectSlug": sandbox.project_slug})
    other_ids, my_ids = ({trace["id"] for trace in response.json()["traces"]} for response in (other, mine))
    assert other_ids
    assert not other_ids & my_ids


def test_number_of_traces(connect: Callable[..., httpx.Client]) -> None:
    """The default project has the requested number of traces."""
    with Sandbox(traces=500) as sandbox:
        response = connect(sandbox).get("/api/traces", params={"projectSlug": sandbox.project_slug})
    assert len(response.json()["traces"]) == 500


def test_newest_first_over_weeks(traces: list[dict[str, Any]]) -> None:
    """Traces come newest first and reach back over eight weeks before the chosen time."""
    created = [trace["createdAt"] for trace in traces]
    assert created == sorted(created, reverse=True)
    assert created[0] > "2026-04-28"
    assert created[-1] < "2026-03-10"


@pytest.mark.parametrize("when", [datetime(2026, 11, 28, 9, 30, tzinfo=UTC), datetime(2027, 11, 28, tzinfo=UTC)])
def test_the_last_month_is_never_empty(
    when: datetime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The documented export of the corrections of the last month finds some in a default sandbox, in any year."""
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("**/*.md")]
    blocks = [
        block
        for page in pages
        for block in re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
        if "date.today()" in block
    ]
    assert blocks

    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
            return when.astimezone(tz)

    monkeypatch.setattr(_sandbox, "datetime", Clock)
    monkeypatch.chdir(tmp_path)
    with Sandbox() as sandbox:
        for name, value in sandbox.environment.items():
            monkeypatch.setenv(name, value)
        for block in blocks:
            script = block.replace("date.today()", f"date({when.year}, {when.month}, {when.day})")
            Path("block.py").write_text(script, encoding="utf-8")
            runpy.run_path("block.py", run_name="__main__")
    for line in capsys.readouterr().out.splitlines():
        assert int(line.split()[0]) > 10


@pytest.mark.parametrize(
    "now",
    [
        "2025-01-31T18:00Z",
        "2025-01-31T20:00:00+02:00",
        "2025-01-31T18:00",
        datetime(2025, 1, 31, 18),
        datetime(2025, 1, 31, 13, tzinfo=timezone(timedelta(hours=-5))),
    ],
)
def test_all_dates_move_with_the_time(now: str | datetime, connect: Callable[..., httpx.Client]) -> None:
    """With another time, all dates move by the same amount and nothing else changes, changes included."""

    def read(now: str | datetime, by: timedelta) -> object:
        with Sandbox(traces=9, now=now) as sandbox:
            sandbox.review(sandbox.add_trace(), comment="Right.")
            client = connect(sandbox)
            bodies: list[Any] = []
            for path in ("/api/prompts", "/api/traces", "/api/knowledge-docs"):
                bodies.append(client.get(path, params={"projectSlug": sandbox.project_slug}).json())
                (items,) = bodies[-1].values()
                bodies += [client.get(f"{path}/{item['id']}").json() for item in items]

        def moved(found: re.Match[str]) -> str:
            return (datetime.fromisoformat(found[0]) + by).isoformat(timespec="milliseconds")

        return re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", moved, json.dumps(bodies))

    assert read(now, timedelta(days=454)) == read(NOW, timedelta())


@pytest.mark.parametrize("now", ["yesterday", "", 0, date(2026, 4, 30)])
def test_now_is_a_time(now: Any) -> None:
    """Anything but a time is a ValueError that shows a valid one."""
    with pytest.raises(ValueError, match=r"^now must be a datetime or ISO 8601 text such as 2026-04-30T18:00Z, not "):
        Sandbox(now=now)


@pytest.mark.parametrize("now", ["0001-01-01", "9999-12-31T23:59Z"])
def test_now_leaves_room(now: str) -> None:
    """There must be time for what the sandbox makes up before it, and for changes after it."""
    with pytest.raises(ValueError, match=rf"^the year of now must be from 2 to 9998, not {int(now[:4])}$"):
        Sandbox(now=now)


def test_timestamps(traces: list[dict[str, Any]], prompts: list[dict[str, Any]]) -> None:
    """Every timestamp is in UTC with milliseconds."""
    timestamps = re.findall(r'At": "(.*?)"', json.dumps([traces, prompts]))
    assert len(timestamps) > 100
    assert [text for text in timestamps if not re.fullmatch(r"2026-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", text)] == []


def test_one_active_version(prompts: list[dict[str, Any]]) -> None:
    """Each prompt has several different versions, oldest first, and one of them is active."""
    assert {prompt["stepId"] for prompt in prompts} == {"classify", "answer", "tone"}
    for prompt in prompts:
        versions = prompt["versions"]
        assert [version["isActive"] for version in versions].count(True) == 1
        assert len({version["content"] for version in versions}) == len(versions) >= 3
        assert versions == sorted(versions, key=lambda version: version["createdAt"])


def test_spans_are_a_tree(traces: list[dict[str, Any]]) -> None:
    """Each trace has one root; every other span has an earlier parent, and some are two levels deep."""
    depths: Counter[int] = Counter()
    for trace in traces:
        depth: dict[str, int] = {}
        for span in trace["spans"]:
            parent = span["parentSpanId"]
            depth[span["id"]] = 0 if parent is None else depth[parent] + 1
            assert trace["createdAt"] <= span["createdAt"] <= trace["updatedAt"]
        assert list(depth.values()).count(0) == 1
        depths.update(depth.values())
    assert set(depths) == {0, 1, 2}


def test_prompt_versions_of_spans(traces: list[dict[str, Any]], prompts: list[dict[str, Any]]) -> None:
    """A span has a prompt version that existed when it ran, or null, or no such field."""
    versions = {
        version["id"]: (prompt["stepId"], version["createdAt"]) for prompt in prompts for version in prompt["versions"]
    }
    without: set[tuple[str, bool]] = set()
    for span in (span for trace in traces for span in trace["spans"]):
        if span.get("promptVersionId") is None:
            without.add((span["stepId"], "promptVersionId" in span))
        else:
            step, created = versions[span["promptVersionId"]]
            assert step == span["stepId"]
            assert created <= span["createdAt"]
    assert without == {("handle", True), ("retrieve", False)}


def outcome(span: dict[str, Any]) -> str:
    """Return the outcome of a review: unreviewed, accepted or corrected."""
    if span["approvedOutput"] is None:
        return "unreviewed"
    return "accepted" if span["approvedOutput"] == span["output"] else "corrected"


def test_outcomes_of_every_step(traces: list[dict[str, Any]]) -> None:
    """Each of the three outcomes occurs at each step."""
    seen = {(span["stepId"], outcome(span)) for trace in traces for span in trace["spans"]}
    steps = ("handle", "classify", "retrieve", "answer", "tone")
    assert seen == {(step, kind) for step in steps for kind in ("unreviewed", "accepted", "corrected")}


def test_newer_versions_are_better(connect: Callable[..., httpx.Client]) -> None:
    """Reviewers accept more outputs of newer prompt versions."""
    reviewed: Counter[str] = Counter()
    accepted: Counter[str] = Counter()
    with Sandbox(traces=150) as sandbox:
        client = connect(sandbox)
        params = {"projectSlug": sandbox.project_slug}
        for trace in client.get("/api/traces", params=params).json()["traces"]:
            for span in client.get(f"/api/traces/{trace['id']}").json()["spans"]:
                version = span.get("promptVersionId")
                reviewed[version] += outcome(span) != "unreviewed"
                accepted[version] += outcome(span) == "accepted"
        for prompt in client.get("/api/prompts", params=params).json()["prompts"]:
            ids = [version["id"] for version in client.get(f"/api/prompts/{prompt['id']}").json()["versions"]]
            rates = [accepted[version] / reviewed[version] for version in ids if reviewed[version]]
            assert len(rates) >= 2
            assert rates == sorted(rates)


def test_feedback_moves_nothing(traces: list[dict[str, Any]]) -> None:
    """Feedback is on a reviewed span and newer than the last change of the trace."""
    assert sum(len(trace["feedback"]) for trace in traces) > 5
    for trace in traces:
        reviewed = {span["id"] for span in trace["spans"] if outcome(span) != "unreviewed"}
        for comment in trace["feedback"]:
            assert comment["spanId"] in reviewed
            assert comment["createdAt"] > trace["updatedAt"]


def test_variety(traces: list[dict[str, Any]]) -> None:
    """The data has outputs of different types, empty metadata, and failed runs."""
    outputs = {type(span["output"]).__name__ for trace in traces for span in trace["spans"]}
    assert outputs == {"dict", "list", "str"}
    assert {trace["status"] for trace in traces} == {"completed", "failed"}
    assert {} in [trace["metadata"] for trace in traces]


if __name__ == "__main__":
    print(digest(3))

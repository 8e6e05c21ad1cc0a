"""`client.traces.iter`: every trace in the list's order, several at a time, and nothing left behind."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import logging
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import anyio
import httpx
import pytest
import trustme

from artanis_client import (
    APIResponseValidationError,
    Artanis,
    ArtanisError,
    AsyncArtanis,
    AuthenticationError,
    InternalServerError,
    NotFoundError,
    Progress,
    RateLimitError,
    _clock,
    _retry,
    models,
)
from artanis_client.bulk import _window
from artanis_client.sandbox import Sandbox
from support import (
    KEY,
    LIMIT,
    NOW,
    Answer,
    Both,
    Request,
    Server,
    ids,
    serve,
    trace,
    unmeasured,
    until,
    wait_until,
)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(traces=60, now=NOW) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def details(sandbox: Sandbox) -> list[models.TraceDetail]:
    """Every trace of the sandbox, read one after another."""
    with Artanis(**sandbox.credentials, timeout=LIMIT) as client:
        return [client.traces.get(listed.id) for listed in client.traces.list()]


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of a loop waits for its workers, however busy the machine is."""
    for module in ("_threads", "_tasks"):
        monkeypatch.setattr(f"artanis_client.bulk.{module}.STOP_TIMEOUT", LIMIT)


@pytest.fixture(params=Both.kinds)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def read_all(kind: str, **arguments: Any) -> Callable[[Any], Any]:
    """An action that returns every trace."""

    async def aread(client: Any) -> list[models.TraceDetail]:
        return [detail async for detail in client.traces.iter(**arguments)]

    return aread if kind != "sync" else lambda client: list(client.traces.iter(**arguments))


def read_some(kind: str, count: int, **arguments: Any) -> Callable[[Any], Any]:
    """An action that leaves the loop after some traces."""

    def read(client: Any) -> list[str]:
        found = []
        for detail in client.traces.iter(**arguments):
            found.append(detail.id)
            if len(found) == count:
                break
        return found

    async def aread(client: Any) -> list[str]:
        found = []
        async for detail in client.traces.iter(**arguments):
            found.append(detail.id)
            if len(found) == count:
                break
        await until(lambda: not left_behind())
        return found

    return read if kind == "sync" else aread


def requested(server: Server) -> list[str]:
    """The ids of the traces that were asked for, in this order."""
    return [request.path.rpartition("/")[2] for request in server.requests if "?" not in request.path]


def left_behind() -> list[str]:
    """Threads and tasks that read traces."""
    tasks: list[str] = []
    with contextlib.suppress(RuntimeError):
        tasks = [repr(task) for task in asyncio.all_tasks() if "bulk/_tasks" in repr(task)]
    return tasks + [thread.name for thread in threading.enumerate() if thread.name == "artanis"]


# Order and completeness


def test_a_trace_that_is_listed_twice(server: Server, kind: str) -> None:
    """A trace that the server lists twice is read once; one that the caller names twice is read twice."""
    serve(server, 3)
    answer: Any = server.answers[0]
    twice = Answer(body={"traces": [trace(id=id_) for id_ in (*ids(3), ids(3)[1])]})
    server.answers = [lambda request: twice if request.path.startswith("/api/traces?") else answer(request)]
    both = Both(kind, server)
    for since in (None, "2026"):
        assert [each.id for each in both.run(read_all(kind, since=since))] == ids(3)
    assert [each.id for each in both.run(read_all(kind, trace_ids=[ids(3)[0]] * 2))] == [ids(3)[0]] * 2


@pytest.mark.parametrize("concurrency", [1, 3, 16, 100])
def test_order(sandbox: Sandbox, details: list[models.TraceDetail], kind: str, concurrency: int) -> None:
    """The loop yields what `get` returns for each trace, in the order of the list."""
    assert Both(kind, sandbox).run(read_all(kind, concurrency=concurrency)) == details
    assert len(details) == 60


def test_period(sandbox: Sandbox, kind: str) -> None:
    """`since` and `until` filter as they do for `list`."""
    with Artanis(**sandbox.credentials) as client:
        expected = [listed.id for listed in client.traces.list(since="2026-04-01", until="2026-04-20")]
    found = Both(kind, sandbox).run(read_all(kind, since="2026-04-01", until="2026-04-20"))
    assert [detail.id for detail in found] == expected
    assert 0 < len(expected) < 60


@pytest.mark.parametrize("make", [list, iter])
def test_chosen_traces(server: Server, kind: str, make: Callable[[list[str]], Any]) -> None:
    """With `trace_ids`, those traces are read in that order, without a list request or a project."""
    chosen = serve(server, 5)[3:0:-1]
    both = Both(kind, server)
    assert [detail.id for detail in both.run(read_all(kind, trace_ids=make(chosen)), project_slug=None)] == chosen
    assert sorted(request.path for request in server.requests) == sorted(f"/api/traces/{one}" for one in chosen)
    assert both.run(read_all(kind, trace_ids=[])) == []


def test_another_project(server: Server, kind: str) -> None:
    """A project in the call replaces the client's."""
    serve(server, 2)
    assert len(Both(kind, server).run(read_all(kind, project_id="other"))) == 2
    assert server.requests[0].path == "/api/traces?projectId=other"


def test_empty_project(server: Server, kind: str) -> None:
    """A project without traces costs one request."""
    serve(server, 0)
    assert Both(kind, server).run(read_all(kind)) == []
    assert len(server.requests) == 1


def test_answers_out_of_order(server: Server, kind: str) -> None:
    """A slow response delays the traces after it in the list, but no request."""
    later = threading.Event()

    def answer(trace_id: str) -> Answer | None:
        if trace_id == expected[0]:
            return Answer(body={**trace(id=trace_id), "spans": [], "feedback": []}, hold=later)
        if trace_id == expected[7]:
            later.set()
        return None

    expected = serve(server, 12, answer)
    found = Both(kind, server).run(read_all(kind, concurrency=4))
    assert [detail.id for detail in found] == expected


def test_requests_in_flight(server: Server, kind: str) -> None:
    """Exactly as many requests are in flight as `concurrency` says."""
    barrier = threading.Barrier(4, timeout=LIMIT)

    def answer(_: str) -> None:
        barrier.wait()

    serve(server, 20, answer)
    assert len(Both(kind, server).run(read_all(kind, concurrency=4))) == 20
    assert server.most_in_flight == 4


def test_the_limit_of_the_client(server: Server, kind: str) -> None:
    """`max_connections` limits a loop with a higher `concurrency`, too."""
    serve(server, 20)
    assert len(Both(kind, server).run(read_all(kind, concurrency=16), max_connections=2)) == 20
    assert server.most_in_flight <= 2


def test_window(server: Server, kind: str) -> None:
    """While the consumer is busy, only a limited number of traces is read ahead."""
    serve(server, 100)

    def look(client: Any) -> None:
        iterator = client.traces.iter(concurrency=3)
        for taken in range(20):
            next(iterator)
            server.wait_for_requests(1 + 6 + taken)
            assert len(server.requests) == 1 + 6 + taken
        iterator.close()

    async def alook(client: Any) -> None:
        iterator = client.traces.iter(concurrency=3)
        for taken in range(20):
            await anext(iterator)
            await until(lambda: len(server.requests) >= 1 + 6 + taken)  # noqa: B023 - called at once
            assert len(server.requests) == 1 + 6 + taken
        await iterator.aclose()

    Both(kind, server).run(look if kind == "sync" else alook)
    assert len(server.requests) == 1 + 6 + 19


def test_memory(server: Server, kind: str) -> None:
    """Memory use does not grow with the number of traces."""
    serve(server, 150)
    gc.collect()  # of what other tests have left

    def count() -> int:
        return sum(isinstance(item, models.TraceDetail) for item in gc.get_objects())

    def look(client: Any) -> int:
        return max(count() for number, _ in enumerate(client.traces.iter(concurrency=4)) if number % 30 == 29)

    async def alook(client: Any) -> int:
        number = most = 0
        async for _ in client.traces.iter(concurrency=4):
            number += 1
            most = max(most, count()) if number % 30 == 0 else most
        return most

    before = count()
    most = Both(kind, server).run(look if kind == "sync" else alook) - before
    assert 1 <= most <= 2 * 4 + 2


# What goes wrong


@pytest.mark.parametrize(
    ("broken", "error"),
    [
        (Answer(404, {"error": "Not found"}), NotFoundError),
        (Answer(200, {"id": "x"}), APIResponseValidationError),
        (Answer(200, b"<html>"), APIResponseValidationError),
    ],
)
def test_a_trace_that_cannot_be_read(
    server: Server, kind: str, broken: Answer, error: type[ArtanisError], caplog: pytest.LogCaptureFixture
) -> None:
    """An unreadable trace raises when it is due, or is skipped, logged and reported with its cause."""
    expected = serve(server, 10, lambda trace_id: broken if trace_id == ids(10)[4] else None)
    both = Both(kind, server)
    told: list[Progress] = []
    with pytest.raises(error):
        both.run(read_all(kind, on_progress=told.append))
    assert [progress.trace_id for progress in told] == expected[:4]

    told.clear()
    with caplog.at_level(logging.WARNING, "artanis_client"):
        found = both.run(read_all(kind, on_error="skip", on_progress=told.append))
    assert [detail.id for detail in found] == expected[:4] + expected[5:]
    [record] = caplog.records
    assert expected[4] in record.message
    assert [(progress.done, progress.total, progress.skipped) for progress in told] == [
        (n + 1, 10, int(n >= 4)) for n in range(10)
    ]
    assert [type(progress.error) for progress in told if progress.error] == [error]
    wait_until(lambda: not left_behind())


@pytest.mark.parametrize(("status", "error"), [(401, AuthenticationError), (500, InternalServerError)])
def test_what_is_wrong_with_all_of_them(server: Server, kind: str, status: int, error: type[ArtanisError]) -> None:
    """Errors that affect every trace are raised even with `on_error="skip"`."""
    serve(server, 10, lambda _: Answer(status))
    with pytest.raises(error):
        Both(kind, server).run(read_all(kind, on_error="skip"), max_retries=0)
    wait_until(lambda: not left_behind())


def test_the_list_cannot_be_read(server: Server, kind: str) -> None:
    """If the list cannot be read, the loop raises the error, even with `on_error="skip"`."""
    server.answer(404, {"error": "Not found"})
    with pytest.raises(NotFoundError):
        Both(kind, server).run(read_all(kind, on_error="skip"))


def test_faults(kind: str, quick_retries: None) -> None:
    """If one request in twenty fails temporarily, nothing is lost."""
    with Sandbox(traces=80, fault_rate=0.05, seed=3) as sandbox:
        found = Both(kind, sandbox).run(read_all(kind), max_retries=6)
        assert sandbox.request_count > 81
    assert len({detail.id for detail in found}) == 80


class Advance:
    """A clock that runs normally, and that a test can advance."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._by = 0.0
        monkeypatch.setattr(_clock, "monotonic", lambda: time.monotonic() + self._by)

    def __call__(self, seconds: float) -> None:
        self._by += seconds


@pytest.fixture
def advance(monkeypatch: pytest.MonkeyPatch) -> Advance:
    return Advance(monkeypatch)


def test_rate_limit(server: Server, kind: str) -> None:
    """The client reads all traces of a server that accepts a burst of fifty requests, then fifty a second."""
    tokens, filled, lock = [50.0], [time.monotonic()], threading.Lock()

    def answer(_: str) -> Answer | None:
        with lock:
            now = time.monotonic()
            tokens[0] = min(50, tokens[0] + 50 * (now - filled[0]))
            filled[0] = now
            if tokens[0] < 1:
                return Answer(429)
            tokens[0] -= 1
            return None

    expected = serve(server, 90, answer)
    found = Both(kind, server).run(read_all(kind))
    assert [detail.id for detail in found] == expected


def test_waiting_retries_hold_up_nothing(
    server: Server, kind: str, advance: Advance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a trace waits for its retry, the traces after it are read, even with one worker."""
    monkeypatch.setattr(_retry, "FIRST_BACKOFF", LIMIT)
    monkeypatch.setattr(_retry, "MAX_BACKOFF", LIMIT)
    failed: list[str] = []

    def answer(trace_id: str) -> Answer | None:
        if trace_id in expected[:5] and trace_id not in failed:
            failed.append(trace_id)
            return Answer(503)
        if trace_id == expected[-1]:
            advance(2 * LIMIT)
        return None

    expected = serve(server, 200, answer)
    found = Both(kind, server).run(read_all(kind, concurrency=1))
    assert [detail.id for detail in found] == expected
    assert requested(server)[:200] == expected
    assert sorted(requested(server)[200:]) == expected[:5]


@pytest.mark.parametrize(("size", "most"), [(1000, 1000), (100_000, 168 + 1)])
def test_how_much_waits_behind_a_retry(size: int, most: int) -> None:
    """Up to 1,000 finished traces wait behind one that waits for its retry, or a little more than 16 MiB of them."""
    expected = ids(2000)
    with Artanis(api_key=KEY, org_slug="o") as client:
        window = _window.Window(4, "raise", None)
        window.begin(expected, client._http)
    detail = models.TraceDetail.from_dict({**trace(), "spans": [], "feedback": []})
    unavailable = InternalServerError("x", status_code=503)
    window.refill()
    window.fail(window.pending.popleft(), unavailable)
    while window.refill() or window.pending:
        assert len(window.pending) <= 8
        window.succeed(window.pending.popleft(), detail, size)
    assert len(window.slots) in range(most, most + 8) if size > 1000 else len(window.slots) == most


def test_the_first_refusal_is_raised(server: Server, kind: str) -> None:
    """With `max_retries=0`, the first refusal is raised."""
    serve(server, 50, lambda _: Answer(429, headers={"Retry-After": "1"}))
    with pytest.raises(RateLimitError):
        Both(kind, server).run(read_all(kind, concurrency=2), max_retries=0)
    assert len(requested(server)) <= 4


def test_too_long_to_wait(server: Server, kind: str) -> None:
    """If the server asks the client to wait for more than a minute, the refusal is raised at once."""
    expected = serve(server, 50, lambda trace_id: Answer(429, headers={"Retry-After": "61"}))
    with pytest.raises(RateLimitError):
        Both(kind, server).run(read_all(kind, concurrency=1))
    assert set(requested(server)) <= set(expected[:2])


def test_nothing_is_accepted_any_more(
    server: Server, kind: str, quick_retries: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refusals are raised if the server has accepted nothing for two minutes, here a tenth of a second."""
    assert _retry.MAX_RETRY_TIME == 120
    monkeypatch.setattr(_window, "MAX_RETRY_TIME", 0.1)
    expected = serve(server, 50, lambda trace_id: None if trace_id in expected[:3] else Answer(429))
    reports: list[Progress] = []
    with pytest.raises(RateLimitError):
        Both(kind, server).run(read_all(kind, on_progress=reports.append))
    assert [report.trace_id for report in reports if report.waiting is None] == expected[:3]


def test_skipped_traces_are_accepted(server: Server, kind: str, quick_retries: None, advance: Advance) -> None:
    """The two minutes begin anew when the server answers, although with a 404."""
    count: Counter[str] = Counter()

    def answer(trace_id: str) -> Answer:
        count[trace_id] += 1
        if count[trace_id] == 1:
            advance(50)
            return Answer(429)
        return Answer(404)

    serve(server, 6, answer)
    assert Both(kind, server).run(read_all(kind, concurrency=1, on_error="skip"), max_retries=1) == []
    assert set(count.values()) == {2}


def test_a_slow_consumer_is_not_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The two minutes do not go on while the program does something else between two traces."""
    now = [0.0]
    monkeypatch.setattr(_clock, "monotonic", lambda: now[0])
    with Artanis(api_key=KEY, org_slug="o") as client:
        window = _window.Window(2, "raise", None)
        window.begin(ids(10), client._http)
    refused = RateLimitError("x", status_code=429)
    window.refill()
    first, second = window.pending.popleft(), window.pending.popleft()
    window.succeed(first, models.TraceDetail.from_dict({**trace(id=first.trace_id), "spans": [], "feedback": []}), 1)
    assert window.take()
    now[0] += 10
    window.fail(second, refused)
    now[0] += 600  # in the body of the loop
    window.refill()
    window.fail(window.pending.popleft(), refused)
    assert second.error is None
    now[0] += 119
    window.refill()
    window.fail(window.pending.popleft(), refused)
    assert second.error is refused


def test_refusals_are_not_failures(server: Server, kind: str, quick_retries: None) -> None:
    """Traces that are refused more often than `max_retries` are still read, as long as other traces arrive."""
    count: Counter[str] = Counter()

    def answer(trace_id: str) -> Answer | None:
        count[trace_id] += 1
        return Answer(429) if trace_id in expected[:5] and count[trace_id] < 6 else None

    expected = serve(server, 40, answer)
    found = Both(kind, server).run(read_all(kind, concurrency=4), max_retries=1)
    assert [detail.id for detail in found] == expected


def test_failures_are_counted(server: Server, kind: str, quick_retries: None) -> None:
    """A trace that fails more often than `max_retries` raises its error."""
    expected = serve(server, 40, lambda trace_id: Answer(503) if trace_id == expected[7] else None)
    with pytest.raises(InternalServerError):
        Both(kind, server).run(read_all(kind, concurrency=4), max_retries=3)
    assert requested(server).count(expected[7]) == 4


def test_progress_of_a_pause(server: Server, kind: str, advance: Advance) -> None:
    """During a pause, `on_progress` gets the remaining seconds, at most once a second."""
    reports: list[Progress] = []
    moments: list[float] = []

    def on_progress(progress: Progress) -> None:
        reports.append(progress)
        if progress.waiting is not None:
            moments.append(_clock.monotonic())
            if len(moments) == 3:
                advance(59)

    refused: list[str] = []

    def answer(trace_id: str) -> Answer | None:
        if trace_id == expected[2] and not refused:
            refused.append(trace_id)
            return Answer(429, headers={"Retry-After": "40"})
        return None

    expected = serve(server, 5, answer)
    Both(kind, server).run(read_all(kind, concurrency=1, on_progress=on_progress))
    waiting = [report for report in reports if report.waiting is not None]
    assert [(report.done, report.total, report.trace_id) for report in waiting] == [(2, 5, expected[2])] * len(waiting)
    assert len(waiting) >= 3
    assert all(0 < (report.waiting or 0) <= 48 for report in waiting)
    assert all(later - earlier >= 1 for earlier, later in itertools.pairwise(moments))
    assert [report.done for report in reports if report.waiting is None] == [1, 2, 3, 4, 5]


def test_deleted_since_the_list(kind: str) -> None:
    """A deleted trace that the list still shows can be skipped."""
    with Sandbox(traces=20) as sandbox, Artanis(**sandbox.credentials) as client:
        expected = [listed.id for listed in client.traces.list()]
        sandbox.delete_trace(expected[5], listed=True)
        found = Both(kind, sandbox).run(read_all(kind, on_error="skip"))
    assert [detail.id for detail in found] == expected[:5] + expected[6:]


@pytest.mark.parametrize(
    "bad", ["", ".", "..", "a/b", "a?b", "a\nb", "\ud800", "x" * 70_000], ids=lambda bad: ascii(bad)[1:9]
)
def test_a_listed_id_that_cannot_be_used(both: Both, server: Server, bad: str) -> None:
    """A listed id that cannot be part of a URL is an error that names it, and can be skipped."""
    good = serve(server, 2)
    listed = {"traces": [trace(id=id_) for id_ in (good[0], bad, good[1])]}
    [answer] = server.answers
    server.answers = [lambda request: Answer(body=listed) if "?" in request.path else cast(Any, answer)(request)]
    with pytest.raises(APIResponseValidationError) as caught:
        both.run(read_all(both.kind))
    assert (caught.value.path, caught.value.url) == ("traces[*].id", f"{server.url}/api/traces")
    assert repr(bad)[:50].rstrip("'") in caught.value.problem
    told: list[Progress] = []
    found = both.run(read_all(both.kind, on_error="skip", on_progress=told.append))
    assert [detail.id for detail in found] == good
    assert [type(progress.error) for progress in told] == [type(None), APIResponseValidationError, type(None)]


def test_the_detail_of_another_trace(both: Both, server: Server) -> None:
    """A detail with another id than requested is a validation error, and can be skipped; case does not matter."""
    first, second, third = ids(3)
    details = {first: first.upper(), second: third, third: third}
    serve(server, 3, lambda id_: Answer(body={**trace(id=details[id_]), "spans": [], "feedback": []}))
    with pytest.raises(APIResponseValidationError) as caught:
        both.run(read_all(both.kind))
    assert caught.value.path == "id"
    assert caught.value.problem == f"should be {second!r}, not {third!r}"
    assert caught.value.url == f"{server.url}/api/traces/{second}"
    found = both.run(read_all(both.kind, on_error="skip"))
    assert [detail.id for detail in found] == [first.upper(), third]


def test_uuids_of_traces(both: Both, server: Server) -> None:
    """`trace_ids` may be UUIDs, which are sent in lower case."""
    chosen = [UUID(id_.upper()) for id_ in serve(server, 3)]
    assert [detail.id for detail in both.run(read_all(both.kind, trace_ids=chosen))] == ids(3)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"concurrency": 0}, ValueError, "concurrency must be an integer of at least 1, not 0"),
        ({"concurrency": 2.0}, TypeError, "concurrency must be an integer of at least 1, not 2.0"),
        ({"on_error": "ignore"}, ValueError, 'on_error must be "raise" or "skip"'),
        ({"on_progress": "x"}, TypeError, "on_progress must be a plain function"),
        ({"on_progress": anyio.sleep}, TypeError, "on_progress must be a plain function"),
        ({"since": "soon"}, ValueError, "since must be ISO 8601"),
        ({"project_slug": "a", "project_id": "b"}, ValueError, "project"),
        (
            {"trace_ids": ["a"], "since": "2026"},
            ValueError,
            "trace_ids cannot be combined with project_slug, project_id",
        ),
        ({"trace_ids": ["a"], "project_id": "b"}, ValueError, "trace_ids cannot be combined with project_slug"),
        ({"trace_ids": "abc"}, TypeError, "trace_ids must be an iterable of ids, not a single string"),
        ({"trace_ids": UUID(ids(1)[0])}, TypeError, "trace_ids must be an iterable of ids, not a single"),
        ({"trace_ids": [1]}, TypeError, "An id must be a string"),
        ({"trace_ids": ["a", ".."]}, ValueError, "Invalid id '..'"),
        ({"project_slug": UUID(ids(1)[0])}, TypeError, "project_slug must be a string, not UUID"),
        ({"project_id": 5}, TypeError, "project_id must be a string, not int"),
    ],
)
def test_arguments(both: Both, arguments: dict[str, Any], error: type[Exception], text: str) -> None:
    """An invalid argument raises an error before the loop begins."""
    with pytest.raises(error, match=text):
        both.run(lambda client: client.traces.iter(**arguments))
    assert not both.server.requests


# Stopping early


def hang_after(server: Server, count: int, answer: Answer | None = None) -> threading.Event:
    """Answer only some of 40 traces; the others get `answer`, or wait for the event that is returned."""
    held = threading.Event()
    serve(server, 40, lambda trace_id: None if trace_id in ids(count) else answer or Answer(hold=held))
    return held


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files as Linux shows them")
def test_break(server: Server, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """Leaving the loop while answers are awaited soon ends all threads, tasks and connections, and logs nothing."""
    held = hang_after(server, 3)
    before = open_files()
    with caplog.at_level(logging.INFO, "artanis_client"):
        assert Both(kind, server).run(read_some(kind, 3)) == ids(3)
        wait_until(lambda: not left_behind())
    assert not caplog.records
    held.set()  # so that the server looks at its ends of the connections
    wait_until(lambda: open_files() <= before)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files as Linux shows them")
def test_break_over_tls(kind: str) -> None:
    """Leaving the loop also ends connections over TLS."""
    authority = trustme.CA()
    server_side, client_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server_side)
    authority.configure_trust(client_side)
    server = Server()
    try:
        server.http.socket = server_side.wrap_socket(server.http.socket, server_side=True)
        server.url = server.url.replace("http:", "https:")
        held = hang_after(server, 3)
        before = open_files()
        read = read_some(kind, 3)
        assert Both(kind, server).run(read, httpx_args={"verify": client_side}) == ids(3)
        wait_until(lambda: not left_behind())
        held.set()
        wait_until(lambda: open_files() <= before)
    finally:
        server.close()


def test_break_while_waiting_to_retry(server: Server, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaving the loop does not wait for a pause that the server has asked for."""
    monkeypatch.setattr("artanis_client._retry.MAX_RETRY_AFTER", 10 * LIMIT)
    monkeypatch.setattr("artanis_client._http.MAX_RETRY_TIME", 100 * LIMIT)
    hang_after(server, 2, Answer(503, headers={"retry-after": str(10 * LIMIT)}))
    assert Both(kind, server).run(read_some(kind, 2)) == ids(2)
    wait_until(lambda: not left_behind())


def test_exception_in_the_loop(server: Server, kind: str) -> None:
    """An exception in the body of the loop propagates, and ends the workers."""
    hang_after(server, 3)

    async def main(client: Any) -> None:
        async for _ in client.traces.iter():
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Both(kind, server).run(main if kind != "sync" else lambda client: [1 / 0 for _ in client.traces.iter()])
    wait_until(lambda: not left_behind())


def test_exception_in_on_progress(server: Server, kind: str) -> None:
    """An exception in `on_progress` propagates, and ends the loop."""
    hang_after(server, 3)

    def fail(_: Progress) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Both(kind, server).run(read_all(kind, on_progress=fail))
    wait_until(lambda: not left_behind())


def test_close(server: Server, kind: str, patient: None) -> None:
    """An iterator that is kept after the loop ends when it is closed, and then yields nothing."""
    hang_after(server, 3)

    def main(client: Any) -> None:
        iterator = client.traces.iter()
        assert next(iterator).id == ids(1)[0]
        iterator.close()
        assert not left_behind()
        assert list(iterator) == []

    async def amain(client: Any) -> None:
        iterator = client.traces.iter()
        assert (await anext(iterator)).id == ids(1)[0]
        await iterator.aclose()
        assert not left_behind()
        assert [detail async for detail in iterator] == []
        await iterator.aclose()

    Both(kind, server).run(main if kind == "sync" else amain)


def test_a_loop_that_never_began(server: Server, kind: str) -> None:
    """An iterator that is never started sends no request."""
    serve(server, 3)
    Both(kind, server).run(lambda client: client.traces.iter() and None)
    assert not server.requests


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_cancelled(server: Server, backend: str, patient: None) -> None:
    """A cancelled loop leaves nothing running, and the next `anext()` continues with the next trace."""
    held = hang_after(server, 3)

    async def main(client: Any) -> list[str]:
        iterator = client.traces.iter(concurrency=4)
        found = []

        async def read() -> None:
            async for detail in iterator:
                found.append(detail.id)

        async with anyio.create_task_group() as group:
            group.start_soon(read)
            await until(lambda: len(found) == 3 and server.in_flight == 4)
            group.cancel_scope.cancel()
        assert found == ids(3)
        assert not left_behind()
        serve(server, 40)
        held.set()
        return found + [detail.id async for detail in iterator]

    assert Both(backend, server).run(main) == ids(40)


def test_two_tasks_and_one_loop(server: Server) -> None:
    """If a second task asks for a trace while another waits, it gets an error, and the first is not affected."""
    held = hang_after(server, 0)

    async def main() -> None:
        async with AsyncArtanis(**server.credentials) as client:
            iterator = client.traces.iter()
            first = asyncio.ensure_future(anext(iterator))
            await until(lambda: len(server.requests) > 1)
            with pytest.raises(RuntimeError, match="Another task"):
                await anext(iterator)
            serve(server, 40)
            held.set()
            with contextlib.suppress(ArtanisError):  # the answer that was held is none
                await first
            await iterator.aclose()

    asyncio.run(main())


def test_the_client_is_closed(server: Server, kind: str) -> None:
    """If the client is closed, the loop yields the traces that were read already, and then raises an error."""
    serve(server, 40)

    def main(client: Any) -> None:
        for _ in client.traces.iter(concurrency=2):
            client.close()

    async def amain(client: Any) -> None:
        async for _ in client.traces.iter(concurrency=2):
            await client.aclose()

    with pytest.raises(ArtanisError, match="closed"):
        Both(kind, server).run(main if kind == "sync" else amain)
    wait_until(lambda: not left_behind())


def test_the_client_is_closed_during_a_pause(
    server: Server, kind: str, patient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop raises an error, and does not wait for the end of the pause."""
    monkeypatch.setattr(_retry, "MAX_RETRY_AFTER", 10 * LIMIT)
    monkeypatch.setattr(_window, "MAX_RETRY_TIME", 100 * LIMIT)
    expected = hang_after(server, 2, Answer(429, headers={"Retry-After": str(10 * LIMIT)})) and ids(2)
    reports: list[Progress] = []

    def is_waiting() -> bool:
        return len(reports) > 2 and reports[-1].waiting is not None and reports[-1].done == 2

    def main(client: Any) -> None:
        def close() -> None:
            wait_until(is_waiting)
            client.close()

        closing = threading.Thread(target=close)
        closing.start()
        try:
            list(client.traces.iter(on_progress=reports.append))
        finally:
            closing.join(LIMIT)

    async def amain(client: Any) -> None:
        async def close() -> None:
            await until(is_waiting)
            await client.aclose()

        caught: list[ArtanisError] = []
        async with anyio.create_task_group() as group:
            group.start_soon(close)
            try:
                await read_all(kind, on_progress=reports.append)(client)
            except ArtanisError as error:
                caught.append(error)
        raise caught[0]

    with pytest.raises(ArtanisError, match="The client is closed"):
        Both(kind, server).run(main if kind == "sync" else amain)
    assert [report.trace_id for report in reports if report.waiting is None] == expected
    wait_until(lambda: not left_behind())


@pytest.mark.parametrize("place", ["list", "detail"])
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_stop_async_iteration(server: Server, backend: str, place: str) -> None:
    """If a hook raises what ends a loop, the loop fails, rather than ending early."""
    serve(server, 5)

    async def hook(request: httpx.Request) -> None:
        if (request.url.path == "/api/traces") is (place == "list"):
            raise StopAsyncIteration

    with pytest.raises(RuntimeError, match="StopAsyncIteration"):
        Both(backend, server).run(read_all(backend), httpx_args={"event_hooks": {"request": [hook]}})


@pytest.mark.parametrize("kind", ["sync", "trio"])  # asyncio ends the event loop
@pytest.mark.parametrize("ending", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_endings_in_a_worker(server: Server, kind: str, ending: type[BaseException]) -> None:
    """The loop raises SystemExit and its like, too, where trio would raise an internal error instead."""

    def key() -> str:
        raise ending

    with pytest.raises(ending):
        Both(kind, server).run(read_all(kind, trace_ids=["a"]), api_key=key)


PROGRAM = """
import asyncio, sys
from artanis_client import Artanis, AsyncArtanis

credentials = dict(api_key="k", org_slug="o", project_slug="p", base_url=sys.argv[1])

def sync():
    global kept
    with Artanis(**credentials) as client:
        kept = client.traces.iter()
        for _ in kept:
            print("read", flush=True)
            if sys.argv[3] == "leave":
                break

async def main():
    global kept
    async with AsyncArtanis(**credentials) as client:
        kept = client.traces.iter()
        async for _ in kept:
            print("read", flush=True)
            if sys.argv[3] == "leave":
                break

if sys.argv[2] == "sync":
    sync()
elif sys.argv[2] == "asyncio":
    asyncio.run(main())
else:
    import trio
    trio.run(main)
"""


@pytest.mark.parametrize("how", ["leave", "interrupt"])
def test_the_end_of_the_process(server: Server, kind: str, how: str) -> None:
    """A loop that waits for responses delays neither the exit of the program nor Ctrl-C."""
    hang_after(server, 1)
    command = [sys.executable, "-W", "error", "-c", PROGRAM, server.url, kind, how]
    with subprocess.Popen(command, env=unmeasured(), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"read\n"
        if how == "interrupt":
            process.send_signal(signal.SIGINT)
        try:
            _, errors = process.communicate(timeout=LIMIT)
        finally:
            process.kill()
    assert process.returncode == (0 if how == "leave" else -signal.SIGINT)
    assert errors == b"" if how == "leave" else errors.rstrip().endswith(b"KeyboardInterrupt")


# Which connections


def test_the_transport_of_the_user(kind: str) -> None:
    """Traces are read through the transport that the user has passed."""
    asked = []

    def handle(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        if request.url.path == "/api/traces":
            return httpx.Response(200, json={"traces": [trace(id=trace_id) for trace_id in ids(9)]})
        body = {**trace(id=request.url.path.rpartition("/")[2]), "spans": [], "feedback": []}
        return httpx.Response(200, json=body)

    server = Server()
    try:
        found = Both(kind, server).run(read_all(kind), httpx_args={"transport": httpx.MockTransport(handle)})
    finally:
        server.close()
    assert [detail.id for detail in found] == ids(9)
    assert len(asked) == 10
    assert not server.requests


def test_the_proxy(server: Server, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Traces are read through the proxy of the environment."""
    monkeypatch.setenv("HTTP_PROXY", server.url)
    serve(server, 9)

    handle: Any = server.answers[0]

    def handle_absolute(request: Request) -> Answer:
        path = request.path.removeprefix("http://artanis.example")
        assert path != request.path
        answer: Answer = handle(Request("GET", path, {}, b"", 0))
        return answer

    server.answers = [handle_absolute]
    found = Both(kind, server).run(read_all(kind), base_url="http://artanis.example", allow_http=True)
    assert [detail.id for detail in found] == ids(9)


def test_hooks_and_headers(server: Server, kind: str) -> None:
    """Every request has the user's headers and the two headers of the API, and runs the user's hooks."""
    serve(server, 5)
    seen = []

    async def ahook(response: httpx.Response) -> None:
        seen.append(response.url.path)

    hook = (lambda response: seen.append(response.url.path)) if kind == "sync" else ahook
    options = {"headers": {"x-team": "red"}, "event_hooks": {"response": [hook]}}
    Both(kind, server).run(read_all(kind), httpx_args=options)
    assert len(seen) == 6
    for request in server.requests:
        assert (request.headers["x-api-key"], request.headers["x-org-slug"]) == (KEY, "my-org")
        assert request.headers["x-team"] == "red"


def test_connections_are_kept(server: Server, kind: str) -> None:
    """Each worker uses the same connection until the loop ends."""
    serve(server, 40)
    Both(kind, server).run(read_all(kind, concurrency=4))
    assert len({request.connection for request in server.requests[1:]}) == 4

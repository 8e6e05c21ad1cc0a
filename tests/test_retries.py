"""What is repeated, how often, and how long it waits in between."""

from __future__ import annotations

import logging
import re
import threading
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import anyio
import httpx
import pytest

from artanis_client import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    Artanis,
    ArtanisError,
    AsyncArtanis,
    InternalServerError,
    RateLimitError,
    _clock,
    _retry,
)
from support import LIMIT, Answer, Both, Request, Server, until

pytestmark = pytest.mark.usefixtures("sleeps")
NOW = {"Retry-After": "0"}


def prompts(both: Both, **options: Any) -> Any:
    return both.run(lambda client: client.prompts.list(), **options)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 520, 599])
def test_what_passes_is_retried(both: Both, server: Server, status: int) -> None:
    """Two transient failures, then a response: the call returns it."""
    server.answer(status, {"error": "x"}, NOW)
    server.answer(status, {"error": "x"}, NOW)
    server.answer(body={"prompts": []})
    assert prompts(both) == []
    assert len(server.requests) == 3


@pytest.mark.parametrize("status", [300, 302, 304, 400, 401, 403, 404, 409, 410, 422, 499])
def test_what_stays_is_not_retried(both: Both, server: Server, status: int) -> None:
    """A failure that would come again is raised at once."""
    server.answer(status, headers=NOW)
    with pytest.raises(APIStatusError):
        prompts(both)
    assert len(server.requests) == 1


def test_it_ends(both: Both, server: Server) -> None:
    """After max_retries repetitions the last failure is raised."""
    server.answer(500, headers=NOW)
    server.answer(502, headers=NOW)
    server.answer(503, {"error": "the last"}, NOW)
    with pytest.raises(InternalServerError, match="503 the last"):
        prompts(both)
    assert len(server.requests) == 3


@pytest.mark.parametrize("retries", [0, 1, 4])
def test_max_retries(both: Both, server: Server, retries: int) -> None:
    """`max_retries` is the number of repetitions; 0 means none."""
    server.answer(503, headers=NOW)
    with pytest.raises(InternalServerError):
        prompts(both, max_retries=retries)
    assert len(server.requests) == 1 + retries


def test_connection_failures_are_retried(both: Both, server: Server, sleeps: list[float]) -> None:
    """A connection that is cut before or in the middle of an answer is tried again."""
    server.answer(reset=True)
    server.answer(raw=b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"prom')
    server.answer(body={"prompts": []})
    assert prompts(both) == []
    assert len(sleeps) == 2


@pytest.mark.parametrize(("status", "attempts"), [(407, 1), (403, 1), (503, 3), (429, 3)])
def test_a_proxy_that_refuses(both: Both, server: Server, sleeps: list[float], status: int, attempts: int) -> None:
    """A wrong password for a proxy is not tried again: each attempt may count towards locking the account."""
    server.answer(status)
    with pytest.raises(APIConnectionError, match=rf"{status} .*proxy") as caught:
        prompts(both, base_url="https://artanis.invalid", httpx_args={"proxy": server.url})
    assert bool(caught.value.remedy) == (attempts == 1)
    assert (len(server.requests), len(sleeps)) == (attempts, attempts - 1)


def test_timeouts_are_retried(both: Both, server: Server, sleeps: list[float]) -> None:
    """So is an answer that took too long, each attempt with the whole timeout."""
    server.answer(hold=threading.Event())
    with pytest.raises(APITimeoutError):
        prompts(both, timeout=httpx.Timeout(LIMIT, read=0.05), max_retries=1)
    server.wait_for_requests(2)  # which may arrive later than the timeout
    assert len(sleeps) == 1


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_only_idempotent_methods(server: Server, method: str) -> None:
    """A POST may have had its effect, so it is not repeated."""
    server.answer(503, headers=NOW)
    with Artanis(**server.credentials) as client, pytest.raises(ArtanisError):
        client.api.get_httpx_client().request(method, "/api/things")
    assert len(server.requests) == 1


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD"])
def test_idempotent_methods(server: Server, method: str) -> None:
    """These may be repeated, their bodies with them."""
    server.answer(503, headers=NOW)
    with Artanis(**server.credentials) as client, pytest.raises(ArtanisError):
        client.api.get_httpx_client().request(method, "/api/things", json={"a": 1})
    assert [request.body for request in server.requests] == [b'{"a":1}'] * 3


def test_backoff(both: Both, server: Server, sleeps: list[float]) -> None:
    """Waits double from half a second up to seven and a half, each with up to half a second of jitter."""
    server.answer(500)
    with pytest.raises(InternalServerError):
        prompts(both, max_retries=7)
    for waited, least in zip(sleeps, [0.5, 1, 2, 4, 7.5, 7.5, 7.5], strict=True):
        assert least <= waited <= least + 0.5
    assert len(set(sleeps)) == 7


def test_retry_after_is_obeyed(both: Both, server: Server, sleeps: list[float]) -> None:
    """The server's wish replaces a shorter backoff, in seconds or as a date, plus up to a fifth, up to a minute."""
    server.answer(429, headers={"Retry-After": "60"})
    start = datetime.now(UTC)
    later = start.replace(microsecond=0) + timedelta(seconds=30)
    server.answer(503, headers={"Retry-After": format_datetime(later, usegmt=True)})
    server.answer(body={"prompts": []})
    assert prompts(both) == []
    assert 60 <= sleeps[0] <= 72
    assert (later - datetime.now(UTC)).total_seconds() <= sleeps[1] <= 1.2 * (later - start).total_seconds()


@pytest.mark.parametrize("value", ["0", "0.1", "Wed, 21 Oct 2015 07:28:00 GMT"])
def test_retry_after_never_shortens_the_backoff(both: Both, server: Server, sleeps: list[float], value: str) -> None:
    """A server that says "now" does not get all retries at once."""
    server.answer(503, headers={"Retry-After": value})
    with pytest.raises(InternalServerError):
        prompts(both, max_retries=3)
    assert [0.5 <= sleeps[0] <= 1, sleeps[-1] >= 1] == [True, True]
    assert sum(sleeps) >= 3.5


@pytest.mark.parametrize("value", ["61", "3600", "999999999"])
def test_a_longer_retry_after_is_raised(both: Both, server: Server, value: str) -> None:
    """Who asks for more than a minute gets no retry; the caller learns how long."""
    server.answer(429, {"error": "enough"}, {"Retry-After": value})
    with pytest.raises(RateLimitError) as caught:
        prompts(both)
    assert caught.value.retry_after == float(value)
    assert len(server.requests) == 1


def test_no_retry_starts_late(both: Both, server: Server, sleeps: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    """A retry that would start more than two minutes after the first attempt does not."""
    assert _retry.MAX_RETRY_TIME == 120
    monkeypatch.setattr("artanis_client._http.MAX_RETRY_TIME", 10.0)
    server.answer(429, headers={"Retry-After": "11"})
    with pytest.raises(RateLimitError):
        prompts(both)
    assert (len(server.requests), sleeps) == (1, [])


def test_one_log_line_per_retry(both: Both, server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """Each retry is one line at INFO; nothing else is logged."""
    caplog.set_level(logging.DEBUG, logger="artanis_client")
    server.answer(503, {"error": "a\nb"}, NOW)
    server.answer(body={"prompts": []})
    assert prompts(both) == []
    lines = [record.getMessage() for record in caplog.records if record.name == "artanis_client"]
    (line,) = lines
    assert re.fullmatch(r"GET /api/prompts\?projectSlug=my-project: 503, retry 1 of 2 in (0\.[5-9]|1\.0)\d s", line)
    assert [record.levelname for record in caplog.records if record.name == "artanis_client"] == ["INFO"]


def test_a_waiting_retry_holds_no_slot(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one request waits for its retry, another takes the only slot."""

    def answer(request: Request) -> Answer:
        if request.path == "/api/traces/slow" and len(server.requests) == 1:
            return Answer(503, headers={"Retry-After": "1"})
        return Answer(404, {"error": "Not found"})

    server.answers.append(answer)
    order: list[str] = []

    async def main() -> None:
        slept: list[float] = []
        awake = anyio.Event()

        async def sleep(seconds: float) -> None:
            slept.append(seconds)
            await awake.wait()

        monkeypatch.setattr(_clock, "async_sleep", sleep)
        async with AsyncArtanis(**server.credentials, max_connections=1) as client:

            async def get(name: str) -> None:
                with pytest.raises(ArtanisError):
                    await client.traces.get(name)
                order.append(name)

            with anyio.fail_after(LIMIT):
                async with anyio.create_task_group() as group:
                    group.start_soon(get, "slow")
                    await until(lambda: slept)
                    await get("fast")
                    awake.set()

    anyio.run(main)
    assert order == ["fast", "slow"]


def test_cancelling_a_waiting_retry(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that waits for its retry can be cancelled at once."""
    server.answer(503, headers={"Retry-After": "60"})
    slept: list[str] = []

    async def sleep(seconds: float) -> None:
        slept.append("asleep")
        await anyio.sleep(seconds)
        slept.append("awake")

    monkeypatch.setattr(_clock, "async_sleep", sleep)

    async def main() -> None:
        async with AsyncArtanis(**server.credentials) as client, anyio.create_task_group() as group:
            group.start_soon(client.prompts.list)
            await until(lambda: slept)
            group.cancel_scope.cancel()

    anyio.run(main)
    assert slept == ["asleep"]
    assert len(server.requests) == 1


def test_the_retry_library_is_not_loaded_without_need(server: Server) -> None:
    """A call that succeeds does not pay for what only failures need."""
    import subprocess
    import sys

    server.answer(body={"prompts": []})
    code = f"""
import sys
from artanis_client import Artanis
with Artanis(**{server.credentials!r}) as client:
    client.prompts.list()
print(sorted(sys.modules.keys() & {{"tenacity", "dateutil", "starlette", "uvicorn", "pytest"}}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=LIMIT)
    assert done.stdout.strip() == "[]"


def test_failures_are_the_last_of_their_kind(both: Both, server: Server) -> None:
    """The last failure is raised as it is, without a chain of earlier ones."""
    server.answer(503, headers=NOW)
    with pytest.raises(InternalServerError) as caught:
        prompts(both)
    assert caught.value.__cause__ is None
    assert isinstance(caught.value.__context__, APIConnectionError | None)

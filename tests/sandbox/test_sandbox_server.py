"""The server: how it starts and stops, its faults, and that it leaves the process alone."""

import asyncio
import logging
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import httpx
import pytest

from artanis_client import Artanis, _clock
from artanis_client.sandbox import Sandbox, _server
from support import LIMIT, wait_until

HERE = {"projectSlug": "support-chat"}


def test_credentials_and_environment(sandbox: Sandbox) -> None:
    """Arguments or environment variables point a client at the sandbox."""
    assert sandbox.credentials == {
        "api_key": sandbox.api_key,
        "org_slug": sandbox.org_slug,
        "base_url": sandbox.base_url,
        "project_slug": sandbox.project_slug,
    }
    assert sandbox.environment == {
        "ARTANIS_API_KEY": sandbox.api_key,
        "ARTANIS_ORG_SLUG": sandbox.org_slug,
        "ARTANIS_BASE_URL": sandbox.base_url,
        "ARTANIS_PROJECT_SLUG": sandbox.project_slug,
    }


def test_requests_are_recorded(connect: Callable[..., httpx.Client]) -> None:
    """Every request is recorded in order, whatever the response."""
    with Sandbox(traces=0) as sandbox:
        client = connect(sandbox, key="wrong-key")
        client.get("/api/traces", params=HERE)
        client.post("/api/prompts/some-id")
        assert [request[:3] for request in sandbox.requests] == [
            ("GET", "/api/traces", 401),
            ("POST", "/api/prompts/some-id", 405),
        ]
        assert all(request.seconds >= 0 for request in sandbox.requests)
        assert sandbox.request_count == 2


def test_nothing_is_left_behind(connect: Callable[..., httpx.Client]) -> None:
    """After the block, the thread has ended and the port is closed, even if a client keeps its connection."""
    before = {*threading.enumerate()}
    with Sandbox() as sandbox:
        client = connect(sandbox)
        assert client.get("/api/traces", params=HERE).status_code == 200
        [thread] = {*threading.enumerate()} - before
    assert not thread.is_alive()
    with pytest.raises(httpx.ConnectError):
        client.get("/api/traces", params=HERE)


def test_stopping_does_not_wait_for_the_latency(
    connect: Callable[..., httpx.Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request that is waiting for the latency gets its response when the block ends."""
    monkeypatch.setattr(_server, "GRACE", LIMIT)  # a second may be too short for the answer
    with ThreadPoolExecutor() as pool:
        with Sandbox(latency=600) as sandbox:
            answer = pool.submit(connect(sandbox).get, "/api/traces", params=HERE)
            wait_until(lambda: sandbox.request_count)
        assert answer.result(LIMIT).status_code == 200


def test_a_client_that_reads_nothing_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopping ends the connection of a client that does not read its response."""
    monkeypatch.setattr(_server, "GRACE", 0.01)
    with Sandbox(traces=20_000) as sandbox:
        port = int(sandbox.base_url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as raw:
            raw.sendall(b"GET /api/traces?projectSlug=support-chat HTTP/1.1\r\nhost: x\r\n")
            raw.sendall(b"x-api-key: sandbox-key\r\nx-org-slug: sandbox-org\r\n\r\n")
            wait_until(lambda: sandbox.requests)
            sandbox.__exit__()
            assert repr(sandbox) == "<Sandbox, stopped>"


def test_runs_once() -> None:
    """A sandbox can be stopped immediately, and cannot be started again."""
    before = {*threading.enumerate()}
    with Sandbox(traces=0) as sandbox:
        pass
    assert {*threading.enumerate()} <= before
    with pytest.raises(RuntimeError, match="only once"):
        sandbox.__enter__()


def test_repr() -> None:
    """The repr of a sandbox shows its state and URL."""
    sandbox = Sandbox(traces=0)
    assert repr(sandbox) == "<Sandbox, not started>"
    with sandbox:
        assert repr(sandbox) == f"<Sandbox at {sandbox.base_url}>"
    assert repr(sandbox) == "<Sandbox, stopped>"


def test_port() -> None:
    """A port can be chosen and reused; while it is in use, the error has its number."""
    with Sandbox(traces=0) as first:
        port = int(first.base_url.rpartition(":")[2])
        with pytest.raises(OSError, match=str(port)), Sandbox(traces=0, port=port):
            pass
    with Sandbox(traces=0, port=port) as second:
        assert second.base_url == first.base_url


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("traces", -1),
        ("latency", -0.1),
        ("latency", float("nan")),
        ("latency", float("inf")),
        ("fault_rate", -0.1),
        ("fault_rate", 1.1),
        ("rate_limit", 0),
        ("port", -1),
        ("port", 65536),
    ],
)
def test_numbers_out_of_range(argument: str, value: float) -> None:
    """A number out of range raises ValueError with its name."""
    with pytest.raises(ValueError, match=rf"^{argument} must be from [01] to \d+, not {value}$"):
        Sandbox(**{argument: value})  # type: ignore[arg-type]


def test_several_at_once(connect: Callable[..., httpx.Client]) -> None:
    """Several threads can run sandboxes at the same time."""

    def run(seed: int) -> bytes:
        with Sandbox(traces=2, seed=seed) as sandbox:
            return connect(sandbox).get("/api/traces", params=HERE).content

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(run, range(4)))) == 4


def test_inside_an_event_loop() -> None:
    """A coroutine can start, use and stop a sandbox."""

    async def main() -> int:
        with Sandbox(traces=0) as sandbox:
            headers = {"x-api-key": sandbox.api_key, "x-org-slug": sandbox.org_slug}
            async with httpx.AsyncClient(
                base_url=sandbox.base_url, headers=headers, trust_env=False, timeout=LIMIT
            ) as client:
                return (await client.get("/api/traces", params=HERE)).status_code

    assert asyncio.run(main()) == 200


def test_process_is_left_alone(connect: Callable[..., httpx.Client]) -> None:
    """The sandbox changes neither signal handlers nor logging."""
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    loggers = [logging.getLogger(name) for name in (None, "uvicorn", "uvicorn.error", "uvicorn.access")]
    logging_before = [(logger.level, logger.propagate, list(logger.handlers)) for logger in loggers]
    with Sandbox(traces=0) as sandbox:
        connect(sandbox).get("/api/traces", params=HERE)
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers
        assert [(logger.level, logger.propagate, list(logger.handlers)) for logger in loggers] == logging_before


def test_latency(connect: Callable[..., httpx.Client]) -> None:
    """Every response, even an error, waits for the latency."""
    with Sandbox(traces=0, latency=0.03) as sandbox:
        for key in (sandbox.api_key, "wrong-key"):
            started = time.perf_counter()
            connect(sandbox, key=key).get("/api/traces", params=HERE)
            assert time.perf_counter() - started >= 0.03


def test_rate_limit(connect: Callable[..., httpx.Client], monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests beyond the limit of a second get 429 with Retry-After, and are accepted in the next second."""
    now = 1000.0
    monkeypatch.setattr(_clock, "monotonic", lambda: now)
    with Sandbox(traces=0, rate_limit=3) as sandbox:
        client = connect(sandbox)

        def statuses(count: int) -> list[int]:
            return [client.get("/api/traces", params=HERE).status_code for _ in range(count)]

        assert statuses(5) == [200, 200, 200, 429, 429]
        assert client.get("/api/traces", params=HERE).headers["retry-after"] == "1"
        now += 0.9
        assert statuses(1) == [429]
        now += 0.1
        assert statuses(2) == [200, 200]
        now += 0.5
        assert statuses(2) == [200, 429]
        sandbox.rate_limit = None
        assert statuses(4) == [200] * 4


def test_the_client_keeps_to_the_rate_limit(sleeps: list[float]) -> None:
    """The client waits as long as the sandbox asks, and then gets its answer."""
    with Sandbox(traces=0, rate_limit=2) as sandbox, Artanis(**sandbox.credentials, timeout=LIMIT) as client:
        for _ in range(3):
            assert client.traces.list() == []
        assert [request.status for request in sandbox.requests] == [200, 200, 429, 200]
    assert 1 <= sum(sleeps) < 2


def fault(client: httpx.Client) -> str:
    """Return the result of one request."""
    try:
        response = client.get("/api/traces", params=HERE)
    except httpx.RemoteProtocolError:
        return "cut"
    if response.is_success:
        return "ok"
    return f"{response.status_code} {response.json()['error']} {response.headers.get('retry-after')}"


def faults(connect: Callable[..., httpx.Client], rate: float, number: int, seed: int = 0) -> list[str]:
    """Return the results of several requests."""
    with Sandbox(traces=1, fault_rate=rate, seed=seed) as sandbox:
        client = connect(sandbox)
        return [fault(client) for _ in range(number)]


@pytest.mark.parametrize(("rate", "least", "most"), [(0.3, 40, 80), (1.0, 200, 200)])
def test_share_of_faults(rate: float, least: int, most: int, connect: Callable[..., httpx.Client]) -> None:
    """The configured share of requests fails, in three ways."""
    counts = Counter(faults(connect, rate, 200))
    assert least <= 200 - counts.pop("ok", 0) <= most
    assert set(counts) == {"429 Too many requests 1", "503 Service unavailable None", "cut"}
    assert min(counts.values()) > least / 5


def test_seed_chooses_the_faults(connect: Callable[..., httpx.Client]) -> None:
    """The same seed makes the same requests fail in the same way; another seed does not."""
    with ThreadPoolExecutor() as pool:
        first, second, other = pool.map(partial(faults, connect, 0.5, 30), (1, 1, 2))
    assert first == second != other


def test_cut_in_the_middle(connect: Callable[..., httpx.Client], caplog: pytest.LogCaptureFixture) -> None:
    """A cut connection delivers the headers and half of the body, and is not logged as an error."""
    with Sandbox(traces=20_000, fault_rate=1.0) as sandbox:
        client = connect(sandbox)
        received: list[bytes] = []
        expected = 0
        while not expected:
            with client.stream("GET", "/api/traces", params=HERE) as response:
                if response.status_code == 200:
                    expected = int(response.headers["content-length"])
                    with pytest.raises(httpx.RemoteProtocolError, match="peer closed connection"):
                        received.extend(response.iter_raw())
    assert sum(map(len, received)) == expected // 2
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_key_is_never_written(
    connect: Callable[..., httpx.Client], caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """No log or output has a received key, even at the level DEBUG."""
    caplog.set_level(1)
    with Sandbox(traces=1) as sandbox:
        for key in ("wrong-key-sent", sandbox.api_key):
            client = connect(sandbox, key=key)
            for path in ("/api/traces", "/api/traces/x", "/api/unknown"):
                client.get(path, params=HERE)
        with socket.create_connection(("127.0.0.1", int(sandbox.base_url.rpartition(":")[2]))) as raw:
            raw.sendall(b"nonsense wrong-key-sent\r\nx-api-key wrong-key-sent\r\n\r\n")
            assert b"400" in raw.recv(1000)
    written = [record.getMessage() + str(record.args) + str(record.exc_info) for record in caplog.records]
    written += capfd.readouterr()
    assert any("400" in text or "Invalid HTTP" in text for text in written)
    assert [text for text in written if "wrong-key-sent" in text or "sandbox-key" in text] == []

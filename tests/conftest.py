"""Fixtures of all tests."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from anyio.lowlevel import checkpoint

from artanis_client import _clock, _pace, _retry
from support import Both, Server


@pytest.fixture(autouse=True, scope="session")
def interruptible() -> Iterator[None]:
    """Processes that tests start obey Ctrl-C, even if a shell has started the tests as a background job."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # which they would inherit
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test sees the developer's configuration, proxies or certificates."""
    for name in list(os.environ):
        if name.startswith(("ARTANIS_", "SSL_")) or name.upper().endswith("_PROXY"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture
def sleeps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long each retry sleeps: nothing waits, but the clock goes on as if it had."""
    slept: list[float] = []
    start = time.monotonic()

    async def async_sleep(seconds: float) -> None:
        slept.append(seconds)
        await checkpoint()

    monkeypatch.setattr(_clock, "monotonic", lambda: start + sum(slept))
    monkeypatch.setattr(_clock, "sleep", slept.append)
    monkeypatch.setattr(_clock, "async_sleep", async_sleep)
    return slept


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries hardly wait, unless the server asks for it."""
    monkeypatch.setattr(_retry, "FIRST_BACKOFF", 0.001)
    monkeypatch.setattr(_retry, "MAX_BACKOFF", 0.001)
    monkeypatch.setattr(_pace, "FIRST_INTERVAL", 0.001)
    monkeypatch.setattr(_pace, "MAX_INTERVAL", 0.001)


@pytest.fixture(params=Both.kinds)
def both(request: pytest.FixtureRequest, server: Server) -> Both:
    return Both(request.param, server)

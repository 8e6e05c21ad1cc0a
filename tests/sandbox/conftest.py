"""A small sandbox to ask, and a way to run Python beside the tests."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import httpx
import pytest

from artanis_client.sandbox import Sandbox
from support import LIMIT


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """A running sandbox without latency or faults."""
    with Sandbox(traces=30) as running:
        yield running


@pytest.fixture(scope="session")
def connect() -> Iterator[Callable[..., httpx.Client]]:
    """Makes HTTP clients of a sandbox; `key` and `org` replace the right headers, None leaves one out."""
    clients: list[httpx.Client] = []

    def connect(sandbox: Sandbox, *, key: str | None = "sandbox-key", org: str | None = "sandbox-org") -> httpx.Client:
        headers = {name: value for name, value in {"x-api-key": key, "x-org-slug": org}.items() if value is not None}
        # Without `verify=False` each client would read the CA certificates first, for nothing.
        client = httpx.Client(base_url=sandbox.base_url, headers=headers, trust_env=False, verify=False, timeout=LIMIT)
        clients.append(client)
        return client

    yield connect
    for client in clients:
        client.close()


@pytest.fixture(scope="session")
def client(sandbox: Sandbox, connect: Callable[..., httpx.Client]) -> httpx.Client:
    """A client of the small sandbox, with both headers right."""
    return connect(sandbox)


@pytest.fixture
def python_environment() -> dict[str, str]:
    """Variables with which another Python finds what this one finds."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONUTF8": "1"}


@pytest.fixture
def run_python(python_environment: dict[str, str]) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Runs Python to its end with the given arguments, and with further environment variables given by name."""

    def run(*arguments: object, **environment: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, *map(str, arguments)],
            env={**python_environment, **environment},
            capture_output=True,
            encoding="utf-8",
            timeout=LIMIT,
            check=False,
        )

    return run

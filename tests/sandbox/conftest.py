"""Fixtures: a small sandbox, clients of it, and a separate Python process."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import httpx
import pytest

from artanis_client.sandbox import Sandbox
from support import LIMIT, NOW


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """A running sandbox without latency or faults."""
    with Sandbox(traces=30, now=NOW) as running:
        yield running


@pytest.fixture(scope="session")
def connect() -> Iterator[Callable[..., httpx.Client]]:
    """Create HTTP clients of a sandbox; `key` and `org` replace the headers, and None omits one."""
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
    """A client of the small sandbox with valid headers."""
    return connect(sandbox)


@pytest.fixture
def python_environment() -> dict[str, str]:
    """Environment variables with which another Python finds the same modules."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONUTF8": "1"}


@pytest.fixture
def run_python(python_environment: dict[str, str]) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Run Python with these arguments and additional environment variables until it exits."""

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

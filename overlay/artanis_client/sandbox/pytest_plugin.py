"""Fixtures for `pytest_plugins = ["artanis_client.sandbox.pytest_plugin"]`, also under pytest-xdist."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from . import Sandbox


@pytest.fixture(scope="session")
def artanis_sandbox_server() -> Iterator[Sandbox]:
    """Run one sandbox for the whole session. Override this fixture to give it your own data."""
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def artanis_sandbox(artanis_sandbox_server: Sandbox) -> Sandbox:
    """Return the running sandbox with its first data: each test may change it."""
    artanis_sandbox_server.reset()
    return artanis_sandbox_server


@pytest.fixture
def artanis_env(artanis_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Sandbox:
    """Point the environment at the sandbox, so that `Artanis()` in the code under test finds it. Return the sandbox.

    The configuration of whoever runs the tests is hidden.
    """
    for name in [*os.environ]:
        if name.startswith("ARTANIS_"):
            monkeypatch.delenv(name)
    config = tmp_path / "artanis-config.toml"
    config.touch()
    for name, value in {**artanis_sandbox.environment, "ARTANIS_CONFIG_FILE": str(config)}.items():
        monkeypatch.setenv(name, value)
    return artanis_sandbox

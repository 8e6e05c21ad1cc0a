"""The sandbox as a program, as a pytest plugin, and without its extra."""

import pathlib
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from artanis_client.sandbox import DRIFTS, _sandbox
from artanis_client.sandbox import __main__ as door
from support import LIMIT, NOW

COMMAND = ("-m", "artanis_client.sandbox")
NEEDS_EXTRA = "the sandbox needs an extra: pip install 'artanis-client[sandbox]'"


@pytest.mark.skipif(sys.platform == "win32", reason="there, a signal ends the process without its say")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_command(number: signal.Signals, python_environment: dict[str, str]) -> None:
    """The command prints exports that point to a working server, and stops quietly on a signal."""
    process = subprocess.Popen(
        [sys.executable, *COMMAND, "--port", "0", "--traces", "3", "--now", NOW, "--drift", "renamed-key"],
        env=python_environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    with process:
        assert process.stdout is not None
        words = [shlex.split(process.stdout.readline()) for _ in range(4)]
        assert {word[0] for word in words} == {"export"}
        exported = dict(word[1].split("=", 1) for word in words)
        response = httpx.get(
            f"{exported['ARTANIS_BASE_URL']}/api/traces",
            params={"projectSlug": exported["ARTANIS_PROJECT_SLUG"]},
            headers={"x-api-key": exported["ARTANIS_API_KEY"], "x-org-slug": exported["ARTANIS_ORG_SLUG"]},
            trust_env=False,
            timeout=LIMIT,
        )
        assert [trace["createdAt"][:10] for trace in response.json()["items"]] == [
            "2026-04-12",
            "2026-04-10",
            "2026-03-10",
        ]
        process.send_signal(number)
        output, errors = process.communicate(timeout=LIMIT)
    assert process.returncode == 0
    assert output == ""
    announced, logged = errors.splitlines()
    assert "Ctrl-C" in announced
    assert re.fullmatch(r"GET /api/traces 200 \d+ ms", logged)


def test_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """With --quiet, no line is printed per request."""
    served: list[Any] = []
    monkeypatch.setattr(_sandbox, "serve", lambda _, on_request, **options: served.append((on_request, options)))
    for arguments in ([], ["--quiet", "--rate-limit", "20"]):
        assert door.main(arguments) == 0
    (loud, _), (quiet, options) = served
    assert loud is not None
    assert quiet is None
    assert options["rate_limit"] == 20


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--latency", "-1"), "latency must be from 0 to 3600, not -1.0"),
        (("--now", "never"), "now must be a datetime or ISO 8601 text such as 2026-04-30T18:00Z, not 'never'"),
        (("--fault-rate", "1.5"), "fault_rate must be from 0 to 1, not 1.5"),
        (("--drift", "nonsense", "--drift", "null"), "Unknown drift: nonsense. Choose from undocumented-field, "),
    ],
)
def test_bad_arguments(arguments: tuple[str, str], message: str, run_python: Callable[..., Any]) -> None:
    """A bad argument is one line on stderr that has the bounds or the choices, and exit code 2."""
    result = run_python(*COMMAND, *arguments)
    assert result.returncode == 2
    assert result.stderr.startswith(f"sandbox: {message}")
    assert result.stderr.count("\n") == 1


def test_help(run_python: Callable[..., Any]) -> None:
    """The help lists every drift with its description."""
    output = run_python(*COMMAND, "--help").stdout
    for name, description in DRIFTS.items():
        assert re.search(rf"^  {name} +{re.escape(description)}$", output, re.MULTILINE)


def test_port_taken(run_python: Callable[..., Any]) -> None:
    """A taken port is one line on stderr and exit code 2."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = run_python(*COMMAND, "--port", taken.getsockname()[1])
        assert str(taken.getsockname()[1]) in result.stderr
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("options", [[], ["-p", "xdist", "-n", "2"]])
def test_plugin(options: list[str], tmp_path: pathlib.Path, run_python: Callable[..., Any]) -> None:
    """Tests share one running sandbox per process, each with the first data, and the code under test finds it."""
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["artanis_client.sandbox.pytest_plugin"]\n')
    (tmp_path / "test_user.py").write_text(
        """
import os, pytest
from artanis_client import Artanis

urls = set()

@pytest.mark.parametrize("test", range(4))
def test_user(artanis_env, artanis_sandbox, test):
    assert artanis_env is artanis_sandbox
    assert artanis_sandbox.requests == []
    artanis_sandbox.add_prompt("summarise", "Summarise.")
    artanis_sandbox.latency = 0.001
    with Artanis() as client:
        assert len(client.prompts.list()) == 4
        assert len(client.traces.list()) == 60
    urls.add(artanis_sandbox.base_url)
    assert len(urls) == 1

def test_without_the_environment(artanis_sandbox):
    assert artanis_sandbox.latency == 0
    assert os.environ["ARTANIS_PROFILE"] == "no-such-profile"
"""
    )
    arguments = ["-m", "pytest", "-q", "-p", "no:cacheprovider", *options, tmp_path]
    result = run_python(*arguments, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1", ARTANIS_PROFILE="no-such-profile")
    assert "5 passed" in result.stdout, result.stdout


def test_plugin_with_own_data(tmp_path: pathlib.Path, run_python: Callable[..., Any]) -> None:
    """A suite that overrides the fixture of the session gets its own data in each test."""
    (tmp_path / "conftest.py").write_text(
        """
import pytest
from artanis_client.sandbox import Sandbox
pytest_plugins = ["artanis_client.sandbox.pytest_plugin"]

@pytest.fixture(scope="session")
def artanis_sandbox_server():
    with Sandbox(prompts={"summarise": "Summarise."}, traces=1) as sandbox:
        yield sandbox
"""
    )
    (tmp_path / "test_user.py").write_text(
        """
import pytest
from artanis_client import Artanis, PromptCache

@pytest.mark.parametrize("test", [0, 1])
def test_user(artanis_env, test):
    with Artanis() as client, PromptCache(client) as cache:
        assert cache.get("summarise").content == "Summarise."
        artanis_env.add_version(client.prompts.list()[0].id, "Changed.")
        assert client.prompts.list()[0].content == "Changed."
"""
    )
    result = run_python("-m", "pytest", "-q", "-p", "no:cacheprovider", tmp_path, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
    assert "2 passed" in result.stdout, result.stdout


@pytest.mark.parametrize("missing", ["starlette", "uvicorn"])
def test_without_the_extra(missing: str, run_python: Callable[..., Any]) -> None:
    """Without the extra, importing the class says how to install it; the command does so in one line."""
    without = f"import sys; sys.modules[{missing!r}] = None; "
    result = run_python("-c", without + "from artanis_client.sandbox import Sandbox")
    assert result.stderr.endswith(f"ImportError: {NEEDS_EXTRA}\n")
    run = f"import runpy; sys.argv = ['sandbox', '--help']; runpy.run_module({COMMAND[1]!r}, run_name='__main__')"
    result = run_python("-c", without + run)
    assert (result.returncode, result.stdout, result.stderr) == (2, "", f"sandbox: {NEEDS_EXTRA}\n")

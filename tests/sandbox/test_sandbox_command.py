"""The sandbox as a program, as a pytest plugin, and without what it needs."""

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

from artanis_client.sandbox import DRIFTS
from artanis_client.sandbox.__main__ import main
from support import LIMIT

COMMAND = ("-m", "artanis_client.sandbox")


@pytest.mark.skipif(sys.platform == "win32", reason="there, a signal ends the process without its say")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_command(number: signal.Signals, python_environment: dict[str, str]) -> None:
    """It prints exports that lead to a working server, and ends quietly when asked to."""
    process = subprocess.Popen(
        [sys.executable, *COMMAND, "--port", "0", "--traces", "3", "--drift", "renamed-key", "--drift", "wrong-type"],
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
        assert [type(trace["createdAt"]) for trace in response.json()["items"]] == [int] * 3
        process.send_signal(number)
        output, errors = process.communicate(timeout=LIMIT)
    assert process.returncode == 0
    assert output == ""
    assert errors.count("\n") == 1
    assert "Ctrl-C" in errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--latency", "-1"), "error: latency must be from 0 to 3600, not -1.0"),
        (("--fault-rate", "1.5"), "error: fault_rate must be from 0 to 1, not 1.5"),
        (("--drift", "nonsense", "--drift", "null"), "error: no such drift: nonsense; there are undocumented-field, "),
    ],
)
def test_bad_arguments(
    arguments: tuple[str, str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bad argument is refused as argparse does it, with the bounds."""
    monkeypatch.setattr(sys, "argv", ["sandbox", *arguments])
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # those of this process stay
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_help(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The help lists every drift, and what it does."""
    monkeypatch.setattr(sys, "argv", ["sandbox", "--help"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    output = capsys.readouterr().out
    for name, description in DRIFTS.items():
        assert re.search(rf"^  {name} +{re.escape(description)}$", output, re.MULTILINE)


def test_port_taken(run_python: Callable[..., Any]) -> None:
    """A taken port is one line on stderr and exit status 1."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = run_python(*COMMAND, "--port", taken.getsockname()[1])
        assert str(taken.getsockname()[1]) in result.stderr
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1


def test_plugin(tmp_path: pathlib.Path, run_python: Callable[..., Any]) -> None:
    """A suite that names the plugin gets one running sandbox for all its tests."""
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["artanis_client.sandbox.pytest_plugin"]\n')
    (tmp_path / "test_user.py").write_text(
        """
import httpx, pytest

@pytest.mark.parametrize("earlier", [0, 1])
def test_user(artanis_sandbox, earlier):
    assert artanis_sandbox.request_count == earlier
    headers = {"x-api-key": artanis_sandbox.api_key, "x-org-slug": artanis_sandbox.org_slug}
    params = {"projectSlug": artanis_sandbox.project_slug}
    url = f"{artanis_sandbox.base_url}/api/traces"
    response = httpx.get(url, params=params, headers=headers, trust_env=False, timeout=60)
    assert len(response.json()["traces"]) == 60
"""
    )
    result = run_python("-m", "pytest", "-q", "-p", "no:cacheprovider", tmp_path, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
    assert "2 passed" in result.stdout, result.stdout


@pytest.mark.parametrize("missing", ["starlette", "uvicorn"])
def test_without_the_extra(missing: str, run_python: Callable[..., Any]) -> None:
    """Without the extra, importing says how to install it."""
    result = run_python("-c", f"import sys; sys.modules[{missing!r}] = None; import artanis_client.sandbox")
    assert "ImportError: the sandbox needs an extra: pip install 'artanis-client[sandbox]'" in result.stderr

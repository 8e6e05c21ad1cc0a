"""The examples, each of which somebody will copy. `test_demo.py` is about the demo."""

from __future__ import annotations

import json
import os
import runpy
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
import yaml

from artanis_client import Artanis
from artanis_client.sandbox import Sandbox
from support import LIMIT, wait_until

pytestmark = pytest.mark.tooling
EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Sandbox]:
    """A sandbox that the test may change, in the environment."""
    with Sandbox(traces=20) as sandbox:
        for name, value in sandbox.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(tmp_path)
        yield sandbox


def load(name: str) -> dict[str, Any]:
    return runpy.run_path(str(EXAMPLES / name))


def test_nightly_export(sandbox: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The first night reads every trace, the second only those that may have been reviewed since."""
    main = load("nightly_export.py")["main"]
    assert main(tmp_path / "data") == 0
    first = capsys.readouterr().out
    assert "of 20 traces, 20 of them read, 0 skipped" in first
    examples = (tmp_path / "data" / "examples.jsonl").read_text(encoding="utf-8").splitlines()
    assert f"{len(examples)} examples" in first
    card = json.loads((tmp_path / "data" / "scorecard.json").read_text(encoding="utf-8"))
    assert sum(row["spans"] for row in card["versions"]) == len(examples)
    sandbox.add_trace()
    assert main(tmp_path / "data") == 0
    assert "of 21 traces" in (second := capsys.readouterr().out)
    assert "21 of them read" not in second


def test_nightly_export_on_drift(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """If the API has drifted, the files are written, the report says where, and the exit status is 1."""
    with Sandbox(traces=5, drift=["undocumented-field"]) as sandbox:
        for name, value in sandbox.environment.items():
            monkeypatch.setenv(name, value)
        assert load("nightly_export.py")["main"](tmp_path) == 1
    assert "undocumented field" in capsys.readouterr().err
    assert (tmp_path / "scorecard.json").exists()


def test_nightly_export_without_api(sandbox: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """If the export fails, the exit status is 2, and the old file stays."""
    main = load("nightly_export.py")["main"]
    assert main(tmp_path) == 0
    old = (tmp_path / "examples.jsonl").read_bytes()
    sandbox.status = 404
    assert main(tmp_path) == 2
    assert "404" in capsys.readouterr().err
    assert (tmp_path / "examples.jsonl").read_bytes() == old


@contextmanager
def serve(app: Any) -> Iterator[Callable[[str], Any]]:
    """Serve an application, and yield a function that gets a path."""
    server = uvicorn.Server(uvicorn.Config(app, log_config=None))
    with socket.create_server(("127.0.0.1", 0)) as listener, httpx.Client(trust_env=False, timeout=LIMIT) as browser:
        thread = threading.Thread(target=lambda: server.run([listener]))
        thread.start()
        try:
            wait_until(lambda: server.started or not thread.is_alive())
            yield lambda path: browser.get(f"http://127.0.0.1:{listener.getsockname()[1]}{path}").json()
        finally:
            server.should_exit = True
            thread.join()


@pytest.mark.usefixtures("quick_retries")
def test_web_app(sandbox: Sandbox, tmp_path: Path) -> None:
    """The application answers with the active prompt, and starts and answers during an outage."""
    with serve(load("web_app.py")["app"]) as get:
        expected = get("/answer?message=hello")
        assert expected["message"] == "hello"
        assert get("/health")["source"] == "api"
        sandbox.status = 503
        assert get("/answer?message=hello") == expected
    with serve(load("web_app.py")["app"]) as get:
        assert get("/answer?message=hello") == expected
        assert get("/health")["source"] == "snapshot"
    (tmp_path / "prompts.json").unlink()
    with serve(load("web_app.py")["app"]) as get:
        assert "one label" in get("/answer")["prompt"]
        assert get("/health") == {"source": "fallback", "age": None}


def test_suite() -> None:
    """The suite passes by itself, with nothing but pytest and the sandbox."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "-p", "no:cacheprovider", "-c", os.devnull]
    done = subprocess.run(
        [*command, str(EXAMPLES / "test_with_sandbox.py")], capture_output=True, encoding="utf-8", timeout=LIMIT
    )
    assert done.returncode == 0, done.stdout
    assert "6 passed" in done.stdout


def test_notebook() -> None:
    """The notebook has no stored output, and its cells are Python. `make notebook` runs it."""
    notebook = json.loads((EXAMPLES / "reviews.ipynb").read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            compile("".join(cell["source"]), "reviews.ipynb", "exec")
            assert (cell["outputs"], cell["execution_count"]) == ([], None)


def test_pull_workflow(sandbox: Sandbox, tmp_path: Path) -> None:
    """The steps of the workflow push a branch and open one pull request, and nothing if the prompts are the same."""
    steps = yaml.safe_load((EXAMPLES / "pull_prompts.yml").read_text(encoding="utf-8"))["jobs"]["pull"]["steps"]
    scripts = [step["run"] for step in steps if "run" in step and "pip install" not in step["run"]]
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "gh").write_text(
        '#!/bin/sh\necho "$@" >> "$CALLS"\n[ "$2" != list ] || [ ! -s "$OPEN" ] || cat "$OPEN"\n'
    )
    (programs / "artanis").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m artanis_client.cli "$@"\n')
    for program in programs.iterdir():
        program.chmod(0o755)
    calls, open_ = tmp_path / "calls", tmp_path / "open"
    environment = {
        **os.environ,
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "CALLS": str(calls),
        "OPEN": str(open_),
        "BRANCH": "artanis/prompts",
        "GIT_AUTHOR_NAME": "A",
        "GIT_AUTHOR_EMAIL": "a@example.com",
        "GIT_COMMITTER_NAME": "A",
        "GIT_COMMITTER_EMAIL": "a@example.com",
    }

    def run(*commands: str, where: str = "clone") -> str:
        printed = ""
        for command in commands:
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", command],
                cwd=tmp_path / where,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                timeout=LIMIT,
            )
            assert done.returncode == 0, done.stdout
            printed += done.stdout
        return printed

    run("git init -q -b main --bare origin", "git clone -q origin clone", where=".")
    run("git commit -q --allow-empty -m First && git push -q origin main")
    run(*scripts)
    assert "prompts/classify.md" in run("git ls-tree -r --name-only origin/artanis/prompts")
    assert [line.split()[1] for line in calls.read_text().splitlines()] == ["list", "create"]
    assert "have not changed" in run(*scripts)
    with Artanis() as client:
        sandbox.add_version(
            next(prompt.id for prompt in client.prompts.list() if prompt.step_id == "classify"), "Be brief."
        )
    open_.write_text("7\n")
    run("git switch -q main", *scripts)
    assert [line.split()[1] for line in calls.read_text().splitlines()] == ["list", "create", "list"]
    assert "Be brief." in run("git show origin/artanis/prompts:prompts/classify.md")

"""`make api-check`: what the public Python API lost since the last release."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.tooling
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def released(tmp_path: Path) -> Path:
    """A repository with the packages as they are, tagged as a release, and the Makefile."""
    ignored = shutil.ignore_patterns("__pycache__", "openapi.yaml")
    for name in ("overlay", "generated"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    shutil.copy(ROOT / "Makefile", tmp_path)
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "--quiet", "-m", "x")
    return tmp_path


def git(root: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=root, check=True)


def check(root: Path) -> subprocess.CompletedProcess[str]:
    command = ["make", "--no-print-directory", "api-check", f"BIN={Path(sys.executable).parent}", "-o", "setup"]
    # pytest's own temporary folders lie in no repository, and this one must not be found from them.
    environment = {**os.environ, "GIT_CEILING_DIRECTORIES": str(root.parent)}
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)


def test_without_a_release(released: Path) -> None:
    """Before the first release there is nothing to compare with, and that is no failure."""
    done = check(released)
    assert (done.returncode, done.stdout) == (0, "api-check: no release to compare with yet\n")


def test_additions_pass_and_removals_fail(released: Path) -> None:
    """A new method passes; one that is gone, or an argument that is, is named."""
    git(released, "tag", "v0.1.0")
    client = released / "overlay" / "artanis_client" / "_client.py"
    original = client.read_text(encoding="utf-8")
    client.write_text(
        original.replace("def close(self)", "def more(self) -> None: ...\n\n    def close(self)"), "utf-8"
    )
    done = check(released)
    assert done.returncode == 0, done.stdout + done.stderr
    client.write_text(original.replace("def with_options(", "def without_options("), encoding="utf-8")
    done = check(released)
    assert done.returncode != 0
    assert "with_options" in done.stdout + done.stderr

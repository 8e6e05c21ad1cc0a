"""The README is true: every Python block runs."""

from __future__ import annotations

import re
import runpy
from collections.abc import Iterator
from pathlib import Path

import pytest

from artanis_client import _errors
from artanis_client.sandbox import Sandbox
from support import LIMIT, NOW

pytestmark = pytest.mark.tooling
ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(traces=20, now=NOW) as sandbox:
        yield sandbox


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_python_blocks_run(
    block: str, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A block runs on its own, with the variables that the README says to set."""
    script = tmp_path / "block.py"
    # A reader's few seconds may not be enough on a busy machine.
    script.write_text(re.sub(r"timeout=\d+", f"timeout={LIMIT}", block), encoding="utf-8")
    for name, value in sandbox.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(script), run_name="__main__")
    shown = capsys.readouterr()
    assert shown.err == ""
    assert shown.out or "assert" in block


def test_the_tree_of_errors() -> None:
    """The README draws the same tree as the module."""
    drawn = [line.split("  ")[0] for line in (_errors.__doc__ or "").splitlines() if "Error" in line and "  " in line]
    assert len(drawn) > 10
    for line in drawn:
        assert line in README


def test_make_targets_exist() -> None:
    """Every `make` target that a document names is one."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"):
        for target in re.findall(r"\bmake ([a-z-]+)", (ROOT / name).read_text(encoding="utf-8")):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE) or target in {"and", "sure"}, target


def test_links_lead_somewhere() -> None:
    """Relative links of the documents are files."""
    for path in ROOT.glob("*.md"):
        for link in re.findall(r"\]\(([^)#:]+)\)", path.read_text(encoding="utf-8")):
            assert (ROOT / link).exists(), f"{path.name}: {link}"

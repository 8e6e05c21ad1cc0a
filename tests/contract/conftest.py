"""What the tests of the contract share: the scripts as modules, and a copy of the tree that they may break."""

import shutil
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(PROJECT / "scripts"))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of all that a generation reads and writes."""
    root = tmp_path / "tree"
    root.mkdir()
    for name in ("openapi.yaml", "generator-config.yaml"):
        shutil.copy(PROJECT / name, root)
    shutil.copytree(PROJECT / "generated", root / "generated", ignore=shutil.ignore_patterns("__pycache__"))
    return root

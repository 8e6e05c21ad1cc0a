"""What the tests of the contract share: the scripts as modules, generations, and a copy of the tree to break."""

import runpy
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(PROJECT / "scripts"))

from generate import generate  # noqa: E402 - found on the path above


@pytest.fixture(scope="session")
def generate_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path, Path, Path], None]:
    """`generate()`, except that it generates only once from the same document and configuration, and then copies.

    For tests of what happens to the package afterwards. Tests of the generation itself call `generate()`.
    """
    packages: dict[tuple[bytes, bytes], Path] = {}

    def generate_once(spec: Path, config: Path, output: Path) -> None:
        contents = spec.read_bytes(), config.read_bytes()
        if contents not in packages:
            package = tmp_path_factory.mktemp("generation") / "package"
            generate(spec, config, package)
            packages[contents] = package
        shutil.copytree(packages[contents], output)

    return generate_once


@pytest.fixture
def run_script(monkeypatch: pytest.MonkeyPatch) -> Callable[..., object]:
    """Runs a script as the command line does and returns its exit status.

    It runs in this process, because a new one spends most of a second on imports.
    """

    def run_script(name: str, *arguments: str) -> object:
        script = str(PROJECT / "scripts" / name)
        monkeypatch.setattr("sys.argv", [script, *arguments])
        with pytest.raises(SystemExit) as caught:
            runpy.run_path(script, run_name="__main__")
        return caught.value.code

    return run_script


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of all that a generation reads and writes."""
    root = tmp_path / "tree"
    root.mkdir()
    for name in ("openapi.yaml", "generator-config.yaml"):
        shutil.copy(PROJECT / name, root)
    shutil.copytree(PROJECT / "generated", root / "generated", ignore=shutil.ignore_patterns("__pycache__"))
    return root

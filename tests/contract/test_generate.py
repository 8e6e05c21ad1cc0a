"""The generated package: the same bytes everywhere, replaced whole or not at all, and nothing in it by hand."""

import shutil
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest

import generate

pytestmark = pytest.mark.tooling

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture
def generated_once(generate_once: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Reuse an earlier generation: these tests are about the files of the tree that it is compared with."""
    monkeypatch.setattr(generate, "generate", generate_once)


def contents(root: Path) -> dict[str, bytes]:
    """Return every file below `generated` with its bytes."""
    folder = root / "generated"
    return {name: (folder / name).read_bytes() for name in generate.files(folder)}


def test_what_is_committed_is_what_the_generator_writes(
    run_script: Callable[..., object], capsys: pytest.CaptureFixture[str]
) -> None:
    """`make check-generated` passes on the project itself."""
    assert run_script("generate.py", "--check") == 0
    assert capsys.readouterr() == ("generated/artanis_api: as generated\n", "")


def test_generating_twice_gives_the_same_bytes(tree: Path) -> None:
    """Neither the folder nor what was there before shows in the output, and a second run finds nothing to do."""
    before = contents(tree)
    shutil.rmtree(tree / "generated")
    assert generate.main(["--root", str(tree)]) == 0
    assert contents(tree) == before


@pytest.mark.usefixtures("generated_once")
def test_an_unchanged_package_is_left_alone(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Generating what is already there says so and touches no file."""
    times = {path: path.stat().st_mtime_ns for path in tree.rglob("*.py")}
    assert generate.main(["--root", str(tree)]) == 0
    assert capsys.readouterr().out == "generated/artanis_api: up to date\n"
    assert {path: path.stat().st_mtime_ns for path in tree.rglob("*.py")} == times


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("generated/ruff.toml", "line-length = 40\n[format]\nquote-style = 'single'\n"),
        (".ruff.toml", "exclude = ['*']\n"),
        (".gitignore", "*\n"),
        ("pyproject.toml", "[tool.ruff]\nline-length = 40\n[tool.ruff.lint]\nselect = ['ALL']\n"),
    ],
)
def test_a_foreign_ruff_configuration_has_no_effect(tree: Path, name: str, settings: str) -> None:
    """Whatever ruff is told above or beside the package, the bytes are the same."""
    before = contents(tree)
    shutil.rmtree(tree / generate.PACKAGE)
    (tree / name).write_text(settings, encoding="utf-8")
    (tree / ".git").mkdir()  # ruff obeys .gitignore in a repository, which to it is this
    assert generate.main(["--root", str(tree)]) == 0
    (tree / name).unlink()
    (tree / ".git").rmdir()
    assert contents(tree) == before


@pytest.mark.usefixtures("generated_once")
def test_check_names_every_file_that_differs(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Edited, missing and extra files of any kind fail the check, which says what to do and changes nothing."""
    package = tree / generate.PACKAGE
    with (package / "models" / "trace.py").open("a", encoding="utf-8") as stream:
        stream.write("# by hand\n")
    (package / "py.typed").unlink()
    (package / "models" / "by_hand.py").touch()
    (package / "notes").mkdir()
    (package / "notes" / ".hidden").touch()
    before = contents(tree)
    assert generate.main(["--check", "--root", str(tree)]) == 1
    *found, advice = capsys.readouterr().err.splitlines()
    assert found == [
        "generated/artanis_api/models/by_hand.py: extra",
        "generated/artanis_api/models/trace.py: differs",
        "generated/artanis_api/notes/.hidden: extra",
        "generated/artanis_api/py.typed: missing",
    ]
    assert advice == "Out of date: run `make generate`, and commit what it writes."
    assert contents(tree) == before


@pytest.mark.usefixtures("generated_once")
def test_check_after_an_edit_of_the_contract(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The package is called out of date, and nobody is told that it was edited by hand."""
    spec = tree / "openapi.yaml"
    text = spec.read_text(encoding="utf-8")
    spec.write_text(text.replace("description: The comment.", "description: What was said.", 1), encoding="utf-8")
    assert generate.main(["--check", "--root", str(tree)]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "generated/artanis_api/models/feedback.py: differs",
        "Out of date: run `make generate`, and commit what it writes.",
    ]


@pytest.mark.usefixtures("generated_once")
def test_check_ignores_what_python_caches(tree: Path) -> None:
    """Having imported the package does not fail the check."""
    cache = tree / generate.PACKAGE / "models" / "__pycache__"
    cache.mkdir()
    (cache / "trace.cpython-311.pyc").write_bytes(b"")
    assert generate.main(["--check", "--root", str(tree)]) == 0


@pytest.mark.usefixtures("generated_once")
def test_generating_removes_what_is_stale(tree: Path) -> None:
    """A file that the generator does not write is gone afterwards, an edited one is as generated."""
    before = contents(tree)
    (tree / generate.PACKAGE / "models" / "stale.py").touch()
    (tree / generate.PACKAGE / "types.py").write_text("edited", encoding="utf-8")
    assert generate.main(["--root", str(tree)]) == 0
    assert contents(tree) == before


@pytest.mark.parametrize(
    ("name", "old", "new", "words"),
    [
        ("openapi.yaml", "schemas/PromptList'", "schemas/Nowhere'", "WARNING parsing GET /api/prompts"),
        ("openapi.yaml", "openapi: 3.1.0", "openapi: [", "Invalid YAML"),
        ("generator-config.yaml", "ruff format .", "ruff format nowhere", "`ruff format nowhere"),
        ("generator-config.yaml", "post_hooks:", "post_hooks: 7 #", "openapi-python-client crashed: "),
    ],
    ids=["warning", "error", "hook", "crash"],
)
def test_a_failing_generation_leaves_everything_as_it_was(
    tree: Path, name: str, old: str, new: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """When the generator or a hook fails, or only warns, the old package stays whole and nothing else is left."""
    before = contents(tree)
    text = (tree / name).read_text(encoding="utf-8")
    assert old in text
    (tree / name).write_text(text.replace(old, new), encoding="utf-8")
    assert generate.main(["--root", str(tree)]) == 1
    assert words in capsys.readouterr().err
    assert contents(tree) == before
    assert [path.name for path in (tree / "generated").iterdir()] == ["artanis_api"]


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in for ruff is a shell script")
def test_another_ruff_is_refused(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A ruff that is not the pinned one writes nothing; the message says which is needed and how to get it."""
    ruff = tmp_path / "ruff"
    ruff.write_text("#!/bin/sh\necho ruff 0.1.0\n", encoding="utf-8")
    ruff.chmod(0o755)
    monkeypatch.setattr("sysconfig.get_path", {"scripts": str(tmp_path)}.__getitem__)
    assert generate.main(["--root", str(tree)]) == 1
    message = capsys.readouterr().err
    assert f"ruff {metadata.version('ruff')}; found 0.1.0" in message
    assert "requirements/dev.txt" in message


def test_a_missing_ruff_is_refused(
    tree: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without any ruff the generator would only warn; here nothing is written."""

    def nowhere(program: str, path: str) -> None:
        """Find no program."""

    monkeypatch.setattr("shutil.which", nowhere)
    assert generate.main(["--root", str(tree)]) == 1
    assert "found none" in capsys.readouterr().err


@pytest.mark.parametrize("version", ["0.1.0", None])
def test_another_generator_is_refused(
    tree: Path, version: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A generator that is missing or not the pinned one writes nothing."""

    def installed(name: str) -> str:
        if version is None:
            raise metadata.PackageNotFoundError(name)
        return version

    monkeypatch.setattr("importlib.metadata.version", installed)
    assert generate.main(["--root", str(tree)]) == 1
    assert f"openapi-python-client 0.29.1; found {version or 'none'}" in capsys.readouterr().err


def test_the_package_is_typed() -> None:
    """It has py.typed. `make types` checks all of it in strict mode; so does test_regeneration, after a change."""
    assert (PROJECT / generate.PACKAGE / "py.typed").is_file()

"""The documentation is true: Python runs, and commands print what is shown."""

from __future__ import annotations

import io
import logging
import os
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import artanis_client
from artanis_client import _errors
from artanis_client.cli import _doctor
from artanis_client.cli._app import run
from artanis_client.sandbox import Sandbox
from support import LIMIT, NOW

pytestmark = pytest.mark.tooling
ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^( *)```(python|console)\n(.*?)^\1```", re.DOTALL | re.MULTILINE)
COLUMNS = 80
NAMES = [path.relative_to(ROOT).as_posix() for path in PAGES]
PAGES_WITH_BLOCKS = [name for name in NAMES if BLOCK.search((ROOT / name).read_text(encoding="utf-8"))]


class Terminal(io.TextIOWrapper):
    """A stream that claims to be a terminal, for people see what a terminal shows."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(now=NOW) as sandbox:  # the samples show data that ends then
        yield sandbox


@pytest.fixture
def directory(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, with the sandbox in the environment."""
    for name, value in {**sandbox.environment, "COLUMNS": str(COLUMNS), "NO_COLOR": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.setattr(_doctor, "CONNECT_TIMEOUT", LIMIT)
    monkeypatch.setattr(_doctor, "MAX_SKEW", LIMIT)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", PAGES_WITH_BLOCKS)
def test_blocks(name: str, directory: Path) -> None:
    """The blocks of a page run in order, in one directory."""
    for _, language, block in BLOCK.findall((ROOT / name).read_text(encoding="utf-8")):
        if language == "python":
            run_python(block, directory)
        else:
            replay(block)


@pytest.mark.usefixtures("directory")
def test_a_wrong_sample_fails() -> None:
    """A sample that differs from what is printed fails; `…` stands for any text."""
    for shown in ("artanis, version …\n", "…\n", "artanis, …\n…\n"):
        replay(f"$ artanis --version\n{shown}")
    for shown in ("artanis\n", "artanis, version …\nmore\n", "…nothing\n", "…\nmore\n"):
        with pytest.raises(AssertionError, match="artanis"):
            replay(f"$ artanis --version\n{shown}")


def test_public_names() -> None:
    """Each public name is on a page of the reference, once. The models are there as one list."""
    pages = [path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "reference").glob("*.md")]
    blocks = [
        block for page in pages for block in re.findall(r"^```\{api\}\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    ]
    named = [name for block in blocks for name in block.split()]
    assert sorted(name for name in named if "." not in name) == sorted({*artanis_client.__all__} - {"models"})
    assert sum("```{models}" in page for page in pages) == 1


@pytest.mark.parametrize("path", sorted((ROOT / "docs").rglob("*.md")), ids=lambda path: path.stem)
def test_first_sentence(path: Path) -> None:
    """Each page starts with a sentence, which `llms.txt` shows."""
    text = path.read_text(encoding="utf-8")
    assert re.match(r"(\(.+\)=\n)?# .+\n\n[A-Z`](?!``)|```\{include\}", text)


def test_the_tree_of_errors() -> None:
    """The reference draws the same tree as the module."""
    page = (ROOT / "docs" / "reference" / "errors.md").read_text(encoding="utf-8")
    drawn = [line.split("  ")[0].strip(" │├└─") for line in (_errors.__doc__ or "").splitlines() if "─" in line]
    assert len(drawn) > 10
    for name in drawn:
        assert re.search(rf"── {name}\b", page)


def test_make_targets_exist() -> None:
    """Every `make` target that a document names is one."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for path in DOCUMENTS:
        for target in re.findall(
            r"(?:`|^)make ([a-z-]+)(?:`| [A-Z]| +#|$)", path.read_text(encoding="utf-8"), re.MULTILINE
        ):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"{path.name}: {target}"


def test_links_lead_somewhere() -> None:
    """Relative links of the documents are files, and external ones begin with https://."""
    for path in DOCUMENTS:
        text = re.sub(r"```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
        for link in re.findall(r"\]\(([^)]+)\)", text):
            target, _, anchor = link.partition("#")
            found = re.fullmatch(r"https://[\w.-]+(/[^\s]*)?", link) or not target or (path.parent / target).exists()
            assert found, f"{path.name}: {link}"
            if anchor and target.endswith(".md"):  # headings; Sphinx checks those between pages of docs/
                headings = re.findall("^#+ (.+)$", (path.parent / target).read_text(encoding="utf-8"), re.MULTILINE)
                assert anchor in {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in headings}, link


def test_length_of_the_readme() -> None:
    """The README stays short: what grows belongs into docs/."""
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def run_python(block: str, directory: Path) -> None:
    """Run a block: it prints something or asserts something, and writes nothing to stderr."""
    script = directory / "block.py"
    # A reader's few seconds may not be enough on a busy machine.
    script.write_text(re.sub(r"timeout=\d+", f"timeout={LIMIT}", block), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        out, err = io.StringIO(), io.StringIO()
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        runpy.run_path(str(script), run_name="__main__")
    script.unlink()
    logging.getLogger("httpx").setLevel(logging.NOTSET)  # a block sets it
    assert err.getvalue() == ""
    assert out.getvalue() or "assert" in block or "def test_" in block, block


def replay(block: str) -> None:
    """Run each command of a block, and compare what it prints, first on stdout, then on stderr, with what is shown.

    A block that shows only commands is not run: it tells readers what to do on their own machine.
    """
    commands = re.findall(r"^\$ (.+)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE)
    if not any(shown for _, shown in commands):
        return
    for command, shown in commands:
        printed = run_command(re.sub(r"\s+# .*$", "", command), in_terminal="\t" not in shown)
        any_lines = re.sub(r"\\\n…(?=\\\n|\Z)", r"(\n.*)?", re.escape(_strip(shown)))
        pattern = any_lines.replace("…", ".*")
        assert re.fullmatch(pattern, _strip(printed), re.DOTALL), f"$ {command}\n{printed}"


def _strip(text: str) -> str:
    """Return a text without spaces at the ends of lines, which no reader sees."""
    return "\n".join(line.rstrip() for line in text.rstrip().splitlines())


def run_command(command: str, *, in_terminal: bool = True) -> str:
    """Return what a command prints, in a terminal or a pipe; one with a pipe or a redirection runs in a shell."""
    words = shlex.split(command)
    if words[0] != "artanis" or set(command) & set("|><;&*"):
        programs = str(Path(sys.executable).parent)
        environment = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
        done = subprocess.run(  # in one stream, in the order in which it is printed
            f"( {command} ) 2>&1", shell=True, env=environment, stdout=subprocess.PIPE, encoding="utf-8", timeout=LIMIT
        )
        return done.stdout
    with pytest.MonkeyPatch.context() as patch:
        streams = [
            kind(io.BytesIO(), "utf-8") for kind in (Terminal if in_terminal else io.TextIOWrapper, io.TextIOWrapper)
        ]
        patch.setattr(sys, "stdout", streams[0])
        patch.setattr(sys, "stderr", streams[1])
        run(words[1:])
    printed = ""
    for stream in streams:
        stream.seek(0)  # flushes
        printed += stream.read()
    return printed

"""Check whether this commit can be released. Every check runs, and the last lines list the results.

Nothing is changed or published. What this machine cannot check, such as a Python that it does not have, is said.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
UV = str(ROOT / ".venv-uv" / "bin" / "uv")
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
FREE = re.compile(r"\b(MIT|BSD|Apache|ISC|PSF|Python Software Foundation|Unlicense|0BSD|MPL|Mozilla)\b", re.IGNORECASE)


class Failed(Exception):
    """A check found a reason not to release."""


class Skipped(Exception):
    """A check cannot run here."""


class Check(NamedTuple):
    """One line of the result."""

    name: str
    run: Callable[[], str]


def run(*command: str, cwd: Path = ROOT) -> str:
    """Return what a command prints on stdout; raise Failed, with the last line, if it fails."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stdout + done.stderr, file=sys.stderr)
        raise Failed(f"{' '.join(command[:3])} failed")
    return done.stdout.strip()


def find_last_release() -> str:
    """Return the tag of the last release; empty before the first."""
    command = ["git", "describe", "--tags", "--abbrev=0", "--match", "v*"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()


def check_tree() -> str:
    """Everything is committed."""
    if changed := run("git", "status", "--porcelain"):
        raise Failed(f"{len(changed.splitlines())} files are not committed")
    return run("git", "rev-parse", "--short", "HEAD")


def check_version() -> str:
    """The version is later than the last release."""
    last = find_last_release()
    if last and Version(version()) <= Version(last.removeprefix("v")):
        raise Failed(f"{version()} is not later than {last}; change overlay/artanis_client/_version.py")
    return f"{version()}, {f'after {last}' if last else 'the first release'}"


def version() -> str:
    """Return the version of this checkout, which is installed as editable."""
    return metadata.version("artanis-client")


def check_changelog() -> str:
    """The changelog has an entry with a date."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    title = re.search(rf"^## {re.escape(version())}\W+(.+)$", text, re.MULTILINE)
    if not title:
        raise Failed(f"CHANGELOG.md has no entry for {version()}")
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", title[1]):
        raise Failed(f"CHANGELOG.md says {title[1]!r} for {version()}; write the date")
    return title[1]


def check_repository() -> str:
    """The package knows where its repository is."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    repository = str(settings["tool"]["hatch"]["metadata"]["hooks"]["custom"]["repository"])
    if not repository:
        raise Failed("set `repository` in pyproject.toml, below [tool.hatch.metadata.hooks.custom]")
    return repository


def check_contract() -> str:
    """If the contract breaks something, the version says so."""
    last = find_last_release()
    if not last:
        raise Skipped("no release to compare with")
    run(sys.executable, "scripts/spec_diff.py", "--unless-raised", last)
    return f"compared with {last}"


def check_api() -> str:
    """The Python API has lost nothing."""
    last = find_last_release()
    if not last:
        raise Skipped("no release to compare with")
    run("make", "--no-print-directory", "api-check")
    return f"compared with {last}"


def check_docs() -> str:
    """The documentation builds without a warning."""
    run("make", "--no-print-directory", "docs")
    return ".cache/docs"


def check_build() -> str:
    """Wheel and sdist build, and the index can show the description."""
    run("make", "--no-print-directory", "build")
    return ", ".join(sorted(path.name for path in (ROOT / "dist").iterdir()))


def check_python(python: str) -> str:
    """The client's tests pass with the wheel on one version of Python."""
    found = subprocess.run(
        [UV, "python", "find", "--no-python-downloads", python], capture_output=True, text=True, check=False
    )
    if found.returncode:
        raise Skipped(f"there is no Python {python} on this machine")
    [wheel] = (ROOT / "dist").glob("*.whl")
    with tempfile.TemporaryDirectory() as folder:
        run(UV, "venv", "--quiet", "--python", found.stdout.strip(), folder)
        install = (UV, "pip", "install", "--quiet", "--python", folder)
        run(*install, "--require-hashes", "-r", "requirements/test.txt")
        run(*install, "--no-deps", str(wheel))
        selection = ("--ignore", "tests/contract", "--ignore", "tests/compat", "-m", "not tooling and not once")
        shown = run(f"{folder}/bin/python", "-m", "pytest", "-q", "-n", "auto", *selection)
    return shown.splitlines()[-1].strip("= ")


def check_licences() -> str:
    """Every package that a user installs has a licence that permits any use."""
    seen: dict[str, str] = {}
    for name in find_dependencies("artanis-client"):
        info = metadata.metadata(name)
        classifiers = [each for each in info.get_all("Classifier") or [] if each.startswith("License ::")]
        texts = [*(info.get_all("License-Expression") or classifiers), *(info.get_all("License") or []), "unknown"]
        seen[name] = texts[0][:60]
    for name, licence in sorted(seen.items()):
        print(f"    {name}: {licence.replace('License :: OSI Approved :: ', '')}")
    if wrong := sorted(name for name, licence in seen.items() if not FREE.search(licence)):
        raise Failed(f"look at the licence of {', '.join(wrong)}")
    return f"{len(seen)} packages"


def find_dependencies(name: str) -> set[str]:
    """Return the packages that a package needs, with all extras of ours, and in turn what they need."""
    found: set[str] = set()
    todo = [(name, set(metadata.metadata(name).get_all("Provides-Extra") or []))]
    while todo:
        package, extras = todo.pop()
        for text in metadata.requires(package) or []:
            requirement = Requirement(text)
            if requirement.marker and not any(requirement.marker.evaluate({"extra": extra}) for extra in {"", *extras}):
                continue
            dependency = canonicalize_name(requirement.name)
            if dependency not in found:
                found.add(dependency)
                todo.append((dependency, requirement.extras))
    return found


def checks() -> Iterator[Check]:
    """Yield every check, in order; those of the wheel come after its build."""
    yield Check("everything is committed", check_tree)
    yield Check("version", check_version)
    yield Check("changelog", check_changelog)
    yield Check("repository", check_repository)
    yield Check("contract", check_contract)
    yield Check("Python API", check_api)
    yield Check("documentation", check_docs)
    yield Check("build", check_build)
    for python in PYTHONS:
        yield Check(f"wheel on Python {python}", partial(check_python, python))
    yield Check("licences", check_licences)


def main() -> int:
    """Run every check, print the results, and return 1 if one failed."""
    results: list[tuple[str, str, str]] = []
    for check in checks():
        print(f"{check.name}…", flush=True)
        try:
            results.append(("ok", check.name, check.run()))
        except Failed as error:
            results.append(("FAILED", check.name, str(error)))
        except Skipped as error:
            results.append(("skipped", check.name, str(error)))
    print()
    for state, name, text in results:
        print(f"{state:8} {name:25} {text}")
    return int(any(state == "FAILED" for state, _, _ in results))


if __name__ == "__main__":
    sys.exit(main())

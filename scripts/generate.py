"""Regenerate `generated/artanis_api` from `openapi.yaml`, or check that it is what the generator writes.

python scripts/generate.py            # make generate
python scripts/generate.py --check    # make check-generated
"""

import argparse
import contextlib
import io
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
PACKAGE = Path("generated", "artanis_api")


class GenerationError(Exception):
    """The generator or ruff is not the pinned one, or the generator failed or warned; the text says which and why."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 1 after a failed generation or a check that found a difference."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; name the files that differ")
    parser.add_argument("--root", type=Path, default=PROJECT, metavar="DIR", help="work on another copy of the tree")
    options = parser.parse_args(arguments)
    try:
        return check(options.root) if options.check else regenerate(options.root)
    except GenerationError as error:
        print(error, file=sys.stderr)
        return 1


def regenerate(root: Path) -> int:
    """Replace the generated package of `root`, whole or not at all, and return 0."""
    target = root / PACKAGE
    target.parent.mkdir(parents=True, exist_ok=True)
    # Beside the target, because a rename works only within one file system.
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{PACKAGE.name}-") as scratch:
        fresh = Path(scratch, "new")
        generate(root / "openapi.yaml", root / "generator-config.yaml", fresh)
        changes = differences(fresh, target)
        if changes:
            if target.exists():
                target.rename(Path(scratch, "old"))
            fresh.rename(target)
    print(f"{PACKAGE.as_posix()}: {len(changes)} files changed" if changes else f"{PACKAGE.as_posix()}: up to date")
    return 0


def check(root: Path) -> int:
    """Print every file of the generated package that is not what the generator writes; return 1 if there is one."""
    with tempfile.TemporaryDirectory() as scratch:
        fresh = Path(scratch, PACKAGE.name)
        generate(root / "openapi.yaml", root / "generator-config.yaml", fresh)
        found = differences(fresh, root / PACKAGE)
    for difference in found:
        print(f"{PACKAGE.as_posix()}/{difference}", file=sys.stderr)
    if found:
        print("Out of date: run `make generate`, and commit what it writes.", file=sys.stderr)
        return 1
    print(f"{PACKAGE.as_posix()}: as generated")
    return 0


def generate(spec: Path, config: Path, output: Path) -> None:
    """Write the package to `output`; raise GenerationError, with the generator's own words, if it fails or warns.

    Not thread-safe: it captures what the generator prints by replacing `sys.stdout` and `sys.stderr`.
    """
    # The post hooks call `ruff` and `python` by name: this interpreter's come first, wherever the user's PATH leads.
    path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)])
    require_pinned_tools(path)
    # Imported only now: the check says what to do if they are missing.
    import openapi_python_client
    import typer
    from openapi_python_client.cli import handle_errors
    from openapi_python_client.config import Config, ConfigFile, MetaType

    said = io.StringIO()
    try:
        file = ConfigFile.load_from_path(config)
        settings = Config.from_sources(file, MetaType.NONE, spec, "utf-8", overwrite=True, output_path=output)
        hooks, settings.post_hooks = settings.post_hooks, []  # they run below, with this PATH
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
            handle_errors(openapi_python_client.generate(config=settings), fail_on_warning=True)
    except typer.Exit:
        raise GenerationError(said.getvalue().strip()) from None
    except Exception as error:  # an unusual document can make the generator crash in many ways
        raise GenerationError(f"openapi-python-client crashed: {error!r}") from error
    for hook in hooks:
        done = subprocess.run(  # noqa: S602 - the hooks are ours, and the generator would run them like this
            hook, shell=True, cwd=output, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise GenerationError(f"`{hook}` failed: {(done.stderr or done.stdout).strip()}")


def require_pinned_tools(path: str) -> None:
    """Raise GenerationError unless the generator, and the ruff on the path, are those that pyproject.toml pins."""
    groups = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]
    entries = (entry.partition("==") for entry in groups["dev"] if isinstance(entry, str))
    pins = {name: version for name, _, version in entries}
    try:
        generator = metadata.version("openapi-python-client")
    except metadata.PackageNotFoundError:
        generator = "none"
    ruff = shutil.which("ruff", path=path)
    installed = {
        "openapi-python-client": generator,
        # Asked of the program itself: a venv without ruff would fall through to any other on the PATH.
        "ruff": subprocess.check_output([ruff, "--version"], text=True).split()[-1] if ruff else "none",
    }
    for tool, version in installed.items():
        if version != pins[tool]:
            raise GenerationError(
                f"The generated code is the same everywhere only with {tool} {pins[tool]}; found {version}. "
                "Run `make generate`, which sets up .venv, or install requirements/dev.txt beside this Python."
            )


def differences(expected: Path, actual: Path) -> list[str]:
    """Return one line per file that differs, is missing or is extra in `actual`, in order; caches do not count."""
    wanted, present = files(expected), files(actual)
    found = dict.fromkeys(wanted - present, "missing") | dict.fromkeys(present - wanted, "extra")
    for name in wanted & present:
        if (actual / name).is_symlink() or (actual / name).read_bytes() != (expected / name).read_bytes():
            found[name] = "differs"
    return [f"{name}: {found[name]}" for name in sorted(found)]


def files(folder: Path) -> set[str]:
    """Return the path, below `folder`, of everything in it that is not a folder, hidden files and links included."""
    paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    return {path.as_posix() for path in paths if "__pycache__" not in path.parts}


if __name__ == "__main__":
    sys.exit(main())

"""Run the tests of the client against the built wheel, in an environment that has nothing else of the project.

What the checkout has on its path by chance (a module that is not in the wheel, a file beside it) is not there.

python scripts/wheel_test.py              # with the pinned dependencies
python scripts/wheel_test.py --lowest     # with the lowest that pyproject.toml allows
python scripts/wheel_test.py --newest     # with the newest that there are
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    """The exit status of pytest."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lowest", action="store_const", dest="versions", const=["--resolution", "lowest-direct"])
    parser.add_argument("--newest", action="store_const", dest="versions", const=["--resolution", "highest"])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        build = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", folder, str(ROOT)]
        subprocess.run(build, check=True, stdout=subprocess.DEVNULL)
        [wheel] = scratch.glob("*.whl")
        venv.create(scratch / "env", with_pip=True)
        python = str(scratch / "env" / ("Scripts" if sys.platform == "win32" else "bin") / "python")
        pip = [python, "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
        subprocess.run([*pip, "--require-hashes", "-r", str(ROOT / "requirements" / "test.txt")], check=True)
        if options.versions:
            uv = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--upgrade", "--python", python]
            subprocess.run([*uv, *options.versions, *dependencies()], check=True)
        subprocess.run([*pip, "--no-deps", str(wheel)], check=True)
        subprocess.run([python, "-m", "pip", "check"], check=True, stdout=subprocess.DEVNULL)
        print(f"Testing {wheel.name} {' '.join(sys.argv[1:])}", flush=True)
        tests = [python, "-m", "pytest", "-q", "-m", "not tooling", "-n", "auto"]
        ignored = ["--ignore", "tests/contract", "--ignore", "tests/compat"]
        return subprocess.run([*tests, *ignored], cwd=ROOT, check=False).returncode


def dependencies() -> list[str]:
    """What the client and its extras ask for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [*project["dependencies"], *(name for extra in project["optional-dependencies"].values() for name in extra)]


if __name__ == "__main__":
    raise SystemExit(main())

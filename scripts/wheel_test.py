"""Run the tests of the client against the built wheel, in an environment that has nothing else of the project.

What the checkout has on its path by chance (a module that is not in the wheel, a file beside it) is not there.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    """The exit status of pytest."""
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        build = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", folder, str(ROOT)]
        subprocess.run(build, check=True, stdout=subprocess.DEVNULL)
        [wheel] = scratch.glob("*.whl")
        venv.create(scratch / "env", with_pip=True)
        python = scratch / "env" / ("Scripts" if sys.platform == "win32" else "bin") / "python"
        pip = [str(python), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
        subprocess.run([*pip, "--require-hashes", "-r", str(ROOT / "requirements" / "test.txt")], check=True)
        subprocess.run([*pip, "--no-deps", str(wheel)], check=True)
        print(f"Testing {wheel.name}", flush=True)
        tests = [
            str(python),
            "-m",
            "pytest",
            "-q",
            "-m",
            "not tooling",
            "--ignore",
            "tests/contract",
            "-n",
            "auto",
            *sys.argv[1:],
        ]
        return subprocess.run(tests, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main())

"""Run a command several times on a busy machine: two endless loops per core compete with it.

A test that depends on how fast the machine is fails here. Stops at the first failure and returns its exit status.

python scripts/busy.py 3 pytest -q      # make busy
"""

from __future__ import annotations

import os
import subprocess
import sys

LOOPS_PER_CORE = 2


def main(times: int, command: list[str]) -> int:
    """Return 0 if every run succeeded, otherwise the exit status of the first that failed."""
    spin = [sys.executable, "-c", "while True: pass"]
    loops = [subprocess.Popen(spin) for _ in range(LOOPS_PER_CORE * (os.cpu_count() or 1))]
    try:
        for run in range(1, times + 1):
            print(f"Run {run} of {times}, beside {len(loops)} busy loops", flush=True)
            status = subprocess.run(command, check=False).returncode
            if status != 0:
                return status
        return 0
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))

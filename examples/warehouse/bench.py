"""Compare how fast a project is loaded into DuckDB with how fast `traces.iter` reads it in the same run.

make bench-warehouse
"""

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import dlt

from artanis_client import Artanis
from artanis_source import artanis
from load import load

TRACES = 10_000
FAULTY_TRACES, FAULT_RATE = 3000, 0.05
ROUNDS = 5  # a single round varies by 10% either way if server and client share the cores
TARGET = 0.70

SERVER = """
import json, sys
from artanis_client.sandbox import Sandbox
with Sandbox(traces=int(sys.argv[1]), latency=0.02, fault_rate=float(sys.argv[2])) as sandbox:
    print(json.dumps(sandbox.environment), flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def serving(traces: int, fault_rate: float) -> Iterator[None]:
    """Serve a project from another process, with the environment that makes clients read it."""
    arguments = [sys.executable, "-c", SERVER, str(traces), str(fault_rate)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdin is not None
        os.environ.update(json.loads(server.stdout.readline()))
        yield
        server.stdin.close()


def read(traces: int) -> float:
    began = time.perf_counter()
    with Artanis(max_retries=5) as client:
        count = sum(1 for _ in client.traces.iter())
    assert count == traces
    return time.perf_counter() - began


def write(folder: Path) -> float:
    began = time.perf_counter()
    destination = dlt.destinations.duckdb(str(folder / "warehouse.duckdb"))
    pipeline = dlt.pipeline("bench", pipelines_dir=str(folder), destination=destination, dataset_name="artanis")
    load(pipeline, artanis())
    return time.perf_counter() - began


def compare(traces: int) -> float:
    """Read and load once, print the times, and return their ratio."""
    with tempfile.TemporaryDirectory() as folder:
        reading, loading = read(traces), write(Path(folder))
    speeds = f"traces/s: traces.iter {traces / reading:.0f}, load {traces / loading:.0f}"
    print(f"{traces} traces: iter {reading:.1f} s, load {loading:.1f} s; {speeds}; ratio {reading / loading:.2f}")
    return reading / loading


def main() -> None:
    """Print the times and their ratio for each round, then the median ratio, then a round with faults."""
    os.chdir(Path(__file__).parent)  # dlt looks for its configuration in the working directory
    with serving(TRACES, 0):
        ratios = [compare(TRACES) for _ in range(ROUNDS)]
    print(f"median ratio {statistics.median(ratios):.2f} (target {TARGET:.2f})")
    print(f"{FAULT_RATE:.0%} of the requests fail:")
    with serving(FAULTY_TRACES, FAULT_RATE):
        compare(FAULTY_TRACES)


if __name__ == "__main__":
    main()

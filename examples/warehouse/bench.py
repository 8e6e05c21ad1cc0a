"""Compare how fast a project is loaded into DuckDB with how fast `traces.iter` reads it in the same run.

make bench-warehouse
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import dlt

from artanis_client import Artanis
from artanis_source import artanis
from load import load

TRACES = 10_000
ROUNDS = 5  # a single round varies by 10% either way if server and client share the cores
TARGET = 0.70

SERVER = """
import json, sys
from artanis_client.sandbox import Sandbox
with Sandbox(traces=int(sys.argv[1]), latency=0.02) as sandbox:
    print(json.dumps(sandbox.environment), flush=True)
    sys.stdin.read()
"""


def read() -> float:
    began = time.perf_counter()
    with Artanis() as client:
        count = sum(1 for _ in client.traces.iter())
    assert count == TRACES
    return time.perf_counter() - began


def write(folder: Path) -> float:
    began = time.perf_counter()
    destination = dlt.destinations.duckdb(str(folder / "warehouse.duckdb"))
    pipeline = dlt.pipeline("bench", pipelines_dir=str(folder), destination=destination, dataset_name="artanis")
    load(pipeline, artanis())
    return time.perf_counter() - began


def main() -> None:
    """Print the speeds and their ratio for each round, then the median ratio."""
    os.chdir(Path(__file__).parent)  # dlt looks for its configuration in the working directory
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(TRACES)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with server:
        assert server.stdout is not None
        assert server.stdin is not None
        os.environ.update(json.loads(server.stdout.readline()))
        ratios = []
        for _ in range(ROUNDS):
            with tempfile.TemporaryDirectory() as folder:
                reading, loading = read(), write(Path(folder))
            ratios.append(reading / loading)
            print(f"traces/s: traces.iter {TRACES / reading:.0f}, load {TRACES / loading:.0f}; ratio {ratios[-1]:.2f}")
        server.stdin.close()
    print(f"median ratio {statistics.median(ratios):.2f} (target {TARGET:.2f})")


if __name__ == "__main__":
    main()

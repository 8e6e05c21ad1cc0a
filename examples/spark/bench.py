"""Compare how fast two Spark workers with 16 requests in flight each read with one process that has 16.

make bench-spark
"""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator

from pyspark.sql import SparkSession

from artanis_client import Artanis
from artanis_spark import ArtanisDataSource

TRACES = int(os.environ.get("TRACES", "20000"))
LATENCY = float(os.environ.get("LATENCY", "0.05"))  # seconds; if the machine is busy, choose more and fewer traces
TARGET = 1.6

SERVER = """
import json, sys
from artanis_client.sandbox import Sandbox
with Sandbox(traces=int(sys.argv[1]), latency=float(sys.argv[2])) as sandbox:
    print(json.dumps(sandbox.environment), flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def serving() -> Iterator[None]:
    """Serve a project from another process, with the environment that makes clients read it."""
    command = [sys.executable, "-c", SERVER, str(TRACES), str(LATENCY)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdin is not None
        os.environ.update(json.loads(server.stdout.readline()))
        yield
        server.stdin.close()


def main() -> None:
    """Print both speeds and their ratio."""
    with serving():
        os.environ["PYSPARK_PYTHON"] = sys.executable
        builder = SparkSession.Builder().master("local-cluster[2,1,1024]").config("spark.ui.enabled", "false")
        spark = builder.config("spark.eventLog.enabled", "false").getOrCreate()
        spark.dataSource.register(ArtanisDataSource)
        options: dict[str, int | str] = {"requests_in_flight": 32, "parallel_tasks": 2, "partition_size": 1000}
        reader = spark.read.format("artanis").options(**options)
        # The traces of an hour, one to a task, so that the Python processes of both workers have started.
        hour: dict[str, int | str] = {"since": "2026-04-08T12", "until": "2026-04-08T12", "partition_size": 1}
        spark.read.format("artanis").options(**{**options, **hour}).load().write.format("noop").mode("append").save()
        began = time.perf_counter()
        reader.load().write.format("noop").mode("append").save()
        two = TRACES / (time.perf_counter() - began)
        began = time.perf_counter()
        with Artanis() as client:
            assert sum(1 for _ in client.traces.iter()) == TRACES
        one = TRACES / (time.perf_counter() - began)
        spark.stop()
    print(f"traces/s: one process {one:.0f}, two workers {two:.0f}; ratio {two / one:.2f} (target {TARGET:.2f})")


if __name__ == "__main__":
    main()

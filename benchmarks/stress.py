"""What rate limits and faults cost: `make bench-stress` (10 min).

Each row is the rate of reading traces, as a share of what is possible: the rate of the same work without faults in the
same run, or the rate that the server allows.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
import urllib.request
from typing import Any

from server import plain_server

from artanis_client import Artanis, AsyncArtanis


def times(arguments: dict[str, Any], kind: str, concurrency: int = 16) -> list[float]:
    """Return when each trace arrived, in seconds."""
    started, arrived = time.perf_counter(), list[float]()
    if kind == "sync":
        with Artanis(**arguments) as client:
            for _ in client.traces.iter(concurrency=concurrency):
                arrived.append(time.perf_counter() - started)
        return arrived

    async def run() -> None:
        async with AsyncArtanis(**arguments) as client:
            async for _ in client.traces.iter(concurrency=concurrency):
                arrived.append(time.perf_counter() - started)

    asyncio.run(run())
    return arrived


def refusals(arguments: dict[str, Any]) -> int:
    with urllib.request.urlopen(f"{arguments['base_url']}/statistics") as answer:  # noqa: S310 - it is ours
        return int(json.load(answer)["refused"])


def faults(kind: str, options: list[str], what: str, target: str) -> None:
    ratios = []
    for _ in range(5):
        with plain_server("--latency", "0.02", "--traces", "2000") as arguments:
            without = times(arguments, kind)[-1]
        with plain_server("--latency", "0.02", "--traces", "2000", *options) as arguments:
            ratios.append(without / times(arguments, kind)[-1])
    ratios.sort()
    print(f"{what}, {kind:6} {statistics.median(ratios):.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f})   target {target}")


def limited(kind: str, rate: int, count: int, retry_after: int | None) -> None:
    options = ["--rate", str(rate), "--traces", str(count)]
    options += [] if retry_after is None else ["--retry-after", str(retry_after)]
    with plain_server(*options) as arguments:
        arrived = times(arguments, kind)
        refused = refusals(arguments)
    late = [moment for moment in arrived if moment > 5]
    share = len(late) / (arrived[-1] - 5) / rate
    print(
        f"{rate:3} a second, Retry-After {retry_after!s:4}, {kind:6} {share:.2f} of the rate   target >= 0.75   "
        f"{len(arrived)} of {count} traces, {refused} refused (target < {0.3 * count + 20:.0f})",
        flush=True,
    )


def gathered() -> None:
    """2,000 calls at once."""

    async def run(arguments: dict[str, Any]) -> float:
        async with AsyncArtanis(**arguments, max_retries=8) as client:
            ids = [trace.id for trace in await client.traces.list()]
            started = time.perf_counter()
            await asyncio.gather(*(client.traces.get(trace_id) for trace_id in ids))
            return 2000 / (time.perf_counter() - started)

    for retry_after in (["--retry-after", "1"], []):
        with plain_server("--rate", "50", "--traces", "2000", *retry_after) as arguments:
            rate = asyncio.run(run(arguments))
            print(f"2,000 gathered traces.get at 50 a second: {rate:.0f} a second, {refusals(arguments)} refused")


def main() -> None:
    print(f"Python {sys.version.split()[0]}\n")
    for kind in ("sync", "async"):
        faults(kind, ["--every", "20", "--status", "503"], "1 in 20 answers 503 once", ">= 0.70")
        faults(kind, ["--every", "50", "--retry-after", "1"], "1 in 50 answers 429 with Retry-After: 1 once", ">= 0.50")
    for rate, count in ((3, 60), (10, 200), (50, 1000)):
        for retry_after in (1, 0, None):
            for kind in ("sync", "async"):
                limited(kind, rate, count, retry_after)
    gathered()


if __name__ == "__main__":
    main()

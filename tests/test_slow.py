"""Tests with 50,000 traces, which take minutes. `make slow` runs them; without ARTANIS_SLOW they are skipped."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from artanis_client import Artanis, export
from artanis_client.sandbox import Sandbox
from support import IS_SLOW, LIMIT, Both, unmeasured, wait_until

pytestmark = pytest.mark.skipif(not IS_SLOW, reason="takes minutes: make slow")

PROGRAM = """
import resource, sys
from artanis_client import Artanis
with Artanis() as client:
    listed = len(client.traces.list())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    count = sum(1 for _ in client.traces.iter())
print(count, listed, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is counted in KiB there")
def test_memory_of_20_000() -> None:
    """Reading 20,000 traces takes at most 32 MiB more than listing them."""
    with Sandbox(traces=20_000) as sandbox:
        command = [sys.executable, "-c", PROGRAM]
        environment = {**unmeasured(), **sandbox.environment}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    count, listed, grown = map(int, done.stdout.split())
    assert count == listed == 20_000
    assert grown <= 32 * 1024, f"{grown / 1024:.1f} MiB"


def test_50_000(tmp_path: Path) -> None:
    """An export of 50,000 traces with faults and one kill writes the same bytes as an undisturbed one."""
    path, whole = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    code = "import sys; from artanis_client import *; export(Artanis(max_retries=8), sys.argv[1])"
    with Sandbox(traces=50_000, fault_rate=0.001) as sandbox, Artanis(**sandbox.credentials) as client:
        with subprocess.Popen([sys.executable, "-c", code, str(path)], env=sandbox.environment) as process:
            try:
                wait_until(lambda: sandbox.request_count >= 20_000 or process.poll() is not None, 30 * LIMIT)
            finally:
                process.kill()
        resumed = export(client.with_options(max_retries=8), path, resume=True)
        assert resumed.traces == 50_000
        assert resumed.read < 31_000
        sandbox.fault_rate = 0
        assert export(client, whole).read == 50_000
    assert path.read_bytes() == whole.read_bytes()
    with path.open(encoding="utf-8") as file:
        assert sum(1 for line in file if json.loads(line)) == resumed.examples


@pytest.mark.parametrize("kind", Both.kinds)
def test_every_one_of_50_000(kind: str) -> None:
    """Each trace is read once, in the order of the list."""

    def read(client: Artanis) -> tuple[list[str], list[str]]:
        return [one.id for one in client.traces.list()], [one.id for one in client.traces.iter()]

    async def aread(client: object) -> tuple[list[str], list[str]]:
        traces = client.traces  # type: ignore[attr-defined]
        return [one.id for one in await traces.list()], [one.id async for one in traces.iter()]

    with Sandbox(traces=50_000) as sandbox:
        listed, found = Both(kind, sandbox).run(read if kind == "sync" else aread)
    assert found == listed
    assert len(set(found)) == 50_000

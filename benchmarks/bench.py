"""How much the client adds to plain tools: `make bench`.

Everything is a ratio against a plain tool, both measured in turn in one run, because machines differ and drift. Printed
are the median of the pairs and, in brackets, the smallest and the largest.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Literal

import aiohttp
import httpx
from server import plain_server

from artanis_client import (
    AiohttpTransport,
    Artanis,
    AsyncArtanis,
    EvaluationExample,
    PromptCache,
    examples,
    export,
    models,
    to_arrow,
)
from artanis_client.sandbox import Sandbox
from artanis_client.sandbox._data import encode, make_projects

IMPORT = "from artanis_client import Artanis"
HELP = "from artanis_client.cli import main; main(['--help'])"
BARE = """
import json, os, httpx
headers = {"x-api-key": os.environ["ARTANIS_API_KEY"], "x-org-slug": os.environ["ARTANIS_ORG_SLUG"]}
with httpx.Client(base_url=os.environ["ARTANIS_BASE_URL"], headers=headers) as client:
    json.loads(client.get("/api/prompts", params={"projectSlug": os.environ["ARTANIS_PROJECT_SLUG"]}).content)
"""
OURS = """
from artanis_client import Artanis
with Artanis() as client:
    client.prompts.list()
"""


@contextmanager
def sandbox(*options: str) -> Iterator[dict[str, str]]:
    """The variables that point a client at a sandbox in another process."""
    command = [sys.executable, "-m", "artanis_client.sandbox", "--port", "0", "--quiet", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        exports = [shlex.split(process.stdout.readline())[1] for _ in range(4)]
        try:
            yield dict(export.split("=", 1) for export in exports)
        finally:
            process.terminate()


def seconds(action: Callable[[], object], times: int = 1) -> float:
    started = time.perf_counter()
    for _ in range(times):
        action()
    return (time.perf_counter() - started) / times


def pairs(ours: Callable[[], float], plain: Callable[[], float], rounds: int) -> list[tuple[float, float]]:
    """Both measured in turn, after one round that does not count."""
    return [(ours(), plain()) for _ in range(rounds + 1)][1:]


def report(what: str, measured: list[tuple[float, float]], target: str, unit: float = 1e3, name: str = "ms") -> None:
    ratios = sorted(ours / plain for ours, plain in measured)
    ours, plain = (statistics.median(column) * unit for column in zip(*measured, strict=True))
    spread = f"{statistics.median(ratios):5.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f})"
    print(f"{what:58} {spread:20} {ours:8.1f} against {plain:8.1f} {name}   target {target}", flush=True)


def in_process(code: str, variables: dict[str, str]) -> Callable[[], float]:
    environment = {**os.environ, **variables}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # or every start would compile what an installation has compiled
    return lambda: seconds(
        lambda: subprocess.run([sys.executable, "-c", code], env=environment, check=True, stdout=subprocess.DEVNULL)
    )


def credentials(variables: dict[str, str]) -> dict[str, str]:
    return {name.removeprefix("ARTANIS_").lower(): value for name, value in variables.items()}


def headers(variables: dict[str, str]) -> dict[str, str]:
    return {"x-api-key": variables["ARTANIS_API_KEY"], "x-org-slug": variables["ARTANIS_ORG_SLUG"]}


def start_up(variables: dict[str, str]) -> None:
    measured = pairs(in_process(IMPORT, {}), in_process("import httpx", {}), 15)
    report("import, against `import httpx`", measured, "<= 1.45")
    measured = pairs(in_process(HELP, {}), in_process("import httpx", {}), 15)
    report("artanis --help, against `import httpx`", measured, "<= 2.00")
    measured = pairs(in_process(OURS, variables), in_process(BARE, variables), 15)
    report("process start to first decoded response, against httpx", measured, "<= 1.25")


def one_call(variables: dict[str, str]) -> None:
    bare = httpx.Client(base_url=variables["ARTANIS_BASE_URL"], headers=headers(variables))
    with Artanis(**credentials(variables)) as client, bare:  # type: ignore[arg-type]
        prompt_id = client.prompts.list()[0].id
        ours: Callable[[], object] = lambda: client.prompts.get(prompt_id)  # noqa: E731
        plain: Callable[[], object] = lambda: json.loads(bare.get(f"/api/prompts/{prompt_id}").content)  # noqa: E731
        measured = pairs(lambda: seconds(ours, 200), lambda: seconds(plain, 200), 15)
        added = statistics.median(ours - plain for ours, plain in measured) * 1e6
        report("prompts.get, kept alive, against httpx and json.loads", measured, "<= 1.15", 1e6, "us")
        print(f"{'':58} {added:5.0f} us added{'':37}target <= 100 us")
    asyncio.run(one_async_call(variables, prompt_id))


async def one_async_call(variables: dict[str, str], prompt_id: str) -> None:
    async def seconds_of(action: Callable[[], Any]) -> float:
        started = time.perf_counter()
        for _ in range(200):
            await action()
        return (time.perf_counter() - started) / 200

    async def plain_call() -> None:
        json.loads((await bare.get(f"/api/prompts/{prompt_id}")).content)

    bare = httpx.AsyncClient(base_url=variables["ARTANIS_BASE_URL"], headers=headers(variables))
    async with AsyncArtanis(**credentials(variables)) as client, bare:  # type: ignore[arg-type]
        measured = [
            (await seconds_of(lambda: client.prompts.get(prompt_id)), await seconds_of(plain_call)) for _ in range(16)
        ]
        report("the same, async", measured[1:], "<= 0.90 without sniffio in the bare one", 1e6, "us")


def many_traces() -> None:
    trace = {
        "status": "completed",
        "createdAt": "2026-04-08T09:00:00.000Z",
        "updatedAt": "2026-04-08T09:00:05.000Z",
    }
    rows = [
        {"id": f"3f2b8a44-0c7e-4f0f-b6a5-{n:012}", **trace, "metadata": {"user_id": f"user-{n}"}}
        for n in range(100_000)
    ]
    content = json.dumps({"traces": rows}).encode()
    del rows
    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=content))
    arguments = {"api_key": "k", "org_slug": "o", "project_slug": "p"}
    with Artanis(**arguments, httpx_args={"transport": transport}) as client:  # type: ignore[arg-type]
        measured = pairs(lambda: seconds(client.traces.list), lambda: seconds(lambda: json.loads(content)), 7)
    report("traces.list of 100,000, against json.loads of its body", measured, "<= 2.40")


def gathered() -> None:
    with sandbox("--latency", "0.02") as variables:

        async def run() -> float:
            async with AsyncArtanis(**credentials(variables)) as client:  # type: ignore[arg-type]
                ids = [trace.id for trace in await client.traces.list()]
                started = time.perf_counter()
                await asyncio.gather(*(client.traces.get(ids[number % len(ids)]) for number in range(2000)))
                return 2000 / (time.perf_counter() - started)

        rates = [asyncio.run(run()) for _ in range(3)]
        print(f"{'2,000 gathered traces.get, 20 ms latency':58} {statistics.median(rates):5.0f} a second "
              f"({min(rates):.0f}-{max(rates):.0f}){'':25}target >= 600")  # fmt: skip


def iter_with_threads(arguments: dict[str, Any], width: int) -> float:
    with Artanis(**arguments, max_connections=width) as client:
        return seconds(lambda: sum(1 for _ in client.traces.iter(concurrency=width)))


def iter_with_tasks(arguments: dict[str, Any], width: int, transport: AiohttpTransport | None = None) -> float:
    async def run() -> None:
        httpx_args = {"transport": transport} if transport else {}
        async with AsyncArtanis(**arguments, max_connections=width, httpx_args=httpx_args) as client:
            async for _ in client.traces.iter(concurrency=width):  # kept, they would be more work for the collector
                pass

    return seconds(lambda: asyncio.run(run()))


def iter_with_aiohttp(arguments: dict[str, Any], width: int) -> float:
    return iter_with_tasks(arguments, width, AiohttpTransport())


def http_client_with_threads(arguments: dict[str, Any], width: int) -> float:
    """Only http.client, without decoding."""

    def work() -> None:
        connection = HTTPConnection(arguments["base_url"].removeprefix("http://"))
        with contextlib.suppress(IndexError):
            while True:
                connection.request("GET", f"/api/traces/{listed.pop()}")
                connection.getresponse().read()

    with Artanis(**arguments) as client:
        listed = [trace.id for trace in client.traces.list()]
    workers = [threading.Thread(target=work) for _ in range(width)]
    started = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return time.perf_counter() - started


def aiohttp_alone(arguments: dict[str, Any], width: int) -> float:
    """Only aiohttp, without decoding."""

    async def run(ids: list[str]) -> None:
        async def work() -> None:
            while ids:
                async with session.get(f"{arguments['base_url']}/api/traces/{ids.pop()}") as response:
                    await response.read()

        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            await asyncio.gather(*(work() for _ in range(width)))

    with Artanis(**arguments) as client:
        listed = [trace.id for trace in client.traces.list()]
    return seconds(lambda: asyncio.run(run(listed)))


def bulk() -> None:
    Read = Callable[[dict[str, Any], int], float]
    kinds: list[tuple[str, Read, Read, int, str]] = [
        ("traces.iter, 16 threads, against http.client", iter_with_threads, http_client_with_threads, 16, ">= 0.90"),
        ("async traces.iter, 16 in flight, against aiohttp", iter_with_tasks, aiohttp_alone, 16, ">= 0.78"),
        ("the same with AiohttpTransport", iter_with_aiohttp, aiohttp_alone, 16, ">= 0.80"),
        ("the same, 64 in flight", iter_with_aiohttp, aiohttp_alone, 64, ">= 0.35"),
    ]
    with plain_server("--latency", "0.02", "--traces", "4000") as arguments:
        for what, ours, plain, width, target in kinds:
            # The rate is the inverse of the time, so the ratio is turned around.
            measured = pairs(partial(plain, arguments, width), partial(ours, arguments, width), 5)
            report(what, measured, target, 1.0, "s")
    with plain_server("--latency", "0.1", "--traces", "2000") as arguments:
        shares = sorted(2000 / iter_with_threads(arguments, 16) / (16 / 0.1) for _ in range(5))
        spread = f"{statistics.median(shares):5.2f} ({shares[0]:.2f}-{shares[-1]:.2f})"
        print(
            f"{'traces.iter, 16 threads, 100 ms latency, of 160 a second':58} {spread:20}   target >= 0.97", flush=True
        )


def memory() -> None:
    """What the process grows by while it reads details, beyond the list."""
    code = """
import resource, sys
from artanis_client import Artanis
with Artanis(api_key="k", org_slug="o", project_slug="p", base_url=sys.argv[1]) as client:
    client.traces.list()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    count = sum(1 for _ in client.traces.iter())
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""
    for count in (2_000, 20_000):
        with plain_server("--traces", str(count)) as arguments:
            done = subprocess.run(
                [sys.executable, "-c", code, arguments["base_url"]], capture_output=True, text=True, check=True
            )
        what = f"memory for {count:,} details, beyond their list"
        print(f"{what:58} {float(done.stdout):5.1f} MiB   target <= 32, flat")


def exports() -> None:
    def seconds_of(format_: Literal["jsonl", "parquet", "preference"]) -> float:
        path = Path(folder, "set.parquet" if format_ == "parquet" else "set.jsonl")
        with Artanis(**arguments) as client, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of unfilled placeholders
            return seconds(lambda: export(client, path, format=format_))

    with plain_server("--traces", "3000") as arguments, tempfile.TemporaryDirectory() as folder:
        for format_ in ("preference", "parquet"):
            measured = pairs(partial(seconds_of, format_), partial(seconds_of, "jsonl"), 7)
            report(f"export as {format_}, against jsonl", measured, "<= 1.15", 1.0, "s")


def arrow() -> None:
    project = make_projects(traces=60, seed=0, now=datetime(2026, 4, 30, 18, tzinfo=UTC))[0]
    ids = [trace["id"] for trace in json.loads(project.list_body("traces"))["traces"]]
    bodies = [encode(project.detail("traces", id_) or {}) for id_ in ids]
    count = sum(len(json.loads(body)["spans"]) for body in bodies)

    def make() -> Iterator[EvaluationExample]:
        for _ in range(100_000 // count):
            for body in bodies:
                yield from examples(models.TraceDetail.from_dict(json.loads(body)))

    made = [*make()]
    measured = pairs(partial(seconds, partial(to_arrow, made)), partial(seconds, lambda: deque(make(), maxlen=0)), 5)
    report(f"to_arrow of {len(made):,}, against decoding and making them", measured, "<= 2.00", 1.0, "s")


def second_client() -> None:
    code = """
import time
from artanis_client import Artanis
for _ in range(2):
    started = time.perf_counter(); Artanis(api_key="k", org_slug="o"); print(time.perf_counter() - started)
"""
    measured = []
    for _ in range(5):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        first, second = map(float, done.stdout.split())
        measured.append((second, first))
    report("the second client of a process, against the first", measured, "<= 0.10")


def prompt_cache() -> None:
    with sandbox() as variables, Artanis(**credentials(variables)) as client, PromptCache(client, ttl=3600) as cache:  # type: ignore[arg-type]
        prompts = {prompt.step_id: prompt for prompt in client.prompts.list()}
        ours = partial(cache.get, "classify")
        ours()
        plain = partial(prompts.__getitem__, "classify")
        measured = pairs(lambda: seconds(ours, 200_000), lambda: seconds(plain, 200_000), 15)
        report("PromptCache.get of a fresh prompt, against a dict lookup", measured, "<= 10", 1e9, "ns")
        rate = 1 / statistics.median(ours for ours, _ in measured)
        print(f"{'':58} {rate:9,.0f} a second{'':33}target >= 500,000")
        measured = pairs(lambda: seconds(client.prompts.list, 100), lambda: seconds(ours, 200_000), 15)
        report("calling the API each time, against PromptCache.get", measured, ">= 1,000", 1e6, "us")


def own_tests() -> None:
    """What a suite of tests pays for the sandbox: an absolute time, because no plain tool does the same."""

    def start() -> None:
        with Sandbox() as sandbox:
            connection = HTTPConnection(sandbox.base_url.removeprefix("http://"))
            connection.request("GET", "/")
            connection.getresponse().read()
            connection.close()

    took = [1000 * seconds(start) for _ in range(20)]
    print(f"{'Sandbox: start, first response and stop':58} {statistics.median(took):9.1f} ms{'':32}target <= 150")
    with Sandbox() as sandbox:
        total = 200 * 1000 * seconds(sandbox.reset, 200)
    print(f"{'200 resets of a Sandbox':58} {total:9.1f} ms{'':32}target <= 2,000")


def main() -> None:
    print(f"Python {sys.version.split()[0]}, httpx {httpx.__version__}, {os.cpu_count()} cores\n")
    with sandbox() as variables:
        start_up(variables)
        one_call(variables)
    second_client()
    exports()
    arrow()
    many_traces()
    gathered()
    bulk()
    memory()
    prompt_cache()
    own_tests()


if __name__ == "__main__":
    main()

"""A server that costs next to nothing, so that the client is measured. It prints its port.

It has the prompts of the sandbox, and as many traces as asked, with its spans. On request, it refuses or fails.
`/statistics` tells how many requests for details it has refused or failed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from artanis_client.sandbox._data import encode, make_projects

HEAD = b"HTTP/1.1 %d x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n%s\r\n"


class Api(asyncio.Protocol):
    """Answers each request after the latency, without looking at more of it than the path."""

    options: argparse.Namespace
    details: list[bytes]
    listed: bytes
    prompts: dict[bytes, bytes]
    failed: ClassVar[set[bytes]] = set()
    refused = 0
    tokens = 0.0
    refilled = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._received = b""

    def data_received(self, data: bytes) -> None:
        self._received += data
        while b"\r\n\r\n" in self._received:
            request, _, self._received = self._received.partition(b"\r\n\r\n")
            path = request.split(b" ", 2)[1]
            status, body, more = 200, self.listed, b""
            if path == b"/statistics":
                body = encode({"refused": Api.refused})
            elif path.startswith(b"/api/prompts"):
                body = self.prompts[path.partition(b"?")[0].removeprefix(b"/api/prompts").removeprefix(b"/")]
            elif path.startswith(b"/api/traces/"):
                trace_id = path[len(b"/api/traces/") :]
                number = int(trace_id[-6:])
                body = self.details[number % len(self.details)] % trace_id
                if self._fails(trace_id, number):
                    Api.refused += 1
                    status, body = self.options.status, b"{}"
                    if self.options.retry_after is not None:
                        more = b"retry-after: %d\r\n" % self.options.retry_after
            answer = HEAD % (status, len(body), more) + body
            asyncio.get_running_loop().call_later(self.options.latency, self._transport.write, answer)

    def _fails(self, trace_id: bytes, number: int) -> bool:
        options = self.options
        if options.every and number % options.every == 0 and trace_id not in self.failed:
            self.failed.add(trace_id)
            return True
        if options.rate:
            now = asyncio.get_running_loop().time()
            Api.tokens = min(options.rate, Api.tokens + (now - Api.refilled) * options.rate)
            Api.refilled = now
            if Api.tokens < 1:
                return True
            Api.tokens -= 1
        return False


@contextmanager
def plain_server(*options: str) -> Iterator[dict[str, Any]]:
    """The arguments of a client for a server that costs next to nothing."""
    command = [sys.executable, str(Path(__file__)), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        try:
            yield {"api_key": "k", "org_slug": "o", "project_slug": "p", "base_url": f"http://127.0.0.1:{port}"}
        finally:
            process.terminate()


async def serve(options: argparse.Namespace) -> None:
    project = make_projects(traces=60, seed=0, now=datetime(2026, 4, 30, 18, tzinfo=UTC))[0]
    samples = json.loads(project.list_body("traces"))["traces"]
    Api.options = options
    details = [encode(project.detail("traces", sample["id"]) or {}) for sample in samples]
    Api.details = [
        detail.replace(b"%", b"%%").replace(sample["id"].encode(), b"%s", 1)
        for detail, sample in zip(details, samples, strict=True)
    ]
    rows = [{**samples[0], "id": f"3f2b8a44-0c7e-4f0f-b6a5-{n:012}"} for n in range(options.traces)]
    prompts = json.loads(project.list_body("prompts"))["prompts"]
    Api.prompts = {prompt["id"].encode(): encode(project.detail("prompts", prompt["id"]) or {}) for prompt in prompts}
    Api.prompts[b""] = project.list_body("prompts")
    Api.listed = encode({"traces": rows})
    server = await asyncio.get_running_loop().create_server(Api, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds")
    parser.add_argument("--traces", type=int, default=60)
    parser.add_argument("--rate", type=float, help="requests for details a second; further ones are refused")
    parser.add_argument("--every", type=int, help="fail one trace in so many, once")
    parser.add_argument("--status", type=int, default=429, help="of what is refused or fails")
    parser.add_argument("--retry-after", type=int, help="seconds")
    asyncio.run(serve(parser.parse_args()))

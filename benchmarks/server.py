"""A server that costs next to nothing, so that the client is measured: `server(latency, traces)`.

It has the lists and details of as many traces as asked, made when they are, each with five spans as in the sandbox.
"""

from __future__ import annotations

import asyncio
import json
import sys

from artanis_client.sandbox._data import encode, make_projects

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"


class Api(asyncio.Protocol):
    """Answers each request after the latency, without looking at more of it than the path."""

    latency: float
    details: list[bytes]
    listed: bytes

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._received = b""

    def data_received(self, data: bytes) -> None:
        self._received += data
        while b"\r\n\r\n" in self._received:
            request, _, self._received = self._received.partition(b"\r\n\r\n")
            path = request.split(b" ", 2)[1]
            body = self.listed
            if path.startswith(b"/api/traces/"):
                trace_id = path[len(b"/api/traces/") :]
                body = self.details[int(trace_id[-6:]) % len(self.details)] % trace_id
            loop = asyncio.get_running_loop()
            loop.call_later(self.latency, self._transport.write, HEAD % len(body) + body)


async def serve(latency: float, traces: int) -> None:
    project = make_projects(traces=60, seed=0)[0]
    samples = json.loads(project.list_body("traces"))["traces"]
    Api.latency = latency
    details = [encode(project.detail("traces", sample["id"]) or {}) for sample in samples]
    Api.details = [
        detail.replace(b"%", b"%%").replace(sample["id"].encode(), b"%s", 1)
        for detail, sample in zip(details, samples, strict=True)
    ]
    rows = [{**samples[0], "id": f"3f2b8a44-0c7e-4f0f-b6a5-{n:012}"} for n in range(traces)]
    Api.listed = encode({"traces": rows})
    server = await asyncio.get_running_loop().create_server(Api, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(float(sys.argv[1]), int(sys.argv[2])))

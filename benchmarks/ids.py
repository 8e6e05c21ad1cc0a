"""Measure the memory and time of `traces.ids` and `traces.list` for generated lists.

make bench-ids
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CASES = [("ids", 1000), ("ids", 500_000), ("ids", 2_000_000), ("list", 200_000)]
CHUNK = 1000  # traces

CLIENT = """
import json, resource, sys, time
from artanis_client import Artanis

client = Artanis(api_key="key", org_slug="org", base_url=sys.argv[1], project_slug="project")
began = time.perf_counter()
count = len(getattr(client.traces, sys.argv[2])())
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps([count, time.perf_counter() - began, peak]))
"""


class Handler(BaseHTTPRequestHandler):
    """Answers `/<count>/api/traces` with so many traces, which are made as they are sent."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for part in (b'{"traces":[', *traces(int(self.path.split("/")[1])), b"]}", b""):
            self.wfile.write(b"%x\r\n%b\r\n" % (len(part), part))

    def log_message(self, *_: object) -> None:
        pass


def traces(count: int) -> Iterator[bytes]:
    """Yield a JSON list without its brackets, of 200 bytes a trace."""
    moment = "2026-04-08T09:00:00.000Z"
    more = {"status": "completed", "metadata": {"user_id": "user-123"}, "createdAt": moment, "updatedAt": moment}
    rest = json.dumps(more, separators=(",", ":"))[1:].encode()
    for start in range(0, count, CHUNK):
        ids = range(start, min(start + CHUNK, count))
        comma = b"," if start else b""
        yield comma + b",".join(b'{"id":"3f2b8a44-0c7e-4f0f-b6a5-%012d",%b' % (n, rest) for n in ids)


def main() -> None:
    """Print the time and the peak memory of a process for each case."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for method, count in CASES:
        url = f"http://127.0.0.1:{server.server_address[1]}/{count}"
        command = [sys.executable, "-c", CLIENT, url, method]
        found, seconds, peak = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
        assert found == count
        print(f"traces.{method}: {count:9,} traces, {seconds:5.1f} s, {peak:5.0f} MiB", flush=True)
    server.shutdown()


if __name__ == "__main__":
    main()

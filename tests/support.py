"""A server that answers whatever a test says, a way to run a call both ways, and sample objects."""

from __future__ import annotations

import contextlib
import errno
import inspect
import json
import os
import selectors
import socket
import threading
import time
import traceback
from collections.abc import Awaitable, Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar, cast

import anyio
import attrs

from artanis_client import Artanis, AsyncArtanis
from artanis_client.sandbox import Sandbox

KEY = "test-key-of-no-value"
LIMIT = 60.0
"""Seconds that only a hang takes: no test depends on how fast the machine is."""
NOW = "2026-04-30T18:00Z"
"""Time at which the data of a sandbox ends where a test depends on the dates."""
IS_SLOW = bool(os.environ.get("ARTANIS_SLOW"))
"""Whether `make slow` runs the tests that take minutes."""


PROMPT = {
    "id": "0b9f4c1e-7a51-4a6e-9d0a-5f1d5b1c2e01",
    "stepId": "classify",
    "content": "Answer with one label.",
    "outputSchema": {"type": "object"},
    "createdAt": "2026-04-01T12:00:00.000Z",
    "updatedAt": "2026-04-08T09:30:00.000Z",
}


def trace(**fields: Any) -> dict[str, Any]:
    return {
        "id": "3f2b8a44-0c7e-4f0f-b6a5-9f1c2d3e4f50",
        "status": "completed",
        "metadata": {"user_id": "user-123"},
        "createdAt": "2026-04-08T09:00:00.000Z",
        "updatedAt": "2026-04-08T09:00:05.000Z",
        **fields,
    }


def span(**fields: Any) -> dict[str, Any]:
    return {
        "id": "8c1d7e60-2f4b-4a39-8e7d-0a1b2c3d4e51",
        "parentSpanId": None,
        "stepId": "classify",
        "input": "Where is my order?",
        "output": {"label": "other"},
        "approvedOutput": {"label": "shipping"},
        "metadata": {"latency_ms": 412},
        "createdAt": "2026-04-08T09:00:01.000Z",
        **fields,
    }


def ids(count: int) -> list[str]:
    """The ids of the traces that `serve` makes."""
    return [f"3f2b8a44-0c7e-4f0f-b6a5-{n:012}" for n in range(count)]


def serve(server: Server, count: int, answer: Callable[[str], Answer | None] = lambda _: None) -> list[str]:
    """Make a server have traces of one span each, and no prompts; `answer` may say something else for the id of one."""

    def handle(request: Request) -> Answer:
        if request.path.startswith("/api/traces?"):
            return Answer(body={"traces": [trace(id=trace_id) for trace_id in ids(count)]})
        if request.path.startswith("/api/prompts?"):
            return Answer(body={"prompts": []})
        trace_id = request.path.rpartition("/")[2]
        spans = [span(id=f"span-of-{trace_id}")]
        return answer(trace_id) or Answer(body={**trace(id=trace_id), "spans": spans, "feedback": []})

    server.answers = [handle]
    return ids(count)


def wait_until(true: Callable[[], object], limit: float = LIMIT) -> None:
    """Wait for a state that no event announces."""
    end = time.monotonic() + limit
    while not true():
        assert time.monotonic() < end, "It did not happen."
        time.sleep(0.005)


async def until(true: Callable[[], object]) -> None:
    """Like `wait_until`, for tasks."""
    with anyio.fail_after(LIMIT):
        while not true():
            await anyio.sleep(0.005)


def unmeasured() -> dict[str, str]:
    """The environment for a process whose coverage is of no interest, or in the way."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COV")}


def everything_shown(error: BaseException) -> str:
    """All that a report of an exception could show: text, causes, attributes, and the local variables of every frame
    but those of the tests.
    """
    shown: list[str] = []
    todo: list[BaseException | None] = [error]
    while todo:
        current = todo.pop()
        if current is None:
            continue
        todo += [current.__cause__, current.__context__, *getattr(current, "exceptions", ())]
        shown += [str(current), repr(current), repr(vars(current)), *map(str, getattr(current, "__notes__", ()))]
        for frame, _ in traceback.walk_tb(current.__traceback__):
            if Path(__file__).parent not in Path(frame.f_code.co_filename).parents:
                shown += [f"{frame.f_code.co_qualname}: {name} = {value!r}" for name, value in frame.f_locals.items()]
    return "\n".join(shown)


@attrs.frozen
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    connection: int


@attrs.frozen
class Answer:
    status: int = 200
    body: Any = b""
    headers: dict[str, str] = attrs.field(factory=dict)
    raw: bytes | None = None
    """Sent as it is, after which the connection is closed."""
    hold: threading.Event | None = None
    """What the server waits for before it answers."""
    reset: bool = False
    """Close the connection at once, without an answer."""


class Server:
    """Answers with what `answer()` queued, the last of it again and again, and records what it was asked."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.answers: list[Answer | Callable[[Request], Answer]] = []
        self.in_flight = self.most_in_flight = 0
        self.changed = threading.Condition()
        """Notified when a request arrives, and again when it is about to be answered."""
        self.stopping = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def handle_any(self) -> None:
                server.handle(self)

            do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = do_HEAD = do_CONNECT = handle_any

            def log_message(self, *_: object) -> None:
                pass

        class HTTPServer(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256

            def handle_error(self, *_: object) -> None:
                pass

        self.http = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        self._stop, self._stopped = socket.socketpair()
        self._selector = selectors.DefaultSelector()  # made here, because some tests count open files
        self._selector.register(self.http, selectors.EVENT_READ)
        self._selector.register(self._stopped, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        # socketserver's own loop looks a hundred times a second whether it is to end, or else ends late.
        while all(key.fileobj is self.http for key, _ in self._selector.select()):
            with contextlib.suppress(OSError):  # a failed TLS handshake, or a listener that the test has closed
                self.http.process_request(*self.http.get_request())

    def answer(self, status: int = 200, body: Any = b"", headers: dict[str, str] | None = None, **more: Any) -> None:
        self.answers.append(Answer(status, body, headers or {}, **more))

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        length = int(handler.headers.get("content-length") or 0)
        headers = {name.lower(): value for name, value in handler.headers.items()}
        connection = handler.client_address[1]
        request = Request(handler.command, handler.path, headers, handler.rfile.read(length), connection)
        with self.changed:
            self.requests.append(request)
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
            self.changed.notify_all()
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        try:
            if not isinstance(answer, Answer):
                answer = answer(request)
            if answer.hold is not None:
                while not (answer.hold.wait(0.05) or self.stopping.is_set()):
                    pass
        finally:
            with self.changed:
                self.in_flight -= 1
                self.changed.notify_all()
        if answer.reset:
            handler.connection.shutdown(socket.SHUT_RDWR)
            handler.close_connection = True
        elif answer.raw is not None:
            handler.wfile.write(answer.raw)
            handler.close_connection = True
        else:
            body = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
            handler.send_response(answer.status)
            for name, value in {"content-length": str(len(body)), **answer.headers}.items():
                handler.send_header(name, value)
            handler.end_headers()
            handler.wfile.write(body)

    def wait_for(self, true: Callable[[], object]) -> None:
        """Wait for a state that changes only when a request arrives or is about to be answered."""
        with self.changed:
            assert self.changed.wait_for(true, LIMIT), f"It did not happen. {len(self.requests)} requests arrived."

    def wait_for_requests(self, count: int) -> None:
        """Wait until so many requests have arrived in all."""
        self.wait_for(lambda: len(self.requests) >= count)

    @property
    def credentials(self) -> dict[str, Any]:
        return {"api_key": KEY, "org_slug": "my-org", "base_url": self.url, "project_slug": "my-project"}

    def close(self) -> None:
        self.stopping.set()
        with contextlib.suppress(OSError):  # closed before
            self._stop.send(b"x")
        self._thread.join(LIMIT)
        for opened in (self.http.socket, self._selector, self._stop, self._stopped):
            opened.close()


class Both:
    """Runs a call with `Artanis`, or with `AsyncArtanis` under asyncio or trio."""

    kinds: ClassVar = ["sync", "asyncio", "trio"]

    def __init__(self, kind: str, server: Server | Sandbox) -> None:
        self.kind = kind
        self.server = cast(Server, server)  # of a sandbox, only the credentials are asked for
        self.is_async = kind != "sync"

    def run(self, action: Callable[[Any], Any], **options: Any) -> Any:
        """What `action(client)` returns, awaited where it has to be. No timeout ends it on a busy machine."""
        options = {"timeout": LIMIT, **self.server.credentials, **options}
        if not self.is_async:
            with Artanis(**options) as client:
                return action(client)

        async def main() -> Any:
            async with AsyncArtanis(**options) as client:
                result: Awaitable[Any] = action(client)
                return await result if inspect.isawaitable(result) else result

        return anyio.run(main, backend=self.kind)


def mount(monkeypatch: Any, *names: str, error: int = errno.EBUSY) -> None:
    """Make files of these names behave as if each was mounted on its own: they cannot be renamed over."""
    replace = Path.replace

    def refuse(path: Path, target: Path) -> Path:
        if Path(target).name in names:
            raise OSError(error, os.strerror(error), str(path), None, str(target))
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", refuse)

"""The class `Sandbox`, and the server around the application."""

import asyncio
import contextlib
import signal
import socket
import threading
import time
from collections.abc import Callable, Generator, Iterable
from datetime import UTC, datetime
from typing import Any, Self, TypedDict, cast

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from ._app import API_KEY, Behaviour, SandboxApp, check_range
from ._data import Project, make_projects
from ._drift import find_drifts
from ._times import parse_time


class Credentials(TypedDict):
    """Keyword arguments for a client of a sandbox: `Artanis(**sandbox.credentials)`."""

    api_key: str
    org_slug: str
    base_url: str
    project_slug: str


class Sandbox(Behaviour):
    """The Artanis API on 127.0.0.1, served by a background thread during the `with` block.

    The data depends only on `seed`, `traces` and `now`; the traces are from the eight weeks before `now`. `api_key` is
    valid for both organizations; `other_org_slug` gets 403 for the data of `org_slug`. `project_slug` and `project_id`
    name the project with the most data.

    Any thread may change the data, and set `latency`, `fault_rate` and `status`, before and during the block; the next
    request sees the change. Changes are dated one minute after another, the first one minute after `now`, so the same
    changes in the same order result in the same data. A change takes milliseconds, even with 50,000 traces. An unknown
    id raises `KeyError`.
    """

    def __init__(
        self,
        *,
        traces: int = 60,
        seed: int = 0,
        now: datetime | str | None = None,
        latency: float = 0.0,
        fault_rate: float = 0.0,
        drift: Iterable[str] = (),
        port: int = 0,
    ) -> None:
        """Make the data. The server starts with the `with` block, which can be entered once.

        Args:
            traces: Number of traces in the project; 50,000 take about a second to make.
            seed: Selects the data and the faults.
            now: The time at which the data ends, as a `datetime` or ISO 8601 text (`2026-04-30T18:00Z`), so that the
                data is the same every day. By default the present time.
            latency: Seconds to wait before each response.
            fault_rate: Share of requests, from 0 to 1, that fail: with 429 and `Retry-After`, with 503, or with half a
                response and a closed connection.
            drift: Ways to deviate from openapi.yaml; `DRIFTS` has their names and descriptions.
            port: Port to listen on; 0 selects a free one. If the port is in use, entering the block raises `OSError`.

        Raises:
            ValueError: If a number is out of range, `now` is not a time, or a drift is unknown.

        """
        super().__init__(latency, fault_rate)
        check_range("traces", traces, 0, 10_000_000)
        check_range("port", port, 0, 65535)
        drifts = find_drifts(drift)
        moment = datetime.now(UTC) if now is None else parse_time("now", now)
        projects = make_projects(traces=traces, seed=seed, now=moment)
        project, other = projects[0], projects[-1]
        self._app = SandboxApp(projects, self, seed=seed, drifts=drifts)
        self._server = _Server(self._app)
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._port = port
        self.api_key = API_KEY
        self.org_slug = project.org
        self.project_slug = project.slug
        self.project_id = project.id
        self.other_org_slug = other.org

    def __repr__(self) -> str:
        if self._thread is None:
            return "<Sandbox, not started>"
        return f"<Sandbox at {self.base_url}>" if self._thread.is_alive() else "<Sandbox, stopped>"

    def __enter__(self) -> Self:
        """Start the server in a new thread."""
        if self._thread:
            raise RuntimeError("A sandbox runs only once. Create another one.")
        listener = socket.create_server(("127.0.0.1", self._port))
        # Accepted connections inherit this option. asyncio sets it only on sockets that were created with the protocol
        # number of TCP, which this one was not. Without it, all responses but the first on a connection take 40 ms.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._port = listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, args=[listener], name="artanis-sandbox", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop listening, close all connections and wait for the thread to end."""
        self._server.should_exit = True
        if self._thread:
            self._thread.join()

    def _serve(self, listener: socket.socket) -> None:
        with listener:
            asyncio.run(self._server.serve([listener]))

    @property
    def base_url(self) -> str:
        """URL of the server, valid once the `with` block has been entered."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def credentials(self) -> Credentials:
        """Keyword arguments for a client: `Artanis(**sandbox.credentials)`."""
        return {
            "api_key": self.api_key,
            "org_slug": self.org_slug,
            "base_url": self.base_url,
            "project_slug": self.project_slug,
        }

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables for a client without arguments."""
        return {f"ARTANIS_{name.upper()}": str(value) for name, value in self.credentials.items()}

    @property
    def request_count(self) -> int:
        """Number of requests received."""
        return self._app.request_count

    @property
    def requests(self) -> list[tuple[str, str]]:
        """Method and path of the last 10,000 requests received, oldest first."""
        return list(self._app.requests)

    def add_trace(self) -> str:
        """Add a trace to the project `project_slug` and return its id: the newest one, completed and unreviewed.

        It ran with the prompt versions that are active now.
        """
        with self._lock:
            return self._app.projects[0].add_trace()

    def delete_trace(self, trace_id: str, *, listed: bool = False) -> None:
        """Delete a trace; with `listed`, the list still shows it."""
        with self._project_of("traces", trace_id) as project:
            project.delete_trace(trace_id, listed=listed)

    def review(self, trace_id: str, *, step: str | None = None, comment: str | None = None) -> None:
        """Approve the right output of each unreviewed span of a trace.

        As in Artanis, this does not change the `updatedAt` of the trace. The root of a failed run stays unreviewed,
        because its right output is unknown.

        Args:
            trace_id: Id of the trace.
            step: Review only this step, such as `classify`.
            comment: Feedback to add to the span of `step`, or to the root without a step.

        Raises:
            KeyError: If the trace or its step does not exist.

        """
        with self._project_of("traces", trace_id) as project:
            project.review(trace_id, step, comment)

    def add_version(self, prompt_id: str, content: str) -> str:
        """Add a version to a prompt, make it the active one, and return its id."""
        with self._project_of("prompts", prompt_id) as project:
            return project.add_version(prompt_id, content)

    def activate_version(self, prompt_id: str, version_id: str) -> None:
        """Make a version of a prompt the active one; this changes the `updatedAt` of the prompt."""
        with self._project_of("prompts", prompt_id) as project:
            project.activate_version(prompt_id, version_id)

    def remove_prompt(self, prompt_id: str) -> None:
        """Delete a prompt and its versions; spans keep the ids of the versions."""
        with self._project_of("prompts", prompt_id) as project:
            project.remove_prompt(prompt_id)

    @contextlib.contextmanager
    def _project_of(self, resource: str, resource_id: str) -> Generator[Project]:
        """Yield the project that has this object, and hold off other changes meanwhile."""
        with self._lock:
            for project in self._app.projects:
                if project.detail(resource, resource_id) is not None:
                    yield project
                    return
            raise KeyError(f"the sandbox has no {resource_id!r} among its {resource}")


def serve(on_start: Callable[[Sandbox], object], **options: Any) -> None:
    """Run a sandbox until SIGINT or SIGTERM, and call `on_start` once it listens."""
    # Python handles only SIGINT this way, and not even that in a background job of a shell.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt), Sandbox(**options) as sandbox:
        on_start(sandbox)
        while True:
            time.sleep(3600)


class _Server(uvicorn.Server):
    """A uvicorn server that leaves the process alone: it sets up neither logging nor signal handlers."""

    def __init__(self, app: SandboxApp) -> None:
        self._app = app
        config = uvicorn.Config(
            app,
            http=_Protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            proxy_headers=False,
            workers=1,
            timeout_keep_alive=60,
            timeout_graceful_shutdown=1,  # for a client that does not read its response
        )
        super().__init__(config)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._app.closing.set()
        await super().shutdown(sockets)


class _Protocol(H11Protocol):
    """HTTP without an access log. It gives the application the transport, which ASGI cannot close."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast(asyncio.Transport, transport))
        self.app_state = {**self.app_state, "transport": transport}
        self.access_log = False  # uvicorn.Config(access_log=False) would remove the logger's handlers for everybody

"""A local stand-in for the Artanis API: everything that is documented, with made-up data, on 127.0.0.1.

Needs the extra `sandbox`. In Python: `with Sandbox() as sandbox:`. As a program: `python -m artanis_client.sandbox`. In
pytest: `pytest_plugins = ["artanis_client.sandbox.pytest_plugin"]` and the fixture `artanis_sandbox`.
"""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Generator, Iterable
from typing import Self, TypedDict, cast

try:
    import uvicorn
    from uvicorn.protocols.http.h11_impl import H11Protocol

    from ._app import API_KEY, SandboxApp
    from ._drift import DRIFTS, find_drifts
except ImportError as error:
    raise ImportError("the sandbox needs an extra: pip install 'artanis-client[sandbox]'") from error

from ._data import Project, make_projects

__all__ = ["DRIFTS", "Credentials", "Sandbox"]


class Credentials(TypedDict):
    """Keyword arguments that make a client read from a sandbox: `Artanis(**sandbox.credentials)`."""

    api_key: str
    org_slug: str
    base_url: str
    project_slug: str


class Sandbox:
    """The Artanis API on 127.0.0.1, served from a background thread for as long as the `with` block lasts.

    The data depends on `seed` and `traces` alone; its traces are of March and April 2026. `api_key` is good for both
    organizations; asking `other_org_slug` for what belongs to `org_slug` gets 403. `project_slug` and `project_id` name
    the project with the most data.

    Every thread may change the data, and set `latency`, `fault_rate` and `status`, before the block and within it; the
    next request sees it. Changes are dated one minute after the other, from 30 April 2026, 18:01 UTC on, so that the
    same changes in the same order make the same data. They cost milliseconds, also with 50,000 traces. An id that the
    sandbox does not have is a `KeyError`.
    """

    def __init__(
        self,
        *,
        traces: int = 60,
        seed: int = 0,
        latency: float = 0.0,
        fault_rate: float = 0.0,
        drift: Iterable[str] = (),
        port: int = 0,
    ) -> None:
        """Make the data; nothing listens before the `with` block, which can be entered once.

        Args:
            traces: How many traces the project has; 50,000 take about a second to make.
            seed: Chooses the data and the faults.
            latency: Seconds to wait before each answer.
            fault_rate: Share of requests, from 0 to 1, that are answered by 429 with `Retry-After`, by 503, or by half
                an answer and a closed connection.
            drift: Ways to depart from openapi.yaml; `DRIFTS` has their names and what each does.
            port: Port to listen on; 0 takes a free one. A port that is taken makes entering the block an `OSError`.

        Raises:
            ValueError: A number is out of its range, or there is no such drift.

        """
        _check(traces=traces, latency=latency, fault_rate=fault_rate, port=port)
        drifts = find_drifts(drift)
        projects = make_projects(traces=traces, seed=seed)
        project, other = projects[0], projects[-1]
        self._app = SandboxApp(projects, seed=seed, latency=latency, fault_rate=fault_rate, drifts=drifts)
        self._server = _Server(self._app)
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._port = port
        self.api_key = API_KEY
        self.org_slug = project.org
        self.project_slug = project.slug
        self.project_id = project.id
        self.other_org_slug = other.org

    def __enter__(self) -> Self:
        """Listen, and serve from a new thread."""
        if self._thread:
            raise RuntimeError("a sandbox runs only once: make another one")
        listener = socket.create_server(("127.0.0.1", self._port))
        # Accepted connections inherit this. asyncio sees to it only for sockets that were made as explicitly TCP, which
        # this one was not; without it every answer but the first on a connection takes 40 ms.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._port = listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, args=[listener], name="artanis-sandbox", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop listening, close every connection, and wait for the thread to end."""
        self._server.should_exit = True
        if self._thread:
            self._thread.join()

    def _serve(self, listener: socket.socket) -> None:
        with listener:
            asyncio.run(self._server.serve([listener]))

    @property
    def base_url(self) -> str:
        """Where it listens, once the `with` block was entered."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def credentials(self) -> Credentials:
        """Arguments that make a client read from here: `Artanis(**sandbox.credentials)`."""
        return {
            "api_key": self.api_key,
            "org_slug": self.org_slug,
            "base_url": self.base_url,
            "project_slug": self.project_slug,
        }

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables that make a client without arguments read from here."""
        return {f"ARTANIS_{name.upper()}": str(value) for name, value in self.credentials.items()}

    @property
    def request_count(self) -> int:
        """How many requests have arrived."""
        return self._app.request_count

    @property
    def requests(self) -> list[tuple[str, str]]:
        """Method and path of the requests that have arrived, oldest first, at most the last 10,000."""
        return list(self._app.requests)

    @property
    def latency(self) -> float:
        """Seconds to wait before each answer."""
        return self._app.latency

    @latency.setter
    def latency(self, value: float) -> None:
        _check(latency=value)
        self._app.latency = value

    @property
    def fault_rate(self) -> float:
        """Share of requests, from 0 to 1, that go wrong."""
        return self._app.fault_rate

    @fault_rate.setter
    def fault_rate(self, value: float) -> None:
        _check(fault_rate=value)
        self._app.fault_rate = value

    @property
    def status(self) -> int | None:
        """Status, from 400 to 599, that every request is answered with; None, as at first, for the right answers."""
        return self._app.status

    @status.setter
    def status(self, value: int | None) -> None:
        if value is not None and not 400 <= value <= 599:
            raise ValueError(f"status must be None or from 400 to 599, not {value}")
        self._app.status = value

    def add_trace(self) -> str:
        """Add a trace of the project `project_slug`, the newest one, completed and not reviewed; returns its id.

        It ran with the prompt versions that are active now.
        """
        with self._lock:
            return self._app.projects[0].add_trace()

    def delete_trace(self, trace_id: str, *, listed: bool = False) -> None:
        """Make a trace unknown; with `listed`, the list goes on showing it."""
        with self._project_with("traces", trace_id) as project:
            project.delete_trace(trace_id, listed=listed)

    def review(self, trace_id: str, *, step: str | None = None, comment: str | None = None) -> None:
        """Approve, for each span of a trace that was not reviewed yet, what its step should have returned.

        As with Artanis, that does not move the trace's `updatedAt`. The root of a failed run stays as it is: what it
        should have returned is not known.

        Args:
            trace_id: Id of the trace.
            step: The one step to review, such as `classify`; without it, all.
            comment: Feedback to leave on that step's span; without a step, on the root.

        Raises:
            KeyError: There is no such trace, or it has no such step.

        """
        with self._project_with("traces", trace_id) as project:
            project.review(trace_id, step, comment)

    def add_version(self, prompt_id: str, content: str) -> str:
        """Add a version to a prompt and make it the active one; returns the version's id."""
        with self._project_with("prompts", prompt_id) as project:
            return project.add_version(prompt_id, content)

    def activate_version(self, prompt_id: str, version_id: str) -> None:
        """Make a version of a prompt the active one, in place of the one that is; moves the prompt's `updatedAt`."""
        with self._project_with("prompts", prompt_id) as project:
            project.activate_version(prompt_id, version_id)

    def remove_prompt(self, prompt_id: str) -> None:
        """Make a prompt and its versions unknown; spans go on naming the versions."""
        with self._project_with("prompts", prompt_id) as project:
            project.remove_prompt(prompt_id)

    @contextlib.contextmanager
    def _project_with(self, resource: str, resource_id: str) -> Generator[Project]:
        """The project that has this, with no other change going on."""
        with self._lock:
            for project in self._app.projects:
                if project.detail(resource, resource_id) is not None:
                    yield project
                    return
            raise KeyError(f"there is no {resource_id!r} among the {resource} of the sandbox")


def _check(**numbers: float) -> None:
    for name, value in numbers.items():
        most = {"traces": 10_000_000, "latency": 3600, "fault_rate": 1, "port": 65535}[name]
        if not 0 <= value <= most:
            raise ValueError(f"{name} must be from 0 to {most}, not {value}")


class _Server(uvicorn.Server):
    """uvicorn that keeps to itself: no logging set up, and no signal handlers, for it is not in the main thread."""

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
            timeout_graceful_shutdown=1,  # for a client that does not read its answer
        )
        super().__init__(config)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._app.closing.set()
        await super().shutdown(sockets)


class _Protocol(H11Protocol):
    """uvicorn's HTTP, without access log, and with a way to cut the connection, for which ASGI has none."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast(asyncio.Transport, transport))
        self.app_state = {**self.app_state, "transport": transport}
        self.access_log = False  # Said in the configuration, it would take the handlers from the logger, for everybody.

"""A local stand-in for the Artanis API: everything that is documented, with made-up data, on 127.0.0.1.

Needs the extra `sandbox`. In Python: `with Sandbox() as sandbox:`. As a program: `python -m artanis_client.sandbox`. In
pytest: `pytest_plugins = ["artanis_client.sandbox.pytest_plugin"]` and the fixture `artanis_sandbox`.
"""

import asyncio
import socket
import threading
from typing import Self, TypedDict, cast

try:
    import uvicorn
    from uvicorn.protocols.http.h11_impl import H11Protocol

    from ._app import API_KEY, SandboxApp
except ImportError as error:
    raise ImportError("the sandbox needs an extra: pip install 'artanis-client[sandbox]'") from error

from ._data import make_projects

__all__ = ["Credentials", "Sandbox"]


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
    """

    def __init__(
        self, *, traces: int = 60, seed: int = 0, latency: float = 0.0, fault_rate: float = 0.0, port: int = 0
    ) -> None:
        """Make the data; nothing listens before the `with` block, which can be entered once.

        Args:
            traces: How many traces the project has; 50,000 take about a second to make.
            seed: Chooses the data and the faults.
            latency: Seconds to wait before each answer.
            fault_rate: Share of requests, from 0 to 1, that are answered by 429 with `Retry-After`, by 503, or by half
                an answer and a closed connection.
            port: Port to listen on; 0 takes a free one. A port that is taken makes entering the block an `OSError`.

        Raises:
            ValueError: A number is out of its range.

        """
        limits = [("traces", traces, 10_000_000), ("latency", latency, 3600), ("fault_rate", fault_rate, 1)]
        for name, value, most in [*limits, ("port", port, 65535)]:
            if not 0 <= value <= most:
                raise ValueError(f"{name} must be from 0 to {most}, not {value}")
        projects = make_projects(traces=traces, seed=seed)
        project, other = projects[0], projects[-1]
        self._app = SandboxApp(projects, seed=seed, latency=latency, fault_rate=fault_rate)
        self._server = _Server(self._app)
        self._thread: threading.Thread | None = None
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

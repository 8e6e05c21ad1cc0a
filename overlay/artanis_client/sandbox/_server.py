"""The HTTP server: uvicorn's protocol on an event loop in a thread.

`uvicorn.Server` would take a fifth of a second to stop, and would set up signal handlers.
"""

import asyncio
import contextlib
import socket
import threading
from typing import cast

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from ._app import SandboxApp

GRACE = 1.0
"""Seconds to wait, when stopping, for a client that does not read its response."""


class Server:
    """Serves an application from `start` to `stop`."""

    def __init__(self, app: SandboxApp) -> None:
        self._app = app
        self._loop: asyncio.AbstractEventLoop
        self._thread: threading.Thread | None = None

    @property
    def is_running(self) -> bool:
        """Whether the server has been started and not stopped."""
        return self._thread is not None and self._thread.is_alive()

    def start(self, port: int) -> int:
        """Start the server in a new thread, and return the port on which it listens."""
        listener = socket.create_server(("127.0.0.1", port), backlog=2048)
        # Accepted connections inherit this option. asyncio sets it only on sockets that were created with the protocol
        # number of TCP, which this one was not. Without it, all responses but the first on a connection take 40 ms.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, args=[listener], name="artanis-sandbox", daemon=True)
        self._thread.start()
        return cast(int, listener.getsockname()[1])

    def stop(self) -> None:
        """Stop listening, close all connections and wait for the thread to end."""
        if self._thread is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._app.closing.set)
            self._thread.join()

    def _run(self, listener: socket.socket) -> None:
        with listener, asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve(listener))

    async def _serve(self, listener: socket.socket) -> None:
        config = uvicorn.Config(
            self._app,
            http=_Protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            proxy_headers=False,
            timeout_keep_alive=60,
        )
        state = ServerState()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _Protocol(config, state, {}), sock=listener, backlog=2048)
        await self._app.closing.wait()
        server.close()
        for connection in [*state.connections]:
            connection.shutdown()
        if state.tasks:
            await asyncio.wait([*state.tasks], timeout=GRACE)
        for connection in [*state.connections]:
            connection.transport.abort()


class _Protocol(H11Protocol):
    """HTTP without an access log. It gives the application the transport, which ASGI cannot close."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast(asyncio.Transport, transport))
        self.app_state = {**self.app_state, "transport": transport}
        self.access_log = False  # uvicorn.Config(access_log=False) would remove the logger's handlers for everybody

"""`Traces.iter`: worker threads, each on its own connection, read the traces of a window.

Each worker has its own connection, for two reasons. httpx's pool scans all of its connections for every request. And
when a loop ends early, each pending request is cut off by shutting down its socket: a thread that waits for a response
does not notice when the socket is closed.
"""

from __future__ import annotations

import contextlib
import copy
import os
import socket
import sys
import threading
from collections.abc import Callable, Generator, Sequence
from contextvars import copy_context
from queue import Empty, SimpleQueue
from typing import Any, cast

from artanis_api import AuthenticatedClient
from artanis_api.api.traces import get_trace
from artanis_api.models import TraceDetail

from .. import _clock
from .._call import Exchange
from .._connections import Connections
from .._errors import ArtanisError
from .._http import Http
from .._httpx import Client, httpx
from ._window import Window

STOP_TIMEOUT = 0.5  # seconds to wait for workers when the loop ends


def details(
    api: AuthenticatedClient, ids: Callable[[], Sequence[str]], window: Window
) -> Generator[TraceDetail, None, None]:
    """Yield the traces with the ids that `ids()` returns, in the same order."""
    http = cast(Http, api.get_httpx_client())
    window.begin(ids(), http)
    workers = _WorkerThreads(api, http, window)
    try:
        workers.start()
        while True:
            for _ in range(window.refill()):
                workers.turns.put(True)
            if not window.slots:
                return
            if not window.slots[0].is_done:
                workers.check()
                window.report_pause()
                # With a timeout, because a signal just before the thread blocks is only handled when it wakes up.
                with contextlib.suppress(Empty):
                    workers.finished.get(timeout=window.seconds_to_wait())
            elif (detail := window.take()) is not None:
                yield detail
    finally:
        workers.stop()


class _WorkerThreads:
    """The worker threads of one loop. They are daemons, so that a pending request cannot delay the program's exit."""

    def __init__(self, api: AuthenticatedClient, http: Http, window: Window) -> None:
        # SimpleQueue is written in C, so an interrupt cannot leave it locked.
        self.turns: SimpleQueue[bool] = SimpleQueue()  # a True for each pending trace; False ends a worker
        self.finished: SimpleQueue[None] = SimpleQueue()
        self._window = window
        self._pid = os.getpid()
        self._shared = http.connections
        self._stopped = threading.Event()
        self._connections = [_WorkerConnections(http.connections, self._stopped) for _ in range(window.workers)]
        self._threads = [
            threading.Thread(target=copy_context().run, args=(self._work, api, http, own), name="artanis", daemon=True)
            for own in self._connections
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def check(self) -> None:
        """Raise ArtanisError if no worker will read anything more, or only after a pause."""
        if os.getpid() != self._pid:
            raise ArtanisError("traces.iter() cannot go on in a forked process. Start a new loop there.")
        if closed := self._shared.closed_error():
            raise closed

    def _work(self, api: AuthenticatedClient, http: Http, connections: _WorkerConnections) -> None:
        api = copy.copy(api)
        api.set_httpx_client(http.view(connections=connections))
        window = self._window
        try:
            while self.turns.get():
                slot = window.pending.popleft()
                try:
                    with Exchange(get_trace.sync_detailed) as exchange:
                        exchange.result = get_trace.sync_detailed(slot.trace_id, client=api)
                    window.succeed(slot, exchange.parsed(), len(exchange.result.content))
                except BaseException as error:
                    if self._stopped.is_set():
                        return  # the request was cut off, which is neither a failure nor retried
                    window.fail(slot, error)
                if window.wakes_consumer(slot):
                    self.finished.put(None)
        finally:
            connections.close()

    def stop(self) -> None:
        """Make queued requests fail, cut off pending ones, and wait briefly for the threads."""
        if os.getpid() != self._pid:
            return  # in a forked process, the threads and connections are those of the parent
        self._stopped.set()
        for connections in self._connections:
            connections.cut_off()
            self.turns.put(False)
        end = _clock.monotonic() + STOP_TIMEOUT
        for thread in self._threads:
            # A generator may be collected in any thread, or while the interpreter is ending and has stopped daemons.
            if thread is not threading.current_thread() and thread.ident and not sys.is_finalizing():
                thread.join(max(0.0, end - _clock.monotonic()))


class _WorkerConnections:
    """The connections of one worker: its own HTTP connection, with the client's slots and key lock.

    If the user chose a transport, mounts or limits, the worker uses the client's connections instead. Then pending
    requests are not cut off when the loop ends.
    """

    retries = False  # the window schedules retries, so that they hold no worker

    def __init__(self, shared: Connections, stopped: threading.Event) -> None:
        self.settings = shared.settings
        self.max_connections = shared.max_connections
        self.pace = shared.pace
        self._shared = shared
        self._stopped = stopped
        self._own = (
            _InterruptibleClient(**shared.settings.connection_arguments) if shared.settings.owns_connections else None
        )
        local = shared.local()
        self._local = local if self._own is None else local._replace(client=self._own)

    def local(self) -> Any:
        return self._local

    def closed_error(self) -> ArtanisError | None:
        stopped = ArtanisError("traces.iter() was closed.") if self._stopped.is_set() else None
        return stopped or self._shared.closed_error()

    def pause(self, seconds: float) -> None:
        self._stopped.wait(seconds)

    def cut_off(self) -> None:
        """Make a pending request fail."""
        if self._own is not None:
            self._own.cut_off()

    def close(self) -> None:
        if self._own is not None:
            self._own.close()


class _InterruptibleClient(Client):
    """A client for one request at a time, which another thread can cut off."""

    _socket: socket.socket | None = None
    _is_cut_off = False

    def send(self, request: httpx.Request, **arguments: Any) -> httpx.Response:
        request.extensions["trace"] = self._note_socket
        return super().send(request, **arguments)

    def _note_socket(self, _event: str, info: dict[str, Any]) -> None:
        stream: Any = info.get("return_value")
        if hasattr(stream, "get_extra_info"):  # a new connection, or TLS over it
            self._socket = stream.get_extra_info("socket")
            if self._is_cut_off:
                self.cut_off()

    def cut_off(self) -> None:
        self._is_cut_off = True
        if self._socket is not None:
            with contextlib.suppress(OSError):  # it is closed already
                # Not the method of an SSLSocket, which would change it under the thread that uses it.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

"""The connections of a client: for the current process, and with asyncio or trio for the current event loop.

HTTP connections cannot be shared between processes or event loops. Each gets its own, all but the first on first use.
"""

from __future__ import annotations

import contextlib
import functools
import os
import weakref
from itertools import islice
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

import anyio

from . import _clock
from ._async_client import AsyncClient
from ._errors import ArtanisError
from ._httpx import Client, Settings
from ._pace import Pace

WAKE_UP = 1.0  # seconds after which a blocked thread lets Python handle signals


class Local(NamedTuple):
    """What requests in this process, or this event loop, go through."""

    client: Any
    """The httpx client."""
    slots: Any
    """A semaphore: the requests that may be in flight at once."""
    key_lock: Any
    """Held while the source of the key is asked."""


class _Slots:
    """A semaphore on a queue in C. An interrupt inside threading.Semaphore would leave it locked for good."""

    def __init__(self, number: int) -> None:
        self._queue: SimpleQueue[None] = SimpleQueue()
        for _ in range(number):
            self._queue.put(None)
        self._get = functools.partial(self._queue.get, timeout=WAKE_UP)

    def __enter__(self) -> None:
        taken: list[None] = []
        try:
            while not taken:
                with contextlib.suppress(Empty):
                    # One call in C takes a slot and records it, so that no interrupt comes in between.
                    taken.extend(islice(iter(self._get, self), 1))
        except BaseException:
            if taken:
                self._queue.put(None)
            raise

    def __exit__(self, *exc_info: object) -> None:
        self._queue.put(None)


class _ConnectionsBase:
    """Shared by `Connections` and `AsyncConnections`."""

    retries = True
    """Whether a request that failed is retried by `Http.send`."""

    def __init__(self, settings: Settings, max_connections: int) -> None:
        self.settings = settings
        self.max_connections = max_connections
        self.is_closed = False
        self.pace = Pace()
        self._locals: dict[Any, Local] = {}

    def closed_error(self) -> ArtanisError | None:
        """Return the error to raise if the client is closed."""
        if self.is_closed:
            return ArtanisError("The client is closed. Create a new one, or keep this one open while you use it.")
        return None


class Connections(_ConnectionsBase):
    """The connections of `Artanis`."""

    def __init__(self, settings: Settings, max_connections: int) -> None:
        super().__init__(settings, max_connections)
        self.local()  # at once, so that threads never race for it

    def local(self) -> Local:
        """Return the connections of this process; after a fork, new ones."""
        here = os.getpid()
        if here not in self._locals:
            # No lock: a thread that does not exist in a forked process could be holding it.
            made = Local(self.new_client(), _Slots(self.max_connections), _Slots(1))
            return self._locals.setdefault(here, made)
        return self._locals[here]

    def new_client(self) -> Client:
        """Return another httpx client with the same arguments, and its own connections."""
        return Client(**self.settings.connection_arguments)

    def pause(self, seconds: float) -> None:
        """Wait before a request may start."""
        _clock.sleep(seconds)

    def close(self) -> None:
        """Close the connections of this process."""
        self.is_closed = True
        if local := self._locals.get(os.getpid()):
            local.client.close()


class AsyncConnections(_ConnectionsBase):
    """The connections of `AsyncArtanis`."""

    def __init__(self, settings: Settings, max_connections: int) -> None:
        super().__init__(settings, max_connections)
        self._unused = [self.new_client()]  # made here, so that wrong arguments fail at once; pop() is atomic

    def local(self) -> Local:
        """Return the connections of this process and event loop."""
        here = current_loop()
        found = self._locals.get(here)
        if found is not None:
            return found
        self._forget_ended_loops()
        try:
            client = self._unused.pop()
        except IndexError:
            client = self.new_client()
        made = Local(client, anyio.Semaphore(self.max_connections, fast_acquire=True), anyio.Lock())
        return self._locals.setdefault(here, made)

    def new_client(self) -> AsyncClient:
        """Return another httpx client with the same arguments, and its own connections."""
        return AsyncClient(**self.settings.connection_arguments)

    async def pause(self, seconds: float) -> None:
        """Wait before a request may start."""
        await _clock.async_sleep(seconds)

    async def aclose(self) -> None:
        """Close this event loop's connections; another loop's cannot be closed from here."""
        self.is_closed = True
        if local := self._locals.get(current_loop()):
            await local.client.aclose()

    def _forget_ended_loops(self) -> None:
        for pid, loop in list(self._locals):
            is_closed = getattr(loop(), "is_closed", None)  # of asyncio's, which their connections keep alive
            if loop() is None or (is_closed is not None and is_closed()):
                self._locals.pop((pid, loop), None)


def current_loop() -> tuple[int, weakref.ref[Any]]:
    """Return a key for the current process and the running event loop."""
    from anyio.lowlevel import current_token  # takes a millisecond to import, which sync programs need not spend

    return os.getpid(), weakref.ref(current_token().native_token)

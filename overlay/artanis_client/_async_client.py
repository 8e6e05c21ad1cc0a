"""An async httpx client that closes what httpcore leaves open when a call is cancelled.

It also keeps a forked process from cutting its parent's connections.
"""

from __future__ import annotations

import functools
import os
import weakref
from typing import Any

from ._httpx import Cookieless, httpx


class AsyncClient(Cookieless, httpx.AsyncClient):
    """An async httpx client without cookies, which can close what httpcore leaves open after a cancellation."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        for pool in self._pools():
            backend = pool._network_backend
            backend.connect_tcp = functools.partial(_connect, backend.connect_tcp)

    def _pools(self) -> list[Any]:
        pools: list[Any] = [getattr(each, "_pool", None) for each in (self._transport, *self._mounts.values())]
        return [pool for pool in pools if hasattr(pool, "_assign_requests_to_connections")]

    async def release(self, request: httpx.Request) -> None:
        """Close the connection of a request that failed or was cancelled, unless it is idle or others use it."""
        for pool in self._pools():
            pool._requests = [each for each in pool._requests if each.request.extensions is not request.extensions]
            used = [each.connection for each in pool._requests]
            unused = [each for each in pool.connections if not (each.is_idle() or each in used)]
            pool._connections = [each for each in pool._connections if each not in unused]
            await pool._close_connections([*unused, *pool._assign_requests_to_connections()])


_streams: weakref.WeakSet[Any] = weakref.WeakSet()


def _detach_streams() -> None:
    """Keep a forked process from shutting down its parent's connections, such as when it cancels inherited tasks."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in _streams:
        if (number := stream.get_extra_info("socket").fileno()) >= 0:
            os.dup2(nothing, number)
    os.close(nothing)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_detach_streams)


async def _connect(connect_tcp: Any, **arguments: Any) -> Any:
    """Connect; if the setup of the connection is cancelled, such as the TLS handshake, close it."""

    async def or_close(method: Any, *args: Any, **more: Any) -> Any:
        try:
            result = await method(*args, **more)
        except BaseException:
            await stream.aclose()  # closes the socket at once, even if this is cancelled, too
            raise
        if method.__name__ == "start_tls":
            result.plain_stream = stream  # keeps it in _streams
        return result

    stream = await connect_tcp(**arguments)
    _streams.add(stream)
    for name in ("read", "write", "start_tls"):
        setattr(stream, name, functools.partial(or_close, getattr(stream, name)))
    return stream

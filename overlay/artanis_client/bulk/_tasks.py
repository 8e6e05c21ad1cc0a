"""`AsyncTraces.iter`: worker tasks, each on its own connection, read the traces of a window.

A task group must not be open while the consumer's code runs: the group's cancel scope would swallow the consumer's
cancellation, and only the task that opened the group may close it. So a background task owns the group, and
cancelling its scope ends it.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import functools
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Sequence
from contextvars import copy_context
from typing import Any, cast

import anyio
from anyio.abc import TaskGroup
from anyio.lowlevel import current_token

from artanis_api import AuthenticatedClient
from artanis_api.api.traces import get_trace
from artanis_api.models import TraceDetail

from .._async_client import AsyncClient
from .._call import Exchange
from .._connections import AsyncConnections, Local
from .._errors import ArtanisError
from .._http import AsyncHttp
from ._window import Window

STOP_TIMEOUT = 0.5  # seconds to wait for workers when the loop ends


class AsyncDetails(AsyncGenerator[TraceDetail, None]):
    """The iterator that `AsyncTraces.iter` returns. A generator would not do: its `aclose()` cannot be shielded."""

    def __init__(self, api: AuthenticatedClient, ids: Callable[[], Awaitable[Sequence[str]]], window: Window) -> None:
        self._api = api
        self._ids: Callable[[], Awaitable[Sequence[str]]] | None = ids
        self._window = window
        self._workers: _WorkerTasks | None = None
        self._is_waiting = self._is_closed = False

    async def asend(self, value: None) -> TraceDetail:  # noqa: ARG002 - part of the interface
        """Return the next trace. `anext()` calls this."""
        if self._is_waiting:
            raise RuntimeError("Another task is already waiting for the next trace of this iterator.")
        if self._is_closed:
            raise StopAsyncIteration
        self._is_waiting = True
        try:
            detail = await self._next()
        except StopAsyncIteration as error:  # of a hook, say: it would look like the end
            await self.aclose()
            raise RuntimeError("Reading traces raised StopAsyncIteration.") from error
        except Exception:
            await self.aclose()
            raise
        except BaseException:  # cancelled: the next call continues
            await self._stop_workers()
            raise
        finally:
            self._is_waiting = False
        if detail is None:
            await self.aclose()
            raise StopAsyncIteration
        return detail

    async def athrow(self, *error: Any) -> TraceDetail:
        """Close the iterator, and raise the error."""
        await self.aclose()
        raise error[0]

    async def aclose(self) -> None:
        """Cancel pending requests, as the end of the loop does. There are no more traces afterwards."""
        self._is_closed = True
        await self._stop_workers()

    def __del__(self) -> None:
        if self._workers is not None:
            self._workers.cancel()

    async def _stop_workers(self) -> None:
        workers, self._workers = self._workers, None
        if workers is not None:
            await workers.stop()

    async def _next(self) -> TraceDetail | None:
        """Return the next trace; None at the end."""
        http = cast(AsyncHttp, self._api.get_async_httpx_client())
        window = self._window
        if self._ids is not None:
            window.begin(await self._ids(), http)
            self._ids = None
        while True:  # no checkpoint is needed: the loop waits at least once per window
            window.refill()
            if not window.slots:
                return None
            if self._workers is None:
                window.restart()
                self._workers = _WorkerTasks(self._api, http, window)
            self._workers.start()
            if not window.slots[0].is_done:
                window.report_pause()
                await self._workers.wait(window.seconds_to_wait())
            elif (detail := window.take()) is not None:
                return detail


class _WorkerTasks:
    """A background task with a task group that runs one task for each request in flight."""

    def __init__(self, api: AuthenticatedClient, http: AsyncHttp, window: Window) -> None:
        self._api = api
        self._http = http
        self._window = window
        self._changed, self._ended = anyio.Event(), anyio.Event()
        self._scope = anyio.CancelScope()
        self._group: TaskGroup | None = None
        self._connections = [_WorkerConnections(http.connections) for _ in range(window.workers)]
        self._idle = self._connections.copy()
        self._worker: Callable[[_WorkerConnections], Coroutine[Any, Any, None]] = self._work
        native: Any = current_token().native_token
        if isinstance(native, asyncio.AbstractEventLoop):
            self._cancelled: type[BaseException] = BaseException
            self._call_soon: Callable[..., object] = native.call_soon_threadsafe
            self._task: object = native.create_task(self._run())  # the event loop has only a weak reference to it
        else:
            from trio.lowlevel import enable_ki_protection, spawn_system_task

            # Deliver KeyboardInterrupt to the consumer, not to a worker.
            self._worker = functools.partial(enable_ki_protection(_WorkerTasks._work), self)
            self._cancelled = anyio.get_cancelled_exc_class()  # anything else in a system task would end trio
            self._call_soon = native.run_sync_soon
            spawn_system_task(self._run, context=copy_context())

    def start(self) -> None:
        """Start idle workers if traces are pending."""
        if self._group is not None:
            for _ in range(min(len(self._window.pending), len(self._idle))):
                self._group.start_soon(self._worker, self._idle.pop())

    async def wait(self, seconds: float) -> None:
        """Wait until the consumer has something to do, but no longer than this many seconds."""
        if closed := self._http.connections.closed_error():  # which workers notice only after a pause
            raise closed
        self._changed = anyio.Event()
        if not self._ended.is_set():
            with anyio.move_on_after(seconds):
                await self._changed.wait()
        if self._ended.is_set():
            raise ArtanisError("traces.iter() was closed, or its background tasks were cancelled.")

    def cancel(self) -> None:
        """Cancel pending requests. Safe in another thread, in the garbage collector, and outside any task."""
        with contextlib.suppress(RuntimeError):  # the event loop has ended, and the tasks with it
            self._call_soon(self._scope.cancel)

    async def stop(self) -> None:
        """Cancel pending requests, and wait briefly for the tasks."""
        self._scope.cancel()
        with anyio.move_on_after(STOP_TIMEOUT, shield=True):
            await self._ended.wait()

    async def _run(self) -> None:
        try:
            with self._scope:
                async with anyio.create_task_group() as self._group:
                    self.start()
                    await anyio.sleep_forever()
        finally:
            try:
                with anyio.CancelScope(shield=True):
                    for connections in self._connections:
                        await connections.aclose()
            finally:
                self._changed.set()
                self._ended.set()

    async def _work(self, connections: _WorkerConnections) -> None:
        api = copy.copy(self._api)
        api.set_async_httpx_client(self._http.view(connections=connections))
        window = self._window
        while window.pending:
            slot = window.pending.popleft()
            try:
                with Exchange(get_trace.asyncio_detailed) as exchange:
                    exchange.result = await get_trace.asyncio_detailed(slot.trace_id, client=api)
                window.succeed(slot, exchange.parsed(), len(exchange.result.content))
            except Exception as error:
                window.fail(slot, error)
            except self._cancelled:
                self._scope.cancel()  # if only this task is cancelled, nothing else would tell the consumer
                raise
            except BaseException as error:
                window.fail(slot, error)
            if window.wakes_consumer(slot):
                self._changed.set()
        self._idle.append(connections)


class _WorkerConnections:
    """The connections of one worker: its own HTTP connection, with the client's slots and key lock.

    If the user chose a transport, mounts or limits, the worker uses the client's connections instead.
    """

    retries = False  # the window schedules retries, so that they hold no worker

    def __init__(self, shared: AsyncConnections) -> None:
        self.settings = shared.settings
        self.max_connections = shared.max_connections
        self.closed_error = shared.closed_error
        self.pace = shared.pace
        self.pause = shared.pause
        self._shared = shared
        self._own = AsyncClient(**shared.settings.connection_arguments) if shared.settings.owns_connections else None

    def local(self) -> Local:
        local = self._shared.local()
        return local if self._own is None else local._replace(client=self._own)

    async def aclose(self) -> None:
        if self._own is not None:
            await self._own.aclose()

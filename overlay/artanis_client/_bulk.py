"""Many traces in one loop: `client.traces.iter`.

A window of traces is kept ahead of the consumer, in the order of the list. Workers, threads or tasks, ask for what is
in it, each over a connection of its own: a pool that they shared would look at all its connections for each request,
and a connection of one's own can be cut without harm to others.

Stopping is what is hard. A thread that waits for an answer does not notice that its socket is closed, only that it is
shut down, so its lane notes the socket. Tasks cannot live in a task group that is open while the consumer has its
turn: the group's cancel scope would catch the consumer's cancellation, and only the task that opened it may close it.
So the group is in a task of its own, which belongs to none of the consumer's and ends by one cancel scope.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import functools
import inspect
import logging
import os
import socket
import sys
import threading
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Sequence
from contextvars import copy_context
from queue import Empty, SimpleQueue
from typing import Any, cast

import anyio
import attrs
from anyio.abc import TaskGroup
from anyio.lowlevel import current_token

from artanis_api import AuthenticatedClient
from artanis_api.api.traces import get_trace
from artanis_api.models import TraceDetail

from . import _clock
from ._call import acall, call
from ._errors import APIResponseValidationError, ArtanisError, NotFoundError
from ._http import SIGNAL_CHECK, AsyncHttp, Http, Request, Response, whole

AHEAD = 2  # traces in the window for each request in flight, so that one slow answer does not hold up the others
FAST_FROM = 200  # traces, from which the 150 ms that aiohttp takes to load are worth it
PATIENCE = 0.5  # seconds that the end of a loop waits for its workers to be gone
OF_ONE_TRACE = (NotFoundError, APIResponseValidationError)
_log = logging.getLogger("artanis_client")


@attrs.frozen
class Progress:
    """How far `client.traces.iter` or an export is, as its `on_progress` is told for each trace."""

    done: int
    """How many traces were read or left out, this one included."""
    total: int
    """How many there are to read."""
    skipped: int
    """How many of those done were left out."""
    trace_id: str
    error: ArtanisError | None
    """Why this trace was left out; None if it was not."""


@attrs.define(eq=False)
class _Slot:
    """A trace in the window."""

    trace_id: str
    detail: TraceDetail | None = None
    error: BaseException | None = None

    @property
    def is_done(self) -> bool:
        return self.detail is not None or self.error is not None


def plain_function(on_progress: Any) -> Callable[[Progress], object] | None:
    if on_progress is not None and (not callable(on_progress) or inspect.iscoroutinefunction(on_progress)):
        raise TypeError("on_progress must be a plain function.")
    return cast("Callable[[Progress], object] | None", on_progress)


class Order:
    """Which traces there are, which of them are in the window, and what comes of each."""

    def __init__(self, concurrency: Any, on_error: Any, on_progress: Any) -> None:
        self._concurrency = whole("concurrency", concurrency, at_least=1)
        if on_error not in ("raise", "skip"):
            raise ValueError(f'on_error must be "raise" or "skip", not {on_error!r}.')
        self._skips = on_error == "skip"
        self._on_progress = plain_function(on_progress)
        self._ids: Sequence[str] = ()
        self._next = self._done = self._skipped = 0
        self.window: deque[_Slot] = deque()
        self.size = 0
        """How many workers there are to be."""

    def begin(self, ids: Sequence[str], max_connections: int) -> None:
        self._ids = ids
        self.size = min(self._concurrency, max_connections, len(ids))

    @property
    def total(self) -> int:
        return len(self._ids)

    def more(self) -> list[_Slot]:
        """The traces for which there has come to be room in the window."""
        room = AHEAD * self.size - len(self.window)
        slots = [_Slot(trace_id) for trace_id in self._ids[self._next : self._next + room]]
        self._next += len(slots)
        self.window += slots
        return slots

    def is_awaited(self, slot: _Slot) -> bool:
        """Whether the consumer may be waiting for this; waking it for each of the others costs a tenth of the rate."""
        try:
            return self.window[0] is slot
        except IndexError:  # it has been taken already
            return False

    def take(self) -> TraceDetail | None:
        """The first trace of the window, which is done; None for one that is left out."""
        slot = self.window.popleft()
        left_out: ArtanisError | None = None
        try:
            if slot.error is not None:
                if not (self._skips and isinstance(slot.error, OF_ONE_TRACE)):
                    raise slot.error
                left_out = slot.error
                self._skipped += 1
                _log.warning("trace %s is left out: %s", slot.trace_id, left_out)
            self._done += 1
            if self._on_progress is not None:
                self._on_progress(Progress(self._done, self.total, self._skipped, slot.trace_id, left_out))
            return slot.detail
        finally:
            del slot, left_out  # whose traceback would hold this frame, and the frame it


def details(
    api: AuthenticatedClient, ids: Callable[[], Sequence[str]], order: Order
) -> Generator[TraceDetail, None, None]:
    """What `Traces.iter` returns."""
    http = cast(Http, api.get_httpx_client())
    order.begin(ids(), http.max_connections)
    crew = _Crew(api, http, order)
    try:
        crew.start()
        while True:
            for slot in order.more():
                crew.jobs.put(slot)
            if not order.window:
                return
            while not order.window[0].is_done:
                with contextlib.suppress(Empty):
                    crew.finished.get(timeout=SIGNAL_CHECK)
            detail = order.take()
            if detail is not None:
                yield detail
    finally:
        crew.stop()


class _Crew:
    """The threads that ask. They are daemons, so that one which waits for an answer does not hold up the exit."""

    def __init__(self, api: AuthenticatedClient, http: Http, order: Order) -> None:
        # Queues in C: an interrupt in the middle of them leaves nothing locked.
        self.jobs: SimpleQueue[_Slot | None] = SimpleQueue()
        self.finished: SimpleQueue[None] = SimpleQueue()
        self._api = api
        self._order = order
        self._stopped = threading.Event()
        self._lanes = [_Lane(http, self._stopped) for _ in range(order.size)]
        self._threads = [
            threading.Thread(target=copy_context().run, args=(self._work, lane), name="artanis", daemon=True)
            for lane in self._lanes
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def _work(self, lane: _Lane) -> None:
        api = copy.copy(self._api)
        api.set_httpx_client(lane)
        try:
            while (slot := self.jobs.get()) is not None:
                try:
                    slot.detail = call(get_trace.sync_detailed, slot.trace_id, client=api)
                except BaseException as error:
                    slot.error = error
                if self._order.is_awaited(slot):
                    self.finished.put(None)
        finally:
            lane.hang_up()

    def stop(self) -> None:
        """What waits in `jobs` fails at once, and what waits for an answer as soon as it is cut off."""
        self._stopped.set()
        for lane in self._lanes:
            lane.cut()
            self.jobs.put(None)
        end = _clock.monotonic() + PATIENCE
        for thread in self._threads:
            # A generator that is collected may be in any thread, or in an interpreter that has stopped its daemons.
            if thread is not threading.current_thread() and thread.ident and not sys.is_finalizing():
                thread.join(max(0.0, end - _clock.monotonic()))


class _Lane(Http):
    """The client on a connection of its own, which can be cut.

    Where the user's transport, mounts or limits say which connections to use, those are used, and a thread that waits
    for an answer when the loop ends is left waiting for it.
    """

    def __init__(self, http: Http, stopped: threading.Event) -> None:
        self.__dict__.update(vars(http))
        self._stopped = stopped
        self._socket: socket.socket | None = None
        self._own = http.another_client()
        place = http._place(os.getpid())
        self._lane = place._replace(client=self._own) if self._own is not None else place

    def _place(self, here: Any) -> Any:  # noqa: ARG002
        return self._lane

    def _refuse_closed(self) -> None:
        super()._refuse_closed()
        if self._stopped.is_set():
            raise ArtanisError("The loop for which this was read has ended.")

    def _sleep(self, seconds: float) -> None:
        self._stopped.wait(seconds)

    def _retryable(self, error: BaseException, request: Any) -> bool:
        return not self._stopped.is_set() and super()._retryable(error, request)

    def _transmit(self, place: Any, request: Any, secret: Any, stream: bool) -> Any:
        if self._own is not None:
            request.extensions["trace"] = self._note
        return super()._transmit(place, request, secret, stream)

    def _note(self, _event: str, info: dict[str, Any]) -> None:
        stream: Any = info.get("return_value")
        if hasattr(stream, "get_extra_info"):  # of a new connection, or of TLS over it
            self._socket = stream.get_extra_info("socket")
            if self._stopped.is_set():
                self.cut()

    def cut(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):  # it is closed already
                # Not the method of an SSLSocket, which would change it under the thread that uses it.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def hang_up(self) -> None:
        if self._own is not None:
            self._own.close()


class AsyncDetails(AsyncIterator[TraceDetail]):
    """What `AsyncTraces.iter` returns: an async iterator with `aclose()`."""

    def __init__(self, api: AuthenticatedClient, ids: Callable[[], Awaitable[Sequence[str]]], order: Order) -> None:
        self._api = api
        self._ids: Callable[[], Awaitable[Sequence[str]]] | None = ids
        self._order = order
        self._group: _Group | None = None
        self._is_waiting = self._is_closed = False

    async def __anext__(self) -> TraceDetail:
        if self._is_waiting:
            raise RuntimeError("Another task waits for the next trace of this iterator.")
        if self._is_closed:
            raise StopAsyncIteration
        self._is_waiting = True
        try:
            return await self._following()
        except Exception:  # the end too
            await self.aclose()
            raise
        except BaseException:  # cancelled: the next call goes on
            await self._leave()
            raise
        finally:
            self._is_waiting = False

    async def aclose(self) -> None:
        """End what was started, as the end of the loop does; after this there are no more traces."""
        self._is_closed = True
        await self._leave()

    def __del__(self) -> None:
        if self._group is not None:
            self._group.stop()

    async def _leave(self) -> None:
        group, self._group = self._group, None
        if group is not None:
            await group.end()

    async def _following(self) -> TraceDetail:
        http = cast(AsyncHttp, self._api.get_async_httpx_client())
        order = self._order
        if self._ids is not None:
            order.begin(await self._ids(), http.max_connections)
            self._ids = None
        while True:  # without a checkpoint: after one window, at the latest, there is something to wait for
            new = order.more()
            if not order.window:
                raise StopAsyncIteration
            if self._group is None:
                self._group = _Group(self._api, http, order)
                new = [slot for slot in order.window if not slot.is_done]
            self._group.ask_for(new)
            while not order.window[0].is_done:
                await self._group.wait()
            detail = order.take()
            if detail is not None:
                return detail


class _Group:
    """A task that belongs to no other, and in it a group with a task for each request in flight."""

    def __init__(self, api: AuthenticatedClient, http: AsyncHttp, order: Order) -> None:
        self._api = api
        self._order = order
        self._jobs: deque[_Slot] = deque()
        self._change, self._gone = anyio.Event(), anyio.Event()
        self._scope = anyio.CancelScope()
        self._tasks: TaskGroup | None = None
        native: Any = current_token().native_token
        is_asyncio = isinstance(native, asyncio.AbstractEventLoop)
        fast = _fast_transport(http) if is_asyncio and order.total >= FAST_FROM else None
        self._lanes = [
            _AsyncLane(http, http.another_client()) if fast is None else _FastLane(http, fast)
            for _ in range(order.size)
        ]
        self._idle = self._lanes.copy()
        self._worker: Callable[[_AsyncLane], Coroutine[Any, Any, None]] = self._work
        if is_asyncio:
            self._call_soon: Callable[..., object] = native.call_soon_threadsafe
            self._task: object = native.create_task(self._run())
        else:
            from trio.lowlevel import enable_ki_protection, spawn_system_task

            # Ctrl-C is for the task of the consumer.
            self._worker = functools.partial(enable_ki_protection(_Group._work), self)
            self._call_soon = native.run_sync_soon
            spawn_system_task(self._run, context=copy_context())

    def ask_for(self, slots: list[_Slot]) -> None:
        self._jobs += slots
        if self._tasks is not None:
            for _ in range(min(len(self._jobs), len(self._idle))):
                self._tasks.start_soon(self._worker, self._idle.pop())

    async def wait(self) -> None:
        """Wait until something has changed."""
        self._change = anyio.Event()
        if not self._gone.is_set():
            await self._change.wait()
        if self._gone.is_set():
            raise ArtanisError("The tasks that read were ended from outside of the loop.")

    def stop(self) -> None:
        """From anywhere: another thread, the collector, outside of any task."""
        with contextlib.suppress(RuntimeError):  # the event loop has ended, and the tasks with it
            self._call_soon(self._scope.cancel)

    async def end(self) -> None:
        self._scope.cancel()
        with anyio.move_on_after(PATIENCE, shield=True):
            await self._gone.wait()

    async def _run(self) -> None:
        try:
            with self._scope:
                async with anyio.create_task_group() as self._tasks:
                    self.ask_for([])
                    await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                for lane in self._lanes:
                    await lane.hang_up()
            self._change.set()
            self._gone.set()

    async def _work(self, lane: _AsyncLane) -> None:
        api = copy.copy(self._api)
        api.set_async_httpx_client(lane)
        while self._jobs:
            slot = self._jobs.popleft()
            try:
                slot.detail = await acall(get_trace.asyncio_detailed, slot.trace_id, client=api)
            except Exception as error:
                slot.error = error
            except BaseException:
                self._scope.cancel()  # if only this task is cancelled, nothing else would tell the consumer
                raise
            if self._order.is_awaited(slot):
                self._change.set()
        self._idle.append(lane)


class _AsyncLane(AsyncHttp):
    """Like `_Lane`; a task that is cancelled closes its connection by itself, unless TLS was being set up over it."""

    def __init__(self, http: AsyncHttp, own: Any) -> None:
        self.__dict__.update(vars(http))
        self._http = http
        self._own = own
        self._connecting: Any = None
        self._is_connected = False

    def _place(self, here: Any) -> Any:
        place = self._http._place(here)
        return place._replace(client=self._own) if self._own is not None else place

    async def _transmit(self, place: Any, request: Any, secret: Any, stream: bool) -> Any:
        if self._own is not None and not self._is_connected:
            request.extensions["trace"] = self._note
        response = await super()._transmit(place, request, secret, stream)
        self._is_connected = True
        return response

    async def _note(self, event: str, info: dict[str, Any]) -> None:
        if event.endswith("connect_tcp.complete"):
            self._connecting = info["return_value"]

    async def hang_up(self) -> None:
        if self._own is not None:
            await self._own.aclose()
        if self._connecting is not None:
            await self._connecting.aclose()


class _FastLane(_AsyncLane):
    """On a transport that all lanes share, without an httpx client around it, which would be a fifth of the work."""

    async def _send_on(self, client: Any, request: Request) -> Response:
        hooks = self._arguments["event_hooks"]
        for hook in hooks.get("request", ()):
            await hook(request)
        response: Response = await client.handle_async_request(request)
        response.request = request
        try:
            for hook in hooks["response"]:
                await hook(response)
        except BaseException:
            await response.aclose()
            raise
        return response


def _fast_transport(http: AsyncHttp) -> Any:
    """aiohttp, where it is installed and nothing in the user's arguments or environment speaks against it."""
    client = http.another_client()
    if client is None or client._mounts or http._arguments.get("http2"):  # among the mounts are the proxies
        return None
    try:
        from ._fast import Transport
    except ImportError:
        return None
    return Transport(http._arguments["verify"])

"""`Traces.ids`: the ids of a long list of traces, parsed as it arrives. Needs the extra `stream`.

The first traces are kept and parsed like any other response. If there are more, only their ids are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from artanis_api import AuthenticatedClient
from artanis_api.api.traces import list_traces
from artanis_api.models import Trace

from .._body import Body, body_class
from .._call import acall, call
from .._error_mapping import MAX_ERROR_BODY, shape_error
from .._httpx import httpx
from .._periods import Filter
from .._shape import Mismatch, find_mismatch

try:
    import ijson  # pyright: ignore[reportMissingTypeStubs]
except ImportError as error:
    raise ImportError("traces.ids() needs ijson: pip install 'artanis-client[stream]'") from error

BATCH = 1000  # traces that are checked together, which is faster than one by one


def list_ids(api: AuthenticatedClient, project: Mapping[str, str], select: Filter) -> list[str]:
    """Return the ids of the traces that `select` keeps, in the order of the list."""
    with _Reading(select) as reading:
        traces = call(list_traces.sync_detailed, client=api, **project).traces
    return reading.finish(traces)


async def alist_ids(api: AuthenticatedClient, project: Mapping[str, str], select: Filter) -> list[str]:
    """Like `list_ids`, for `AsyncArtanis`."""
    with _Reading(select) as reading:
        traces = (await acall(list_traces.asyncio_detailed, client=api, **project)).traces
    return reading.finish(traces)


class _Reading:
    """Reads the bodies of one call, which may take several attempts. Only the last one counts."""

    def __init__(self, select: Filter) -> None:
        self._select = select

    def __enter__(self) -> _Reading:
        self._token = body_class.set(self._body)
        return self

    def __exit__(self, *exc_info: object) -> None:
        body_class.reset(self._token)

    def _body(self, response: httpx.Response) -> Body:
        self._last = _ListBody(response, self._select)
        return self._last

    def finish(self, traces: list[Trace]) -> list[str]:
        """Return the ids: of these traces if the list was short, else those that were parsed as it arrived."""
        return self._last.ids() if self._last.is_long else [trace.id for trace in self._select(traces)]


class _ListBody(Body):
    """Keeps only the ids of a long list."""

    def __init__(self, response: httpx.Response, select: Filter) -> None:
        super().__init__(response)
        self.is_long = False
        self._select = select
        self._ids: list[str] = []
        self._start = b""  # for the error
        self._mismatch: Mismatch | None = None
        self._count = 0  # of the traces that were checked
        self._items: Any = ijson.sendable_list()
        self._parser: Any = None
        if response.status_code == 200:
            self._parser = ijson.items_coro(self._items, "traces.item")

    def add(self, chunk: bytes) -> bool:
        is_enough = super().add(chunk)
        if self._parser is not None:
            self._parse(lambda: self._parser.send(chunk))
            if self._parser is not None and len(self._items) >= BATCH:
                self._take()
        if self.is_long:
            self.chunks.clear()
        return is_enough

    def finish(self) -> None:
        if self._parser is not None and self.is_long:
            self._parse(self._parser.close)
            self._take()
        if self.is_long:
            self.chunks = [b'{"traces": []}']  # for the generated parser
        super().finish()

    def ids(self) -> list[str]:
        """Return the ids; raise APIResponseValidationError if the list does not match the contract."""
        if self._mismatch is None:
            return self._ids
        self.chunks = [self._start]
        super().finish()
        raise shape_error(self.response, *self._mismatch)

    def _parse(self, step: Callable[[], object]) -> None:
        try:
            step()
        except ijson.JSONError:
            if self.is_long:
                self._mismatch = Mismatch("", "is not JSON")
            self._parser = None  # a short list is parsed again, with a better message

    def _take(self) -> None:
        """Check the traces that have arrived, and keep their ids."""
        if not self.is_long:
            self.is_long, self._start = True, b"".join(self.chunks)[: 2 * MAX_ERROR_BODY]
        items: list[Any] = list(self._items)
        self._items.clear()
        if found := find_mismatch(items, list[Trace]):
            index, _, rest = found.path.removeprefix("[").partition("]")
            self._mismatch = Mismatch(f"traces[{self._count + int(index)}]{rest}", found.problem)
            self._parser = None
            return
        self._count += len(items)
        self._ids += [trace.id for trace in self._select([Trace.from_dict(item) for item in items])]

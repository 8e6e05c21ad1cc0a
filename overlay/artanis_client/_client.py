"""`Artanis`, `AsyncArtanis` and their resources: the calls that most programs need, by name."""

from __future__ import annotations

import builtins
import copy
import inspect
import re
from collections.abc import Callable, Generator, Iterable, Mapping
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Literal, Self

from artanis_api import AuthenticatedClient
from artanis_api.api.prompts import get_prompt, list_prompts
from artanis_api.api.traces import get_trace, list_traces
from artanis_api.models import Prompt, PromptHistory, Trace, TraceDetail
from artanis_api.types import UNSET, Unset

from ._call import acall, call
from ._credentials import Credentials, KeyFunction, Secret, load, one_project
from ._http import DEFAULT_TIMEOUT, AsyncHttp, Http, Timeout

if TYPE_CHECKING:
    from .bulk._bulk import AsyncDetails, Progress


class _Api(AuthenticatedClient):
    """The generated client on our HTTP layer.

    Its own `with_…` methods would change the client they copy, and a client that it made itself would send no headers.
    """

    def get_httpx_client(self) -> Any:
        if self._client is None:
            raise TypeError("AsyncArtanis runs the asyncio functions; for the sync ones, use Artanis.")
        return self._client

    def get_async_httpx_client(self) -> Any:
        if self._async_client is None:
            raise TypeError("Artanis runs the sync functions; for the asyncio ones, use AsyncArtanis.")
        return self._async_client

    def __repr__(self) -> str:
        return f"<generated client of {self._base_url}>"

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise TypeError("Use client.with_options(timeout=…, max_retries=…), and the .api of what it returns.")

    with_headers = _refuse
    with_cookies = _refuse
    with_timeout = _refuse


class _Resource:
    """Calls on one kind of object."""

    def __init__(self, api: AuthenticatedClient, credentials: Credentials) -> None:
        self._api = api
        self._credentials = credentials

    def _project(self, project_slug: str | None, project_id: str | None) -> Mapping[str, str]:
        project = one_project(project_slug, project_id, "in the call") or self._credentials.project
        if not project:
            where = self._credentials.where_to_add
            raise ValueError(f"No project. Pass project_slug or project_id, here or to the client, or {where}.")
        return project


class Prompts(_Resource):
    """The prompts of a project (https://docs.artanis.ai/rest-api/prompts)."""

    def list(self, *, project_slug: str | None = None, project_id: str | None = None) -> list[Prompt]:
        """The active version of every prompt, one per pipeline step.

        Raises:
            ValueError: No project, here or in the client, or both kinds.
            ArtanisError: The call failed; `call` says in which ways.
        """
        project = self._project(project_slug, project_id)
        return call(list_prompts.sync_detailed, client=self._api, **project).prompts

    def get(self, prompt_id: str) -> PromptHistory:
        """One prompt with every version of it, oldest first. Raises as `list` does; `NotFoundError` without one."""
        return call(get_prompt.sync_detailed, _id(prompt_id), client=self._api)


class AsyncPrompts(_Resource):
    """Like `Prompts`, with `await`."""

    async def list(self, *, project_slug: str | None = None, project_id: str | None = None) -> list[Prompt]:
        """Like `Prompts.list`."""
        project = self._project(project_slug, project_id)
        return (await acall(list_prompts.asyncio_detailed, client=self._api, **project)).prompts

    async def get(self, prompt_id: str) -> PromptHistory:
        """Like `Prompts.get`."""
        return await acall(get_prompt.asyncio_detailed, _id(prompt_id), client=self._api)


class Traces(_Resource):
    """The traces of a project, and what reviewers made of them (https://docs.artanis.ai/rest-api/traces)."""

    def list(
        self,
        *,
        project_slug: str | None = None,
        project_id: str | None = None,
        since: date | str | None = None,
        until: date | str | None = None,
    ) -> builtins.list[Trace]:
        """Every trace, newest first, without spans.

        The API has no paging and no filter: all are transferred, and `since` and `until` then choose by `createdAt`.

        Args:
            project_slug, project_id: Another project than the client's.
            since, until: A datetime, a date, or ISO 8601 text of any precision; UTC unless it says otherwise. A period
                means its start in `since` and its end in `until`: `until="2026-04"` includes all of April.

        Raises:
            ValueError: No project, here or in the client, or both kinds; a date that is none.
            ArtanisError: The call failed; `call` says in which ways.
        """
        project, within = self._project(project_slug, project_id), period(since, until)
        return within(call(list_traces.sync_detailed, client=self._api, **project).traces)

    def get(self, trace_id: str) -> TraceDetail:
        """One trace with its spans and feedback. Raises as `list` does; `NotFoundError` without one."""
        return call(get_trace.sync_detailed, _id(trace_id), client=self._api)

    def iter(
        self,
        *,
        project_slug: str | None = None,
        project_id: str | None = None,
        since: date | str | None = None,
        until: date | str | None = None,
        trace_ids: Iterable[str] | None = None,
        concurrency: int = 16,
        on_error: Literal["raise", "skip"] = "raise",
        on_progress: Callable[[Progress], object] | None = None,
    ) -> Generator[TraceDetail]:
        """Every trace with its spans and feedback, newest first, several requests at a time.

            for trace in client.traces.iter(since="2026-04"):
                print(trace.spans)

        The list is fetched once, when the loop begins. The end of the loop, however it comes, ends all that was
        started for it; a loop over a generator that you keep ends with its `close()`.

        Args:
            project_slug, project_id, since, until: As for `list`.
            trace_ids: These traces, in this order, instead of a project's: nothing is listed.
            concurrency: Requests in flight at once, each in a thread of its own; no more than the client's
                `max_connections`. Twice as many traces are held in memory.
            on_error: "skip" leaves out, with a warning in the log, a trace that is gone since the list was made
                (`NotFoundError`) or is not what the contract says (`APIResponseValidationError`). Everything else is
                raised all the same, in the trace's turn: it would happen to each of them.
            on_progress: A function that is called, by the thread that loops, for each trace before it comes out of
                the loop or is left out. What it raises ends the loop.

        Raises:
            ValueError, TypeError: At once, as `list` does, or for the other arguments.
            ArtanisError: In the loop: the list or a trace cannot be read; `call` says in which ways.
        """
        from .bulk._bulk import Order, details

        order = Order(concurrency, on_error, on_progress)
        chosen = None if trace_ids is None else _ids_alone(trace_ids, project_slug, project_id, since, until)
        project = self._project(project_slug, project_id) if chosen is None else dict[str, str]()
        within = period(since, until)

        def ids() -> builtins.list[str]:
            if chosen is not None:
                return chosen
            return [trace.id for trace in within(call(list_traces.sync_detailed, client=self._api, **project).traces)]

        return details(self._api, ids, order)


class AsyncTraces(_Resource):
    """Like `Traces`, with `await`."""

    async def list(
        self,
        *,
        project_slug: str | None = None,
        project_id: str | None = None,
        since: date | str | None = None,
        until: date | str | None = None,
    ) -> builtins.list[Trace]:
        """Like `Traces.list`."""
        project, within = self._project(project_slug, project_id), period(since, until)
        return within((await acall(list_traces.asyncio_detailed, client=self._api, **project)).traces)

    async def get(self, trace_id: str) -> TraceDetail:
        """Like `Traces.get`."""
        return await acall(get_trace.asyncio_detailed, _id(trace_id), client=self._api)

    def iter(
        self,
        *,
        project_slug: str | None = None,
        project_id: str | None = None,
        since: date | str | None = None,
        until: date | str | None = None,
        trace_ids: Iterable[str] | None = None,
        concurrency: int = 16,
        on_error: Literal["raise", "skip"] = "raise",
        on_progress: Callable[[Progress], object] | None = None,
    ) -> AsyncDetails:
        """Like `Traces.iter`, for `async for`, with tasks in place of threads, and `aclose()`.

        `on_progress` is a plain function, and called by the task that loops. A cancelled `anext()` loses nothing: the
        next one goes on. With the extra `fast`, on asyncio, 200 traces and more are read through aiohttp, unless the
        client has a proxy, a transport, mounts, limits or HTTP/2.
        """
        from .bulk._bulk import AsyncDetails, Order

        order = Order(concurrency, on_error, on_progress)
        chosen = None if trace_ids is None else _ids_alone(trace_ids, project_slug, project_id, since, until)
        project = self._project(project_slug, project_id) if chosen is None else dict[str, str]()
        within = period(since, until)

        async def ids() -> builtins.list[str]:
            if chosen is not None:
                return chosen
            traces = (await acall(list_traces.asyncio_detailed, client=self._api, **project)).traces
            return [trace.id for trace in within(traces)]

        return AsyncDetails(self._api, ids, order)


class _Base:
    """Everything of `Artanis` and `AsyncArtanis` that does not wait."""

    api: AuthenticatedClient
    """The generated client, for any generated function: `call(get_trace.sync_detailed, "…", client=client.api)`."""

    _http_class: type[Any]

    def __init__(
        self,
        *,
        api_key: str | KeyFunction | None = None,
        org_slug: str | None = None,
        base_url: str | None = None,
        project_slug: str | None = None,
        project_id: str | None = None,
        profile: str | None = None,
        timeout: float | Timeout | None = DEFAULT_TIMEOUT,
        max_retries: int = 2,
        max_connections: int = 16,
        allow_http: bool = False,
        httpx_args: Mapping[str, Any] | None = None,
    ) -> None:
        key = Secret(api_key) if isinstance(api_key, str) else api_key
        del api_key  # a traceback from below must not show it
        if not (key is None or isinstance(key, Secret) or callable(key)):
            kind = type(key).__name__
            del key
            raise TypeError(f"api_key must be text or a function that returns it, not {kind}.")
        if self._http_class is Http and inspect.iscoroutinefunction(key):
            raise TypeError("An async api_key function needs AsyncArtanis.")
        texts = {"org_slug": org_slug, "base_url": base_url, "project_slug": project_slug, "project_id": project_id}
        for name, text in {**texts, "profile": profile}.items():
            if not isinstance(text, str | None):
                raise TypeError(f"{name} must be text, not {type(text).__name__}.")
        self._credentials = load(api_key=key, texts=texts, profile=profile, allow_http=allow_http)
        self._http = self._http_class(self._credentials, timeout, max_retries, max_connections, dict(httpx_args or {}))
        self._bind()

    def _bind(self) -> None:
        """Make what leads to `_http`: at construction, so that threads never race for it."""
        self.api = _Api(base_url=self._credentials.base_url, token="", raise_on_unexpected_status=True)

    def with_options(
        self, *, timeout: float | Timeout | Unset | None = UNSET, max_retries: int | Unset = UNSET
    ) -> Self:
        """The same client with another timeout (seconds, per attempt) or number of retries.

        It shares the connections of this one and is closed with it; closing it does nothing.
        """
        view = copy.copy(self)
        view._http = self._http.view(
            self._http.timeout if isinstance(timeout, Unset) else timeout,
            self._http.max_retries if isinstance(max_retries, Unset) else max_retries,
        )
        view._bind()
        return view

    def __repr__(self) -> str:
        if "_credentials" not in vars(self):  # shown in a traceback of the constructor
            return f"<{type(self).__name__} without credentials>"
        credentials = self._credentials
        shown = {"base_url": credentials.base_url, "org_slug": credentials.org_slug, **credentials.project}
        fields = ", ".join(f"{name}={value!r}" for name, value in shown.items())
        return f"<{type(self).__name__} {fields}, key from {credentials.key.source}>"


class Artanis(_Base):
    """A client of the Artanis REST API. Use it as a context manager, or close it; threads may share it.

    What is not given comes from the environment or the configuration file.

        with Artanis() as client:
            for trace in client.traces.list(since="2026-04"):
                print(client.traces.get(trace.id).spans)

    Args:
        api_key: The key, or a function that returns it, which is asked at the first call and again after a 401.
        org_slug: The organization to read from.
        base_url: Where the API is, for a self-hosted deployment.
        project_slug, project_id: The project of list calls that name none; one of them.
        profile: The profile of the configuration file to use, alone.
        timeout: Seconds per attempt, an `httpx.Timeout`, or None for no limit. Default: 5 to connect, 60 for the rest.
        max_retries: How often to repeat what failed in passing; 0 for never.
        max_connections: Requests in flight at once. Further ones wait their turn, which no timeout limits.
        allow_http: Whether the key may go to an http:// host that is not this machine.
        httpx_args: Further arguments of httpx's client: verify, cert, proxy, mounts, transport, http2, limits,
            event_hooks, trust_env, headers.

    Raises:
        CredentialsError: Key, organization, base URL or configuration is missing, malformed or unsafe.
        TypeError, ValueError: An argument is wrong.
    """

    prompts: Prompts
    """`list` and `get` of prompts."""
    traces: Traces
    """`list`, `get` and `iter` of traces."""
    _http: Http
    _http_class = Http

    def _bind(self) -> None:
        super()._bind()
        self.api.set_httpx_client(self._http)
        self.prompts = Prompts(self.api, self._credentials)
        self.traces = Traces(self.api, self._credentials)

    def close(self) -> None:
        """Close the connections. Calls after this are an ArtanisError; closing again does nothing."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class AsyncArtanis(_Base):
    """Like `Artanis`, with `await`; `api_key` may be an async function. Tasks may share it, and event loops in turn."""

    prompts: AsyncPrompts
    """`list` and `get` of prompts."""
    traces: AsyncTraces
    """`list`, `get` and `iter` of traces."""
    _http: AsyncHttp
    _http_class = AsyncHttp

    def _bind(self) -> None:
        super()._bind()
        self.api.set_async_httpx_client(self._http)
        self.prompts = AsyncPrompts(self.api, self._credentials)
        self.traces = AsyncTraces(self.api, self._credentials)

    async def aclose(self) -> None:
        """Like `Artanis.close`."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()


def period(since: date | str | None, until: date | str | None) -> Callable[[list[Trace]], list[Trace]]:
    """What chooses the traces that were created between the start of `since` and the end of `until`."""
    if since is None and until is None:
        return lambda traces: traces
    first = None if since is None else _bounds("since", since)[0]
    end = None if until is None else _bounds("until", until)[1]
    if first and end and first >= end:
        raise ValueError(f"since ({since}) is later than until ({until}).")
    return lambda traces: [
        trace for trace in traces if (not first or first <= trace.created_at) and (not end or trace.created_at < end)
    ]


def _bounds(name: str, value: date | str) -> tuple[datetime, datetime]:
    """The start of a period and of the next one; of a moment, itself and the next microsecond."""
    from dateutil.parser import isoparser
    from dateutil.relativedelta import relativedelta

    if isinstance(value, date) and not isinstance(value, datetime):
        value = value.isoformat()
    if isinstance(value, datetime):
        start, length = value, dict[str, Any](microseconds=1)
    elif isinstance(value, str):
        try:
            start, length = isoparser(sep="T").isoparse(value.replace(" ", "T", 1)), _length(value)
        except (ValueError, OverflowError):
            raise ValueError(f"{name} must be ISO 8601, such as 2026-04 or 2026-04-08T09:30Z, not {value!r}.") from None
    else:
        raise TypeError(f"{name} must be a datetime or ISO 8601 text, not {type(value).__name__}.")
    start = start if start.tzinfo else start.replace(tzinfo=UTC)
    try:
        return start, start + relativedelta(**length)
    except (ValueError, OverflowError):  # past the year 9999
        return start, datetime.max.replace(tzinfo=UTC)


def _length(text: str) -> dict[str, Any]:
    """How long the period is that an ISO 8601 text names, as arguments of relativedelta."""
    date, _, time = text.replace(" ", "T", 1).partition("T")
    if time:
        clock, _, fraction = re.split(r"[Zz+-]", time)[0].replace(",", ".").partition(".")
        if fraction:
            return {"microseconds": 10 ** max(0, 6 - len(fraction))}
        return {{2: "hours", 4: "minutes"}.get(len(clock.replace(":", "")), "seconds"): 1}
    if re.fullmatch(r"\d{4}", date):
        return {"years": 1}
    if re.fullmatch(r"\d{4}-\d{2}", date):
        return {"months": 1}
    return {"weeks" if re.fullmatch(r"\d{4}-?W\d{2}", date) else "days": 1}


def _ids_alone(trace_ids: Iterable[str], *others: object) -> list[str]:
    """Ids that the caller chose, beside which there is no project and no period to choose by."""
    if any(other is not None for other in others):
        raise ValueError("With trace_ids there is no project_slug, project_id, since or until.")
    if isinstance(trace_ids, str):
        raise TypeError("trace_ids must be several ids, not one text.")
    return [_id(trace_id) for trace_id in trace_ids]


def _id(value: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"An id is text, as a list returns it, not {type(value).__name__}.")
    return value

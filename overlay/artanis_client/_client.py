"""`Artanis`, `AsyncArtanis` and their resources: the calls that most programs need, by name."""

from __future__ import annotations

import builtins
import copy
import inspect
from collections.abc import AsyncGenerator, Generator, Iterable, Mapping
from contextlib import contextmanager
from datetime import date
from typing import TYPE_CHECKING, Any, Literal, Self
from uuid import UUID

from artanis_api import AuthenticatedClient
from artanis_api.api.prompts import get_prompt, list_prompts
from artanis_api.api.traces import get_trace, list_traces
from artanis_api.models import Prompt, PromptHistory, Trace, TraceDetail

from ._arguments import check_id, check_text
from ._call import acall, call
from ._credentials import Credentials, KeyFunction, choose_project, load
from ._errors import NotFoundError
from ._http import AsyncHttp, Http
from ._httpx import DEFAULT_TIMEOUT, httpx
from ._periods import Filter, filter_by_period
from ._progress import OnProgress
from ._secret import Secret
from ._unset import UNSET, Unset

if TYPE_CHECKING:
    import ssl


class _Api(AuthenticatedClient):
    """The generated client on our HTTP layer.

    Disables the generated `with_*` methods, which mutate the original, and lazily created clients, which would send no
    credentials.
    """

    def get_httpx_client(self) -> Any:
        if self._client is None:
            raise TypeError("AsyncArtanis cannot run sync functions. Use Artanis, or the asyncio variant.")
        return self._client

    def get_async_httpx_client(self) -> Any:
        if self._async_client is None:
            raise TypeError("Artanis cannot run asyncio functions. Use AsyncArtanis, or the sync variant.")
        return self._async_client

    def __repr__(self) -> str:
        return f"<generated client of {self._base_url}>"

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise TypeError("Use client.with_options(timeout=…, max_retries=…).api instead.")

    with_headers = _refuse
    with_cookies = _refuse
    with_timeout = _refuse


class _Resource:
    """Calls on one kind of object."""

    def __init__(self, api: AuthenticatedClient, credentials: Credentials) -> None:
        self._api = api
        self._credentials = credentials

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._credentials.org_slug!r} at {self._credentials.base_url}>"

    def _project(self, project_slug: str | None, project_id: str | UUID | None) -> Mapping[str, str]:
        slug, id_ = check_text("project_slug", project_slug), check_text("project_id", project_id, or_uuid=True)
        project = choose_project(slug, id_, "in the call") or self._credentials.project
        if not project:
            advice = self._credentials.project_advice
            raise ValueError(f"No project. Pass project_slug or project_id, here or to the client, or {advice}.")
        return project


@contextmanager
def _naming_the_call_for_steps() -> Generator[None]:
    """Add to a 404 how to get a prompt by its step, which people pass in place of an id."""
    try:
        yield
    except NotFoundError as error:
        error.args = (f"{error} prompts.get() takes the id of a prompt; PromptCache(client).get() takes a step.",)
        raise


class Prompts(_Resource):
    """The prompts of a project (https://docs.artanis.ai/rest-api/prompts)."""

    def list(self, *, project_slug: str | None = None, project_id: str | UUID | None = None) -> list[Prompt]:
        """Return the active version of every prompt, one per pipeline step.

        Args:
            project_slug, project_id: The project, if not the client's.

        Raises:
            ValueError: If no project is set, or if both project_slug and project_id are passed.
            ArtanisError: If the call failed; see `call`.
        """
        project = self._project(project_slug, project_id)
        return call(list_prompts.sync_detailed, client=self._api, **project).prompts

    def get(self, prompt_id: str | UUID) -> PromptHistory:
        """Return one prompt with every version of it, oldest first.

        Raises:
            NotFoundError: If it does not exist.
            ValueError, TypeError: If the id is invalid.
            ArtanisError: If the call failed in another way; see `call`.
        """
        with _naming_the_call_for_steps():
            return call(get_prompt.sync_detailed, check_id(prompt_id), client=self._api)


class AsyncPrompts(_Resource):
    """Like `Prompts`, with `await`."""

    async def list(self, *, project_slug: str | None = None, project_id: str | UUID | None = None) -> list[Prompt]:
        """Like `Prompts.list`."""
        project = self._project(project_slug, project_id)
        return (await acall(list_prompts.asyncio_detailed, client=self._api, **project)).prompts

    async def get(self, prompt_id: str | UUID) -> PromptHistory:
        """Like `Prompts.get`."""
        with _naming_the_call_for_steps():
            return await acall(get_prompt.asyncio_detailed, check_id(prompt_id), client=self._api)


class _TracesBase(_Resource):
    def _selection(
        self, trace_ids: Iterable[str | UUID] | None, project: tuple[Any, Any], since: Any, until: Any
    ) -> builtins.list[str] | tuple[Mapping[str, str], Filter]:
        """Return the ids that the caller chose, or else the project and the period to list."""
        if trace_ids is None:
            return self._project(*project), filter_by_period(since, until)
        if any(other is not None for other in (*project, since, until)):
            raise ValueError("trace_ids cannot be combined with project_slug, project_id, since or until.")
        if isinstance(trace_ids, str | UUID):
            raise TypeError("trace_ids must be an iterable of ids, not a single string or UUID.")
        return [check_id(trace_id) for trace_id in trace_ids]


def _unique_ids(traces: Iterable[Trace]) -> list[str]:
    """Return the ids of traces, without repetitions: what the server lists twice is read once."""
    return [*dict.fromkeys(trace.id for trace in traces)]


class Traces(_TracesBase):
    """The traces of a project, and what reviewers made of them (https://docs.artanis.ai/rest-api/traces)."""

    def list(
        self,
        *,
        project_slug: str | None = None,
        project_id: str | UUID | None = None,
        since: date | str | None = None,
        until: date | str | None = None,
    ) -> builtins.list[Trace]:
        """Return every trace, newest first, without spans.

        The API has neither paging nor filters, so all traces are transferred. `since` and `until` then filter by
        `createdAt` on the client.

        Args:
            project_slug, project_id: The project, if not the client's.
            since, until: A datetime, a date, or ISO 8601 text of any precision; in UTC unless it has an offset. A
                period means its start in `since` and its end in `until`: `until="2026-04"` includes all of April.

        Raises:
            ValueError, TypeError: If no project is set, if both project_slug and project_id are passed, or if a date is
                invalid.
            ArtanisError: If the call failed; see `call`.
        """
        project, select = self._project(project_slug, project_id), filter_by_period(since, until)
        return select(call(list_traces.sync_detailed, client=self._api, **project).traces)

    def ids(
        self,
        *,
        project_slug: str | None = None,
        project_id: str | UUID | None = None,
        since: date | str | None = None,
        until: date | str | None = None,
    ) -> builtins.list[str]:
        """Return the ids of the traces that `list` returns, in little memory. Needs the extra `stream`.

        The list is parsed as it arrives, and only the ids are kept: 100 bytes for each, where `list` takes 1.6 KiB.

        Args:
            project_slug, project_id, since, until: As for `list`.

        Raises:
            ValueError, TypeError, ArtanisError: As for `list`.
            ImportError: If ijson is not installed.
        """
        from .bulk._id_list import list_ids

        return list_ids(self._api, self._project(project_slug, project_id), filter_by_period(since, until))

    def get(self, trace_id: str | UUID) -> TraceDetail:
        """Return one trace with its spans and feedback.

        Raises:
            NotFoundError: If it does not exist.
            ValueError, TypeError: If the id is invalid.
            ArtanisError: If the call failed in another way; see `call`.
        """
        return call(get_trace.sync_detailed, check_id(trace_id), client=self._api)

    def iter(
        self,
        *,
        project_slug: str | None = None,
        project_id: str | UUID | None = None,
        since: date | str | None = None,
        until: date | str | None = None,
        trace_ids: Iterable[str | UUID] | None = None,
        concurrency: int = 16,
        on_error: Literal["raise", "skip"] = "raise",
        on_progress: OnProgress | None = None,
    ) -> Generator[TraceDetail]:
        """Yield every trace with its spans and feedback, newest first, reading several at once.

            for trace in client.traces.iter(since="2026-04"):
                print(trace.spans)

        The traces are listed once, when the loop begins. When the loop ends, for any reason, pending requests are
        cancelled. If you keep the generator after leaving the loop, close it with `close()`.

        Args:
            project_slug, project_id, since, until: As for `list`.
            trace_ids: Read these traces, in this order, instead of listing a project.
            concurrency: How many requests may be in flight, each in its own thread; at most the client's
                `max_connections`. Up to twice as many traces are held in memory, and while one waits for a retry, up to
                1,000 (16 MiB).
            on_error: "skip" skips a trace that does not exist, such as one deleted after listing (`NotFoundError`), or
                that does not match the contract (`APIResponseValidationError`), and logs a warning. All other errors
                are raised, because they usually affect every trace.
            on_progress: A function that is called for each trace before it is yielded or skipped, by the thread that
                runs the loop, and each second while the server makes the loop wait (`Progress.waiting`). If it raises,
                the loop ends.

        Raises:
            ValueError, TypeError: If an argument is invalid. Raised by `iter()` itself.
            ArtanisError: In the loop, if listing or reading fails; see `call`.
        """
        from .bulk import Window, details

        window = Window(concurrency, on_error, on_progress)
        selection = self._selection(trace_ids, (project_slug, project_id), since, until)

        def ids() -> builtins.list[str]:
            if isinstance(selection, builtins.list):
                return selection
            project, select = selection
            return _unique_ids(select(call(list_traces.sync_detailed, client=self._api, **project).traces))

        return details(self._api, ids, window)


class AsyncTraces(_TracesBase):
    """Like `Traces`, with `await`."""

    async def list(
        self,
        *,
        project_slug: str | None = None,
        project_id: str | UUID | None = None,
        since: date | str | None = None,
        until: date | str | None = None,
    ) -> builtins.list[Trace]:
        """Like `Traces.list`."""
        project, select = self._project(project_slug, project_id), filter_by_period(since, until)
        return select((await acall(list_traces.asyncio_detailed, client=self._api, **project)).traces)

    async def ids(
        self,
        *,
        project_slug: str | None = None,
        project_id: str | UUID | None = None,
        since: date | str | None = None,
        until: date | str | None = None,
    ) -> builtins.list[str]:
        """Like `Traces.ids`."""
        from .bulk._id_list import alist_ids

        return await alist_ids(self._api, self._project(project_slug, project_id), filter_by_period(since, until))

    async def get(self, trace_id: str | UUID) -> TraceDetail:
        """Like `Traces.get`."""
        return await acall(get_trace.asyncio_detailed, check_id(trace_id), client=self._api)

    def iter(
        self,
        *,
        project_slug: str | None = None,
        project_id: str | UUID | None = None,
        since: date | str | None = None,
        until: date | str | None = None,
        trace_ids: Iterable[str | UUID] | None = None,
        concurrency: int = 16,
        on_error: Literal["raise", "skip"] = "raise",
        on_progress: OnProgress | None = None,
    ) -> AsyncGenerator[TraceDetail, None]:
        """Like `Traces.iter`, for `async for`, with tasks instead of threads.

        `on_progress` is a plain function, called by the task that runs the loop. If `anext()` is cancelled, nothing is
        lost: the next call continues. If you keep the iterator after leaving the loop, close it with `aclose()`.
        """
        from .bulk import AsyncDetails, Window

        window = Window(concurrency, on_error, on_progress)
        selection = self._selection(trace_ids, (project_slug, project_id), since, until)

        async def ids() -> builtins.list[str]:
            if isinstance(selection, builtins.list):
                return selection
            project, select = selection
            traces = (await acall(list_traces.asyncio_detailed, client=self._api, **project)).traces
            return _unique_ids(select(traces))

        return AsyncDetails(self._api, ids, window)


class _ClientBase:
    """Shared by `Artanis` and `AsyncArtanis`: everything that does no I/O."""

    api: AuthenticatedClient
    """The generated client, for any generated function: `call(get_trace.sync_detailed, "…", client=client.api)`."""

    _http_class: type[Any]
    _is_view = False

    def __init__(
        self,
        *,
        api_key: str | KeyFunction | None = None,
        org_slug: str | None = None,
        base_url: str | None = None,
        project_slug: str | None = None,
        project_id: str | UUID | None = None,
        profile: str | None = None,
        timeout: float | httpx.Timeout | None = DEFAULT_TIMEOUT,
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
            raise TypeError(f"api_key must be a string or a function that returns one, not {kind}.")
        if isinstance(self, Artanis) and inspect.iscoroutinefunction(key):
            raise TypeError("An async api_key function needs AsyncArtanis.")
        project_id = check_text("project_id", project_id, or_uuid=True)
        texts = {"org_slug": org_slug, "base_url": base_url, "project_slug": project_slug, "project_id": project_id}
        for name, text in {**texts, "profile": profile}.items():
            check_text(name, text)
        self._credentials = load(api_key=key, texts=texts, profile=profile, allow_http=allow_http)
        self._http = self._http_class.create(
            self._credentials,
            timeout=timeout,
            max_retries=max_retries,
            max_connections=max_connections,
            httpx_args=dict(httpx_args or {}),
        )
        self._bind()

    def _bind(self) -> None:
        """Create everything that depends on `_http` eagerly, so that threads cannot race to create it."""
        self.api = _Api(base_url=self._credentials.base_url, token="", raise_on_unexpected_status=True)

    def with_options(
        self, *, timeout: float | httpx.Timeout | Unset | None = UNSET, max_retries: int | Unset = UNSET
    ) -> Self:
        """Return the same client with another timeout (as for `Artanis`) or number of retries.

        It shares the connections of this client and is closed with it. Closing it does nothing.
        """
        view = copy.copy(self)
        view._is_view = True
        given = {"timeout": timeout, "max_retries": max_retries}
        view._http = self._http.view(**{name: value for name, value in given.items() if value is not UNSET})
        view._bind()
        return view

    @property
    def scope(self) -> dict[str, str]:
        """What the client reads: `base_url`, `org_slug`, and its `project_slug` or `project_id` if it has one."""
        credentials = self._credentials
        return {"base_url": credentials.base_url, "org_slug": credentials.org_slug, **credentials.project}

    def __repr__(self) -> str:
        if "_credentials" not in vars(self):  # shown in a traceback of the constructor
            return f"<{type(self).__name__} without credentials>"
        fields = ", ".join(f"{name}={value!r}" for name, value in self.scope.items())
        return f"<{type(self).__name__} {fields}, key from {self._credentials.key.source}>"


class Artanis(_ClientBase):
    """A client of the Artanis REST API. Use it as a context manager, or close it. Thread-safe.

    What you do not pass comes from the environment or the configuration file.

        with Artanis() as client:
            for trace in client.traces.list(since="2026-04"):
                print(client.traces.get(trace.id).spans)

    Args:
        api_key: The key, or a function that returns it. The function is called before the first request, and again
            after a 401. What it raises is raised by the call; after a 401, the 401 is raised, with a note about it. It
            must not call this client, which would wait for the key.
        org_slug: The organization to read from.
        base_url: Where the API is, for a self-hosted deployment.
        project_slug, project_id: The default project of list calls; one of the two.
        profile: Use only this profile of the configuration file.
        timeout: Seconds, an `httpx.Timeout`, or None for no timeout. It limits each phase of an attempt: connecting,
            each write, and each wait for more of the response. Default: 5 to connect, 60 for the rest.
        max_retries: How often to retry transient failures; 0 for never. Unless it is 0, the client also slows down if
            the server refuses requests (429, or 503 with `Retry-After`).
        max_connections: Maximum number of requests in flight. The rest queue, without a timeout: an event hook must
            not call the client, because it would wait for a request that waits for the hook.
        allow_http: Allow plain http:// to hosts other than this machine. The key is then sent unencrypted.
        httpx_args: Further arguments of the httpx client: verify, cert, proxy, mounts, transport, http2, limits,
            event_hooks, trust_env, headers. `verify` and `cert` may be paths.

    Raises:
        CredentialsError: If the key, organization, base URL or configuration is missing, malformed or unsafe; or if a
            proxy, a certificate or a package that httpx needs cannot be used.
        TypeError, ValueError: If an argument is invalid.
    """

    prompts: Prompts
    """`list` and `get` prompts."""
    traces: Traces
    """`list`, `get` and `iter` traces."""
    _http: Http
    _http_class = Http

    def _bind(self) -> None:
        super()._bind()
        self.api.set_httpx_client(self._http)
        self.prompts = Prompts(self.api, self._credentials)
        self.traces = Traces(self.api, self._credentials)

    def close(self) -> None:
        """Close the connections. Later calls raise ArtanisError; closing again does nothing."""
        if not self._is_view:
            self._http.connections.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class AsyncArtanis(_ClientBase):
    """Like `Artanis`, with `await`. `api_key` may be an async function. Tasks may share it, and event loops in turn."""

    prompts: AsyncPrompts
    """`list` and `get` prompts."""
    traces: AsyncTraces
    """`list`, `get` and `iter` traces."""
    _http: AsyncHttp
    _http_class = AsyncHttp

    def _bind(self) -> None:
        super()._bind()
        self.api.set_async_httpx_client(self._http)
        self.prompts = AsyncPrompts(self.api, self._credentials)
        self.traces = AsyncTraces(self.api, self._credentials)

    async def aclose(self) -> None:
        """Like `Artanis.close`."""
        if not self._is_view:
            await self._http.connections.aclose()

    close = aclose

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()


def project_of(
    client: Artanis | AsyncArtanis, project_slug: str | None = None, project_id: str | UUID | None = None
) -> Mapping[str, str]:
    """Return the project of a call, else the client's, as a keyword argument of the list functions; else ValueError."""
    return client.prompts._project(project_slug, project_id)


def credentials_of(client: Artanis | AsyncArtanis) -> Credentials:
    """Return the credentials of a client, for the optional parts of this package."""
    return client._credentials


def tls_context_of(client: Artanis | AsyncArtanis) -> ssl.SSLContext:
    """Return the TLS context of a client's connections."""
    context: ssl.SSLContext = client._http.connections.settings.connection_arguments["verify"]
    return context

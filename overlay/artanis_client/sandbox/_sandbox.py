"""The class `Sandbox`: the data, the application and the server together."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Self, TypedDict

from artanis_api import models

from ._app import API_KEY, Behaviour, RecordedRequest, SandboxApp, check_range
from ._data import Project, make_projects
from ._drift import find_drifts
from ._given import to_json
from ._server import Server
from ._times import parse_time

Given = Mapping[str, Any]
"""An object as the API writes it; missing fields are filled in."""


class Credentials(TypedDict):
    """Keyword arguments for a client of a sandbox: `Artanis(**sandbox.credentials)`."""

    api_key: str
    org_slug: str
    base_url: str
    project_slug: str


class Sandbox(Behaviour):
    """The Artanis API on 127.0.0.1, served by a background thread during the `with` block.

    The data depends only on the arguments; made-up traces are from the eight weeks before `now`. `api_key` is valid for
    both organizations; `other_org_slug` gets 403 for the data of `org_slug`. `project_slug` and `project_id` name the
    project that has your data, or the most made-up data.

    Any thread may change the data, and set `latency`, `fault_rate`, `rate_limit` and `status`, before and during the
    block; the next request sees the change, and `reset` undoes it. Changes are dated one minute after another, the
    first one minute after `now`, so the same changes in the same order result in the same data. A change takes
    milliseconds, even with 50,000 traces. An unknown id raises `KeyError`.
    """

    def __init__(
        self,
        *,
        prompts: Mapping[str, str] | Iterable[models.Prompt | models.PromptHistory | Given] | None = None,
        traces: int | Iterable[models.TraceDetail | Given] = 60,
        seed: int = 0,
        now: datetime | str | None = None,
        latency: float = 0.0,
        fault_rate: float = 0.0,
        rate_limit: float | None = None,
        drift: Iterable[str] = (),
        port: int = 0,
    ) -> None:
        """Make the data. The server starts with the `with` block, which can be entered once.

        Args:
            prompts: Your prompts, instead of the made-up ones: texts by step, or a list of prompts as models or dicts
                in the API's shape, with or without `versions`.
            traces: Number of traces to make up, or your traces as models or dicts in the API's shape. Made-up traces
                have a span for each step of `prompts`. 50,000 traces take about a second to make.
            seed: Selects the data and the faults.
            now: The time at which the data ends, as a `datetime` or ISO 8601 text (`2026-04-30T18:00Z`), so that the
                data is the same every day. By default the present time.
            latency: Seconds to wait before each response.
            fault_rate: Share of requests, from 0 to 1, that fail: with 429 and `Retry-After`, with 503, or with half a
                response and a closed connection.
            rate_limit: Requests that are accepted per second; more get 429 with `Retry-After`.
            drift: Ways to deviate from openapi.yaml; `DRIFTS` has their names and descriptions.
            port: Port to listen on; 0 selects a free one. If the port is in use, entering the block raises `OSError`.

        In prompts, traces, spans and feedback you may leave out what your test does not need, such as ids, times and
        `metadata`. A span without `id` and `promptVersionId` gets the active version of its step.

        Raises:
            ValueError: If a number is out of range, `now` is not a time, a drift is unknown, or a prompt or trace does
                not fit the contract. The message has the path: `traces[0].spans[2].stepId is missing`.

        """
        super().__init__(latency, fault_rate, rate_limit)
        if isinstance(traces, int):
            check_range("traces", traces, 0, 10_000_000)
        check_range("port", port, 0, 65535)
        drifts = find_drifts(drift)
        moment = datetime.now(UTC) if now is None else parse_time("now", now)
        check_range("the year of now", moment.year, 2, 9998)  # data is older, and changes are newer
        projects = make_projects(traces=traces, seed=seed, now=moment, prompts=prompts)
        project, other = projects[0], projects[-1]
        self._app = SandboxApp(projects, self, seed=seed, drifts=drifts)
        self._server = Server(self._app)
        self._entered = False
        self._initial = {"latency": latency, "fault_rate": fault_rate, "rate_limit": rate_limit, "status": None}
        self._lock = threading.Lock()
        self._port = port
        self.api_key = API_KEY
        self.org_slug = project.org
        self.project_slug = project.slug
        self.project_id = project.id
        self.other_org_slug = other.org

    @classmethod
    def from_files(cls, directory: str | os.PathLike[str], **options: Any) -> Self:
        """Make a sandbox of recorded data, so that a team can test against its own prompts and traces.

        Args:
            directory: Has what `artanis prompts pull` wrote, in itself or in its folder `prompts`, and files `*.jsonl`
                that `artanis traces export` wrote in the format `jsonl`. One of the two is enough. A pull has only the
                active version of each prompt, and an export no parents of spans. If several exports have a span, the
                last file in the order of their names counts.
            options: Other arguments of `Sandbox`. `prompts` and `traces` replace what was recorded.

        Raises:
            ValueError: If a file is not what it should be. The message has its name and the line.
            OSError: If a file is missing or cannot be read.
        """
        from ._recorded import read_directory

        return cls(**{**read_directory(directory), **options})

    def __repr__(self) -> str:
        if not self._entered:
            return "<Sandbox, not started>"
        return f"<Sandbox at {self.base_url}>" if self._server.is_running else "<Sandbox, stopped>"

    def __enter__(self) -> Self:
        """Start the server in a new thread."""
        if self._entered:
            raise RuntimeError("A sandbox runs only once. Create another one.")
        self._port = self._server.start(self._port)
        self._entered = True
        return self

    def __exit__(self, *_: object) -> None:
        """Stop listening, close all connections and wait for the thread to end."""
        self._server.stop()

    @property
    def base_url(self) -> str:
        """URL of the server, valid once the `with` block has been entered."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def credentials(self) -> Credentials:
        """Keyword arguments for a client: `Artanis(**sandbox.credentials)`."""
        return {
            "api_key": self.api_key,
            "org_slug": self.org_slug,
            "base_url": self.base_url,
            "project_slug": self.project_slug,
        }

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables for a client without arguments."""
        return {f"ARTANIS_{name.upper()}": str(value) for name, value in self.credentials.items()}

    @property
    def request_count(self) -> int:
        """Number of requests received."""
        return self._app.request_count

    @property
    def requests(self) -> list[RecordedRequest]:
        """The last 10,000 requests answered, oldest first: named tuples of method, path, status and seconds."""
        return list(self._app.requests)

    def reset(self) -> None:
        """Go back to the data and the behaviour that the constructor made, and forget all requests."""
        with self._lock:
            for project in self._app.projects:
                project.reset()
            for name, value in self._initial.items():
                setattr(self, name, value)
            self._app.reset()

    def add_prompt(self, step_id: str, content: str) -> str:
        """Add a prompt for a new step to the project `project_slug`, and return its id.

        Raises:
            ValueError: If the step has a prompt already.
        """
        with self._lock:
            return self._app.projects[0].add_prompt(step_id, content)

    def add_trace(
        self, *, spans: Iterable[models.Span | Given] | None = None, created_at: datetime | str | None = None
    ) -> str:
        """Add a trace to the project `project_slug`, and return its id.

        Without arguments it is a made-up one, completed and unreviewed, that ran with the prompt versions that are
        active now.

        Args:
            spans: Spans as models or dicts in the API's shape. Each needs `stepId`, `input` and `output`; the first one
                becomes the parent of those without `parentSpanId`.
            created_at: When the run started, as a `datetime` or ISO 8601 text; by default, after everything else.

        Raises:
            ValueError: If a span does not fit the contract, or `created_at` is not a time.
            TypeError: If there is `created_at` without `spans`.
        """
        if created_at is not None and spans is None:
            raise TypeError("created_at needs spans: a made-up trace is always the newest.")
        created = None if created_at is None else parse_time("created_at", created_at)
        with self._lock:
            return self._app.projects[0].add_trace(spans, created)

    def delete_trace(self, trace_id: str, *, listed: bool = False) -> None:
        """Delete a trace; with `listed`, the list still shows it."""
        with self._project_of("traces", trace_id) as project:
            project.delete_trace(trace_id, listed=listed)

    def review(self, trace_id: str, *, step: str | None = None, comment: str | None = None) -> None:
        """Approve the right output of each unreviewed span of a trace.

        As in Artanis, this does not change the `updatedAt` of the trace. The root of a failed run stays unreviewed,
        because its right output is unknown.

        Args:
            trace_id: Id of the trace.
            step: Review only this step, such as `classify`.
            comment: Feedback to add to the span of `step`, or to the root without a step.

        Raises:
            KeyError: If the trace or its step does not exist.
            ValueError: If the right outputs are unknown because the trace is not a made-up one. Use `review_span`.

        """
        with self._project_of("traces", trace_id) as project:
            project.review(trace_id, step, comment)

    def review_span(self, span_id: str, *, approved_output: Any, comment: str | None = None) -> None:
        """Set the approved output of a span, in any project, and comment on it.

        Args:
            span_id: Id of the span. Added and changed traces are searched first; in thousands of others, it takes
                longer.
            approved_output: JSON: equal to the output of the span to accept it, anything else to correct it, None to
                withdraw a review.
            comment: Feedback to add to the span.

        Raises:
            KeyError: If there is no such span.
            ValueError: If the output cannot be written as JSON.
        """
        approved = to_json("approved_output", approved_output)
        with self._lock:
            for project in self._app.projects:
                if (trace := project.find_trace(span_id)) is not None:
                    return project.review_span(trace, span_id, approved, comment)
            raise KeyError(f"the sandbox has no span {span_id!r}")

    def add_version(self, prompt_id: str, content: str) -> str:
        """Add a version to a prompt, make it the active one, and return its id."""
        with self._project_of("prompts", prompt_id) as project:
            return project.add_version(prompt_id, content)

    def activate_version(self, prompt_id: str, version_id: str) -> None:
        """Make a version of a prompt the active one; this changes the `updatedAt` of the prompt."""
        with self._project_of("prompts", prompt_id) as project:
            project.activate_version(prompt_id, version_id)

    def remove_prompt(self, prompt_id: str) -> None:
        """Delete a prompt and its versions; spans keep the ids of the versions."""
        with self._project_of("prompts", prompt_id) as project:
            project.remove_prompt(prompt_id)

    @contextlib.contextmanager
    def _project_of(self, resource: str, resource_id: str) -> Generator[Project]:
        """Yield the project that has this object, and hold off other changes meanwhile."""
        with self._lock:
            for project in self._app.projects:
                if project.detail(resource, resource_id) is not None:
                    yield project
                    return
            raise KeyError(f"the sandbox has no {resource_id!r} among its {resource}")


def serve(
    on_start: Callable[[Sandbox], object], on_request: Callable[[str], object] | None = None, **options: Any
) -> None:
    """Run a sandbox until SIGINT or SIGTERM.

    Calls `on_start` once it listens, and `on_request` with a line about each request.
    """
    # Python handles only SIGINT this way, and not even that in a background job of a shell.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt):
        sandbox = Sandbox(**options)
        if on_request is not None:
            sandbox._app.on_request = lambda request: on_request(str(request))
        with sandbox:
            on_start(sandbox)
            while True:
                time.sleep(3600)

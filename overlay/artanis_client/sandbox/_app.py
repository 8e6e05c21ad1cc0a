"""The API as an ASGI application: authentication, the six operations, and simulated faults."""

import asyncio
import contextlib
import http.client
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from email.utils import formatdate
from typing import Any, NamedTuple
from urllib.parse import quote

import attrs
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .. import _clock
from ._data import LIST_KEYS, Project, encode
from ._drift import Drift, apply_drifts
from ._random import KeyedRandom

API_KEY = "sandbox-key"

ERRORS = {
    400: "projectSlug or projectId is required",
    401: "Not authenticated",
    403: "Forbidden",
    404: "Not found",
    405: "Method not allowed",
    429: "Too many requests",
    503: "Service unavailable",
}


def check_range(name: str, value: float, low: float, high: float) -> None:
    """Raise ValueError if a number is out of range."""
    if not low <= value <= high:
        raise ValueError(f"{name} must be from {low} to {high}, not {value}")


def _in_range(low: float, high: float) -> Any:
    """Return a validator for attrs, which runs it whenever the attribute is set."""

    def check(_: object, attribute: Any, value: Any) -> None:
        check_range(attribute.name, value, low, high)

    return check


@attrs.define(eq=False)
class Behaviour:
    """How a sandbox responds. A change takes effect with the next request."""

    latency: float = attrs.field(validator=_in_range(0, 3600))
    """Seconds to wait before each response."""
    fault_rate: float = attrs.field(validator=_in_range(0, 1))
    """Share of requests that fail, from 0 to 1."""
    rate_limit: float | None = attrs.field(default=None, validator=attrs.validators.optional(_in_range(1, 1_000_000)))
    """Requests that are accepted per second; more get 429 with `Retry-After`. None, the default, means no limit."""
    status: int | None = attrs.field(default=None, validator=attrs.validators.optional(_in_range(400, 599)))
    """Status of every response, from 400 to 599; None, the default, responds normally."""


class RecordedRequest(NamedTuple):
    """A request that the sandbox has answered."""

    method: str
    path: str
    """Without the query."""
    status: int
    seconds: float
    """From the arrival of the request to the start of the response."""

    def __str__(self) -> str:
        return f"{self.method} {quote(self.path)} {self.status} {1000 * self.seconds:.0f} ms"


class SandboxApp:
    """Responds like the API. It compares the key that it receives, and never stores, logs or returns it."""

    def __init__(
        self, projects: Sequence[Project], behaviour: Behaviour, *, seed: int, drifts: Iterable[Drift]
    ) -> None:
        self.requests: deque[RecordedRequest] = deque(maxlen=10_000)
        self.request_count = 0
        self.on_request: Callable[[RecordedRequest], object] = lambda _: None
        self._accepted: deque[float] = deque()  # times of the requests of the last second, if there is a rate limit
        self.closing = asyncio.Event()  # once it is set, requests no longer wait for the latency
        self.projects = projects
        self._behaviour = behaviour
        self._random = KeyedRandom(seed)
        self._drifts = drifts
        self._api = Starlette(
            routes=[
                Route("/api/{resource}", self._list, methods=["GET"]),
                Route("/api/{resource}/{resource_id}", self._detail, methods=["GET"]),
            ],
            exception_handlers={HTTPException: self._error},
        )
        self._api.router.redirect_slashes = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Record a request, wait, and respond or simulate a fault."""
        number = self.request_count
        self.request_count += 1
        started = time.perf_counter()

        async def record_and_send(message: Message) -> None:
            # Before the client has the response, so that a test that has it finds the request.
            if message["type"] == "http.response.start":
                seconds = time.perf_counter() - started
                request = RecordedRequest(scope["method"], scope["path"], message["status"], seconds)
                self.requests.append(request)
                self.on_request(request)
                message = {**message, "headers": [*message["headers"], (b"date", formatdate(usegmt=True).encode())]}
            await send(message)

        if latency := self._behaviour.latency:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(latency):
                    await self.closing.wait()
        respond: ASGIApp = self._api
        if (status := self._behaviour.status) is not None:
            respond = _error_response(status)
        elif self._exceeds_rate_limit():
            respond = _error_response(429, {"retry-after": "1"})
        elif self._random.number("fault", number) < self._behaviour.fault_rate:
            faults: tuple[ASGIApp, ...] = (
                _error_response(429, {"retry-after": "1"}),
                _error_response(503),
                self._cut_off,
            )
            respond = self._random.choice(faults, "kind of fault", number)
        await respond(scope, receive, record_and_send)

    def reset(self) -> None:
        """Forget all requests."""
        self.requests.clear()
        self._accepted = deque()  # a new one: the thread of the server may be reading the old one
        self.request_count = 0

    def _exceeds_rate_limit(self) -> bool:
        """Return whether the last second has as many requests as the limit allows. If not, this is one of them."""
        if (limit := self._behaviour.rate_limit) is None:
            return False
        now, accepted = _clock.monotonic(), self._accepted
        while accepted and accepted[0] <= now - 1:
            accepted.popleft()
        if len(accepted) >= limit:
            return True
        accepted.append(now)
        return False

    async def _cut_off(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the headers and half of the body, then close the connection."""

        async def send_half(message: Message) -> None:
            if message["type"] == "http.response.body":
                body = message["body"]
                message = {**message, "body": body[: len(body) // 2], "more_body": True}
            await send(message)

        await self._api(scope, receive, send_half)
        scope["state"]["transport"].close()
        # If this returned while the connection is open, uvicorn would log an error of the application.
        while (await receive())["type"] != "http.disconnect":
            pass

    async def _list(self, request: Request) -> Response:
        org, resource = self._authenticate(request)
        slug, project_id = (request.query_params.get(name) for name in ("projectSlug", "projectId"))
        if not (slug or project_id):
            raise HTTPException(400)
        for project in self.projects:
            if project.slug == slug if slug else project.id == project_id:
                return self._success(request, org, project, project.list_body(resource))
        raise HTTPException(404)

    async def _detail(self, request: Request) -> Response:
        org, resource = self._authenticate(request)
        for project in self.projects:
            detail = project.detail(resource, request.path_params["resource_id"])
            if detail is not None:
                return self._success(request, org, project, encode(detail))
        raise HTTPException(404)

    def _authenticate(self, request: Request) -> tuple[str, str]:
        """Check key and organization, and return the organization and the requested resource."""
        if request.headers.get("x-api-key") != API_KEY:
            raise HTTPException(401)
        org = request.headers.get("x-org-slug")
        if org not in {project.org for project in self.projects}:
            raise HTTPException(403)
        resource = request.path_params["resource"]
        if resource not in LIST_KEYS:
            raise HTTPException(404)
        return org, resource

    def _success(self, request: Request, org: str, project: Project, body: bytes) -> Response:
        if project.org != org:
            raise HTTPException(403)
        return self._drifted(request, Response(body, media_type="application/json"))

    async def _error(self, request: Request, error: Any) -> Response:
        return self._drifted(request, _error_response(error.status_code, error.headers))

    def _drifted(self, request: Request, response: Response) -> Response:
        path = f"/api/{request.path_params.get('resource')}"
        if "resource_id" in request.path_params:
            path += "/{id}"
        return apply_drifts(self._drifts, path, response)


def _error_response(status: int, headers: Mapping[str, str] | None = None) -> Response:
    message = ERRORS.get(status) or http.client.responses.get(status, "Unknown error")
    return JSONResponse({"error": message}, status, headers)

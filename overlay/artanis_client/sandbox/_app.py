"""The API itself, as an ASGI application: authentication, the six operations, and what is to go wrong."""

import asyncio
import contextlib
import http.client
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ._data import Project, encode, pick, roll
from ._drift import Drift, apply

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


class SandboxApp:
    """Answers like the API. The received key is compared and otherwise left alone: never kept, logged or sent back."""

    def __init__(
        self, projects: Sequence[Project], *, seed: int, latency: float, fault_rate: float, drifts: Iterable[Drift]
    ) -> None:
        """Serve these projects; `latency` is in seconds, `fault_rate` between 0 and 1."""
        self.requests: deque[tuple[str, str]] = deque(maxlen=10_000)
        self.request_count = 0
        self.closing = asyncio.Event()  # Once set, nothing waits for the latency any longer.
        self.projects = projects
        self.latency = latency
        self.fault_rate = fault_rate
        self.status: int | None = None
        self._seed = seed
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
        """Serve one request: record it, wait, and answer it or do something worse."""
        number = self.request_count
        self.request_count += 1
        self.requests.append((scope["method"], scope["path"]))
        if latency := self.latency:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(latency):
                    await self.closing.wait()
        answer: ASGIApp = self._api
        if (status := self.status) is not None:
            answer = _failure(status)
        elif roll(self._seed, "fault", number) < self.fault_rate:
            faults: tuple[ASGIApp, ...] = (_failure(429, {"retry-after": "1"}), _failure(503), self._cut)
            answer = pick(faults, self._seed, "kind of fault", number)
        await answer(scope, receive, send)

    async def _cut(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the headers and half of the body, then close the connection."""

        async def send_half(message: Message) -> None:
            if message["type"] == "http.response.body":
                body = message["body"]
                message = {**message, "body": body[: len(body) // 2], "more_body": True}
            await send(message)

        await self._api(scope, receive, send_half)
        scope["state"]["transport"].close()
        # Returning before the connection is gone would be logged as a bug of the application.
        while (await receive())["type"] != "http.disconnect":
            pass

    async def _list(self, request: Request) -> Response:
        org, resource = self._authenticate(request)
        slug, project_id = (request.query_params.get(name) for name in ("projectSlug", "projectId"))
        if not (slug or project_id):
            raise HTTPException(400)
        found = (project for project in self.projects if (project.slug == slug if slug else project.id == project_id))
        project = next(found, None)
        if project is None:
            raise HTTPException(404)
        if project.org != org:
            raise HTTPException(403)
        return self._drifted(request, Response(project.lists[resource], media_type="application/json"))

    async def _detail(self, request: Request) -> Response:
        org, resource = self._authenticate(request)
        for project in self.projects:
            detail = project.detail(resource, request.path_params["resource_id"])
            if detail is not None:
                if project.org != org:
                    raise HTTPException(403)
                return self._drifted(request, Response(encode(detail), media_type="application/json"))
        raise HTTPException(404)

    def _authenticate(self, request: Request) -> tuple[str, str]:
        """The organization and the kind of resource that a request is about, once it has shown that it may ask."""
        if request.headers.get("x-api-key") != API_KEY:
            raise HTTPException(401)
        org = request.headers.get("x-org-slug")
        if org not in {project.org for project in self.projects}:
            raise HTTPException(403)
        resource = request.path_params["resource"]
        if resource not in self.projects[0].lists:
            raise HTTPException(404)
        return org, resource

    async def _error(self, request: Request, error: Any) -> Response:
        return self._drifted(request, _failure(error.status_code, error.headers))

    def _drifted(self, request: Request, response: Response) -> Response:
        found = request.path_params
        path = f"/api/{found.get('resource')}" + ("/{id}" if "resource_id" in found else "")
        return apply(self._drifts, path, response)


def _failure(status: int, headers: Mapping[str, str] | None = None) -> Response:
    message = ERRORS.get(status) or http.client.responses.get(status, "Unknown error")
    return JSONResponse({"error": message}, status, headers)

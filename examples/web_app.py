"""A Starlette application whose prompts come from Artanis, and which survives an outage of Artanis.

    pip install artanis-client starlette uvicorn
    uvicorn web_app:app

Every request uses the active prompt from memory. New prompts arrive within a minute. While Artanis is down, the last
ones are served, also after a restart: they are in the snapshot. GET /health says so, so that somebody can be told.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from artanis_client import AsyncArtanis, AsyncPromptCache

SNAPSHOT = os.environ.get("PROMPT_SNAPSHOT", "prompts.json")
FALLBACK = {"classify": "Answer with one label: shipping, returns, billing, account or other."}


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    """Open the client and the cache when the application starts, and close them when it ends."""
    async with (
        AsyncArtanis(timeout=5) as client,
        AsyncPromptCache(client, ttl=60, snapshot=SNAPSHOT, fallback=FALLBACK) as cache,
    ):
        await cache.load()  # a wrong key or organization fails here, at the start
        app.state.prompts = cache
        yield


async def answer(request: Request) -> JSONResponse:
    """Answer a message with the active prompt. The call of a model would be here."""
    prompt = await request.app.state.prompts.get("classify")
    return JSONResponse({"prompt": prompt.content, "message": request.query_params.get("message", "")})


async def health(request: Request) -> JSONResponse:
    """Say where the prompt comes from (`api`, `stale`, `snapshot` or `fallback`), and its age in seconds."""
    prompts: AsyncPromptCache = request.app.state.prompts
    return JSONResponse({"source": prompts.source("classify"), "age": prompts.age("classify")})


app = Starlette(lifespan=lifespan, routes=[Route("/answer", answer), Route("/health", health)])

"""httpx on top of aiohttp, which takes much less of the processor for each request. Needs the extra `fast`.

httpx-aiohttp does the work. What is here makes it behave as the client does elsewhere: no cookies, no limit but the
slots, and every failure under a name of httpx that fits, where httpx-aiohttp calls most of them a timeout and some not
at all.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Generator
from ssl import SSLContext
from typing import Any

import aiohttp
from httpx_aiohttp import AiohttpTransport

from .._http import AsyncByteStream, NetworkError, ReadTimeout, Request, Response, TransportError


class Transport(AiohttpTransport):
    """Like httpx's own, but for one event loop of asyncio, and without proxies and HTTP/2."""

    def __init__(self, ssl_context: SSLContext) -> None:
        super().__init__(verify=ssl_context, client=self._session)

    def _session(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(limit=0, ssl=self.ssl_context)
        return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())

    async def handle_async_request(self, request: Request) -> Response:
        with _fitting_names():
            response = await super().handle_async_request(request)
        stream: Any = response.stream
        response.stream = _Stream(stream._aiohttp_response)
        return response


class _Stream(AsyncByteStream):
    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _fitting_names():
            while chunk := await self._response.content.readany():
                yield chunk

    async def aclose(self) -> None:
        with _fitting_names():
            await self._response.__aexit__(None, None, None)


@contextlib.contextmanager
def _fitting_names() -> Generator[None]:
    try:
        yield
    except (aiohttp.ClientError, TransportError, OSError) as error:
        named = isinstance(error, TransportError)
        cause = error.__cause__ if named else error
        if not isinstance(cause, TimeoutError):
            raise NetworkError(str(error) or type(cause).__name__) from error
        if named:
            raise
        raise ReadTimeout(str(error)) from error

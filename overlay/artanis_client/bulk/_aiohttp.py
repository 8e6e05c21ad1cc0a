"""An httpx transport on aiohttp, which takes less processor time per request. Needs the extra `fast`.

Import it as `artanis_client.AiohttpTransport`. It behaves like httpx's own transport: connect and read timeouts,
httpx's exceptions, proxies from the environment, no cookies, and no connection limit other than `max_connections`.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import ssl
import weakref
from collections.abc import AsyncIterator, Generator
from importlib import import_module
from typing import TYPE_CHECKING, Any

from sniffio import current_async_library

from .._httpx import environment_proxy, httpx, ssl_context

if TYPE_CHECKING:  # at runtime where it is used, so that `from artanis_client import *` works without the extra
    import aiohttp

MAX_HEADER = 64 * 1024  # bytes; aiohttp's default of 8 KiB is less than what httpx accepts


class AiohttpTransport(httpx.AsyncBaseTransport):
    """Send requests with aiohttp: `AsyncArtanis(httpx_args={"transport": AiohttpTransport()})`.

    Args:
        verify: Whether to verify certificates; or the path of a CA file or directory; or an `ssl.SSLContext`.
        cert: A client certificate: a path, or a tuple of certificate, key and password.
        trust_env: Whether to use the environment's proxies and `SSL_CERT_FILE`. Loopback hosts are never proxied.

    Raises:
        CredentialsError: If a certificate cannot be loaded; in a call, if the proxy's URL is invalid.
        ImportError: If aiohttp is not installed; the extra `fast` includes it.
        TypeError: If `cert` is passed together with an SSLContext.
        RuntimeError: In a call under trio, which aiohttp does not support.
    """

    own_arguments = frozenset({"verify", "cert", "proxy", "http2"})
    """Arguments that `httpx_args` cannot have together with this transport, because httpx would ignore them."""

    def __init__(
        self, *, verify: ssl.SSLContext | str | os.PathLike[str] | bool = True, cert: Any = None, trust_env: bool = True
    ) -> None:
        try:
            import_module("aiohttp")
        except ImportError as error:
            raise ImportError("AiohttpTransport needs aiohttp: pip install 'artanis-client[fast]'") from error
        self._ssl = ssl_context(verify, cert, trust_env=trust_env)
        self._trust_env = trust_env
        self._proxies: dict[bytes, httpx.Proxy | None] = {}
        # A session belongs to one event loop.
        self._sessions: weakref.WeakKeyDictionary[Any, aiohttp.ClientSession] = weakref.WeakKeyDictionary()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; the body of the response is read later."""
        import aiohttp
        import yarl

        if current_async_library() != "asyncio":
            raise RuntimeError("AiohttpTransport needs asyncio. Under trio, leave out the transport.")
        timeout = request.extensions.get("timeout", {})
        proxy = self._proxy(request.url)
        authorization = _authorization(proxy) if proxy else {}
        is_tunnel = request.url.scheme == "https"
        with _mapped_exceptions():
            response = await self._session().request(
                request.method,
                yarl.URL(str(request.url), encoded=True),
                headers=[*request.headers.multi_items(), *({} if is_tunnel else authorization).items()],
                data=await request.aread() or None,
                allow_redirects=False,
                proxy=str(proxy.url) if proxy else None,
                proxy_headers=authorization if is_tunnel else None,
                server_hostname=request.extensions.get("sni_hostname"),
                timeout=aiohttp.ClientTimeout(sock_connect=timeout.get("connect"), sock_read=timeout.get("read")),
            )
        extensions = {"http_version": b"HTTP/1.1", "reason_phrase": (response.reason or "").encode("ascii", "replace")}
        return httpx.Response(
            response.status,
            headers=response.raw_headers,
            stream=_Body(response),
            extensions=extensions,
            request=request,
        )

    async def aclose(self) -> None:
        """Close the connections of this event loop."""
        if current_async_library() != "asyncio":
            return  # no request was sent
        session = self._sessions.pop(asyncio.get_running_loop(), None)
        if session is not None:
            await session.close()

    def _proxy(self, url: httpx.URL) -> httpx.Proxy | None:
        if url.netloc not in self._proxies:
            self._proxies[url.netloc] = environment_proxy(url) if self._trust_env else None
        return self._proxies[url.netloc]

    def _session(self) -> aiohttp.ClientSession:
        import aiohttp

        loop = asyncio.get_running_loop()
        if loop not in self._sessions:
            self._sessions[loop] = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, ssl=self._ssl),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                skip_auto_headers=["User-Agent", "Accept-Encoding", "Accept", "Content-Type"],
                max_line_size=MAX_HEADER,
                max_field_size=MAX_HEADER,
            )
        return self._sessions[loop]


def _authorization(proxy: httpx.Proxy) -> dict[str, str]:
    """Return the header with the proxy's password. In the proxy's URL, aiohttp's errors would show it."""
    if proxy.raw_auth is None:
        return {}
    return {"Proxy-Authorization": f"Basic {base64.b64encode(b':'.join(proxy.raw_auth)).decode()}"}


class _Body(httpx.AsyncByteStream):
    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _mapped_exceptions():
            while chunk := await self._response.content.readany():
                yield chunk

    async def aclose(self) -> None:
        # A connection cannot be reused unless the body was read completely.
        if self._response.content.is_eof():
            self._response.release()
        else:
            self._response.close()


@contextlib.contextmanager
def _mapped_exceptions() -> Generator[None]:
    """Replace aiohttp's exceptions by those of httpx's own transport."""
    import aiohttp

    try:
        yield
    except aiohttp.ConnectionTimeoutError as error:
        raise httpx.ConnectTimeout(str(error)) from error
    except (aiohttp.ServerTimeoutError, TimeoutError) as error:
        raise httpx.ReadTimeout(str(error)) from error
    except (aiohttp.ClientProxyConnectionError, aiohttp.ClientHttpProxyError) as error:
        raise httpx.ProxyError(str(error)) from error
    except aiohttp.ClientConnectorError as error:
        raise httpx.ConnectError(str(error)) from error
    except aiohttp.ClientPayloadError as error:
        raise httpx.ReadError(str(error)) from error
    except (aiohttp.ClientError, OSError) as error:
        raise httpx.NetworkError(str(error) or type(error).__name__) from error

"""What goes over the wire, and through which connections."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import traceback
import types
from base64 import b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
import trustme

from artanis_api.api.prompts import list_prompts
from artanis_client import (
    APIConnectionError,
    APIResponseValidationError,
    APITimeoutError,
    Artanis,
    ArtanisError,
    AsyncArtanis,
    AsyncPromptCache,
    AuthenticationError,
    CredentialsError,
    NotFoundError,
    PromptCache,
    aexport,
    export,
    models,
)
from artanis_client._httpx import environment_proxy
from support import (
    KEY,
    LIMIT,
    PROMPT,
    Answer,
    Both,
    Request,
    Server,
    everything_shown,
    ids,
    serve,
    trace,
    unmeasured,
    until,
    wait_until,
)


class Limit(Exception):
    """A time limit, as Celery and RQ define theirs."""


def prompts(both: Both, **options: Any) -> Any:
    return both.run(lambda client: client.prompts.list(), **options)


def test_extra_headers(both: Both, server: Server) -> None:
    """Extra headers are sent, but cannot replace the two."""
    server.answer(body={"prompts": []})
    prompts(both, httpx_args={"headers": {"X-Team": "a", "X-API-Key": "other", "x-org-slug": "other"}})
    headers = server.requests[0].headers
    assert (headers["x-team"], headers["x-api-key"], headers["x-org-slug"]) == ("a", KEY, "my-org")


def test_headers_of_a_request_cannot_replace_the_two(server: Server) -> None:
    """Nor can those of a single request on the httpx client."""
    server.answer(body={})
    with Artanis(**server.credentials) as client:
        client.api.get_httpx_client().get("/api/prompts", headers={"x-api-key": "other"})
    assert server.requests[0].headers["x-api-key"] == KEY


def test_cookies_are_dropped(both: Both, server: Server) -> None:
    """A cookie that the server sets is neither kept nor sent back."""
    server.answer(body={"prompts": []}, headers={"Set-Cookie": "__session=abc; Path=/"})

    async def twice(client: Any) -> None:
        await client.prompts.list()
        await client.prompts.list()

    both.run(twice if both.is_async else lambda client: [client.prompts.list(), client.prompts.list()])
    assert len(server.requests) == 2
    assert all("cookie" not in request.headers for request in server.requests)


def test_the_key_goes_to_its_origin_alone(server: Server) -> None:
    """An absolute URL elsewhere, or another scheme or port, is a ValueError and no request."""
    with Artanis(**server.credentials) as client:
        http = client.api.get_httpx_client()
        for url in ("https://example.com/api", server.url.replace("http:", "https:"), "http://127.0.0.1:1/api"):
            with pytest.raises(ValueError, match="this client only talks to"):
                http.get(url + "/x")
        with pytest.raises(ValueError, match="this client only talks to"):
            http.send(httpx.Request("GET", "http://localhost/api"))
    assert server.requests == []


def test_redirects_cannot_be_switched_on_for_one_request(server: Server) -> None:
    """Not even a request that asks for it follows a redirect."""
    server.answer(307, headers={"Location": "/elsewhere"})
    with Artanis(**server.credentials) as client, pytest.raises(ArtanisError):
        client.api.get_httpx_client().get("/api/prompts", follow_redirects=True)
    assert len(server.requests) == 1


def test_connections_are_reused(both: Both, server: Server) -> None:
    """Calls one after another share one connection, after an error too."""
    server.answer(404, {"error": "Not found"})

    async def several(client: Any) -> None:
        for _ in range(5):
            with pytest.raises(ArtanisError):
                await client.traces.get("x")

    def several_sync(client: Any) -> None:
        for _ in range(5):
            with pytest.raises(ArtanisError):
                client.traces.get("x")

    both.run(several if both.is_async else several_sync)
    assert len({request.connection for request in server.requests}) == 1


def test_event_hooks(both: Both, server: Server) -> None:
    """The user's hooks see each request and response, redirects with their location."""
    server.answer(302, headers={"Location": "/elsewhere"})
    seen: list[str] = []

    async def on_response(response: httpx.Response) -> None:
        seen.append(response.headers["location"])

    hook: Any = on_response if both.is_async else lambda response: seen.append(response.headers["location"])
    with pytest.raises(ArtanisError):
        prompts(both, httpx_args={"event_hooks": {"response": [hook]}})
    assert seen == ["/elsewhere"]


@pytest.mark.parametrize("when", ["request", "response"])
def test_exceptions_of_hooks_pass_through(both: Both, server: Server, when: str) -> None:
    """What a hook raises is the user's own, and is not retried."""
    server.answer(body={"prompts": []})

    class Own(Exception):
        pass

    def sync_hook(_: object) -> None:
        raise Own

    async def async_hook(_: object) -> None:
        raise Own

    with pytest.raises(Own):
        prompts(both, httpx_args={"event_hooks": {when: [async_hook if both.is_async else sync_hook]}})
    assert len(server.requests) == (0 if when == "request" else 1)


def test_exceptions_of_a_transport_pass_through(both: Both) -> None:
    """What a transport raises comes out as it is, unless it is one of httpx's, which becomes ours."""

    def handler(request: httpx.Request) -> httpx.Response:
        name = request.url.path.rpartition("/")[2]
        try:
            raise KeyError("own")
        except KeyError as error:
            if name == "mapped":
                raise httpx.ReadTimeout("slow") from error
            if name == "own":
                raise
        raise httpx.ReadTimeout("slow")

    options: Any = {"httpx_args": {"transport": httpx.MockTransport(handler)}, "max_retries": 0}
    with pytest.raises(KeyError):
        both.run(lambda client: client.prompts.get("own"), **options)
    with pytest.raises(APITimeoutError):
        both.run(lambda client: client.prompts.get("bare"), **options)
    with pytest.raises(APITimeoutError):
        both.run(lambda client: client.prompts.get("mapped"), **options)


def test_a_transport_that_handles_an_exception(both: Both, server: Server) -> None:
    """A failure of the network stays one if the transport sent the request while it handled something else."""

    class Caching(httpx.HTTPTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            try:
                raise KeyError("not cached")
            except KeyError:
                return super().handle_request(request)

    class AsyncCaching(httpx.AsyncHTTPTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            try:
                raise KeyError("not cached")
            except KeyError:
                return await super().handle_async_request(request)

    server.answer(reset=True)
    with pytest.raises(APIConnectionError):
        prompts(both, httpx_args={"transport": AsyncCaching() if both.is_async else Caching()}, max_retries=0)


def test_a_mock_transport(both: Both) -> None:
    """A mock transport serves as it does with httpx itself."""
    transport = httpx.MockTransport(lambda request: httpx.Response(200, json={"prompts": []}))
    assert prompts(both, httpx_args={"transport": transport}) == []


def test_environment_proxies(both: Both, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTP_PROXY is obeyed, NO_PROXY too, and trust_env=False ignores both."""
    server.answer(body={"prompts": []})
    monkeypatch.setenv("HTTP_PROXY", server.url)
    elsewhere: Any = {"base_url": "http://artanis.invalid", "allow_http": True, "max_retries": 0}
    prompts(both, **elsewhere)
    assert server.requests[0].path.startswith("http://artanis.invalid/api/prompts")
    with pytest.raises(ArtanisError):
        prompts(both, **elsewhere, httpx_args={"trust_env": False})
    monkeypatch.setenv("NO_PROXY", "artanis.invalid")
    with pytest.raises(ArtanisError):
        prompts(both, **elsewhere)
    assert len(server.requests) == 1


def test_mounts_and_proxy_arguments(both: Both, server: Server) -> None:
    """`proxy` and `mounts` work as in httpx."""
    server.answer(body={"prompts": []})
    elsewhere: Any = {"base_url": "http://artanis.invalid", "allow_http": True}
    prompts(both, **elsewhere, httpx_args={"proxy": server.url})
    transport = httpx.AsyncHTTPTransport if both.is_async else httpx.HTTPTransport
    prompts(both, **elsewhere, httpx_args={"mounts": {"http://": transport(proxy=server.url)}})
    assert len(server.requests) == 2


def test_a_streamed_response(server: Server) -> None:
    """A stream on the httpx client has been read completely, so that it fails like any other request."""
    server.answer(body=b"x" * 100_000)
    server.answer(404, {"error": "Not found"})
    server.answer(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx")
    with Artanis(**server.credentials, max_retries=0) as client:
        http = client.api.get_httpx_client()
        with http.stream("GET", "/api/prompts") as response:
            assert sum(map(len, response.iter_bytes(1000))) == 100_000
        with pytest.raises(ArtanisError, match="404"), http.stream("GET", "/api/prompts"):
            pass
        with pytest.raises(APIConnectionError), http.stream("GET", "/api/prompts"):
            pass


def test_no_more_than_max_connections(server: Server) -> None:
    """Threads beyond the limit wait for a slot, however long that takes."""
    release = threading.Event()
    server.answer(body=trace(spans=[], feedback=[]), hold=release)
    with Artanis(**server.credentials, max_connections=3) as client, ThreadPoolExecutor(12) as pool:
        calls = [pool.submit(client.traces.get, str(number)) for number in range(12)]
        server.wait_for(lambda: server.in_flight == 3)
        release.set()
        assert len([call.result() for call in calls]) == 12
    assert server.most_in_flight == 3
    assert len({request.connection for request in server.requests}) == 3


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_no_more_than_max_connections_async(server: Server, backend: str) -> None:
    """So do tasks; one that is cancelled while it waits or runs gives its slot back."""
    release = threading.Event()
    server.answer(body=trace(spans=[], feedback=[]), hold=release)

    async def main() -> None:
        async with AsyncArtanis(**server.credentials, max_connections=3) as client:
            async with anyio.create_task_group() as doomed:
                for number in range(12):
                    doomed.start_soon(client.traces.get, str(number))
                await until(lambda: server.in_flight == 3)
                doomed.cancel_scope.cancel()
            release.set()
            async with anyio.create_task_group() as group:
                for number in range(12):
                    group.start_soon(client.traces.get, str(number))

    anyio.run(main, backend=backend)
    assert server.most_in_flight <= 6  # three that were cancelled may still be on the server
    assert len(server.requests) == 15


def test_many_gathered_tasks(server: Server) -> None:
    """Five hundred calls at once neither open more than max_connections connections, nor time out waiting for one."""
    server.answer(body=trace(spans=[], feedback=[]))
    timeouts: list[dict[str, Any]] = []

    async def hook(request: httpx.Request) -> None:
        timeouts.append(request.extensions["timeout"])

    async def main() -> None:
        hooks = {"event_hooks": {"request": [hook]}}
        async with (
            AsyncArtanis(**server.credentials, max_connections=4, timeout=90, httpx_args=hooks) as client,
            anyio.create_task_group() as group,
        ):
            for number in range(500):
                group.start_soon(client.traces.get, str(number))

    anyio.run(main)
    assert len({request.connection for request in server.requests}) <= 4
    assert timeouts == [{"connect": 90, "read": 90, "write": 90, "pool": None}] * 500


def test_threads_share_a_client(server: Server) -> None:
    """The first calls of eight threads open no more than eight connections on one client."""
    server.answer(body={"prompts": []})
    barrier = threading.Barrier(8, timeout=LIMIT)
    with Artanis(**server.credentials) as client, ThreadPoolExecutor(8) as pool:

        def first(_: int) -> None:
            barrier.wait()
            client.prompts.list()

        list(pool.map(first, range(8)))
    assert len({request.connection for request in server.requests}) <= 8


# What an event loop leaves open when it ends can only be collected.
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_one_client_across_event_loops(server: Server, backend: str) -> None:
    """An async client works in one event loop after another, and keeps nothing of those that ended."""
    server.answer(body={"prompts": []})

    def use() -> None:
        client = AsyncArtanis(**server.credentials)
        for _ in range(4):
            anyio.run(client.prompts.list, backend=backend)
            gc.collect()  # a trio run ends for good when it is collected
            assert len(client._http.connections._locals) <= 2
        anyio.run(client.aclose, backend=backend)
        with pytest.raises(ArtanisError, match="closed"):
            anyio.run(client.prompts.list, backend=backend)

    use()
    gc.collect()


# What an event loop leaves open when it ends can only be collected.
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_event_loops_in_several_threads(server: Server) -> None:
    """An async client may even serve several event loops at a time."""
    server.answer(body={"prompts": []})

    def use() -> None:
        client = AsyncArtanis(**server.credentials)
        barrier = threading.Barrier(4, timeout=LIMIT)

        async def main() -> None:
            await client.prompts.list()
            await anyio.to_thread.run_sync(barrier.wait)
            await client.prompts.list()

        with ThreadPoolExecutor(4) as pool:
            for run in [pool.submit(anyio.run, main) for _ in range(4)]:
                run.result()

    use()
    gc.collect()
    assert len(server.requests) == 8


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_after_fork(server: Server) -> None:
    """A forked process gets its own connections, and the parent's stay usable."""
    server.answer(body={"prompts": []})
    with Artanis(**server.credentials) as client:
        client.prompts.list()
        child = os.fork()
        if child == 0:  # pragma: no cover - measured in the parent alone
            try:
                client.prompts.list()
                client.prompts.list()
                client.close()
            finally:
                os._exit(0)
        wait_until(lambda: os.waitpid(child, os.WNOHANG) == (child, 0))
        client.prompts.list()
    first, second, third, fourth = (request.connection for request in server.requests)
    assert first == fourth
    assert second == third != first


class Rotating:
    """A source whose key the server stops accepting after `good` has moved on."""

    def __init__(self) -> None:
        self.current = "key-1"
        self.asked = 0
        self.lock = threading.Lock()

    def __call__(self) -> str:
        with self.lock:
            self.asked += 1
        return self.current


def accepting(*keys: str) -> Any:
    def answer(request: Request) -> Answer:
        known = request.headers["x-api-key"] in keys
        return Answer(200, {"prompts": []}) if known else Answer(401, {"error": "Not authenticated"})

    return answer


def test_rotation(both: Both, server: Server) -> None:
    """After a 401 the source is asked once more, and the request repeated with the new key."""
    server.answers.append(accepting("key-2"))
    key = Rotating()

    def source() -> str:
        key()
        return f"key-{key.asked}"

    assert prompts(both, api_key=source, max_retries=0) == []
    assert [request.headers["x-api-key"] for request in server.requests] == ["key-1", "key-2"]


def test_an_unchanged_key_raises(both: Both, server: Server) -> None:
    """When the source has no other key, the 401 is raised without a repetition."""
    server.answers.append(accepting("other"))
    key = Rotating()
    with pytest.raises(AuthenticationError):
        prompts(both, api_key=key)
    assert (key.asked, len(server.requests)) == (2, 1)


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        (RuntimeError("sealed; the old key was key-of-1"), "RuntimeError: sealed; the old key was ****"),
        (None, "is of type NoneType, not a string"),
        ("two words", "contains whitespace"),
    ],
)
def test_a_source_that_fails_after_a_401(both: Both, server: Server, problem: Any, words: str) -> None:
    """When the source cannot be asked again, the 401 is raised, with a note, and the next 401 asks again."""
    answers = ["key-of-1", problem, "key-of-2"]

    def source() -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def twice(client: Any) -> Any:
        with pytest.raises(AuthenticationError) as caught:
            await client.prompts.list()
        return caught.value, await client.prompts.list()

    def action(client: Any) -> Any:
        if both.is_async:
            return twice(client)
        with pytest.raises(AuthenticationError) as caught:
            client.prompts.list()
        return caught.value, client.prompts.list()

    server.answers.append(accepting("key-of-2"))
    error, found = both.run(action, api_key=source)
    assert found == []
    [note] = error.__notes__
    assert note.startswith("A new key could not be fetched: ")
    assert words in note
    assert [request.headers["x-api-key"] for request in server.requests] == ["key-of-1", "key-of-1", "key-of-2"]


@pytest.mark.parametrize("status", [200, 404])
def test_a_byte_order_mark(both: Both, server: Server, status: int) -> None:
    """A body may begin with a byte order mark, in an error, too."""
    body = {"error": "Not found", "prompts": []}
    server.answer(status, b"\xef\xbb\xbf" + json.dumps(body).encode())
    if status == 200:
        assert prompts(both) == []
    else:
        with pytest.raises(NotFoundError, match="404 Not found") as caught:
            prompts(both)
        assert caught.value.body == body


@pytest.mark.parametrize("seconds", [None, 5])
def test_a_timeout_of_the_transport(both: Both, seconds: float | None) -> None:
    """Without a timeout set here, the error does not claim that it lasted None seconds."""

    def time_out(_: Any) -> Any:
        raise httpx.ReadTimeout("x")

    args = {"transport": httpx.MockTransport(time_out)}
    with pytest.raises(APITimeoutError, match=r"timed out after 5 s \(read\)" if seconds else r"timed out \(read\)"):
        prompts(both, timeout=seconds, max_retries=0, httpx_args=args)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("..", "Invalid id '..'"),
        ("../secret", "Invalid id '..'"),
        ("%2e%2e/x", "Invalid id '..'"),
        (".", "Invalid id '.'"),
        ("api/prompts/..", "Invalid id '..'"),
        ("api/x://..", "empty, or there is a slash too many"),
        ("/api/prompts/..#x", "Invalid id '..'"),
        ("{url}/api/prompts/..?x=1", "Invalid id '..'"),
        ("/api/prompts/", "Invalid path '/api/prompts/': an id is empty, or there is a slash too many"),
        ("api//prompts", "Invalid path 'api//prompts'"),
        ("a%2Fb", "Invalid id 'a/b'"),
    ],
)
def test_unsafe_urls(server: Server, url: str, words: str) -> None:
    """Every segment of a path is checked, whether it is absolute, relative or has a fragment."""
    with Artanis(**server.credentials) as client, pytest.raises(ValueError, match=re.escape(words)):
        client.api.get_httpx_client().get(url.replace("{url}", server.url))
    assert server.requests == []


@pytest.mark.parametrize("url", ["", "api", "/api/prompts", "api/prompts?x=/../", "{url}/api", "{url}"])
def test_safe_urls(server: Server, url: str) -> None:
    """Other URLs are sent, relative ones below the base URL."""
    server.answer(body={})
    with Artanis(**server.credentials) as client:
        client.api.get_httpx_client().get(url.replace("{url}", server.url))
    assert len(server.requests) == 1


def test_a_second_refusal_raises(both: Both, server: Server) -> None:
    """A new key that is refused as well is not the beginning of a loop."""
    server.answers.append(accepting("none"))
    numbers = iter(range(100))
    with pytest.raises(AuthenticationError):
        prompts(both, api_key=lambda: f"key-{next(numbers)}")
    assert len(server.requests) == 2


def test_rotation_from_a_file(both: Both, server: Server, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that was replaced in the configuration file is picked up without a restart."""
    path = tmp_path / "config.toml"
    monkeypatch.setenv("ARTANIS_CONFIG_FILE", str(path))

    def write(key: str) -> None:
        path.write_text(f'[default]\napi_key = "{key}"')
        path.chmod(0o600)

    write("key-1")

    def answer(request: Request) -> Answer:
        write("key-2")
        return accepting("key-2")(request)  # type: ignore[no-any-return]

    server.answers.append(answer)
    assert prompts(both, api_key=None) == []
    assert [request.headers["x-api-key"] for request in server.requests] == ["key-1", "key-2"]


def test_a_given_key_is_not_asked_for_again(both: Both, server: Server) -> None:
    """A key that was given as text can only be refused."""
    server.answers.append(accepting("other"))
    with pytest.raises(AuthenticationError):
        prompts(both)
    assert len(server.requests) == 1


def test_one_thread_asks_for_all(server: Server) -> None:
    """However many threads are refused, the source is asked once, and each request is repeated once."""
    server.answers.append(accepting("key-2"))
    key, barrier = Rotating(), threading.Barrier(8, timeout=LIMIT)
    with Artanis(**{**server.credentials, "api_key": key}) as client, ThreadPoolExecutor(8) as pool:
        server.answers[:] = [accepting("key-1", "key-2")]
        client.prompts.list()
        key.current, server.answers[:] = "key-2", [accepting("key-2")]

        def call(_: int) -> None:
            barrier.wait()
            client.prompts.list()

        list(pool.map(call, range(8)))
    assert key.asked == 2
    assert len(server.requests) <= 1 + 16


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_one_task_asks_for_all(server: Server, backend: str) -> None:
    """However many tasks are refused, the source is asked once; asking does not hold up the event loop."""
    key = Rotating()
    asked_in: list[int] = []

    def source() -> str:
        asked_in.append(threading.get_ident())
        return key()

    async def main() -> None:
        server.answers[:] = [accepting("key-1")]
        async with AsyncArtanis(**{**server.credentials, "api_key": source}) as client:
            await client.prompts.list()
            key.current, server.answers[:] = "key-2", [accepting("key-2")]
            async with anyio.create_task_group() as group:
                for _ in range(50):
                    group.start_soon(client.prompts.list)

    anyio.run(main, backend=backend)
    assert key.asked == 2
    assert threading.get_ident() not in asked_in


def test_a_post_is_sent_and_mapped(server: Server) -> None:
    """Other methods than GET carry the headers as well."""
    server.answer(409, {"error": "exists"})
    with Artanis(**server.credentials) as client, pytest.raises(ArtanisError, match="409 exists"):
        client.api.get_httpx_client().post("/api/things", json={"a": 1})
    assert server.requests[0].body == b'{"a":1}'
    assert server.requests[0].headers["x-api-key"] == KEY


def test_default_tls_is_shared(server: Server) -> None:
    """Clients with default TLS settings share one context; settings of the user's get their own."""

    def context(client: Any) -> Any:
        return client._http.connections.settings.connection_arguments["verify"]

    first, second = Artanis(**server.credentials), Artanis(**server.credentials)
    third = AsyncArtanis(**server.credentials)
    assert context(first) is context(second) is context(third)
    for own in ({"verify": True}, {"verify": False}, {"http2": True}, {"trust_env": False}):
        assert context(Artanis(**server.credentials, httpx_args=own)) is not context(first)


def test_direct_calls_raise_our_errors(server: Server) -> None:
    """A generated function called directly raises the same errors, and refuses the same ids."""
    from artanis_api.api.prompts import get_prompt

    server.answer(404, {"error": "Not found"})
    with Artanis(**server.credentials) as client:
        with pytest.raises(ArtanisError, match="404"):
            get_prompt.sync("x", client=client.api)
        with pytest.raises(ValueError, match="Invalid id"):
            get_prompt.sync("..", client=client.api)
        with pytest.raises(ArtanisError, match="404"):
            list_prompts.sync(client=client.api)


def test_nothing_listens() -> None:
    """A port where nothing listens is refused, by both clients, in the same words."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        errors: list[str] = []
        for kind in Both.kinds:
            both = Both(kind, Server())
            with pytest.raises(ArtanisError) as caught:
                prompts(both, base_url=url, max_retries=0)
            errors.append(repr(caught.value.__cause__))
            both.server.close()
    assert all("refused" in error.lower() or "all connection attempts" in error.lower() for error in errors), errors


def test_closing_while_calls_wait(server: Server) -> None:
    """Calls that wait for a slot, or for a retry, when the client is closed are told that it is closed."""
    release = threading.Event()
    server.answer(503, {"error": "x"}, {"Retry-After": "0"}, hold=release)
    client = Artanis(**server.credentials, max_connections=2)
    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(client.traces.get, "x") for _ in range(8)]
        server.wait_for(lambda: server.in_flight == 2)
        client.close()
        release.set()
        errors = [call.exception() for call in calls]
    assert all(isinstance(error, ArtanisError) for error in errors), errors
    assert len(server.requests) == 2


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_closing_while_tasks_wait(server: Server, backend: str) -> None:
    """So are tasks."""
    release = threading.Event()
    server.answer(503, {"error": "x"}, {"Retry-After": "0"}, hold=release)
    errors: list[Exception] = []

    async def main() -> None:
        client = AsyncArtanis(**server.credentials, max_connections=2)

        async def get() -> None:
            try:
                await client.traces.get("x")
            except Exception as error:
                errors.append(error)

        async with anyio.create_task_group() as group:
            for _ in range(8):
                group.start_soon(get)
            await until(lambda: server.in_flight == 2)
            await client.aclose()
            release.set()

    anyio.run(main, backend=backend)
    assert [error for error in errors if not isinstance(error, ArtanisError)] == []
    assert len(errors) == 8


# What an event loop leaves open when it ends can only be collected.
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_trio_in_several_threads(server: Server) -> None:
    """Trio runs at the same time keep their connections, each its own."""
    server.answer(body={"prompts": []})

    def use() -> None:
        client = AsyncArtanis(**server.credentials, max_connections=1)
        barrier = threading.Barrier(3, timeout=LIMIT)

        async def main() -> None:
            for _ in range(20):
                await anyio.to_thread.run_sync(barrier.wait)
                await client.prompts.list()
            await client.aclose()

        with ThreadPoolExecutor(3) as pool:
            for run in [pool.submit(lambda: anyio.run(main, backend="trio")) for _ in range(3)]:
                assert run.exception() is None or isinstance(run.exception(), ArtanisError)

    use()
    gc.collect()
    assert len({request.connection for request in server.requests}) <= 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_closing_after_fork(server: Server) -> None:
    """A forked process that closes a client which it has not used closes nothing of its parent's."""
    server.answer(body={"prompts": []})
    with Artanis(**server.credentials) as client:
        client.prompts.list()
        child = os.fork()
        if child == 0:  # pragma: no cover - measured in the parent alone
            try:
                client.close()
            finally:
                os._exit(0)
        wait_until(lambda: os.waitpid(child, os.WNOHANG) == (child, 0))
        client.prompts.list()
    assert len({request.connection for request in server.requests}) == 1


def test_a_body_that_can_be_sent_once(server: Server) -> None:
    """A streamed request body is not repeated, neither after a transient failure nor with a new key."""
    numbers = iter(range(10))
    credentials: dict[str, Any] = {**server.credentials, "api_key": lambda: f"key-{next(numbers)}"}
    for status in (503, 401):
        server.answers[:] = [Answer(status, {"error": "x"}, {"Retry-After": "0"})]
        before = len(server.requests)
        with Artanis(**credentials) as client, pytest.raises(ArtanisError, match=str(status)):
            client.api.get_httpx_client().put("/api/x", content=iter([b"a", b"b"]), headers={"content-length": "2"})
        assert len(server.requests) == before + 1


def test_an_exception_that_was_being_handled(server: Server) -> None:
    """What the caller was handling already is neither the cause of a failure nor changed by it."""
    server.close()
    with Artanis(**server.credentials, max_retries=0) as client:
        try:
            dict[str, int]()["mine"]
        except KeyError as mine:
            with pytest.raises(ArtanisError) as caught:
                client.prompts.list()
            assert isinstance(caught.value.__cause__, ConnectionRefusedError)
            assert mine.__traceback__ is not None  # noqa: PT017 - it is the one being handled


def test_a_failing_source_is_asked_once_for_all(server: Server) -> None:
    """Threads that wait while the source is asked take its failure, instead of asking it one after another."""
    asked: list[int] = []
    all_wait = threading.Event()

    def key() -> str:
        asked.append(1)
        assert all_wait.wait(LIMIT)
        raise LookupError("sealed")

    with Artanis(**{**server.credentials, "api_key": key}) as client, ThreadPoolExecutor(6) as pool:
        connections: Any = client._http.connections
        local = connections.local()
        lock = CountingLock(local.key_lock)
        connections._locals[os.getpid()] = local._replace(key_lock=lock)
        calls = [pool.submit(client.prompts.list) for _ in range(6)]
        wait_until(lambda: len(lock.entered) == 6)
        all_wait.set()
        assert all(isinstance(call.exception(), LookupError) for call in calls)
    assert len(asked) == 1


@pytest.mark.parametrize("renewal", [False, True])
@pytest.mark.parametrize("ending", [KeyboardInterrupt, SystemExit, GeneratorExit, "signal"])
def test_a_thread_that_ends_while_it_asks(server: Server, ending: Any, renewal: bool) -> None:
    """If a thread is interrupted while it asks for the key, a thread that waits for the answer asks instead."""
    calls: list[Any] = []
    asked: list[int] = []

    def on_signal(*_: object) -> None:
        raise Limit

    def key() -> str:
        asked.append(1)
        if len(asked) == (2 if renewal else 1):
            calls.append(pool.submit(client.prompts.list))
            wait_until(lambda: len(lock.entered) >= 2 + renewal)
            if ending == "signal":
                signal.raise_signal(signal.SIGINT)
            raise ending
        return f"key-{len(asked)}"

    server.answers.append(accepting("key-1"))
    previous = signal.signal(signal.SIGINT, on_signal)
    try:
        with Artanis(**{**server.credentials, "api_key": key}) as client, ThreadPoolExecutor(1) as pool:
            connections: Any = client._http.connections
            local = connections.local()
            lock = CountingLock(local.key_lock)
            connections._locals[os.getpid()] = local._replace(key_lock=lock)
            if renewal:
                client.prompts.list()
            server.answers[:] = [accepting("key-2" if not renewal else "key-3")]
            with pytest.raises(Limit if ending == "signal" else ending):
                client.prompts.list()
            assert calls[0].result(LIMIT) == []
    finally:
        signal.signal(signal.SIGINT, previous)
    assert len(asked) == 2 + renewal


@pytest.mark.parametrize("renewal", [False, True])
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("is_async", [False, True])
def test_a_task_that_is_cancelled_while_it_asks(server: Server, backend: str, renewal: bool, is_async: bool) -> None:
    """If a task is cancelled while it asks for the key, a task that waits for the answer asks instead."""
    asked: list[int] = []
    never = threading.Event()

    def key() -> str:
        asked.append(nth := len(asked) + 1)
        if nth == 1 + renewal:
            never.wait(LIMIT)
        return f"key-{nth}"

    async def async_key() -> str:
        asked.append(nth := len(asked) + 1)
        if nth == 1 + renewal:
            await anyio.sleep_forever()
        return f"key-{nth}"

    async def main() -> None:
        server.answers[:] = [accepting("key-1")]
        credentials: Any = {**server.credentials, "api_key": async_key if is_async else key}
        async with AsyncArtanis(**credentials) as client, anyio.create_task_group() as group:
            if renewal:
                await client.prompts.list()
            server.answers[:] = [accepting(f"key-{2 + renewal}")]
            async with anyio.create_task_group() as doomed:
                doomed.start_soon(client.prompts.list)
                await until(lambda: len(asked) == 1 + renewal)
                group.start_soon(client.prompts.list)
                lock = client._http.connections.local().key_lock
                await until(lambda: lock.statistics().tasks_waiting == 1)
                doomed.cancel_scope.cancel()
        never.set()

    anyio.run(main, backend=backend)
    assert len(asked) == 2 + renewal


class CountingLock:
    """Says how many threads have it or wait for it."""

    def __init__(self, lock: Any) -> None:
        self.lock = lock
        self.entered: list[None] = []

    def __enter__(self) -> None:
        self.entered.append(None)
        self.lock.__enter__()

    def __exit__(self, *exc_info: object) -> None:
        self.lock.__exit__(*exc_info)


INTERRUPTED = """
import _thread, sys, threading, time, traceback
import httpx
from artanis_client import Artanis, PromptCache, _connections
from artanis_client.prompts import _cache

def hang(*_):
    arrived.set()
    threading.Event().wait()

def interrupt(line):
    while True:
        stack = traceback.extract_stack(sys._current_frames()[threading.main_thread().ident])
        if any(line in frame.line for frame in stack):
            break
        time.sleep(0.001)
    _thread.interrupt_main()

for module in (_connections, _cache):
    module.WAKE_UP = 0.1
waits = {"loop": "finished.get(", "slot": "self._get", "key": "self._get", "cache": ".wait(WAKE_UP)"}
for where, line in waits.items():
    key = hang if where == "key" else "k"
    arguments = {"transport": httpx.MockTransport(hang)}
    client = Artanis(api_key=key, org_slug="o", project_slug="p", max_connections=1, httpx_args=arguments)
    cache = PromptCache(client)
    others = {"loop": lambda: list(client.traces.iter(trace_ids=["x"])), "cache": lambda: cache.get("x")}
    read = others.get(where, client.prompts.list)
    arrived = threading.Event()
    if where != "loop":  # which has threads to wait for
        threading.Thread(target=read, daemon=True).start()
        arrived.wait()
    threading.Thread(target=interrupt, args=[line], daemon=True).start()
    try:
        read()
    except KeyboardInterrupt:
        print(where, flush=True)

slots = _connections._Slots(0)
slots._get = _thread.interrupt_main  # as if the signal came while a slot is taken
try:
    with slots:
        pass
except KeyboardInterrupt:
    print("given back", slots._queue.qsize(), flush=True)
"""


def test_an_interrupt_that_wakes_nobody() -> None:
    """Ctrl-C ends every wait of the main thread, even when the signal arrives just before the thread blocks.

    `interrupt_main` does in any wait what such a signal does: it sets a flag, and the wait goes on.
    """
    command = [sys.executable, "-c", INTERRUPTED]
    done = subprocess.run(command, env=unmeasured(), capture_output=True, encoding="utf-8", timeout=LIMIT, check=False)
    assert (done.stdout.splitlines(), done.stderr) == (["loop", "slot", "key", "cache", "given back 1"], "")


@pytest.mark.parametrize("call", ["get", "list"])
def test_what_makes_no_url(both: Both, server: Server, call: str) -> None:
    """An id or a project that is too long for a URL is a ValueError."""
    text = "x" * 70_000
    with pytest.raises(ValueError, match="Invalid URL"):
        both.run(lambda client: client.traces.get(text) if call == "get" else client.traces.list(project_slug=text))
    assert server.requests == []


@pytest.mark.parametrize("coding", ["gzip, gzip", "br", "zstd", "nonsense"])
def test_codings_that_were_not_asked_for(both: Both, server: Server, coding: str) -> None:
    """Layers of compression, or a kind that was not asked for, are not unpacked, in an error's body either."""
    for status in (200, 500):
        server.answers[:] = [Answer(status, b"x" * 1000, {"Content-Encoding": coding})]
        with pytest.raises(ArtanisError, match="cannot be decoded" if status == 200 else "500"):
            prompts(both, max_retries=0)
    assert server.requests[0].headers["accept-encoding"] == "gzip, deflate"


class Foreign:
    """Socket options that fail while httpcore connects, where it maps every TimeoutError and OSError."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __iter__(self) -> Any:
        raise self.error


def try_to(act: Callable[[], Any]) -> None:
    with contextlib.suppress(ArtanisError):
        act()


FOREIGN = [Limit(), TimeoutError("mine"), OSError("mine"), MemoryError(), KeyError("mine")]
CALLS: dict[str, Callable[[Any, Path], Any]] = {
    "get": lambda client, _: client.traces.get("x"),
    "iter": lambda client, _: client.traces.iter(trace_ids=["x"]),
    "list and iter": lambda client, _: client.traces.iter(on_error="skip"),
    "export": lambda client, path: (aexport if isinstance(client, AsyncArtanis) else export)(client, path / "x.jsonl"),
    "cache": lambda client, _: (AsyncPromptCache if isinstance(client, AsyncArtanis) else PromptCache)(client).get("x"),
}


# httpcore leaves the socket to the garbage collector.
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("error", FOREIGN, ids=repr)
def test_foreign_exceptions_pass_through(
    both: Both, server: Server, tmp_path: Path, sleeps: list[float], call: str, error: Exception
) -> None:
    """What a signal handler or the user's own code raises in the midst of httpx comes out unchanged, and at once."""
    kind: Any = httpx.AsyncHTTPTransport if both.is_async else httpx.HTTPTransport
    transport = kind(socket_options=Foreign(error))

    async def all_of(iterator: Any) -> None:
        async for _ in iterator:
            pass

    def act(client: Any) -> Any:
        result = CALLS[call](client, tmp_path)
        if not hasattr(result, "__anext__"):
            return list(result) if hasattr(result, "__next__") else result
        return all_of(result)

    with pytest.raises(type(error)) as caught:
        both.run(act, httpx_args={"transport": transport})
    assert caught.value is error
    assert (sleeps, server.requests) == ([], [])


@pytest.mark.once
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs setitimer")
@pytest.mark.parametrize("kind", [Limit, TimeoutError, ConnectionError])
@pytest.mark.parametrize("where", ["answer", "body", "error body", "slot", "retry", "key", "iter", "export", "cache"])
def test_a_time_limit(
    server: Server, tmp_path: Path, where: str, kind: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exception of a signal handler ends every kind of wait."""
    waits = threading.Event()  # until then the signal does not count
    limits: list[Exception] = []

    def on_alarm(_: int, frame: types.FrameType | None) -> None:
        # httpcore drops every OSError that is raised while it writes the request, whoever raised it.
        is_writing = "_send_event" in {each.f_code.co_name for each, _ in traceback.walk_stack(frame)}
        if waits.is_set() and not limits and not is_writing:
            limits.append(kind("too long"))
            raise limits[0]

    def answer(_: Request) -> Answer:
        waits.set()
        if where in ("body", "error body"):
            return Answer(200 if where == "body" else 403, b"{", {"content-length": "100"})
        return Answer(503) if where == "retry" else Answer(hold=threading.Event())

    def key() -> str:
        if where == "key":
            waits.set()
            threading.Event().wait(LIMIT)
        return KEY

    server.answers = [answer]
    calls: dict[str, Callable[[Artanis], Any]] = {
        "iter": lambda client: list(client.traces.iter(trace_ids=["x"])),
        "export": lambda client: export(client, tmp_path / "x.jsonl"),
        "cache": lambda client: PromptCache(client).get("x"),
        "": lambda client: client.prompts.list(),
    }
    options: dict[str, Any] = {**server.credentials, "api_key": key, "max_connections": 1, "timeout": LIMIT}
    # If it is raised while the garbage collector runs, Python reports it and goes on: then the next signal counts.
    monkeypatch.setattr(sys, "unraisablehook", lambda _: limits.clear())
    previous = signal.signal(signal.SIGALRM, on_alarm)
    try:
        with Artanis(**options, max_retries=1000) as client:
            if where == "slot":
                threading.Thread(target=try_to, args=[lambda: client.prompts.get("x")], daemon=True).start()
                server.wait_for_requests(1)
            signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
            with pytest.raises(kind) as caught:
                calls[where if where in calls else ""](client)
            server.stopping.set()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert caught.value is limits[0]
    assert KEY not in everything_shown(caught.value)
    assert where == "retry" or len(server.requests) <= 1


@pytest.mark.parametrize("kind", [Limit, TimeoutError, ConnectionError, KeyError, ValueError])
@pytest.mark.parametrize("handler", ["a function", "a partial", None])
def test_a_time_limit_while_an_answer_is_parsed(
    both: Both, monkeypatch: pytest.MonkeyPatch, kind: type[Exception], handler: str | None
) -> None:
    """It arrives as it was raised, too. Without a signal handler, as of a limit for threads, other types do."""
    limit = kind("too long")
    is_of_parser = kind in (KeyError, ValueError) and handler is None
    calls: list[object] = []

    def on_signal(*_: object) -> None:
        raise limit

    def parse(value: object) -> Any:
        calls.append(value)
        if is_of_parser or len(calls) == 1:
            if handler is not None:
                signal.raise_signal(signal.SIGINT)
            raise limit
        return models.PromptList([])

    both.server.answer(body={"prompts": [PROMPT]})
    monkeypatch.setattr(models.PromptList, "from_dict", parse)
    previous = signal.signal(signal.SIGINT, functools.partial(on_signal) if handler == "a partial" else on_signal)
    try:
        with pytest.raises(APIResponseValidationError if is_of_parser else kind) as caught:
            both.run(lambda client: client.prompts.list())
    finally:
        signal.signal(signal.SIGINT, previous)
    assert is_of_parser or caught.value is limit


class Silent:
    """Sends only the start of an answer, and counts the connections that have sent something and that were closed."""

    def __init__(self, start: bytes) -> None:
        self.start = start
        self.opened: list[None] = []
        self.talking: list[None] = []
        self.closed: list[None] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.thread = threading.Thread(target=self.accept, daemon=True)
        self.thread.start()

    def accept(self) -> None:
        with contextlib.suppress(OSError):  # when the listener is closed
            while True:
                connection, _ = self.listener.accept()
                self.opened.append(None)
                threading.Thread(target=self.talk, args=[connection], daemon=True).start()

    def talk(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while connection.recv(65536):
                connection.sendall(self.start)
                self.talking.append(None)
        self.closed.append(None)

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join(LIMIT)
        self.listener.close()


HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 14\r\n\r\n"
PHASES = {
    "tls": b"",
    "answer": b"",
    "head": HEAD[:20],
    "body": HEAD + b"{",
    "connect": b"",
    "proxy": b"",
    "tunnel": b"",
}


@pytest.fixture(params=PHASES)
def phase(request: pytest.FixtureRequest) -> Iterator[tuple[str, Silent]]:
    start = b"HTTP/1.1 200 OK\r\n\r\n" if request.param == "tunnel" else PHASES[request.param]
    silent = Silent(start)
    yield request.param, silent
    silent.close()


class Cancelling:
    """Socket options that cancel the task which connects, in the moment when the connection is there."""

    def __init__(self) -> None:
        self.act: Callable[[], object] = bool

    def __iter__(self) -> Iterator[tuple[int, int, int]]:
        self.act()
        return iter(())


@pytest.mark.parametrize("max_connections", [1, 3, 8])
@pytest.mark.parametrize("kind", ["asyncio", "trio", "native", "impatient"])
def test_cancelled_calls_leave_no_connection(phase: tuple[str, Silent], kind: str, max_connections: int) -> None:
    """Wherever a call is cancelled, its connection is closed. Native cancellation may come twice."""
    name, silent = phase
    if kind != "trio" and tuple(map(int, version("anyio").split(".")[:2])) < (4, 16):
        pytest.skip("older versions of anyio leave some connections that are being set up to the garbage collector")
    scheme = "https" if name in ("tls", "proxy", "tunnel") else "http"
    httpx_args: dict[str, Any] = {"limits": httpx.Limits(max_connections=2)} if max_connections == 3 else {}
    in_flight = 2 if httpx_args else min(max_connections, 4)
    options: dict[str, Any] = {"api_key": KEY, "org_slug": "o", "project_slug": "p", "max_connections": max_connections}
    options["base_url"] = f"{scheme}://{silent.address}"
    if name in ("proxy", "tunnel"):
        httpx_args["proxy"] = f"http://{silent.address}"
    cancelling = Cancelling()
    if name == "connect":
        in_flight = 1
        httpx_args["transport"] = httpx.AsyncHTTPTransport(socket_options=cancelling)

    async def main() -> None:
        async with AsyncArtanis(**options, httpx_args=httpx_args) as client:
            if kind in ("asyncio", "trio"):
                async with anyio.create_task_group() as group:
                    cancelling.act = group.cancel_scope.cancel
                    for _ in range(4):
                        group.start_soon(client.prompts.list)
                    await until(lambda: len(silent.opened if name == "connect" else silent.talking) >= in_flight)
                    group.cancel_scope.cancel()
            else:
                tasks = [asyncio.ensure_future(client.prompts.list()) for _ in range(4)]
                cancelling.act = lambda: [task.cancel() for task in tasks]
                await until(lambda: len(silent.opened if name == "connect" else silent.talking) >= in_flight)
                for _ in range(3 if kind == "impatient" else 1):
                    for task in tasks:
                        task.cancel()
                    await asyncio.sleep(0)
                await asyncio.wait(tasks)
            await until(lambda: len(silent.closed) == len(silent.opened))
            if scheme == "http":
                cancelling.act = bool
                silent.start = HEAD + b'{"prompts":[]}'
                assert await client.prompts.list() == []

    anyio.run(main, backend="trio" if kind == "trio" else "asyncio")


def has_ended(child: int) -> bool:
    return os.waitpid(child, os.WNOHANG) == (child, 0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_fork_in_a_loop_over_traces(server: Server) -> None:
    """A forked process that leaves the loop does not cut off the connections with which its parent goes on."""
    release = threading.Event()
    numbers = ids(8)

    def answer(trace_id: str) -> Answer | None:
        body = trace(id=trace_id, spans=[], feedback=[])
        return None if trace_id == numbers[0] else Answer(body=body, hold=release)

    serve(server, 8, answer)
    read: list[str] = []
    with Artanis(**server.credentials, max_retries=0) as client:
        for detail in client.traces.iter(concurrency=4):
            if not read:
                server.wait_for(lambda: server.in_flight >= 3)
                if (child := os.fork()) == 0:  # pragma: no cover - measured in the parent alone
                    break
                wait_until(functools.partial(has_ended, child))
                release.set()
            read.append(detail.id)
        if not read:  # pragma: no cover - the child
            gc.collect()
            os._exit(0)
    assert read == numbers


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_that_continues_the_loop(server: Server) -> None:
    """It has none of the threads that read traces, so it gets an error instead of waiting for them for good."""
    expected = serve(server, 40)
    with Artanis(**server.credentials) as client:
        found = client.traces.iter(concurrency=2)
        read = [next(found).id]
        if (child := os.fork()) == 0:  # pragma: no cover - measured in the parent alone
            try:
                list(found)
            except ArtanisError as error:
                os._exit(7 if "forked" in str(error) else 1)
            finally:
                os._exit(2)
        read += [detail.id for detail in found]
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert read == expected


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("ending", ["return", "exit"])
def test_fork_in_an_event_loop(server: Server, ending: str, scheme: str) -> None:
    """A forked process that ends, and so cancels the tasks that it inherited, does not cut its parent's connections."""
    httpx_args: dict[str, Any] = {}
    if scheme == "https":
        authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        server.http.socket = context.wrap_socket(server.http.socket, server_side=True)
        server.url = server.url.replace("http:", "https:")
        httpx_args["verify"] = ssl.create_default_context()
        authority.configure_trust(httpx_args["verify"])
    release = threading.Event()
    server.answer(body={"prompts": []}, hold=release)
    parent = os.getpid()

    async def main() -> None:
        client = AsyncArtanis(**server.credentials, max_retries=0, timeout=LIMIT, httpx_args=httpx_args)
        tasks = [asyncio.create_task(client.prompts.list()) for _ in range(3)]
        await until(lambda: server.in_flight == 3)
        child = os.fork()
        if child == 0:  # pragma: no cover - measured in the parent alone
            if ending == "exit":
                raise SystemExit
            return
        await until(lambda: os.waitpid(child, os.WNOHANG) == (child, 0))
        release.set()
        assert await asyncio.gather(*tasks) == [[], [], []]
        await client.prompts.list()
        await client.aclose()

    try:
        asyncio.run(main())
    finally:
        if os.getpid() != parent:  # pragma: no cover
            os._exit(0)
    assert len(server.requests) == 4
    assert len({request.connection for request in server.requests}) == 3


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "127.1", "127.8.9.1", "2130706433", "LOCALHOST", "localhost.", "api.localhost", "0"),
        *("[::1]", "[::ffff:127.0.0.1]", "[0:0:0:0:0:0:0:1]", "[::]"),
    ],
)
@pytest.mark.parametrize("variable", ["HTTP_PROXY", "ALL_PROXY", "http_proxy"])
def test_no_proxy_for_this_machine(monkeypatch: pytest.MonkeyPatch, host: str, variable: str) -> None:
    """However a loopback host is written, no proxy of the environment is used."""
    monkeypatch.setenv(variable, "http://proxy.example.com:3128")
    assert environment_proxy(httpx.URL(f"http://{host}:8400")) is None
    assert environment_proxy(httpx.URL("http://127.0.0.1.example.com")) is not None


def test_the_key_of_this_machine_stays_here(both: Both, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request to a loopback host is sent there, not to the proxy."""
    for variable in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")  # where nothing listens
    server.answer(body={"prompts": []})
    assert prompts(both, max_retries=0) == []
    assert server.requests[0].path.startswith("/api/prompts")


@pytest.mark.parametrize(
    ("no_proxy", "is_excluded"),
    [
        ("artanis.invalid", True),
        (".invalid", True),
        ("*.invalid", True),
        ("ARTANIS.invalid", True),
        ("artanis.invalid:8443", True),
        ("https://artanis.invalid", True),
        ("localhost, *", True),
        ("localhost artanis.invalid", True),
        ("[::1],::1/128,fe80::/10,artanis.invalid", True),
        ("artanis.invalid:8080", False),
        ("tanis.invalid", False),
        ("localhost,127.0.0.1,[::1]", False),
        ("::1/128", False),
        ("fe80::/10", False),
        ("[::1]:8080", False),
        ("artanis.invalid:443", False),
        ("[::1", False),
        ("10.0.0.0/8,10.0.0.0/99,10.0.0.300", False),
        ("http://[", False),
        (",,:,/", False),
    ],
)
def test_forms_of_no_proxy(monkeypatch: pytest.MonkeyPatch, no_proxy: str, is_excluded: bool) -> None:
    """Every entry that excludes the host counts, and none keeps the client from starting."""
    url = "https://artanis.invalid:8443"
    monkeypatch.setenv("ALL_PROXY", "http://proxy.example.com:3128")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    assert (environment_proxy(httpx.URL(url)) is None) is is_excluded
    for cls in (Artanis, AsyncArtanis):
        cls(api_key="k", org_slug="o", base_url=url)


@pytest.mark.parametrize(
    ("no_proxy", "url", "is_excluded"),
    [
        ("artanis.invalid:443", "https://artanis.invalid", True),
        (".invalid:443", "https://artanis.invalid", True),
        ("artanis.invalid:80", "https://artanis.invalid", False),
        ("artanis.invalid:80", "http://artanis.invalid", True),
        ("[fd00::1]:443", "https://[fd00::1]", True),
    ],
)
def test_the_default_port_in_no_proxy(
    monkeypatch: pytest.MonkeyPatch, no_proxy: str, url: str, is_excluded: bool
) -> None:
    """An entry may name the port that the URL leaves out."""
    monkeypatch.setenv("ALL_PROXY", "proxy.example.com:3128")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    assert (environment_proxy(httpx.URL(url)) is None) is is_excluded


@pytest.mark.parametrize(
    ("no_proxy", "host", "is_excluded"),
    [
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("fd00::/8", "[fd00::1]", True),
        ("[fd00::1]", "[fd00:0::1]", True),
        ("fe80::/10", "[fd00::1]", False),
    ],
)
def test_addresses_in_no_proxy(monkeypatch: pytest.MonkeyPatch, no_proxy: str, host: str, is_excluded: bool) -> None:
    """Addresses and networks are compared as such."""
    monkeypatch.setenv("HTTPS_PROXY", "proxy.example.com:3128")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    assert (environment_proxy(httpx.URL(f"https://{host}")) is None) is is_excluded


@pytest.mark.parametrize(
    "proxy",
    [
        "http://me:hunter2/x@proxy.example.com:3128",
        "http://me:123/hunter2@proxy.example.com:3128",
        "http://me:123?hunter2@proxy.example.com:3128",
        "http://me:hun#ter2@proxy.example.com:3128",
        "me:hunter2/@proxy.example.com",
        "ftp://me:hunter2@proxy.example.com",
        "socks://me:hunter2@proxy.example.com",
        "http://me:hunter2@",
        "http://me:hunter2@proxy.example.com:port",
    ],
)
@pytest.mark.parametrize("place", ["argument", "environment"])
@pytest.mark.parametrize("cls", [Artanis, AsyncArtanis])
def test_a_proxy_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch, cls: Any, place: str, proxy: str) -> None:
    """The error names where the URL came from, and shows nothing of it."""
    arguments: dict[str, Any] = {"httpx_args": {"proxy": proxy}}
    if place == "environment":
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        arguments = {}
    source = {"argument": "argument proxy in httpx_args", "environment": r"environment \(HTTPS_PROXY\)"}[place]
    with pytest.raises(CredentialsError, match=f"The proxy from the {source} cannot be used") as caught:
        cls(api_key="k", org_slug="o", **arguments)
    assert not re.search("hunter2|me:", str(caught.value))
    assert caught.value.__context__ is None


def test_other_proxies_do_not_matter(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the proxy that the client would use is looked at, and none beside a transport of the user."""
    monkeypatch.setenv("ALL_PROXY", "socks://127.0.0.1:1080")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example.com")
    Artanis(api_key="k", org_slug="o")
    monkeypatch.setenv("HTTPS_PROXY", "broken://")
    Artanis(**server.credentials)
    Artanis(api_key="k", org_slug="o", httpx_args={"trust_env": False})
    Artanis(api_key="k", org_slug="o", httpx_args={"transport": httpx.MockTransport(lambda _: httpx.Response(200))})


def test_a_proxy_that_refuses_the_password(both: Both, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Name and password are sent to the proxy, decoded, and no error shows them."""
    monkeypatch.setenv("HTTPS_PROXY", server.url.replace("//", "//me:hunter%2F2@"))
    server.answer(407, headers={"proxy-authenticate": "Basic"})
    with pytest.raises(ArtanisError) as caught:
        prompts(both, base_url="https://artanis.invalid", max_retries=0)
    assert server.requests[0].headers["proxy-authorization"] == "Basic " + b64encode(b"me:hunter/2").decode()
    assert "hunter" not in f"{caught.value!r} {caught.value.__cause__!r} {caught.value.__context__!r}"

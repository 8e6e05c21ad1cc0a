"""`AiohttpTransport`: an explicit choice, which behaves like httpx's own transport."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import ssl
import subprocess
import sys
import threading
from base64 import b64encode
from typing import Any

import httpx
import pytest
import trustme

from artanis_client import (
    AiohttpTransport,
    APIConnectionError,
    APIResponseValidationError,
    APITimeoutError,
    ArtanisError,
    AsyncArtanis,
    CredentialsError,
    InternalServerError,
    NotFoundError,
)
from artanis_client.sandbox import Sandbox
from support import KEY, LIMIT, Answer, Both, Request, Server, ids, serve, span, trace, unmeasured


def run(action: Any, server: Any, *, transport: AiohttpTransport | None = None, **options: Any) -> Any:
    """Run `action(client)` on a client with the transport."""
    httpx_args = {"transport": transport or AiohttpTransport(), **options.pop("httpx_args", {})}
    return Both("asyncio", server).run(action, httpx_args=httpx_args, **options)


async def read_all(client: Any, **arguments: Any) -> list[str]:
    return [detail.id async for detail in client.traces.iter(**arguments)]


async def get_one(client: Any) -> Any:
    return await client.traces.get("x")


def test_every_call_goes_through_it(server: Server) -> None:
    """List, get and iter send the same headers as with httpx's own transport, except for aiohttp's order."""
    expected = serve(server, 9)
    assert run(read_all, server) == expected
    with_aiohttp = [sorted(request.headers.items()) for request in server.requests]
    server.requests.clear()
    assert Both("asyncio", server).run(read_all) == expected
    assert with_aiohttp == [sorted(request.headers.items()) for request in server.requests]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Answer(reset=True), APIConnectionError),
        (Answer(raw=b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{"), APIConnectionError),
        (Answer(raw=b"nonsense\r\n\r\n"), APIConnectionError),
        (Answer(500), InternalServerError),
        (Answer(404), NotFoundError),
        (Answer(200, b"{}"), APIResponseValidationError),
        (Answer(200, b"x", {"content-encoding": "gzip"}), APIResponseValidationError),
    ],
)
def test_errors(server: Server, answer: Answer, error: type[ArtanisError]) -> None:
    """Failures have the same names as with httpx's own transport, and never show the key."""
    server.answers = [answer]
    with pytest.raises(ArtanisError) as caught:
        run(get_one, server, max_retries=0)
    assert type(caught.value) is error
    assert KEY not in str(caught.value) + repr(caught.value.__cause__)


def test_an_answer_that_does_not_come(server: Server) -> None:
    """If no response arrives, the call raises APITimeoutError."""
    server.answer(hold=threading.Event())
    with pytest.raises(APITimeoutError, match=r"0\.2 s \(read\)"):
        run(get_one, server, max_retries=0, timeout=httpx.Timeout(LIMIT, read=0.2))


def test_a_body_that_stops(server: Server) -> None:
    """If the body stops arriving, the call raises APITimeoutError, too."""
    with socket.create_server(("127.0.0.1", 0)) as stalling:
        stalling.settimeout(LIMIT)
        connections: list[socket.socket] = []

        def accept() -> None:
            connection, _ = stalling.accept()
            connection.recv(10_000)
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{")
            connections.append(connection)

        thread = threading.Thread(target=accept)
        thread.start()
        url = f"http://127.0.0.1:{stalling.getsockname()[1]}"
        with pytest.raises(APITimeoutError, match="read"):
            run(get_one, server, base_url=url, max_retries=0, timeout=httpx.Timeout(LIMIT, read=0.2))
        thread.join()
        connections[0].close()


def test_nothing_listens(server: Server) -> None:
    """A refused connection is an APIConnectionError with the error of the operating system as its cause."""
    server.close()
    with pytest.raises(APIConnectionError) as caught:
        run(get_one, server, max_retries=0)
    assert isinstance(caught.value.__cause__, ConnectionRefusedError)


def test_transient_faults(quick_retries: None) -> None:
    """Transient failures are retried."""
    with Sandbox(traces=80, fault_rate=0.05, seed=3) as sandbox:
        found = run(lambda client: read_all(client, concurrency=32), sandbox, max_retries=6, max_connections=32)
    assert len(set(found)) == 80


def test_compression_and_cookies(server: Server) -> None:
    """A compressed body is decompressed once, and cookies are dropped."""

    def answer(trace_id: str) -> Answer:
        body = json.dumps({**trace(id=trace_id), "spans": [span()], "feedback": []}).encode()
        return Answer(body=gzip.compress(body), headers={"content-encoding": "gzip", "set-cookie": "a=b"})

    expected = serve(server, 9, answer)
    assert run(lambda client: read_all(client, concurrency=2), server) == expected
    assert not any("cookie" in request.headers for request in server.requests)


def test_long_headers(server: Server) -> None:
    """A header of 20 KiB is accepted, as by httpx's own transport."""
    server.answer(body={"prompts": []}, headers={"x-long": "a" * 20_000})
    assert run(lambda client: client.prompts.list(), server) == []


def test_hooks_see_elapsed(server: Server) -> None:
    """Hooks run, and can read `elapsed` once they have read the response."""
    server.answer(body={"prompts": []})
    seen: list[float] = []

    async def hook(response: httpx.Response) -> None:
        await response.aread()
        seen.append(response.elapsed.total_seconds())

    run(lambda client: client.prompts.list(), server, httpx_args={"event_hooks": {"response": [hook]}})
    assert len(seen) == 1
    assert seen[0] > 0


# TLS connections may take a moment to close, and the event loop does not wait for them when it ends.
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_tls(server: Server) -> None:
    """Certificates are verified with `verify`; without the right one the connection fails."""
    authority = trustme.CA()
    server_side, client_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server_side)
    authority.configure_trust(client_side)
    server.http.socket = server_side.wrap_socket(server.http.socket, server_side=True)
    server.url = server.url.replace("http:", "https:")
    expected = serve(server, 5)
    assert run(read_all, server, transport=AiohttpTransport(verify=client_side)) == expected
    assert run(read_all, server, transport=AiohttpTransport(verify=False)) == expected
    before = len(server.requests)
    with pytest.raises(APIConnectionError, match="SSL_CERT_FILE") as caught:
        run(lambda client: client.prompts.list(), server)  # not retried
    assert caught.value.remedy
    assert len(server.requests) == before


def test_the_proxy_of_the_environment(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment's proxy is used, except with NO_PROXY, `trust_env=False` or a loopback host."""
    monkeypatch.setenv("http_proxy", server.url)
    server.answer(body={"prompts": []})
    elsewhere: Any = {"base_url": "http://artanis.invalid", "allow_http": True, "max_retries": 0}

    def names(**options: Any) -> Any:
        return run(lambda client: client.prompts.list(), server, **options)

    assert names(**elsewhere) == []
    assert server.requests[0].path.startswith("http://artanis.invalid/api/prompts")
    with pytest.raises(APIConnectionError):
        names(**elsewhere, transport=AiohttpTransport(trust_env=False))
    monkeypatch.setenv("no_proxy", "artanis.invalid")
    with pytest.raises(APIConnectionError):
        names(**elsewhere)
    monkeypatch.delenv("no_proxy")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # where nothing listens
    assert names() == []


def test_one_transport_in_several_event_loops(server: Server) -> None:
    """Each event loop has its own session."""
    server.answer(body={"prompts": []})
    client = AsyncArtanis(**server.credentials, httpx_args={"transport": AiohttpTransport()})

    async def twice() -> None:
        await client.prompts.list()
        await client.prompts.list()
        await client._http.connections.local().client.aclose()

    for _ in range(3):
        asyncio.run(twice())
    assert len({request.connection for request in server.requests}) == 3


@pytest.mark.parametrize("error", [TimeoutError("mine"), OSError("mine"), MemoryError(), KeyError("mine")], ids=repr)
def test_foreign_exceptions_pass_through(server: Server, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """An exception of a signal handler passes through unchanged, even if aiohttp raises the same type."""

    def session(*_: object) -> None:
        raise error

    monkeypatch.setattr(AiohttpTransport, "_session", session)
    with pytest.raises(type(error)) as caught:
        run(lambda client: client.prompts.list(), server)
    assert caught.value is error


def test_a_proxy_that_refuses(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the proxy refuses, the request is not retried."""
    server.answer(407)
    monkeypatch.setenv("https_proxy", server.url)
    with pytest.raises(APIConnectionError, match="407"):
        run(lambda client: client.prompts.list(), server, base_url="https://artanis.invalid")
    assert len(server.requests) == 1


def test_trio_is_refused(server: Server) -> None:
    """Under trio, the transport raises RuntimeError."""
    with pytest.raises(RuntimeError, match="needs asyncio"):
        Both("trio", server).run(lambda client: client.prompts.list(), httpx_args={"transport": AiohttpTransport()})


@pytest.mark.parametrize("name", ["verify", "cert", "proxy", "http2"])
def test_arguments_that_httpx_would_ignore(server: Server, name: str) -> None:
    """Arguments that belong to the transport raise TypeError if `httpx_args` has them, too."""
    with pytest.raises(TypeError, match=f"'{name}' beside AiohttpTransport"):
        AsyncArtanis(**server.credentials, httpx_args={"transport": AiohttpTransport(), name: None})


def test_bulk_reads_use_the_transport_of_the_user(server: Server) -> None:
    """A mock transport sees every request of a bulk read, even if aiohttp is installed."""
    paths: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response:
        paths.append(request.url.path)
        if request.url.path == "/api/traces":
            return httpx.Response(200, json={"traces": [trace(id=trace_id) for trace_id in ids(300)]})
        body = {**trace(id=request.url.path.rpartition("/")[2]), "spans": [], "feedback": []}
        return httpx.Response(200, json=body)

    found = Both("asyncio", server).run(read_all, httpx_args={"transport": httpx.MockTransport(handle)})
    assert found == ids(300)
    assert len(paths) == 301
    assert server.requests == []


def test_without_the_extra() -> None:
    """Without aiohttp, making the transport raises an error that names the extra."""
    code = "import sys; sys.modules['aiohttp'] = None; from artanis_client import AiohttpTransport; AiohttpTransport()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=unmeasured(), timeout=LIMIT)
    assert done.returncode == 1
    assert "pip install 'artanis-client[fast]'" in done.stderr.splitlines()[-1]


def test_requests_with_a_body(server: Server) -> None:
    """The body of a request is sent unchanged."""
    server.answer(409, {"error": "exists"})

    async def post(client: Any) -> None:
        await client.api.get_async_httpx_client().post("/api/things", json={"a": 1})

    with pytest.raises(ArtanisError, match="409 exists"):
        run(post, server)
    sent: Request = server.requests[0]
    assert (sent.body, sent.headers["content-type"]) == (b'{"a":1}', "application/json")


def test_a_password_of_the_proxy(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy's password is sent to the proxy, and no error shows it."""
    monkeypatch.setenv("HTTPS_PROXY", server.url.replace("//", "//me:hunter%2F2@"))
    server.answer(407, headers={"proxy-authenticate": "Basic"})
    with pytest.raises(APIConnectionError) as caught:
        run(lambda client: client.prompts.list(), server, base_url="https://artanis.invalid", max_retries=0)
    assert server.requests[0].headers["proxy-authorization"] == "Basic " + b64encode(b"me:hunter/2").decode()
    assert "hunter" not in f"{caught.value!r} {caught.value.__cause__!r} {caught.value.__context__!r}"
    monkeypatch.setenv("HTTP_PROXY", server.url.replace("//", "//me:hunter%2F2@"))
    server.answers = [Answer(body={"prompts": []})]
    elsewhere: Any = {"base_url": "http://artanis.invalid", "allow_http": True}
    assert run(lambda client: client.prompts.list(), server, **elsewhere) == []
    assert server.requests[-1].headers["proxy-authorization"] == server.requests[0].headers["proxy-authorization"]
    monkeypatch.setenv("HTTPS_PROXY", "http://me:hunter/2@proxy.example.com")
    with pytest.raises(CredentialsError, match=r"The proxy from the environment \(HTTPS_PROXY\)") as refused:
        run(lambda client: client.prompts.list(), server, base_url="https://artanis.invalid", max_retries=0)
    assert "hunter" not in str(refused.value)


def test_no_proxy_with_networks(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_PROXY has the same effect as with httpx's own transport."""
    server.answer(body={"prompts": []})
    monkeypatch.setenv("HTTP_PROXY", server.url)
    monkeypatch.setenv("NO_PROXY", "[::1],::1/128,fe80::/10")
    elsewhere: Any = {"base_url": "http://artanis.invalid", "allow_http": True, "max_retries": 0}
    assert run(lambda client: client.prompts.list(), server, **elsewhere) == []

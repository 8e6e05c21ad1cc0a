"""TLS: custom authorities, client certificates, HTTP/2."""

from __future__ import annotations

import json
import logging
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import h2.events
import httpx
import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from artanis_client import APIConnectionError, Artanis, AsyncArtanis, CredentialsError
from support import KEY, Both, Server


class Authority:
    """A certificate authority with a server's context, and what a client needs to trust it."""

    def __init__(self) -> None:
        self.authority = trustme.CA()
        self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert("localhost").configure_cert(self.server)
        self.trusting = ssl.create_default_context()
        self.authority.configure_trust(self.trusting)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def tls(authority: Authority, server: Server) -> str:
    """The URL of the server, speaking TLS."""
    server.http.socket = authority.server.wrap_socket(server.http.socket, server_side=True)
    server.answer(body={"prompts": []})
    return server.url.replace("http://127.0.0.1", "https://localhost")


def prompts(both: Both, **options: Any) -> Any:
    return both.run(lambda client: client.prompts.list(), max_retries=0, **options)


def test_a_custom_authority(both: Both, tls: str, authority: Authority) -> None:
    """A custom CA goes in through `verify`; without it the connection fails with the reason to see."""
    assert prompts(both, base_url=tls, httpx_args={"verify": authority.trusting}) == []
    with pytest.raises(APIConnectionError, match=r"(?i)certificate") as caught:
        prompts(both, base_url=tls)
    assert isinstance(caught.value.__cause__, ssl.SSLError)


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])  # the second is not in the certificate
def test_an_untrusted_certificate_is_not_retried(
    both: Both, tls: str, authority: Authority, name: str, sleeps: list[float]
) -> None:
    """The error says what to do about it, as an attribute, too."""
    options: Any = {"httpx_args": {"verify": authority.trusting}} if name == "127.0.0.1" else {}
    with pytest.raises(APIConnectionError, match=r"SSL_CERT_FILE.*verify") as caught:
        both.run(lambda client: client.prompts.list(), base_url=tls.replace("localhost", name), **options)
    assert caught.value.remedy in str(caught.value)
    assert sleeps == []


def test_the_authority_of_the_environment(
    both: Both, tls: str, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SSL_CERT_FILE is obeyed, also when a client without it was made before."""
    with pytest.raises(APIConnectionError):
        prompts(both, base_url=tls)
    path = tmp_path / "ca.pem"
    authority.authority.cert_pem.write_to_path(path)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    assert prompts(both, base_url=tls) == []
    with pytest.raises(APIConnectionError):
        prompts(both, base_url=tls, httpx_args={"trust_env": False})


def test_a_client_certificate(both: Both, server: Server, authority: Authority) -> None:
    """A client certificate in the user's own context is presented."""
    demanding = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.authority.issue_cert("localhost").configure_cert(demanding)
    authority.authority.configure_trust(demanding)
    demanding.verify_mode = ssl.CERT_REQUIRED
    server.http.socket = demanding.wrap_socket(server.http.socket, server_side=True)
    server.answer(body={"prompts": []})
    url = server.url.replace("http://127.0.0.1", "https://localhost")
    own = ssl.create_default_context()
    authority.authority.configure_trust(own)
    with pytest.raises(APIConnectionError):
        prompts(both, base_url=url, httpx_args={"verify": own})
    authority.authority.issue_cert("me@example.com").configure_cert(own)
    assert prompts(both, base_url=url, httpx_args={"verify": own}) == []


class Http2Server:
    """Answers every request over HTTP/2 with an empty list of prompts."""

    def __init__(self, context: ssl.SSLContext) -> None:
        context.set_alpn_protocols(["h2"])
        self.headers: list[dict[str, str]] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://localhost:{self.listener.getsockname()[1]}"
        self.context = context
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        while True:
            try:
                plain, _ = self.listener.accept()
            except OSError:  # closed
                return
            threading.Thread(target=self.talk, args=(plain,), daemon=True).start()

    def talk(self, plain: socket.socket) -> None:
        with self.context.wrap_socket(plain, server_side=True) as connection:
            http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
            http.initiate_connection()
            connection.sendall(http.data_to_send())
            while received := connection.recv(65536):
                for event in http.receive_data(received):
                    if isinstance(event, h2.events.RequestReceived):
                        self.headers.append({str(name): str(value) for name, value in event.headers or []})
                        http.send_headers(
                            event.stream_id or 0, [(":status", "200"), ("content-type", "application/json")]
                        )
                        http.send_data(event.stream_id or 0, json.dumps({"prompts": []}).encode(), end_stream=True)
                connection.sendall(http.data_to_send())


@pytest.fixture
def http2(authority: Authority) -> Iterator[Http2Server]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.authority.issue_cert("localhost").configure_cert(context)
    server = Http2Server(context)
    yield server
    server.listener.close()


def test_http2(both: Both, http2: Http2Server, authority: Authority, caplog: pytest.LogCaptureFixture) -> None:
    """With `http2=True` both headers arrive over HTTP/2, and nothing logs the key, not even hpack at DEBUG."""
    versions: list[str] = []

    async def on_response(response: httpx.Response) -> None:
        versions.append(response.http_version)

    hook: Any = on_response if both.is_async else lambda response: versions.append(response.http_version)
    caplog.set_level(logging.DEBUG)
    for name in ("hpack.hpack", "hpack.table", "httpcore.http2"):
        caplog.set_level(logging.DEBUG, logger=name)
    own = ssl.create_default_context()
    authority.authority.configure_trust(own)
    arguments = {"verify": own, "http2": True, "event_hooks": {"response": [hook]}}
    assert prompts(both, base_url=http2.url, httpx_args=arguments) == []
    assert versions == ["HTTP/2"]
    assert http2.headers[0]["x-api-key"] == KEY
    shown = [record.getMessage() + str(record.args) for record in caplog.records]
    assert any("http2" in record.name for record in caplog.records)
    assert not [line for line in shown if KEY in line]


@pytest.fixture
def demanding(authority: Authority, server: Server) -> str:
    """The URL of the server, which demands a client certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.authority.issue_cert("localhost").configure_cert(context)
    authority.authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    server.http.socket = context.wrap_socket(server.http.socket, server_side=True)
    server.answer(body={"prompts": []})
    return server.url.replace("http://127.0.0.1", "https://localhost")


@pytest.fixture
def files(authority: Authority, tmp_path: Path) -> dict[str, Path]:
    """A CA file, and a client certificate: in one file, in two, and with an encrypted key."""
    issued = authority.authority.issue_cert("me@example.com")
    names = ("ca", "both", "cert", "key", "encrypted")
    found = {name: tmp_path / f"{name}.pem" for name in names}
    authority.authority.cert_pem.write_to_path(found["ca"])
    issued.private_key_and_cert_chain_pem.write_to_path(found["both"])
    issued.cert_chain_pems[0].write_to_path(found["cert"])
    issued.private_key_pem.write_to_path(found["key"])
    key = serialization.load_pem_private_key(found["key"].read_bytes(), None)
    encryption = serialization.BestAvailableEncryption(b"password")
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    found["encrypted"].write_bytes(key.private_bytes(pem, pkcs8, encryption))
    return found


@pytest.mark.parametrize("as_text", [True, False])
@pytest.mark.parametrize(
    "cert", [("both",), ("cert", "key"), ("cert", "key", ""), ("cert", "encrypted", "password")], ids=str
)
def test_certificates_as_paths(
    both: Both, demanding: str, files: dict[str, Path], cert: tuple[str, ...], as_text: bool
) -> None:
    """`verify` and `cert` take paths, in every form of httpx, without a warning."""
    paths: list[Any] = [str(files[name]) if as_text else files[name] for name in cert[:2]]
    chosen = paths[0] if len(cert) == 1 else (*paths, *cert[2:])
    verify = str(files["ca"]) if as_text else files["ca"]
    assert prompts(both, base_url=demanding, httpx_args={"verify": verify, "cert": chosen}) == []
    with pytest.raises(APIConnectionError):
        prompts(both, base_url=demanding, httpx_args={"verify": verify})


def test_a_directory_of_authorities(both: Both, tls: str, authority: Authority, files: dict[str, Path]) -> None:
    """`verify` takes a directory whose files are named as OpenSSL wants; without the authority, it trusts nobody."""
    folder = files["ca"].parent / "folder"
    folder.mkdir()
    with pytest.raises(APIConnectionError, match=r"(?i)certificate"):
        prompts(both, base_url=tls, httpx_args={"verify": str(folder)})
    done = subprocess.run(
        ["openssl", "x509", "-hash", "-noout", "-in", files["ca"]], capture_output=True, text=True, check=True
    )
    shutil.copy(files["ca"], folder / f"{done.stdout.strip()}.0")
    assert prompts(both, base_url=tls, httpx_args={"verify": str(folder)}) == []


@pytest.mark.parametrize("cls", [Artanis, AsyncArtanis])
@pytest.mark.parametrize("variable", [None, "SSL_CERT_FILE", "HTTPS_PROXY"])
def test_certificates_that_cannot_be_loaded(
    cls: Any, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch, variable: str | None
) -> None:
    """A wrong path is the same error in any environment, and names the path. No password is asked for."""
    if variable:
        monkeypatch.setenv(variable, str(files["ca"]) if variable == "SSL_CERT_FILE" else "http://proxy.example.com")
    files["ca"].with_name("empty.pem").write_text("")
    for arguments, message in (
        ({"verify": "/no/such/file"}, "No such file.*verify=/no/such/file"),
        ({"verify": str(files["ca"].with_name("empty.pem"))}, "verify=.*/empty.pem"),
        ({"cert": "/no/such/cert"}, "No such file.*cert=/no/such/cert"),
        ({"cert": (files["cert"], "/no/such/key")}, "No such file.*cert=.*cert.pem"),
        ({"cert": (files["cert"], files["encrypted"])}, "cert=.*cert.pem"),
        ({"cert": (files["cert"], files["encrypted"], "wrong-password")}, "cert=.*cert.pem"),
    ):
        with pytest.raises(CredentialsError, match=f"TLS cannot be set up: .*{message}") as caught:
            cls(api_key="k", org_slug="o", httpx_args=arguments)
        assert "wrong-password" not in str(caught.value)


def test_a_certificate_is_never_added_to_a_context_of_others(demanding: str, files: dict[str, Path]) -> None:
    """Beside an SSLContext, `cert` is refused; and after a client with a certificate, another has none."""
    shared = ssl.create_default_context(cafile=files["ca"])
    with pytest.raises(TypeError, match="cert cannot be passed beside an SSLContext"):
        Artanis(api_key="k", org_slug="o", httpx_args={"verify": shared, "cert": files["both"]})
    Artanis(api_key="k", org_slug="o", httpx_args={"cert": str(files["both"])}).close()
    client = Artanis(api_key="k", org_slug="o", base_url=demanding, max_retries=0, httpx_args={"verify": shared})
    with client, pytest.raises(APIConnectionError):
        client.prompts.list(project_slug="p")

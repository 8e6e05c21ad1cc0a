"""What people use beside httpx works with the client as it does with httpx."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
import respx
import sentry_sdk
import vcr
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pytest_httpx import HTTPXMock
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport

from artanis_client import APITimeoutError, Artanis, ArtanisError, NotFoundError
from support import KEY, PROMPT, Both, Server

pytestmark = pytest.mark.tooling
ANYWHERE: dict[str, Any] = {"base_url": "https://artanis.example.com"}


def test_pytest_httpx(both: Both, httpx_mock: HTTPXMock) -> None:
    """pytest-httpx answers, sees both headers, and raises what it is told to."""
    httpx_mock.add_response(url=re.compile(r".*/api/prompts\?.*"), json={"prompts": [PROMPT]})
    httpx_mock.add_response(url=re.compile(r".*/api/traces/.*"), status_code=404, json={"error": "Not found"})
    httpx_mock.add_exception(httpx.ReadTimeout("slow"), url=re.compile(r".*/api/prompts/.*"))
    assert both.run(lambda client: client.prompts.list(), **ANYWHERE)[0].id == PROMPT["id"]
    with pytest.raises(NotFoundError):
        both.run(lambda client: client.traces.get("x"), **ANYWHERE)
    with pytest.raises(APITimeoutError):
        both.run(lambda client: client.prompts.get("x"), **ANYWHERE, max_retries=0)
    assert httpx_mock.get_requests()[0].headers["x-api-key"] == KEY


def test_respx(both: Both) -> None:
    """respx answers and counts."""
    with respx.mock(base_url="https://artanis.example.com") as router:
        route = router.get("/api/prompts").respond(json={"prompts": [PROMPT]})
        router.get("/api/traces/x").mock(
            side_effect=[httpx.Response(503, headers={"Retry-After": "0"}), httpx.Response(404)]
        )
        assert both.run(lambda client: client.prompts.list(), **ANYWHERE)[0].id == PROMPT["id"]
        assert route.calls.last.request.headers["x-org-slug"] == "my-org"
        with pytest.raises(NotFoundError):
            both.run(lambda client: client.traces.get("x"), **ANYWHERE)


@pytest.mark.parametrize("kind", ["sync", "asyncio"])
def test_vcrpy(kind: str, server: Server, tmp_path: Path) -> None:
    """vcrpy records and plays back; with its filter the recorded file holds no key."""
    both = Both(kind, server)
    server.answer(body={"prompts": [PROMPT]})
    recorder = vcr.VCR(filter_headers=["x-api-key"], cassette_library_dir=str(tmp_path))
    for _ in range(2):
        with recorder.use_cassette("prompts.yaml"):
            assert both.run(lambda client: client.prompts.list())[0].id == PROMPT["id"]
    assert len(server.requests) == 1
    assert KEY not in (tmp_path / "prompts.yaml").read_text()


def test_opentelemetry(both: Both, server: Server) -> None:
    """The instrumentation of httpx makes a span of each attempt, without the key in it."""
    server.answer(503, {"error": "x"}, {"Retry-After": "0"})
    server.answer(body={"prompts": [PROMPT]})
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    HTTPXClientInstrumentor().instrument(tracer_provider=provider)
    try:
        both.run(lambda client: client.prompts.list())
    finally:
        HTTPXClientInstrumentor().uninstrument()
    spans = exporter.get_finished_spans()
    assert [dict(span.attributes or {}).get("http.status_code") for span in spans] == [503, 200]
    assert KEY not in "".join(span.to_json() for span in spans)


class Recorder(Transport):
    """Keeps what would be sent to Sentry."""

    def __init__(self, options: Any = None) -> None:
        super().__init__(options)
        self.sent: list[str] = []

    def capture_envelope(self, envelope: Envelope) -> None:
        self.sent.append(envelope.serialize().decode())


@pytest.mark.parametrize("failing", ["401", "refused", "cut", "timeout", "shape", "echo"])
def test_sentry(both: Both, failing: str) -> None:
    """An error report, with local variables and breadcrumbs, says what failed and holds no key."""
    from test_secrecy import failure

    transport = Recorder()
    sentry_sdk.init(
        dsn="https://public@sentry.invalid/1",
        transport=transport,
        max_request_body_size="always",
        traces_sample_rate=1.0,
    )
    try:
        error = failure(both, failing)
        sentry_sdk.capture_exception(error)
        sentry_sdk.flush()
    finally:
        sentry_sdk.init()
    [report] = [json.loads(line) for line in "".join(transport.sent).splitlines() if '"exception"' in line]
    values = report["exception"]["values"]
    assert values[-1]["type"] == type(error).__name__
    seen = 0
    for value in values:
        frames = value.get("stacktrace", {}).get("frames", [])
        # The tests' own frames hold the arguments that they pass, key included.
        frames[:] = [frame for frame in frames if "/tests/" not in frame["abs_path"]]
        seen += sum(bool(frame["vars"]) for frame in frames)
    assert seen >= 3
    assert KEY not in json.dumps(report)


def test_sentry_breadcrumbs_of_a_success(server: Server) -> None:
    """The breadcrumbs and spans that Sentry's own httpx integration makes hold no key either."""
    server.answer(body={"prompts": [PROMPT]})
    transport = Recorder()
    sentry_sdk.init(dsn="https://public@sentry.invalid/1", transport=transport, traces_sample_rate=1.0)
    try:
        with sentry_sdk.start_transaction(name="t"), Artanis(**server.credentials) as client:
            client.prompts.list()
        sentry_sdk.capture_message("done")
        sentry_sdk.flush()
    finally:
        sentry_sdk.init()
    report = "".join(transport.sent)
    assert "/api/prompts" in report
    assert KEY not in report
    assert ArtanisError.__name__ not in report

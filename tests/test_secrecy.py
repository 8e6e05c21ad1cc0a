"""The key is nowhere: no repr, no error, no log record, no traceback, no local variable, no error report."""

from __future__ import annotations

import logging
import pickle
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from artanis_client import Artanis, ArtanisError
from support import KEY, LIMIT, Answer, Both, Request, Server, everything_shown, span, trace


def cut(server: Server) -> None:
    server.answer(raw=b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"id')


def echo(request: Request) -> Answer:
    key = request.headers["x-api-key"]
    return Answer(403, {"error": f"key {key} may not", key: [key]}, {"X-Debug": f"{key}!", "X-Request-Id": key})


FAILURES: dict[str, Callable[[Server], object]] = {
    "401": lambda server: server.answer(401, {"error": "Not authenticated"}),
    "503": lambda server: server.answer(503, {"error": "x"}, {"Retry-After": "0"}),
    "redirect": lambda server: server.answer(302, headers={"Location": "/x"}),
    "refused": lambda server: server.close(),
    "reset": lambda server: server.answer(reset=True),
    "cut": cut,
    "nonsense": lambda server: server.answer(raw=b"nonsense\r\n\r\n"),
    "timeout": lambda server: server.answer(hold=threading.Event()),
    "shape": lambda server: server.answer(body=trace(spans=[span(id=5)], feedback=[])),
    "not json": lambda server: server.answer(body=b"<html>"),
    "gzip": lambda server: server.answer(body=b"<html>", headers={"Content-Encoding": "gzip"}),
    "echo": lambda server: server.answers.append(echo),
    "echo in a 200": lambda server: server.answers.append(
        lambda request: Answer(200, {"id": request.headers["x-api-key"]})
    ),
    "echo in no json": lambda server: server.answers.append(
        lambda request: Answer(200, b"<" + request.headers["x-api-key"].encode())
    ),
}


TIMEOUTS: dict[str, Any] = {"timeout": {"timeout": httpx.Timeout(LIMIT, read=0.1)}}


def failure(both: Both, name: str, **options: Any) -> ArtanisError:
    FAILURES[name](both.server)
    with pytest.raises(ArtanisError) as caught:
        both.run(lambda client: client.traces.get("t1"), **{"max_retries": 0, **TIMEOUTS.get(name, {}), **options})
    return caught.value


@pytest.mark.filterwarnings("ignore:Async generator:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", FAILURES)
def test_errors_do_not_show_the_key(both: Both, name: str) -> None:
    """No text, attribute, cause, pickle or local variable of any frame has it, whatever the failure."""
    error = failure(both, name)
    assert KEY not in everything_shown(error)
    assert KEY.encode() not in pickle.dumps(error)
    report = traceback.TracebackException.from_exception(error, capture_locals=True)
    ours = [frame for frame in report.stack if Path(__file__).parent not in Path(frame.filename).parents]
    assert ours
    assert KEY not in str([frame.locals for frame in ours])


@pytest.mark.parametrize(("name", "attempts"), [("401", 1), ("503", 2), ("cut", 2), ("shape", 1)])
def test_nor_do_errors_after_retries(both: Both, name: str, attempts: int, sleeps: list[float]) -> None:
    """Nor when the call was repeated first, where that may help."""
    assert KEY not in everything_shown(failure(both, name, max_retries=1))
    assert len(both.server.requests) == attempts


@pytest.mark.parametrize("name", ["401", "echo"])
def test_nor_do_errors_with_a_key_function(both: Both, name: str) -> None:
    """Nor when the key came from a function that was asked twice."""
    error = failure(both, name, api_key=lambda: KEY)
    assert KEY not in everything_shown(error)


def test_the_cause_stays_visible(both: Both) -> None:
    """What the operating system said is the cause of the error, without frames."""
    error = failure(both, "refused")
    assert isinstance(error.__cause__, OSError)
    assert error.__cause__.__traceback__ is None
    assert error.__cause__.__context__ is None


def test_what_the_server_echoes_is_redacted(both: Both) -> None:
    """A server that sends the key back does not get it into the error; the rest of its text stays."""
    error: Any = failure(both, "echo")
    assert error.message == "key **** may not"
    assert error.body == {"error": "key **** may not", "****": ["****"]}
    assert error.headers["x-debug"] == "****!"
    assert error.request_id == "****"


def test_logs_do_not_show_the_key(both: Both, server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """No logger of any library writes it at DEBUG; for HTTP/2 see the tests of TLS."""
    caplog.set_level(logging.DEBUG)
    server.answer(503, {"error": "x"}, {"Retry-After": "0"})
    server.answer(401, {"error": "Not authenticated"})
    with pytest.raises(ArtanisError):
        both.run(lambda client: client.prompts.list())
    shown = [record.getMessage() + str(record.args) for record in caplog.records]
    assert any("send_request_headers" in line for line in shown)
    assert not [line for line in shown if KEY in line]


def test_the_client_does_not_show_the_key(server: Server) -> None:
    """No repr of the client or of anything it holds has it; the client cannot be pickled by accident."""
    server.answer(body={"prompts": []})
    with Artanis(**server.credentials) as client:
        client.prompts.list()
        shown: list[str] = []
        todo: list[Any] = [client]
        seen: set[int] = set()
        while todo and len(seen) < 2000:
            item = todo.pop()
            if id(item) in seen:
                continue
            seen.add(id(item))
            shown.append(repr(item))
            todo += list(getattr(item, "__dict__", {}).values())
            todo += item if isinstance(item, list | tuple) else item.values() if isinstance(item, dict) else []
        assert len(seen) > 50
        assert KEY not in "".join(shown)
        with pytest.raises(TypeError):
            pickle.dumps(client)


@pytest.mark.parametrize("key", [KEY, "with/slash-and\\backslash", "with'quote\"s-in-it", "base64+key/of=="])
@pytest.mark.parametrize(
    "place", ["status line", "header name", "at the cut", "shape", "escaped", "unicode", "url", "html"]
)
def test_echoes_in_odd_places(server: Server, key: str, place: str) -> None:
    """Wherever the server repeats the key, and however JSON or a repr writes it, it is found."""
    raw = key.encode()
    if place == "status line":
        server.answer(raw=raw + b" is no status line\r\n\r\n")
    elif place == "header name":
        server.answer(500, b"", {"X-" + KEY: "1"})
    elif place == "at the cut":
        server.answer(500, b"x" * (65536 - len(raw) // 2) + raw + b"x" * 100)
    elif place == "shape":
        server.answer(body=trace(createdAt=key, spans=[], feedback=[]))
    elif place == "escaped":
        server.answer(500, b"<" + key.replace("/", "\\/").encode() + b">")
    else:
        escape = {"unicode": "\\u{:04X}", "url": "%{:02x}", "html": "&#{};"}[place].format
        text = "".join(char if char.isalnum() else escape(ord(char)) for char in key)
        server.answer(500, f"<{text}>".encode())
    with pytest.raises(ArtanisError) as caught:
        Both("sync", server).run(lambda client: client.traces.get("t1"), api_key=key, max_retries=0)
    shown = everything_shown(caught.value)
    assert key not in shown
    assert repr(key)[1:-1] not in shown
    if place in ("escaped", "unicode", "url", "html"):
        assert caught.value.body == "<****>"  # type: ignore[attr-defined]
    assert key[:-4] not in str(getattr(caught.value, "body", ""))[-100:]


def test_the_key_before_a_rotation_is_redacted_too(both: Both, server: Server) -> None:
    """A server that quotes the key it refused first does not get that one into the error either."""
    server.answer(401, {"error": "x"})
    server.answer(401, {"error": "neither old-key-0 nor old-key-1"})
    numbers = iter(range(10))
    with pytest.raises(ArtanisError) as caught:
        both.run(lambda client: client.prompts.list(), api_key=lambda: f"old-key-{next(numbers)}")
    assert getattr(caught.value, "message", "") == "neither **** nor ****"

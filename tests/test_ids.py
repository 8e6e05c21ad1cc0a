"""`client.traces.ids`: what `list` returns, without the memory for it."""

from __future__ import annotations

import gzip
import json
import sys
import tracemalloc
from typing import Any

import pytest

from artanis_client import (
    APIConnectionError,
    APIResponseValidationError,
    APIStatusError,
    Artanis,
    ArtanisError,
    AuthenticationError,
)
from support import KEY, LIMIT, Answer, Both, Server, everything_shown, ids, trace

SHORT, LONG = 3, 2500
"""Lists that are parsed at their end, and in several batches."""


def traces(count: int, wrong: dict[int, Any] | None = None) -> list[Any]:
    """One trace for each hour, newest first; `wrong` replaces some of them."""
    found: list[Any] = []
    for number, trace_id in enumerate(ids(count)):
        day, hour = divmod((count - number) % 8000, 24)
        month, day = divmod(day, 28)
        moment = f"2026-{month + 1:02}-{day + 1:02}T{hour:02}:00:00.000Z"
        found.append(trace(id=trace_id, createdAt=moment, metadata={"item": [1.5, 10**30]}))
    for number, value in (wrong or {}).items():
        found[number] = value
    return found


@pytest.mark.parametrize("count", [0, SHORT, 1000, 1001, LONG])
@pytest.mark.parametrize("period", [{}, {"since": "2026-01-15", "until": "2026-03-02"}], ids=["all", "period"])
def test_the_ids_of_the_list(both: Both, count: int, period: dict[str, str]) -> None:
    """`ids` returns the ids that `list` returns, in its order, with the same choice of traces."""
    both.server.answer(body={"traces": traces(count), "more": {"traces": [{"id": "x"}]}})
    found = both.run(lambda client: client.traces.ids(**period))
    assert found == [listed.id for listed in both.run(lambda client: client.traces.list(**period))]
    assert period or len(found) == count
    assert both.server.requests[0].path == both.server.requests[1].path


def error_of(both: Both, method: str) -> ArtanisError:
    with pytest.raises(ArtanisError) as raised:
        both.run(lambda client: getattr(client.traces, method)(), max_retries=0)
    shown = everything_shown(raised.value)
    assert KEY not in shown
    return raised.value


SHAPES: dict[str, Any] = {
    "no object": [],
    "no list": {"traces": None},
    "missing": {"prompts": []},
    "object": {"traces": {"item": trace()}},
    "short": {"traces": traces(SHORT, {1: trace(createdAt="yesterday")})},
    "not JSON": b'{"traces": [{"id": nothing}]}',
    "empty": b"",
    "long, no trace": {"traces": traces(LONG, {1700: None})},
    "long, no id": {"traces": traces(LONG, {0: {"status": "completed"}})},
    "long, wrong time": {"traces": traces(LONG, {LONG - 1: trace(updatedAt=f"2026-02-30 {KEY}")})},
}


@pytest.mark.parametrize("body", SHAPES.values(), ids=SHAPES)
def test_shape_errors(both: Both, body: Any) -> None:
    """A list that does not match the contract is the same error as from `list`, with the place of the first mistake."""
    both.server.answer(body=body)
    expected, found = error_of(both, "list"), error_of(both, "ids")
    assert isinstance(found, APIResponseValidationError)
    assert isinstance(expected, APIResponseValidationError)
    assert (str(found), found.path, found.problem) == (str(expected), expected.path, expected.problem)
    assert (found.status_code, found.url) == (expected.status_code, expected.url)
    assert str(found.body)[:50] == str(expected.body)[:50]


@pytest.mark.parametrize("change", [lambda text: text + "x", lambda text: text[:-1], lambda text: text[:-900] + "}"])
def test_a_long_list_that_is_not_json(both: Both, change: Any) -> None:
    """A long list that is not JSON is a shape error, wherever the mistake is."""
    both.server.answer(body=change(json.dumps({"traces": traces(LONG)})).encode())
    error = error_of(both, "ids")
    assert isinstance(error, APIResponseValidationError)
    assert error.problem == "is not JSON"
    assert str(error.body).startswith('{"traces": [{"id": ')


@pytest.mark.parametrize("place", [1001, LONG - 1])
@pytest.mark.parametrize("is_compressed", [False, True], ids=["plain", "gzip"])
def test_a_mistake_where_the_list_becomes_long(both: Both, place: int, is_compressed: bool) -> None:
    """A mistake in the chunk that ends the first batch is an error, and never the end of the list."""
    body = json.dumps({"traces": traces(LONG, {place: 1})}).replace(", 1,", ", nothing,").replace(", 1]", ", nothing]")
    packed = gzip.compress(body.encode()) if is_compressed else body.encode()
    both.server.answer(body=packed, headers={"content-encoding": "gzip"} if is_compressed else {})
    assert isinstance(error_of(both, "ids"), APIResponseValidationError)


@pytest.mark.parametrize("status", [201, 302, 401, 403, 404, 429, 500])
def test_statuses(both: Both, status: int) -> None:
    """Another status is the same error as from `list`."""
    both.server.answer(status, {"error": "no", "traces": [1]})
    expected, found = error_of(both, "list"), error_of(both, "ids")
    assert type(found) is type(expected)
    assert str(found) == str(expected)
    assert getattr(found, "body", None) == getattr(expected, "body", None)
    assert isinstance(found, AuthenticationError) == (status == 401)
    assert isinstance(found, APIStatusError) == (status != 201)


@pytest.mark.usefixtures("quick_retries")
def test_a_list_that_is_cut_off(both: Both) -> None:
    """If the connection breaks in the middle of the list, the list is read again from the start."""
    body = json.dumps({"traces": traces(LONG)}).encode()
    head = f"HTTP/1.1 200 OK\r\ncontent-length: {len(body)}\r\n\r\n".encode()
    both.server.answers = [Answer(raw=head + body[:-1000]), Answer(503), Answer(body=body)]
    assert both.run(lambda client: client.traces.ids()) == ids(LONG)
    both.server.answers = [Answer(raw=head + body[:-1000])]
    assert isinstance(error_of(both, "ids"), APIConnectionError)


def test_other_calls_in_between(server: Server) -> None:
    """After `ids`, other calls read their responses as usual."""
    server.answer(body={"traces": traces(LONG)})
    with Artanis(**server.credentials, timeout=LIMIT) as client:
        assert len(client.traces.ids()) == len(client.traces.list()) == LONG


def test_memory(server: Server) -> None:
    """Ten times as many traces take only the memory of their ids."""

    def peak(count: int) -> int:
        server.answers = [Answer(body=json.dumps({"traces": traces(count)}).encode())]
        with Artanis(**server.credentials, timeout=LIMIT) as client:
            client.traces.ids()
            tracemalloc.start()
            found = client.traces.ids()
            most = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert len(found) == count
        return most

    assert (peak(16_000) - peak(1600)) / 14_400 < 150  # bytes for each id; a listed trace takes 1.6 KiB


def test_without_ijson(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without ijson, the error says what to install, before any request."""
    monkeypatch.setitem(sys.modules, "ijson", None)
    monkeypatch.delitem(sys.modules, "artanis_client.bulk._id_list", raising=False)
    with Artanis(**server.credentials) as client, pytest.raises(ImportError, match=r"artanis-client\[stream\]"):
        client.traces.ids()
    assert server.requests == []


@pytest.mark.parametrize("wrong", [{"project_slug": "a", "project_id": "b"}, {"since": "soon"}])
def test_arguments(both: Both, wrong: dict[str, Any]) -> None:
    """Wrong arguments raise the errors of `list`, before any request."""
    with pytest.raises(ValueError, match=r"not both|ISO 8601"):
        both.run(lambda client: client.traces.ids(**wrong))
    assert both.server.requests == []

"""Responses that nobody expects: nothing but an ArtanisError comes out, whatever the server says.

`make test` generates about a hundred of them, `make slow` ten thousand.
"""

from __future__ import annotations

import contextlib
import copy
import gzip
import json
import pickle
import random
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from artanis_client import (
    APIConnectionError,
    APIResponseValidationError,
    APIStatusError,
    Artanis,
    ArtanisError,
    AsyncArtanis,
)
from artanis_client.contract import load_contract
from support import IS_SLOW

EXAMPLES = 1250 if IS_SLOW else 13  # per operation, sync and async: 10,000 or 104 in all
OPTIONS: dict[str, Any] = {"api_key": "some-key", "org_slug": "o", "project_slug": "p", "max_retries": 0}
CONTRACT = load_contract()
CALLS: dict[str, Any] = {
    "/api/prompts": lambda client: client.prompts.list(),
    "/api/prompts/{promptId}": lambda client: client.prompts.get("p1"),
    "/api/traces": lambda client: client.traces.list(since="2026"),
    "/api/traces/{traceId}": lambda client: client.traces.get("t1"),
}

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
STATUSES = st.sampled_from(
    [200] * 12 + [201, 204, 206, 299, 300, 301, 304, 307, 400, 401, 403, 404, 408, 409, 422, 429, 499]
)
MORE_STATUSES = st.integers(500, 599) | st.sampled_from([100, 199, 600, 799, 999])
HEADER_VALUE = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=12)
HEADERS = st.dictionaries(
    st.sampled_from(
        ["content-type", "retry-after", "location", "x-request-id", "set-cookie", "content-encoding", "date"]
    ),
    HEADER_VALUE
    | st.sampled_from(["gzip", "br", "0", "61", "-1", "/x", "http://[", "text/html; charset=utf-16", "a=b"]),
    max_size=3,
)


def mutated(sample: Any, choose: random.Random, value: Any) -> Any:
    """The sample with something wrong in up to three places."""
    sample = copy.deepcopy(sample)
    for _ in range(choose.randint(0, 3)):
        places: list[tuple[Any, Any]] = []
        todo = [sample]
        while todo:
            item = todo.pop()
            keys = list(item) if isinstance(item, dict) else range(len(item)) if isinstance(item, list) else []
            places += [(item, key) for key in keys]
            todo += [item[key] for key in keys]
        if not places:
            break
        container, key = choose.choice(places)
        match choose.randint(0, 3):
            case 0:
                del container[key]
            case 1 if isinstance(container, dict):
                container[f"x{key}"] = container.pop(key)
            case _:
                container[key] = copy.deepcopy(value)
    return sample


@st.composite
def responses(draw: st.DrawFn, path: str) -> httpx.Response:
    status = draw(STATUSES | MORE_STATUSES)
    headers = draw(HEADERS)
    documented = CONTRACT["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["examples"]
    sample = draw(st.sampled_from([example["value"] for example in documented.values()] + [{"error": "why"}]))
    sample = mutated(sample, random.Random(draw(st.integers(0, 2**32))), draw(ANY_JSON))
    body = json.dumps(sample).encode()
    form = draw(st.sampled_from(["json"] * 8 + ["cut", "gzip", "utf-16", "latin-1", "bytes", "deep"]))
    if form == "cut":
        body = body[: draw(st.integers(0, len(body)))]
    elif form == "gzip":
        body, headers = gzip.compress(body)[: draw(st.integers(0, 200))], {**headers, "content-encoding": "gzip"}
    elif form in ("utf-16", "latin-1"):
        body = json.dumps(sample, ensure_ascii=False).encode(form, "replace")
    elif form == "bytes":
        body = draw(st.binary(max_size=60))
    elif form == "deep":
        body = b'{"a":[' * draw(st.sampled_from([50, 500, 5000, 50_000]))
    return make_response(status, headers, body)


def make_response(status: int, headers: dict[str, str], body: bytes) -> httpx.Response:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    return httpx.Response(status, headers=raw, stream=Stream(body))


class Stream(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body in pieces, as from a socket."""

    def __init__(self, body: bytes) -> None:
        self.pieces = [body[start : start + 1000] for start in range(0, len(body), 1000)]

    def __iter__(self) -> Any:
        return iter(self.pieces)

    async def __aiter__(self) -> Any:
        for piece in self.pieces:
            yield piece


def check(error: ArtanisError, status: int) -> None:
    expected = APIResponseValidationError if 200 <= status < 300 else APIStatusError
    assert isinstance(error, expected | APIConnectionError)
    assert "\n" not in str(error)
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again)) == (type(error), str(error))
    with contextlib.suppress(UnicodeEncodeError):  # a lone surrogate that the server escaped
        str(error).encode()


@contextlib.contextmanager
def checking(status: int) -> Iterator[None]:
    """A call returns, or raises an error that fits the status and survives pickling."""
    try:
        yield
    except ArtanisError as error:
        check(error, status)
    else:
        assert status == 200


def ask(path: str, responses: list[httpx.Response]) -> None:
    """Call an operation once for each response, with one client."""
    answers = iter(responses)
    transport = httpx.MockTransport(lambda _: next(answers))
    with Artanis(**OPTIONS, httpx_args={"transport": transport}) as client:
        for response in responses:
            with checking(response.status_code):
                CALLS[path](client)


def ask_async(path: str, responses: list[httpx.Response]) -> None:
    """The same with `AsyncArtanis`."""
    answers = iter(responses)
    transport = httpx.MockTransport(lambda _: next(answers))

    async def main() -> None:
        async with AsyncArtanis(**OPTIONS, httpx_args={"transport": transport}) as client:
            for response in responses:
                with checking(response.status_code):
                    await CALLS[path](client)

    anyio.run(main)


Ask = Callable[[str, list[httpx.Response]], None]
every_call = pytest.mark.parametrize(("ask", "path"), [(ask, path) for ask in (ask, ask_async) for path in CALLS])


@pytest.mark.once
@every_call
def test_any_response(ask: Ask, path: str) -> None:
    """Whatever the response, the call returns or raises an error that fits the status."""

    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(responses(path))
    def run(response: httpx.Response) -> None:
        ask(path, [response])

    run()


KNOWN: list[tuple[int, dict[str, str], bytes]] = [
    (100, {}, b""),
    (200, {}, b""),
    (200, {}, b"null"),
    (200, {}, b"[]"),
    (200, {}, b"{}"),
    (200, {}, b'{"prompts": null, "traces": null, "versions": null, "spans": null, "feedback": null}'),
    (200, {}, b'{"prompts": [null], "traces": [null], "versions": [null], "spans": [null], "feedback": [null]}'),
    (200, {}, b'{"prompts": [{"id": "cut off'),
    (200, {}, b'{"a":[' * 50_000),
    (200, {}, b"9" * 5000),
    (200, {}, b"\xff\xfe"),
    (200, {}, '{"é": 1}'.encode("latin-1")),
    (200, {}, '{"error": "why"}'.encode("utf-16")),
    (200, {"content-type": "text/html; charset=utf-16"}, b"<html>"),
    (200, {"content-type": "application/json; charset=no-such"}, b"{"),
    (200, {"content-encoding": "gzip"}, b"{}"),
    (200, {"content-encoding": "gzip"}, gzip.compress(b"{}")[:-9]),
    (200, {"content-encoding": "deflate"}, b"\x00"),
    (204, {}, b""),
    (206, {}, b"{"),
    (299, {}, b'{"error": 5}'),
    (301, {"location": "\xe9\x80"}, b"moved"),
    (304, {}, b""),
    (307, {"location": "http://["}, b""),
    (400, {}, b'{"error": "\\ud800"}'),
    (401, {"set-cookie": "a=b", "x-request-id": "\xff"}, b'{"error": {"message": null}}'),
    (404, {}, b'{"error": "two\\nlines\\u001b[2J"}'),
    (429, {"retry-after": "-1"}, b""),
    (429, {"retry-after": "9" * 400}, b""),
    (429, {"retry-after": "Thu, 99 Foo 2026 99:99:99 GMT"}, b""),
    (499, {}, b"[" * 50_000),
    (500, {"content-encoding": "gzip"}, b"not compressed"),
    (520, {}, b"<html>"),
    (999, {}, b"\x00"),
]


@every_call
def test_known_traps(ask: Ask, path: str) -> None:
    """Responses that have crashed clients are tried in every run: status, headers, body."""
    ask(path, [make_response(*known) for known in KNOWN])

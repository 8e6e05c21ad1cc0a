"""Ten thousand responses that nobody expects: nothing but an ArtanisError comes out, whatever the server says."""

from __future__ import annotations

import contextlib
import copy
import gzip
import json
import pickle
import random
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

EXAMPLES = 1250  # of each operation, both ways: 10,000
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


@pytest.mark.parametrize("path", CALLS)
def test_sync(path: str) -> None:
    """Sync: the call returns, or raises an error that fits the status and survives pickling."""
    answers: list[httpx.Response] = []
    options: Any = {"api_key": "some-key", "org_slug": "o", "project_slug": "p", "max_retries": 0}
    with Artanis(**options, httpx_args={"transport": httpx.MockTransport(lambda _: answers[0])}) as client:

        @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(responses(path))
        def run(response: httpx.Response) -> None:
            answers[:] = [response]
            try:
                CALLS[path](client)
            except ArtanisError as error:
                check(error, response.status_code)
            else:
                assert response.status_code == 200

        run()


@pytest.mark.parametrize("path", CALLS)
def test_async(path: str) -> None:
    """Async: the same."""
    answers: list[httpx.Response] = []
    options: Any = {"api_key": "some-key", "org_slug": "o", "project_slug": "p", "max_retries": 0}

    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(responses(path), min_size=1, max_size=1))
    def run(batch: list[httpx.Response]) -> None:
        async def main() -> None:
            async with AsyncArtanis(
                **options, httpx_args={"transport": httpx.MockTransport(lambda _: answers[0])}
            ) as client:
                for response in batch:
                    answers[:] = [response]
                    try:
                        await CALLS[path](client)
                    except ArtanisError as error:
                        check(error, response.status_code)
                    else:
                        assert response.status_code == 200

        anyio.run(main)

    run()

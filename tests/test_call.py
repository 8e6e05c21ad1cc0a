"""`call` and `acall`: a response that does not match the contract is one kind of error, which says what and where."""

from __future__ import annotations

import functools
import gzip
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from artanis_api.api.prompts import get_prompt, list_prompts
from artanis_api.api.traces import get_trace
from artanis_client import APIResponseValidationError, Artanis, ArtanisError, NotFoundError, call, models
from support import LIMIT, PROMPT, Answer, Both, Server, span, trace, unmeasured

DETAIL = trace(spans=[span(), span(promptVersionId=None)], feedback=[])


def with_value(path: list[str | int], value: Any) -> Any:
    """The sample with another value at a path."""
    sample = json.loads(json.dumps(DETAIL))
    inner = sample
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    return sample


def refused(both: Both, server: Server, body: Any, **answer: Any) -> APIResponseValidationError:
    server.answers.clear()
    server.answer(body=body, **answer)
    with pytest.raises(APIResponseValidationError) as caught:
        both.run(lambda client: client.traces.get("t1"))
    assert type(caught.value) is APIResponseValidationError
    assert caught.value.__context__ is None
    return caught.value


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["id"], 5, "id should be string, not integer"),
        (["id"], None, "id should be string, not null"),
        (["status"], True, "status should be string, not boolean"),
        (["createdAt"], "yesterday", "createdAt should be date-time, not 'yesterday'"),
        (["createdAt"], 1712566800, "createdAt should be date-time, not integer"),
        (["createdAt"], None, "createdAt should be date-time, not null"),
        (["spans"], None, "spans should be array, not null"),
        (["spans"], {}, "spans should be array, not object"),
        (["spans"], "", "spans should be array, not ''"),
        (["spans"], "text", "spans should be array, not 'text'"),
        (["feedback"], {}, "feedback should be array, not object"),
        (["spans", 1], None, "spans[1] should be object, not null"),
        (["spans", 1], [], "spans[1] should be object, not array"),
        (["spans", 0, "parentSpanId"], 5, "spans[0].parentSpanId should be null or string, not integer"),
        (["spans", 1, "promptVersionId"], [], "spans[1].promptVersionId should be null or string, not array"),
        (["spans", 1, "stepId"], 1.5, "spans[1].stepId should be string, not number"),
        (["feedback"], [{"id": "f1"}], "feedback[0].spanId is missing"),
    ],
    ids=str,
)
def test_wrong_shapes(both: Both, server: Server, path: list[str | int], value: Any, message: str) -> None:
    """A wrong type at any depth is found, and named with its path."""
    error = refused(both, server, with_value(path, value))
    assert message in str(error)
    assert (error.status_code, error.body) == (200, with_value(path, value))
    assert error.url.endswith("/api/traces/t1")


@pytest.mark.parametrize("key", sorted(DETAIL))
def test_missing_fields(both: Both, server: Server, key: str) -> None:
    """A required field that is missing is named."""
    body = {name: value for name, value in DETAIL.items() if name != key}
    assert "is missing" in str(refused(both, server, body))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "not JSON"),
        (b"<html>", "not JSON"),
        (b'{"id": "cut', "not JSON"),
        (b"\xff\xfe\xfd", "not JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b"null", "it should be object, not null"),
        (b"[]", "it should be object, not array"),
        (b'"text"', "it should be object, not 'text'"),
        (b"5", "it should be object, not integer"),
        (b"{}", "id is missing"),
        (b'{"id": ' + b"9" * 5000 + b"}", "not JSON"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_bodies_that_are_something_else(both: Both, server: Server, body: bytes, message: str) -> None:
    """A 2xx with another body than the contract's is the same error."""
    assert message in str(refused(both, server, body))


@pytest.mark.parametrize("status", [201, 202, 203, 204, 206, 299])
def test_undocumented_success(both: Both, server: Server, status: int) -> None:
    """A 2xx that the contract does not document is no success to rely on."""
    error = refused(both, server, DETAIL if status != 204 else b"", status=status)
    assert error.status_code == status
    assert f"it has the status {status}, which is not documented" in str(error)


# httpx's generators cannot be closed from outside; trio notices that they are left to the garbage collector.
@pytest.mark.filterwarnings("ignore:Async generator:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_bodies_that_cannot_be_decoded(both: Both, server: Server) -> None:
    """A wrong or cut compression is the same error; a right one is read."""
    packed = gzip.compress(json.dumps(DETAIL).encode())
    refused(both, server, b"no gzip", headers={"Content-Encoding": "gzip"})
    refused(both, server, packed[:-12], headers={"Content-Encoding": "gzip"})
    server.answers.clear()
    server.answer(body=packed, headers={"Content-Encoding": "gzip"})
    assert both.run(lambda client: client.traces.get("t1")).id == DETAIL["id"]


# httpx's generators cannot be closed from outside; trio notices that they are left to the garbage collector.
@pytest.mark.filterwarnings("ignore:Async generator:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_body_that_inflates(both: Both, server: Server) -> None:
    """A small body that would fill the memory is given up after 64 MiB."""
    error = refused(both, server, bomb(), headers={"Content-Encoding": "gzip"})
    assert "inflates" in str(error)


@functools.cache
def bomb() -> bytes:
    return gzip.compress(b" " * (100 * 1024 * 1024), 9)


def test_unknown_fields_and_values_are_kept(both: Both, server: Server) -> None:
    """What the contract does not know yet is no error: it is in additional_properties."""
    server.answer(body={**DETAIL, "status": "brand-new", "reviewer": {"name": "Ada"}})
    detail = both.run(lambda client: client.traces.get("t1"))
    assert detail.status == "brand-new"
    assert detail.additional_properties == {"reviewer": {"name": "Ada"}}


def test_empty_objects_and_texts_beside_empty_lists(both: Both, server: Server) -> None:
    """An empty list is right where the contract says list, whatever else is empty."""
    body = trace(spans=[span(metadata={}, input="")], feedback=[], metadata={})
    server.answer(body=body)
    assert both.run(lambda client: client.traces.get("t1")).feedback == []


def test_wrong_calls(server: Server) -> None:
    """What is wrong in the call itself stays a TypeError."""
    server.answer(body={"prompts": []})
    with Artanis(**server.credentials) as client:
        untyped: Any = call
        with pytest.raises(TypeError, match="prompt_id"):
            untyped(get_prompt.sync_detailed, client=client.api)
        with pytest.raises(TypeError, match="takes a generated sync_detailed function"):
            untyped(list_prompts.sync, client=client.api)


def test_the_server_can_not_forge_lines(server: Server) -> None:
    """Text from the response is escaped where the error quotes it."""
    error = refused(Both("sync", server), server, with_value(["createdAt"], "a\nINFO fine\x1b[0m"))
    assert "\n" not in str(error)
    assert "\x1b" not in str(error)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
PATHS = st.sampled_from(
    [[key] for key in DETAIL]
    + [["spans", 0, key] for key in DETAIL["spans"][0]]
    + [["spans", 0], ["metadata", "user_id"]]
)


@pytest.fixture
def client(server: Server) -> Iterator[Artanis]:
    with Artanis(**server.credentials, max_retries=0, timeout=LIMIT) as client:
        yield client


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(path=PATHS, value=JSON)
def test_any_value_anywhere(server: Server, client: Artanis, path: list[str | int], value: Any) -> None:
    """Whatever stands where: the call returns a model whose fields have their types, or raises this one error."""
    server.answers[:] = []
    server.answer(body=with_value(path, value))
    try:
        detail = client.traces.get("t1")
    except ArtanisError as error:
        assert type(error) is APIResponseValidationError  # noqa: PT017 - either outcome is right
    else:
        assert isinstance(detail, models.TraceDetail)
        assert all(isinstance(text, str) for text in (detail.id, detail.status))
        assert all(isinstance(item, models.Span) and isinstance(item.step_id, str) for item in detail.spans)
        assert all(isinstance(item.parent_span_id, str | None) for item in detail.spans)
        assert call(get_trace.sync_detailed, "t1", client=client.api) == detail or value != value


def test_prompts_are_checked_too(both: Both, server: Server) -> None:
    """Every item of a list is looked at."""
    server.answer(body={"prompts": [PROMPT, PROMPT, {**PROMPT, "content": None}]})
    with pytest.raises(APIResponseValidationError, match=r"prompts\[2\]\.content should be string, not null"):
        both.run(lambda client: client.prompts.list())


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32"])
@pytest.mark.parametrize("value", [{}, "", [], [["traces", []]]], ids=str)
def test_what_is_no_list(both: Both, server: Server, encoding: str, value: Any) -> None:
    """What a parser would make an empty list of is refused, in whatever encoding, at the top as well."""
    body = value if isinstance(value, list) else {"traces": value}
    server.answer(body=json.dumps(body).encode(encoding))
    with pytest.raises(APIResponseValidationError, match=r"should be (array|object)"):
        both.run(lambda client: client.traces.list())


def test_pairs_are_no_object(both: Both, server: Server) -> None:
    """An array of pairs, which Python makes a dict of, is no object."""
    server.answer(body={"traces": [trace(), list(trace().items())]})
    with pytest.raises(APIResponseValidationError, match=r"traces\[1\] should be object, not array"):
        both.run(lambda client: client.traces.list())


@pytest.mark.parametrize(
    "date",
    [
        "2026-04-01",
        "20260401T000000Z",
        "2026-W15",
        "2026-04-08T09:00:00",
        "2026-04-08 09:00:00Z",
        "2026-04-08T09:00:00+02",
        "2026-04-08T09:00Z",
    ],
)
def test_dates_of_other_forms(both: Both, server: Server, date: str) -> None:
    """Only what RFC 3339 calls a date-time is one; a date without an offset could not be compared with the others."""
    server.answer(body={"traces": [trace(), trace(updatedAt=date)]})
    with pytest.raises(APIResponseValidationError, match=r"traces\[1\]\.updatedAt should be date-time"):
        both.run(lambda client: client.traces.list())


@pytest.mark.parametrize(
    "date",
    [
        "2026-04-08T09:00:00Z",
        "2026-04-08T09:00:00.123456+02:00",
        "2026-04-08T09:00:00.1-00:30",
        "2028-02-29T23:59:59.123456789Z",
        "2026-12-31T00:00:00+23:59",
        "0999-01-01T00:00:00Z",
        "9999-12-31T23:59:59Z",
    ],
)
def test_dates(both: Both, server: Server, date: str) -> None:
    """Any offset and precision of RFC 3339 is read."""
    server.answer(body={"traces": [trace(createdAt=date)]})
    [found] = both.run(lambda client: client.traces.list())
    assert found.created_at.tzinfo is not None


@pytest.mark.parametrize(
    "date",
    [
        "2026-02-30T09:00:00Z",
        "2026-02-29T09:00:00.000Z",
        "2026-04-31T09:00:00Z",
        "2026-13-01T09:00:00Z",
        "2026-00-01T09:00:00Z",
        "2026-04-00T09:00:00Z",
        "0000-01-01T09:00:00Z",
        "2026-04-08T24:00:00Z",
        "2026-04-08T25:00:00Z",
        "2026-04-08T09:60:00Z",
        "2026-06-30T23:59:60Z",
        "2026-04-08T09:00:00+25:00",
        "2026-04-08T09:00:00+24:00",
        "2026-04-08T09:00:00+02:60",
        "0001-01-01T00:00:00+10:00",
        "9999-12-31T23:59:59-10:00",
        "2026-06-30t23:59:60z",
    ],
)
def test_dates_that_do_not_exist(both: Both, server: Server, date: str) -> None:
    """Impossible dates, leap seconds, and times that have no UTC are named with their field; the contract agrees."""
    from artanis_client.contract._schema import find_drifts

    server.answer(body={"traces": [trace(), trace(updatedAt=date)]})
    with pytest.raises(APIResponseValidationError) as caught:
        both.run(lambda client: client.traces.list())
    assert (caught.value.path, caught.value.problem) == (
        "traces[1].updatedAt",
        f"should be date-time, not {date!r}",
    )
    schema = {"properties": {"x": {"type": "string", "format": "date-time"}}}
    assert [drift.kind for drift in find_drifts({"x": date}, schema, {"components": {}})] == ["format"]


@pytest.mark.parametrize("date", ["2026-04-08t09:00:00z", "2026-04-08T09:00:00z", "2026-04-08t11:00:00.000+02:00"])
def test_dates_in_lower_case(both: Both, server: Server, date: str) -> None:
    """RFC 3339 allows a lower-case T and Z. Free JSON stays as it is; other mistakes are still found."""
    from artanis_client.contract._schema import find_drifts

    nine = datetime(2026, 4, 8, 9, tzinfo=UTC)
    body = {**trace(createdAt=date, metadata={"t": date}), "spans": [span(input=date, createdAt=date)], "feedback": []}
    for answer in ({"traces": [trace(), trace(createdAt=date)]}, body, {**body, "spans": [span(createdAt=date, id=5)]}):
        server.answer(body=answer)
    assert both.run(lambda client: client.traces.list())[1].created_at == nine
    detail = both.run(lambda client: client.traces.get("x"))
    assert (detail.created_at, detail.metadata, detail.spans[0].created_at) == (nine, {"t": date}, nine)
    assert detail.spans[0].input_ == date
    with pytest.raises(APIResponseValidationError, match=r"spans\[0\]\.id should be string"):
        both.run(lambda client: client.traces.get("x"))
    schema = {"properties": {"x": {"type": "string", "format": "date-time"}}}
    assert not list(find_drifts({"x": date}, schema, {"components": {}}))


FROZEN = """
import datetime, json, sys, types
import httpx


class Meta(type):
    def __instancecheck__(cls, value): return isinstance(value, real)
    def __subclasscheck__(cls, other): return issubclass(other, real)


real = datetime.datetime
Frozen = Meta("FakeDatetime", (real,), {})
if sys.argv[1] == "before":
    import artanis_client._client
datetime.datetime = Frozen  # as freezegun does, and in every module that has imported the class
for module in list(sys.modules.values()):
    for name, value in list(vars(module).items()):
        if value is real and module.__name__ not in ("__main__", "datetime"):
            setattr(module, name, Frozen)

from artanis_client import APIResponseValidationError, Artanis


def answer(request):
    trace = {"id": "i", "status": "x", "metadata": {}, "createdAt": value, "updatedAt": "2026-04-30T12:00:00Z"}
    return httpx.Response(200, json={"traces": [trace]})


arguments = {"api_key": "key-of-mine", "org_slug": "o", "project_slug": "p"}
with Artanis(**arguments, httpx_args={"transport": httpx.MockTransport(answer)}) as client:
    for value in ("2026-04-08T09:00:00Z", "2026-04-08t09:00:00z", "2026-02-30T09:00:00Z", "x", 5, None):
        try:
            print(client.traces.list(since="2026")[0].created_at)
        except APIResponseValidationError as error:
            print(error.path)
"""


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_replaced_datetime(when: str) -> None:
    """A library that replaces `datetime.datetime`, as freezegun does, neither breaks the check nor switches it off."""
    command = [sys.executable, "-c", FROZEN, when]
    done = subprocess.run(command, env=unmeasured(), capture_output=True, text=True, timeout=LIMIT, check=False)
    nine = "2026-04-08 09:00:00+00:00"
    assert (done.stdout.splitlines(), done.stderr) == ([nine, nine, *["traces[0].createdAt"] * 4], "")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1E+400", f"1{'0' * 400}.0"])
def test_numbers_that_json_or_python_lacks(both: Both, server: Server, number: str) -> None:
    """A number that could not be written as JSON again is named, in whatever free JSON it is."""
    answers = {
        "metadata.a": {**trace(metadata={"a": "<>"}), "spans": [], "feedback": []},
        "spans[1].input[0].b": {**trace(), "spans": [span(), span(input=[{"b": "<>"}])], "feedback": []},
        "spans[0].output": {**trace(), "spans": [span(output="<>")], "feedback": []},
        "spans[0].approvedOutput.x.y": {**trace(), "spans": [span(approvedOutput={"x": {"y": "<>"}})], "feedback": []},
        "unknown[2]": {**trace(), "spans": [], "feedback": [], "unknown": [1, "NaN", "<>"]},
    }
    for path, answer in answers.items():
        server.answers = [Answer(body=json.dumps(answer).replace('"<>"', number).encode())]
        with pytest.raises(APIResponseValidationError) as caught:
            both.run(lambda client: client.traces.get("x"))
        assert caught.value.path == path
        assert "is not a finite number" in caught.value.problem


def test_numbers_that_are_fine(both: Both, server: Server) -> None:
    """Large numbers that Python has, and text that looks like one it lacks, are not refused."""
    value = [1e308, 10**400, 5e-324, "1e999", "NaN", {"Infinity": "x 1e999"}, 1e-300]
    server.answer(body={**trace(), "spans": [span(input=value)], "feedback": []})
    assert both.run(lambda client: client.traces.get("x")).spans[0].input_ == value


@pytest.mark.parametrize("number", ["NaN", "1e999"])
def test_numbers_in_an_error(both: Both, server: Server, number: str) -> None:
    """An error body that is no JSON for this reason is text."""
    server.answer(404, f'{{"error": {number}}}'.encode())
    with pytest.raises(NotFoundError) as caught:
        both.run(lambda client: client.traces.get("x"))
    assert caught.value.body == f'{{"error": {number}}}'


def test_partials_and_lambdas(server: Server) -> None:
    """A function without the annotations of a generated one works, and its shape errors are ours."""
    from functools import partial

    server.answer(body={"id": 5})
    with Artanis(**server.credentials) as client:
        for function in (
            partial(get_trace.sync_detailed, "x", client=client.api),
            lambda: get_trace.sync_detailed("x", client=client.api),
        ):
            with pytest.raises(APIResponseValidationError):
                call(function)


def test_an_empty_date(server: Server) -> None:
    """A date that may be null is no empty text."""
    from artanis_api.api.knowledge_docs import list_knowledge_docs

    server.answer(body={"knowledgeDocs": [{"id": "d1", "createdAt": ""}]})
    with (
        Artanis(**server.credentials) as client,
        pytest.raises(APIResponseValidationError, match="createdAt should be"),
    ):
        call(list_knowledge_docs.sync_detailed, client=client.api, project_slug="p")

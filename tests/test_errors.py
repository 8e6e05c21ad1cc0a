"""What comes back as which exception, with which attributes."""

from __future__ import annotations

import copy
import pickle
import threading
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from multiprocessing import get_context
from typing import Any

import httpx
import pytest

import artanis_client
from artanis_client import (
    APIConnectionError,
    APIResponseValidationError,
    APIStatusError,
    APITimeoutError,
    ArtanisError,
    AuthenticationError,
    BadRequestError,
    CredentialsError,
    InternalServerError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    UnexpectedRedirectError,
)
from support import LIMIT, Both, Server

STATUSES: dict[int, type[APIStatusError]] = {
    300: UnexpectedRedirectError,
    302: UnexpectedRedirectError,
    304: UnexpectedRedirectError,
    400: BadRequestError,
    401: AuthenticationError,
    402: APIStatusError,
    403: PermissionDeniedError,
    404: NotFoundError,
    408: APIStatusError,
    409: APIStatusError,
    418: APIStatusError,
    422: APIStatusError,
    429: RateLimitError,
    499: APIStatusError,
    500: InternalServerError,
    502: InternalServerError,
    503: InternalServerError,
    520: InternalServerError,
    599: InternalServerError,
    600: APIStatusError,
    999: APIStatusError,
}


def fail(both: Both, **options: Any) -> Any:
    with pytest.raises(ArtanisError) as caught:
        both.run(lambda client: client.prompts.list(), **{"max_retries": 0, **options})
    return caught.value


@pytest.mark.parametrize("status", STATUSES)
def test_every_status_has_its_class(both: Both, server: Server, status: int) -> None:
    """Documented or not, a status becomes the class that the tree says, and no subclass of it."""
    server.answer(status, {"error": "why"})
    error = fail(both)
    assert type(error) is STATUSES[status]
    assert error.status_code == status
    assert error.message == ("why" if status != 304 else error.message)
    assert error.method == "GET"
    assert error.url == f"{server.url}/api/prompts?projectSlug=my-project"
    assert str(error).startswith(f"GET {error.url}: {status} ")


def test_attributes_of_a_status_error(both: Both, server: Server) -> None:
    """An error carries what is needed to report it and to act on it."""
    server.answer(429, {"error": "slow down", "code": 7}, {"X-Request-Id": "r-1", "CF-Ray": "c-1", "Retry-After": "3"})
    error = fail(both)
    assert error.body == {"error": "slow down", "code": 7}
    assert (error.request_id, error.retry_after) == ("r-1", 3.0)
    assert type(error.headers) is dict
    assert error.headers["x-request-id"] == "r-1"
    assert "slow down (request r-1)" in str(error)


@pytest.mark.parametrize("header", ["x-request-id", "x-vercel-id", "cf-ray"])
def test_request_ids(server: Server, header: str) -> None:
    """Whichever of the usual headers is there is the request id."""
    server.answer(500, b"", {header: "id-1"})
    assert fail(Both("sync", server)).request_id == "id-1"


@pytest.mark.parametrize(
    ("body", "message", "parsed"),
    [
        (b"", "Bad Gateway", ""),
        (b"<html>oops</html>", "Bad Gateway", "<html>oops</html>"),
        (b"[1, 2]", "Bad Gateway", [1, 2]),
        (b"null", "Bad Gateway", None),
        (b'"text"', "Bad Gateway", "text"),
        (b'{"error": 5}', "Bad Gateway", {"error": 5}),
        (b'{"error": ""}', "Bad Gateway", {"error": ""}),
        (b'{"error": {"message": "x"}}', "Bad Gateway", {"error": {"message": "x"}}),
        (b'{"message": "x"}', "Bad Gateway", {"message": "x"}),
        (b'{"error": "gr\xc3\xbc\xc3\x9fe"}', "grüße", {"error": "grüße"}),
        (b'{"error": "cut', "Bad Gateway", '{"error": "cut'),
        (b"\xff\xfe\x00", "Bad Gateway", "��\x00"),
        (b"[" * 5000 + b"]" * 5000, "Bad Gateway", "[" * 5000 + "]" * 5000),
        (b"[" * 200 + b"]" * 200, "Bad Gateway", "[" * 200 + "]" * 200),
        (b"1" * 5000, "Bad Gateway", "1" * 5000),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_odd_error_bodies(both: Both, server: Server, body: bytes, message: str, parsed: Any) -> None:
    """Whatever the body is, the error is the one of its status."""
    server.answer(502, body)
    error = fail(both)
    assert type(error) is InternalServerError
    assert (error.message, error.body) == (message, parsed)
    assert pickle.loads(pickle.dumps(error)).body == parsed


# httpx's generators cannot be closed from outside; trio notices that they are left to the garbage collector.
@pytest.mark.filterwarnings("ignore:Async generator:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_large_error_bodies_are_cut(both: Both, server: Server) -> None:
    """No more than 64 KiB of an error's body are read or kept."""
    server.answer(500, b"x" * 1_000_000)
    assert fail(both).body == "x" * 65536


def test_the_message_cannot_forge_log_lines(server: Server) -> None:
    """Control characters of the server's text are escaped in the error's own, and it is cut."""
    server.answer(500, {"error": "oops\n2026-04-01 INFO all is well\x1b[31m" + "x" * 10_000})
    error = fail(Both("sync", server))
    assert "\n" in error.message
    assert "oops\\n2026" in str(error)
    assert "\x1b" not in str(error)
    assert len(str(error)) < 1000


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("0", 0), ("1.5", 1.5), (" 7 ", 7), ("-1", None), ("soon", None), ("nan", None), ("", None)],
)
def test_retry_after_in_seconds(value: str, seconds: float | None) -> None:
    """`retry_after` is seconds, or None where the header says nothing usable."""
    assert APIStatusError("x", status_code=429, headers={"Retry-After": value}).retry_after == seconds


def test_retry_after_as_a_date() -> None:
    """An HTTP date is turned into seconds from now; one in the past into none to wait."""
    start = datetime.now(UTC)
    later = start.replace(microsecond=0) + timedelta(seconds=100)
    headers = {"retry-after": format_datetime(later, usegmt=True)}
    after = APIStatusError("x", status_code=503, headers=headers).retry_after
    assert after is not None
    assert (later - datetime.now(UTC)).total_seconds() <= after <= (later - start).total_seconds()
    past = {"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}
    assert APIStatusError("x", status_code=503, headers=past).retry_after == 0


def test_advice(both: Both, server: Server) -> None:
    """The text says what to do next: where the key and the organization came from, among others."""
    server.answer(403, {"error": "Forbidden"})
    assert "organization 'my-org' came from the argument org_slug" in str(fail(both))


def test_redirects_are_not_followed(both: Both, server: Server) -> None:
    """A redirect is an error that shows where it leads, even where that is no URL."""
    for location in ("/elsewhere", "https://evil.example.com/", "http://[", "\x7f"):
        server.answers.clear()
        server.answer(302, b"", {"Location": location})
        error = fail(both, max_retries=2)
        assert type(error) is UnexpectedRedirectError
        assert error.headers["location"] == location
    assert len(server.requests) == 4


def test_connection_errors(both: Both, server: Server) -> None:
    """A refused connection, a reset, and a body that ends early are APIConnectionError, with the cause to see."""
    server.answer(reset=True)
    assert type(fail(both)) is APIConnectionError
    server.answers.clear()
    server.answer(raw=b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"prom')
    error = fail(both)
    assert type(error) is APIConnectionError
    assert "incomplete" in str(error) or "peer closed" in str(error)
    server.answers.clear()
    server.answer(raw=b"nonsense\r\n\r\n")
    assert type(fail(both)) is APIConnectionError
    server.close()
    error = fail(both)
    assert type(error) is APIConnectionError
    assert isinstance(error.__cause__, OSError)
    assert (error.method, error.url.startswith(server.url)) == ("GET", True)
    assert "base_url (from the argument base_url)" in str(error)


def test_an_unknown_host(both: Both) -> None:
    """A host that DNS does not know is an APIConnectionError."""
    error = fail(both, base_url="https://no-such-host.invalid")
    assert type(error) is APIConnectionError


def test_timeouts(both: Both, server: Server) -> None:
    """An answer that takes too long is an APITimeoutError that says how long was too long."""
    server.answer(hold=threading.Event())
    error = fail(both, timeout=httpx.Timeout(LIMIT, read=0.05))
    assert type(error) is APITimeoutError
    assert isinstance(error, APIConnectionError)
    assert "0.05 s (read)" in str(error)


EXAMPLES: list[ArtanisError] = [
    ArtanisError("plain"),
    CredentialsError("no key"),
    APIConnectionError("refused", method="GET", url="https://x"),
    APITimeoutError("slow", method="GET", url="https://x"),
    APIResponseValidationError("odd", status_code=201, body={"a": [1]}, method="GET", url="https://x"),
    *(
        cls(
            "why",
            status_code=status,
            body={"error": "why"},
            headers={"Retry-After": "2"},
            method="GET",
            url="u",
            hint="h",
        )
        for status, cls in STATUSES.items()
    ),
]


def same(error: ArtanisError) -> ArtanisError:
    return error


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: f"{type(error).__name__}")
@pytest.mark.parametrize(
    "through", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy, copy.deepcopy], ids=["pickle", "copy", "deepcopy"]
)
def test_errors_survive_copying(error: ArtanisError, through: Any) -> None:
    """A copy has the type, the text and every attribute."""
    again = through(error)
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)
    assert again.args == error.args


def test_errors_survive_a_process_pool() -> None:
    """They come out of a worker process as they went in."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        for error, again in zip(EXAMPLES, pool.map(same, EXAMPLES), strict=True):
            assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


def test_a_subclass_of_a_user_survives_too() -> None:
    """A subclass with its own constructor can be pickled, too."""
    error = Custom(5)
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), again.number, str(again)) == (Custom, 5, "custom")


class Custom(ArtanisError):
    def __init__(self, number: int) -> None:
        super().__init__("custom")
        self.number = number


def test_the_tree_is_the_one_drawn() -> None:
    """The docstring of the module shows each exception below its base, and none of the core's is missing."""
    from artanis_client import _errors

    drawn: dict[str, str] = {}
    stack: list[str] = []
    for line in (_errors.__doc__ or "").splitlines():
        name = line.lstrip("│├└─ ").split(" ")[0]
        if not hasattr(_errors, name) or not name:
            continue
        depth = (len(line) - len(line.lstrip("│├└─ "))) // 4
        stack[depth:] = [name]
        drawn[name] = stack[depth - 1] if depth else "Exception"
    exceptions = {name for name in artanis_client.__all__ if name.endswith("Error")}
    of_rooms = {name for name in exceptions if getattr(artanis_client, name).__module__ != _errors.__name__}
    assert set(drawn) == exceptions - of_rooms
    assert all(issubclass(getattr(artanis_client, name), artanis_client.ArtanisError) for name in of_rooms)
    for name, base in drawn.items():
        assert getattr(_errors, name).__base__.__name__ == base


def test_retry_after_in_the_old_form_of_a_date(monkeypatch: pytest.MonkeyPatch) -> None:
    """A date without a zone is in GMT, wherever this runs."""
    import time

    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        start = datetime.now(UTC)
        later = start.replace(microsecond=0) + timedelta(seconds=100)
        headers = {"retry-after": later.strftime("%a %b %d %H:%M:%S %Y")}
        after = APIStatusError("x", status_code=503, headers=headers).retry_after
    finally:
        monkeypatch.undo()
        time.tzset()
    assert after is not None
    assert (later - datetime.now(UTC)).total_seconds() <= after <= (later - start).total_seconds()

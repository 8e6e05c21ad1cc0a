"""How a client slows down when the server refuses requests, and speeds up again."""

from __future__ import annotations

import random

import pytest

from artanis_client import Artanis, InternalServerError, RateLimitError, _clock
from artanis_client._pace import Pace
from support import Server


class Bucket:
    """A server that accepts so many requests a second, and a burst of as many."""

    def __init__(self, rate: float) -> None:
        self.rate = self.tokens = rate
        self.refused = 0
        self._filled = 0.0

    def accepts(self, now: float) -> bool:
        self.tokens = min(self.rate, self.tokens + (now - self._filled) * self.rate)
        self._filled = now
        if self.tokens < 1:
            self.refused += 1
            return False
        self.tokens -= 1
        return True


class Clock:
    """A clock that goes on only when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def start(self, pace: Pace) -> float:
        """Wait for a turn; return the time of the start."""
        for seconds in pace.waits():
            self.now += seconds
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(_clock, "monotonic", lambda: clock.now)
    random.seed(7)
    return clock


@pytest.fixture
def limited(clock: Clock) -> Pace:
    """A pace after two refusals in a row, when the pause is over."""
    pace = Pace()
    for _ in range(10):
        pace.refuse(clock.start(pace), None)
        if pace.interval:
            break
    clock.now = pace.paused_until
    return pace


@pytest.mark.parametrize("retry_after", [1.0, 0.0, None])
@pytest.mark.parametrize(("rate", "count"), [(3, 60), (10, 200), (50, 1000), (500, 5000)])
def test_learns_the_rate_of_the_server(clock: Clock, rate: int, count: int, retry_after: float | None) -> None:
    """Nearly all requests start when the server accepts them, and few of them are refused."""
    pace, bucket = Pace(), Bucket(rate)
    accepted = 0
    while accepted < count:
        started = clock.start(pace)
        clock.now += 0.0005
        if bucket.accepts(clock.now):
            pace.accept()
            accepted += 1
        else:
            pace.refuse(started, retry_after)
    assert count - rate < rate * (clock.now - 1000) < 1.25 * count + 2 * rate
    assert bucket.refused < 0.3 * count + 20


def test_a_faster_server(limited: Pace, clock: Clock) -> None:
    """When the server accepts more than before, requests that wait for their turn start sooner."""
    limited.interval = limited._planned_interval = 8
    waiting = [limited.waits() for _ in range(16)]
    for waits in waiting:
        next(waits, None)
    for _ in range(30):
        clock.now += 1
        limited.accept()
    last = clock.now
    for waits in waiting:
        for seconds in waits:
            clock.now += seconds
    assert clock.now - last < 45


def test_one_refusal_delays_nothing_else(clock: Clock) -> None:
    """If a success lies between two refusals, other requests do not wait."""
    pace = Pace()
    for _ in range(5):
        pace.refuse(clock.start(pace), 30)
        pace.accept()
    assert list(pace.waits()) == []


@pytest.mark.parametrize(("retry_after", "least", "most"), [(30, 30, 36), (0, 0.5, 1), (None, 0.5, 1)])
def test_two_refusals_in_a_row_pause_all(clock: Clock, retry_after: float | None, least: float, most: float) -> None:
    """All wait for as long as the server asked, or for the backoff, and a little longer, one after the other."""
    pace = Pace()
    for _ in range(2):
        pace.refuse(clock.start(pace), retry_after)
    starts = [clock.start(pace) for _ in range(3)]
    assert least <= starts[0] - 1000 <= most
    assert starts[1] - starts[0] == pytest.approx(pace.interval)
    assert starts[2] - starts[1] == pytest.approx(pace.interval)


def test_pauses_grow(clock: Clock) -> None:
    """As long as nothing is accepted, each pause is longer than the one before, up to eight seconds."""
    pace, pauses = Pace(), list[float]()
    while len(pauses) < 8:
        end = pace.paused_until
        pace.refuse(clock.start(pace), None)
        if pace.paused_until != end:
            pauses.append(pace.paused_until - clock.now)
    assert pauses[:5] == sorted(pauses[:5])
    assert all(7.5 <= pause <= 8 for pause in pauses[4:])


def test_requests_in_flight_do_not_prolong_the_pause(clock: Clock) -> None:
    """Sixteen requests that were sent together and refused together are one reason to wait, not fifteen."""
    pace = Pace()
    started = [clock.start(pace) for _ in range(16)]
    clock.now += 0.1
    for start in started:
        pace.refuse(start, 1)
    assert pace.paused_until <= 1001.3


def test_more_than_a_minute_pauses_nobody(clock: Clock) -> None:
    """Requests are not held back for longer than a single one would wait for its retry."""
    pace = Pace()
    for _ in range(3):
        pace.refuse(clock.start(pace), 61)
    assert list(pace.waits()) == []


def test_a_pause_that_begins_while_another_request_waits(limited: Pace, clock: Clock) -> None:
    """It waits for the end of the new pause, and does not start at once with the others."""
    limited.accept()
    clock.start(limited)
    waits = limited.waits()
    clock.now += next(waits)
    for _ in range(2):
        limited.refuse(clock.now, 20)
    started = clock.now
    for seconds in waits:
        clock.now += seconds
    assert 20 <= clock.now - started <= 24
    assert next(iter(limited.waits())) == pytest.approx(limited.interval)


def test_successes_lift_the_limit(limited: Pace, clock: Clock) -> None:
    """After a while without refusals, there is no limit any more."""
    for _ in range(1000):
        clock.start(limited)
        limited.accept()
    assert limited.interval == 0
    assert clock.now - limited.paused_until < 60
    assert list(limited.waits()) == []


def test_refused_by_chance(clock: Clock) -> None:
    """A server that refuses one request in fifty, whatever the rate, is not a reason to become slow for good."""
    pace, generator = Pace(), random.Random(3)
    started = clock.now
    for _ in range(6000):
        start = clock.start(pace)
        clock.now += 1 / 600
        if generator.random() < 0.02:
            pace.refuse(start, None)
        else:
            pace.accept()
    assert clock.now - started < 2 * 6000 / 600


def test_views_share_the_pace(server: Server, sleeps: list[float]) -> None:
    """A call through another view of the client waits for the end of the pause."""
    server.answer(429, headers={"Retry-After": "50"})
    server.answer(429, headers={"Retry-After": "50"})
    server.answer(body={"prompts": []})
    with Artanis(**server.credentials) as client:
        with pytest.raises(RateLimitError):
            client.with_options(max_retries=1).prompts.list()
        before = len(sleeps)
        assert client.with_options(timeout=30).prompts.list() == []
    assert 50 <= sum(sleeps[before:]) <= 60


def test_switched_off(server: Server, sleeps: list[float]) -> None:
    """With `max_retries=0`, nothing waits, and the first refusal is raised."""
    server.answer(429, headers={"Retry-After": "50"})
    with Artanis(**server.credentials, max_retries=0) as client:
        for _ in range(5):
            with pytest.raises(RateLimitError):
                client.prompts.list()
    assert (len(server.requests), sleeps) == (5, [])


def test_failures_of_the_server_do_not_pause(server: Server, sleeps: list[float]) -> None:
    """A 503 without `Retry-After` is a fault, not a request to slow down."""
    server.answer(503)
    with Artanis(**server.credentials, max_retries=2) as client:
        with pytest.raises(InternalServerError):
            client.prompts.list()
        assert len(sleeps) == 2
        server.answers[:] = []
        server.answer(body={"prompts": []})
        assert client.prompts.list() == []
    assert len(sleeps) == 2

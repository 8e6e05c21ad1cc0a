"""How often requests may start. A client learns it when the server refuses requests (429, or 503 with `Retry-After`).

A single refusal delays only its own request. Two refusals in a row, with no success in between, pause the whole client.
If many of the last requests were refused, they then start at regular intervals, at the rate that the server accepted
before. Each success shortens the interval, and each refusal lengthens it, so that about one request in ten is refused
at the limit of the server.

There is no lock, because a fork could leave it locked for good. If two threads change the same number at once, a
request starts a little early or late.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from . import _clock
from ._retry import retry_delay

SPEED_UP = 0.01  # share of the rate, for each success
ACCELERATION = 0.05  # share of the rate, per second, for each second since the last refusal
SLOW_DOWN = 1.1  # factor, for each refusal
MEMORY = 0.95  # how much the share of refusals changes with one answer: it covers about the last twenty
MIN_SHARE = 0.2  # of refusals; if fewer are refused, the reason may be another than the rate
FIRST_INTERVAL = 0.25  # seconds, if the server has accepted nothing yet
MAX_INTERVAL = 8.0  # seconds
MIN_INTERVAL = 0.0005  # seconds; a shorter interval is no limit
CHECK_INTERVAL = 1.0  # seconds after which a waiting request looks whether it may start sooner or must wait longer


class Pace:
    """When the requests of one client may start."""

    def __init__(self) -> None:
        self.interval = 0.0
        """The seconds between the starts of two requests; 0 if there is no limit."""
        self.paused_until = 0.0
        """The end of the last pause, on the monotonic clock."""
        self._paused_at = self._refused_at = -math.inf
        self._refusals = 0  # since the last success
        self._share = 0.0  # of refusals in the last answers
        self._interval_before = 0.0  # the pause
        self._next_start = 0.0
        self._plan = 0  # a number that changes when earlier reservations become void, because the rate has changed
        self._planned_interval = 0.0
        self._accepted = 0.0  # requests that were accepted or are pending; each counts less with every second
        self._counted_at = 0.0

    def waits(self) -> Iterator[float]:
        """Yield how many seconds to wait, again and again, until a request may start; then count it as started."""
        if self.interval or _clock.monotonic() < self.paused_until:
            plan, start = self._plan, self._reserve()
            while (seconds := start - _clock.monotonic()) > 0:
                yield min(seconds, CHECK_INTERVAL)
                if plan != self._plan:
                    plan, start = self._plan, self._reserve()
        self._count(1.0)

    def accept(self) -> None:
        """Note that the server accepted a request."""
        self._refusals = 0
        self._share *= MEMORY
        now = _clock.monotonic()
        if self.interval and now >= self.paused_until:
            seconds = now - max(self._refused_at, self.paused_until)
            self.interval /= 1 + SPEED_UP + ACCELERATION * seconds * self.interval
            if self.interval < MIN_INTERVAL:
                self.interval = 0.0
            if self.interval < self._planned_interval / 2:  # requests that wait may start sooner
                self._replan(now)

    def refuse(self, started: float, retry_after: float | None) -> None:
        """Note that the server refused a request, which started at this time of the monotonic clock."""
        now = self._refused_at = _clock.monotonic()
        self._count(-math.exp(started - now))
        self._share = self._share * MEMORY + 1 - MEMORY
        if started > self._paused_at:  # requests of before the pause are no reason for another one
            self._refusals += 1
            pause = retry_delay(self._refusals - 2, 429, retry_after)
            if self._refusals < 2 or pause is None:
                self.interval = min(self.interval * SLOW_DOWN, MAX_INTERVAL)
                return
            self._interval_before = self.interval
            self._paused_at, self.paused_until = now, now + pause
        if self._share >= MIN_SHARE:
            self._slow_down()
        self._replan(self.paused_until)

    def _slow_down(self) -> None:
        """Continue after the pause at the rate that the server accepted in about the last second, or half as fast."""
        before = self._interval_before
        if self._accepted < 1:  # then the rate is not the reason
            self.interval = before or FIRST_INTERVAL
        elif before and self._accepted < 5:  # too few to measure a rate
            self.interval = min(1.5 * before, MAX_INTERVAL)
        else:
            self.interval = min(max(before, SLOW_DOWN / self._accepted), 2 * before or MAX_INTERVAL)

    def _replan(self, next_start: float) -> None:
        self._plan += 1
        self._next_start = next_start
        self._planned_interval = self.interval

    def _reserve(self) -> float:
        """Return the time at which the next request may start; the one after it starts later."""
        start = max(_clock.monotonic(), self._next_start)
        self._next_start = start + self.interval
        return start

    def _count(self, change: float) -> None:
        now = _clock.monotonic()
        self._accepted = max(0.0, self._accepted * math.exp(self._counted_at - now) + change)
        self._counted_at = now

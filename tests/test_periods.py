"""`since` and `until`: which traces a period means."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from typing import Any

import pytest

from support import Both, Server, trace

ALL = ["2026-03-31T23:59:59.999Z", "2026-04-01T00:00:00.000Z", "2026-04-08T09:05:06.123Z", "2026-05-01T00:00:00.000Z"]


def days(both: Both, server: Server, **period: Any) -> list[str]:
    server.answer(body={"traces": [trace(id=created, createdAt=created) for created in ALL]})
    traces = both.run(lambda client: client.traces.list(**period))
    return [
        ALL[index]
        for index, created in enumerate(map(datetime.fromisoformat, ALL))
        if created in {found.created_at for found in traces}
    ]


@pytest.mark.parametrize(
    ("since", "expected"),
    [
        ("2026", ALL),
        ("2026-04", ALL[1:]),
        ("2026-04-01", ALL[1:]),
        ("20260401", ALL[1:]),
        ("2026-W15", ALL[2:]),
        ("2026-W15-3", ALL[2:]),
        ("2026-098", ALL[2:]),
        ("2026-04-08T09", ALL[2:]),
        ("2026-04-08T09:05:06.123Z", ALL[2:]),
        ("2026-04-08T09:05:06.124Z", ALL[3:]),
        ("2026-04-08 11:05:06.123+02:00", ALL[2:]),
        ("2026-04-08T24:00", ALL[3:]),
        (datetime(2026, 4, 8, 9, 5, 6, 123000), ALL[2:]),
        (datetime(2026, 4, 8, 9, 5, 6, 123001, tzinfo=UTC), ALL[3:]),
        (datetime(2026, 4, 8, 11, 5, 6, 123000, tzinfo=timezone(timedelta(hours=2))), ALL[2:]),
    ],
    ids=str,
)
def test_since_means_the_start(server: Server, since: datetime | str, expected: list[str]) -> None:
    """A period in `since` means its start, in UTC unless it says otherwise."""
    assert days(Both("sync", server), server, since=since) == expected


@pytest.mark.parametrize(
    ("until", "expected"),
    [
        ("2026", ALL),
        ("2025", []),
        ("2026-04", ALL[:3]),
        ("2026-03", ALL[:1]),
        ("2026-03-31", ALL[:1]),
        ("2026-04-08", ALL[:3]),
        ("2026-W15", ALL[:3]),
        ("2026-W14", ALL[:2]),
        ("2026W153", ALL[:3]),
        ("2026-097", ALL[:2]),
        ("2026-04-08T09", ALL[:3]),
        ("2026-04-08T0905", ALL[:3]),
        ("2026-04-08T09:04", ALL[:2]),
        ("2026-04-08T09:05:06", ALL[:3]),
        ("2026-04-08T09:05:06.1", ALL[:3]),
        ("2026-04-08T09:05:06,122Z", ALL[:2]),
        ("2026-04-08T09:05:06.123Z", ALL[:3]),
        ("9999", ALL),
        (datetime(2026, 4, 8, 9, 5, 6, 123000), ALL[:3]),
        (datetime(2026, 4, 8, 9, 5, 6, 122999), ALL[:2]),
        (date(2026, 4, 8), ALL[:3]),
        (date(2026, 4, 7), ALL[:2]),
        (datetime.max, ALL),
    ],
    ids=str,
)
def test_until_means_the_end(server: Server, until: date | str, expected: list[str]) -> None:
    """A period in `until` means its end: all of April belongs to `until="2026-04"`."""
    assert days(Both("sync", server), server, until=until) == expected


def test_both_ends(both: Both, server: Server) -> None:
    """The same month in both means that month, for the async client too."""
    assert days(both, server, since="2026-04", until="2026-04") == ALL[1:3]


@pytest.mark.parametrize(
    "bad",
    ["", "yesterday", "2026-13", "2026-04-31", "202604", "2026-04-08x09", "T09:00", " 2026", "٢٠٢٦", "2026-04-08T9"],
)
@pytest.mark.parametrize("name", ["since", "until"])
def test_what_is_no_date(both: Both, server: Server, name: str, bad: str) -> None:
    """Anything else is a ValueError that names the argument, before any request."""
    with pytest.raises(ValueError, match=f"{name} must be ISO 8601"):
        both.run(lambda client: client.traces.list(**{name: bad}))
    assert server.requests == []


class NotATime(datetime):
    """Compares as pandas.NaT does: nothing is equal, earlier or later."""

    def __eq__(self, other: object) -> bool:
        return False

    def __ne__(self, other: object) -> bool:
        return True

    __lt__ = __le__ = __gt__ = __ge__ = __eq__
    __hash__ = datetime.__hash__

    def __repr__(self) -> str:
        return "NaT"


@pytest.mark.parametrize("name", ["since", "until"])
def test_not_a_time(both: Both, server: Server, name: str) -> None:
    """The lowest date of an empty column is a ValueError, rather than an empty list."""
    with pytest.raises(ValueError, match=f"{name} must be a time, not NaT"):
        both.run(lambda client: client.traces.list(**{name: NotATime(2026, 4, 1)}))
    with pytest.raises(ValueError, match=f"{name} must be a time, not NaT"):
        both.run(lambda client: client.traces.iter(**{name: NotATime(2026, 4, 1)}))
    assert server.requests == []


class Nowhere(tzinfo):
    def utcoffset(self, _: datetime | None) -> None:
        return None

    dst = tzname = utcoffset


def test_a_time_zone_without_an_offset(server: Server) -> None:
    """A zone that knows no offset means UTC, as no zone does."""
    since = datetime(2026, 4, 8, tzinfo=Nowhere())
    assert days(Both("sync", server), server, since=since) == ALL[2:]


@pytest.mark.parametrize("bad", [20260408, 1.5, b"2026"])
def test_what_is_no_text(both: Both, server: Server, bad: Any) -> None:
    """A number is a TypeError: seconds or days since when?"""
    with pytest.raises(TypeError, match="since must be a datetime, a date or ISO 8601 text"):
        both.run(lambda client: client.traces.list(since=bad))


def test_ends_in_the_wrong_order(both: Both, server: Server) -> None:
    """A start after the end would silently give nothing, so it is a ValueError."""
    with pytest.raises(ValueError, match="later than until"):
        both.run(lambda client: client.traces.list(since="2026-05", until="2026-04"))

"""Times as users pass them and as the API writes them."""

from datetime import UTC, datetime
from typing import Any

EXAMPLE = "2026-04-30T18:00Z"


def parse_time(name: str, value: Any) -> datetime:
    """Return a `datetime` or an ISO 8601 text as a time in UTC. Without an offset, it is in UTC already.

    Raises:
        ValueError: If it is neither.
    """
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{name} must be a datetime or ISO 8601 text such as {EXAMPLE}, not {value!r}") from None


def write_time(moment: datetime) -> str:
    """Write a time in UTC as the API does."""
    return f"{moment.replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"

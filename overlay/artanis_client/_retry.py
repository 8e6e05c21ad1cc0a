"""Which failures are transient, and how long to wait before the next attempt. No I/O, and no exception types."""

from __future__ import annotations

import random
import re
import time
from datetime import UTC

FIRST_BACKOFF = 0.5  # seconds, plus as much jitter
MAX_BACKOFF = 7.5  # seconds, plus the same jitter
MAX_RETRY_AFTER = 60.0  # seconds; if the server asks for more, its error is raised at once
MAX_RETRY_TIME = 120.0  # seconds from the first attempt to the start of the last

_IDEMPOTENT = {"GET", "HEAD", "PUT", "DELETE", "OPTIONS"}


def is_idempotent(method: str) -> bool:
    """Return whether a request may be sent twice: a POST may have had its effect although it failed."""
    return method in _IDEMPOTENT


def is_refusal(status_code: int, retry_after: float | None) -> bool:
    """Return whether the server limits the rate of requests, rather than failing."""
    return status_code == 429 or (status_code == 503 and retry_after is not None)


def retry_delay(retries: int, status_code: int | None, retry_after: float | None) -> float | None:
    """Return the seconds to wait before the next attempt, or None if the failure is permanent.

    Args:
        retries: How many retries there have been.
        status_code: The status of the response; None if none arrived.
        retry_after: The seconds that the server asked for, if it did. They never shorten the backoff.
    """
    if status_code is not None and status_code not in (408, 429) and status_code // 100 != 5:
        return None
    # The jitter keeps clients that failed together from returning together.
    backoff = min(MAX_BACKOFF, FIRST_BACKOFF * 2.0 ** min(retries, 10)) + random.uniform(0, FIRST_BACKOFF)
    if retry_after is None:
        return backoff
    return max(backoff, retry_after * random.uniform(1, 1.2)) if retry_after <= MAX_RETRY_AFTER else None


def parse_retry_after(value: str | None) -> float | None:
    """Return the seconds that a `Retry-After` header asks for, as a number or an HTTP date; None if it is unusable."""
    if not value:
        return None
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]+)?", value.strip()):
        return float(value)
    from email.utils import parsedate_to_datetime  # takes 20 ms to import, and few servers send a date

    try:
        date = parsedate_to_datetime(value)
        return max(0.0, (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None

"""Splits of an evaluation set, such as training and test."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Mapping

from ._examples import EvaluationExample


def split(example: EvaluationExample, shares: Mapping[str, float], seed: int = 0) -> str:
    """Return the name of the split that an example belongs to.

    It depends only on the trace, the shares and the seed: all spans of a trace are in the same split, and an example
    stays in its split when the set grows. The first 8 bytes of the SHA-256 of `{seed}:{trace_id}`, divided by 2**64,
    are compared with the cumulative shares, in their order.

    Args:
        example: The example.
        shares: The share of each split by its name, such as `{"train": 0.8, "test": 0.2}`.
        seed: Another number gives another assignment.

    Raises:
        ValueError: If a share is not positive, or they do not sum to 1.
    """
    if not all(share > 0 for share in shares.values()) or not math.isclose(sum(shares.values()), 1):
        raise ValueError(f"shares must be positive and sum to 1, not {dict(shares)!r}.")
    digest = hashlib.sha256(f"{seed}:{example.trace_id}".encode("utf-8", "surrogatepass")).digest()
    position = int.from_bytes(digest[:8], "big") / 2**64
    ends = itertools.accumulate(shares.values())
    found = (name for name, end in zip(shares, ends, strict=True) if position < end)
    return next(found, [*shares][-1])  # the last one, if the sum is a little less than 1

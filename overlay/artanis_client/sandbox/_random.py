"""Random data that depends on keys alone: Python's `random` may change from version to version."""

import hashlib
import uuid
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class KeyedRandom:
    """Returns the same number, choice or id whenever it is asked with the same key."""

    def __init__(self, prefix: object) -> None:
        """Make a source of random data; all its keys start with `prefix`."""
        self._prefix = prefix

    def number(self, *key: object) -> float:
        """Return a number in [0, 1)."""
        return int.from_bytes(self._digest(key, 6), "big") / 2**48

    def choice(self, options: Sequence[T], *key: object) -> T:
        """Return one of the options, all equally likely."""
        return options[int(self.number(*key) * len(options))]

    def id(self, *key: object) -> str:
        """Return a UUID."""
        return str(uuid.UUID(bytes=self._digest(key, 16), version=4))

    def _digest(self, key: tuple[object, ...], size: int) -> bytes:
        text = "/".join(map(str, (self._prefix, *key)))
        return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=size).digest()

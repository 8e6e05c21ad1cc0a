"""The API key: a text that is never displayed, and where to get a new one after a 401."""

from __future__ import annotations

import re
import signal
import traceback
from collections.abc import Callable
from typing import Any, cast

from ._errors import CredentialsError, Problem

SHORTEST_REDACTED = 6  # characters; anything shorter is not a real key, and occurs in ordinary words
LONGEST_HEADER = 8192  # characters; servers refuse more, and redacting would take minutes
DEEPEST_REDACTED = 100  # levels of nesting, beyond which a body could not be pickled or copied either


class Secret:
    """A key that no repr, error report or log shows."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value.strip()

    def __repr__(self) -> str:
        return "Secret('****')"

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> Any:
        raise TypeError("A key cannot be pickled: it would end up wherever the pickle does.")

    def reveal(self) -> str:
        """Return the key itself."""
        return self._value

    def redact(self, value: Any, depth: int = 0) -> Any:
        """Return `value`, a text or parsed JSON, with every occurrence of the key replaced.

        Raises:
            RecursionError: If the JSON is nested too deeply.
        """
        if isinstance(value, str):
            if len(self._value) < SHORTEST_REDACTED:
                return value
            return re.sub(self._pattern(), "****", value, flags=re.IGNORECASE)
        if depth > DEEPEST_REDACTED:
            raise RecursionError
        inner: Any = value  # the type checks below would make its items unknown
        if isinstance(value, list):
            return [self.redact(item, depth + 1) for item in inner]
        if isinstance(value, dict):
            return {self.redact(name): self.redact(item, depth + 1) for name, item in inner.items()}
        return value

    def _pattern(self) -> str:
        """Match the key as it is, and as JSON, a repr, a URL or HTML may escape it."""
        return "".join(map(_match_character, self._value))


class Key:
    """The API key of one client, and how to ask its source for a new one.

    `ask` returns the key, or an awaitable of it; it is None if the source cannot be asked again. `asked` counts the
    times that the source answered or failed. Interrupted and cancelled attempts do not count, so the next waiter asks
    instead.
    """

    def __init__(self, source: str, ask: Callable[[], Any] | None, known: Secret | None = None) -> None:
        self.source = source
        self.ask: Any = ask
        self.known = known  # None until the source was first asked
        self.asked = 0
        self._failure: Exception | None = None

    def is_usable(self, refused: Secret | None) -> bool:
        """Return whether the known key can be used: it exists, and is not the one that the server just refused."""
        return self.known is not None and (self.known is not refused or self.ask is None)

    def accept(self, answer: Any) -> None:
        """Store what the source answered; raise CredentialsError if it cannot be a key."""
        kind = type(answer).__name__
        secret = Secret(answer) if isinstance(answer, str) else answer if isinstance(answer, Secret) else None
        del answer  # an error report shows local variables
        if secret is None:
            raise CredentialsError.of(Problem("api_key", self.source, "", f"is of type {kind}, not a string"))
        if problem := header_problem(secret):
            raise CredentialsError.of(Problem("api_key", self.source, "Copy the key again, completely.", problem))
        self.known, self._failure = secret, None
        self.asked += 1

    def fail(self, error: Exception) -> None:
        """Store that the source failed, for those who wait for its answer."""
        if not raised_by_signal_handler(error):
            self._failure = error
            self.asked += 1

    def result(self) -> Secret:
        """Return the key; raise what the source raised."""
        if self._failure is not None:
            raise self._failure.with_traceback(None)
        return cast(Secret, self.known)


def raised_by_signal_handler(error: Exception) -> bool:
    """Return whether it ends what one thread does, as a time limit does, and says nothing about what failed."""
    handlers = [signal.getsignal(number) for number in signal.valid_signals()]
    codes = [getattr(getattr(handler, "func", handler), "__code__", None) for handler in handlers]  # also of partials
    return any(frame.f_code in codes for frame, _ in traceback.walk_tb(error.__traceback__))


def _match_character(char: str) -> str:
    plain, code = re.escape(char), ord(char)
    # Counted backslashes, because a long row of them would take quadratic time.
    return rf"(?:{plain}|\\{{1,8}}(?:{plain}|(?:u00|x){code:02x})|%{code:02x}|&#(?:{code}|x{code:x});)"


def header_problem(value: str | Secret) -> str | None:
    """Return why a value cannot be sent as a header, without quoting it."""
    text = value.reveal() if isinstance(value, Secret) else value
    if not text:
        return "is empty"
    if len(text) > LONGEST_HEADER:
        return f"is longer than {LONGEST_HEADER} characters"
    if not text.isascii():
        return "contains a character that is not ASCII"
    if any(char <= " " or char == "\x7f" for char in text):
        return "contains whitespace or a control character"
    return None

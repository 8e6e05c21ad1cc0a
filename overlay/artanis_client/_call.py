"""`call` and `acall`: run a generated function, and return what it is documented to return on success."""

from __future__ import annotations

import contextlib
import functools
import json
import typing
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, ParamSpec, TypeVar

import attrs

from artanis_api.errors import UnexpectedStatus
from artanis_api.models import Error
from artanis_api.types import Response

from ._error_mapping import shape_error
from ._http import captured
from ._secret import raised_by_signal_handler
from ._shape import Mismatch, find_mismatch, find_not_finite, is_union

_OF_PARSERS = (UnexpectedStatus, LookupError, ValueError, TypeError, AttributeError, ArithmeticError, RecursionError)
P = ParamSpec("P")
T = TypeVar("T")


def call(function: Callable[P, Response[Error | T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a generated `sync_detailed` function: `call(list_prompts.sync_detailed, client=client.api, …)`.

    Returns:
        The success type that the contract documents.

    Raises:
        APIStatusError: If the API answered with a status other than 2xx.
        APIConnectionError: If no usable response arrived.
        APIResponseValidationError: If the response does not match `openapi.yaml`.
    """
    with Exchange(function) as exchange:
        exchange.result = function(*args, **kwargs)
    result: T = exchange.parsed()
    return result


async def acall(function: Callable[P, Awaitable[Response[Error | T]]], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Like `call`, for a generated `asyncio_detailed` function."""
    with Exchange(function) as exchange:
        exchange.result = await function(*args, **kwargs)
    result: T = exchange.parsed()
    return result


class Exchange:
    """Captures what a generated parser raises, together with the response that it came from.

    Set `result` to what the generated function returns, in a `with` block. `parsed()` checks and returns the model.
    """

    def __init__(self, function: Callable[..., object]) -> None:
        self.result: Any = None
        self._function = function
        self._responses: list[Any] = []
        self._failure: Mismatch | None = None
        self._is_documented = True

    def __enter__(self) -> Exchange:
        self._token = captured.set(self._responses)
        return self

    def __exit__(self, cls: type[BaseException] | None, error: BaseException | None, traceback: object) -> bool:
        captured.reset(self._token)
        if not (isinstance(error, _OF_PARSERS) and self._responses) or raised_by_signal_handler(error):
            return False
        self._failure = Mismatch("", f"cannot be parsed ({type(error).__name__}: {error})")
        if isinstance(error, KeyError):
            self._failure = Mismatch(str(error.args[0]), "is missing")
        # A status that Python has no name for fails before the generated code compares it with the documented ones.
        if isinstance(error, UnexpectedStatus) or "is not a valid HTTPStatus" in str(error):
            self._is_documented, self._failure = (
                False,
                Mismatch("", f"has the status {self._responses[-1].status_code}, which is not documented"),
            )
        return True

    def parsed(self) -> Any:
        """Return the model; raise APIResponseValidationError if the response does not match the contract."""
        # Keep the body out of the local variables of the frame that raises: the server may have echoed the key in it.
        error = self._shape_error()
        if error is not None:
            raise error
        return self.result.parsed

    def _shape_error(self) -> Exception | None:
        model: Any = None
        if self._failure is None:
            parsed = getattr(self.result, "parsed", attrs.NOTHING)
            if parsed is attrs.NOTHING:
                return TypeError("call() takes a generated sync_detailed function, acall() an asyncio_detailed one.")
            if parsed is None:
                return None
            model = parsed.__class__
        if not self._responses:
            return TypeError("call() and acall() need a client of this library: pass client=client.api.")
        response = self._responses[-1]
        found = self._failure
        if self._is_documented:
            try:
                raw = response.extensions.get("artanis_json", attrs.NOTHING)
                raw = json.loads(response.content) if raw is attrs.NOTHING else raw
                expected = model if attrs.has(model) else _documented(self._function)
                mismatch = find_mismatch(raw, expected) or (found and find_not_finite(raw))
                parse: Any = getattr(expected, "from_dict", None)
                if found and not mismatch and parse:
                    with contextlib.suppress(KeyError, ValueError, TypeError, AttributeError):
                        # The date-times on which the parser failed are corrected now.
                        self.result, found = SimpleNamespace(parsed=parse(raw)), None
                found = mismatch or found
            except RecursionError:
                found = Mismatch("", "is nested too deeply")
            except ValueError as error:
                found = Mismatch("", f"is not JSON ({error})")
        return None if found is None else shape_error(response, *found)


def _documented(function: Callable[..., object]) -> Any:
    """Return what a generated function returns on success, by its annotation; Any without one."""
    try:
        documented = typing.get_type_hints(function)["return"]
    except (KeyError, TypeError):  # a partial or a lambda
        return Any
    while typing.get_origin(documented) is not None and not is_union(documented):
        documented = typing.get_args(documented)[-1]  # of Response[…], for asyncio_detailed in a coroutine
    arms = [arm for arm in typing.get_args(documented) or (documented,) if arm is not Error]
    return functools.reduce(lambda one, other: one | other, arms, arms.pop()) if arms else Any

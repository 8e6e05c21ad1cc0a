"""`call` and `acall`: run a generated function, and return what it is documented to return on success.

Generated parsers let many wrong shapes pass (a number where the contract says string) and crash on the others with
whatever comes first. So a result is compared with the types of its model, in columns, which costs little; only when
something looks wrong is the JSON itself compared, which finds the place to name in the error.
"""

from __future__ import annotations

import datetime
import functools
import json
import re
import types
import typing
import uuid
from collections.abc import Awaitable, Callable, Iterable
from enum import Enum
from operator import attrgetter
from typing import Any, ParamSpec, TypeVar, cast

import attrs

from artanis_api import models
from artanis_api.errors import UnexpectedStatus
from artanis_api.models import Error
from artanis_api.types import Response, Unset

from ._errors import ArtanisError
from ._http import received, shape_error

P = ParamSpec("P")
T = TypeVar("T")

_UNIONS = (typing.Union, types.UnionType)
_PARSERS: dict[Any, Callable[[Any], object]] = {
    datetime.datetime: datetime.datetime.fromisoformat,
    datetime.date: datetime.date.fromisoformat,
    uuid.UUID: uuid.UUID,
}
_JSON_NAMES: dict[Any, str] = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    types.NoneType: "null",
    list: "array",
    dict: "object",
    datetime.datetime: "date-time",
    datetime.date: "date",
    uuid.UUID: "uuid",
}


def call(function: Callable[P, Response[Error | T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a generated `sync_detailed` function: `call(list_prompts.sync_detailed, client=client.api, …)`.

    Returns:
        What the contract documents for success, neither None nor an `Error`.

    Raises:
        APIStatusError: The API answered with another status than 2xx.
        APIConnectionError: No usable answer arrived.
        APIResponseValidationError: The answer is not what `openapi.yaml` says.
    """
    with _Exchange(function) as exchange:
        exchange.result = function(*args, **kwargs)
    result: T = exchange.parsed()
    return result


async def acall(function: Callable[P, Awaitable[Response[Error | T]]], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Like `call`, for a generated `asyncio_detailed` function."""
    with _Exchange(function) as exchange:
        exchange.result = await function(*args, **kwargs)
    result: T = exchange.parsed()
    return result


class _Exchange:
    """Holds back what a parser raises once a response has arrived, and keeps the response to report it with."""

    def __init__(self, function: Callable[..., object]) -> None:
        self.result: Any = None
        self._function = function
        self._responses: list[Any] = []
        self._failure: str | None = None
        self._is_documented = True

    def __enter__(self) -> _Exchange:
        self._token = received.set(self._responses)
        return self

    def __exit__(self, cls: type[BaseException] | None, error: BaseException | None, traceback: object) -> bool:
        received.reset(self._token)
        is_of_parser = isinstance(error, Exception) and not isinstance(error, ArtanisError | MemoryError)
        if not (is_of_parser and self._responses):
            return False
        self._failure = f"it cannot be parsed ({type(error).__name__}: {error})"
        # Numbers that Python has no name for fail before the generated code compares them with the documented ones.
        if isinstance(error, UnexpectedStatus) or "is not a valid HTTPStatus" in self._failure:
            self._is_documented = False
        return True

    def parsed(self) -> Any:
        parsed: Any = None
        if self._failure is None:
            parsed = getattr(self.result, "parsed", attrs.NOTHING)
            if parsed is attrs.NOTHING:
                raise TypeError("call takes a generated sync_detailed function, acall an asyncio_detailed one.")
            if parsed is None or _fits(parsed, self._responses[-1].content):
                return parsed
        problem: str | None = "the contract does not document this status"
        if self._is_documented:
            problem = _problem(self._function, self._responses[-1].content) or self._failure
        if problem is not None:
            raise shape_error(self._responses[-1], problem)
        return parsed


def _fits(parsed: object, content: bytes) -> bool:
    """Whether the types of a result are surely those of its model."""
    if _columns_fit([parsed], empty_lists=False):
        return True
    # The parsers make an empty list of `{}` and `""` as well.
    return re.search(rb'\{\s*\}|""', content) is None and _columns_fit([parsed], empty_lists=True)


def _columns_fit(rows: list[Any], empty_lists: bool) -> bool:
    classes = set(map(type, rows))
    for cls in classes:
        if not attrs.has(cls):
            return False
        same = rows if len(classes) == 1 else [row for row in rows if type(row) is cls]
        for get, allowed, nested in _columns(cls):
            column: list[Any] = list(map(get, same))
            if not allowed.issuperset(map(type, column)):
                return False
            if nested:
                lists: list[list[Any]] = [cell for cell in column if type(cell) is list]
                if not (empty_lists or all(lists)):
                    return False
                inner = [cell for cell in column if attrs.has(cell.__class__)] + [
                    cell for cells in lists for cell in cells
                ]
                if not _columns_fit(inner, empty_lists):
                    return False
    return True


@functools.cache
def _columns(cls: type) -> list[tuple[Callable[[object], object], frozenset[type], bool]]:
    """By field of a model: how to get it, the types it may have, and whether there is more inside."""
    columns: list[tuple[Callable[[object], object], frozenset[type], bool]] = []
    for name, hint, _ in _fields(cls):
        arms = [hint] if typing.get_origin(hint) not in _UNIONS else typing.get_args(hint)
        allowed = {typing.get_origin(arm) or arm for arm in arms}
        if Any not in allowed:
            allowed |= {int} if float in allowed else set()
            columns.append(
                (attrgetter(name), frozenset(allowed), any(arm is list or attrs.has(arm) for arm in allowed))
            )
    return columns


@functools.cache
def _fields(cls: type) -> list[tuple[str, Any, bool]]:
    """By field of a model: its name, its type, and whether it is required."""
    hints = typing.get_type_hints(cls, localns=vars(models))
    return [
        (field.name, hints[field.name], field.default is attrs.NOTHING) for field in attrs.fields(cls) if field.init
    ]


def _problem(function: Callable[..., object], content: bytes) -> str | None:
    """How the JSON differs from what a generated function documents for success; None when it does not."""
    try:
        raw = json.loads(content)
    except RecursionError:
        return "its body is nested too deeply"
    except ValueError as error:
        return f"its body is not JSON ({error})"
    documented = typing.get_type_hints(function)["return"]
    while typing.get_origin(documented) not in (None, *_UNIONS):  # Response[…], for asyncio_detailed in a coroutine
        documented = typing.get_args(documented)[-1]
    arms = [arm for arm in typing.get_args(documented) or (documented,) if arm is not Error]
    mismatch = _mismatch(raw, functools.reduce(lambda one, other: one | other, arms), "") if arms else None
    return f"{mismatch[0].lstrip('.') or 'its body'} {mismatch[1]}" if mismatch else None


def _mismatch(raw: Any, hint: Any, path: str) -> tuple[str, str] | None:
    """The first place where JSON is not what a type hint says, and what is wrong there."""
    origin, arms = typing.get_origin(hint), typing.get_args(hint)
    if origin in _UNIONS:
        mismatches = [_mismatch(raw, arm, path) for arm in arms if arm is not Unset]
        if None in mismatches:
            return None
        deepest = max(filter(None, mismatches), key=lambda mismatch: len(mismatch[0]))
        return deepest if deepest[0] != path else (path, _expected(raw, *arms))
    if hint is Any:
        return None
    if origin is list and isinstance(raw, list):
        items = (_mismatch(item, arms[0], f"{path}[{index}]") for index, item in enumerate(cast("Iterable[Any]", raw)))
        return next(filter(None, items), None)
    if attrs.has(hint) and isinstance(raw, dict):
        for name, of_field, required in _fields(hint):
            # The generator makes Python names of the contract's; letters and digits survive it.
            key = next((key for key in cast("dict[str, Any]", raw) if _letters(key) == _letters(name)), None)
            if key is None and required:
                return path, f"lacks {name!r}"
            if key is not None and (mismatch := _mismatch(raw[key], of_field, f"{path}.{key}")):
                return mismatch
        return None
    return None if _is_leaf(raw, hint, origin) else (path, _expected(raw, hint))


def _is_leaf(raw: Any, hint: Any, origin: Any) -> bool:
    if origin is list or attrs.has(hint):
        return False
    if hint is float:
        return type(raw) in (int, float)
    if hint in _PARSERS or (isinstance(hint, type) and issubclass(hint, Enum)):
        try:
            _PARSERS.get(hint, hint)(raw)
        except (ValueError, TypeError, AttributeError):
            return False
        return True
    return type(raw) is (origin or hint) if (origin or hint) in _JSON_NAMES else True


def _expected(raw: object, *hints: Any) -> str:
    names = [_JSON_NAMES.get(typing.get_origin(hint) or hint, "object") for hint in hints if hint is not Unset]
    got = repr(raw) if isinstance(raw, str) else _JSON_NAMES[type(raw)]
    return f"should be {' or '.join(names)}, not {got}"


def _letters(name: str) -> str:
    return "".join(filter(str.isalnum, name.lower()))

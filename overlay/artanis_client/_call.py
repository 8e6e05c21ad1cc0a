"""`call` and `acall`: run a generated function, and return what it is documented to return on success.

Generated parsers let many wrong shapes pass (a number where the contract says string, an empty object for a list) and
crash on the others with whatever comes first. So the JSON that a parser has read is compared with the types of the
model: in columns, which costs little, and where those do not fit, piece by piece, which finds the place to name.
"""

from __future__ import annotations

import datetime
import functools
import inspect
import itertools
import json
import re
import types
import typing
from collections.abc import Awaitable, Callable, Iterable, Iterator
from enum import Enum
from typing import Any, ParamSpec, TypeVar, cast

import attrs

from artanis_api import models
from artanis_api.errors import UnexpectedStatus
from artanis_api.models import Error
from artanis_api.types import UNSET, Response, Unset

from ._errors import ArtanisError
from ._http import received, shape_error

P = ParamSpec("P")
T = TypeVar("T")

# RFC 3339, which is what the format `date-time` means; Python takes more, and without an offset what it makes of it
# cannot be compared with the others.
_DATE_TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)"
_UNIONS = (typing.Union, types.UnionType)
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
            self._is_documented, self._failure = False, "the contract does not document this status"
        return True

    def parsed(self) -> Any:
        # The frame that raises holds nothing of the body, in which the server may have sent the key back.
        error = self._shape_error()
        if error is not None:
            raise error
        return self.result.parsed

    def _shape_error(self) -> Exception | None:
        model: Any = None
        if self._failure is None:
            parsed = getattr(self.result, "parsed", attrs.NOTHING)
            if parsed is attrs.NOTHING:
                return TypeError("call takes a generated sync_detailed function, acall an asyncio_detailed one.")
            if parsed is None:
                return None
            model = parsed.__class__
        response = self._responses[-1]
        raw = response.extensions.get("artanis_json", attrs.NOTHING)
        if attrs.has(model) and _columns_fit([raw], model):
            return None
        problem = self._failure
        if self._is_documented:
            expected = model if attrs.has(model) else _documented(self._function)
            problem = _problem(raw, response.content, expected) or problem
        return None if problem is None else shape_error(response, problem)


def _columns_fit(rows: list[Any], model: type) -> bool:
    """Whether pieces of JSON are surely what a model says, looking at one field of all of them at a time."""
    if set(map(type, rows)) - {dict}:
        return False
    for key, allowed, dates, inner in _columns(model):
        column: list[Any] = [row.get(key, UNSET) for row in rows]
        if not allowed.issuperset(map(type, column)):
            return False
        if dates and not _all_dates(cell for cell in column if cell):
            return False
        if inner is not None:
            items: list[Any] = []
            for cell in column:
                items += cell if cell.__class__ is list else [cell] if cell.__class__ is dict else []
            if items and not _columns_fit(items, inner):
                return False
    return True


def _all_dates(texts: Iterable[str]) -> bool:
    # One match on all of them is a tenth of the time of a match on each.
    return re.fullmatch(rf"(?:{_DATE_TIME}\n)*", "".join(f"{text}\n" for text in texts)) is not None


@functools.cache
def _columns(model: type) -> list[tuple[str, frozenset[type], bool, type | None]]:
    """By field: its key, the types of its JSON, whether its text is a date-time, and the model of what is inside.

    A field that may be anything is left out; one that is no plain case is given no types, and so never fits.
    """
    columns: list[tuple[str, frozenset[type], bool, type | None]] = []
    for key, hint, _ in _fields(model):
        arms = typing.get_args(hint) if typing.get_origin(hint) in _UNIONS else (hint,)
        if Any in arms:
            continue
        inside = [arm for arm in (_item(arm) for arm in arms) if attrs.has(arm)]
        types_ = [_json_type(arm) for arm in arms]
        allowed = frozenset(itertools.chain(*filter(None, types_)))
        # Which of two models is inside, or what a list of no models holds, columns do not tell.
        if None in types_ or len(inside) != len(allowed & {list, dict}):
            allowed = frozenset[type]()
        columns.append((key, allowed, datetime.datetime in arms, inside[0] if inside else None))
    return columns


def _item(hint: Any) -> Any:
    return typing.get_args(hint)[0] if typing.get_origin(hint) is list else hint


def _json_type(hint: Any) -> tuple[type, ...] | None:
    """The types of the JSON of a hint that says it with its type alone; None for one that does not."""
    if hint is datetime.datetime:
        return (str,)
    if hint is float:
        return (float, int)
    if attrs.has(hint):
        return (dict,)
    if typing.get_origin(hint) is list:
        return (list,)
    return (hint,) if hint in (str, bool, int, types.NoneType, Unset) else None


@functools.cache
def _fields(model: type) -> list[tuple[str, Any, bool]]:
    """By field of a model: its key in JSON, its type, and whether it is required."""
    hints = typing.get_type_hints(model, localns=vars(models))
    fields = [field for field in attrs.fields(model) if field.init]
    # The generated code alone knows which key belongs to which field, and says it when it writes JSON.
    sample: Any = cast(Any, model).__new__(model)
    for field in attrs.fields(model):
        setattr(sample, field.name, _Probe(field.name) if field.init else {})
    written: dict[str, Any] = sample.to_dict()
    keys = {str(value[0] if value.__class__ is list else value): key for key, value in written.items()}
    return [(keys[field.name], hints[field.name], field.default is attrs.NOTHING) for field in fields]


class _Probe:
    """Stands for any value that generated code can write as JSON, and comes out as itself."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __str__(self) -> str:
        return self._name

    def __iter__(self) -> Iterator[_Probe]:
        return iter([self])

    def isoformat(self) -> _Probe:
        return self

    to_dict = isoformat
    value = property(isoformat)


def _documented(function: Callable[..., object]) -> Any:
    """What a generated function returns on success, by its annotation; Any without one."""
    try:
        documented = typing.get_type_hints(function)["return"]
    except (KeyError, TypeError):  # a partial or a lambda
        return Any
    while typing.get_origin(documented) not in (None, *_UNIONS):  # Response[…], for asyncio_detailed in a coroutine
        documented = typing.get_args(documented)[-1]
    arms = [arm for arm in typing.get_args(documented) or (documented,) if arm is not Error]
    return functools.reduce(lambda one, other: one | other, arms, arms.pop()) if arms else Any


def _problem(raw: Any, content: bytes, expected: Any) -> str | None:
    """How the JSON of a response differs from what a type hint says; None when it does not."""
    try:
        raw = json.loads(content) if raw is attrs.NOTHING else raw
    except RecursionError:
        return "its body is nested too deeply"
    except ValueError as error:
        return f"its body is not JSON ({error})"
    mismatch = _mismatch(raw, expected, "")
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
        for key, of_field, required in _fields(hint):
            if key not in raw and required:
                return path, f"lacks {key!r}"
            if key in raw and (mismatch := _mismatch(raw[key], of_field, f"{path}.{key}")):
                return mismatch
        return None
    return None if _is_leaf(raw, hint) else (path, _expected(raw, hint))


def _is_leaf(raw: Any, hint: Any) -> bool:
    if hint is datetime.datetime:
        return isinstance(raw, str) and _all_dates([raw]) and _parses(hint.fromisoformat, raw)
    if hint is datetime.date:
        return isinstance(raw, str) and _parses(hint.fromisoformat, raw)
    if inspect.isclass(hint) and issubclass(hint, Enum):
        return _parses(hint, raw)
    known = _json_type(hint)
    return known is None or (type(raw) in known and type(raw) not in (list, dict))


def _parses(parser: Callable[[Any], object], raw: Any) -> bool:
    try:
        parser(raw)
    except (ValueError, TypeError):
        return False
    return True


def _expected(raw: object, *hints: Any) -> str:
    names = [_JSON_NAMES.get(typing.get_origin(hint) or hint, "object") for hint in hints if hint is not Unset]
    got = repr(raw) if isinstance(raw, str) else _JSON_NAMES[type(raw)]
    return f"should be {' or '.join(names)}, not {got}"

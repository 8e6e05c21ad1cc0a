"""`call` and `acall`: run a generated function, and return what it is documented to return on success.

Generated parsers let many wrong shapes pass (a number where the contract says string, an empty object for a list) and
crash on the others with whatever comes first. So the JSON that a parser has read is compared with the types of its
model: one field of all objects at a time, which costs a tenth of looking at one object after the other.
"""

from __future__ import annotations

import datetime
import functools
import json
import re
import types
import typing
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, NamedTuple, ParamSpec, TypeVar

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
_DIGITS = str.maketrans("123456789", "000000000")
_DATE_TIMES = re.compile(r"(?:0{4}-00-00T00:00:00(?:\.0+)?(?:Z|[+-]00:00)\n)*+")
_UNIONS = (typing.Union, types.UnionType)
JSON_NAMES: dict[Any, str] = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    types.NoneType: "null",
    list: "array",
    dict: "object",
    datetime.datetime: "date-time",
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
        if isinstance(error, KeyError):
            self._failure = f"the field {error} is missing"
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
        problem = self._failure
        if self._is_documented:
            try:
                raw = response.extensions.get("artanis_json", attrs.NOTHING)
                raw = json.loads(response.content) if raw is attrs.NOTHING else raw
                expected = model if attrs.has(model) else _documented(self._function)
                problem = _mismatch([raw], expected, lambda _: "its body") or problem
            except RecursionError:
                problem = "its body is nested too deeply"
            except ValueError as error:
                problem = f"its body is not JSON ({error})"
        return None if problem is None else shape_error(response, problem)


class _Kind(NamedTuple):
    """What a type hint says of JSON."""

    types: frozenset[type] | None
    """None where it may be of any type."""
    name: str
    is_date: bool
    item: Any
    """Of what lists are, else None."""
    model: Any
    """Which model objects are, else None."""


def _mismatch(column: list[Any], hint: Any, where: Callable[[int], str]) -> str | None:
    """The first of many pieces of JSON that is not what a hint says, and how; `where` has their paths."""
    kind = _kind(hint)
    if kind.types is not None and not kind.types.issuperset(map(type, column)):
        index = next(index for index, value in enumerate(column) if type(value) not in kind.types)
        return f"{where(index)} {_difference(column[index], kind)}"
    dates = [value for value in column if type(value) is str] if kind.is_date else []
    if dates and not are_dates(dates):
        index = next(i for i, value in enumerate(column) if type(value) is str and not are_dates([value]))
        return f"{where(index)} {_difference(column[index], kind)}"
    # Paths are worked out when one is needed: a pair for each of many pieces costs more than all the rest.
    if kind.item is not None:
        items: list[Any] = []
        for value in column:
            items += value if type(value) is list else ()
        return _mismatch(items, kind.item, lambda nth: _item_path(column, where, nth)) if items else None
    if kind.model is not None:
        rows: list[Any] = [value for value in column if type(value) is dict]
        for key, of_field in _fields(kind.model):
            path = functools.partial(_field_path, column, where, key)
            if problem := _mismatch([row.get(key, UNSET) for row in rows], of_field, path):
                return problem
    return None


def _item_path(column: list[Any], where: Callable[[int], str], nth: int) -> str:
    """The path of the nth of all items of the lists in a column."""
    lengths = [len(value) if value.__class__ is list else 0 for value in column]
    index, place = [(index, place) for index, length in enumerate(lengths) for place in range(length)][nth]
    return f"{where(index)}[{place}]"


def _field_path(column: list[Any], where: Callable[[int], str], key: str, nth: int) -> str:
    """The path of a field of the nth of all objects in a column."""
    index = [index for index, value in enumerate(column) if type(value) is dict][nth]
    return f"{where(index)}.{key}"


def _difference(value: object, kind: _Kind) -> str:
    if value is UNSET:
        return "is missing"
    return f"should be {kind.name}, not {repr(value) if isinstance(value, str) else JSON_NAMES[type(value)]}"


def are_dates(texts: list[str]) -> bool:
    # Usually all are of one form, digits apart; telling that takes a tenth of the time of matching each of them.
    forms = "\n".join(texts).translate(_DIGITS) + "\n"
    form = forms[: forms.index("\n") + 1]
    if forms != form * len(texts):
        return forms.count("\n") == len(texts) and _DATE_TIMES.fullmatch(forms) is not None
    return _DATE_TIMES.fullmatch(form) is not None


@functools.cache
def _kind(hint: Any) -> _Kind:
    arms: tuple[Any, ...] = typing.get_args(hint) if typing.get_origin(hint) in _UNIONS else (hint,)
    written_as: dict[Any, set[type]] = {datetime.datetime: {str}, float: {float, int}}
    types_: set[type] = set()
    names: list[str] = []
    item: Any = None
    model: Any = None
    for arm in arms:
        origin: Any = typing.get_origin(arm) or arm
        if origin is list and item is None:
            item = typing.get_args(arm)[0]
        elif attrs.has(arm) and model is None:
            model, origin = arm, dict
        elif origin not in JSON_NAMES and origin is not Unset:
            # What may be anything, or one of two models, or is of a kind that the contract does not use.
            return _Kind(None, "", False, None, None)
        types_ |= written_as.get(origin, {origin})
        names += [JSON_NAMES[origin]] if origin is not Unset else []
    return _Kind(frozenset(types_), " or ".join(names), datetime.datetime in arms, item, model)


@functools.cache
def _fields(model: Any) -> list[tuple[str, Any]]:
    """The key in JSON and the type of each field of a model."""
    hints = typing.get_type_hints(model, localns=vars(models))
    # The generated code alone knows which key belongs to which field, and says it when it writes JSON.
    sample = model.__new__(model)
    for field in attrs.fields(model):
        setattr(sample, field.name, _Probe(field.name) if field.init else {})
    written: dict[str, Any] = sample.to_dict()
    return [(key, hints[str(value[0] if value.__class__ is list else value)]) for key, value in written.items()]


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

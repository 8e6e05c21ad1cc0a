"""Checks JSON against a generated model.

Generated parsers silently accept many wrong types (a number where the contract says string, an empty object for a
list) and raise arbitrary exceptions for the rest. So the JSON itself is compared with the types of the model.

Lists are checked field by field rather than object by object, which halves the time for 100,000 traces.
"""

from __future__ import annotations

import datetime
import functools
import math
import re
import types
import typing
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import attrs

from artanis_api import models

from ._unset import UNSET, Unset

JSON_NAMES: dict[Any, str] = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    types.NoneType: "null",
    list: "array",
    dict: "object",
    "date-time": "date-time",
}
_WRITTEN_AS: dict[Any, set[type]] = {"date-time": {str}, float: {float, int}}
_UNIONS = (typing.Union, types.UnionType)
# RFC 3339, which is what the format `date-time` means. Python accepts more, and a time without an offset could not be
# compared with the others.
_TIME = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_CLOCK = rf"{_TIME}:[0-5][0-9](?:\.[0-9]+)?(?:Z|[+-]{_TIME})"
_DATE_TIME = re.compile(rf"[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}T{_CLOCK}")
# Nearly all date-times, recognised quickly: those that exist in any month, and in UTC, too.
_USUAL_DATE_TIME = re.compile(rf"[12][0-9][0-9][0-9]-(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])T{_CLOCK}")


class Mismatch(NamedTuple):
    """Where JSON does not fit, and how."""

    path: str
    """Such as `prompts[2].content`; empty for the value as a whole."""
    problem: str
    """Such as "is missing"."""

    def __str__(self) -> str:
        return f"{self.path or 'the body'} {self.problem}"


Check = Callable[[Any], Mismatch | None]


class _Type(NamedTuple):
    """What a type hint means for JSON."""

    types: frozenset[type]
    """The Python types of the JSON values that fit."""
    name: str
    is_date_time: bool
    """Whether strings must be date-times."""
    inner: dict[type, Check]
    """What else to check, of lists and objects."""
    model: Any
    """The model that objects must fit, if any."""


def find_mismatch(value: Any, hint: Any) -> Mismatch | None:
    """Return the first place where a JSON value does not fit a type hint, such as a model; None if it fits.

    In the fields of models, lower-case date-times become upper-case ones, which Python can parse.
    """
    found = _check(value, _compile(hint))
    return found and Mismatch(found.path.removeprefix("."), found.problem)


def find_not_finite(value: Any, path: str = "") -> Mismatch | None:
    """Return the first number that is NaN, infinite, or too large for a float: it could not be written as JSON."""
    if value.__class__ is float and not math.isfinite(value):
        return Mismatch(path.removeprefix("."), f"is not a finite number ({value})")
    named = [(f".{key}", item) for key, item in value.items()] if value.__class__ is dict else []
    items = [(f"[{index}]", item) for index, item in enumerate(value)] if value.__class__ is list else named
    return next(filter(None, (find_not_finite(item, path + step) for step, item in items)), None)


def _finite(text: str) -> float:
    if math.isfinite(number := float(text)):
        return number
    raise ValueError(f"{text[:50]} is not a finite number")


FINITE: dict[str, Any] = {"parse_float": _finite, "parse_constant": _finite}
"""Arguments of `json.loads` that make it refuse NaN, Infinity and 1e999 with a ValueError."""


def is_date_time(text: str) -> bool:
    """Return whether a text is what the contract calls `date-time`, and a time that exists, also in UTC."""
    try:
        moment = datetime.datetime.fromisoformat(text.upper())  # RFC 3339 allows a lower-case T and Z
        return bool(_DATE_TIME.fullmatch(text.upper()) and moment.astimezone(datetime.UTC))
    except (ValueError, OverflowError):
        return False


def is_union(hint: Any) -> bool:
    """Return whether a type hint is a union."""
    return typing.get_origin(hint) in _UNIONS


def _check(value: Any, expected: _Type | None) -> Mismatch | None:
    if expected is None:
        return None
    kind: Any = value.__class__
    if kind not in expected.types or (expected.is_date_time and kind is str and not is_date_time(value)):
        return Mismatch("", _difference(value, expected.name))
    inner = expected.inner.get(kind)
    return inner(value) if inner else None


@functools.cache
def _compile(hint: Any) -> _Type | None:
    """Return what a type hint means; None if any JSON fits, or if it is of a kind that the contract does not use."""
    fitting: set[type] = set()
    names: list[str] = []
    inner: dict[type, Check] = {}
    model: Any = None
    for arm in typing.get_args(hint) if is_union(hint) else (hint,):
        plain: Any = typing.get_origin(arm) or arm
        if plain is list and list not in inner:
            inner[list] = functools.partial(_check_items, item=typing.get_args(arm)[0])
        elif attrs.has(arm) and model is None:
            plain, model = dict, arm
            inner[dict] = functools.partial(_check_object, model=arm)
        elif isinstance(plain, type) and issubclass(plain, datetime.datetime):
            plain = "date-time"  # rather than the class, in whose place freezegun puts another one
        elif plain is not Unset and (plain not in JSON_NAMES or plain in inner):
            return None
        fitting |= _WRITTEN_AS.get(plain, {plain})
        names += [JSON_NAMES[plain]] if plain is not Unset else []
    return _Type(frozenset(fitting), " or ".join(names), "date-time" in names, inner, model)


def _check_object(value: dict[str, Any], model: Any) -> Mismatch | None:
    found = _check_objects([value], model)
    return found and found[1]


def _check_items(values: list[Any], item: Any) -> Mismatch | None:
    expected = _compile(item)
    if expected is not None and expected.model is not None and set(map(type, values)) == {dict}:
        found = _check_objects(values, expected.model)
        return found and Mismatch(f"[{found[0]}]{found[1].path}", found[1].problem)
    for index, value in enumerate(values):
        if mismatch := _check(value, expected):
            return Mismatch(f"[{index}]{mismatch.path}", mismatch.problem)
    return None


def _check_objects(objects: list[dict[str, Any]], model: Any) -> tuple[int, Mismatch] | None:
    """Return the index and the mismatch of the first invalid object found."""
    is_usual = _USUAL_DATE_TIME.fullmatch
    for key, expected in _fields(model):
        fitting, _, is_time, inner, _ = expected
        for index, value in enumerate(objects):
            field: Any = value.get(key, UNSET)
            kind: Any = field.__class__
            fits = kind in fitting
            if is_time and kind is str and not is_usual(field):
                fits, value[key] = is_date_time(field), field.upper()
            if not fits:
                return index, Mismatch(f".{key}", _difference(field, expected.name))
            if inner and kind in inner and (found := inner[kind](field)):
                return index, Mismatch(f".{key}{found.path}", found.problem)
    return None


def _difference(value: object, name: str) -> str:
    if value is UNSET:
        return "is missing"
    return f"should be {name}, not {repr(value) if isinstance(value, str) else JSON_NAMES[type(value)]}"


@functools.cache
def _fields(model: Any) -> list[tuple[str, _Type]]:
    """Return the JSON key and the type of each field of a model, except of those that any JSON fits."""
    hints = typing.get_type_hints(model, localns=vars(models))
    # Only `to_dict()` knows which JSON key belongs to which field, so run it on probes.
    sample = model.__new__(model)
    for field in attrs.fields(model):
        setattr(sample, field.name, _Probe(field.name) if field.init else {})
    written: dict[str, Any] = sample.to_dict()
    names = {key: str(value[0] if value.__class__ is list else value) for key, value in written.items()}
    found = {key: _compile(hints[name]) for key, name in names.items()}
    return [(key, expected) for key, expected in found.items() if expected is not None]


class _Probe:
    """Stands for any value that generated code can write as JSON, and is written as itself."""

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

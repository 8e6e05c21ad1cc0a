"""Checks JSON against a generated model.

Generated parsers silently accept many wrong types (a number where the contract says string, an empty object for a
list) and raise arbitrary exceptions for the rest. So the JSON itself is compared with the types of the model.

Lists are checked field by field rather than object by object, which halves the time for 100,000 traces.
"""

from __future__ import annotations

import datetime
import functools
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
    datetime.datetime: "date-time",
}
_WRITTEN_AS: dict[Any, set[type]] = {datetime.datetime: {str}, float: {float, int}}
_UNIONS = (typing.Union, types.UnionType)
# RFC 3339, which is what the format `date-time` means. Python accepts more, and a time without an offset could not be
# compared with the others.
_2 = "[0-9][0-9]"  # spelled out, because re takes twice as long for [0-9]{2}
_DATE_TIME = re.compile(rf"{_2}{_2}-{_2}-{_2}T{_2}:{_2}:{_2}(?:\.[0-9]+)?(?:Z|[+-]{_2}:{_2})")


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
    is_text_valid: Callable[[str], object] | None
    """Whether a string is right, if not every string is."""
    inner: dict[type, Check]
    """What else to check, of lists and objects."""
    model: Any
    """The model that objects must fit, if any."""


def find_mismatch(value: Any, hint: Any) -> Mismatch | None:
    """Return the first place where a JSON value does not fit a type hint, such as a model; None if it fits."""
    found = _check(value, _compile(hint))
    return found and Mismatch(found.path.removeprefix("."), found.problem)


def is_date_time(text: str) -> bool:
    """Return whether a text has the form that the contract calls `date-time`."""
    return _DATE_TIME.fullmatch(text) is not None


def is_union(hint: Any) -> bool:
    """Return whether a type hint is a union."""
    return typing.get_origin(hint) in _UNIONS


def _check(value: Any, expected: _Type | None) -> Mismatch | None:
    if expected is None:
        return None
    kind: Any = value.__class__
    is_text_valid = expected.is_text_valid
    if kind not in expected.types or (is_text_valid and kind is str and not is_text_valid(value)):
        return Mismatch("", _difference(value, expected.name))
    inner = expected.inner.get(kind)
    return inner(value) if inner else None


@functools.cache
def _compile(hint: Any) -> _Type | None:
    """Return what a type hint means; None if any JSON fits, or if it is of a kind that the contract does not use."""
    fitting: set[type] = set()
    names: list[str] = []
    inner: dict[type, Check] = {}
    is_text_valid: Callable[[str], object] | None = None
    model: Any = None
    for arm in typing.get_args(hint) if is_union(hint) else (hint,):
        plain: Any = typing.get_origin(arm) or arm
        if plain is list and list not in inner:
            inner[list] = functools.partial(_check_items, item=typing.get_args(arm)[0])
        elif attrs.has(arm) and model is None:
            plain, model = dict, arm
            inner[dict] = functools.partial(_check_object, model=arm)
        elif plain is datetime.datetime:
            is_text_valid = _DATE_TIME.fullmatch
        elif plain is not Unset and (plain not in JSON_NAMES or plain in inner):
            return None
        fitting |= _WRITTEN_AS.get(plain, {plain})
        names += [JSON_NAMES[plain]] if plain is not Unset else []
    return _Type(frozenset(fitting), " or ".join(names), is_text_valid, inner, model)


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
    for key, expected in _fields(model):
        fitting, _, is_text_valid, inner, _ = expected
        for index, value in enumerate(objects):
            field: Any = value.get(key, UNSET)
            kind: Any = field.__class__
            if kind not in fitting or (is_text_valid and kind is str and not is_text_valid(field)):
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

"""Where a piece of JSON departs from a schema of the contract: jsonschema's errors, put as one drift per place.

JSON Schema has no word for a field that nobody has documented, because nothing in the contract forbids more fields; so
those are found here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from jsonschema import Draft202012Validator, FormatChecker, ValidationError, validators

from .._call import JSON_NAMES, are_dates  # what `call` takes for a date-time, this does too

ROOT = "$"
_ALL_TYPES = ("object", "array", "string", "number", "boolean", "null")


class Drift(NamedTuple):
    """One way in which a response is not what the contract says, at one place of it."""

    kind: str
    """`_check.Finding` lists them."""
    path: str
    """JSONPath, with `[*]` for any item of an array."""
    expected: str
    seen: str
    value: Any


def json_type(value: object) -> str:
    """The name that JSON Schema has for the type of a parsed value."""
    return JSON_NAMES[value.__class__]


class Schema:
    """One schema of the contract, ready to compare JSON with."""

    def __init__(self, schema: Mapping[str, Any], document: Mapping[str, Any]) -> None:
        """Compare with `schema`, whose references point into `document`."""
        self._schema = schema
        self._document = document
        self._validator = _Validator({**schema, "components": document["components"]}, format_checker=_formats())

    def drifts(self, value: Any) -> Iterator[Drift]:
        """Every departure of a parsed response; RecursionError when it is nested too deeply."""
        for error in self._validator.iter_errors(value):
            yield from _of_error(error)
        yield from self._undocumented(value, [self._schema], ROOT)

    def _undocumented(self, value: Any, schemas: Iterable[Any], path: str) -> Iterator[Drift]:
        flat = [part for schema in schemas for part in self._parts(schema)]
        if value.__class__ is list:
            items = [part["items"] for part in flat if "items" in part]
            for item in value if items else ():
                yield from self._undocumented(item, items, f"{path}[*]")
        elif value.__class__ is dict:
            fields: dict[str, list[Any]] = {}
            for part in flat:
                for name, schema in part.get("properties", {}).items():
                    fields.setdefault(name, []).append(schema)
            is_free = not fields or any(part.get("additionalProperties") for part in flat)
            for name, inner in value.items():
                if name in fields:
                    yield from self._undocumented(inner, fields[name], _field(path, name))
                elif not is_free:
                    yield Drift("undocumented field", _field(path, name), "", json_type(inner), inner)

    def _parts(self, schema: Any) -> Iterator[dict[str, Any]]:
        """A schema and all that it is composed of."""
        if schema.__class__ is dict:
            yield schema
            if "$ref" in schema:
                yield from self._parts(resolve(schema, self._document))
            for keyword in ("allOf", "anyOf", "oneOf"):
                for inner in schema.get(keyword, ()):
                    yield from self._parts(inner)


def resolve(node: Any, document: Mapping[str, Any]) -> Any:
    """What a local reference points to; anything else as it is."""
    while "$ref" in node:
        target: Any = document
        for name in node["$ref"].removeprefix("#/").split("/"):
            target = target[name.replace("~1", "/").replace("~0", "~")]
        node = target
    return node


def shape(values: Iterable[Any]) -> dict[str, str]:
    """The types that were seen at each path, without values: what one would write into a contract."""
    types: dict[str, set[str]] = {}

    def visit(value: Any, path: str) -> None:
        types.setdefault(path, set()).add(json_type(value))
        if value.__class__ is list:
            for item in value:
                visit(item, f"{path}[*]")
        elif value.__class__ is dict:
            for name, inner in value.items():
                visit(inner, _field(path, name))

    for value in values:
        visit(value, ROOT)
    return {path: " or ".join(sorted(seen)) for path, seen in types.items()}


def _field(path: str, name: str) -> str:
    return f"{path}.{name}" if name.isidentifier() else f"{path}[{name!r}]"


def _of_error(error: ValidationError) -> Iterator[Drift]:
    path = ROOT
    for step in error.absolute_path:
        path = f"{path}[*]" if isinstance(step, int) else _field(path, step)
    match error.validator:
        case "required":
            yield Drift("missing field", path, "required", "", None)
        case "format":
            yield Drift("format", path, str(error.validator_value), json_type(error.instance), error.instance)
        case "anyOf" | "oneOf" if error.context and (arm := _nearest(error)):
            for inner in arm:
                yield from _of_error(inner)
        case "type" | "anyOf" | "oneOf" | "not":
            kind = "null" if error.instance is None else "wrong type"
            schema: Any = error.schema
            yield Drift(kind, path, _expected(schema), json_type(error.instance), error.instance)
        case keyword:
            expected = f"{keyword}: {error.validator_value}"
            yield Drift("invalid value", path, expected, json_type(error.instance), error.instance)


def _nearest(error: ValidationError) -> list[ValidationError]:
    """The errors of the alternative that the value was meant to be: the one whose own type is right."""
    arms: dict[Any, list[ValidationError]] = {}
    for inner in error.context or ():
        arms.setdefault(inner.relative_schema_path[0], []).append(inner)
    fitting: list[list[ValidationError]] = [
        arm for arm in arms.values() if all(inner.validator != "type" or inner.relative_path for inner in arm)
    ]
    return min(fitting, key=len) if fitting else []


def _expected(schema: Mapping[str, Any]) -> str:
    """The JSON types that a schema takes, in words."""
    if "not" in schema:
        excluded: list[str] = schema["not"].get("type", [])
        return " or ".join(name for name in _ALL_TYPES if name not in excluded)
    types: Any = schema.get("type", [])
    names = [types] if isinstance(types, str) else list(types)
    for arm in [*schema.get("anyOf", ()), *schema.get("oneOf", ())]:
        names.append(_expected(arm) or arm.get("$ref", "").rpartition("/")[2])
    return " or ".join(filter(None, names))


def _required(_validator: Any, required: list[str], instance: Any, _schema: Any) -> Iterator[ValidationError]:
    # jsonschema says which field is missing in a sentence alone; here it is the path.
    for name in required if instance.__class__ is dict else ():
        if name not in instance:
            yield ValidationError("missing", path=[name])


@functools.cache
def _formats() -> FormatChecker:
    formats = FormatChecker()
    is_date_time: Callable[[Any], bool] = lambda value: value.__class__ is not str or are_dates([value])  # noqa: E731
    formats.checks("date-time")(is_date_time)
    return formats


_untyped: Any = validators
_Validator: Any = _untyped.extend(Draft202012Validator, {"required": _required})

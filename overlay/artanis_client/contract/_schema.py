"""Compare JSON with a schema of the contract: turns the errors of jsonschema into drifts, one for each place.

For JSON Schema, an undocumented field is valid, because the contract forbids none. Such fields are found here, too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from jsonschema import Draft202012Validator, FormatChecker, ValidationError, validators

from .._shape import JSON_NAMES, is_date_time
from ._contract import resolve

ROOT = "$"
_ALL_TYPES = ("object", "array", "string", "number", "boolean", "null")


class Drift(NamedTuple):
    """One difference from the contract, at one place of one response. `Finding` explains the fields."""

    kind: str
    path: str
    expected: str
    seen: str
    value: Any


def json_type(value: object) -> str:
    """Return the name of a parsed value's type in JSON Schema."""
    return JSON_NAMES[type(value)]


def find_drifts(value: Any, schema: Mapping[str, Any], document: Mapping[str, Any]) -> Iterator[Drift]:
    """Find every difference between parsed JSON and a schema, whose references point into `document`.

    Raises:
        RecursionError: If the JSON is nested too deeply.
    """
    validator = _Validator({**schema, "components": document["components"]}, format_checker=_FORMATS)
    for error in validator.iter_errors(value):
        yield from _drifts_of_error(error)
    for path, inner, is_documented, parts in _walk(value, [schema], document):
        if inner.__class__ is list:
            yield from _broken_promises(path, inner, parts)
        if inner.__class__ is float and not math.isfinite(inner):
            yield Drift("invalid value", path, "a finite number", "number", inner)
        elif not is_documented:
            yield Drift("undocumented field", path, "", json_type(inner), inner)


def observed_types(values: Iterable[Any]) -> dict[str, str]:
    """Return the JSON types seen at each path of the values: the draft of a schema."""
    types: dict[str, set[str]] = {}
    for value in values:
        for path, inner, _, _ in _walk(value, [], {}):
            types.setdefault(path, set()).add(json_type(inner))
    return {path: " or ".join(sorted(seen)) for path, seen in types.items()}


def _walk(value: Any, schemas: list[Any], document: Mapping[str, Any]) -> Iterator[tuple[str, Any, bool, list[Any]]]:
    """Visit a value and everything inside: its path, itself, whether it is documented, and the schemas that do so."""
    todo = [(ROOT, value, schemas, True)]  # not recursive: free-form JSON may be nested deeply
    while todo:
        path, value, schemas, is_documented = todo.pop()
        parts = [part for schema in schemas for part in _parts(schema, document)]
        yield path, value, is_documented, parts
        if value.__class__ is list:
            items = [part["items"] for part in parts if "items" in part]
            todo += [(f"{path}[*]", item, items, True) for item in reversed(value)]
        elif value.__class__ is dict and is_documented:
            fields: dict[str, list[Any]] = {}
            for part in parts:
                for name, schema in part.get("properties", {}).items():
                    fields.setdefault(name, []).append(schema)
            is_free_form = not fields or any(part.get("additionalProperties") for part in parts)
            for name, inner in reversed(value.items()):
                todo.append((_field_path(path, name), inner, fields.get(name, []), is_free_form or name in fields))


def _broken_promises(path: str, items: list[Any], parts: Iterable[Mapping[str, Any]]) -> Iterator[Drift]:
    """Find what the contract says about a list as a whole, and is not so: its order, and a flag that one item has."""
    objects = [item for item in items if item.__class__ is dict]
    for part in parts:
        key = part.get("x-sorted-by", "")
        times = [item.get(key.removeprefix("-")) for item in objects]
        moments = [
            datetime.fromisoformat(time.upper()) for time in times if time.__class__ is str and is_date_time(time)
        ]
        if key and moments != sorted(moments, reverse=key.startswith("-")):
            expected = "newest first" if key.startswith("-") else "oldest first"
            yield Drift("order", path, expected, "another order", items)
        flag = part.get("x-exactly-one")
        count = sum(item.get(flag) is True for item in objects)
        if flag and objects and count != 1:
            yield Drift("number of items", f"{path}[*].{flag}", "true once", f"true {count} times", items)


def _parts(schema: Any, document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Return a schema and every schema that it is composed of."""
    if schema.__class__ is dict:
        yield schema
        if "$ref" in schema:
            yield from _parts(resolve(schema, document), document)
        for keyword in ("allOf", "anyOf", "oneOf"):
            for inner in schema.get(keyword, ()):
                yield from _parts(inner, document)


def _field_path(path: str, name: str) -> str:
    return f"{path}.{name}" if name.isidentifier() else f"{path}[{name!r}]"


def _drifts_of_error(error: ValidationError) -> Iterator[Drift]:
    path, value, schema = ROOT, error.instance, error.schema
    for step in error.absolute_path:
        path = f"{path}[*]" if isinstance(step, int) else _field_path(path, step)
    match error.validator:
        case "required":
            yield Drift("missing field", path, "required", "", None)
        case "format":
            yield Drift("format", path, str(error.validator_value), json_type(value), value)
        case "anyOf" | "oneOf" if nearest := _nearest_alternative(error):
            for inner in nearest:
                yield from _drifts_of_error(inner)
        case "type" | "anyOf" | "oneOf" | "not":
            yield Drift("null" if value is None else "wrong type", path, _expected(schema), json_type(value), value)
        case keyword:
            yield Drift("invalid value", path, f"{keyword}: {error.validator_value}", json_type(value), value)


def _nearest_alternative(error: ValidationError) -> list[ValidationError]:
    """Return the errors of the alternative that the value is probably meant to be: its own type is right."""
    context: Any = error.context or ()
    wrong = {each.relative_schema_path[0] for each in context if each.validator == "type" and not each.relative_path}
    alternatives: dict[Any, list[ValidationError]] = {}
    for each in context:
        if each.relative_schema_path[0] not in wrong:
            alternatives.setdefault(each.relative_schema_path[0], []).append(each)
    return min(alternatives.values(), key=len) if alternatives else []


def _expected(schema: Any) -> str:
    """Name the JSON types that a schema accepts."""
    if "not" in schema:
        return " or ".join(name for name in _ALL_TYPES if name not in schema["not"].get("type", ()))
    types: Any = schema.get("type", [])
    names = [types] if isinstance(types, str) else [*types]
    for alternative in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        names.append(_expected(alternative) or alternative.get("$ref", "").rpartition("/")[2])
    return " or ".join(filter(None, names))


def _required(_validator: Any, required: list[str], instance: Any, _schema: Any) -> Iterator[ValidationError]:
    # jsonschema names the missing field only in a sentence; here, it is part of the path.
    for name in required if isinstance(instance, dict) else ():
        if name not in instance:
            yield ValidationError("missing", path=[name])


def _is_valid_date_time(value: object) -> bool:
    return not isinstance(value, str) or is_date_time(value)


_FORMATS = FormatChecker()
_FORMATS.checks("date-time")(_is_valid_date_time)
_untyped: Any = validators
_Validator: Any = _untyped.extend(Draft202012Validator, {"required": _required})

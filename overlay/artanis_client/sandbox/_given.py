"""Prompts and traces that users pass: what they leave out is filled in, and the rest must fit the contract."""

import json
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, cast

import attrs

from artanis_api import models

from .._shape import find_mismatch
from ._random import KeyedRandom
from ._runs import WEEKS, JsonObject
from ._times import parse_time, write_time


def read_prompts(prompts: Any, random: KeyedRandom, now: datetime) -> list[tuple[JsonObject, JsonObject]]:
    """Return each prompt as the list shows it, and with its versions.

    Raises:
        ValueError: If one does not fit the contract, or two have the same id or step.
    """
    created = write_time(now - timedelta(weeks=WEEKS + 1))  # before the first trace
    found: list[tuple[JsonObject, JsonObject]] = []
    if isinstance(prompts, Mapping):
        texts = cast("Mapping[str, str]", prompts)
        prompts = [{"stepId": step, "content": content} for step, content in texts.items()]
    for path, given in _items("prompts", prompts):
        step = given.get("stepId")
        item = {"id": random.id(step), "outputSchema": None, "createdAt": created, **given}
        item = {"updatedAt": item["createdAt"], **item}
        versions = item.pop("versions", None)
        if versions is None:
            _check(path, item, models.Prompt)
            versions = [{"content": item["content"], "createdAt": item["updatedAt"]}]
        versions = [version for _, version in _items(f"{path}.versions", versions)]
        versions = [
            {"id": random.id(step, n), "isActive": n == len(versions) - 1, "createdAt": item["createdAt"], **version}
            for n, version in enumerate(versions)
        ]
        history = {key: value for key, value in item.items() if key not in ("content", "createdAt", "updatedAt")}
        history["versions"] = versions
        _check(path, history, models.PromptHistory)
        active = [version for version in versions if version["isActive"]]
        if len(active) != 1:
            raise ValueError(f"{path}.versions must have exactly one with isActive: true, not {len(active)}")
        listed = {**item, "content": active[0]["content"]}
        if "createdAt" not in given:
            listed |= {"createdAt": versions[0]["createdAt"], "updatedAt": active[0]["createdAt"]}
        _check(path, listed, models.Prompt)
        found.append((listed, history))
    _check_unique("prompts", "id", [listed for listed, _ in found])
    _check_unique("prompts", "stepId", [listed for listed, _ in found])
    return found


def read_traces(traces: Any, random: KeyedRandom, now: datetime, versions: Mapping[str, str]) -> list[JsonObject]:
    """Return the details of traces, newest first. A time that is left out is a minute before that of the trace before.

    `versions` has the active prompt version of each step.

    Raises:
        ValueError: If one does not fit the contract, or two have the same id.
    """
    found: list[JsonObject] = []
    for index, (path, given) in enumerate(_items("traces", traces)):
        given = {"createdAt": write_time(now - timedelta(minutes=index + 1)), **given}
        found.append(complete_trace(path, given, random.id("given", index), versions))
    _check_unique("traces", "id", found)
    return sorted(found, key=lambda trace: datetime.fromisoformat(trace["createdAt"]), reverse=True)


def complete_trace(path: str, given: JsonObject, trace_id: str, versions: Mapping[str, str]) -> JsonObject:
    """Return a trace with what was left out, in the order of the contract.

    Raises:
        ValueError: If it does not fit the contract.
    """
    random = KeyedRandom(trace_id)
    trace: JsonObject = {"id": trace_id, "status": "completed", "metadata": {}, **given}
    trace = {"updatedAt": trace["createdAt"], **trace}
    spans: list[JsonObject] = []
    for index, (_, span) in enumerate(_items(_join(path, "spans"), trace.pop("spans", []))):
        root = spans[0]["id"] if spans else None
        version = None if "id" in span else versions.get(str(span.get("stepId")))  # one with an id came from the API
        known: JsonObject = {} if version is None else {"promptVersionId": version}
        defaults: JsonObject = {"id": random.id("span", index), "parentSpanId": root, "approvedOutput": None}
        defaults |= {"metadata": {}, "createdAt": trace["createdAt"]}
        spans.append({**defaults, **known, **span})
    feedback = [
        {"id": random.id("feedback", index), "userId": random.id("user"), "createdAt": trace["updatedAt"], **comment}
        for index, (_, comment) in enumerate(_items(_join(path, "feedback"), trace.pop("feedback", [])))
    ]
    trace |= {"spans": spans, "feedback": feedback}
    _check(path, trace, models.TraceDetail)
    return trace


def to_json(path: str, value: Any) -> Any:
    """Return a copy of a value as JSON has it. Models and times become what the API writes.

    Raises:
        ValueError: If it cannot be written as JSON.
    """
    try:
        return json.loads(json.dumps(value, allow_nan=False, default=_to_plain))
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} cannot be written as JSON: {error}") from None


def _to_plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return write_time(parse_time("a time", value))
    if hasattr(value, "to_dict"):
        return value.to_dict()
    raise TypeError(f"{type(value).__name__} is not a model or a JSON value")


def _items(path: str, values: Any) -> list[tuple[str, JsonObject]]:
    """Return each object with its path, as JSON."""
    if hasattr(values, "keys") or isinstance(values, str) or not hasattr(values, "__iter__"):
        raise ValueError(f"{path} must be a list, not {type(values).__name__}")
    found: list[tuple[str, JsonObject]] = []
    for index, value in enumerate(list[Any](values)):
        item = to_json(f"{path}[{index}]", value)
        if not isinstance(item, dict):
            raise ValueError(f"{path}[{index}] must be a model or a dict, not {type(value).__name__}")
        found.append((f"{path}[{index}]", cast(JsonObject, item)))
    return found


def _check(path: str, value: JsonObject, model: Any) -> None:
    """Raise ValueError, with the path, if an object does not fit a model."""
    if mismatch := find_mismatch(value, model):
        raise ValueError(f"{_join(path, mismatch.path)} {mismatch.problem}")
    parts = {"spans": models.Span, "feedback": models.Feedback, "versions": models.PromptVersion}
    inner = [
        (f"{_join(path, key)}[{n}]", part, parts[key]) for key in parts for n, part in enumerate(value.get(key, []))
    ]
    for where, part, part_model in [(path, value, model), *inner]:
        for key in ("input", "output") if part_model is models.Span else ():  # any JSON fits, but not nothing
            if key not in part:
                raise ValueError(f"{_join(where, key)} is missing")
        names = {field.name for field in attrs.fields(part_model)}
        for key, field in part.items():
            if "_" in key and key in names:
                spelling = re.sub("_(.)", lambda found: found[1].upper(), key).rstrip("_")
                raise ValueError(f"{_join(where, key)} must be spelled as the API does: {spelling}")
            if key in ("metadata", "outputSchema") and not (field is None or isinstance(field, dict)):
                raise ValueError(f"{_join(where, key)} should be object or null, not {json.dumps(field)[:50]}")


def _check_unique(path: str, key: str, items: list[JsonObject]) -> None:
    seen: set[str] = set()
    for index, item in enumerate(items):
        if item[key] in seen:
            raise ValueError(f"{path}[{index}].{key} {item[key]!r} occurs twice")
        seen.add(item[key])


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path and key else path or key

"""The formats of an evaluation set: functions that turn an example into a row, and how a row is written."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, cast, get_args

import attrs

from ._examples import EvaluationExample
from ._outcomes import REVIEWED, Outcome

Format = Literal["jsonl", "csv", "parquet", "chat", "preference"]
FormatFunction = Callable[[EvaluationExample, str | None], dict[str, Any] | None]
Render = Callable[[str, Any], str]
FORMATS: tuple[Format, ...] = get_args(Format)
EXAMPLE_FORMATS = ("jsonl", "csv", "parquet")
"""The formats that contain every field of an example, and have a suffix. All others are lines of JSON in a .jsonl."""
OUTCOMES = {"chat": REVIEWED, "preference": frozenset({Outcome.CORRECTED})}
"""The outcomes that the formats for training need. Other formats take any."""
_FREE_JSON = ("input", "output", "approved_output", "feedback", "metadata", "trace_metadata")
_LINE_ENDS = re.compile("[\x85\u2028\u2029]")  # JSON allows them in strings, but some readers end a line there
# What spreadsheets take for a formula (owasp.org/www-community/attacks/CSV_Injection). Apostrophes before it are
# escaped, too, so that removing one restores the text.
_FORMULA = re.compile("'*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")  # the last four are full-width
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode
_PLACEHOLDER = re.compile(r"\{\{\s*([^\W\d]\w*)\s*\}\}|\{([^\W\d]\w*)\}")  # {name}, {{name}} or {{ name }}


def choose_format(path: Path, format_: str | FormatFunction | None) -> Format | FormatFunction:
    """Return the format, by default the one that the suffix of the file names.

    Raises:
        ValueError: If the format is unknown, or the suffix names another one.
    """
    suffix = path.suffix[1:].lower()
    name = "function" if callable(format_) else format_ or suffix
    if not callable(format_) and name not in FORMATS:
        choice = ", ".join(FORMATS)
        suffixes = ", ".join(f".{each}" for each in EXAMPLE_FORMATS)
        raise ValueError(f"Unknown format {name!r}: name the file {suffixes}, or choose a format: {choice}.")
    right = name if name in EXAMPLE_FORMATS else "jsonl"
    if suffix in EXAMPLE_FORMATS and suffix != right:
        raise ValueError(f"The format {name} does not match the suffix of {path.name!r}: name the file .{right}.")
    return format_ if callable(format_) else cast("Format", name)


def to_row(example: EvaluationExample, _: str | None) -> dict[str, Any]:
    """Return the row of an example in the formats jsonl, csv and parquet."""
    return example.to_dict()


def to_conversation(example: EvaluationExample, prompt: str | None, *, metadata: bool = True) -> dict[str, Any]:
    """Return the row of an example in the format chat."""
    row: dict[str, Any] = {
        "messages": [*_request_messages(example, prompt), _message("assistant", example.approved_output)]
    }
    if metadata:
        names = ("trace_id", "span_id", "step_id", "prompt_version_id")
        row["metadata"] = {name: getattr(example, name) for name in names} | {"outcome": example.outcome.value}
    return row


def to_preference(example: EvaluationExample, prompt: str | None) -> dict[str, Any]:
    """Return the row of an example in the format preference."""
    return {
        "prompt": _request_messages(example, prompt),
        "chosen": [_message("assistant", example.approved_output)],
        "rejected": [_message("assistant", example.output)],
    }


def _request_messages(example: EvaluationExample, prompt: str | None) -> list[dict[str, str]]:
    """Return what the model was given."""
    system = [] if prompt is None else [_message("system", prompt)]
    return [*system, _message("user", example.input)]


def _message(role: str, content: Any) -> dict[str, str]:
    return {"role": role, "content": content if isinstance(content, str) else format_json(content)}


def find_placeholders(prompt: str) -> set[str]:
    """Return the names of the placeholders in a prompt, which the application fills before it calls the model."""
    return {double or single for double, single in _PLACEHOLDER.findall(prompt)}


def format_heading(format_: str, encoding: str) -> bytes:
    """Return what the file contains before the first row."""
    heading = _csv_row(field.name for field in attrs.fields(EvaluationExample)) if format_ == "csv" else ""
    return heading.encode(encoding)


def format_row(format_: str, row: Mapping[str, Any]) -> str:
    """Return a row as the file contains it, including the newline. It may contain lone surrogates."""
    if format_ == "csv":
        return _csv_row(
            format_json(value) if name in _FREE_JSON else _escape_formula(value) for name, value in row.items()
        )
    if format_ == "parquet":  # reads JSON with a column for each key; see `Rows`
        return _encode({name: to_cell(name, value) for name, value in row.items()}) + "\n"
    return format_json(row) + "\n"


def format_json(value: Any) -> str:
    """Return JSON text without line ends, which may contain lone surrogates."""
    text = _encode(value)
    return _LINE_ENDS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def to_cell(name: str, value: Any) -> Any:
    """Return the value of a field as a Parquet file contains it. Its strings cannot contain lone surrogates."""
    if value is None or isinstance(value, datetime):
        return value
    if name == "feedback":
        return [_escape_surrogates(text) for text in value]
    return _escape_surrogates(_encode(value) if name in _FREE_JSON else value)


def _escape_surrogates(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def _escape_formula(text: str | None) -> str | None:
    return f"'{text}" if text and _FORMULA.match(text) else text


def _csv_row(values: Iterable[str | None]) -> str:
    row = io.StringIO()
    csv.writer(row).writerow(values)
    return row.getvalue()

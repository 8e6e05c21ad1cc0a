"""The formats of an evaluation set: how each writes an example."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import attrs

from ._examples import EvaluationExample

Format = Literal["jsonl", "csv", "chat"]
FORMATS: tuple[Format, ...] = get_args(Format)
_FREE_JSON = ("input", "output", "approved_output", "feedback", "metadata", "trace_metadata")
_LINE_ENDS = re.compile("[\x85\u2028\u2029]")  # JSON allows them in strings, but some readers end a line there


def choose_format(path: Path, format_: str | None) -> Format:
    """Return the format, by default the one that the suffix of the file names; raise ValueError for an unknown one."""
    name = format_ or path.suffix[1:].lower()
    if name not in FORMATS:
        choice = ", ".join(FORMATS)
        raise ValueError(f"Unknown format {name!r}: name the file .jsonl or .csv, or choose a format: {choice}.")
    return name


def format_heading(format_: Format) -> str:
    """Return what the file contains before the first example."""
    return _csv_row(field.name for field in attrs.fields(EvaluationExample)) if format_ == "csv" else ""


def format_example(format_: Format, example: EvaluationExample, prompts: Mapping[str, str]) -> str:
    """Return an example as the file contains it, including the newline. It may contain lone surrogates.

    Args:
        format_: The format of the file.
        example: The example.
        prompts: The content of each prompt version by its id. If "chat" needs one that is missing, the text is empty.
    """
    data = example.to_dict()
    if format_ == "csv":
        return _csv_row(_json(value) if name in _FREE_JSON else value for name, value in data.items())
    if format_ == "chat":
        version = example.prompt_version_id
        if version is not None and version not in prompts:
            return ""
        contents: dict[str, Any] = {} if version is None else {"system": prompts[version]}
        contents |= {"user": example.input, "assistant": example.approved_output}
        messages = [{"role": role, "content": _as_text(content)} for role, content in contents.items()]
        data = {"messages": messages}
    return _json(data) + "\n"


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else _json(value)


def _json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return _LINE_ENDS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _csv_row(values: Iterable[str | None]) -> str:
    row = io.StringIO()
    csv.writer(row).writerow(values)
    return row.getvalue()

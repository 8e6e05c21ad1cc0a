"""Recorded data: the prompts of a pull and the traces of an export, for `Sandbox.from_files`."""

import json
import os
from pathlib import Path
from typing import Any

from ..evaluation import EvaluationExample
from ..prompts._pull import make_file_names
from ._runs import JsonObject


def read_directory(directory: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the arguments `prompts` and `traces` of a sandbox."""
    path = Path(directory)
    pulled = [folder for folder in (path, path / "prompts") if (folder / "prompts.json").exists()]
    exports = sorted(path.glob("*.jsonl"))
    if not (pulled or exports):
        raise FileNotFoundError(f"{path} has neither the prompts.json of a pull nor the .jsonl file of an export")
    examples: dict[tuple[str, str], EvaluationExample] = {}
    for export in exports:
        _read_export(export, examples)
    traces: dict[str, JsonObject] = {}
    for example in examples.values():
        _add_span(traces, example)
    return {"prompts": _read_pull(pulled[0]) if pulled else [], "traces": [*traces.values()]}


def _read_pull(folder: Path) -> list[JsonObject]:
    """Return the prompts of a pull, with the texts that are in the files now."""
    manifest = folder / "prompts.json"
    try:
        prompts: list[JsonObject] = []
        for step, entry in json.loads(manifest.read_bytes())["prompts"].items():
            text_name, schema_name = make_file_names(step)
            version = {
                "id": entry["version_id"],
                "content": (folder / text_name).read_bytes().decode("utf-8", "surrogatepass"),
                "isActive": True,
                "createdAt": entry["version_created_at"],
            }
            has_schema = schema_name in entry["files"]
            prompt = {
                "id": entry["id"],
                "stepId": step,
                "outputSchema": json.loads((folder / schema_name).read_bytes()) if has_schema else None,
                "createdAt": entry["created_at"],
                "updatedAt": entry["updated_at"],
                "versions": [version],
            }
            prompts.append(prompt)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        problem = f"{type(error).__name__}: {error}"
        raise ValueError(f"{manifest} or one of its files is not what a pull wrote ({problem})") from None
    return prompts


def _read_export(path: Path, examples: dict[tuple[str, str], EvaluationExample]) -> None:
    """Add the examples of a file by trace and span. They replace those of earlier files."""
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                example = EvaluationExample.from_dict(json.loads(line.decode("utf-8-sig")))
                examples[example.trace_id, example.span_id] = example
            except (ValueError, TypeError, RecursionError) as error:
                raise ValueError(f"{path}, line {number}: {error}") from None


def _add_span(traces: dict[str, JsonObject], example: EvaluationExample) -> None:
    """Add the span of an example to its trace."""
    row = example.to_dict()
    trace: JsonObject = {
        "id": example.trace_id,
        "status": example.trace_status or "completed",
        "metadata": example.trace_metadata,
        "createdAt": row["trace_created_at"],
        "updatedAt": row["trace_updated_at"],
        "spans": [],
        "feedback": [],
    }
    trace = traces.setdefault(example.trace_id, trace)
    span = {
        "id": example.span_id,
        "parentSpanId": None,
        "stepId": example.step_id,
        "input": example.input,
        "output": example.output,
        "approvedOutput": example.approved_output,
        "promptVersionId": example.prompt_version_id,
        "metadata": example.metadata,
        "createdAt": row["created_at"],
    }
    trace["spans"].append(span)
    trace["feedback"].extend({"spanId": example.span_id, "content": text} for text in example.feedback)

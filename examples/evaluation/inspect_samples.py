"""Write the reviewed spans as samples for Inspect, the evaluation framework of the UK AI Security Institute.

Each span becomes a line with the fields of `Sample`, which `json_dataset("samples.jsonl")` reads.

- Inspect, "Datasets": https://inspect.aisi.org.uk/datasets.html
- Inspect, "inspect_ai.dataset": https://inspect.aisi.org.uk/reference/inspect_ai.dataset.html
"""

from __future__ import annotations

import json
from typing import Any

from artanis_client import Artanis, EvaluationExample, export


def to_sample(example: EvaluationExample, prompt: str | None) -> dict[str, Any]:
    """Return a sample: what the model was given, and as the target the approved output."""
    system = [] if prompt is None else [{"role": "system", "content": prompt}]
    names = ("trace_id", "step_id", "prompt_version_id")
    return {
        "id": example.span_id,
        "input": [*system, {"role": "user", "content": as_text(example.input)}],
        "target": as_text(example.approved_output),
        "metadata": {name: getattr(example, name) for name in names} | {"outcome": example.outcome.value},
    }


def as_text(value: Any) -> str:
    """Return text as it is, and anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


if __name__ == "__main__":
    with Artanis() as client:
        report = export(client, "samples.jsonl", format=to_sample, outcomes=["accepted", "corrected"], steps="classify")
    print(report.examples, "samples in", report.path.name)

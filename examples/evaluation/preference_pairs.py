"""Write preference pairs in OpenAI's shape, which Fireworks and Together train on with DPO.

Each corrected span becomes a line `{"input": {"messages": [system, user]}, "preferred_output": [assistant],
"non_preferred_output": [assistant]}` with the approved and the original output. All contents must be text.

- Fireworks, "Direct Preference Optimization": https://docs.fireworks.ai/fine-tuning/dpo-fine-tuning (at least 3 lines)
- Together, "Preference fine-tuning": https://docs.together.ai/docs/fine-tuning/preference-tuning
- OpenAI, "Direct preference optimization", where the shape comes from:
  https://developers.openai.com/api/docs/guides/direct-preference-optimization
"""

from __future__ import annotations

import json
from typing import Any

from artanis_client import Artanis, EvaluationExample, export


def to_pair(example: EvaluationExample, prompt: str | None) -> dict[str, Any]:
    """Return the pair of a corrected span. A prompt with placeholders should be filled: `export(render=…)`."""
    system = [] if prompt is None else [message("system", prompt)]
    return {
        "input": {"messages": [*system, message("user", example.input)]},
        "preferred_output": [message("assistant", example.approved_output)],
        "non_preferred_output": [message("assistant", example.output)],
    }


def message(role: str, content: Any) -> dict[str, str]:
    """Return a message; content other than text is written as JSON."""
    return {"role": role, "content": content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)}


if __name__ == "__main__":
    with Artanis() as client:
        report = export(client, "pairs.jsonl", format=to_pair, outcomes="corrected", steps="classify")
    print(report.examples, "pairs in", report.path.name)

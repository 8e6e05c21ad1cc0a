"""Mask what identifies people before it reaches a file: e-mail addresses, phone and card numbers, and user ids.

Patterns only find data with a known form, and neither names nor addresses; where these matter, call a recognizer in
`mask_text`, such as Microsoft Presidio: https://microsoft.github.io/presidio/
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

import attrs

from artanis_client import Artanis, EvaluationExample, export

PATTERNS = {
    "<email>": re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"),
    "<number>": re.compile(r"(?<![\w-])\+?\d(?:[ ()./-]{0,2}\d){7,18}(?![\w-])"),  # phones, cards; not within ids
}
PEOPLE = {"user_id", "customer_id"}
"""Keys whose values become pseudonyms: the same person stays recognizable within the file, but not outside of it."""
SALT = "a secret of yours"


def mask(value: Any) -> Any:
    """Return JSON with every string masked, and the values of the keys in `PEOPLE` replaced by pseudonyms."""
    if isinstance(value, str):
        return mask_text(value)
    if isinstance(value, list):
        return [mask(each) for each in value]
    if isinstance(value, dict):
        return {key: pseudonym(each) if key in PEOPLE else mask(each) for key, each in value.items()}
    return value


def mask_text(text: str) -> str:
    """Return text with everything replaced that matches a pattern."""
    for name, pattern in PATTERNS.items():
        text = pattern.sub(name, text)
    return text


def pseudonym(value: Any) -> str:
    """Return a name that depends on the value and the salt."""
    return hashlib.sha256(f"{SALT}:{value}".encode()).hexdigest()[:12]


def mask_example(example: EvaluationExample) -> EvaluationExample:
    """Return the example without personal data, for this format function or another one."""
    names = ("input", "output", "approved_output", "metadata", "trace_metadata")
    masked = {name: mask(getattr(example, name)) for name in names}
    return attrs.evolve(example, **masked, feedback=tuple(mask_text(text) for text in example.feedback))


def to_masked_row(example: EvaluationExample, _: str | None) -> dict[str, Any] | None:
    """Return the row of the format jsonl; None if the correction is not visible any more, as when it was a number."""
    masked = mask_example(example)
    return masked.to_dict() if masked.outcome is example.outcome else None


if __name__ == "__main__":
    with Artanis() as client:
        report = export(client, "masked.jsonl", format=to_masked_row)
    print(report.examples, "examples in", report.path.name)

"""What an export writes: its arguments, and the rows of each trace."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from artanis_api.models import TraceDetail

from .._client import Artanis, AsyncArtanis, credentials_of
from .._periods import filter_by_period
from ._examples import EvaluationExample, examples, parse_steps
from ._formats import (
    EXAMPLE_FORMATS,
    OUTCOMES,
    FormatFunction,
    Render,
    choose_format,
    find_placeholders,
    format_heading,
    format_row,
    to_conversation,
    to_preference,
    to_row,
)
from ._outcomes import REVIEWED, Outcome, parse_outcomes


class ExportRequest:
    """What to export, and to which file."""

    def __init__(
        self,
        client: Artanis | AsyncArtanis,
        project: Mapping[str, str],
        path: str | os.PathLike[str],
        *,
        format: str | FormatFunction | None,  # noqa: A002
        outcomes: Iterable[Outcome | str] | None,
        steps: Iterable[str] | None,
        where: Callable[[EvaluationExample], object] | None,
        since: date | str | None,
        until: date | str | None,
        encoding: str,
        metadata: bool,
        render: Render | None,
        require_prompt: bool,
    ) -> None:
        """Check the arguments; raise ValueError or TypeError as `export` does."""
        self.given_path = Path(path)
        self.path = Path(os.path.realpath(path))
        self.manifest_path = self.path.with_name(self.path.name + ".manifest.json")
        chosen = choose_format(self.given_path, format)
        self.format = chosen if isinstance(chosen, str) else "function"
        self.needs_prompts = self.format not in EXAMPLE_FORMATS or require_prompt
        if self.format == "parquet":
            import_module("._parquet", __package__)  # raises ImportError, before anything is read
        for name, function in (("where", where), ("render", render)):
            if function is not None and not callable(function):
                raise TypeError(f"{name} must be a function.")
        if render is not None and self.format in EXAMPLE_FORMATS:
            raise ValueError(f"render does not apply to the format {self.format}, which contains no prompts.")
        if encoding not in ("utf-8", "utf-8-sig"):
            raise ValueError(f"Unknown encoding {encoding!r}: use utf-8 or utf-8-sig.")
        if encoding == "utf-8-sig" and self.format != "csv":
            raise ValueError("The encoding utf-8-sig is only for the format csv.")
        self.heading = format_heading(self.format, encoding)
        self._where, self._render, self._require_prompt = where, render, require_prompt
        functions: dict[str, FormatFunction] = {
            "chat": partial(to_conversation, metadata=metadata),
            "preference": to_preference,
        }
        self._to_row: FormatFunction = functions.get(self.format, to_row) if isinstance(chosen, str) else chosen
        self.outcomes = self._parse_outcomes(outcomes)
        self.steps = None if steps is None else sorted(parse_steps(steps))
        self.has_functions = self.format == "function" or where is not None or render is not None
        """Whether functions of the caller decide what is written."""
        filter_by_period(since, until)
        self.dates = {name: value and str(value) for name, value in (("since", since), ("until", until))}
        credentials = credentials_of(client)
        self.header = {
            "source": {"base_url": credentials.base_url, "org_slug": credentials.org_slug, **project},
            "format": self.format,
            "encoding": encoding,
            "outcomes": [outcome.value for outcome in Outcome if outcome in self.outcomes],
            "steps": self.steps,
            "where": where is not None,
            "metadata": metadata,
            "render": render is not None,
            "require_prompt": require_prompt,
        }
        """An export can continue another one, or reuse its file, only if both have the same header."""

    def _parse_outcomes(self, outcomes: Iterable[Outcome | str] | None) -> set[Outcome]:
        possible = {*OUTCOMES.get(self.format, Outcome)}
        wanted = possible if outcomes is None else parse_outcomes(outcomes)
        if unusable := [f'"{outcome}"' for outcome in Outcome if outcome in wanted - possible]:
            kind = "approved" if self.format == "chat" else "corrected"
            raise ValueError(
                f'format="{self.format}" needs {kind} outputs; remove {", ".join(unusable)} from outcomes.'
            )
        return wanted

    def make_entry(self, trace: TraceDetail, prompts: Mapping[str, str]) -> dict[str, Any]:
        """Return the entry of a trace for the journal.

        Args:
            trace: The trace.
            prompts: The content of each prompt version by its id.
        """
        found = examples(trace, steps=self.steps)
        entry: dict[str, Any] = {
            "id": trace.id,
            "updated_at": trace.updated_at.isoformat(),
            "is_reviewed": bool(trace.spans) and all(example.outcome in REVIEWED for example in found),
            "outcomes": Counter[str](),
            "steps": Counter({span.step_id: 0 for span in trace.spans}),
            "left_out": 0,
            "unfilled": Counter[str](),
            "skipped": [],
            "text": "",
        }
        for example in found:
            if example.outcome in self.outcomes and (self._where is None or self._where(example)):
                self._add_row(entry, example, prompts)
        return entry

    def _add_row(self, entry: dict[str, Any], example: EvaluationExample, prompts: Mapping[str, str]) -> None:
        """Add the row of an example to the entry of its trace, or note there why there is none."""
        version = example.prompt_version_id
        if self.format in OUTCOMES and version is not None and version not in prompts:
            entry["skipped"].append((example.span_id, f"There is no prompt version {version}."))
            return
        prompt = prompts.get(version or "")
        if prompt is not None and self._render is not None:
            prompt = self._render(prompt, example.input)
        row: Any = None
        if prompt is not None or not self._require_prompt:
            row = self._to_row(example, prompt)
        if row is None:
            entry["left_out"] += 1
            return
        if not isinstance(row, dict):
            raise TypeError(f"The format function must return a dict or None, not {type(row).__name__}.")
        entry["text"] += format_row(self.format, cast("dict[str, Any]", row))
        entry["outcomes"][example.outcome] += 1
        entry["steps"][example.step_id] += 1
        if prompt is not None and self._render is None and self.format in OUTCOMES:
            entry["unfilled"].update(sorted(find_placeholders(prompt)))

"""Traces as trees, rendered by Rich. Imported only when needed, because Rich is slow to import."""

from __future__ import annotations

import difflib
import json
import sys
from collections.abc import Iterator
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.text import Text
from rich.tree import Tree

from artanis_api.models import Span, TraceDetail

from ..evaluation import Outcome, outcome
from ._output import DIFF_COLOURS, compact, escape, is_coloured, line, moment, out, pretty

_COLOURS = {Outcome.ACCEPTED: "green", Outcome.CORRECTED: "yellow", Outcome.UNREVIEWED: "bright_black"}


def _print(what: RenderableType) -> None:
    """Print on stdout; if that is not a terminal, without colours and without wrapping lines."""
    is_terminal = sys.stdout.isatty()
    console = Console(
        file=sys.stdout,
        color_system="auto" if is_coloured(sys.stdout) else None,
        no_color=False,  # decided in the line above; older versions of Rich misread an empty NO_COLOR
        force_terminal=is_terminal,
        width=None if is_terminal else 1_000_000,
        highlight=False,
    )
    if is_terminal:
        console.print(what)
        return
    with console.capture() as captured:
        console.print(what)
    for text in captured.get().removesuffix("\n").split("\n"):
        out(text.rstrip())


def print_trace(trace: TraceDetail) -> None:
    """Print the spans of a trace as a tree, with their reviews."""
    heading = Text(f"{line(trace.id)}  {line(trace.status)}  {moment(trace.created_at)} UTC", "bold")
    if trace.metadata:
        heading.append(f"\n{line(compact(trace.metadata))}", "not bold")
    tree = Tree(heading)
    comments: dict[str, list[str]] = {}
    for comment in sorted(trace.feedback, key=lambda comment: comment.created_at):
        text = f"{escape(comment.content)}  ({line(comment.user_id)}, {moment(comment.created_at)} UTC)"
        comments.setdefault(comment.span_id, []).append(text)
    nodes: dict[str, Tree] = {}
    for span in _parents_first(trace.spans):
        parent = nodes.get(span.parent_span_id or "", tree)
        nodes[span.id] = parent.add(_make_node(span, comments.get(span.id, [])))
    for span_id in comments.keys() - nodes.keys():
        heading = Text(f"on a span that is not in the trace, {line(span_id)}", "bold")
        tree.add(Group(heading, *_make_block("feedback", Text("\n".join(comments[span_id])))))
    _print(tree)


def _parents_first(spans: list[Span]) -> Iterator[Span]:
    """Yield each span once, after its parent, unless the parent is missing or is a descendant of the span."""
    children: dict[str | None, list[Span]] = {}
    ids = {span.id for span in spans}
    for span in spans:
        children.setdefault(span.parent_span_id if span.parent_span_id in ids else None, []).append(span)
    seen: set[int] = set()
    for start in [*children.get(None, []), *spans]:
        pending = [start]
        while pending:
            span = pending.pop()
            if id(span) not in seen:
                seen.add(id(span))
                yield span
                pending += reversed(children.get(span.id, []))


def _make_node(span: Span, comments: list[str]) -> Group:
    judged = outcome(span)
    heading = Text.assemble((line(span.step_id), "bold"), "  ", (judged.value, _COLOURS[judged]))
    if span.prompt_version_id:
        heading.append(f"  prompt {line(span.prompt_version_id)}", "bright_black")
    parts = [
        heading,
        *_make_block("input", Text(escape(pretty(span.input_)))),
        *_make_block("output", Text(escape(pretty(span.output)))),
    ]
    if judged is Outcome.CORRECTED:
        parts += _make_block("correction", _make_diff(span.output, span.approved_output))
    if comments:
        parts += _make_block("feedback", Text("\n".join(comments)))
    return Group(*parts)


def _make_block(name: str, text: Text) -> list[RenderableType]:
    return [Text(name, "bright_black"), Padding.indent(text, 2)]


def _make_diff(before: Any, after: Any) -> Text:
    """Return a coloured diff of two JSON values, line by line."""
    # Two strings are compared as text, anything else as JSON: "1" is not 1.
    is_text = isinstance(before, str) and isinstance(after, str)
    old, new = (
        pretty(value) if is_text else json.dumps(value, ensure_ascii=False, indent=2) for value in (before, after)
    )
    changes = list(difflib.unified_diff(old.split("\n"), new.split("\n"), lineterm=""))[2:]  # without file names
    return Text("\n").join(Text(escape(change), DIFF_COLOURS.get(change[0], "")) for change in changes)

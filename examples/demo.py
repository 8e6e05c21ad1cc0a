"""What reading from Artanis looks like: prompts, reviewed traces, and an error. `make demo` runs it.

It reads from the bundled sandbox, over HTTP; with --live (`make demo LIVE=1`) from Artanis, with the credentials that
`Artanis()` finds. It reads at most eight traces, and changes nothing: the API is read-only.
"""

import argparse
import io
import json
import sys
import time
from collections import Counter
from contextlib import ExitStack
from difflib import unified_diff
from typing import Any

from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Column, Table
from rich.text import Text
from rich.tree import Tree

from artanis_client import Artanis, ArtanisError, CredentialsError, Outcome, models, outcome

# Without markup and emoji codes, because most of what is printed comes from a server.
console = Console(markup=False, emoji=False, highlight=False)

ACCEPTED = ("✓", "accepted", "green")
CORRECTED = ("✎", "corrected", "yellow")
PENDING = ("○", "not reviewed yet", "dim")
REVIEWS = {Outcome.ACCEPTED: ACCEPTED, Outcome.CORRECTED: CORRECTED, Outcome.UNREVIEWED: PENDING}
FEEDBACK = ("“", "feedback", "magenta")
SIGNS = (ACCEPTED, CORRECTED, PENDING, FEEDBACK)
DIFF_STYLES = {"-": "red", "+": "green", "@": "cyan", " ": ""}
TABLE: dict[str, Any] = {"box": None, "pad_edge": False, "expand": True, "header_style": "dim"}
MINUTE = "%Y-%m-%d %H:%M"


def tour(client: Artanis, settings: dict[str, Any]) -> None:
    """Make every call that the client has a method for, and one that fails."""
    section("Active prompts", "prompts = client.prompts.list()")
    prompts = client.prompts.list()
    console.print(prompt_table(prompts) if prompts else "This project has no prompts yet, and no versions to compare.")
    if prompts:
        section("A prompt, and the version before it", "history = client.prompts.get(prompt.id)")
        # The list does not show which prompts have several versions, but every prompt that was changed has.
        prompt = max(prompts, key=lambda prompt: (prompt.updated_at > prompt.created_at, prompt.updated_at))
        history = client.prompts.get(prompt.id)
        console.print(latest_change(history))

    section("The newest traces", "traces = [client.traces.get(trace.id) for trace in client.traces.list()[:8]]")
    # The list has no spans, so reading the reviews of n traces takes 1 + n requests.
    traces = [client.traces.get(trace.id) for trace in client.traces.list()[:8]]
    console.print(trace_table(traces) if traces else "This project has no traces yet, and no spans to show.")
    if traces:
        section("One of them, span by span", "trace.spans, trace.feedback  # nothing more to fetch")
        trace = max(traces, key=lambda trace: (len(set(map(review, trace.spans))), len(trace.feedback)))
        console.print(span_tree(trace))

    section("A mistake: the wrong organization", 'Artanis(org_slug="no-such-org").prompts.list()')
    try:
        with Artanis(**settings | {"org_slug": "no-such-org"}) as stranger:
            stranger.prompts.list()
    except ArtanisError as error:
        console.print(panel(error))


def review(span: models.Span) -> tuple[str, str, str]:
    """How to show what a reviewer decided, which follows from `output` and `approvedOutput`."""
    return REVIEWS[outcome(span)]


def prompt_table(prompts: list[models.Prompt]) -> Table:
    table = Table("step", "updated (UTC)", Column("first line", no_wrap=True, ratio=1), **TABLE)
    for prompt in prompts:
        first_line = next(filter(str.strip, prompt.content.split("\n")), "")
        table.add_row(Text(plain(prompt.step_id, 24), "bold"), f"{prompt.updated_at:{MINUTE}}", plain(first_line))
    return table


def latest_change(history: models.PromptHistory) -> Table | str:
    """The active version, compared with the one before it."""
    step, versions = plain(history.step_id, 24), history.versions
    active = next((index for index, version in enumerate(versions) if version.is_active), 0)
    if active == 0:
        return f"There is no version before the active one of {step} yet."
    when = [f"v{n} of {len(versions)}, {versions[n - 1].created_at:{MINUTE}}" for n in (active, active + 1)]
    return diff(versions[active - 1].content, versions[active].content, *(f"{step}, {which}" for which in when))


def trace_table(traces: list[models.TraceDetail]) -> Group:
    table = Table("trace", "created (UTC)", "status", "review", Column("metadata", no_wrap=True, ratio=1), **TABLE)
    for trace in traces:
        counts = Counter([*map(review, trace.spans), *[FEEDBACK] * len(trace.feedback)])
        signs = ((f"{sign[0]} {counts[sign]}".ljust(4) if counts[sign] else " " * 4, sign[2]) for sign in SIGNS)
        row = plain(trace.id[:8]), f"{trace.created_at:{MINUTE}}", plain(trace.status, 16), Text.assemble(*signs)
        table.add_row(*row, plain(trace.metadata))
    return Group(table, Text(), Text("   ").join(Text(f"{sign} {words}", style) for sign, words, style in SIGNS))


def span_tree(trace: models.TraceDetail) -> Tree:
    spans = {span.id: span for span in trace.spans[:50]}
    nodes = {id_: Tree(span_label(span, trace.feedback), guide_style="dim") for id_, span in spans.items()}
    root = Tree(f"trace {plain(trace.id)}, {trace.created_at:{MINUTE}}, {len(spans)} spans", guide_style="dim")
    for id_, span in spans.items():  # the API promises no order, so a parent may come after its children
        nodes.get(span.parent_span_id or "", root).children.append(nodes[id_])
    if trace.spans[50:]:
        root.add(f"… {len(trace.spans[50:])} more spans")
    return root


def span_label(span: models.Span, feedback: list[models.Feedback]) -> Group:
    """What a step returned, and what its reviewers decided and wrote."""
    sign = review(span)
    rows = Table.grid(Column(min_width=12, style="dim"), Column(overflow="fold"))
    if span.parent_span_id is None:
        rows.add_row("  input", plain(span.input_))
    if sign == CORRECTED:
        old, new = span.output, span.approved_output
        if not (isinstance(old, str) and isinstance(new, str)):
            old, new = (json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True) for value in (old, new))
        rows.add_row("  output", diff(old, new))
    else:
        rows.add_row("  output", plain(span.output))
    for note in feedback:
        if note.span_id == span.id:
            rows.add_row("  feedback", Text(f"“{plain(note.content)}”  {note.created_at:{MINUTE}}", "magenta"))
    return Group(Text.assemble((plain(span.step_id, 40), "bold"), (f"  {sign[0]} {sign[1]}", sign[2])), rows)


def diff(old: str, new: str, old_name: str = "", new_name: str = "") -> Table:
    """A unified diff, with its header if the sides have names. Long lines wrap beside their sign."""
    differences = unified_diff(old.split("\n"), new.split("\n"), old_name, new_name, lineterm="", n=2)
    lines = list(differences) or [" The two are the same."]
    lines[40:] = [" …"] if len(lines) > 40 else []
    rows = Table.grid("", Column(overflow="fold"))
    for line in lines[0 if old_name else 3 :]:
        rows.add_row(line[0], plain(line[1:]), style=DIFF_STYLES[line[0]])
    return rows


def plain(value: Any, limit: int = 600) -> str:
    """Text or JSON from a server on one line, cut off at the limit, with control characters escaped."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    wanted = "\u00a0\u3000\u200c\u200d"  # spaces and joiners of some scripts, which are not isprintable()
    shown = (c if c.isprintable() or c in wanted else c.encode("unicode_escape").decode() for c in text[:limit])
    return "".join(shown) + ("…" if len(text) > limit else "")


def section(title: str, code: str) -> None:
    """Print a heading, and the line of Python that fetches what follows."""
    console.print()
    console.rule(Text(title, "bold"), align="left", style="dim")
    console.print(Text(f">>> {code}\n", "dim"))


def panel(error: Exception) -> Panel:
    return Panel(plain(str(error), 1000), title=type(error).__name__, title_align="left", border_style="red")


def main() -> None:
    parser = argparse.ArgumentParser(description="What reading from Artanis looks like.")
    parser.add_argument("--live", action="store_true", help="read from Artanis, with your own credentials")
    is_live = parser.parse_args().live
    if isinstance(sys.stdout, io.TextIOWrapper):  # which may not be able to encode everything
        sys.stdout.reconfigure(errors="backslashreplace")
    console.width = min(console.width, 120) if console.is_terminal else 100

    sent: list[float] = []
    hooks = {"request": [lambda _: sent.append(time.perf_counter())]}
    settings: dict[str, Any] = {"httpx_args": {"event_hooks": hooks, "trust_env": is_live}}  # no proxy to the sandbox
    try:
        with ExitStack() as stack:
            if not is_live:
                from artanis_client.sandbox import Sandbox  # which needs an extra

                sandbox = Sandbox(seed=268, now="2026-04-30T18:00Z")  # traces with every kind of review
                settings |= stack.enter_context(sandbox).credentials
            client = stack.enter_context(Artanis(**settings))
            console.print(Text(f">>> client = Artanis({'' if is_live else '**sandbox.credentials'})", "dim"))
            console.print(plain(repr(client)))
            tour(client, settings)
            took = 1000 * (time.perf_counter() - sent[0])
            console.print(Text(f"\n{len(sent)} requests in {took:.0f} ms. How to make them yourself: README.md", "dim"))
    except (ArtanisError, ValueError) as error:  # ValueError: no project is set
        console.print(panel(error))
        sys.exit(2 if isinstance(error, CredentialsError | ValueError) else 1)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()

"""The versions of one prompt: finding one, and comparing two."""

from __future__ import annotations

import difflib
import io

from artanis_api.models import PromptHistory, PromptVersion

from .._errors import listed, printable


def diff_versions(history: PromptHistory, old: int | str = "previous", new: int | str = "active") -> str:
    r"""Return the unified diff between two versions of a prompt; an empty string if their contents are equal.

    Only `\n` ends a line. A `\r` belongs to its line, so a changed line ending shows as a changed line.

    Args:
        history: A prompt with its versions, as `client.prompts.get` returns it.
        old, new: The two versions. Each is a position, from 0 for the oldest or -1 for the newest; the id of a version;
            `"active"`; or `"previous"` for the version before the active one.

    Raises:
        ValueError: If there is no such version, or if a word is used while not exactly one version is active.
    """
    versions = [find_version(history, old), find_version(history, new)]
    before, after = (list(io.StringIO(version.content)) for version in versions)
    before_name, after_name = (f"{printable(history.step_id)} {printable(version.id)}" for version in versions)
    before_date, after_date = (version.created_at.isoformat() for version in versions)
    lines = difflib.unified_diff(before, after, before_name, after_name, before_date, after_date)
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def find_version(history: PromptHistory, which: int | str) -> PromptVersion:
    """Return a version by its position, its id, or as `"active"` or `"previous"`. Raises as `diff_versions` does."""
    versions, step = history.versions, printable(history.step_id)
    if which in ("active", "previous"):
        active = [position for position, version in enumerate(versions) if version.is_active]
        if len(active) != 1:
            raise ValueError(f"The prompt of {step} has {len(active)} active versions. Choose one by position or id.")
        position = active[0] - (which == "previous")
        if position < 0:
            raise ValueError(f"The prompt of {step} has no version before the active one.")
        return versions[position]
    for position, version in enumerate(versions):
        if which in (version.id, position, position - len(versions)):
            return version
    ids = listed(version.id for version in versions)
    raise ValueError(f"The prompt of {step} has no version {which!r}. It has {len(versions)}, oldest first: {ids}.")

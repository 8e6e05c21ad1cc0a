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
        old, new: The two versions. Each is the id of a version; a label from `"v1"` for the oldest; an integer from 0
            for the oldest or -1 for the newest; `"active"`; or `"previous"` for the version before the active one. An
            id comes before a label.

    Raises:
        ValueError: If there is no such version, or if a word is used while not exactly one version is active.
    """
    found = [find_version(history, old), find_version(history, new)]
    before, after = (list(io.StringIO(version.content)) for version in found)
    before_name, after_name = (
        f"{printable(history.step_id)} {label_version(history, version)} {printable(version.id)}" for version in found
    )
    before_date, after_date = (version.created_at.isoformat() for version in found)
    lines = difflib.unified_diff(before, after, before_name, after_name, before_date, after_date)
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def label_version(history: PromptHistory, version: PromptVersion) -> str:
    """Return the label of a version for people: `v1` for the oldest."""
    return f"v{history.versions.index(version) + 1}"


def find_version(history: PromptHistory, which: int | str) -> PromptVersion:
    """Return a version by one of the names that `diff_versions` takes, and raise as it does."""
    versions, step = history.versions, printable(history.step_id)
    for version in versions:
        if version.id == which:
            return version
    if which in ("active", "previous"):
        active = [position for position, version in enumerate(versions) if version.is_active]
        if len(active) != 1:
            raise ValueError(f"The prompt of {step} has {len(active)} active versions. Choose one by label (v1) or id.")
        position = active[0] - (which == "previous")
        if position < 0:
            raise ValueError(f"The prompt of {step} has no version before the active one.")
        return versions[position]
    for position, version in enumerate(versions):
        if which in (f"v{position + 1}", position, position - len(versions)):
            return version
    ids = listed(version.id for version in versions)
    raise ValueError(f"The prompt of {step} has no version {which!r}. It has {len(versions)}, oldest first: {ids}.")

"""Prompts as files: a project's active prompts in a directory, for version control and review.

A pull first decides what to do with each file and then writes: the manifest under a temporary name, the files, and
finally the manifest under its real name. Each is written under a temporary name and renamed, so a process that is
killed leaves no half-written file, and the temporary manifest tells the next pull which files the killed one wrote.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
import secrets
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

import attrs
from anyio import to_thread

from artanis_api.models import Prompt, PromptHistory

from .._client import Artanis, AsyncArtanis, credentials_of, project_of
from .._credentials import Credentials
from .._errors import APIResponseValidationError, ArtanisError, listed, printable
from .._files import replace_file
from ..bulk import aread_prompts, read_prompts

StrPath = str | os.PathLike[str]

_FORMAT = "artanis-prompts-1"
_MANIFEST = "prompts.json"
_TEMPORARY = ".artanis-pull-"  # how the name of every temporary file begins
_OWN_TEMPORARY = re.compile(r"\.artanis-pull-[0-9a-f]{16}\.(?:json|tmp)")

# What is not safe in a file name on every system: capital letters, because some systems ignore case; everything beyond
# ASCII, because Unicode has several forms of one letter; a leading dot or dash; the first letter of a Windows device.
_UNSAFE = re.compile(r"[^a-z0-9._-]|^[.-]|^(?=(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\.|\Z)).")
_MAX_STEM = 240  # bytes; a name may have 255, and .schema.json must fit

_NOT_A_FILE = "not a file"  # stands for the hash of a link or a pipe, and equals no real hash


class PromptConflictError(ArtanisError):
    """A pull would replace or remove files that were edited or that no pull wrote. It has written nothing.

    Attributes:
        directory: The directory of the pull.
        files: The names of the files.
    """

    def __init__(self, directory: Path, files: Iterable[str]) -> None:
        self.directory = directory
        self.files = tuple(files)
        super().__init__(
            f"In {directory}, these files were edited or not written by a pull, and they differ from upstream: "
            f"{listed(self.files)}. Nothing was written. Commit the files or move them away, then pass force=True "
            "to overwrite them."
        )


@attrs.frozen(kw_only=True)
class PullReport:
    """What a pull did, as sorted names of files."""

    written: tuple[str, ...]
    """Files that were new, changed or missing."""
    removed: tuple[str, ...]
    """Files of prompts and schemas that no longer exist upstream."""
    kept: tuple[str, ...]
    """Files that were edited here and have not changed upstream since the last pull. They were left alone."""


@attrs.frozen(kw_only=True)
class PromptsStatus:
    """How a directory differs from upstream, as sorted ids of steps. A step may be in several of the tuples.

    Check `clean`: the object itself is always true.
    """

    pulled: bool
    """Whether prompts have been pulled into this directory. If not, every step is `new`."""
    new: tuple[str, ...]
    """Steps that were added upstream since the last pull."""
    changed: tuple[str, ...]
    """Steps whose text, schema or modification date has changed upstream since the last pull."""
    gone: tuple[str, ...]
    """Steps that no longer exist upstream and have not been removed here yet."""
    edited: tuple[str, ...]
    """Steps with a file that matches neither the last pull nor upstream. If the step is also `changed`, `new` or
    `gone`, a pull may refuse to run."""
    missing: tuple[str, ...]
    """Steps with a file that was pulled and has been deleted here."""

    @property
    def clean(self) -> bool:
        """Whether nothing differs, so that a pull would write nothing."""
        return self.pulled and not (self.new or self.changed or self.gone or self.edited or self.missing)


def pull_prompts(
    client: Artanis,
    directory: StrPath,
    *,
    project_slug: str | None = None,
    project_id: str | UUID | None = None,
    force: bool = False,
) -> PullReport:
    """Write the active version of every prompt of a project into a directory, and remove what is gone upstream.

    The content of step `classify` becomes `classify.md`, in UTF-8, byte for byte. If the step has an output schema, it
    becomes `classify.schema.json`, with the keys in the API's order, because models follow that order. `prompts.json`
    contains ids, version ids, dates and hashes. A lone surrogate, which UTF-8 cannot express, is written as
    `surrogatepass` writes it.

    In file names, characters other than `a-z0-9._-` are percent-encoded, and so are a leading dot or dash and the first
    letter of a Windows device name. `urllib.parse.unquote` returns the id of the step. If the id is empty or makes the
    name too long, the name ends with `~` and a hash, and `prompts.json` contains the id.

    Local edits are treated as git treats them. An edited file that has not changed upstream since the last pull is
    kept. If it has changed, the pull writes nothing at all and raises an error. The same happens if there is a file
    that no pull wrote. Links count as edits and are never followed. Unchanged files are not rewritten. Run only one
    pull at a time in a directory. If a pull is interrupted, the next one finishes its work.

    Args:
        client: The client that loads the list of prompts, and then the history of each.
        directory: Created if it does not exist. It belongs to one host, organization and project. Name the project
            either by slug or by id, and keep to it.
        project_slug, project_id: The project, if not the client's own. Pass only one of them.
        force: Overwrite and remove files that were edited or that no pull wrote.

    Raises:
        PromptConflictError: If there are such files and `force` is false. Nothing was written.
        APIResponseValidationError: If two prompts have the same step, or a prompt does not have exactly one active
            version.
        ArtanisError: If a call fails, or if `prompts.json` is damaged or belongs to another host, organization or
            project.
        OSError: If a file cannot be read or written. No file is half-written, and the next pull continues.
        ValueError: If there is no project or more than one.
    """
    upstream = _fetch(client, project_slug, project_id)
    return _pull(Path(directory), upstream, force)


async def apull_prompts(
    client: AsyncArtanis,
    directory: StrPath,
    *,
    project_slug: str | None = None,
    project_id: str | UUID | None = None,
    force: bool = False,
) -> PullReport:
    """Like `pull_prompts`, with `await`."""
    upstream = await _afetch(client, project_slug, project_id)
    return await to_thread.run_sync(_pull, Path(directory), upstream, force)


def prompts_status(
    client: Artanis, directory: StrPath, *, project_slug: str | None = None, project_id: str | UUID | None = None
) -> PromptsStatus:
    """Tell how a directory that `pull_prompts` writes differs from upstream. In CI, check that the result is `clean`.

    It sends the same requests as a pull and writes nothing. It raises the same errors, except `PromptConflictError`.
    """
    upstream = _fetch(client, project_slug, project_id)
    return _compare(Path(directory), upstream)


async def aprompts_status(
    client: AsyncArtanis, directory: StrPath, *, project_slug: str | None = None, project_id: str | UUID | None = None
) -> PromptsStatus:
    """Like `prompts_status`, with `await`."""
    upstream = await _afetch(client, project_slug, project_id)
    return await to_thread.run_sync(_compare, Path(directory), upstream)


@attrs.frozen
class Upstream:
    """The manifest and the files that a pull into an empty directory writes."""

    manifest: dict[str, Any]
    files: dict[str, bytes]


def _fetch(client: Artanis, project_slug: str | None, project_id: str | UUID | None) -> Upstream:
    project = project_of(client, project_slug, project_id)
    return _render(credentials_of(client), project, read_prompts(client, project))


async def _afetch(client: AsyncArtanis, project_slug: str | None, project_id: str | UUID | None) -> Upstream:
    project = project_of(client, project_slug, project_id)
    return _render(credentials_of(client), project, await aread_prompts(client, project))


def _render(
    credentials: Credentials, project: Mapping[str, str], prompts: Iterable[tuple[Prompt, PromptHistory]]
) -> Upstream:
    url = f"{credentials.base_url}/api/prompts"
    files: dict[str, bytes] = {}
    entries: dict[str, Any] = {}
    for prompt, history in sorted(prompts, key=lambda pair: pair[0].step_id):
        step = prompt.step_id
        if step in entries:
            problem = f"should have one prompt for each step, not two for {step!r}"
            raise APIResponseValidationError.of("prompts", problem, method="GET", url=url)
        # Content and version come from the same response: another version may have become active since the list.
        active = [version for version in history.versions if version.is_active]
        if len(active) != 1:
            problem = f"of {step!r} should have one active version, not {len(active)}"
            raise APIResponseValidationError.of("versions", problem, method="GET", url=f"{url}/{prompt.id}")
        text_name, schema_name = make_file_names(step)
        own = {text_name: active[0].content.encode("utf-8", "surrogatepass")}
        if history.output_schema is not None:
            own[schema_name] = _to_json(history.output_schema)
        files |= own
        entries[step] = {
            "id": prompt.id,
            "created_at": prompt.created_at.isoformat(),
            "updated_at": prompt.updated_at.isoformat(),
            "version_id": active[0].id,
            "version_created_at": active[0].created_at.isoformat(),
            "files": {name: hashlib.sha256(data).hexdigest() for name, data in own.items()},
        }
    owner = {"format": _FORMAT, "base_url": credentials.base_url, "org_slug": credentials.org_slug, **project}
    return Upstream({**owner, "prompts": entries}, files)


def make_file_names(step_id: str) -> tuple[str, str]:
    """Return the names of a step's text and schema. No two steps share a name, even where case does not matter."""
    stem = _UNSAFE.sub(_percent_encode, step_id)
    if not 0 < len(stem) <= _MAX_STEM:
        stem = f"{stem[:200]}~{hashlib.sha256(step_id.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"
    return f"{stem}.md", f"{stem}.schema.json"


def _percent_encode(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode("utf-8", "surrogatepass"))


def _to_json(value: Any) -> bytes:
    text = json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False) + "\n"
    return text.encode("utf-8", "backslashreplace")  # writes a lone surrogate as JSON escapes it


@attrs.frozen
class FileState:
    """One file of a directory. Contents are given as hashes; None means no file."""

    name: str
    found: str | None
    """What is in the directory."""
    pulled: str | None
    """What the last finished pull left."""
    wanted: str | None
    """What is upstream."""
    is_edited: bool
    """Whether the file matches neither upstream nor anything that a pull wrote, even one that was killed."""

    @property
    def is_missing(self) -> bool:
        """Whether a file that was pulled and still exists upstream has been deleted here."""
        return self.found is None and self.pulled is not None and self.wanted is not None


def _read_directory(path: Path, upstream: Upstream) -> tuple[dict[str, Any] | None, list[FileState]]:
    """Return the entries of the manifest, or None without one, and the state of each file upstream or in a manifest."""
    entries = _read_manifest(path / _MANIFEST, upstream)
    unfinished = [_read_manifest(found, upstream) for found in _left_overs(path, ".json")]
    wanted, pulled, *others = map(_list_hashes, (upstream.manifest["prompts"], entries, *unfinished))
    states: list[FileState] = []
    for name in sorted({*wanted, *pulled, *itertools.chain(*others)}):
        found, known = _hash(path / name), [hashes.get(name) for hashes in (wanted, pulled, *others)]
        is_edited = found is not None and found not in known
        states.append(FileState(name, found, pulled.get(name), wanted.get(name), is_edited))
    return entries, states


def _read_manifest(path: Path, upstream: Upstream) -> dict[str, Any] | None:
    """Return the entries of a manifest by step, or None if there is no manifest.

    Raises:
        ArtanisError: If no pull from this project can have written it.
    """
    found = _hash(path)
    if found is None:
        return None
    try:
        if found == _NOT_A_FILE:
            raise ValueError("a link or a special file")
        data: Any = json.loads(path.read_bytes())
        entries: dict[str, Any] = data["prompts"]
        for step_id, entry in entries.items():
            # Any other name could lead out of the directory.
            if not entry["files"].keys() <= {*make_file_names(step_id)}:
                raise ValueError(f"wrong file names for the step {step_id!r}")
        owners = [{key: value for key, value in each.items() if key != "prompts"} for each in (data, upstream.manifest)]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ArtanisError(
            f"{path} is damaged or was not written by a pull ({type(error).__name__}: {error}). Restore it, or move it "
            "away and pull again: files that match upstream are kept."
        ) from None
    if owners[0] != owners[1]:
        there, here = (", ".join(printable(f"{key} {value}") for key, value in owner.items()) for owner in owners)
        raise ArtanisError(f"{path} belongs to {there}, not to {here}. Choose another directory.")
    return entries


def _left_overs(path: Path, suffix: str = "") -> list[Path]:
    """Return the temporary files of pulls that were killed, and no other files."""
    found = path.glob(f"{_TEMPORARY}*{suffix}")
    return [each for each in found if _OWN_TEMPORARY.fullmatch(each.name)]


def _list_hashes(entries: dict[str, Any] | None) -> dict[str, str]:
    return {name: hash_ for entry in (entries or {}).values() for name, hash_ in entry["files"].items()}


def _hash(path: Path) -> str | None:
    """Return the hash of a file's content, None if there is no file, or `_NOT_A_FILE`."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return None
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        return _NOT_A_FILE
    return hashlib.sha256(path.read_bytes()).hexdigest()  # of a directory: IsADirectoryError


def _compare(path: Path, upstream: Upstream) -> PromptsStatus:
    pulled, states = _read_directory(path, upstream)
    then, now = pulled or {}, upstream.manifest["prompts"]
    files = {state.name: state for state in states}
    steps = {step: [files[name] for name in make_file_names(step) if name in files] for step in sorted({*then, *now})}
    return PromptsStatus(
        pulled=pulled is not None,
        new=tuple(step for step in steps if step not in then),
        changed=tuple(step for step in steps if step in then and step in now and then[step] != now[step]),
        gone=tuple(step for step in steps if step not in now),
        edited=tuple(step for step in steps if any(file.is_edited for file in steps[step])),
        missing=tuple(step for step in steps if any(file.is_missing for file in steps[step])),
    )


def _pull(path: Path, upstream: Upstream, force: bool) -> PullReport:
    pulled, states = _read_directory(path, upstream)
    edited = [] if force else [state for state in states if state.is_edited]
    if conflicts := [state.name for state in edited if state.wanted != state.pulled]:
        raise PromptConflictError(path, conflicts)
    outdated = [state for state in states if state.found != state.wanted and state not in edited]
    written = [state.name for state in outdated if state.wanted is not None]
    removed = [state.name for state in outdated if state.wanted is None]
    if outdated or pulled != upstream.manifest["prompts"]:
        path.mkdir(parents=True, exist_ok=True)
        unfinished = path / f"{_TEMPORARY}{secrets.token_hex(8)}.json"
        temporary = f"{_TEMPORARY}{secrets.token_hex(8)}.tmp"
        manifest = _to_json(upstream.manifest)
        replace_file(unfinished, manifest, temporary=temporary)
        for state in outdated:
            if state.wanted is None or state.found == _NOT_A_FILE:  # a link would be followed
                (path / state.name).unlink(missing_ok=True)
            if state.wanted is not None:
                replace_file(path / state.name, upstream.files[state.name], temporary=temporary)
        replace_file(path / _MANIFEST, manifest, temporary=temporary)
    for left_over in _left_overs(path):
        left_over.unlink(missing_ok=True)
    return PullReport(written=tuple(written), removed=tuple(removed), kept=tuple(state.name for state in edited))

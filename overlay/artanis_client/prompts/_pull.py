"""Prompts beside code: a project's active prompts as files of a directory, for version control and review.

A pull first decides about every file and then writes: a manifest under a name of its own, the files, and at last the
manifest's name. Each appears by a rename, so that a process killed at any moment leaves whole files, and the manifest
under its first name tells the next pull which of them were its own.
"""

from __future__ import annotations

import difflib
import errno
import hashlib
import io
import json
import os
import re
import secrets
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import attrs
from anyio import to_thread

from artanis_api.models import Prompt, PromptHistory, PromptVersion

from .._client import Artanis, AsyncArtanis
from .._errors import APIResponseValidationError, ArtanisError, printable

_FORMAT = "artanis-prompts-1"
_MANIFEST = "prompts.json"
_UNFINISHED = ".artanis-pull-"

# What is not safe in a name on every system: capitals, because of systems to which they are small letters; all beyond
# ASCII, because of Unicode's normal forms; a dot or dash in front; the first letter of what is a device on Windows.
_UNSAFE = re.compile(r"[^a-z0-9._-]|^[.-]|^(?=(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\.|\Z)).")
_LONGEST = 240  # of the 255 bytes that a name may have, with room for .schema.json

_NO_FILE = "no file"  # stands for the hash of what is none, and so is like no other


class PromptConflictError(ArtanisError):
    """A pull would replace or remove files that were edited, or that it did not write; nothing was written.

    `files` has their names.
    """

    def __init__(self, directory: Path, files: Iterable[str]) -> None:
        self.files = tuple(files)
        super().__init__(
            f"In {directory}, these files were edited or come from elsewhere, and upstream has something else: "
            f"{', '.join(self.files)}. Nothing was written. Commit them or move them away; then pass force=True, which "
            "makes them what is upstream."
        )


@attrs.frozen(kw_only=True)
class PullReport:
    """What a pull did to the files of a directory; names in order."""

    written: tuple[str, ...]
    """New, changed, or missing before."""
    removed: tuple[str, ...]
    """Of prompts or schemas that are no longer there upstream."""
    kept: tuple[str, ...]
    """Edited here, and not changed upstream since the last pull: still as they were edited."""


@attrs.frozen(kw_only=True)
class PromptsStatus:
    """How a directory differs from upstream: ids of steps, in order; a step may be in several of the tuples.

    Ask for `clean`: the object itself is always true.
    """

    pulled: bool
    """Whether there was a pull into this directory; without one, every step is `new`."""
    new: tuple[str, ...]
    """There since the last pull."""
    changed: tuple[str, ...]
    """Changed upstream since the last pull: its text, its schema or when it was last changed."""
    gone: tuple[str, ...]
    """No longer there upstream, and not yet removed here."""
    edited: tuple[str, ...]
    """With a file that is neither what was pulled nor what is upstream. Where the step is `changed`, `new` or `gone`
    as well, a pull may refuse."""
    missing: tuple[str, ...]
    """With a file that was pulled and has been deleted here."""

    @property
    def clean(self) -> bool:
        """Whether there is no difference, so that a pull would write nothing."""
        return self.pulled and not (self.new or self.changed or self.gone or self.edited or self.missing)


def pull_prompts(
    client: Artanis, directory: str | os.PathLike[str], *, project_slug: str | None = None, force: bool = False
) -> PullReport:
    """Write the active version of every prompt of a project into a directory, and remove what is gone upstream.

    A step `classify` becomes `classify.md`, its content as UTF-8, byte for byte, and `classify.schema.json`, if it has
    an output schema, with the keys in the API's order, which models follow. `prompts.json` has ids, version ids, dates
    and hashes. A lone surrogate in a content, for which there is no UTF-8, is written as `surrogatepass` does.

    In file names, characters other than `a-z0-9._-` are percent-encoded, as are a dot or dash in front and the first
    letter of what is a device on Windows: `urllib.parse.unquote` gives the id. Where the id is empty or makes too long
    a name, the name ends in `~` and a hash, and `prompts.json` has the id.

    Local edits are treated as git does: where upstream has not changed the file since the last pull, it is kept as it
    is; where it has, the whole pull refuses before it writes anything. It also refuses where a file is in the way that
    no pull wrote. Links count as edits and are never followed. What has not changed is not written. Let one pull at a
    time work on a directory; after one that was interrupted, the next one finishes the work.

    Args:
        client: Reads one list, and the history of each of its prompts.
        directory: Made if it does not exist. It belongs to one host, organization and project, which goes by slug or
            by id, but not by both in turn.
        project_slug: Another project than the client's.
        force: Replace and remove edited files, and replace files in the way.

    Raises:
        PromptConflictError: There are such files, and no `force`; nothing was written.
        APIResponseValidationError: Two prompts have one step, or a prompt has not exactly one active version.
        ArtanisError: A call failed, or `prompts.json` is damaged or of another host, organization or project.
        OSError: A file cannot be read or written; none is half-written, and the next pull goes on.
        ValueError: No project, here or in the client.
    """
    prompts = client.prompts.list(project_slug=project_slug)
    histories = [client.prompts.get(prompt.id) for prompt in prompts]
    return _pull(Path(directory), *_upstream(client, project_slug, prompts, histories), force)


async def apull_prompts(
    client: AsyncArtanis, directory: str | os.PathLike[str], *, project_slug: str | None = None, force: bool = False
) -> PullReport:
    """Like `pull_prompts`, with `await`."""
    prompts = await client.prompts.list(project_slug=project_slug)
    histories = [await client.prompts.get(prompt.id) for prompt in prompts]
    upstream = _upstream(client, project_slug, prompts, histories)
    return await to_thread.run_sync(_pull, Path(directory), *upstream, force)


def prompts_status(
    client: Artanis, directory: str | os.PathLike[str], *, project_slug: str | None = None
) -> PromptsStatus:
    """How a directory that `pull_prompts` writes differs from upstream; its `clean` is what CI asks for.

    It sends the requests of a pull and writes nothing. Raises as `pull_prompts` does, but for conflicts.
    """
    prompts = client.prompts.list(project_slug=project_slug)
    histories = [client.prompts.get(prompt.id) for prompt in prompts]
    return _status(Path(directory), _upstream(client, project_slug, prompts, histories)[0])


async def aprompts_status(
    client: AsyncArtanis, directory: str | os.PathLike[str], *, project_slug: str | None = None
) -> PromptsStatus:
    """Like `prompts_status`, with `await`."""
    prompts = await client.prompts.list(project_slug=project_slug)
    histories = [await client.prompts.get(prompt.id) for prompt in prompts]
    upstream, _ = _upstream(client, project_slug, prompts, histories)
    return await to_thread.run_sync(_status, Path(directory), upstream)


def diff_versions(history: PromptHistory, old: int | str = "previous", new: int | str = "active") -> str:
    r"""The unified diff between two versions of a prompt; empty where their contents are equal.

    Lines end at `\n` alone, and a `\r` is part of its line, so that a changed line ending shows as a changed line.

    Args:
        history: A prompt with its versions, as `client.prompts.get` returns it.
        old, new: Each a position from the oldest, 0, or from the newest, -1; the id of a version; `"active"`; or
            `"previous"`, the one before the active one.

    Raises:
        ValueError: There is no such version; or none or several are active, where a word needs one that is.
    """
    versions = [_version(history, old), _version(history, new)]
    before, after = (list(io.StringIO(version.content)) for version in versions)
    before_name, after_name = (f"{printable(history.step_id)} {printable(version.id)}" for version in versions)
    before_date, after_date = (version.created_at.isoformat() for version in versions)
    lines = difflib.unified_diff(before, after, before_name, after_name, before_date, after_date)
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def _version(history: PromptHistory, which: int | str) -> PromptVersion:
    versions, step = history.versions, printable(history.step_id)
    if which in ("active", "previous"):
        active = [position for position, version in enumerate(versions) if version.is_active]
        if len(active) != 1:
            raise ValueError(f"The prompt of {step} has {len(active)} active versions: name one by position or id.")
        position = active[0] - (which == "previous")
        if position < 0:
            raise ValueError(f"The prompt of {step} has no version before the active one.")
        return versions[position]
    for position, version in enumerate(versions):
        if which in (version.id, position, position - len(versions)):
            return version
    ids = ", ".join(printable(version.id) for version in versions)
    raise ValueError(f"The prompt of {step} has no version {which!r}, but {len(versions)}, oldest first: {ids}.")


def _upstream(
    client: Artanis | AsyncArtanis, project_slug: str | None, prompts: list[Prompt], histories: list[PromptHistory]
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The manifest and the files that a pull would leave."""
    credentials = client.prompts._credentials
    url = f"{credentials.base_url}/api/prompts"
    files: dict[str, bytes] = {}
    entries: dict[str, Any] = {}
    for prompt, history in sorted(zip(prompts, histories, strict=True), key=lambda pair: pair[0].step_id):
        step = prompt.step_id
        if step in entries:
            raise APIResponseValidationError(f"the step {step!r} has two prompts, not one", method="GET", url=url)
        # Content and version are from one answer, because another version may have become active since the list.
        active = [version for version in history.versions if version.is_active]
        if len(active) != 1:
            problem = f"the prompt of {step!r} has {len(active)} active versions, not one"
            raise APIResponseValidationError(problem, method="GET", url=f"{url}/{prompt.id}")
        text_file, schema_file = _names(step)
        own = {text_file: active[0].content.encode("utf-8", "surrogatepass")}
        if history.output_schema is not None:
            own[schema_file] = _json(history.output_schema)
        files |= own
        entries[step] = {
            "id": prompt.id,
            "created_at": prompt.created_at.isoformat(),
            "updated_at": prompt.updated_at.isoformat(),
            "version_id": active[0].id,
            "version_created_at": active[0].created_at.isoformat(),
            "files": {name: hashlib.sha256(data).hexdigest() for name, data in own.items()},
        }
    head = {"format": _FORMAT, "base_url": credentials.base_url, "org_slug": credentials.org_slug}
    return {**head, **client.prompts._project(project_slug, None), "prompts": entries}, files


def _names(step_id: str) -> tuple[str, str]:
    """The files of a step: others than those of any other step, also where case does not count."""
    stem = _UNSAFE.sub(_percent_encoded, step_id)
    if not 0 < len(stem) <= _LONGEST:
        stem = f"{stem[:200]}~{hashlib.sha256(step_id.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"
    return f"{stem}.md", f"{stem}.schema.json"


def _percent_encoded(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode("utf-8", "surrogatepass"))


def _json(value: Any) -> bytes:
    text = json.dumps(value, ensure_ascii=False, indent=2) + "\n"
    return text.encode("utf-8", "backslashreplace")  # a lone surrogate becomes the escape that JSON has for it


class _Folder:
    """What is in a directory, beside what upstream has."""

    def __init__(self, path: Path, upstream: dict[str, Any]) -> None:
        self.upstream: dict[str, Any] = upstream["prompts"]
        self.pulled = _read(path / _MANIFEST, upstream)
        """Entries of the manifest; None without one."""
        unfinished = [_read(manifest, upstream) or {} for manifest in path.glob(f"{_UNFINISHED}*.json")]
        self.want = _hashes(self.upstream)
        self.was = _hashes(self.pulled or {})
        self._ours = [self.was, *map(_hashes, unfinished)]
        self.have = {name: _hash(path / name) for name in sorted(set(self.want).union(*self._ours))}

    def is_edited(self, name: str) -> bool:
        """Whether a file is there that is neither what a pull wrote, be it one that was killed, nor what it would."""
        found = self.have[name]
        return found not in (None, self.want.get(name)) and all(found != hashes.get(name) for hashes in self._ours)


def _read(path: Path, upstream: dict[str, Any]) -> dict[str, Any] | None:
    """The entries of a manifest, None without one; ArtanisError for what no pull from there can have written."""
    found = _hash(path)
    if found is None:
        return None
    try:
        if found == _NO_FILE:
            raise ValueError("a link, or no file at all")
        data: Any = json.loads(path.read_bytes())
        entries: dict[str, Any] = data["prompts"]
        for step_id, entry in entries.items():
            # A name that does not follow from the step could lead out of the directory.
            if not entry["files"].keys() <= {*_names(step_id)}:
                raise ValueError(f"names that are not of the step {step_id!r}")
        places = [{key: value for key, value in each.items() if key != "prompts"} for each in (data, upstream)]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ArtanisError(
            f"{path} is not what a pull writes ({type(error).__name__}: {error}). Restore it, or move it away and pull "
            "again: files that are as upstream has them stay."
        ) from None
    if places[0] != places[1]:
        there, here = (", ".join(printable(f"{key} {value}") for key, value in place.items()) for place in places)
        raise ArtanisError(f"{path} is of {there}. This would be {here}: choose another directory.")
    return entries


def _hashes(entries: dict[str, Any]) -> dict[str, str]:
    return {name: hash_ for entry in entries.values() for name, hash_ in entry["files"].items()}


def _hash(path: Path) -> str | None:
    """Of the content of a file; None where there is none, and no hash where there is a link or the like."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "A directory is in the place of a file", str(path))
    return hashlib.sha256(path.read_bytes()).hexdigest() if stat.S_ISREG(mode) else _NO_FILE


def _status(path: Path, upstream: dict[str, Any]) -> PromptsStatus:
    folder = _Folder(path, upstream)
    then, now = folder.pulled or {}, folder.upstream
    steps = sorted({*then, *now})
    files = {step: folder.have.keys() & _names(step) for step in steps}
    deleted = {name for name in folder.was.keys() & folder.want.keys() if folder.have[name] is None}
    return PromptsStatus(
        pulled=folder.pulled is not None,
        new=tuple(step for step in steps if step not in then),
        changed=tuple(step for step in steps if step in then and step in now and then[step] != now[step]),
        gone=tuple(step for step in steps if step not in now),
        edited=tuple(step for step in steps if any(map(folder.is_edited, files[step]))),
        missing=tuple(step for step in steps if files[step] & deleted),
    )


def _pull(path: Path, upstream: dict[str, Any], files: dict[str, bytes], force: bool) -> PullReport:
    folder = _Folder(path, upstream)
    stale = [name for name, found in folder.have.items() if found != folder.want.get(name)]
    edited = [name for name in stale if folder.is_edited(name) and not force]
    kept = [name for name in edited if folder.want.get(name) == folder.was.get(name)]
    if conflicts := [name for name in edited if name not in kept]:
        raise PromptConflictError(path, conflicts)
    written = [name for name in stale if name not in kept and name in files]
    removed = [name for name in stale if name not in kept and name not in files]
    if written or removed or folder.pulled != folder.upstream:
        path.mkdir(parents=True, exist_ok=True)
        unfinished = path / f"{_UNFINISHED}{secrets.token_hex(8)}.json"
        _write(unfinished, _json(upstream))
        for name in written:
            _write(path / name, files[name])
        for name in removed:
            (path / name).unlink(missing_ok=True)
        unfinished.replace(path / _MANIFEST)
    for left_over in path.glob(f"{_UNFINISHED}*"):
        left_over.unlink(missing_ok=True)
    return PullReport(written=tuple(written), removed=tuple(removed), kept=tuple(kept))


def _write(path: Path, data: bytes) -> None:
    temporary = path.with_name(f"{_UNFINISHED}{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:  # as of a full disk
            error.filename = str(path)
        raise

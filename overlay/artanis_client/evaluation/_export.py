"""Evaluation sets as files: `export` and `aexport`.

What is read goes into a journal beside the target, a line for each trace, flushed at once. When it is complete, the
file is put together from it in the order of the list, and moved into place. So whatever kills the process, the old file
is whole, and what was read is there for the next run: `resume` takes it as it is, in whatever order it was read.
"""

from __future__ import annotations

import csv
import errno
import hashlib
import io
import json
import logging
import os
import re
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import IO, Any, Literal, Self, cast

import attrs

from artanis_api.models import PromptHistory, Trace, TraceDetail

from .._client import Artanis, AsyncArtanis, period
from .._errors import ArtanisError
from .._version import __version__
from ..bulk._bulk import AsyncDetails, Order, Progress, details, plain_function
from ._evaluation import EvaluationExample, Outcome, examples, outcomes_of

Format = Literal["jsonl", "csv", "chat"]
FORMATS: tuple[Format, ...] = ("jsonl", "csv", "chat")
REVIEWED = {Outcome.ACCEPTED, Outcome.CORRECTED}
_JOURNAL, _MANIFEST = "artanis-client export, not complete", "artanis-client export"
_FREE_JSON = ("input", "output", "approved_output", "feedback", "metadata", "trace_metadata")
# Lines end for some readers at characters that JSON lets pass, and no encoding has half a surrogate pair.
_TO_ESCAPE = re.compile("[\x85\u2028\u2029\ud800-\udfff]")
_log = logging.getLogger("artanis_client")


@attrs.frozen
class Skipped:
    """A trace, or one span of it, that is missing from an export, and why."""

    trace_id: str
    span_id: str | None
    """None where all of the trace is missing."""
    reason: str


@attrs.frozen(kw_only=True)
class ExportReport:
    """What an export has written."""

    path: Path
    """The file."""
    manifest: Path
    """The JSON beside it that says all this, and which traces were read."""
    examples: int
    """How many examples are in the file."""
    outcomes: dict[Outcome, int]
    """How many there are of each outcome."""
    traces: int
    """How many traces the project has, between `since` and `until`."""
    read: int
    """How many of them were read now; the others were known from before."""
    skipped: tuple[Skipped, ...]
    """What is missing."""


def export(
    client: Artanis,
    path: str | os.PathLike[str],
    *,
    project_slug: str | None = None,
    project_id: str | None = None,
    format: Format | None = None,  # noqa: A002
    outcomes: Iterable[Outcome | str] | None = None,
    steps: Iterable[str] | None = None,
    since: date | str | None = None,
    until: date | str | None = None,
    concurrency: int = 16,
    resume: bool = False,
    recheck: Literal["all", "unreviewed"] = "all",
    on_error: Literal["raise", "skip"] = "raise",
    on_progress: Callable[[Progress], object] | None = None,
) -> ExportReport:
    """Write the evaluation examples of a project's traces to a file, newest trace first.

    The file appears, or replaces an older one, when it is complete. Until then what has been read is in
    `<path>.partial`, and stays there if the export fails or is killed. `<path>.manifest.json` says what the file holds.

    Args:
        client: Where to read from.
        path: The file. Its suffix says the format, if `format` does not.
        format: "jsonl": an example in each line, as `EvaluationExample.to_dict` has it. "csv": the same as a table,
            with free JSON as JSON text. "chat": for fine-tuning, `{"messages": [...]}` for each reviewed span: the
            content of its prompt version as system, the input as user, and the approved output as assistant, where
            what is no text is JSON. A span whose prompt version is unknown is skipped.
        project_slug, project_id, since, until: As for `client.traces.list`.
        outcomes, steps: As for `examples`.
        concurrency, on_error, on_progress: As for `client.traces.iter`.
        resume: Go on with what an export with the same arguments has left in `<path>.partial`: only what is missing, or
            was updated since, is read. False starts over.
        recheck: "all" reads every trace. "unreviewed" takes those from the file that is there which were reviewed
            completely when it was written, and not updated since. That misses what reviewers do to a trace after they
            have reviewed all of it (another approved output, a further comment), because Artanis does not move
            `updatedAt` then. Where the file was changed, or written with other arguments, every trace is read.

    Raises:
        ValueError, TypeError: An argument is wrong, or the partial file is not of this export.
        OSError: The file cannot be written.
        ArtanisError: The list, a prompt or a trace cannot be read, or another export writes to the path.
    """
    client.api.get_httpx_client()  # refuses an async client
    job = _Job(client, path, (project_slug, project_id), (since, until), format, outcomes, steps, resume, recheck)
    order = Order(concurrency, on_error, job.telling(on_progress))
    with job:
        job.begin()
        listed = client.traces.list(project_slug=project_slug, project_id=project_id, since=since, until=until)
        if job.format == "chat":
            prompts = client.prompts.list(project_slug=project_slug, project_id=project_id)
            job.know([client.prompts.get(prompt.id) for prompt in prompts])
        for detail in details(client.api, lambda: job.missing(listed), order):
            job.add(detail)
        return job.finish(listed)


async def aexport(
    client: AsyncArtanis,
    path: str | os.PathLike[str],
    *,
    project_slug: str | None = None,
    project_id: str | None = None,
    format: Format | None = None,  # noqa: A002
    outcomes: Iterable[Outcome | str] | None = None,
    steps: Iterable[str] | None = None,
    since: date | str | None = None,
    until: date | str | None = None,
    concurrency: int = 16,
    resume: bool = False,
    recheck: Literal["all", "unreviewed"] = "all",
    on_error: Literal["raise", "skip"] = "raise",
    on_progress: Callable[[Progress], object] | None = None,
) -> ExportReport:
    """Like `export`, with `AsyncArtanis` and `await`."""
    from anyio.to_thread import run_sync

    client.api.get_async_httpx_client()  # refuses a sync client
    job = _Job(client, path, (project_slug, project_id), (since, until), format, outcomes, steps, resume, recheck)
    order = Order(concurrency, on_error, job.telling(on_progress))
    with job:
        await run_sync(job.begin)
        listed = await client.traces.list(project_slug=project_slug, project_id=project_id, since=since, until=until)
        if job.format == "chat":
            prompts = await client.prompts.list(project_slug=project_slug, project_id=project_id)
            job.know([await client.prompts.get(prompt.id) for prompt in prompts])

        async def missing() -> list[str]:
            return job.missing(listed)

        iterator = AsyncDetails(client.api, missing, order)
        try:
            async for detail in iterator:
                job.add(detail)
        finally:
            await iterator.aclose()
        return await run_sync(job.finish, listed)


@attrs.frozen
class _Entry:
    """Where in the journal a trace is, and when it was last updated."""

    place: int
    updated_at: str


class _Job:
    """One export: its journal, and what becomes of it. It reads no network."""

    _journal: IO[bytes]

    def __init__(
        self,
        client: Artanis | AsyncArtanis,
        path: str | os.PathLike[str],
        project: tuple[str | None, str | None],
        dates: tuple[date | str | None, date | str | None],
        format_: str | None,
        outcomes: Iterable[Outcome | str] | None,
        steps: Iterable[str] | None,
        resume: bool,
        recheck: str,
    ) -> None:
        self._path = Path(os.path.realpath(path))
        self.format = format_ or self._path.suffix[1:].lower()
        if self.format not in FORMATS:
            choice = ", ".join(FORMATS)
            raise ValueError(f"Unknown format {self.format!r}: name the file .jsonl or .csv, or pass format: {choice}.")
        possible = REVIEWED if self.format == "chat" else set(Outcome)
        wanted = possible if outcomes is None else outcomes_of(outcomes)
        if not wanted <= possible:
            raise ValueError("Without a review there is no approved output to learn from: leave unreviewed out.")
        if recheck not in ("all", "unreviewed"):
            raise ValueError(f'recheck must be "all" or "unreviewed", not {recheck!r}.')
        period(*dates)
        credentials = client._credentials
        self._what: dict[str, Any] = {
            "source": {
                "base_url": credentials.base_url,
                "org_slug": credentials.org_slug,
                **client.traces._project(*project),
            },
            "format": self.format,
            "outcomes": [outcome.value for outcome in Outcome if outcome in wanted],
            "steps": [steps] if isinstance(steps, str) else None if steps is None else sorted(set(steps)),
        }
        self._dates = [None if value is None else str(value) for value in dates]
        self._resume = resume
        self._recheck = recheck
        self._partial = self._path.with_name(self._path.name + ".partial")
        self._manifest = self._path.with_name(self._path.name + ".manifest.json")
        self._is_ours = False
        """Whether the journal was begun now."""
        self._entries: dict[str, _Entry] = {}
        self._contents: dict[str, str] = {}
        self._skipped: list[Skipped] = []
        self._read = 0
        self._started = _now()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if hasattr(self, "_journal"):
            if self._is_ours and not self._entries:
                self._remove_journal()
            self._journal.close()

    def begin(self) -> None:
        """Open the journal, with what there is to go on with."""
        if not self._path.parent.is_dir():
            raise FileNotFoundError(errno.ENOENT, "There is no such directory to write to", str(self._path.parent))
        if self._path.exists() and not self._path.is_file():
            raise IsADirectoryError(errno.EISDIR, "An export needs the path of a file, not", str(self._path))
        if self._path.exists() and not os.access(self._path, os.W_OK):
            raise PermissionError(errno.EACCES, "There is a file that may not be replaced", str(self._path))
        self._journal = _open_alone(self._partial, self._path)
        self._is_ours = not (self._resume and self._load())
        if self._is_ours:
            self._journal.truncate(0)
            self._append({"kind": _JOURNAL, "version": 1, "started_at": self._started, **self._what})
            os.fsync(self._journal.fileno())  # a full disk is found now, and not when all is read
            if self._recheck == "unreviewed":
                self._take_over()

    def _load(self) -> bool:
        """Index the journal that an earlier run has left, as far as it is whole."""
        self._journal.seek(0)
        header = _parsed(self._journal.readline())
        if header is None:
            return False
        for name, value in self._what.items():
            if header.get("kind") != _JOURNAL or header.get(name) != value:
                raise ValueError(
                    f"{self._partial} is not of this export: {name} is {header.get(name)!r} there and {value!r} here. "
                    "Use the same arguments, start over with resume=False, or choose another path."
                )
        self._started = header["started_at"]
        end = self._journal.tell()
        while (line := _parsed(self._journal.readline())) is not None:
            self._entries[line["id"]] = _Entry(end, line["updated_at"])
            end = self._journal.tell()
        self._journal.truncate(end)
        return True

    def _take_over(self) -> None:
        """Put those traces of the file that is there into the journal which need not be read again."""
        try:
            manifest = json.loads(self._manifest.read_bytes())
            if manifest["kind"] != _MANIFEST or any(manifest[name] != value for name, value in self._what.items()):
                raise ValueError("it was written with other arguments")
            with self._path.open("rb") as file:
                if manifest["sha256"] != hashlib.file_digest(file, "sha256").hexdigest():
                    raise ValueError("it was changed since")
                file.seek(manifest["heading_bytes"])
                for trace in manifest["traces"]:
                    text = file.read(trace["bytes"]).decode()
                    if trace["is_reviewed"]:
                        self._keep({**trace, "text": text})
        except FileNotFoundError:
            pass
        except (ValueError, KeyError, TypeError) as error:
            _log.info("%s cannot be built upon (%s): every trace is read", self._path, error)

    def know(self, prompts: Iterable[PromptHistory]) -> None:
        """Take note of the content of each version."""
        self._contents = {version.id: version.content for prompt in prompts for version in prompt.versions}

    def missing(self, listed: Sequence[Trace]) -> list[str]:
        """The ids of traces that the journal has not, or not as they are now."""

        def is_known(trace: Trace) -> bool:
            entry = self._entries.get(trace.id)
            return entry is not None and entry.updated_at == trace.updated_at.isoformat()

        return [trace.id for trace in listed if not is_known(trace)]

    def telling(self, on_progress: Callable[[Progress], object] | None) -> Callable[[Progress], object]:
        """What takes note of the traces that are skipped, and passes everything on."""
        pass_on = plain_function(on_progress)

        def tell(progress: Progress) -> None:
            if progress.error is not None:
                self._skipped.append(Skipped(progress.trace_id, None, str(progress.error)))
            if pass_on is not None:
                pass_on(progress)

        return tell

    def add(self, trace: TraceDetail) -> None:
        """Put a trace into the journal."""
        self._read += 1
        of_steps = examples(trace, steps=self._what["steps"])
        counts: Counter[str] = Counter()
        skipped: list[tuple[str, str]] = []
        rows: list[str] = []
        for example in of_steps:
            if example.outcome not in self._what["outcomes"]:
                continue
            version = example.prompt_version_id
            if self.format == "chat" and version is not None and version not in self._contents:
                skipped.append((example.span_id, f"there is no prompt version {version}"))
                continue
            rows.append(self._row(example))
            counts[example.outcome] += 1
        self._keep(
            {
                "id": trace.id,
                "updated_at": trace.updated_at.isoformat(),
                "is_reviewed": bool(trace.spans) and all(one.outcome in REVIEWED for one in of_steps),
                "outcomes": dict(counts),
                "skipped": skipped,
                "text": "".join(rows),
            }
        )

    def _keep(self, entry: dict[str, Any]) -> None:
        self._entries[entry["id"]] = _Entry(self._append(entry), entry["updated_at"])

    def _append(self, line: dict[str, Any]) -> int:
        """Write a line at the end of the journal; returns where it begins."""
        place = self._journal.seek(0, os.SEEK_END)
        self._journal.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")
        self._journal.flush()  # what was read is worth more than a write
        return place

    def _row(self, example: EvaluationExample) -> str:
        data = example.to_dict()
        if self.format == "csv":
            return _csv([_json(value) if name in _FREE_JSON else value for name, value in data.items()])
        if self.format == "chat":
            version = example.prompt_version_id
            told: dict[str, Any] = {} if version is None else {"system": self._contents[version]}
            told |= {"user": example.input, "assistant": example.approved_output}
            data = {
                "messages": [
                    {"role": role, "content": content if isinstance(content, str) else _json(content)}
                    for role, content in told.items()
                ]
            }
        return _json(data) + "\n"

    def finish(self, listed: Sequence[Trace]) -> ExportReport:
        """Put the file together, move it into place, and say what it holds."""
        new = self._path.with_name(self._path.name + ".new")
        new_manifest = self._manifest.with_name(self._manifest.name + ".new")
        try:
            with new.open("wb") as file:
                report = self._write(listed, file, new_manifest)
                os.fsync(file.fileno())
            if self._path.exists():
                shutil.copymode(self._path, new)
            # Killed in between, the manifest does not fit the file, which its hash tells, and the journal is there.
            new.replace(self._path)
            new_manifest.replace(self._manifest)
        finally:
            new.unlink(missing_ok=True)
            new_manifest.unlink(missing_ok=True)
        self._remove_journal()
        del self._journal
        return report

    def _write(self, listed: Sequence[Trace], file: IO[bytes], manifest_path: Path) -> ExportReport:
        heading = b""
        if self.format == "csv":
            heading = _csv([field.name for field in attrs.fields(EvaluationExample)]).encode()
        digest = hashlib.sha256(heading)
        file.write(heading)
        traces: list[str] = []
        counts: Counter[str] = Counter()
        for trace in listed:
            if (entry := self._entries.get(trace.id)) is None:
                continue  # it was skipped
            self._journal.seek(entry.place)
            line = json.loads(self._journal.readline())
            content = line.pop("text").encode("utf-8", "backslashreplace")
            file.write(content)
            digest.update(content)
            traces.append(json.dumps({**line, "bytes": len(content)}))
            counts.update(line["outcomes"])
            self._skipped += [Skipped(trace.id, span_id, reason) for span_id, reason in line["skipped"]]
        file.flush()
        report = ExportReport(
            path=self._path,
            manifest=self._manifest,
            examples=counts.total(),
            outcomes={outcome: counts[outcome] for outcome in Outcome},
            traces=len(listed),
            read=self._read,
            skipped=tuple(self._skipped),
        )
        manifest = {
            "kind": _MANIFEST,
            "version": 1,
            "client": f"artanis-client/{__version__}",
            "started_at": self._started,
            "finished_at": _now(),
            **self._what,
            "since": self._dates[0],
            "until": self._dates[1],
            "examples": report.examples,
            "counts": report.outcomes,
            "skipped": [attrs.asdict(skipped) for skipped in self._skipped],
            "sha256": digest.hexdigest(),
            "heading_bytes": len(heading),
            "traces": [],
        }
        # A line for each trace, which can be looked through and compared.
        text = json.dumps(manifest, indent=2)
        lines = ",\n    ".join(traces)
        manifest_path.write_text(text.replace('"traces": []', f'"traces": [\n    {lines}\n  ]'), "utf-8")
        return report

    def _remove_journal(self) -> None:
        if sys.platform == "win32":  # which removes nothing that is open
            self._journal.close()
        self._partial.unlink(missing_ok=True)
        self._journal.close()


def _open_alone(partial: Path, path: Path) -> IO[bytes]:
    """Open the journal for one export; the lock ends with the process, however that ends."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
    file = os.fdopen(os.open(partial, flags, 0o600), "r+b")
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(2**40)  # bytes that are locked cannot be read through another handle
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(file.fileno()).st_ino == partial.stat().st_ino:
            return file
    except OSError:  # locked, or removed by the one that has just finished
        pass
    file.close()
    raise ArtanisError(f"Another export is writing to {path}. Wait until it is done, or choose another path.")


def _parsed(line: bytes) -> dict[str, Any] | None:
    """A line of a journal; None for one that was not written to its end."""
    try:
        value: Any = json.loads(line) if line.endswith(b"\n") else None
    except ValueError:
        return None
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def _json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return _TO_ESCAPE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _csv(values: Sequence[str | None]) -> str:
    row = io.StringIO()
    csv.writer(row).writerow(values)
    return row.getvalue()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")

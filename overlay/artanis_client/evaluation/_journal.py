"""The journal of an export: a file beside the target that holds the traces read so far, so that a later run can resume.

The first line describes the export. Each further line is the entry of one trace, an object with `id`, `updated_at`,
`is_reviewed` (whether all its spans are reviewed), `outcomes` and `steps` (the number of its rows with each outcome and
of each step, also of steps without rows), `left_out` (the number of examples that the format left out), `unfilled` (the
number of rows with each placeholder), `skipped` (the spans that could not be exported, and why) and `text` (its rows as
the file will contain them). Each line is flushed at once, so that nothing is lost if the process is killed.
"""

# No `from __future__ import annotations`: attrs would copy the annotations to __init__ as strings, which
# typing.get_type_hints cannot resolve there.

import errno
import json
import os
import re
import secrets
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Self

import attrs

from artanis_api.models import Trace

from .._errors import ArtanisError
from .._files import warn_once

_HEADER = {"kind": "artanis-client export, not complete", "version": 1}
_START = b'{"kind":"artanis-client export, not complete"'  # how every journal starts
_TEMPORARY = re.compile(r'"temporary":"(\.artanis-[0-9a-f]{16}\.tmp)"')


@attrs.frozen
class Skipped:
    """A trace, or one span of it, that an export skipped, and why."""

    trace_id: str
    span_id: str | None
    """None if the whole trace was skipped."""
    reason: str


class Journal:
    """The journal of an export to a file, locked against other exports to the same file while it is open."""

    _file: IO[bytes]

    def __init__(self, target: Path) -> None:
        self._path = target.with_name(target.name + ".partial")
        self._index: dict[str, tuple[int, str]] = {}
        """For each trace the offset of its entry, and when the trace had last been updated."""
        self._listed: dict[str, str] = {}
        self._is_new = False
        self.steps: set[str] = set()
        """The steps of all traces in the journal."""
        self.temporary = target.with_name(f".artanis-{secrets.token_hex(8)}.tmp")
        """Where to write the new file. The journal names it, so that one that was left behind is known to be ours."""
        self.started_at = now()
        self.read = 0
        """The number of traces that this run has read."""
        self.skipped: list[Skipped] = []
        """The traces that this run has skipped."""
        self.causes: Counter[str] = Counter()
        """How many traces were skipped for each cause, described without the id of the trace."""
        self.last_error: ArtanisError | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_new and not self._index and not self._file.closed:
            self.remove()  # it contains nothing to resume
        if hasattr(self, "_file"):
            self._file.close()

    def open(self, header: Mapping[str, Any], resume: bool) -> bool:
        """Open and lock the journal; return whether it continues that of an earlier run.

        Args:
            header: The arguments of the export, for the first line.
            resume: Continue the journal of an earlier run if there is one, instead of starting over.

        Raises:
            ValueError: If the journal to continue has another header.
            FileExistsError: If the file is not a journal.
            ArtanisError: If another export has locked the journal.
        """
        self._file = _open_locked(self._path)
        start = self._file.readline(4096)
        if not start.startswith(_START) and not _START.startswith(start):
            raise foreign_file_error(self._path)
        if found := _TEMPORARY.search(start.decode(errors="replace")):
            self.temporary = self._path.with_name(found[1])
            self.temporary.unlink(missing_ok=True)
        if resume and self._load(header):
            return True
        self._is_new = True
        self._file.truncate(0)
        self._append({**_HEADER, "temporary": self.temporary.name, "started_at": self.started_at, **header})
        os.fsync(self._file.fileno())  # a full disk fails here, before the first request
        return False

    def _load(self, header: Mapping[str, Any]) -> bool:
        """Index the complete lines, and remove the rest; return False if there are none."""
        end = self._file.seek(0)
        for line in self._file:
            try:
                entry: dict[str, Any] = json.loads(line)
            except ValueError:
                break
            if not line.endswith(b"}\n"):
                break
            if end:
                self._index[entry["id"]] = end, entry["updated_at"]
                self.steps.update(entry["steps"])
                if entry["skipped"]:  # what was missing may be there now
                    del self._index[entry["id"]]
            else:
                self._check_header(entry, header)
            end += len(line)
        self._file.truncate(end)
        return bool(end)

    def _check_header(self, found: dict[str, Any], header: Mapping[str, Any]) -> None:
        for name, value in {**_HEADER, **header}.items():
            if found.get(name) != value:
                raise ValueError(
                    f"{self._path} belongs to another export: its {name} is {found.get(name)!r}, not {value!r}. "
                    "Use the same arguments, start over without resume, or choose another path."
                )
        self.started_at = found["started_at"]

    def add(self, entry: Mapping[str, Any]) -> None:
        """Write the entry of a trace, under the id in the list. It replaces an earlier one."""
        trace_id: str = entry["id"]
        trace_id = self._listed.get(trace_id) or self._listed.get(trace_id.lower(), trace_id)
        self._index[trace_id] = self._append({**entry, "id": trace_id}), entry["updated_at"]
        self.steps.update(entry["steps"])

    def __contains__(self, trace_id: str) -> bool:
        return trace_id in self._index

    def get(self, trace_id: str) -> dict[str, Any] | None:
        """Return the entry of a trace; None if the trace has not been read."""
        if trace_id not in self._index:
            return None
        self._file.seek(self._index[trace_id][0])
        entry: dict[str, Any] = json.loads(self._file.readline())
        return entry

    def missing(self, listed: Iterable[Trace]) -> list[str]:
        """Return the ids of the traces to read: those without an entry, and those updated since it was written.

        Entries that are out of date are forgotten, in case their traces are skipped now.
        """
        listed = list(listed)
        # The id in a detail may differ from that in the list, but only in case.
        self._listed = {trace.id.lower(): trace.id for trace in listed} | {trace.id: trace.id for trace in listed}
        updates = {trace_id: updated_at for trace_id, (_, updated_at) in self._index.items()}
        missing = [trace.id for trace in listed if updates.get(trace.id) != trace.updated_at.isoformat()]
        for trace_id in missing:
            self._index.pop(trace_id, None)
        return missing

    def remove(self) -> None:
        """Close the journal and remove the file."""
        if sys.platform == "win32":  # Windows cannot remove an open file
            self._file.close()
        self._path.unlink(missing_ok=True)
        self._file.close()  # releases the lock, which no other export may hold before the file is gone

    def _append(self, line: Mapping[str, Any]) -> int:
        """Write a line at the end of the file, and return its offset."""
        offset = self._file.seek(0, os.SEEK_END)
        self._file.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")
        self._file.flush()
        return offset


def foreign_file_error(path: Path) -> FileExistsError:
    """Return the error for a file that no export wrote, although it has the name of one that an export writes."""
    problem = "This file was not written by artanis-client. Move it away, or export to another path"
    return FileExistsError(errno.EEXIST, problem, str(path))


def now() -> str:
    """Return the current time as text."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _open_locked(path: Path) -> IO[bytes]:
    """Open a file with a lock that ends with the process, even if the process is killed."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
    file = os.fdopen(os.open(path, flags, 0o600), "r+b")
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(2**40)  # locked bytes cannot be read through another handle
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(file.fileno()).st_ino == path.stat().st_ino:
            return file
    except (BlockingIOError, PermissionError, FileNotFoundError):
        pass  # locked, or removed by an export that has just finished
    except OSError as error:
        warn_once(
            f"{path} cannot be locked ({error.strerror}). Make sure that no other export writes to it at the same time."
        )
        return file
    file.close()
    raise ArtanisError(f"Another export is writing to {path}. Wait until it has finished, or choose another path.")

"""The snapshot: a file that stores a project's prompts, in case the API is down at the next start.

It is JSON: the prompts as the API returned them, the project they belong to, when it was written, and a checksum.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from artanis_api.models import Prompt, PromptList

from .._errors import printable
from .._files import replace_file
from .._secret import raised_by_signal_handler
from .._shape import FINITE, find_mismatch

_FORMAT = "artanis-client prompt snapshot 1"
_log = logging.getLogger("artanis_client")


class SnapshotError(Exception):
    """The snapshot must not be served. The message says why."""


class Snapshot:
    """The snapshot file of the project that `owner` describes."""

    def __init__(self, path: str | os.PathLike[str], owner: dict[str, str], max_age: float) -> None:
        self._path = Path(path).absolute()  # the process may change its working directory
        self._owner = owner
        self._max_age = max_age
        self._prompts: list[str] = []  # those known to be in the file
        self._problems: dict[str, str] = {}  # by action, so that each problem is logged once

    def read(self) -> tuple[list[Prompt], float] | None:
        """Return the prompts and their age in seconds, or None if there is no file.

        Raises:
            SnapshotError: If the file is unreadable, damaged, too old, or belongs to another host, organization or
                project.
        """
        problem = ""
        try:
            content: Any = json.loads(self._path.read_bytes(), **FINITE)
            if content.pop("sha256") != compute_checksum(content) or content["format"] != _FORMAT:
                raise ValueError
            if content["owner"] != self._owner:
                raise SnapshotError(f"it belongs to {content['owner']}, not to {self._owner}")
            if mismatch := find_mismatch(content, PromptList):
                raise SnapshotError(f"its {mismatch.path} {mismatch.problem}")
            age = max(0.0, time.time() - datetime.fromisoformat(content["written"]).timestamp())
            if age >= self._max_age:
                raise SnapshotError("it is older than ttl and stale_for allow")
            self._prompts = [json.dumps(prompt, sort_keys=True) for prompt in content["prompts"]]
            return PromptList.from_dict(content).prompts, age
        except FileNotFoundError:
            return None
        except (OSError, SnapshotError) as error:
            problem = getattr(error, "strerror", None) or str(error)
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
            problem = "it is damaged, or it is not a prompt snapshot of this version"
        finally:
            self.report("used", problem)
        raise SnapshotError(f"The prompt snapshot {self._path} cannot be used: {problem}.")

    def write(self, prompts: list[str]) -> None:
        """Replace the file with these prompts, each one JSON, unless it is known to contain them."""
        # If the age is limited, the file must tell when the prompts were last confirmed, not when they last changed.
        if prompts == self._prompts and self._max_age == math.inf:
            return
        content: dict[str, Any] = {"format": _FORMAT, "owner": self._owner, "written": datetime.now(UTC).isoformat()}
        content["prompts"] = list(map(json.loads, prompts))
        problem = ""
        try:
            data = json.dumps({**content, "sha256": compute_checksum(content)}).encode()
            replace_file(self._path, data, mode=0o600)
            self._prompts = prompts
        except Exception as error:  # whatever it is, the prompts can still be served
            if raised_by_signal_handler(error):
                raise
            problem = getattr(error, "strerror", None) or str(error)
        self.report("written", problem)

    def report(self, action: str, problem: str) -> None:
        """Log why the file cannot be used or written, unless the last attempt failed for the same reason."""
        if problem and problem != self._problems.get(action):
            _log.warning("The prompt snapshot %s cannot be %s: %s.", self._path, action, printable(problem))
        self._problems[action] = problem


def compute_checksum(content: dict[str, Any]) -> str:
    """Return the SHA-256 of the content without the checksum."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

"""Writing a file completely or not at all."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import secrets
import shutil
import tempfile
import warnings
from collections.abc import Generator
from pathlib import Path
from typing import IO


@contextlib.contextmanager
def replacing(path: Path, *, mode: int = 0o666, temporary: str | None = None) -> Generator[IO[bytes]]:
    """Yield a temporary file that replaces `path` if the block ends without an exception.

    Even if this process is killed, readers find the old file or the new one, unless it can only be written in place:
    a file that is mounted on its own (with a warning), or whose directory is read-only.

    Args:
        path: Links are followed. An existing file keeps its mode.
        mode: The mode of a new file, subject to the umask.
        temporary: The name of the temporary file, if it must be recognised when a killed process left it behind.

    Raises:
        OSError: If the file cannot be written: when the block is entered, unless the disk is full. Devices
            and pipes are refused.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "Not a regular file", str(path))
    path = Path(os.path.realpath(path))
    in_place = not os.access(path.parent, os.W_OK) and os.access(path, os.W_OK)
    folder = tempfile.gettempdir() if in_place else path.parent
    new = Path(folder, temporary or f".artanis-{secrets.token_hex(8)}.tmp")
    try:
        with open(new, "xb", opener=functools.partial(os.open, mode=0o600 if in_place else mode)) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if not in_place:
            if path.exists():
                shutil.copymode(path, new)
            in_place = not _rename(new, path)
        if in_place:
            old = path.read_bytes()
            try:
                shutil.copyfile(new, path)
            except BaseException:  # such as a full disk, where the old content fits
                path.write_bytes(old)
                raise
    except OSError as error:
        if error.filename in (None, str(new)):  # a full disk leaves it out
            error.filename = str(path)
        raise
    finally:
        new.unlink(missing_ok=True)


def replace_file(path: Path, data: bytes, *, mode: int = 0o666, temporary: str | None = None) -> None:
    """Write a file as `replacing` does."""
    with replacing(path, mode=mode, temporary=temporary) as file:
        file.write(data)


@functools.cache
def warn_once(message: str, stacklevel: int = 2) -> None:
    """Warn of something that stays as it is while the process runs."""
    warnings.warn(message, stacklevel=stacklevel)


def _rename(new: Path, path: Path) -> bool:
    """Rename a file; return False if the one to replace is mounted on its own."""
    try:
        new.replace(path)
        return True
    except OSError as error:
        if error.errno not in (errno.EBUSY, errno.EXDEV):
            raise
        warn_once(f"{path} cannot be replaced ({error.strerror}). It is written in place, which readers may notice.")
        return False

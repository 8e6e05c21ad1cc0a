"""The standard streams of a program, which may be missing, broken, or unable to encode what is written."""

from __future__ import annotations

import errno
import io
import os
import shutil
import sys
from pathlib import Path
from typing import Any, NoReturn, TextIO


class ClosedStdout(io.TextIOBase):
    """Takes the place of a closed stdout. Writing to it fails, as it does for programs in C."""

    def write(self, _: str) -> NoReturn:
        """Raise OSError."""
        raise OSError(errno.EBADF, "Standard output is closed")


def prepare_streams() -> None:
    """Replace closed streams, for which Python has None, and escape what stdout and stderr cannot encode."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:  # closed; open it, or the next file or socket would get its number
            os.open(os.devnull, os.O_RDWR)
    missing = {"stdin": io.TextIOWrapper(io.BytesIO()), "stdout": ClosedStdout(), "stderr": io.StringIO()}
    for name, stream in missing.items():
        if getattr(sys, name) is None:
            setattr(sys, name, stream)
    for output in (sys.stdout, sys.stderr):
        if isinstance(output, io.TextIOWrapper):
            output.reconfigure(errors="backslashreplace")


def write_bytes(text: str) -> None:
    """Write text to stdout in UTF-8, whatever its encoding, and with the line ends that the text has."""
    sys.stdout.flush()
    buffer: Any = getattr(sys.stdout, "buffer", None)
    if buffer is None:
        sys.stdout.write(text)
    else:
        buffer.write(text.encode("utf-8", "surrogatepass"))


def is_stdout(path: Path) -> bool:
    """Return whether a path stands for stdout."""
    return str(path) == "-"


def write_file(path: Path) -> None:
    """Write the content of a file to stdout as it is."""
    sys.stdout.flush()
    buffer: Any = getattr(sys.stdout, "buffer", None)
    if buffer is None:
        sys.stdout.write(path.read_bytes().decode())
    else:
        with path.open("rb") as file:
            shutil.copyfileobj(file, buffer)


def discard(stream: TextIO) -> None:
    """Redirect a broken stream to the null device. Otherwise Python flushes it again at exit, and prints an error."""
    descriptor = os.open(os.devnull, os.O_WRONLY)
    os.dup2(descriptor, stream.fileno())
    os.close(descriptor)

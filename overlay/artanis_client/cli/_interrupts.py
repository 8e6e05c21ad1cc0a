"""Ctrl-C while the main thread cannot be interrupted, such as while it waits for a name server."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from types import FrameType
from typing import NoReturn

from ._exit_codes import INTERRUPTED

PATIENCE = 0.7  # seconds that Python has to raise KeyboardInterrupt


def exit_when_interrupted() -> None:
    """Make Ctrl-C end the process, even if the main thread does not return from a function of the system library.

    Python raises KeyboardInterrupt only when the function returns. Until then, a thread learns of the signal
    from the wake-up file descriptor.
    """
    if sys.platform == "win32" or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return
    is_raised = threading.Event()

    def interrupt(_: int, __: FrameType | None) -> NoReturn:
        is_raised.set()
        raise KeyboardInterrupt

    def watch() -> None:
        while data := os.read(woken, 1):
            if data[0] == signal.SIGINT:
                time.sleep(PATIENCE)
                if not is_raised.is_set() and signal.getsignal(signal.SIGINT) is interrupt:
                    if sys.stderr.isatty():
                        os.write(2, b"\x1b[?25h\r\n")  # the cursor, which progress hides
                    os._exit(INTERRUPTED)

    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGINT, interrupt)
    threading.Thread(target=watch, name="artanis-interrupts", daemon=True).start()

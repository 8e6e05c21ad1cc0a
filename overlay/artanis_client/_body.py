"""Reads bodies up to a limit: of errors only the start, and nothing that is compressed to fill the memory."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar

from ._error_mapping import MAX_ERROR_BODY, foreign_exception
from ._httpx import CODINGS, httpx


def read_body(response: httpx.Response) -> None:
    """Read the body (of errors, only the start) and close the response."""
    body = body_class.get()(response)
    try:
        for chunk in response.iter_bytes() if body.is_readable else ():
            if body.add(chunk):
                break
    except httpx.RequestError as error:
        body.cut_off(error)
    finally:
        response.close()
    body.finish()


async def aread_body(response: httpx.Response) -> None:
    """Like `read_body`."""
    body = body_class.get()(response)
    try:
        if body.is_readable:
            async for chunk in response.aiter_bytes():
                if body.add(chunk):
                    break
    except httpx.RequestError as error:
        body.cut_off(error)
    finally:
        await response.aclose()
    body.finish()


class Body:
    """Collects the chunks of a body, up to a limit."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.chunks: list[bytes] = []
        self._size = 0
        coding = response.headers.get("content-encoding", "").strip().lower()
        # Codings that we did not ask for, and layers of them, inflate without limit before the first chunk is seen.
        self.is_readable = coding in ("", "identity", *CODINGS)
        if not self.is_readable:
            self._report(f"cannot be decoded (content-encoding {coding!r})")

    def add(self, chunk: bytes) -> bool:
        """Add a chunk; return whether that is enough."""
        self.chunks.append(chunk)
        self._size += len(chunk)
        if not self.response.is_success:
            return self._size >= MAX_ERROR_BODY + 4096  # more, so that a key at the cut is still found and redacted
        # JSON of this API never compresses to a hundredth; a body that does is meant to fill the memory.
        packed = "content-encoding" in self.response.headers and 100 * self.response.num_bytes_downloaded
        if packed and self._size > max(packed, 64 * 1024 * 1024):
            self._report("inflates to more than a hundred times its size")
            self.chunks.clear()
            return True
        return False

    def cut_off(self, error: httpx.RequestError) -> None:
        """Accept a truncated error body; raise for any other."""
        if isinstance(error, httpx.DecodingError):
            self._report(f"cannot be decoded ({error})")
        elif self.response.is_success or foreign_exception(error):
            raise error

    def _report(self, problem: str) -> None:
        if self.response.is_success:
            self.response.extensions["artanis_problem"] = problem

    def finish(self) -> None:
        # As httpx's own read() does, which cannot stop early.
        self.response._content = b"".join(self.chunks)  # pyright: ignore[reportPrivateUsage]


body_class: ContextVar[Callable[[httpx.Response], Body]] = ContextVar("body_class", default=Body)
"""What reads the bodies of the calls in this context."""

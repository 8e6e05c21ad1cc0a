"""Many traces in one loop: `client.traces.iter`, and the transport on aiohttp."""

from ._ids import check_listed
from ._tasks import AsyncDetails
from ._threads import details
from ._window import Window

__all__ = ["AsyncDetails", "Window", "check_listed", "details"]

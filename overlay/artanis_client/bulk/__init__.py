"""Many traces in one loop, the ids of a long list, every prompt with its versions, and the transport on aiohttp."""

from ._prompts import aread_prompts, read_prompts
from ._tasks import AsyncDetails
from ._threads import details
from ._window import Window

__all__ = ["AsyncDetails", "Window", "aread_prompts", "details", "read_prompts"]

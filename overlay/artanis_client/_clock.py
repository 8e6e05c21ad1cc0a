"""The clock, in one place that a test can replace: retries and caches read the time and sleep only through it.

Call these as attributes of the module (`_clock.sleep(1)`), so that a replacement is seen everywhere.
"""

import time

import anyio

monotonic = time.monotonic
sleep = time.sleep
async_sleep = anyio.sleep

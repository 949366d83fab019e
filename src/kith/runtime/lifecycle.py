"""Running until told to stop, and holding no more memory than is used meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import signal
import sys

_SETTLED, _TIDIED = 5.0, 3600.0  # seconds until memory is given back, and between two times
_YOUNG = 10_000  # objects that come before the collector of cycles looks: an answer makes some hundreds, and no cycle


async def until_stopped(stands: asyncio.Event | None = None) -> None:
    """Wait for SIGINT or SIGTERM. When it has settled, and every hour, memory that is free goes back to the system.

    What is there when the house stands (`stands` is set; at once without it) stays for good: the collector of cycles
    leaves it alone, since one look at all of it takes 0.15 s, in which nobody is answered.
    """
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stopped.set)
    tidying = asyncio.create_task(_tidy(stands))
    try:
        await stopped.wait()
    finally:
        tidying.cancel()
        await asyncio.gather(tidying, return_exceptions=True)
        for name in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(name)


async def _tidy(stands: asyncio.Event | None) -> None:
    if stands is not None:
        await stands.wait()
    patience, usual = _SETTLED, gc.get_threshold()
    gc.freeze()
    gc.set_threshold(_YOUNG, *usual[1:])
    try:
        while True:
            await asyncio.sleep(patience)
            gc.unfreeze()
            trim()
            gc.freeze()
            patience = _TIDIED
    finally:
        gc.unfreeze()
        gc.set_threshold(*usual)


def trim() -> None:
    """Give back what the allocator keeps: training a flow at the start leaves 20 MB that nobody needs any more.

    glibc alone keeps so much, and has a function for it (malloc_trim(3)); elsewhere this does nothing.
    """
    gc.collect()
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)

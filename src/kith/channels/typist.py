"""The sign that a reply is being written, from when a message was kept until its reply leaves or its turn ends."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Protocol, cast

from kith.core.errors import KithError
from kith.core.ids import conversation_id
from kith.core.message import Envelope
from kith.core.ports import Channel
from kith.runtime.streams import Streams, Subscription
from kith.runtime.telemetry import get_logger

_log = get_logger(__name__)
_AGAIN = 4.0  # platforms take the sign away after about five seconds
_LONGEST = 120.0
_AT_ONCE = 64


class Typing(Protocol):
    """A channel that can show that something is being written."""

    async def typing(self, conversation: str) -> None: ...


class Typist:
    """One for each channel; at most 64 conversations at once, the others go without."""

    def __init__(self, streams: Streams) -> None:
        self._streams = streams
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def begin(self, channel: Channel, envelope: Envelope) -> None:
        """Show it in the conversation of a message that was kept, where the channel can."""
        handle = envelope.conversation
        if not hasattr(channel, "typing") or handle in self._tasks or len(self._tasks) >= _AT_ONCE:
            return
        reader = self._streams.subscribe(conversation_id(envelope.channel, envelope.account, handle))
        task = asyncio.create_task(self._show(cast("Typing", channel), handle, reader))
        self._tasks[handle] = task
        task.add_done_callback(lambda _: self._tasks.pop(handle, None))

    async def close(self) -> None:
        """Stop showing."""
        tasks = tuple(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _show(self, channel: Typing, handle: str, reader: Subscription) -> None:
        try:
            async with asyncio.timeout(_LONGEST):
                while True:
                    await channel.typing(handle)
                    if await _over(reader):
                        return
        except (KithError, OSError, TimeoutError) as error:
            _log.debug("typing not shown", error=type(error).__name__)
        except Exception as error:  # noqa: BLE001  # a channel's bug stays the channel's
            _log.exception("channel failed", error=type(error).__name__)
        finally:
            reader.close()


async def _over(reader: Subscription) -> bool:
    """Wait a while; whether the turn ended meanwhile."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_AGAIN):
            async for event in reader:
                if event.kind in ("end", "message"):
                    return True
            return True
    return False

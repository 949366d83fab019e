"""A storage in memory and a clock that moves when told, for a story about who may come in."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from kith.core.clock import FrozenClock
from kith.core.ids import Ids
from kith.core.message import Envelope, Message, Text
from kith.storage import Storage, StorageSettings, open_storage


class Key:
    def key(self, purpose: str) -> bytes:
        return purpose.encode().ljust(32, b".")[:32]


def envelope(text: str, sender: str = "anna", **more: Any) -> Envelope:
    given = {"channel": "chat", "account": "me", "platform_id": "1", "conversation": "dm"} | more
    return Envelope(sender=sender, message=Message("m", "user", (Text(text),), 0.0), **given)


def told(folder: Path, story: Callable[[Storage, FrozenClock], Awaitable[None]]) -> None:
    """Run `story` with a storage of its own."""

    async def whole() -> None:
        clock = FrozenClock()
        settings = StorageSettings(backend="memory", path=folder / "k.db")
        storage = await open_storage(settings, clock, Ids(clock), Key())
        try:
            await story(storage, clock)
        finally:
            await storage.close()

    asyncio.run(whole())

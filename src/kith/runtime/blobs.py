"""Pictures, sounds and files of messages, addressed by what they are: at hand in memory, and kept on a shelf."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Collection

from kith.core.errors import NotFound
from kith.core.message import Media, Message
from kith.runtime.shelf import Shelf

LIMIT = 64 * 1024 * 1024


class Blobs:
    """At most `limit` bytes in memory, the least recently used going first; without a `shelf` nothing is written.

    What only passes through (a picture in a request of a program) is put; what a message that is kept speaks of is
    kept with it.
    """

    def __init__(self, limit: int = LIMIT, shelf: Shelf | None = None) -> None:
        self._limit, self._shelf = limit, shelf
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._size = 0

    def put(self, data: bytes) -> str:
        """Have `data` at hand; its SHA-256 in hex is what `Media.blob` carries."""
        name = hashlib.sha256(data).hexdigest()
        if name not in self._kept:
            self._kept[name] = data
            self._size += len(data)
        self._kept.move_to_end(name)
        while self._size > self._limit and len(self._kept) > 1:
            _, gone = self._kept.popitem(last=False)
            self._size -= len(gone)
        return name

    def size(self, blob: str) -> int:
        """How many bytes are at hand under a name; 0 when they are not (any more)."""
        return len(self._kept.get(blob, b""))

    async def keep(self, conversation: str, message: Message) -> None:
        """Write down what a message carries, before the message itself is. Raises `Unavailable` for a full disk."""
        for part in message.parts:
            if self._shelf and isinstance(part, Media) and (data := self._kept.get(part.blob)) is not None:
                await asyncio.to_thread(self._shelf.put, conversation, part.blob, data)

    async def fetch(self, media: Media) -> bytes:
        """The bytes of `media`. Raises `NotFound` (code ``blob_gone``) when they were never here or had to go."""
        data = self._kept.get(media.blob)
        if data is None and self._shelf:
            data = await asyncio.to_thread(self._shelf.get, media.blob)
        if data is None:
            raise NotFound(f"the bytes of {media.name or media.mime} are not kept any more", code="blob_gone")
        self.put(data)
        return data

    async def drop(self, conversation: str, names: Collection[str], *, whole: bool) -> None:
        """Let go of these, and with `whole` of everything that the conversation had."""
        for name in names:
            self._size -= len(self._kept.pop(name, b""))
        if self._shelf:
            await asyncio.to_thread(self._shelf.drop, conversation, None if whole else tuple(names))

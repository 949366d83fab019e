"""Pictures, sounds and files while a request works with them: in memory, bounded, addressed by what they are."""

from __future__ import annotations

import hashlib
from collections import OrderedDict

from kith.core.errors import NotFound
from kith.core.message import Media

LIMIT = 64 * 1024 * 1024


class Blobs:
    """At most `limit` bytes, the least recently used going first. Nothing of it is written anywhere."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._size = 0

    def put(self, data: bytes) -> str:
        """Keep `data`; its SHA-256 in hex is what `Media.blob` carries."""
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
        """How many bytes are kept under a name; 0 when they are not (any more)."""
        return len(self._kept.get(blob, b""))

    async def fetch(self, media: Media) -> bytes:
        """The bytes of `media`. Raises `NotFound` (code ``blob_gone``) when they were never here or had to go."""
        data = self._kept.get(media.blob)
        if data is None:
            raise NotFound(f"the bytes of {media.name or media.mime} are not kept any more", code="blob_gone")
        self._kept.move_to_end(media.blob)
        return data

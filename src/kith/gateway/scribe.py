"""What a program says, in whatever dialect, as Kith's own messages; every mistake in it is collected."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence

from kith.core.clock import Clock
from kith.core.errors import Fault, Invalid
from kith.core.ids import Ids
from kith.core.message import Image, Message, Part, Role
from kith.runtime.blobs import Blobs

_DATA = re.compile(r"data:(image/[\w.+-]{1,40});base64,", re.ASCII)
# What the first bytes of a picture's file say it is (WHATWG MIME Sniffing, 6.1).
_SIGNS = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", "image/bmp"),
)


class Scribe:
    """Makes the messages of one request. Pictures go into `blobs`; addresses are never fetched."""

    def __init__(self, ids: Ids, clock: Clock, blobs: Blobs) -> None:
        self._ids, self._now, self._blobs = ids, clock.now(), blobs
        self.faults: list[Fault] = []
        self._found: list[Message] = []

    def fault(self, path: str, reason: str) -> None:
        """Note a mistake."""
        self.faults.append(Fault(path, reason))

    def say(self, role: Role, parts: Sequence[Part]) -> None:
        """The conversation's next message."""
        self._found.append(Message(self._ids.new("m"), role, tuple(parts), self._now))

    def picture(self, url: str, path: str) -> list[Part]:
        """The picture in a ``data:`` URL."""
        head = _DATA.match(url)
        if head is None:
            self.fault(path, "has to be a data: URL with a picture in base 64; addresses are not fetched")
            return []
        return self.encoded(url[head.end() :], path)

    def encoded(self, text: str, path: str) -> list[Part]:
        """A picture in base 64. What it is, its own bytes say."""
        try:
            data = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            self.fault(path, "is not base 64")
            return []
        mime = next((mime for sign, mime in _SIGNS if data.startswith(sign)), "")
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            mime = "image/webp"
        if not mime:
            self.fault(path, "is not a PNG, JPEG, GIF, WebP or BMP picture")
            return []
        return [Image(self._blobs.put(data), mime, size=len(data))]

    def finish(self) -> tuple[Message, ...]:
        """Every message. Raises `Invalid` naming every mistake."""
        if self.faults:
            raise Invalid("the request is not valid", faults=tuple(self.faults), code="invalid_request")
        return tuple(self._found)

"""The bytes behind what `kith.channels.onebot.segments` leaves pending."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import httpx

from kith.channels.kit import gathered, inner, word
from kith.channels.onebot.wire import Caller
from kith.core.errors import Invalid, Unavailable

_SIGNS = (
    (b"\x89PNG", "image/png"), (b"GIF8", "image/gif"), (b"\xff\xd8\xff", "image/jpeg"), (b"#!AMR", "audio/amr"),
    (b"\x02#!SILK", "audio/silk"), (b"#!SILK", "audio/silk"), (b"ID3", "audio/mpeg"), (b"\xff\xfb", "audio/mpeg"),
    (b"OggS", "audio/ogg"),
)  # fmt: skip


class Fetcher:
    """Fetches over `caller`, or from an address: the program's own, or one on the public internet and no other.

    `client` makes a client; see `kith.runtime.http.http_client`.
    """

    def __init__(self, caller: Caller, url: str, client: Callable[..., httpx.AsyncClient]) -> None:
        self._caller, self._client = caller, client
        self._home = urlsplit(url).netloc

    async def fetch(self, goal: str, most: int) -> tuple[bytes, str]:
        """The bytes, and their type as far as they show it. Raises `Unavailable`, and `Invalid` for what cannot be had,
        with the code ``too_large`` for more than `most` bytes."""
        how, _, rest = goal.partition(":")
        match how:
            case "url":
                data = await self._download(rest, most)
            case "data":
                data = _decoded(rest, most)
            case "name":
                name, _, address = rest.partition("\n")
                kind, _, file = name.partition(":")
                data = await self._named(kind, file, address, most)
            case _:
                raise Invalid("there is nothing to fetch", code="not_wanted")
        if data[:4] == b"RIFF":
            return data, {b"WEBP": "image/webp", b"WAVE": "audio/wav"}.get(data[8:12], "")
        return data, next((mime for sign, mime in _SIGNS if data.startswith(sign)), "")

    async def _named(self, kind: str, name: str, address: str, most: int) -> bytes:
        """What the program keeps under a name, or else at `address`. A voice message comes as MP3 where the program
        can convert it."""
        match kind:
            case "record":
                action, more = "get_record", {"out_format": "mp3"}
            case "image":
                action, more = "get_image", dict[str, str]()
            case _:
                action, more = "get_file", {"file_id": name}
        try:
            told: Any = await self._caller.call(action, {"file": name, **more})
        except (Invalid, Unavailable):
            if not address:
                raise
            told = None
        found = inner({"told": told}, "told")
        if encoded := word(found, "base64"):
            return _decoded(encoded, most)
        for goal in (word(found, "url"), word(found, "file"), address):
            if goal.startswith(("http://", "https://")):
                return await self._download(goal, most)
        raise Invalid("the program gives no bytes of this file", code="not_wanted")

    async def _download(self, address: str, most: int) -> bytes:
        ours = urlsplit(address).netloc == self._home
        try:
            async with self._client(public=not ours) as client, client.stream("GET", address) as answer:
                if answer.status_code >= 500 or answer.status_code == 429:
                    raise Unavailable(f"a file is not given ({answer.status_code})", retry_after=2.0)
                if not answer.is_success:
                    raise Invalid(f"a file is not given ({answer.status_code})", code="not_wanted")
                return await gathered(answer, most)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Unavailable(f"a file could not be fetched ({type(error).__name__})", retry_after=2.0) from None


def _decoded(encoded: str, most: int) -> bytes:
    too_large = Invalid("the file is too large", code="too_large")
    if len(encoded) > most * 4 // 3 + 8:
        raise too_large
    try:
        data = base64.b64decode(encoded)
    except (binascii.Error, ValueError):
        raise Invalid("a file is not Base64", code="bad_field") from None
    if len(data) > most:
        raise too_large
    return data

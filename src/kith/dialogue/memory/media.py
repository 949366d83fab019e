"""Pictures, sounds and files that somebody sent: taken along with what is stored of them, and gone with it."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol, cast

from kith.core.errors import NotFound
from kith.core.message import Media

_TAKEN = 256 * 1024 * 1024  # bytes in one export


class Held(Protocol):
    """What holds the bytes of media."""

    async def fetch(self, media: Media) -> bytes: ...

    async def drop(self, conversation: str, names: Collection[str], *, whole: bool) -> None: ...


async def taken(held: Held | None, conversations: Sequence[Mapping[str, Any]]) -> Mapping[str, str]:
    """The bytes of the media of exported conversations in base 64, by their SHA-256, as far as they are kept."""
    found: dict[str, str] = {}
    room = _TAKEN
    for one in carried(conversations) if held else ():
        with contextlib.suppress(NotFound):
            data = await held.fetch(one) if held and one.size <= room else b""
            room -= len(data)
            found |= {one.blob: base64.b64encode(data).decode()} if data else {}
    return found


async def let_go(held: Held, conversations: Sequence[Mapping[str, Any]]) -> None:
    """Remove the media of exported conversations; of shared ones only those that the export speaks of."""
    for place in conversations:
        names = {one.blob for one in carried(place)}
        await held.drop(str(place["id"]), names, whole=not place["shared"])
        if room := place.get("room"):  # where it was said: that begins anew, and the bytes lie there
            await held.drop(str(room), names, whole=False)


def carried(told: object) -> list[Media]:
    """The media that something stored, JSON-shaped, speaks of, each once."""
    found: dict[str, Media] = {}
    rest: list[Any] = [told]
    while rest:
        one = rest.pop()
        if isinstance(one, Mapping):
            part = cast("Mapping[str, Any]", one)
            if isinstance(part.get("blob"), str) and part["blob"]:
                found[part["blob"]] = Media(part["blob"], str(part.get("mime", "")), size=int(part.get("size") or 0))
            rest += part.values()
        elif isinstance(one, list | tuple):
            rest += cast("Sequence[Any]", one)
    return list(found.values())

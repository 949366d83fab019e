"""A reply, to the bodies of ``message/send``."""

from __future__ import annotations

from typing import Any

from kith.channels.kit import media_parts, pieces, plain, wordless
from kith.core.people import Parcel

# A text is cut off silently behind 2,048 bytes.
LIMIT = 2000
_PICTURES = ("image/jpeg", "image/png")  # what media/upload takes as an image


def render(parcel: Parcel, agent: int = 0) -> list[dict[str, Any]]:
    """One body for each piece of a reply; that of a file has its `Media` under ``media``, in place of its upload."""
    text = plain(wordless(parcel.message)).encode("utf-8", "replace").decode("utf-8").replace("\x00", "")
    to: dict[str, Any] = {"touser": parcel.target, "agentid": agent}
    said = [{**to, "msgtype": "text", "text": {"content": piece}} for piece in pieces(text, LIMIT, "bytes")]
    files = ((part, "image" if part.mime in _PICTURES else "file") for part in media_parts(parcel.message))
    return said + [{**to, "msgtype": kind, "media": part} for part, kind in files]

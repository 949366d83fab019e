"""A reply, to the bodies of ``message/send``."""

from __future__ import annotations

from typing import Any

from kith.channels.kit import pieces, plain
from kith.core.people import Parcel

# A text is cut off silently behind 2,048 bytes.
LIMIT = 2000


def render(parcel: Parcel, agent: int = 0) -> list[dict[str, Any]]:
    """One body for each piece of a reply."""
    text = plain(parcel.message).encode("utf-8", "replace").decode("utf-8").replace("\x00", "")
    return [
        {"touser": parcel.target, "msgtype": "text", "agentid": agent, "text": {"content": piece}}
        for piece in pieces(text, LIMIT, "bytes")
    ]

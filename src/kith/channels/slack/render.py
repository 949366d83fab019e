"""A reply, to the arguments of ``chat.postMessage``."""

from __future__ import annotations

from typing import Any

from kith.channels.kit import pieces, plain
from kith.core.people import Parcel

LIMIT = 4000  # "for best results, limit the number of characters to 4,000" (chat.postMessage, "Truncating content")


def render(parcel: Parcel) -> list[dict[str, Any]]:
    """One call for each piece. The target is a channel, or ``channel:thread``."""
    channel, _, thread = parcel.target.partition(":")
    text = plain(parcel.message).encode("utf-8", "replace").decode("utf-8").replace("\x00", "")
    where = {"channel": channel, **({"thread_ts": thread} if thread else {})}
    calm = {"unfurl_links": False, "unfurl_media": False}
    return [{**where, **calm, "text": piece} for piece in pieces(text, LIMIT, "chars", "mrkdwn")]

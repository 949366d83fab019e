"""A reply, to the arguments of ``chat.postMessage`` and, for files, of ``files.completeUploadExternal``."""

from __future__ import annotations

from typing import Any

from kith.channels.kit import media_parts, pieces, plain, wordless
from kith.core.people import Parcel

LIMIT = 4000  # "for best results, limit the number of characters to 4,000" (chat.postMessage, "Truncating content")


def render(parcel: Parcel) -> list[dict[str, Any]]:
    """One call for each piece of text, then one for each file. The target is a channel, or ``channel:thread``.

    A file's call has its `Media` under ``media``, in place of the upload's id.
    """
    channel, _, thread = parcel.target.partition(":")
    text = plain(wordless(parcel.message)).encode("utf-8", "replace").decode("utf-8").replace("\x00", "")
    where = {"channel": channel, **({"thread_ts": thread} if thread else {})}
    calm = {"unfurl_links": False, "unfurl_media": False}
    said: list[dict[str, Any]] = [
        {**where, **calm, "text": piece} for piece in pieces(text, LIMIT, "chars", "mrkdwn") if piece.strip()
    ]
    place = {"channel_id": channel, **({"thread_ts": thread} if thread else {})}
    return said + [{**place, "media": part} for part in media_parts(parcel.message)]

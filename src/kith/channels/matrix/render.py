"""A reply, to the contents of events."""

from __future__ import annotations

from typing import Any

from kith.channels.kit import convert, plain, split
from kith.core.message import Message

# An event has at most 65,536 bytes (client-server API, "Size limits"); body, HTML and encryption share them.
LIMIT = 10_000


def render(message: Message) -> list[dict[str, Any]]:
    """``m.text`` with Markdown as its body and HTML beside it."""
    text = plain(message).encode("utf-8", "replace").decode("utf-8").replace("\x00", "")
    return [_content(piece) for piece in split(text, LIMIT, "bytes")]


def _content(text: str) -> dict[str, Any]:
    content: dict[str, Any] = {"msgtype": "m.text", "body": text}
    html = convert(text, "document")
    if html != f"<p>{text}</p>" and len(html.encode()) < 2 * LIMIT:
        content |= {"format": "org.matrix.custom.html", "formatted_body": html}
    return content

"""A reply, to the contents of events."""

from __future__ import annotations

from typing import Any

from kith.channels.kit import convert, media_parts, plain, split, wordless
from kith.core.message import Audio, File, Image, Message

# An event has at most 65,536 bytes (client-server API, "Size limits"); body, HTML and encryption share them.
LIMIT = 10_000


def render(message: Message) -> list[dict[str, Any]]:
    """``m.text`` with Markdown as its body and HTML beside it; then files, each with its `Media` under ``media``."""
    text = plain(wordless(message)).encode("utf-8", "replace").decode("utf-8").replace("\x00", "")
    return [*(_content(piece) for piece in split(text, LIMIT, "bytes")), *(_file(one) for one in media_parts(message))]


def _file(part: Image | Audio | File) -> dict[str, Any]:
    name = part.name or part.type
    return {
        "msgtype": f"m.{part.type}",
        "body": name,
        "filename": name,
        "info": {"mimetype": part.mime, "size": part.size},
        "media": part,
    }


def _content(text: str) -> dict[str, Any]:
    content: dict[str, Any] = {"msgtype": "m.text", "body": text}
    html = convert(text, "document")
    if html != f"<p>{text}</p>" and len(html.encode()) < 2 * LIMIT:
        content |= {"format": "org.matrix.custom.html", "formatted_body": html}
    return content

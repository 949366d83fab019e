"""A reply, to the templates of a robot's messages (open.dingtalk.com, "Message types of enterprise robots")."""

from __future__ import annotations

import re
from dataclasses import dataclass

import msgspec

from kith.channels.kit import bodies, convert, cut, drawable
from kith.core.message import Audio, Image, Media, Message

LIMIT = 6000  # ``msgParam`` may have 15,000 bytes with everything escaped
_BODY = 14_000
_TITLE = 60
_FILES = ("xlsx", "pdf", "zip", "rar", "doc", "docx")


@dataclass(frozen=True, slots=True)
class Piece:
    """One message: Markdown with the title that is shown in the list of chats, or a file of one `kind`."""

    title: str = ""
    text: str = ""
    kind: str = ""
    media: Media | None = None

    @property
    def template(self) -> tuple[str, str]:
        """``msgKey`` and ``msgParam`` of a text."""
        return "sampleMarkdown", param(title=self.title, text=self.text)


def render(message: Message) -> list[Piece]:
    """The messages that say `message`, in order. A file of a kind that DingTalk does not take is named."""

    def texts(text: str) -> list[Piece]:
        return [Piece(_title(piece), piece) for piece in cut(lines(drawable(text)), LIMIT, _fits)]

    return bodies(message, texts, lambda media: [_file(media)])


def _file(media: Media) -> Piece:
    if isinstance(media, Image) and media.mime in ("image/jpeg", "image/png", "image/gif", "image/bmp"):
        return Piece(kind="image", media=media)
    if isinstance(media, Audio) and media.mime in ("audio/wav", "audio/x-wav"):
        return Piece(kind="voice", media=media)
    if _ending(media.name) in _FILES:
        return Piece(kind="file", media=media)
    named = drawable(f"[{media.mime} {media.name}]".replace(" ]", "]"))
    return Piece(named[:_TITLE], named)


def lines(text: str) -> str:
    """Markdown in which a line's end is one: DingTalk joins lines that do not end with two spaces."""
    out, fence = list[str](), ""
    rows = text.split("\n")
    for place, row in enumerate(rows):
        mark = re.match(r" {0,3}(`{3,}|~{3,})", row)
        if mark and (not fence or mark[1].startswith(fence)):
            fence = "" if fence else mark[1]
        follows = place + 1 < len(rows) and rows[place + 1].strip()
        out.append(f"{row.rstrip()}  " if follows and row.strip() and not fence and not mark else row)
    return "\n".join(out)


def param(**fields: str) -> str:
    """``msgParam``: JSON as text."""
    return msgspec.json.encode(fields).decode()


def kind_of(name: str) -> str:
    """``fileType``."""
    return _ending(name)


def _ending(name: str) -> str:
    return name.rpartition(".")[2].lower()


def _fits(text: str) -> bool:
    return len(param(title="", text=text).encode()) < _BODY - 4 * _TITLE


def _title(text: str) -> str:
    """The first line without its markup."""
    first = next((row for row in convert(text[:1000], "plain").split("\n") if row.strip()), "")
    return first.strip()[:_TITLE] or "…"

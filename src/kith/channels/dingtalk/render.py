"""A reply, to the templates of a robot's messages (open.dingtalk.com, "Message types of enterprise robots")."""

from __future__ import annotations

import re
from dataclasses import dataclass

import msgspec

from kith.channels.kit import convert, split
from kith.core.message import Audio, Image, Media, Message, Text

LIMIT = 6000  # ``msgParam`` may have 15,000 bytes with everything escaped
_BODY = 14_000
_TITLE = 60
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
_PICTURE = re.compile(r"!(?=\[[^\]\n]{0,300}\]\([^)\s]{1,2000}\))")
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
    found: list[Piece] = []
    for part in message.parts:
        match part:
            case Text():
                text = lines(_PICTURE.sub("", _CONTROL.sub("", part.text)))
                found += [Piece(_title(piece), piece) for piece in _cut(text)]
            case Image() if part.mime in ("image/jpeg", "image/png", "image/gif", "image/bmp"):
                found.append(Piece(kind="image", media=part))
            case Audio() if part.mime in ("audio/wav", "audio/x-wav"):
                found.append(Piece(kind="voice", media=part))
            case Media() if _ending(part.name) in _FILES:
                found.append(Piece(kind="file", media=part))
            case Media():
                named = _CONTROL.sub("", f"[{part.mime} {part.name}]".replace(" ]", "]"))
                found.append(Piece(named[:_TITLE], named))
            case _:
                continue
    return found


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


def _cut(text: str) -> list[str]:
    """Pieces that also fit when most of what is in them has to be escaped."""
    found: list[str] = []
    for piece in split(text, LIMIT, "bytes"):
        fits = len(param(title="", text=piece).encode()) < _BODY - 4 * _TITLE
        found += [piece] if fits else split(piece, LIMIT // 4, "bytes")
    return found


def _title(text: str) -> str:
    """The first line without its markup."""
    first = next((row for row in convert(text[:1000], "plain").split("\n") if row.strip()), "")
    return first.strip()[:_TITLE] or "…"

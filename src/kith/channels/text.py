"""Cutting long replies into pieces that a platform takes, at places where a reader would cut them."""

from __future__ import annotations

import re
import unicodedata
from itertools import accumulate
from typing import Literal

Unit = Literal["chars", "utf16", "bytes"]

_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})([^\n]*)$", re.MULTILINE)
_SENTENCE = re.compile(r"[。！？；…]+[”’」』）》]*|[.!?;]+[\"')\]]*(?=\s)")
_PARAGRAPH = re.compile(r"\n[ \t]*\n")
_INFO = 24
_EARLY = 0.3
_JOINERS = frozenset("\u200d\ufe0e\ufe0f\u20e3")


def measure(text: str, unit: Unit = "chars") -> int:
    """The length of `text` as a platform counts it: code points, UTF-16 units or bytes of UTF-8."""
    match unit:
        case "chars":
            return len(text)
        case "utf16":
            return len(text) + sum(char > "\uffff" for char in text)
        case "bytes":
            return len(text.encode("utf-8", "surrogatepass"))


def split(text: str, limit: int, unit: Unit = "chars") -> list[str]:
    """`text` in pieces of at most `limit` units, none of them blank; a blank text has none.

    Cuts stand after a paragraph, else a line, a sentence, a word, and only then between two characters as they are
    seen (never within an emoji or a letter with its accents). A fenced code block that is cut is closed in the one
    piece and opened again in the next, with its language. Raises `ValueError` for a limit below 4.
    """
    if limit < 4:
        raise ValueError("no text can be cut into so small pieces")
    pieces: list[str] = []
    rest, fence = text.strip("\n"), ""
    while rest.strip():
        opening = _reopening(fence, limit, unit)
        piece, rest, fence = _first(opening, rest, limit, unit)
        if piece.strip() and piece.strip() != opening.strip():
            pieces.append(piece)
    return pieces


def _reopening(fence: str, limit: int, unit: Unit) -> str:
    """The line that opens the code block `fence` again, without its language where there is no room for it."""
    if not fence:
        return ""
    mark = re.match(r"`+|~+", fence)
    assert mark is not None
    line = fence if len(fence) <= _INFO + len(mark[0]) else mark[0]
    return f"{line}\n" if measure(line, unit) * 4 <= limit else f"{mark[0]}\n" if len(mark[0]) * 6 <= limit else ""


def _first(opening: str, rest: str, limit: int, unit: Unit) -> tuple[str, str, str]:
    """The first piece, what is left, and the line of the code block that is open at the cut."""
    room = limit - measure(opening, unit)
    if measure(rest, unit) <= room:
        return opening + rest.rstrip(), "", ""
    end = _fitting(rest, room, unit)
    cut = _cut(rest, end, bool(opening))
    fence = _open_fence(opening + rest[:cut])
    closing = _closing(fence)
    if closing and len(closing) * 4 > limit:
        fence = closing = ""
    if closing and measure(rest[:cut], unit) + measure(closing, unit) > room:
        end = _fitting(rest, room - measure(closing, unit), unit)
        cut = _cut(rest, end, True)
        fence = _open_fence(opening + rest[:cut])
        closing = _closing(fence)
    if fence:
        return (opening + rest[:cut]).rstrip("\n") + closing, rest[cut:].removeprefix("\n"), fence
    return (opening + rest[:cut]).rstrip(), rest[cut:].lstrip(), ""


def _closing(fence: str) -> str:
    mark = re.match(r"`+|~+", fence)
    return f"\n{mark[0]}" if mark else ""


def _open_fence(text: str) -> str:
    """The line (without indentation) that opened the code block in which `text` ends; empty outside of one."""
    opened = ""
    for found in _FENCE.finditer(text):
        mark, info = found[1], found[2]
        if not opened:
            if mark[0] != "`" or "`" not in info:
                opened = (mark + info).strip()
        elif opened.startswith(mark[0]) and opened.startswith(mark[:3]) and not info.strip():
            own = re.match(r"`+|~+", opened)
            if own is not None and len(mark) >= len(own[0]):
                opened = ""
    return opened


def _fitting(text: str, room: int, unit: Unit) -> int:
    """How many characters from the start fit into `room`, at least one."""
    if unit == "chars":
        return max(1, min(room, len(text)))
    window = text[: max(1, room)]
    widths = ((2 if char > "\uffff" else 1) if unit == "utf16" else _bytes(char) for char in window)
    return max(1, sum(total <= room for total in accumulate(widths)))


def _bytes(char: str) -> int:
    return 1 if char < "\x80" else 2 if char < "\u0800" else 3 if char <= "\uffff" else 4


def _cut(text: str, end: int, inside: bool) -> int:
    """The best place at or before `end`. Within code (`inside`) only lines count."""
    if end >= len(text):
        return len(text)
    window, early = text[:end], int(end * _EARLY)
    if text[end] == "\n":
        window = text[: end + 1]
    if inside and not _FENCE.search(window):
        line = window.rfind("\n")
        return min(line + 1, end) if line > 0 else _between(text, end)
    fences = [found.start() for found in _FENCE.finditer(window) if _open_fence(window[: found.end()])]
    if fences and _open_fence(window) and fences[-1] > early:
        return fences[-1]  # a block that does not fit begins in the next piece
    for pattern in (_PARAGRAPH, re.compile(r"\n"), _SENTENCE, re.compile(r"\s+")):
        places = [min(found.end(), end) for found in pattern.finditer(window)]
        if places and places[-1] > early:
            return places[-1]
    return _between(text, end)


def _between(text: str, end: int) -> int:
    """`end`, or the nearest place before it that stands between two characters as they are seen."""
    place = end
    while place > max(1, end - 32) and _glued(text, place):
        place -= 1
    return place if place > 1 or not _glued(text, place) else end


def _glued(text: str, place: int) -> bool:
    before, after = text[place - 1], text[place]
    if after in _JOINERS or before == "\u200d" or unicodedata.combining(after):
        return True
    if "\U0001f3fb" <= after <= "\U0001f3ff" or unicodedata.category(after) in ("Mn", "Me", "Mc"):
        return True
    if "\U0001f1e6" <= after <= "\U0001f1ff" and "\U0001f1e6" <= before <= "\U0001f1ff":
        run = 0
        while run < place and "\U0001f1e6" <= text[place - 1 - run] <= "\U0001f1ff":
            run += 1
        return run % 2 == 1
    return before == "\r" and after == "\n"

"""The words that somebody wrote: HTML made readable, and what is only quoted or signed cut away."""

from __future__ import annotations

import re
from html.parser import HTMLParser

_BLOCKS = frozenset(
    (
        "address", "article", "blockquote", "br", "dd", "div", "dl", "dt", "fieldset", "footer", "form", "h1", "h2",
        "h3", "h4", "h5", "h6", "header", "hr", "li", "ol", "p", "pre", "section", "table", "tr", "ul",
    )
)  # fmt: skip
_SILENT = frozenset(("head", "script", "style", "template", "title", "noscript"))
_BREAKS = re.compile(r"[ \t\xa0]*\n[ \t\xa0]*")
# The line above what is quoted, as clients write it in several languages; always followed by a quotation or the end.
_ATTRIBUTION = re.compile(
    r"^(?:On\b.{0,300}\bwrote:|Am\b.{0,300}\bschrieb\b.{0,100}:|Le\b.{0,300}\ba écrit\s*:|El\b.{0,300}\bescribió:"
    r"|.{0,300}(?:写道|寫道|のメッセージ)\s*[:：])\s*$"
)
_DIVIDER = re.compile(
    r"^(?:-{2,}\s*(?:Original Message|Forwarded message|Ursprüngliche Nachricht|原始邮件|原始郵件|转发的邮件)\s*-{2,}"
    r"|_{20,})\s*$",
    re.IGNORECASE,
)
_FORWARDED = re.compile(r"Forwarded message|Weitergeleitete Nachricht|转发的邮件|轉寄", re.IGNORECASE)
_FORWARD = re.compile(r"^\s*(?:fwd?|wg|tr|rv|转发|轉寄|轉發)\s*[:：]", re.IGNORECASE)
_HEADERS = re.compile(r"^\**(?:From|Von|De|发件人|寄件者)\**\s*[:：]", re.IGNORECASE)
_HEADERS_NEXT = re.compile(r"^\**(?:Sent|Date|To|Gesendet|Envoyé|发送时间|日期|收件人|時間)\**\s*[:：]", re.IGNORECASE)


class _Reader(HTMLParser):
    """Collects what a reader would see."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.out: list[str] = []
        self._silent = 0
        self._quoted = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _SILENT:
            self._silent += 1
        elif tag == "blockquote":
            self._quoted += 1
        if tag in _BLOCKS:
            self._break()
        if tag == "li":
            self.out.append("- ")
        elif tag == "img" and not self._silent and (told := dict(attrs).get("alt")):
            self.out.append(told)

    def handle_endtag(self, tag: str) -> None:
        if tag in _SILENT:
            self._silent = max(0, self._silent - 1)
        elif tag == "blockquote":
            self._break()
            self._quoted = max(0, self._quoted - 1)
        if tag in _BLOCKS:
            self._break()

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.out.append(re.sub(r"\s+", " ", data))

    def _break(self) -> None:
        self.out.append("\n" + "> " * min(self._quoted, 3))


def readable(html: str) -> str:
    """The text of an HTML page, with quotations marked by ``>``."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    lines = [line.strip() for line in _BREAKS.sub("\n", "".join(reader.out)).split("\n")]
    kept = (line for line in lines if line not in ("", ">", "> >", "> > >", "-"))
    return "\n".join(kept)


def told(text: str, subject: str = "") -> tuple[str, str]:
    """What was written now, and what was sent on with it: the words of a mail that is forwarded, or of one that only
    quotes. What a reply quotes of the mail that it answers is left out."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    end = _end(lines)
    own = "\n".join(line.rstrip() for line in lines[:end] if not line.lstrip().startswith(">")).strip()
    if not own:
        return "", text.strip()
    rest = "\n".join(line.rstrip() for line in lines[end:]).strip()
    on = _FORWARD.match(subject) or (end < len(lines) and _FORWARDED.search(lines[end]))
    return own, rest if on and not rest.startswith("--\n") else ""


def _end(lines: list[str]) -> int:
    """Where the quotation or the signature begins."""
    for place, line in enumerate(lines):
        bare = line.strip()
        if line.rstrip("\r\n") in ("-- ", "--") or _DIVIDER.match(bare):
            return place
        following = next((one.strip() for one in lines[place + 1 : place + 4] if one.strip()), "")
        if _HEADERS.match(bare) and _HEADERS_NEXT.match(following):
            return place
        joined = f"{bare} {following}"
        if _ATTRIBUTION.match(bare) and (not following or following.startswith(">") or place + 4 > len(lines)):
            return place
        if bare.startswith(("On ", "Am ", "Le ", "El ")) and _ATTRIBUTION.match(joined) and len(joined) < 400:
            return place
    return len(lines)

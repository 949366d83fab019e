"""Markdown, as models write it, in the markup that a platform shows.

============  =========================================================================================
``markdown``  left as it is
``plain``     no markup: lists with bullets, links with their address behind them
``html``      the few tags of chat platforms: b i s u code pre a blockquote
``document``  whole HTML: paragraphs, headings, lists, tables
``mrkdwn``    ``*bold* _italic_ ~struck~ <address|text>``, with & < > escaped
``stars``     ``*bold* _italic_ ~struck~`` and code between back-ticks, links with their address behind them
============  =========================================================================================
"""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

from kith.channels.text import Unit, measure, split

if TYPE_CHECKING:  # it is loaded when something is first written
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

Dialect = Literal["plain", "markdown", "html", "document", "mrkdwn", "stars"]
DIALECTS: tuple[str, ...] = get_args(Dialect)

_LONGEST = 200_000
_SAFE = ("http://", "https://", "mailto:", "tel:", "xmpp:", "matrix:", "tg:")


def _same(text: str) -> str:
    return text


def _angles(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


@dataclass(frozen=True, slots=True)
class _Style:
    """How one dialect writes things; pairs are what stands before and behind."""

    escape: Callable[[str], str] = _same
    strong: tuple[str, str] = ("", "")
    em: tuple[str, str] = ("", "")
    s: tuple[str, str] = ("", "")
    code: tuple[str, str] = ("", "")
    fence: tuple[str, str] = ("", "")
    quote: tuple[str, str] = ("", "")
    link: Callable[[str, str], str] = lambda text, url: text if text == url else f"{text} ({url})"


def _anchor(text: str, url: str) -> str:
    return f'<a href="{html.escape(url)}">{text}</a>'


_STYLES = {
    "plain": _Style(),
    "html": _Style(
        lambda text: html.escape(text, quote=False),
        ("<b>", "</b>"), ("<i>", "</i>"), ("<s>", "</s>"), ("<code>", "</code>"),
        ("<pre>", "</pre>"), ("<blockquote>", "</blockquote>"), _anchor,
    ),
    "mrkdwn": _Style(
        _angles, ("*", "*"), ("_", "_"), ("~", "~"), ("`", "`"), ("```\n", "\n```"), ("", ""),
        lambda text, url: f"<{_angles(url).replace('|', '%7C')}|{text}>" if text != url else f"<{_angles(url)}>",
    ),
    "stars": _Style(_same, ("*", "*"), ("_", "_"), ("~", "~"), ("`", "`"), ("```\n", "\n```")),
}  # fmt: skip


def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark", {"html": False, "linkify": False}).enable(["table", "strikethrough"])


def convert(text: str, dialect: Dialect) -> str:
    """`text` in `dialect`. Whatever in it is not Markdown is kept and escaped, so that nothing in it becomes markup.

    A text of more than 200,000 characters is only escaped.
    """
    if dialect == "markdown":
        return text
    if len(text) > _LONGEST:
        return _angles(text) if dialect in ("html", "document", "mrkdwn") else text
    if dialect == "document":
        return str(_parser().disable("image").render(text)).strip()  # a picture would be fetched when it is shown
    return _Writer(_STYLES[dialect], quotes=dialect != "html").blocks(_parser().parse(text)).strip("\n")


def pieces(text: str, limit: int, unit: Unit = "chars", dialect: Dialect = "plain") -> list[str]:
    """`text` cut as by `split`, each piece converted; also converted none is longer than `limit` units."""
    done: list[str] = []
    for piece in split(text, limit, unit):
        done += _within(piece, limit, limit, unit, dialect)
    return done


def _within(piece: str, limit: int, room: int, unit: Unit, dialect: Dialect) -> list[str]:
    """A piece converted; one that grew too long is cut again, smaller, and at last sent as it was written."""
    converted = convert(piece, dialect)
    size = measure(converted, unit)
    if size <= limit:
        return [converted] if converted.strip() else []
    smaller = min(room // 2, limit * room // size)
    if smaller < 16 or len(piece) < 2:
        return split(_angles(piece) if dialect != "plain" else piece, limit, unit)
    return [out for part in split(piece, smaller, unit) for out in _within(part, limit, smaller, unit, dialect)]


@dataclass(slots=True)
class _List:
    number: int | None
    depth: int


@dataclass(slots=True)
class _Writer:
    """Walks the blocks of a parsed text once."""

    style: _Style
    quotes: bool
    lists: list[_List] = field(default_factory=list[_List])
    out: list[str] = field(default_factory=list[str])
    row: list[str] = field(default_factory=list[str])
    marks: list[int] = field(default_factory=list[int])
    bullet: str = ""
    heading: bool = False

    def blocks(self, tokens: Sequence[Token]) -> str:
        """The whole text."""
        for token in tokens:
            self._block(token)
        return "".join(self.out)

    def _block(self, token: Token) -> None:
        match token.type:
            case "inline":
                self._text(self._title(token) if self.heading else self.inline(token))
            case "heading_open":
                self.heading = True
            case "heading_close":
                self.heading = False
                self._gap()
            case "paragraph_close":
                self._gap(1 if self.lists else 2)
            case "fence" | "code_block":
                before, after = self.style.fence
                self._text(before + self.style.escape(token.content.rstrip("\n")) + after)
                self._gap(1 if self.lists else 2)
            case "hr":
                self._text("———")
                self._gap()
            case "html_block":
                self._text(self.style.escape(token.content.rstrip("\n")))
                self._gap()
            case _:
                self._nested(token)

    def _title(self, token: Token) -> str:
        before, after = self.style.strong
        return f"{before}{self.inline(token)}{after}"

    def _nested(self, token: Token) -> None:
        match token.type:
            case "bullet_list_open":
                self.lists.append(_List(None, len(self.lists)))
            case "ordered_list_open":
                self.lists.append(_List(int(token.attrGet("start") or 1), len(self.lists)))
            case "bullet_list_close" | "ordered_list_close":
                self.lists.pop()
                if not self.lists:
                    self._gap()
            case "list_item_open":
                self._item()
            case "blockquote_open":
                self.marks.append(len(self.out))
            case "blockquote_close":
                self._quote()
            case "td_close" | "th_close":
                self.row.append(self.out.pop() if self.out else "")
            case "td_open" | "th_open":
                self.out.append("")
            case "tr_close":
                self.out.append(" | ".join(cell.strip() for cell in self.row) + "\n")
                self.row.clear()
            case "table_close":
                self._gap()
            case _:
                return

    def _item(self) -> None:
        own = self.lists[-1]
        sign = "• " if own.number is None else f"{own.number}. "
        if own.number is not None:
            own.number += 1
        self.bullet = "  " * own.depth + sign

    def _quote(self) -> None:
        start = self.marks.pop()
        inner = "".join(self.out[start:]).strip("\n")
        del self.out[start:]
        before, after = self.style.quote
        if self.quotes:
            inner = "\n".join(f"> {line}".rstrip() for line in inner.split("\n"))
        self._text(before + inner + after)
        self._gap()

    def _text(self, text: str) -> None:
        bullet, self.bullet = self.bullet, ""
        if self.out and not self.out[-1]:  # a cell that was just opened
            self.out.pop()
        self.out.append(bullet + text)

    def _gap(self, lines: int = 2) -> None:
        tail = "".join(self.out[-2:])
        have = len(tail) - len(tail.rstrip("\n"))
        if tail and have < lines:
            self.out.append("\n" * (lines - have))

    def inline(self, token: Token) -> str:
        """The text of one paragraph. Links whose address could run something lose it."""
        stack: list[tuple[str, list[str]]] = [("", [])]
        for child in token.children or ():
            match child.type:
                case "link_open":
                    stack.append((str(child.attrGet("href") or ""), []))
                case "link_close":
                    url, inner = stack.pop()
                    stack[-1][1].append(self._link("".join(inner), url))
                case _:
                    stack[-1][1].append(self._span(child))
        return "".join("".join(inner) for _, inner in stack)

    def _link(self, text: str, url: str) -> str:
        return self.style.link(text, url) if url.lower().startswith(_SAFE) else text

    def _span(self, token: Token) -> str:
        style = self.style
        match token.type:
            case "softbreak" | "hardbreak":
                return "\n"
            case "code_inline":
                return style.code[0] + style.escape(token.content) + style.code[1]
            case "image":
                return self._link(style.escape(token.content) or "🖼", str(token.attrGet("src") or ""))
            case "strong_open" | "strong_close" | "em_open" | "em_close" | "s_open" | "s_close":
                kind, _, place = token.type.partition("_")
                pair: tuple[str, str] = ("", "") if self.heading and kind == "strong" else getattr(style, kind)
                return pair[place == "close"]
            case _:
                return style.escape(token.content)

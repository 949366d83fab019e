"""Markdown pages to sections: cut at headings, merged when small, split when long."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

_HEADING = re.compile(r"^(#{1,4})\s+(.+?)\s*#*$")
_FENCE = re.compile(r"^\s*(```|~~~)")
_PROSE = re.compile(r"^(?![|>#]|[-*+] |\d+[.)] )\S")
_ASKED = re.compile(r"<!--\s*asked:(.*?)-->", re.DOTALL)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_LONG = 1400
"""Characters after which a section is split at a paragraph: some 300 tokens of English, at the most 900 of Chinese."""


@dataclass(frozen=True, slots=True)
class Section:
    """One heading's text. `path` is the page's title and every heading above this one; `asked` are other words by
    which people ask for it, taken from a comment ``<!-- asked: … -->`` that no reader sees."""

    page: str
    path: tuple[str, ...]
    anchor: str
    text: str
    asked: str = ""

    @property
    def title(self) -> str:
        return self.path[-1] if self.path else self.page


def sections(text: str, page: str) -> list[Section]:
    """Cut a Markdown page into sections of at most some 300 tokens. Headings inside code fences are code."""
    found: list[Section] = []
    for path, body in _blocks(text.replace("\r\n", "\n")):
        asked = " ".join(match.strip() for match in _ASKED.findall(body))
        clean = _COMMENT.sub("", body).strip()
        if not clean:
            continue
        whole = Section(page, path, anchor(path[-1]) if path else "", "", asked)
        found += [replace(whole, text=part) for part in _split(_unwrap(clean))]
    return found


def anchor(heading: str) -> str:
    """The fragment under which GitHub and most Markdown readers find a heading."""
    kept = re.sub(r"[^\w\- ]", "", heading.strip().lower())
    return kept.replace(" ", "-")


def headings(text: str) -> list[str]:
    """Every heading's text, in order."""
    return [path[-1] for path, _ in _blocks(text.replace("\r\n", "\n")) if path]


def _blocks(text: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """Each heading's path with the lines up to the next heading."""
    path: list[tuple[int, str]] = []
    lines: list[str] = []
    fenced = False
    for line in text.split("\n"):
        if _FENCE.match(line):
            fenced = not fenced
        match = None if fenced else _HEADING.match(line)
        if match is None:
            lines.append(line)
            continue
        if path or "".join(lines).strip():
            yield tuple(name for _, name in path), "\n".join(lines)
        level = len(match[1])
        path = [(depth, name) for depth, name in path if depth < level]
        path.append((level, match[2]))
        lines = []
    yield tuple(name for _, name in path), "\n".join(lines)


def _unwrap(text: str) -> str:
    """Each paragraph on one line, as chat apps and terminals want it; code, tables, lists and quotations stay."""
    lines: list[str] = []
    fenced = joining = False
    for line in text.split("\n"):
        fence = _FENCE.match(line) is not None
        prose = not fenced and not fence and _PROSE.match(line) is not None
        if prose and joining:
            lines[-1] = f"{lines[-1].rstrip()} {line.strip()}"
        else:
            lines.append(line)
        fenced ^= fence
        joining = prose
    return "\n".join(lines)


def _split(text: str) -> Iterator[str]:
    """Whole paragraphs, up to the length of a section; a longer paragraph is cut at its lines, then anywhere."""
    part = ""
    for paragraph in _paragraphs(text):
        if part and len(part) + len(paragraph) > _LONG:
            yield part
            part = ""
        part = f"{part}\n\n{paragraph}" if part else paragraph
    if part:
        yield part


def _paragraphs(text: str) -> Iterator[str]:
    for paragraph in re.split(r"\n{2,}", text):
        if len(paragraph) <= _LONG:
            if paragraph.strip():
                yield paragraph
            continue
        rows = [line[i : i + _LONG] for line in paragraph.split("\n") for i in range(0, len(line) or 1, _LONG)]
        piece = ""
        for row in rows:
            if piece and len(piece) + len(row) > _LONG:
                yield piece
                piece = ""
            piece = f"{piece}\n{row}" if piece else row
        if piece:
            yield piece

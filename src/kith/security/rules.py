"""The content filter's rules, read from ``rules.txt``: expressions by category, and what makes a sentence harmless."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

_SENTENCE = re.compile(r"[.!?;\n。！？；]+(?:\s|$|(?=[\u3400-\u9fff]))")
_LONGEST = 600  # characters of one sentence that are looked at together
_HARMLESS, _EXPLAINED = "harmless", "explained"
_ALWAYS = ("minors", "sexual", "injection")  # a novel or a game is no excuse for these


def matched(plain: str) -> dict[str, float]:
    """The categories whose rules one sentence of a plain text fulfils, each with 1; other sentences do not matter."""
    found: dict[str, float] = {}
    sheet = _rules()
    for sentence in _sentences(plain):
        excused = {name: any(form.search(sentence) for form in sheet[name]) for name in (_HARMLESS, _EXPLAINED)}
        for category, forms in sheet.items():
            if category in excused or category in found or excused[_EXPLAINED if category in _ALWAYS else _HARMLESS]:
                continue
            if any(form.search(sentence) for form in forms):
                found[category] = 1.0
    return found


def _sentences(plain: str) -> list[str]:
    """Sentences, and long ones in pieces that overlap, so that the work grows no faster than the text."""
    step = _LONGEST - 100
    return [
        part[at : at + _LONGEST]
        for part in _SENTENCE.split(plain)
        if part
        for at in range(0, max(len(part) - 100, 1), step)
    ]


@cache
def _rules() -> dict[str, tuple[re.Pattern[str], ...]]:
    sections: dict[str, list[str]] = {}
    rows: list[str] = []
    for line in (Path(__file__).parent / "rules.txt").read_text("utf-8").splitlines():
        if line.startswith("[") and line.endswith("]") and line[1:-1].replace("_", "").isalpha():
            rows = sections.setdefault(line[1:-1], [])
        elif line and not line.startswith("#"):
            rows.append(line)
    parts = dict(row.split(" = ", 1) for row in sections.pop("parts"))

    def whole(row: str) -> re.Pattern[str]:
        return re.compile(re.sub(r"<(\w+)>", lambda found: parts[found[1]], row))

    return {name: tuple(whole(row) for row in rows) for name, rows in sections.items()}

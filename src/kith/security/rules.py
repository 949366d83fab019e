"""The content filter's rules, read from ``rules.txt``: expressions by category, and what makes a sentence harmless."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from kith.runtime.sieve import Sieve

_SENTENCE = re.compile(r"[.!?;\n。！？；]+(?:\s|$|(?=[\u3400-\u9fff]))")
_LONGEST = 600  # characters of one sentence that are looked at together
_HARMLESS, _EXPLAINED = "harmless", "explained"
_ALWAYS = ("minors", "sexual", "injection")  # a novel or a game is no excuse for these


def matched(plain: str) -> dict[str, float]:
    """The categories whose rules one sentence of a plain text fulfils, each with 1; other sentences do not matter."""
    found: dict[str, float] = {}
    rules, sieve = sheet()
    for sentence in _sentences(plain):
        met: set[str] = set()
        for number in sieve.possible(sentence):
            category, form = rules[number]
            if category not in met and category not in found and form.search(sentence):
                met.add(category)
        for category in met - {_HARMLESS, _EXPLAINED}:
            if (_EXPLAINED if category in _ALWAYS else _HARMLESS) not in met:
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
def sheet() -> tuple[tuple[tuple[str, re.Pattern[str]], ...], Sieve]:
    """Every expression with its category, and what holds those back that cannot match."""
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

    rules = tuple((name, whole(row)) for name, rows in sections.items() for row in rows)
    return rules, Sieve([form for _, form in rules])

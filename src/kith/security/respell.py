"""Words that the rules know, written back in characters from pinyin or from others of the same sound."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from kith.security.folding import sounds

_HAN = re.compile("[\u3400-\u9fff]{2,6}")
_LATIN = re.compile("[a-z]+")
_LONGEST = 6  # syllables
_MOST = 2000  # characters of a text that are looked at

Unit = tuple[str, str]
"""A syllable and what stood there: a character, the syllable itself, or (with an empty syllable) anything else."""


def respelt(plain: str) -> str:
    """A plain text with known words respelt; the same text where there is none.

    Of a word in characters at least one has to be right: 炸蛋 is respelt, 紫砂 is not taken for 自杀.
    """
    units = _units(plain[:_MOST])
    out: list[str] = []
    place, changed = 0, False
    while place < len(units):
        word = _word(units, place)
        if word:
            out.append(word)
            place += len(word)
            changed = True
        else:
            out.append(units[place][1])
            place += 1
    return "".join(out) if changed else plain


def _word(units: list[Unit], place: int) -> str:
    if place + 1 == len(units) or (units[place][0], units[place + 1][0]) not in _openings():
        return ""
    for size in range(min(_LONGEST, len(units) - place), 1, -1):
        piece = units[place : place + size]
        word = _known().get(" ".join(syllable for syllable, _ in piece), "")
        if not word:
            continue
        right = sum(found == wanted for (_, found), wanted in zip(piece, word, strict=True))
        spelt = any(found.isascii() for _, found in piece)
        if right < size and (spelt or right):
            return word
    return ""


def _units(plain: str) -> list[Unit]:
    table, units, place = sounds(), list[Unit](), 0
    while place < len(plain):
        if run := _LATIN.match(plain, place):
            units += _syllables(run[0])
            place = run.end()
            if plain[place : place + 1] == " " and units[-1][0]:
                place += 1  # syllables are often written apart
        else:
            units.append((table.get(plain[place], ""), plain[place]))
            place += 1
    return units


@cache
def _known() -> dict[str, str]:
    """The words of the rules by their syllables."""
    sheet = (Path(__file__).parent / "rules.txt").read_text("utf-8").replace("\n[", "\0[")
    table, found = sounds(), dict[str, str]()
    for section in sheet.split("\0"):
        if not section.startswith(("[harmless]", "[explained]", "#")):
            for word in _HAN.findall(section):
                if all(character in table for character in word):
                    found.setdefault(" ".join(table[character] for character in word), word)
    return found


@cache
def _openings() -> frozenset[tuple[str, str]]:
    """The first two syllables of every known word."""
    spelt = (syllables.split(" ") for syllables in _known())
    return frozenset((first, second) for first, second, *_ in spelt)


def _syllables(run: str) -> list[Unit]:
    """A run of letters as syllables, longest first; as it is where it is none."""
    units: list[Unit] = []
    place = 0
    while place < len(run):
        size = next((size for size in range(6, 0, -1) if run[place : place + size] in _all()), 0)
        if not size:
            return [("", run)]
        units.append((run[place : place + size], run[place : place + size]))
        place += size
    return units


@cache
def _all() -> frozenset[str]:
    return frozenset(sounds().values())

"""Texts to search terms: English words by their stem, Chinese as single characters and pairs of characters.

SQLite's own tokenizers find nothing for Chinese words of two characters, so texts are cut up here, on the way in and on
the way out (https://www.sqlite.org/fts5.html, "External Content and Trigram Tokenizers").
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from functools import cache
from pathlib import Path

import opencc


def _stop(lang: str) -> list[str]:
    return (Path(__file__).parent / "stop" / f"{lang}.txt").read_text("utf-8").split()


_PIECE = re.compile(r"[a-z0-9]+|[\u3400-\u9fff\uf900-\ufaff]+")
_CHINESE = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]")

ENGLISH_STOP = frozenset(_stop("en"))
"""Words that say nothing about the topic of a question."""

EVERYDAY = frozenset(_stop("everyday"))
"""Words and pairs of characters of every talk: one of them alone says no more of a question's topic."""

_CHINESE_STOP = re.compile("|".join(sorted(_stop("zh"), key=len, reverse=True)))
_SUFFIXES = ("ations", "ation", "ings", "ing", "ies", "ied", "ers", "er", "ed", "es", "s")


def fold(text: str) -> str:
    """`text` with full-width forms, case and traditional characters folded away."""
    return unicodedata.normalize("NFKC", text).casefold().translate(_simplified())


def terms(text: str) -> list[str]:
    """Every search term of a text that is to be found."""
    found: list[str] = []
    for piece in _PIECE.findall(fold(text)):
        found += _grams(piece) if _CHINESE.match(piece) else [stem(piece)]
    return found


def query_terms(text: str) -> list[str]:
    """The telling terms of a question, each once: without words that only make it a question."""
    found: list[str] = []
    for piece in _PIECE.findall(fold(text)):
        if _CHINESE.match(piece):
            for part in _CHINESE_STOP.sub(" ", piece).split():
                found += _grams(part) if len(part) > 1 else [part]
        elif piece not in ENGLISH_STOP:
            found.append(stem(piece))
    return list(dict.fromkeys(found))


def topical(found: Collection[str]) -> bool:
    """Whether search terms that were met tell of a topic: a rare word, a rare pair of characters, or several words.

    A single Chinese character tells of none, however rare it is here.
    """
    words = [term for term in found if term.isascii() or len(term) > 1]
    return len(words) > 1 or any(word not in _everyday() for word in words)


@cache
def _everyday() -> frozenset[str]:
    return frozenset(stem(word) if word.isascii() else word for word in EVERYDAY)


def chinese(text: str) -> bool:
    """Whether there is any Chinese in a text."""
    return _CHINESE.search(text) is not None


def english(text: str) -> bool:
    """Whether a text has the small words of an English sentence, and no Chinese."""
    return not chinese(text) and any(word in ENGLISH_STOP for word in _PIECE.findall(text.casefold()))


def stem(word: str) -> str:
    """An English word without its most common endings: just enough for ``models`` and ``model`` to meet.

    A final ``e`` goes as well when five letters remain (``remove``, ``removing``; but ``plane`` is not ``plan``).
    """
    for suffix in _SUFFIXES:
        base = word[: -len(suffix)]
        if not word.endswith(suffix) or len(base) < 3 or (suffix == "s" and base[-1] == "s"):
            continue
        if suffix in ("ies", "ied"):
            return base + "y"
        if suffix == "es" and not base.endswith(("s", "x", "z", "ch", "sh")):
            base += "e"
        elif base[-1] == base[-2] and base[-1] not in "ls" and len(base) > 3:
            return base[:-1]
        word = base
        break
    return word[:-1] if word.endswith("e") and len(word) > 5 else word


def _grams(piece: str) -> list[str]:
    return list(piece) + [piece[i : i + 2] for i in range(len(piece) - 1)]


@cache
def _simplified() -> dict[int, str]:
    """Each traditional character's simplified form, from the character table of OpenCC (Apache-2.0)."""
    table = Path(opencc.__path__[0]) / "dictionary" / "TSCharacters.txt"
    pairs = (line.split("\t", 1) for line in table.read_text("utf-8").splitlines() if "\t" in line)
    return {ord(old): new.split()[0] for old, new in pairs if len(old) == 1}

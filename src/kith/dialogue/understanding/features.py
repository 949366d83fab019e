"""What a classifier of short texts looks at: letters, words, and, for Chinese, what stands near what and is about what.

A Chinese phrase of a few characters says the same thing in many orders and by many synonyms, and shares few runs of
three characters with those that were trained. So its characters count alone, in pairs of neighbours, and in pairs that
stand a few characters apart in either order; and beside them the notions of ``everyday.txt`` (a lexicon by hand), so
that one word teaches the others that are about the same.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from itertools import pairwise
from pathlib import Path

NOTION, PAIR = "n:", "p:"  # how a notion begins and a pair; no normalised text of letters has a colon
_NEAR = 6  # characters between which two still count as a pair
_HAN = re.compile("[\u3400-\u9fff\U00020000-\U0003ffff]")


def features(text: str) -> dict[str, int]:
    """The counted features of a normalised text: 1 to 3 characters, across word borders too, and words."""
    padded = f" {text} "
    found = [padded[i : i + size] for size in (1, 2, 3) for i in range(len(padded) - size + 1)]
    return dict(Counter(found + _words(text.split())))


def marks(text: str) -> dict[str, int]:
    """What the classifier counts: `features`, and for a text with Chinese in it pairs and notions for long runs."""
    if not chinese(text):
        return features(text)
    padded = f" {text} "
    found = [padded[i : i + size] for size in (1, 2) for i in range(len(padded) - size + 1)]
    found += [run for i in range(len(padded) - 2) if not _HAN.search(run := padded[i : i + 3])]
    found += _words([word for word in text.split() if not _HAN.search(word)])
    near = {
        f"{PAIR}{a}{b}" if a < b else f"{PAIR}{b}{a}" for i, a in enumerate(text) for b in text[i + 1 : i + 1 + _NEAR]
    }
    return dict(Counter(found)) | dict.fromkeys(sorted(near | {NOTION + name for name in notions(text)}), 1)


def chinese(text: str) -> bool:
    """Whether there is a Chinese character in it."""
    return _HAN.search(text) is not None


def notions(text: str) -> set[str]:
    """What a normalised Chinese text is about: names of lines of ``everyday.txt``."""
    known, longest = _known()
    found: set[str] = set()
    for start in range(len(text)):
        for end in range(start + 1, min(start + longest, len(text)) + 1):
            found |= known.get(text[start:end], frozenset())
    return found


def _words(words: list[str]) -> list[str]:
    return [f"w:{word}" for word in words] + [f"w:{a} {b}" for a, b in pairwise(words)]


@cache
def _known() -> tuple[dict[str, frozenset[str]], int]:
    """Every word of ``everyday.txt`` with its notions, and the length of the longest."""
    found: dict[str, frozenset[str]] = {}
    for line in (Path(__file__).parent / "everyday.txt").read_text("utf-8").splitlines():
        name, colon, words = line.partition(": ")
        if colon and not line.startswith("#"):
            for word in words.split(", "):
                found[word] = found.get(word, frozenset()) | {name}
    return found, max(map(len, found))

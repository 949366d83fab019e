"""Which of a few hundred short texts a message is about: BM25 over words and character pairs, newer ones first.

Source of the formula: Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009), with
k1 = 1.2 and b = 0.75; the fall with age is a half-life, its weight small beside words that meet.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from kith.dialogue.memory.patterns import vocabulary
from kith.dialogue.normal import normal

_PIECE = re.compile(r"[a-z0-9]+|[\u3400-\u9fff\uf900-\ufaff]+")
_STOP = vocabulary("stop")
_K1, _B = 1.2, 0.75
HALF_LIFE = 90 * 86400.0
_NEWER = 0.15


@dataclass(frozen=True, slots=True)
class Rated:
    """The number of a text and how well it fits, in 0..1."""

    index: int
    score: float


def words(text: str) -> list[str]:
    """The words and character pairs that tell what a text is about."""
    found: list[str] = []
    for piece in _PIECE.findall(normal(text)):
        if piece[0].isascii():
            if piece not in _STOP:
                found.append(_stem(piece))
        else:
            found += [a for a in piece if a not in _STOP]
            found += [piece[i : i + 2] for i in range(len(piece) - 1)]
    return found


def rate(query: str, texts: Sequence[str], ages: Sequence[float] = ()) -> list[Rated]:
    """The texts in which a word of the query stands, best first; `ages` in seconds favour the newer ones a little."""
    wanted = set(words(query))
    bags = [Counter(words(text)) for text in texts]
    if not wanted or not bags:
        return []
    lengths = [sum(bag.values()) for bag in bags]
    mean = sum(lengths) / len(lengths) or 1.0
    weights = {term: _idf(sum(term in bag for bag in bags), len(bags)) for term in wanted}
    best = sum(weights.values())  # what a text of middling length gives that has each word once
    rated: list[Rated] = []
    for index, bag in enumerate(bags):
        score = sum(
            weights[term] * bag[term] * (_K1 + 1) / (bag[term] + _K1 * (1 - _B + _B * lengths[index] / mean))
            for term in wanted
            if term in bag
        )
        if score > 0:
            newer = _NEWER * 0.5 ** (max(0.0, ages[index]) / HALF_LIFE) if ages else 0.0
            rated.append(Rated(index, min(1.0, score / best) * (1 - _NEWER) + newer))
    return sorted(rated, key=lambda one: one.score, reverse=True)


def _idf(having: int, count: int) -> float:
    return math.log(1 + (count - having + 0.5) / (having + 0.5)) + 0.1


def _stem(word: str) -> str:
    for suffix in ("ing", "ies", "ed", "es", "s"):
        if word.endswith(suffix) and len(word) - len(suffix) >= 3:
            base = word[: -len(suffix)]
            return base + "y" if suffix == "ies" else base.removesuffix("e")
    return word.removesuffix("e") if len(word) > 3 else word

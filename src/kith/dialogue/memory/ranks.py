"""Which of a few hundred short texts a message is about: BM25 over words and character pairs, newer ones first.

Source of the formula: Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009), with
k1 = 1.2 and b = 0.5 (what people say is short); the fall with age is a half-life, its weight small beside words that
meet.
"""

from __future__ import annotations

import math
import re
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from kith.dialogue.memory.patterns import kinships, vocabulary
from kith.dialogue.understanding.normal import normal

_PIECE = re.compile(r"[a-z0-9]+|[\u3400-\u9fff\uf900-\ufaff]+")
_STOP = vocabulary("stop")
_K1, _B = 1.2, 0.5
HALF_LIFE = 90 * 86400.0
_NEWER = 0.15
_TELLING = 2.0  # what the words that meet have to weigh together; a word in one of ten texts weighs as much
_MISSED = 0.2  # the weight of a word that nobody ever said; chosen with `benchmarks.memory` on its own sample
_KIN, _ONLY_KIN = 0.3, 0.6  # the weight of a word that means as much as one of the query, and where that was never said


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


class Index:
    """Texts with the places of their words, so that a search reads only those that a word of the query stands in."""

    def __init__(self) -> None:
        self._places: dict[str, array[int]] = {}  # a text's number, how often, the next text's number, how often, …
        self._lengths = array("I")
        self._sum = 0

    def __len__(self) -> int:
        return len(self._lengths)

    def add(self, text: str) -> None:
        """One more text; its number is the count of those before it."""
        bag, number = Counter(words(text)), len(self._lengths)
        for word, count in bag.items():
            self._places.setdefault(word, array("I")).extend((number, count))
        self._lengths.append(length := sum(bag.values()))
        self._sum += length

    def rate(self, query: str, ages: Sequence[float] = (), *, lenient: bool = False) -> list[Rated]:
        """The texts in which a word of the query stands, best first; `ages` in seconds favour the newer a little.

        With `lenient`, words of the query that stand in no text at all hardly count against one that has the others:
        people ask in other words than they told, and pairs of Chinese characters fall between words; words that mean
        as much count a little. Then what meets has to be telling: a word that is rare among ten texts or more, or two
        words where fewer were said.
        """
        count, scores, told = len(self._lengths), dict[int, float](), dict[int, float]()
        best, terms = 0.0, set(words(query)) if count else set[str]()
        for term in terms:
            weight, missed = self.weight(term), lenient and term not in self._places
            # What a text of middling length gives that has each word once.
            best += weight * (_MISSED if term.isascii() else 0.0) if missed else weight
            self._meet(term, 1.0, scores, told)
        for term, share in self._kin(terms).items() if lenient else ():
            self._meet(term, share, scores, told)
        least = min(_TELLING, 1.25 * _idf(1, count)) if count else 0.0
        rated: list[Rated] = []
        for number, score in scores.items():
            if lenient and told[number] < least:
                continue
            newer = _NEWER * 0.5 ** (max(0.0, ages[number]) / HALF_LIFE) if ages else 0.0
            rated.append(Rated(number, min(1.0, score / best) * (1 - _NEWER) + newer))
        return sorted(rated, key=lambda one: (-one.score, one.index))

    def weight(self, word: str) -> float:
        """How much a word tells, being rare."""
        return _idf(len(self._places.get(word, ())) // 2, len(self._lengths))

    def having(self, word: str) -> Sequence[int]:
        """The numbers of the texts in which a word of the form of `words` stands."""
        return self._places.get(word, array("I"))[::2]

    def _meet(self, word: str, share: float, scores: dict[int, float], told: dict[int, float]) -> None:
        """Add to the scores of the texts that have a word, and to what they tell, whatever their length."""
        places, weight = self._places.get(word, array("I")), self.weight(word)
        mean = self._sum / len(self._lengths) or 1.0
        for number, often in zip(places[::2], places[1::2], strict=True):
            bulk = _K1 * (1 - _B + _B * self._lengths[number] / mean)
            scores[number] = scores.get(number, 0.0) + share * weight * often * (_K1 + 1) / (often + bulk)
            told[number] = told.get(number, 0.0) + weight

    def _kin(self, terms: set[str]) -> dict[str, float]:
        """Words that were said and mean as much as one that is asked with, with the share of its weight."""
        found: dict[str, float] = {}
        for term in terms:
            share = _KIN if term in self._places else _ONLY_KIN
            for other in _kinships().get(term, ()):
                if other not in terms and other in self._places:
                    found[other] = max(share, found.get(other, 0.0))
        return found


def rate(query: str, texts: Sequence[str], ages: Sequence[float] = ()) -> list[Rated]:
    """As `Index.rate`, over a few texts."""
    index = Index()
    for text in texts:
        index.add(text)
    return index.rate(query, ages)


def kin(word: str) -> frozenset[str]:
    """What may have been told with other words than this one, which it is asked with; in the form of `words`."""
    return _kinships().get(word, frozenset())


@cache
def _kinships() -> dict[str, frozenset[str]]:
    """By a word in the form of `words`: those that people may have told it with."""
    found: dict[str, set[str]] = {}
    for asked, told, same in kinships():
        heads, members = _whole(asked), [word for one in told for word in _whole(one)]
        for head in heads:
            found.setdefault(head, set()).update(members)
        for member in members if same else ():
            found.setdefault(member, set()).update((*heads, *members))
    return {word: frozenset(others - {word}) for word, others in found.items()}


def _whole(word: str) -> list[str]:
    """A word's pieces without the single characters of a Chinese word of several."""
    pieces = words(word)
    return [piece for piece in pieces if len(piece) > 1] or pieces


def _idf(having: int, count: int) -> float:
    return math.log(1 + (count - having + 0.5) / (having + 0.5)) + 0.1


def _stem(word: str) -> str:
    for suffix in ("ing", "ies", "ed", "es", "s"):
        if word.endswith(suffix) and len(word) - len(suffix) >= 3:
            base = word[: -len(suffix)]
            return base + "y" if suffix == "ies" else base.removesuffix("e")
    return word.removesuffix("e") if len(word) > 3 else word

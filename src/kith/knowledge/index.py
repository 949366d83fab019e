"""A full-text index in memory: FTS5 finds and ranks by BM25, then the share of the question that was met decides."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import apsw

from kith.knowledge.pages import Section
from kith.knowledge.words import query_terms, terms, topical

_TITLE, _ASKED, _BODY = 4.0, 3.0, 1.0
"""Weights of the columns in BM25: a term in a heading says more than one in the text."""
_CANDIDATES = 40
_EXACT = 2.0
"""What a heading that says just what was asked is worth, beside BM25."""
_SHARE = 0.6
"""How much a term counts that is only in the text; one that is in the heading counts fully."""
_UNKNOWN_WORD, _UNKNOWN_PAIR, _SINGLE = 1.0, 0.35, 0.15
"""Shares of its weight with which a term counts: a word or a pair found nowhere, a single character."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A section that was found. `covered` in 0..1 is the share of the question's weight found in it; a higher
    `score` is better. `topical` says whether its heading, or what people ask of it, met the topic of the question and
    not only a word of every talk."""

    section: Section
    score: float
    covered: float
    topical: bool = True


class Index:
    """Sections of one language. Not changed after it is built; may be read from any thread, one at a time."""

    def __init__(self, sections: Sequence[Section]) -> None:
        self._sections = tuple(sections)
        self._db = cast("Any", apsw.Connection(":memory:"))  # its stubs leave the bindings half typed
        self._db.execute("CREATE VIRTUAL TABLE words USING fts5(title, asked, body, tokenize='ascii')")
        rows = [(terms(" ".join(s.path)), terms(s.asked), terms(s.text)) for s in self._sections]
        self._db.executemany(
            "INSERT INTO words(rowid, title, asked, body) VALUES (?, ?, ?, ?)",
            ((number, *(" ".join(column) for column in row)) for number, row in enumerate(rows)),
        )
        self._strong = [frozenset(title) | frozenset(asked) for title, asked, _ in rows]
        self._terms = [strong | frozenset(row[2]) for strong, row in zip(self._strong, rows, strict=True)]
        self._headings = [frozenset(query_terms(s.title)) for s in self._sections]
        self._known: dict[str, int] = {}
        for row in self._terms:
            for term in row:
                self._known[term] = self._known.get(term, 0) + 1

    def search(self, query: str, limit: int) -> list[Hit]:
        """The best sections for a question, best first; empty when none has any of its telling words."""
        wanted = query_terms(query)[:64]
        met = [term for term in wanted if term in self._known]
        if not met:
            return []
        weights = {term: self._weight(term) for term in wanted}
        total = sum(weights.values())
        rows = self._db.execute(
            "SELECT rowid, -bm25(words, ?, ?, ?) FROM words WHERE words MATCH ? ORDER BY 2 DESC LIMIT ?",
            (_TITLE, _ASKED, _BODY, " OR ".join(f'"{term}"' for term in met), _CANDIDATES),
        )
        hits: list[Hit] = []
        for number, rank in cast("list[tuple[int, float]]", list(rows)):
            share = sum(weights[term] for term in met if term in self._terms[number]) / total
            strong = sum(weights[term] for term in met if term in self._strong[number]) / total
            heading = self._headings[number]
            exact = sum(term in weights for term in heading) / len(heading) if heading else 0.0
            score = rank * (0.2 + share + strong) + _EXACT * total * exact * strong
            told = topical([term for term in met if term in self._strong[number]])
            hits.append(Hit(self._sections[number], score, _SHARE * share + (1 - _SHARE) * strong, told))
        hits.sort(key=lambda hit: hit.score, reverse=True)
        return hits[:limit]

    def _weight(self, term: str) -> float:
        """Inverse document frequency: rare words tell most.

        Single Chinese characters weigh little: they are there to find what the pairs around them miss. So does a pair
        that is found nowhere, since it mostly straddles two words, and a little less so an unknown English word.
        """
        frequency = self._known.get(term, 0)
        rarity = math.log(1 + (len(self._sections) - max(frequency, 1) + 0.5) / (max(frequency, 1) + 0.5))
        if term.isascii():
            return rarity if frequency else rarity * _UNKNOWN_WORD
        if len(term) == 1:
            return rarity * _SINGLE
        return rarity if frequency else rarity * _UNKNOWN_PAIR

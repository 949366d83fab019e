"""A full-text index in memory: FTS5 finds and ranks by BM25, then the share of the question that was met decides."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import apsw

from kith.knowledge.pages import Section
from kith.knowledge.words import query_terms, terms

_TITLE, _ASKED, _BODY = 4.0, 3.0, 1.0
"""Weights of the columns in BM25: a term in a heading says more than one in the text."""
_CANDIDATES = 12


@dataclass(frozen=True, slots=True)
class Hit:
    """A section that was found. `covered` in 0..1 is the share of the question's weight found in it; a higher
    `score` is better."""

    section: Section
    score: float
    covered: float


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
        for number, score in cast("list[tuple[int, float]]", list(rows)):
            share = sum(weights[term] for term in met if term in self._terms[number]) / total
            strong = sum(weights[term] for term in met if term in self._strong[number]) / total
            hits.append(Hit(self._sections[number], score * (0.2 + share + strong), (share + strong) / 2))
        hits.sort(key=lambda hit: hit.score, reverse=True)
        return hits[:limit]

    def _weight(self, term: str) -> float:
        """Inverse document frequency; a term found nowhere counts as much as one found once.

        Single characters weigh little: they are there to find words that the pairs around them miss.
        """
        frequency = max(self._known.get(term, 0), 1)
        rarity = math.log(1 + (len(self._sections) - frequency + 0.5) / (frequency + 0.5))
        return rarity * (0.25 if len(term) == 1 and not term.isascii() else 1.0)

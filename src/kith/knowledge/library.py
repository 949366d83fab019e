"""The library: implements the port `Recall` over Kith's handbook."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable

from kith.core.turn import Passage
from kith.knowledge.index import Hit, Index
from kith.knowledge.pages import Section, sections
from kith.knowledge.settings import KnowledgeSettings
from kith.knowledge.words import chinese, english
from kith.runtime.locale import language, tr
from kith.runtime.telemetry import span

_LONGEST = 2000
"""Characters of a question that are looked at: more is a text, not a question."""


class Library:
    """Looks things up in the handbook, in the language of the question; needs no network and no model.

    The index is built in memory on the first question in a language (about 30 ms), so starting costs nothing.
    """

    def __init__(self, settings: KnowledgeSettings | None = None, handbook: Traversable | None = None) -> None:
        self._settings = settings or KnowledgeSettings()
        self._root = handbook or files("kith.knowledge") / "handbook"
        self._indexes: dict[str, Index] = {}
        self._lock = threading.Lock()

    async def recall(self, query: str, person: str, locale: str, limit: int) -> Sequence[Passage]:  # noqa: ARG002
        """At most `limit` passages that answer `query`, best first; none when nothing in the handbook does.

        The handbook is the same for every person, and the same in each language: a question is answered in its own or
        not at all. `locale` decides only where the question does not say its language.
        """
        if not self._settings.handbook or not query.strip():
            return ()
        with span("knowledge.recall"):
            return await asyncio.to_thread(self.find, query, locale, limit)

    def find(self, query: str, locale: str = "", limit: int = 3) -> tuple[Passage, ...]:
        """As `recall`, for callers that may block for a millisecond (50 when it is the first)."""
        asked = query[:_LONGEST]
        lang = "zh" if chinese(asked) else "en" if english(asked) else language(locale)
        with self._lock:
            hits = self._index(lang).search(asked, min(limit, self._settings.limit))
        good = [hit for hit in hits if hit.topical and hit.covered >= self._settings.floor]
        return tuple(_passage(hit, lang) for hit in good) if good and good[0] is hits[0] else ()

    def _index(self, lang: str) -> Index:
        if lang not in self._indexes:
            self._indexes[lang] = Index(read(self._root, lang))
        return self._indexes[lang]


def read(root: Traversable, lang: str) -> list[Section]:
    """Every section of the handbook in one language, in the order of the pages' names."""
    folder = root / lang
    pages = sorted((page for page in folder.iterdir() if page.name.endswith(".md")), key=lambda page: page.name)
    return [part for page in pages for part in sections(page.read_text("utf-8"), f"{lang}/{page.name}")]


def _passage(hit: Hit, lang: str) -> Passage:
    section = hit.section
    source = tr("knowledge.source", lang, title=section.title, place=f"{section.page}#{section.anchor}")
    return Passage(section.text, source, round(hit.score, 3), " › ".join(section.path), trusted=True)

"""The content filter: rules for what is certain, a trained classifier for the rest, and the owner's own lists.

A text is judged as plain as it can be made (`folding`), once more with its words respelt (`respell`), and by the
classifier (`grams`). What it catches and what it catches wrongly is measured by ``benchmarks/filter.py``; see ADR 021.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Mapping

from kith.runtime.telemetry import counter, get_logger
from kith.security.folding import plain
from kith.security.grams import shipped
from kith.security.respell import respelt
from kith.security.rules import matched
from kith.security.settings import FilterSettings

SURE = 0.99
_REMEMBERED = 1024  # verdicts, of 500 bytes each
_LONG = 2000  # characters from which a text is judged beside the event loop
_REFUSAL = re.compile(
    r"\b(?:i (?:can(?:no|')?t|won'?t|will not|am not able|must not|do not|don'?t)|sorry|unable to|not allowed)\b"
    r"|不能|无法|不会|抱歉|对不起|拒绝|不可以"
)
_log = get_logger(__name__)
_found = counter("kith_security_filter_total", "Texts that the content filter noticed.", ("direction", "category"))


class ContentFilter:
    """Judges texts by the owner's settings. Reads its weights when it is first asked, in 20 ms."""

    def __init__(self, settings: FilterSettings) -> None:
        self._settings = settings
        self._verdicts: dict[bytes, dict[str, float]] = {}
        self._words = tuple(word for given in settings.words if (word := plain(given)))
        self._allowed = tuple(word for given in settings.allow if (word := plain(given)))

    def scores(self, text: str) -> dict[str, float]:
        """How sure it is, in 0..1, that `text` belongs to each category; 0.5 and more is flagged.

        The last verdicts are remembered by digest: programs send a conversation again with each of its questions.
        """
        key = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        found = self._verdicts.get(key)
        if found is None:
            found = self._judged(text)
            if len(self._verdicts) >= _REMEMBERED:
                self._verdicts.pop(next(iter(self._verdicts)), None)  # the oldest; another thread may have been quicker
            self._verdicts[key] = found
        return found

    def _judged(self, text: str) -> dict[str, float]:
        read = plain(text)
        for word in self._allowed:
            read = read.replace(word, " ")
        model = shipped()
        found = dict(zip(model.labels, map(float, model.probability(model.scores(read))), strict=True))
        spelt = respelt(read)
        for certain in (matched(read), matched(spelt) if spelt != read else {}):
            found |= {category: max(SURE, found.get(category, 0.0)) for category in certain}
        if self._words:
            found["words"] = 1.0 if any(word in read or word in spelt for word in self._words) else 0.0
        return {category: self._scaled(category, score) for category, score in found.items()}

    async def judge(self, text: str) -> Mapping[str, float]:
        """As `scores`; a long text beside the event loop."""
        return await asyncio.to_thread(self.scores, text) if len(text) > _LONG else self.scores(text)

    async def noticed(self, text: str) -> str:
        """The category of a text that comes in, empty for a harmless one or where nobody wants to know."""
        if self._settings.incoming == "off" or not text.strip():
            return ""
        return self._told("in", await self.judge(text))

    def leaving(self, text: str) -> tuple[str, float]:
        """The category of a text that goes out, empty for a harmless one, and the highest score.

        Words of refusal are no harm, and what a text says of prompts does nothing by being said.
        """
        if self._settings.outgoing == "off" or _REFUSAL.search(text.casefold()):
            return "", 0.0
        found = {category: score for category, score in self.scores(text).items() if category != "injection"}
        return self._told("out", found), max(found.values(), default=0.0)

    def _told(self, direction: str, scores: Mapping[str, float]) -> str:
        category, score = max(scores.items(), key=lambda item: item[1])
        if score < 0.5:
            return ""
        _found.add(1, direction=direction, category=category)
        _log.info("content noticed", direction=direction, category=category)
        return category

    def _scaled(self, category: str, score: float) -> float:
        """With the owner's threshold moved to a half."""
        edge = self._settings.thresholds.get(category, 0.5)
        return score / edge * 0.5 if score < edge else 0.5 + (score - edge) / max(1 - edge, 1e-9) * 0.5

"""Finding values in a text: a flow's own words and expressions, and the built-in kinds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import tzinfo

from kith.core.turn import Entity
from kith.dialogue.flows.expressions import compile_safe
from kith.dialogue.flows.schema import EntityPart, listed
from kith.dialogue.understanding.normal import Folded, fold
from kith.dialogue.values.quantities import QUANTITIES, moments, quantities

CAP = 2000  # characters of a message that are searched for values
FREE = "text"  # the built-in entity that is any words
BUILT_IN = (*QUANTITIES, FREE)
_NAMES = ("person", "place", "address")
_WORDS = ("person", "address")  # their value is what was written
_EDGE = re.compile(r"\w")


class Lexicon:
    """One entity of a flow. Raises `ValueError` for a regular expression that is wrong or could take forever."""

    def __init__(self, part: EntityPart) -> None:
        self.name = part.name
        self.free = part.free
        self._expressions = [compile_safe(text) for text in listed(part.regex)]
        pairs = part.values.items() if isinstance(part.values, dict) else ((word, word) for word in part.values)
        self._words: dict[str, str] = {}
        for value, words in pairs:
            for word in (value, *listed(words)):
                self._words.setdefault(" ".join(fold(word).text.casefold().split()), value)
        self._words.pop("", None)
        self._sizes = sorted({len(word) for word in self._words}, reverse=True)
        self._firsts = frozenset(word[0] for word in self._words)

    def values(self) -> list[str]:
        """The words it knows, and what its expressions look like."""
        return [*dict.fromkeys(self._words.values()), *(f"/{found.pattern}/" for found in self._expressions)]

    def find(self, folded: Folded, lowered: str, text: str) -> Iterable[Entity]:
        """Every value in `text`, longest word first. `lowered` is the folded text in lower case, of equal length."""
        place = 0
        while place < len(lowered):
            size = self._longest(lowered, place) if lowered[place] in self._firsts else 0
            if size:
                start, end = folded.span(place, place + size)
                yield Entity(self.name, self._words[lowered[place : place + size]], text[start:end], start, end)
            place += size or 1
        for expression in self._expressions:
            for match in expression.finditer(folded.text):
                if match.end() == match.start():
                    continue
                start, end = folded.span(*match.span())
                groups = match.groupdict()
                value = groups.get("value") or (match[1] if match.re.groups else None) or match[0]
                yield Entity(self.name, value, text[start:end], start, end)

    def _longest(self, lowered: str, place: int) -> int:
        for size in self._sizes:
            word = lowered[place : place + size]
            if len(word) == size and word in self._words and _whole(lowered, place, place + size):
                return size
        return 0


def extract(
    text: str, lexicons: Sequence[Lexicon], now: float, zone: tzinfo | None = None, *, spans: bool = False
) -> tuple[Entity, ...]:
    """All values in the first 2,000 characters of `text`, in the order in which they stand.

    Values of one entity never overlap: the first found keeps its place. A built-in value that lies within a longer
    built-in one (the number in a date) is dropped, and so are names where the flow's own words stand. `now` and `zone`
    are what "tomorrow" counts from. "In two hours" is the time that it will be then, or, with `spans`, two hours.
    """
    folded = fold(text[:CAP])
    lowered = "".join(low if len(low := c.lower()) == 1 else c for c in folded.text)
    found: list[Entity] = []
    for lexicon in lexicons:
        taken: list[Entity] = []
        for entity in lexicon.find(folded, lowered, text):
            if not any(entity.start < other.end and other.start < entity.end for other in taken):
                taken.append(entity)
        found += taken
    own = {lexicon.name for lexicon in lexicons}
    theirs = tuple(found)
    values = quantities(folded.text, now, zone)
    for name, value, start, end in values if spans else moments(folded.text, values, now, zone):
        first, last = folded.span(start, end)
        named = name in _NAMES and any(first < other.end and other.start < last for other in theirs)
        if name not in own and not named:
            found.append(Entity(name, text[first:last] if name in _WORDS else value, text[first:last], first, last))
    return tuple(sorted(found, key=lambda entity: (entity.start, entity.end, entity.name)))


def _whole(text: str, start: int, end: int) -> bool:
    """Latin words and digits only count whole: "art" is not in "start"."""

    def joined(left: str, right: str) -> bool:
        return left.isascii() and right.isascii() and bool(_EDGE.match(left)) and bool(_EDGE.match(right))

    before = start > 0 and joined(text[start - 1], text[start])
    return not before and not (end < len(text) and joined(text[end - 1], text[end]))

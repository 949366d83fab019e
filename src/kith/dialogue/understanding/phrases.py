"""Phrases with gaps: "book a table for {number}", "call me {text}", "weather in *"."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from kith.core.turn import Entity
from kith.dialogue.understanding.normal import Folded, normal

GAP = re.compile(r"\{([^\W\d][\w.-]*)\}|\*")
GAPS = 3  # at most so many in a phrase: each may try 80 lengths
_CAP = 300  # characters of a message that a phrase with gaps is compared with
_WIDTH = 80
_JOINT = r"(?: |^|$|(?<=[^\x00-\x7f])|(?=[^\x00-\x7f]))"  # between Latin words a space, beside Chinese nothing


@dataclass(frozen=True, slots=True)
class Phrase:
    """A phrase with gaps, compiled. `names` are the entities of its named gaps, `words` the literal pieces."""

    expression: re.Pattern[str]
    names: tuple[str, ...]
    words: tuple[str, ...]

    def match(
        self, text: Folded, original: str, entities: Sequence[Entity], free: Collection[str]
    ) -> tuple[Entity, ...] | None:
        """The entities of the gaps when the whole text is this phrase, else None.

        A gap named after an entity has to hold one of `entities`; one named after a `free` entity takes any words.
        """
        if len(text.text) > _CAP or any(word not in text.text for word in self.words):
            return None
        found = self.expression.fullmatch(text.text)
        if found is None:
            return None
        filled: list[Entity] = []
        for index, name in enumerate(self.names, 1):
            start, end = text.span(*found.span(index))
            inside = next((e for e in entities if e.name == name and start <= e.start and e.end <= end), None)
            if inside is None and name in free:
                words = original[start:end].strip()
                inside = Entity(name, words, words, start, end)
            if inside is None:
                return None
            filled.append(inside)
        return tuple(filled)


def gaps(pattern: str) -> list[str]:
    """The names of the gaps of a pattern, ``*`` among them; empty for a plain phrase."""
    return [match[1] or "*" for match in GAP.finditer(pattern)]


def literal(pattern: str) -> str:
    """The pattern without its gaps, normalised: what the classifier learns from it."""
    found = GAP.sub(" ", pattern)
    return normal(found) if re.search(r"\w", found) else ""


def compile_phrase(pattern: str) -> Phrase:
    """Compile a pattern that has gaps."""
    pieces: list[str] = []
    names: list[str] = []
    words: list[str] = []
    place = 0
    for match in [*GAP.finditer(pattern), None]:
        piece = pattern[place : match.start() if match else len(pattern)]
        word = normal(piece) if re.search(r"\w", piece) else ""
        if word:
            before = _JOINT if place and piece[0].isspace() else " ?"
            after = _JOINT if match and piece[-1].isspace() else " ?"
            pieces += [before if place else "", re.escape(word), after if match else ""]
            words.append(word)
        if match:
            place = match.end()
            pieces.append(f"(.{{1,{_WIDTH}}}?)" if match[1] else f".{{0,{_WIDTH}}}?")
            names += [match[1]] if match[1] else []
    return Phrase(re.compile("".join(pieces)), tuple(names), tuple(words))

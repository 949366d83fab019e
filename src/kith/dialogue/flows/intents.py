"""Which intent a message has: the very phrase, a phrase with gaps, then the classifier; else none."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from kith.core.turn import Entity
from kith.dialogue.flows.schema import IntentPart
from kith.dialogue.understanding.classifier import Classifier, Guess
from kith.dialogue.understanding.normal import fold, normal, plain
from kith.dialogue.understanding.phrases import Phrase, compile_phrase, gaps, literal

Layer = Callable[[str, "Collection[str] | None"], "Match | None"]
"""Another opinion on a normalised text that no rule knows, among the intents allowed; None leaves it to the n-grams."""

_LONGEST = 400  # a longer message is no phrase of anybody's, and is left to a model


@dataclass(frozen=True, slots=True)
class Match:
    """What was recognised. `intent` is "" for nothing; `entities` are those of the phrase's gaps."""

    intent: str = ""
    confidence: float = 0.0
    by: Literal["", "rule", "classifier", "model"] = ""
    entities: tuple[Entity, ...] = ()


class Intents:
    """All the intents of a flow. `free` are the entities that may be any words, `strange` phrases of no intent."""

    def __init__(
        self, parts: Sequence[IntentPart], free: Collection[str], threshold: float, strange: Sequence[str] = ()
    ) -> None:
        self._free = free
        self.threshold = threshold
        self._exact: dict[str, list[str]] = {}
        self._gapped: list[tuple[str, Phrase]] = []
        self.examples: list[tuple[str, str]] = []
        for part in parts:
            self._learn(part)
        owned = {text for text, _ in self.examples}
        self.examples += [(said, "") for said in dict.fromkeys(map(normal, strange)) if said not in owned]
        known = [(text, intent) for text, intent in self.examples if text]
        self.classifier = Classifier([text for text, _ in known], [intent for _, intent in known]) if known else None

    def recognise(
        self,
        text: str,
        entities: Sequence[Entity],
        allowed: Collection[str] | None = None,
        layer: Layer | None = None,
    ) -> Match:
        """The intent of `text` among `allowed` (None: all of them); `entities` are those found in the text.

        What no rule knows is asked of `layer` first, if there is one.
        """
        if len(text) > _LONGEST:
            return Match()
        said = normal(text)
        if not said:
            return Match()
        for intent in self._exact.get(said, ()):
            if allowed is None or intent in allowed:
                return Match(intent, 1.0, "rule")
        aligned = plain(fold(text)) if self._gapped else None
        for intent, phrase in self._gapped:
            if aligned is None or (allowed is not None and intent not in allowed):
                continue
            found = phrase.match(aligned, text, entities, self._free)
            if found is not None:
                return Match(intent, 1.0, "rule", found)
        other = layer(said, allowed) if layer else None
        return self._classify(said, allowed) if other is None else other

    def ranked(self, text: str) -> list[str]:
        """All intents, the likeliest first."""
        return [label for label in self.classifier.ranked(normal(text)) if label] if self.classifier else []

    def judged(self, guess: Guess, allowed: Collection[str] | None) -> Match:
        """A classifier's guess as a match: none where it is not sure enough, out of scope, or not allowed."""
        if guess.confidence < self.threshold or not guess.label:
            return Match(confidence=guess.confidence)
        if allowed is not None and guess.label not in allowed:
            return Match(confidence=guess.confidence)
        return Match(guess.label, guess.confidence, "classifier")

    def _classify(self, said: str, allowed: Collection[str] | None) -> Match:
        if self.classifier is None or (allowed is not None and not allowed):
            return Match()
        return self.judged(self.classifier.guess(said, allowed), allowed)

    def _learn(self, part: IntentPart) -> None:
        seen: set[str] = set()
        for pattern in part.patterns:
            if gaps(pattern):
                self._gapped.append((part.name, compile_phrase(pattern)))
                said = literal(pattern)
            else:
                said = normal(pattern)
                owners = self._exact.setdefault(said, [])
                if part.name not in owners:
                    owners.append(part.name)
            if said not in seen:
                seen.add(said)
                self.examples.append((said, part.name))

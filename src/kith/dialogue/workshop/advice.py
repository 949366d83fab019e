"""What somebody could do about a flow that is not understood well, from its cross-validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from kith.dialogue.understanding.features import features
from kith.dialogue.workshop.validation import Validation

_FEW = 12  # phrases of an intent, below which its figures are luck
_OFTEN = 0.15  # of the phrases of two intents taken for each other, from which they are twins
_SHOWN = 6


@dataclass(frozen=True, slots=True)
class Advice:
    """One thing to do: `intents` need more phrases (few), are taken for each other in `share` of their phrases (twins,
    which have `common` in common), or have nothing to be told from (strangers)."""

    kind: Literal["few", "twins", "strangers"]
    intents: tuple[str, ...] = ()
    share: float = 0.0
    common: tuple[str, ...] = ()


def advice(found: Validation, pairs: Sequence[tuple[str, str]]) -> tuple[Advice, ...]:
    """The twins first, worst first. `pairs` are the texts and intents that were validated."""
    texts: dict[str, list[str]] = {}
    for text, intent in pairs:
        texts.setdefault(intent, []).append(text)
    advised: list[Advice] = []
    for one in sorted(texts):
        for other in (name for name in sorted(texts) if one and name > one):
            taken = found.matrix.get(one, {}).get(other, 0) + found.matrix.get(other, {}).get(one, 0)
            share = taken / (len(texts[one]) + len(texts[other]))
            if taken > 1 and share >= _OFTEN:
                advised.append(Advice("twins", (one, other), share, _common(texts[one], texts[other])))
    advised.sort(key=lambda item: -item.share)
    few = tuple(intent for intent, said in texts.items() if intent and len(said) < _FEW)
    advised += [Advice("few", few)] if few else []
    return (*advised, *(() if "" in texts else (Advice("strangers"),)))


def _common(one: Sequence[str], other: Sequence[str]) -> tuple[str, ...]:
    """Words, or pairs of Chinese characters, that are in the most phrases of both."""
    counts = [_counts(texts) for texts in (one, other)]
    shared = {mark: min(counts[0][mark], counts[1][mark]) for mark in counts[0].keys() & counts[1].keys()}
    return tuple(sorted((mark for mark in shared if shared[mark] > 1), key=lambda mark: (-shared[mark], mark))[:_SHOWN])


def _counts(texts: Sequence[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for text in texts:
        for mark in features(text):
            word = mark.removeprefix("w:") if mark.startswith("w:") and mark.isascii() else mark
            if (word != mark and " " not in word) or (len(mark) == 2 and not mark.isascii() and " " not in mark):
                found[word] = found.get(word, 0) + 1
    return found

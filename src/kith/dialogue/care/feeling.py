"""Which feeling a text shows: a lexicon, a trained layer, and what they come to together.

The lexicon (``moods.txt``) knows words of feeling; the layer knows from sentences what people say who feel something
and do not name it. It sees what `traits` shows of a text, with the notions of ``notions.txt``, marks such as faces and
"!!", and what the lexicon found, as one more notion for each feeling: so the same logistic regression weighs words of
feeling beside what else is said, and learns where they are none ("what is the opposite of sad"). Below a bound a text
shows no feeling. ``scripts/make_feeling.py`` fitted it on ``scripts/feelings`` and wrote the file that is loaded with
the first message.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kith.dialogue.care.crisis import plain
from kith.dialogue.understanding import traits
from kith.dialogue.understanding.normal import normal
from kith.dialogue.understanding.traits import RARITY, Floats, Places

EMOTIONS = ("joy", "love", "sadness", "anger", "fear", "tired", "surprise")
LABELS = ("", *EMOTIONS)
COLUMNS = 1 << 16
SHARES = (0.45, 0.45, 0.1)  # of a text's squared length: letters and words, notions, pairs of notions

_FILE = "feeling.npz"
_EDGE = 300  # characters at either end of a text that are read: what is pasted between is seldom one's own
_LIMIT = 1000  # characters that the lexicon reads
_MOST = 3.0  # words of the lexicon that count
_NOT = re.compile(
    r"(?:不|没|没有|(?<!特)别|不太|并不|not|never|no longer|n't|hardly) ?(?:very |so |really |that |太|很|怎么|那么)?$"
)
_RUN = re.compile(r"([^\W\d_])\1{2,}")
_MARKS = (
    ("m:!", re.compile("[!！]")),
    ("m:!!", re.compile("[!！]{2}")),
    ("m:?!", re.compile("[?？!！]*(?:[?？][!！?？]|[!！][?？])")),
    ("m:?", re.compile(r"[?？]\s*$")),
    ("m:...", re.compile(r"\.{3}|…|。。")),
    ("m:run", _RUN),
    ("m:loud", re.compile(r"\b[A-Z]{3,}\b")),
    ("m:figure", re.compile(r"\d")),
    ("face_joy", re.compile(r"[:;=]-?[)D]|\^_?\^|\bxD\b")),
    ("face_love", re.compile(r"<3+|:-?\*")),
    ("face_sadness", re.compile(r":'?-?\(|[Tt][_.-]?[Tt]\b|[Qq][Aa][Qq]|;_;")),
    ("face_anger", re.compile(r">:\(|-_-")),
    ("face_surprise", re.compile(r":-?[oO0]\b|\b[oO]_[oO]\b")),
)


@dataclass(frozen=True, slots=True)
class Weights:
    """A fitted model: a row of bytes for each label and what one step of them is worth, the rarity of each column
    (0 where it was never seen), and the chances of any feeling from which one counts: without and with a word of it."""

    rows: NDArray[np.int8]
    scale: Floats
    bias: Floats
    rarity: Floats
    bounds: tuple[float, float]


def felt(text: str) -> tuple[str, float]:
    """The feeling that a text shows, one of `EMOTIONS`, and how sure it is that any does; ("", 0) where none does."""
    weights = shipped()
    counts = counted(text)
    likely = chances(text, counts, weights)
    shown = decided(likely, counts, weights.bounds)
    return shown, float(1 - likely[0]) if shown else 0.0


def decided(likely: Floats, counts: Floats, bounds: tuple[float, float]) -> str:
    """The likeliest feeling where any is as likely as the bound, which is lower beside a word of it; else ""."""
    best = int(likely[1:].argmax())
    return EMOTIONS[best] if 1 - likely[0] >= bounds[bool(counts[best])] else ""


def chances(text: str, counts: Floats, weights: Weights) -> Floats:
    """How probable each label is, beside what the lexicon counted in the text; they add up to one."""
    places, values = traits.features(columns(text, counts), weights.rarity, SHARES)
    return traits.probable((weights.rows[:, places].astype(np.float32) @ values) * weights.scale + weights.bias)


def columns(text: str, counts: Floats) -> tuple[Places, ...]:
    """What the layer sees of a text: columns of letters and words, of notions and marks, of pairs of these."""
    ends = text if len(text) <= 2 * _EDGE else f"{text[:_EDGE]} {text[-_EDGE:]}"
    known = _known()
    seen = {name for name, form in _MARKS if form.search(ends)}
    seen |= {name for face in set(ends) if not face.isalnum() for name in known.get(face, ())}
    seen |= {f"l:{name}" for name, count in zip((*EMOTIONS, "not"), counts, strict=True) if count}
    return traits.columns(_RUN.sub(r"\1\1", plain(ends)), known, COLUMNS, seen)


def counted(text: str) -> Floats:
    """How many words of each feeling the lexicon finds, at most three; a negated word counts for nothing.

    Behind them: how many were negated, of any feeling.
    """
    said = normal(text[:_LIMIT])
    counts = np.zeros(len(EMOTIONS) + 1, np.float32)
    for place, form in _forms():
        for match in form.finditer(said):
            denied = _NOT.search(said[max(0, match.start() - 14) : match.start()])
            counts[-1 if denied else place] += 1
    return np.minimum(counts, np.float32(_MOST))


def named(text: str) -> str:
    """What the lexicon alone finds: the feeling with most words, or ""."""
    counts = counted(text)[:-1]
    return EMOTIONS[int(counts.argmax())] if counts.any() else ""


@cache
def _forms() -> tuple[tuple[int, re.Pattern[str]], ...]:
    """The lexicon ``moods.txt``: an emotion and its words on each line. Latin words count whole."""
    found: list[tuple[int, re.Pattern[str]]] = []
    for line in (Path(__file__).parent / "moods.txt").read_text("utf-8").splitlines():
        name, _, words = line.partition(":")
        if name in EMOTIONS:
            forms = [normal(word) or word.strip() for word in words.split(",")]
            ordered = sorted(filter(None, forms), key=len, reverse=True)
            pattern = "|".join(rf"\b{re.escape(w)}\b" if w.isascii() else re.escape(w) for w in ordered)
            found.append((EMOTIONS.index(name), re.compile(pattern)))
    return tuple(found)


@cache
def _known() -> traits.Known:
    return traits.known(Path(__file__).parent / "notions.txt")


@cache
def shipped() -> Weights:
    """The model that comes with Kith."""
    with np.load(Path(__file__).parent / _FILE, allow_pickle=False) as kept:
        rarity = kept["rarity"].astype(np.float32) / RARITY
        without, beside = (float(value) for value in kept["bounds"])
        return Weights(kept["rows"], kept["scale"], kept["bias"], rarity, (without, beside))

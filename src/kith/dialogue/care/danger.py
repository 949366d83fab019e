"""A trained layer beside the rules of `crisis`: how likely is it that a sentence speaks of danger, in any words?

Features: n-grams of one to four characters, words and pairs of words, and what the words are about: the notions of
``concepts.txt`` and every two of them that stand in one sentence, so that wordings that were never trained share what
was learnt. All are hashed into one row of columns (Weinberger and others, "Feature Hashing for Large Scale Multitask
Learning", 2009) and weighed by how rare they are. Model: the mean of a multinomial logistic regression and of a net
with one layer of a few rectified units between, which sees what only counts in company; both fitted by
``scripts/make_danger.py``, kept as bytes and loaded when the first message is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kith.dialogue.understanding import traits
from kith.dialogue.understanding.traits import RARITY, Floats, Places

COLUMNS = 1 << 17
NARROW = 1 << 15  # columns of the net: those of the regression, folded
LABELS = ("safe", "self", "other", "unclear")
LAYERS = ("line", "inner", "outer")
_FILE = "danger.npz"
LINE = 0.7  # the share of the regression; the rest is the net's


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of a fitted model: a row of bytes for each of its outputs, and what one step of a row is worth."""

    rows: NDArray[np.int8]
    scale: Floats
    bias: Floats

    def scores(self, columns: Places, values: Floats) -> Floats:
        """What comes out, of the columns that are not zero and their values."""
        return (self.rows[:, columns].astype(np.float32) @ values) * self.scale + self.bias


@dataclass(frozen=True, slots=True)
class Weights:
    """A fitted model: the regression, the two layers of the net, the rarity of each column (0 where it was never
    seen), and the chances from which a text counts: for the script, for a question with help lines, for a question."""

    line: Layer
    inner: Layer
    outer: Layer
    rarity: Floats
    sure: float
    likely: float
    maybe: float


def chances(plain: str, weights: Weights) -> Floats:
    """How probable each label is for one plain sentence; they add up to one."""
    columns, values = features(plain, weights.rarity)
    units = np.maximum(weights.inner.scores(columns % NARROW, values), 0)
    net = traits.probable(weights.outer.scores(np.arange(len(units)), units))
    line = traits.probable(weights.line.scores(columns, values))
    return np.asarray(LINE * line + (1 - LINE) * net, np.float32)


def features(plain: str, rarity: Floats) -> tuple[Places, Floats]:
    """Columns and values of a plain sentence, of length one together."""
    return traits.features(columns(plain), rarity)


def columns(plain: str) -> tuple[Places, ...]:
    """The columns of a plain sentence: of letters and words, of notions, of pairs of notions."""
    return traits.columns(plain, _known(), COLUMNS)


@cache
def _known() -> traits.Known:
    return traits.known(Path(__file__).parent / "concepts.txt")


@cache
def shipped() -> Weights:
    """The model that comes with Kith."""
    with np.load(Path(__file__).parent / _FILE, allow_pickle=False) as kept:
        rarity = kept["rarity"].astype(np.float32) / RARITY
        sure, likely, maybe = (float(value) for value in kept["bounds"])
        line, inner, outer = (
            Layer(kept[f"{name}_rows"], kept[f"{name}_scale"], kept[f"{name}_bias"]) for name in LAYERS
        )
        return Weights(line, inner, outer, rarity, sure, likely, maybe)

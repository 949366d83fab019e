"""A trained layer beside the rules of `crisis`: how likely is it that a sentence speaks of danger, in any words?

Features: n-grams of one to four characters, words and pairs of words, and what the words are about: the notions of
``concepts.txt`` and every two of them that stand in one sentence, so that wordings that were never trained share what
was learnt. All are hashed into one row of columns (Weinberger and others, "Feature Hashing for Large Scale Multitask
Learning", 2009) and weighed by how rare they are. Model: multinomial logistic regression, fitted by
``scripts/make_danger.py``, kept as bytes and loaded when the first message is read.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import cache
from itertools import combinations, pairwise
from pathlib import Path
from zlib import crc32

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # one thread: where a neighbour is busy, several spin

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

COLUMNS = 1 << 17
LABELS = ("safe", "self", "other", "unclear")
_FILE = "danger.npz"
RARITY = 20  # steps of rarity for one
_SHARES = (0.4, 0.4, 0.2)  # of a text's squared length: letters and words, notions, pairs of notions
_KNOWN = 1.0  # the rarity of what stands in every sentence
_LONGEST = 4  # characters of a Chinese word, words of an English phrase
_WORD = re.compile(r"[a-z']+|[0-9]+|[\u3400-\u9fff]+")
_ENDINGS = ("s", "d", "ed", "ing", "es")


@dataclass(frozen=True, slots=True)
class Weights:
    """A fitted model: a row of bytes for each label and what one step of them is worth, the rarity of each column
    (0 where it was never seen), and the chances from which a text counts."""

    rows: NDArray[np.int8]
    scale: Floats
    bias: Floats
    rarity: Floats
    sure: float
    maybe: float


def chances(plain: str, weights: Weights) -> Floats:
    """How probable each label is for one plain sentence; they add up to one."""
    columns, values = features(plain, weights.rarity)
    scores = (weights.rows[:, columns].astype(np.float32) @ values) * weights.scale + weights.bias
    grown = np.exp(scores - scores.max())
    return (grown / grown.sum()).astype(np.float32)


def features(plain: str, rarity: Floats) -> tuple[NDArray[np.int64], Floats]:
    """Columns and values of a plain sentence, of length one together."""
    groups = columns(plain)
    values = [np.maximum(rarity[group], _KNOWN) for group in groups]
    lengths = [float(np.sqrt((some * some).sum())) or 1.0 for some in values]
    parts = [some * np.float32(share**0.5 / size) for some, share, size in zip(values, _SHARES, lengths, strict=True)]
    return np.concatenate(groups), np.concatenate(parts)


def columns(plain: str) -> tuple[NDArray[np.int64], ...]:
    """The columns of a plain sentence: of letters and words, of notions, of pairs of notions."""
    words = _WORD.findall(plain)
    text = f" {' '.join(words)} "
    letters = {text[at : at + size] for size in (1, 2, 3, 4) for at in range(len(text) - size + 1)}
    letters |= {f"w:{word}" for word in words} | {f"w:{a} {b}" for a, b in pairwise(words)}
    about = sorted(notions(words))
    groups = (sorted(letters), [f"c:{name}" for name in about], [f"c:{a}&{b}" for a, b in combinations(about, 2)])
    return tuple(
        np.array([crc32(one.encode("utf-8", "replace")) % COLUMNS for one in group], np.int64) for group in groups
    )


def notions(words: list[str]) -> set[str]:
    """What the words are about: names of lines of ``concepts.txt``."""
    found: set[str] = set()
    known = _known()
    latin = [word for word in words if word.isascii()]
    for size in range(1, _LONGEST):
        for at in range(len(latin) - size + 1):
            found |= known.get("+".join(latin[at : at + size]), frozenset())
    for word in latin:
        for ending in _ENDINGS:
            if word.endswith(ending):
                found |= known.get(word.removesuffix(ending), frozenset())
    for word in words:
        if not word.isascii():
            for size in range(1, _LONGEST + 1):
                for at in range(len(word) - size + 1):
                    found |= known.get(word[at : at + size], frozenset())
    return found


@cache
def _known() -> dict[str, frozenset[str]]:
    """Every word of ``concepts.txt`` with the notions that it belongs to."""
    found: dict[str, frozenset[str]] = {}
    for line in (Path(__file__).parent / "concepts.txt").read_text("utf-8").splitlines():
        name, colon, words = line.partition(":")
        if colon and not line.startswith("#"):
            for word in words.split(","):
                said = word.strip()
                found[said] = found.get(said, frozenset()) | {name}
    return found


@cache
def shipped() -> Weights:
    """The model that comes with Kith."""
    with np.load(Path(__file__).parent / _FILE, allow_pickle=False) as kept:
        rarity = kept["rarity"].astype(np.float32) / RARITY
        sure, maybe = (float(value) for value in kept["bounds"])
        return Weights(kept["rows"], kept["scale"], kept["bias"], rarity, sure, maybe)

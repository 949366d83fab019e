"""What a trained layer sees of a sentence: n-grams, words, notions and pairs of notions, hashed into columns.

A notion is a line of a list: a name and the words that are about it, in both languages, so that wordings never
trained on share what was learnt. Everything is hashed into one row of columns (Weinberger and others, "Feature
Hashing for Large Scale Multitask Learning", 2009) and weighed by how rare it is.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from itertools import combinations, pairwise
from pathlib import Path
from zlib import crc32

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # one thread: where a neighbour is busy, several spin

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Places = NDArray[np.int64]
Known = Mapping[str, frozenset[str]]

RARITY = 20  # steps of rarity for one
_SHARES = (0.4, 0.4, 0.2)  # of a text's squared length: letters and words, notions, pairs of notions
_KNOWN = 1.0  # the rarity of what stands in every sentence
_LONGEST = 4  # characters of a Chinese word, words of an English phrase
_WORD = re.compile(r"[a-z']+|[0-9]+|[\u3400-\u9fff]+")
_ENDINGS = ("s", "d", "ed", "ing", "es")


def probable(scores: Floats) -> Floats:
    """How probable each label is, from its score; they add up to one."""
    grown = np.exp(scores - scores.max())
    return (grown / grown.sum()).astype(np.float32)


def features(
    groups: tuple[Places, ...], rarity: Floats, shares: tuple[float, float, float] = _SHARES
) -> tuple[Places, Floats]:
    """Columns and values of a sentence whose columns are given, of length one together.

    `shares`: of the squared length, that of letters and words, of notions, and of pairs of notions.
    """
    values = [np.maximum(rarity[group], _KNOWN) for group in groups]
    lengths = [float(np.sqrt((some * some).sum())) or 1.0 for some in values]
    parts = [some * np.float32(share**0.5 / size) for some, share, size in zip(values, shares, lengths, strict=True)]
    return np.concatenate(groups), np.concatenate(parts)


def columns(plain: str, words_known: Known, count: int, seen: Iterable[str] = ()) -> tuple[Places, ...]:
    """The columns, of `count`, of a plain sentence: of letters and words, of notions, of pairs of notions.

    `seen`: notions that show in something else than its words.
    """
    words = _WORD.findall(plain)
    text = f" {' '.join(words)} "
    letters = {text[at : at + size] for size in (1, 2, 3, 4) for at in range(len(text) - size + 1)}
    letters |= {f"w:{word}" for word in words} | {f"w:{a} {b}" for a, b in pairwise(words)}
    about = sorted(notions(words, words_known).union(seen))
    groups = (sorted(letters), [f"c:{name}" for name in about], [f"c:{a}&{b}" for a, b in combinations(about, 2)])
    return tuple(
        np.array([crc32(one.encode("utf-8", "replace")) % count for one in group], np.int64) for group in groups
    )


def notions(words: list[str], words_known: Known) -> set[str]:
    """What the words are about: names of lines of a list of notions."""
    found: set[str] = set()
    latin = [word for word in words if word.isascii()]
    for size in range(1, _LONGEST):
        for at in range(len(latin) - size + 1):
            found |= words_known.get("+".join(latin[at : at + size]), frozenset())
    for word in latin:
        for ending in _ENDINGS:
            if word.endswith(ending):
                found |= words_known.get(word.removesuffix(ending), frozenset())
    for word in words:
        if not word.isascii():
            for size in range(1, _LONGEST + 1):
                for at in range(len(word) - size + 1):
                    found |= words_known.get(word[at : at + size], frozenset())
    return found


def known(path: Path) -> dict[str, frozenset[str]]:
    """Every word of a list of notions with the notions that it belongs to; "+" joins an English phrase."""
    found: dict[str, frozenset[str]] = {}
    for line in path.read_text("utf-8").splitlines():
        name, colon, words = line.partition(":")
        if colon and not line.startswith("#"):
            for word in words.split(","):
                said = word.strip()
                found[said] = found.get(said, frozenset()) | {name}
    return found

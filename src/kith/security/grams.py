"""A linear classifier over hashed character n-grams: a text in, the probability of each category out.

Features: n-grams of 2 to 5 characters of the plain text, and of 3 to 6 letters of its sound where it is Chinese; each
is there or not, hashed into one of 16,384 columns (Weinberger and others, "Feature Hashing for Large Scale Multitask
Learning", 2009), scaled to unit length. Model: logistic regression, one category against the rest, fitted by
``scripts/make_filter.py`` and kept as bytes. A long text is looked through in windows, and the worst one counts.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # one thread: where a neighbour is busy, several spin

import numpy as np
from numpy.typing import NDArray

from kith.security.folding import sound, squeezed

COLUMNS = 1 << 14
WINDOW, STRIDE = 240, 120  # characters
_PLAIN, _SOUND = (2, 3, 4, 5), (3, 4, 5, 6)
_FACTORS = np.array([0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D, 0x27D4EB2F, 0x165667B1, 0xD3A2646C], np.uint32)
_NONE, _FIRST = np.zeros(0, np.uint32), np.ones(1, np.bool_)


class Grams:
    """The weights of a fitted model: `weights` has a row for each category and two halves of columns."""

    def __init__(self, weights: NDArray[np.float32], bias: NDArray[np.float32], labels: tuple[str, ...]) -> None:
        self._weights, self._bias, self.labels = weights, bias, labels

    def scores(self, plain: str) -> NDArray[np.float32]:
        """The probability of each label for a plain text (see `kith.security.folding`), the highest of its windows."""
        best = np.full(len(self.labels), -30, np.float32)
        for piece in windows(plain):
            columns = features(piece)
            if len(columns):
                length = np.float32(len(columns) ** -0.5)
                best = np.maximum(
                    best, self._weights.take(columns, axis=1).sum(axis=1) * length + self._bias, dtype=np.float32
                )
        return best

    @staticmethod
    def probability(scores: NDArray[np.float32]) -> NDArray[np.float32]:
        return (1 / (1 + np.exp(-np.clip(scores, -30, 30)))).astype(np.float32)


def windows(plain: str) -> list[str]:
    """A long text in pieces that overlap."""
    if len(plain) <= WINDOW:
        return [plain] if plain else []
    return [plain[at : at + WINDOW] for at in range(0, len(plain) - STRIDE, STRIDE)]


def features(plain: str) -> NDArray[np.uint32]:
    """The columns of a text's features, each once, in order."""
    spelt = _sums(f" {squeezed(plain)} ", _PLAIN)
    columns = _hashed(np.concatenate(spelt or [_NONE]))
    if heard := _sums(sound(plain), _SOUND):
        columns = np.concatenate((columns, _hashed(np.concatenate(heard)) + np.uint32(COLUMNS)))
    columns.sort()
    return columns[np.concatenate((_FIRST[: len(columns)], columns[1:] != columns[:-1]))]


def _sums(text: str, sizes: tuple[int, ...]) -> list[NDArray[np.uint32]]:
    """For each size the weighted sums of its n-grams (modulo 2**32); a longer one goes on from a shorter one's."""
    codes = np.frombuffer(text.encode("utf-32-le", "replace"), np.uint32)
    total, found = codes * _FACTORS[0], list[NDArray[np.uint32]]()
    for size in range(2, min(sizes[-1], len(codes)) + 1):
        total = total[:-1] + codes[size - 1 :] * _FACTORS[size - 1]
        if size in sizes:
            found.append(total + np.uint32(size * 0x1000193))
    return found


def _hashed(total: NDArray[np.uint32]) -> NDArray[np.uint32]:
    total ^= total >> np.uint32(15)
    total *= np.uint32(0x2C1B3C6D)
    total ^= total >> np.uint32(13)
    return total & np.uint32(COLUMNS - 1)


@cache
def shipped() -> Grams:
    """The model that comes with Kith."""
    with np.load(Path(__file__).parent / "filter.npz", allow_pickle=False) as kept:
        weights = kept["weights"].astype(np.float32) * kept["scale"].astype(np.float32)[:, None]
        return Grams(weights, kept["bias"].astype(np.float32), tuple(str(name) for name in kept["labels"]))

"""Regularised least squares on one-of-many targets, in closed form, with products of texts instead of their features.

Rifkin, Yeo and Poggio, "Regularized Least-Squares Classification", 2003. So are the predictions for an example that was
left out, and for one whose whole class was: the block form of the same identity, ``y - (I - H)^-1 (y - f)``.

How like two texts of letters are is the mean of their cosine and its square (a sum of two kernels, so a kernel): two
features that come together say more than the sum of them, and what shares a little with everything counts for less.
Where there are many classes of a few phrases each, that is what least squares lack. A text with Chinese in it has its
pairs of characters and its notions for that, and its cosine stands alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from kith.dialogue.understanding.descent import Row

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Flags = NDArray[np.bool_]

_COMMON = 1024  # of the columns, so many are multiplied as a matrix; the others are in a few texts each
_HALF = np.float32(math.sqrt(0.5))  # of the cosine and of its square, in a text of letters


class Kernel:
    """How like texts are to those it was made of: `rows` of length one, of which `letters` have no Chinese."""

    def __init__(self, rows: Sequence[Row], width: int, letters: Flags) -> None:
        common = np.zeros((len(rows), min(width, _COMMON)), np.float32)
        for row, (columns, values) in enumerate(rows):
            often = columns < _COMMON
            common[row, columns[often]] = values[often]
        self._common = np.ascontiguousarray(common.T)
        owners = np.repeat(np.arange(len(rows)), [len(columns) for columns, _ in rows])
        columns, values = (np.concatenate([row[part] for row in rows]) for part in (0, 1))
        order = np.argsort(columns, kind="stable")
        order = order[columns[order] >= _COMMON]
        columns, values, owners = columns[order], values[order], owners[order]
        starts = np.flatnonzero(np.diff(columns, prepend=-1))
        parts = zip(np.split(owners, starts[1:]), np.split(values, starts[1:]), strict=True)
        self._rare = dict(zip(columns[starts].tolist(), parts, strict=False))
        self._plain = np.where(letters, _HALF, np.float32(1))
        self._squared = np.where(letters, _HALF, np.float32(0))

    def square(self) -> Floats:
        """Of all texts with each other."""
        found = cast("Floats", self._common.T @ self._common)
        for those, few in self._rare.values():
            found[those[:, None], those] += few[:, None] * few
        return self._bent(found, self._plain[:, None], self._squared[:, None])

    def against(self, row: Row, letters: bool) -> Floats:
        """Of one text with all of them."""
        columns, values = row
        often = columns < _COMMON
        found = values[often] @ self._common[columns[often]]
        for column, value in zip(columns[~often].tolist(), values[~often], strict=True):
            those, few = self._rare[column]
            found[those] += value * few
        return self._bent(found, _HALF if letters else np.float32(1), _HALF if letters else np.float32(0))

    def _bent(self, cosines: Floats, plain: Any, squared: Any) -> Floats:
        return cast("Floats", cosines * (plain * self._plain + (squared * self._squared) * cosines))


def nearest(square: Floats, owner: NDArray[Any], classes: int) -> Floats:
    """From the rows' products: how like every row is the likest of each class, other than itself; 0 where none is."""
    others = square.copy()
    others[np.diag_indices_from(others)] = 0
    found = np.zeros((len(owner), classes), np.float32)
    for label in range(classes):
        found[:, label] = others[:, owner == label].max(axis=1)
    return found


def solve(square: Floats, owner: NDArray[Any], classes: int, penalty: float) -> tuple[Floats, Doubles, Doubles]:
    """From the rows' products: the share of each row in the weights, then the scores of every row with that row left
    out, then with its whole class left out."""
    targets = np.zeros((len(owner), classes), np.float32)
    targets[np.arange(len(owner)), owner] = 1
    inverse = square.copy()
    inverse[np.diag_indices_from(inverse)] += penalty
    inverse = _inverse(inverse)
    shares = inverse @ targets
    scores = square @ shares
    alone, held = np.empty_like(scores), np.empty_like(scores)
    for label in range(classes):
        block = np.flatnonzero(owner == label)
        rest = penalty * inverse[np.ix_(block, block)]  # I - H, because K (K + pI)^-1 = I - p (K + pI)^-1
        rest[np.diag_indices_from(rest)] += 1e-4  # twins make it singular
        missed = targets[block] - scores[block]
        alone[block] = targets[block] - missed / np.diag(rest)[:, None]
        held[block] = targets[block] - np.linalg.solve(rest, missed)
    return shares, alone.astype(np.float64), held.astype(np.float64)


def _inverse(square: Floats) -> Floats:
    """Of a symmetric positive matrix, by Cholesky: half the time of the general way at 2,000 rows."""
    lower = _lower_inverse(np.linalg.cholesky(square))
    return (lower.T @ lower).astype(np.float32)


def _lower_inverse(lower: Floats) -> Floats:
    """Of a lower triangular matrix, half by half, so that nearly all of the work is products of matrices."""
    rows = len(lower)
    if rows <= 128:
        return np.linalg.inv(lower).astype(np.float32)
    half = rows // 2
    first, last = _lower_inverse(lower[:half, :half]), _lower_inverse(lower[half:, half:])
    found = np.zeros_like(lower)
    found[:half, :half], found[half:, half:] = first, last
    found[half:, :half] = -last @ (lower[half:, :half] @ first)
    return found

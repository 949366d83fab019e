"""Multinomial logistic regression by stochastic gradient descent, for more phrases than a closed form can take.

The step is the plain one of the softmax loss, falling with the epoch; the weights are the mean of those after the later
epochs (Polyak and Juditsky, "Acceleration of Stochastic Approximation by Averaging", 1992). Deterministic.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Row = tuple[NDArray[np.intp], Floats]

_EPOCHS, _KEPT = 8, 4
_STEP, _FALL = 6.0, 0.35


def descend(rows: Sequence[Row], owner: NDArray[Any], size: int, classes: int) -> Floats:
    """Weights, `size` features by `classes`, from sparse `rows` of length one and the class of each."""
    weights = np.zeros((size, classes), np.float32)
    mean = np.zeros_like(weights)
    random = np.random.default_rng(0)
    for epoch in range(_EPOCHS):
        step = np.float32(_STEP / (1 + _FALL * epoch))
        for place in map(int, random.permutation(len(rows))):
            columns, values = rows[place]
            slope = softmax(values @ weights[columns])
            slope[owner[place]] -= 1
            weights[columns] -= step * values[:, None] * slope
        if epoch >= _EPOCHS - _KEPT:
            mean += weights / np.float32(_KEPT)
    return mean


def softmax(scores: NDArray[Any]) -> NDArray[Any]:
    """Shares that add up to one."""
    found = np.exp(scores - scores.max())
    return found / found.sum()


def judge(row: Row, weights: Floats) -> NDArray[Any]:
    """The share of each class for one row."""
    columns, values = row
    return softmax(values @ weights[columns])

"""A small classifier of short texts, trained from examples within a second, deterministic, with numpy alone.

Features: see `features`; TF-IDF with sub-linear counts, unit length. A feature never seen in training keeps its share
of the length, so that a text of strangers scores low everywhere.

Model: regularised least squares, see `kernel`, solved in closed form. So are its predictions for an example that was
left out, and for an example whose whole class was left out. The first says how sure a right answer looks, the second
how a text looks that belongs nowhere. A logistic curve between the two turns the score, its lead, the likest phrase and
the share of words that were never seen into the confidence that an answer is right (Platt, 1999), with no example kept
back.

From 4,096 examples on, where that would take too long and least squares hide classes behind each other, it is logistic
regression by gradient descent (see `descent`), and the two kinds of guesses come from classifiers of one half each.

Where there are sentence vectors, they stand beside the n-grams as more columns, so that the two are weighed against
each other by the same solution (a sum of kernels). The label "" is for what is out of scope.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

# One thread: where a neighbour is busy, several spin and take up to seven times as long. Read when numpy is loaded.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray

from kith.dialogue.understanding.descent import Row, descend, judge, softmax
from kith.dialogue.understanding.features import NOTION, PAIR, chinese, marks
from kith.dialogue.understanding.kernel import Kernel, nearest, solve

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Flags = NDArray[np.bool_]

_MANY = 4096  # rows from which weights are found step by step
_TENTH = 10  # every tenth class is a stranger then
_COLUMNS = 32768  # features that have weights in closed form, the commonest ones
_PAIR = 0.7  # how much two characters that stand near each other weigh, beside 1 for those that touch; see ADR 041
_ABOUT, _FADING = 1.5, 4.6  # how much a notion weighs at most, and for one phrase of each class: less with its root
_PENALTY = 0.2  # chosen on validation data, see benchmarks/intents.py
# Of the curve: score, lead, likest phrase, share of unknown words, constant; fitted on CLINC150's training part.
_PRIOR = np.array([5.5, 2.5, 0.0, -3.0, -3.0])
_OUTSIDE = 0.1  # how much is said out of scope at least, for one thing said in it
# What a phrase of letters counts for whose class was left out, beside one that was not: it is liker the other classes
# than a stranger is, whose words nobody knows. In Chinese it is not. Fitted on CLINC150's training part.
_EASY = 0.6
_FEW = 2  # classes up to which nothing is left of a flow without a class and its twin
_ENOUGH = 10  # examples of what is out of scope, from which they alone stand for it
# How many examples' worth the prior is. Classes of one flow share their words, so its own cannot say what unknown ones
# are worth: that stays as it is.
_STRENGTH = np.array([0.2, 0.2, 0.2, 1e4, 2.0])


@dataclass(frozen=True, slots=True)
class Guess:
    """The likeliest label and how probably it is right, 0 to 1; `second` is the label that came next."""

    label: str
    confidence: float
    second: str = ""


class Classifier:
    """Trained by its constructor from `texts` and their `labels`, of equal length and at least one.

    `vectors` are one for each text, of any one size; they count `weight` times as much as the n-grams.
    """

    def __init__(
        self,
        texts: Sequence[str],
        labels: Sequence[str],
        *,
        penalty: float = _PENALTY,
        vectors: Sequence[Sequence[float]] | None = None,
        weight: float = 1.0,
    ) -> None:
        self.labels = tuple(sorted(set(labels)))
        bags = [marks(text) for text in texts]
        counts = Counter(feature for bag in bags for feature in bag)
        ranked = sorted(counts, key=lambda feature: (-counts[feature], feature))
        total = len(texts)
        self._many = total > _MANY
        self._sparse = len(ranked) if self._many else min(len(ranked), _COLUMNS)
        self._columns = {feature: rank for rank, feature in enumerate(ranked[: self._sparse])}
        self._idf = {feature: math.log((1 + total) / (1 + counts[feature])) + 1 for feature in ranked}
        about = min(_ABOUT, _FADING / math.sqrt(total / len(self.labels)))  # what is learnt from many needs no lexicon
        self._kinds = {NOTION: about, PAIR: _PAIR}
        self._strange = math.log(1 + total) + 1
        self._weight = math.sqrt(weight)
        dense = None if vectors is None else unit(vectors) * np.float32(self._weight)
        index = {label: place for place, label in enumerate(self.labels)}
        owner = np.array([index[label] for label in labels])
        rows = [self._vector(bag) for bag in bags]
        self._kernel: Kernel | None = None
        self._known = Counter[str]()  # words, and in how many phrases each is
        self._joined: Floats | None = None  # of the columns of vectors
        self._owner = owner
        fit = self._descended if self._many else partial(self._solved, texts=texts)
        self._weights, self.left_out, self._inside, outside = fit(rows, dense, owner, penalty)
        known = owner != index.get("", -1)
        right = self.left_out.argmax(axis=1) == owner
        letters = np.array([not chinese(text) for text in texts])
        shares = np.full(len(outside), max(1.0, _OUTSIDE * int(known.sum()) / max(len(outside), 1)))
        if len(outside) == total and not self._many:  # every phrase, its class left out
            shares = np.where(letters, _EASY, 1.0)
        self._curve = _calibrate(self._inside[known], right[known], outside, shares)

    def _solved(
        self, rows: Sequence[Row], dense: Floats | None, owner: NDArray[Any], penalty: float, *, texts: Sequence[str]
    ) -> tuple[Floats, Doubles, Doubles, Doubles]:
        """In closed form: what each row gives, its scores had it been left out, and the points of both kinds."""
        classes = len(self.labels)
        self._kernel = Kernel(rows, self._sparse, np.array([not chinese(text) for text in texts]))
        square = self._kernel.square()
        near = nearest(square, owner, classes)
        square += 0 if dense is None else dense @ dense.T
        shares, alone, held = solve(square, owner, classes, penalty)
        self._joined = None if dense is None else dense.T @ shares
        words = [_words(text) for text in texts]
        self._known = Counter(word for said in words for word in said)
        unseen, foreign = self._unseen(words, owner)
        inside = _points(alone, near, unseen)
        held[np.arange(len(owner)), owner] = -np.inf  # a class that is left out cannot be guessed
        strange = owner == self.labels.index("") if "" in self.labels else np.zeros(len(owner), np.bool_)
        if classes == 1:
            return shares, alone, inside, inside[:0]
        if strange.sum() >= _ENOUGH:
            return shares, alone, inside, _points(held[strange], near[strange], foreign[strange])
        return shares, alone, inside, _points(_without_twins(held, owner), near, foreign)

    def _unseen(self, words: Sequence[set[str]], owner: NDArray[Any]) -> tuple[Doubles, Doubles]:
        """Of every phrase the share of words that nobody would know without it, and without its whole class."""
        own = Counter((word, label) for said, label in zip(words, owner.tolist(), strict=True) for word in said)
        alone = [sum(self._known[word] == 1 for word in said) / max(len(said), 1) for said in words]
        held = [
            sum(self._known[word] == own[word, label] for word in said) / max(len(said), 1)
            for said, label in zip(words, owner.tolist(), strict=True)
        ]
        apart = 0.0 if self._joined is not None else 1.0  # sentence vectors know words that the phrases do not
        return np.array(alone) * apart, np.array(held) * apart

    def _descended(
        self, rows: Sequence[Row], dense: Floats | None, owner: NDArray[Any], penalty: float
    ) -> tuple[Floats, Doubles, Doubles, Doubles]:
        """The same for many rows, step by step: each half judged by the other, strangers by a half without them."""
        del penalty
        if dense is not None:
            more = cast("NDArray[np.intp]", np.arange(self._sparse, self._sparse + dense.shape[1]))
            rows = [
                (np.concatenate([columns, more]), np.concatenate([values, vector]))
                for (columns, values), vector in zip(rows, dense, strict=True)
            ]
        size, classes = self._sparse + (0 if dense is None else dense.shape[1]), len(self.labels)
        order = np.random.default_rng(1).permutation(len(rows))
        half = np.zeros(len(rows), np.bool_)
        half[order[::2]] = True
        strange = owner == self.labels.index("") if "" in self.labels else owner % _TENTH == 0

        def taught(chosen: Flags) -> Floats:
            places = [int(place) for place in np.flatnonzero(chosen)]
            return descend([rows[place] for place in places], owner[places], size, classes)

        alone = np.empty((len(rows), classes), np.float64)
        for part in (half, ~half):
            weights = taught(~part)
            for place in map(int, np.flatnonzero(part)):
                alone[place] = judge(rows[place], weights)
        weights = taught(~half & ~strange)
        outside = np.array([judge(rows[place], weights) for place in map(int, np.flatnonzero(strange & half))])
        weights = taught(np.ones(len(rows), np.bool_))
        self._joined = None if dense is None else weights[self._sparse :]
        return weights[: self._sparse], alone, _points(alone), _points(outside.reshape(-1, classes))

    def guess(self, text: str, allowed: Collection[str] | None = None, vector: Sequence[float] | None = None) -> Guess:
        """Label one normalised text, with one of `allowed` where that is given (and holds any label), or with "".

        `vector` is the text's own, for a classifier that was trained with vectors.
        """
        scores, like = self._scores(text)
        if vector is not None and self._joined is not None:
            scores = scores + (unit([vector])[0] * np.float32(self._weight)) @ self._joined
        scores = softmax(scores) if self._many else scores
        if allowed is not None:
            scores = np.where([not label or label in allowed for label in self.labels], scores, np.float32(-1))
        if like is None:
            return self._guess(scores.astype(np.float64))
        words = _words(text) if self._joined is None else set[str]()
        unknown = sum(word not in self._known for word in words) / max(len(words), 1)
        return self._guess(scores.astype(np.float64), float(like[self._owner == scores.argmax()].max()), unknown)

    def ranked(self, text: str) -> list[str]:
        """Every label, the likeliest for a normalised text first."""
        scores, _ = self._scores(text)
        return [self.labels[int(place)] for place in np.argsort(-scores, kind="stable")]

    def held_out(self) -> list[Guess]:
        """For every training text, in order: the guess of a classifier that had not seen it."""
        beside = self._inside[:, 2:4].tolist()
        return [self._guess(row, *more) for row, more in zip(self.left_out, beside, strict=True)]

    def _guess(self, scores: Doubles, near: float = 0.0, unknown: float = 0.0) -> Guess:
        order = [int(place) for place in np.argsort(-scores, kind="stable")[:2]]
        first = float(scores[order[0]])
        second = float(scores[order[1]]) if len(order) > 1 else 0.0
        sure = _sigmoid(float(np.dot(self._curve, (first, first - max(second, 0.0), near, unknown, 1.0))))
        return Guess(self.labels[order[0]], sure, self.labels[order[1]] if len(order) > 1 else "")

    def _scores(self, text: str) -> tuple[Floats, Floats | None]:
        """Of every label, and how like each training text is, where it is asked of them."""
        columns, values = row = self._vector(marks(text))
        if self._kernel is not None:
            like = self._kernel.against(row, not chinese(text))
            return cast("Floats", like @ self._weights), like
        if not len(columns):
            return np.zeros(len(self.labels), np.float32), None
        return cast("Floats", values @ self._weights[columns]), None

    def _vector(self, bag: dict[str, int]) -> tuple[NDArray[np.intp], Floats]:
        """Columns and weights of the known features; the length counts the strange ones too."""
        columns: list[int] = []
        weights: list[float] = []
        length = 0.0
        for feature, count in bag.items():
            idf = self._idf.get(feature)
            weight = (1 + math.log(count) if count > 1 else 1.0) * (idf or self._strange)
            weight *= self._kinds.get(feature[:2], 1.0)
            length += weight * weight
            column = self._columns.get(feature)
            if column is not None:
                columns.append(column)
                weights.append(weight)
        scale = 1 / math.sqrt(length) if length else 0.0
        return np.array(columns, np.intp), np.array(weights, np.float32) * np.float32(scale)


def unit(vectors: Sequence[Sequence[float]]) -> Floats:
    """Vectors of length one; what is not finite counts as nothing."""
    found = np.nan_to_num(np.asarray(vectors, np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9)


def _without_twins(held: Doubles, owner: NDArray[Any]) -> Doubles:
    """Scores of classes that were left out, in which none can be taken for the one that it is taken for most.

    "Louder" without its class is "quieter" to everybody, but what is said out of scope of a flow seldom has a twin in
    it: with the twins there, the curve learns that near is not enough, and is right in few that it could be sure of.
    """
    found = held.copy()
    for label in range(held.shape[1] if held.shape[1] > _FEW else 0):
        block = np.flatnonzero(owner == label)
        taken = np.bincount(held[block].argmax(axis=1), minlength=held.shape[1])
        found[block, int(taken.argmax())] = -np.inf
    return found


def _calibrate(inside: Doubles, right: Flags, outside: Doubles, shares: Doubles) -> Doubles:
    """The curve from points to the chance of being right, by Newton's method from a prior.

    `inside` are the points of each row had it not been seen, `outside` those of strangers, each of which counts as much
    as its share. Where there are examples of what is out of scope, they stand for it; else classes that were left out.
    """
    shares = np.concatenate([np.ones(len(inside)), shares])
    points = np.vstack([inside, outside])
    answers = np.concatenate([right.astype(np.float64), np.zeros(len(outside))])
    curve = _PRIOR.copy()
    for _ in range(25):
        chance = 1 / (1 + np.exp(-np.clip(points @ curve, -30, 30)))
        slope = points.T @ (shares * (chance - answers)) + _STRENGTH * (curve - _PRIOR)
        bend = (points * (shares * chance * (1 - chance))[:, None]).T @ points + np.diag(_STRENGTH)
        step = np.linalg.solve(bend, slope)
        curve -= step
        if float(np.abs(step).max()) < 1e-6:
            break
    return cast("Doubles", np.maximum(curve, (0.0, 0.0, -np.inf, -np.inf, -np.inf)))


def _points(scores: Doubles, near: Floats | None = None, unknown: Doubles | None = None) -> Doubles:
    """The first score, its lead, the likest phrase of that class, the share of unknown words, and 1."""
    rows = np.arange(len(scores))
    ordered = np.sort(scores, axis=1)[:, ::-1]
    first = ordered[:, 0]
    second = np.maximum(ordered[:, 1], 0.0) if ordered.shape[1] > 1 else np.zeros(len(first))
    like = np.zeros(len(first)) if near is None else near[rows, scores.argmax(axis=1)]
    strange = np.zeros(len(first)) if unknown is None else unknown
    return np.column_stack([first, first - second, like, strange, np.ones(len(first))]).astype(np.float64)


def _words(text: str) -> set[str]:
    """The words of a text of letters; a Chinese one has no borders between them."""
    return set() if chinese(text) else set(text.split())


def _sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-min(max(value, -30.0), 30.0)))

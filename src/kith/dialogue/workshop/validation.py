"""Cross-validation of a flow's phrases: what is confused, and whether a confidence of 80 % is right in 80 of 100."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kith.dialogue.understanding.classifier import Classifier
from kith.dialogue.workshop.trial import Confusion, Score, confusions, scores

_BINS = 10


@dataclass(frozen=True, slots=True)
class Bin:
    """Guesses whose confidence lay between `low` and `high`: how many, how sure on average, how many of one right."""

    low: float
    high: float
    count: int
    sure: float
    right: float


@dataclass(frozen=True, slots=True)
class Doubt:
    """A phrase that a classifier which had not seen it takes for another intent's,
    surest first: reword or move it."""

    text: str
    intent: str
    guess: str
    confidence: float


@dataclass(frozen=True, slots=True)
class Validation:
    """What came out, shares 0 to 1. `accepted`: right and sure enough to answer; `wrong`: sure enough, and wrong.

    `matrix` says how many phrases of an intent were taken for which. `strangers` is the share refused of whole unseen
    intents, where none may be taken for the intent most like it. `error` is the expected calibration error where as
    much is said out of scope as in it, as confidence is meant.
    """

    folds: int
    phrases: int
    accuracy: float
    accepted: float
    wrong: float
    macro_f1: float
    error: float
    strangers: float
    scores: tuple[Score, ...]
    confusions: tuple[Confusion, ...]
    matrix: Mapping[str, Mapping[str, int]]
    bins: tuple[Bin, ...]
    doubts: tuple[Doubt, ...]


def cross_validate(pairs: Sequence[tuple[str, str]], threshold: float, folds: int = 5) -> Validation:
    """Judge normalised texts with their intents by `folds` classifiers, each trained without the fold it judges.

    Every tenth intent is left out whole in turn to see how many of its phrases are refused as out of scope.
    """
    rows: list[tuple[str, str, str, float]] = []
    for fold in range(folds):
        train, judged = _split(pairs, fold, folds)
        if not train or not judged:
            continue
        classifier = Classifier([text for text, _ in train], [label for _, label in train])
        for text, wanted in judged:
            guess = classifier.guess(text)
            rows.append((text, wanted, guess.label, guess.confidence))
    right = [wanted == got for _, wanted, got, _ in rows]
    judged_rows = list(zip(rows, right, strict=True))
    judged_scores = scores([(wanted, got) for _, wanted, got, _ in rows])
    strange = _strangers(pairs)
    points = [(sure, hit) for (_, _, _, sure), hit in zip(rows, right, strict=True)]
    points += [(sure, False) for sure in strange] * (len(rows) // max(len(strange), 1))
    bins = _bins(points)
    total = max(len(rows), 1)
    wrong = sorted((row for row in rows if row[1] != row[2]), key=lambda row: -row[3])
    return Validation(
        folds=folds,
        phrases=len(rows),
        accuracy=sum(right) / total,
        accepted=sum(hit and got != "" and sure >= threshold for (_, _, got, sure), hit in judged_rows) / total,
        wrong=sum(not hit and got != "" and sure >= threshold for (_, _, got, sure), hit in judged_rows) / total,
        macro_f1=sum(score.f1 for score in judged_scores) / max(len(judged_scores), 1),
        error=sum(found.count * abs(found.sure - found.right) for found in bins) / max(len(points), 1),
        strangers=sum(sure < threshold for sure in strange) / max(len(strange), 1),
        scores=judged_scores,
        confusions=confusions([(wanted, got, text) for text, wanted, got, _ in rows]),
        matrix=_matrix(rows),
        bins=bins,
        doubts=tuple(Doubt(*row) for row in wrong),
    )


def _matrix(rows: Sequence[tuple[str, str, str, float]]) -> dict[str, dict[str, int]]:
    """How many phrases of each intent were taken for which; "" is out of scope."""
    found: dict[str, dict[str, int]] = {wanted: {} for wanted in sorted({row[1] for row in rows})}
    for _, wanted, got, _ in rows:
        found[wanted][got] = found[wanted].get(got, 0) + 1
    return found


def _split(pairs: Sequence[tuple[str, str]], fold: int, folds: int) -> tuple[list[tuple[str, str]], ...]:
    """Stratified: of each intent every `folds`-th phrase is judged, the others train."""
    seen: dict[str, int] = {}
    train: list[tuple[str, str]] = []
    judged: list[tuple[str, str]] = []
    for text, label in pairs:
        place = seen[label] = seen.get(label, -1) + 1
        (judged if place % folds == fold else train).append((text, label))
    return train, judged


def _bins(points: Sequence[tuple[float, bool]]) -> tuple[Bin, ...]:
    found: list[Bin] = []
    for place in range(_BINS):
        inside = [p for p in points if min(int(p[0] * _BINS), _BINS - 1) == place]
        if inside:
            sure = sum(p[0] for p in inside) / len(inside)
            right = sum(p[1] for p in inside) / len(inside)
            found.append(Bin(place / _BINS, (place + 1) / _BINS, len(inside), sure, right))
    return tuple(found)


def _strangers(pairs: Sequence[tuple[str, str]]) -> list[float]:
    """How sure a classifier is of texts whose intent it has never seen, its twin aside (see `classifier`)."""
    labels = sorted({label for _, label in pairs})
    found: list[float] = []
    for label in labels[:: max(1, len(labels) // 10)] if len(labels) > 2 else ():
        rest = [(text, other) for text, other in pairs if other != label]
        classifier = Classifier([text for text, _ in rest], [other for _, other in rest])
        texts = [text for text, other in pairs if other == label]
        (twin, _), *_ = Counter(classifier.guess(text).label for text in texts).most_common(1)
        others = {other for _, other in rest} - ({twin} if len(labels) > 3 else set())
        found += [classifier.guess(text, others).confidence for text in texts]
    return found

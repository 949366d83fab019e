"""Trains the classifier of the content filter and writes src/kith/security/filter.npz.

Source: scripts/filter/*.txt, written by hand for Kith, and as more that is harmless the handbook and what
scripts/care/*.txt calls safe. Attacks are learnt plain and disguised; folds are cut between seeds, so that no disguise
of a seed judges itself.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

from benchmarks.disguise import Sample, drawn, mutated, read_set, words
from kith.security.folding import plain
from kith.security.grams import COLUMNS, features, windows

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "src" / "kith" / "security" / "filter.npz"
FOLDS = 3
MOST = 40  # sentences drawn from one template
STRENGTH = 60.0  # inverse of the penalty
LABELS = ("self_harm", "minors", "sexual", "violence", "hate", "illegal", "fraud", "injection")


def rows() -> tuple[list[Sample], list[int]]:
    """The samples, and for each the number of the seed that it comes from."""
    chance = random.Random(20)
    seeds = read_set(ROOT / "scripts" / "filter" / "attacks.txt")
    harmless = read_set(ROOT / "scripts" / "filter" / "benign.txt")
    found: list[tuple[Sample, int]] = []
    for number, seed in enumerate(seeds):
        found += [(seed, number)] * 2 + [(one, number) for one in mutated([seed], chance, 5)]
    for number, seed in enumerate(harmless, len(seeds)):
        found.append((seed, number))
        if chance.random() < 0.5:
            found += [(one, number) for one in mutated([seed], chance, 1)]
    number = len(seeds) + len(harmless)
    lists = words(ROOT / "scripts" / "filter" / "words.txt")
    for template in templates():
        number += 1
        for text in drawn(template.text, lists, chance, MOST):
            one = Sample(text, template.category)
            found.append((one, number))
            if chance.random() < 0.4:
                found += [(other, number) for other in mutated([one], chance, 1)]
    for template in everyday():
        number += 1
        found += [(Sample(text, ""), number) for text in drawn(template, lists, chance, MOST)]
    for page in sorted((ROOT / "src" / "kith" / "knowledge" / "handbook").rglob("*.md")):
        for paragraph in page.read_text("utf-8").split("\n\n"):
            number += 1
            found += [(Sample(piece, ""), number) for piece in windows(plain(paragraph))[:3]]
    return [sample for sample, _ in found], [number for _, number in found]


def templates() -> list[Sample]:
    """The templates over the lists of words; a harmless one has no category."""
    found: list[Sample] = []
    for name in ("attacks2", "benign2"):
        category = ""
        for line in (ROOT / "scripts" / "filter" / f"{name}.txt").read_text("utf-8").splitlines():
            if line.startswith("[") and line.endswith("]"):
                category = line[1:-1]
            elif line and not line.startswith("#"):
                found.append(Sample(line, category))
    return found


def everyday() -> list[str]:
    """Templates of what is said every day and harms nobody."""
    scripts = ROOT / "scripts"
    lines = (scripts / "filter" / "everyday.txt").read_text("utf-8").splitlines()
    for path in sorted((scripts / "care").glob("*.txt")):
        lines += [line[2:] for line in path.read_text("utf-8").splitlines() if line.startswith("- ")]
    return [line for line in lines if line and not line.startswith("#") and "<" not in line]


def matrix(samples: list[Sample]) -> Any:
    """One row a sample, unit length."""
    indices: list[int] = []
    values: list[float] = []
    starts = [0]
    for sample in samples:
        columns = features(plain(sample.text))
        indices += columns.tolist()
        values += [len(columns) ** -0.5] * len(columns)
        starts.append(len(indices))
    return csr_matrix((values, indices, starts), shape=(len(samples), 2 * COLUMNS), dtype=np.float64)


def fit(data: Any, wanted: Any) -> LogisticRegression:
    model = LogisticRegression(C=STRENGTH, solver="liblinear", class_weight={0: 1.0, 1: 3.0})
    return model.fit(data, wanted)


def main() -> None:
    samples, groups = rows()
    data = matrix(samples)
    if "--folds" in sys.argv:
        validate(data, samples, groups)
    weights, biases = [], []
    for label in LABELS:
        model = fit(data, np.array([sample.category == label for sample in samples], int))
        weights.append(model.coef_[0])
        biases.append(model.intercept_[0])
    kept = np.array(weights)
    scale = np.abs(kept).max(axis=1) / 127
    np.savez_compressed(
        TARGET,
        weights=np.round(kept / scale[:, None]).astype(np.int8),
        scale=scale.astype(np.float32),
        bias=np.array(biases, np.float32),
        labels=np.array(LABELS),
    )
    print(f"{len(samples)} samples, {TARGET.stat().st_size} bytes")


def validate(data: Any, samples: list[Sample], groups: list[int]) -> None:
    """What a model would catch that had seen neither the seed nor the template of what it judges."""
    fold = np.array([random.Random(group).randrange(FOLDS) for group in groups])
    harmless = np.array([not sample.category for sample in samples])
    left = np.zeros((len(samples), len(LABELS)))
    for place, label in enumerate(LABELS):
        wanted = np.array([sample.category == label for sample in samples], int)
        for number in range(FOLDS):
            model = fit(data[fold != number], wanted[fold != number])
            left[fold == number, place] = model.decision_function(data[fold == number])
    worst = left.max(axis=1)
    for allowed in (0.002, 0.005, 0.01, 0.02):
        cut = np.quantile(worst[harmless], 1 - allowed)
        print(f"at {allowed:.1%} of harmless: caught {np.mean(worst[~harmless] > cut):.1%}, cut {cut:.2f}")


if __name__ == "__main__":
    main()

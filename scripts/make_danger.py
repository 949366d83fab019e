"""Trains the layer that notices danger in words that no rule knows, and writes src/kith/dialogue/danger.npz.

Source: scripts/care/danger.txt and tests/dialogue/crisis.txt, written by hand for Kith, and the handbook and
scripts/filter/benign.txt as more that is harmless. Both bounds come from cross-validation in which all sentences of a
template are in one fold; tests/dialogue/unseen.txt has no part in any of it.
"""

from __future__ import annotations

import random
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

from kith.dialogue.crisis import bare, endangered, plain
from kith.dialogue.danger import COLUMNS, LABELS, features

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "src" / "kith" / "dialogue" / "danger.npz"
FOLDS = 5
DRAWN = 14  # sentences from one template at most
STRENGTH = 20.0  # inverse of the penalty
SURE, MAYBE = 0.02, 0.08  # of the harmless sentences, in cross-validation
MARKS = {"-": 0, "+": 1, "!": 2, "?": 3}
_SLOT = re.compile(r"\{([^{}]*)\}")


def drawn(template: str, chance: random.Random) -> list[str]:
    """Different sentences of one template."""
    slots = _SLOT.findall(template)
    ways = int(np.prod([len(slot.split("|")) for slot in slots])) if slots else 1
    found = {
        " ".join(_SLOT.sub(lambda slot: chance.choice(slot[1].split("|")), template).split())
        for _ in range(min(ways * 3, DRAWN * 3))
    }
    return sorted(found)[:DRAWN] if len(found) <= DRAWN else chance.sample(sorted(found), DRAWN)


def samples() -> tuple[list[str], list[int], list[int], list[float]]:
    """Sentences, their labels, the template from which each comes, and how much it counts."""
    chance = random.Random(7)
    rows: list[tuple[str, int, int, float]] = []
    lines = [
        line
        for name in ("scripts/care/danger.txt", "tests/dialogue/crisis.txt")
        for line in (ROOT / name).read_text("utf-8").splitlines()
        if line[:2] in ("+ ", "! ", "? ", "- ")
    ]
    lines += [
        "- " + line for line in (ROOT / "scripts/filter/benign.txt").read_text("utf-8").splitlines() if line[0] != "#"
    ]
    for group, line in enumerate(lines):
        texts = drawn(line[2:], chance)
        weight = 1.0 if len(texts) == 1 else 0.5
        rows += [(text, MARKS[line[0]], group, weight) for text in texts]
    for page in sorted((ROOT / "src/kith/knowledge/handbook").rglob("*.md")):
        found = [part for part in re.split(r"[\n。.]+", page.read_text("utf-8")) if 12 < len(part) < 160]
        rows += [(text, 0, len(lines) + number % 500, 0.5) for number, text in enumerate(found[::4])]
    texts, labels, groups, weights = zip(*rows, strict=True)
    return [bare(plain(text)) for text in texts], list(labels), list(groups), list(weights)


def matrix(texts: list[str]) -> Any:
    """The features of plain texts, one row each."""
    parts = [features(text) for text in texts]
    ends = np.cumsum([0, *(len(columns) for columns, _ in parts)])
    data = np.concatenate([values for _, values in parts])
    return csr_matrix((data, np.concatenate([columns for columns, _ in parts]), ends), (len(texts), COLUMNS))


def fitted(rows: Any, labels: Any, weights: Any) -> Any:
    """The model."""
    model = LogisticRegression(C=STRENGTH, max_iter=200, class_weight={0: 1, 1: 1.5, 2: 1.5, 3: 1})
    return model.fit(rows, labels, sample_weight=weights)


def bounds(chance: Any, labels: Any, shares: Any) -> tuple[float, float]:
    """The chances from which a sentence is danger, and from which it is worth a question.

    At most 2 % of the harmless sentences that look dangerous may count as danger, and 8 % as worth a question.
    """
    harmless = labels == 0

    def bound(scores: Any, share: float) -> float:
        order = np.argsort(-scores[harmless])
        passed = np.cumsum(shares[harmless][order]) / shares[harmless].sum()
        return float(scores[harmless][order][np.searchsorted(passed, share)])

    return bound(chance[:, 1] + chance[:, 2], SURE), bound(1 - chance[:, 0], MAYBE)


def kept(target: Path, model: Any, found: tuple[float, float]) -> str:
    """Write a model to a file with its bounds; returns what it weighs."""
    scale = np.abs(model.coef_).max(axis=1) / 127
    rows, bias = np.round(model.coef_ / scale[:, None]).astype(np.int8), model.intercept_.astype(np.float32)
    np.savez_compressed(
        target, rows=rows, scale=scale.astype(np.float32), bias=bias, bounds=np.array(found, np.float32)
    )
    return f"{target.name}: {target.stat().st_size / 1000:.0f} KB"


def main() -> None:
    """Train, say what cross-validation found, and write the file."""
    texts, given, group, weight = samples()
    labels, groups, weights = np.array(given), np.array(group), np.array(weight)
    shares = 1 / np.bincount(groups)[groups]
    weights = weights * shares**0.5  # a template of many sentences is little more than one of few
    rows, ruled = matrix(texts), np.array([endangered(text) for text in texts])
    fold = np.random.default_rng(5).permutation(groups.max() + 1)[groups] % FOLDS
    chance = np.zeros((len(texts), len(LABELS)))
    for number in range(FOLDS):
        rest = fold != number
        chance[~rest] = fitted(rows[rest], labels[rest], weights[rest]).predict_proba(rows[~rest])
    sure, maybe = bounds(chance, labels, shares)
    danger, asked = chance[:, 1] + chance[:, 2] >= sure, 1 - chance[:, 0] >= maybe
    print(f"{len(texts)} sentences of {groups.max() + 1} templates; sure from {sure:.3f}, maybe from {maybe:.3f}")
    for place, name in enumerate(LABELS):
        mine = labels == place
        found = [
            np.average(one[mine], weights=shares[mine])
            for one in (ruled, danger, danger | ruled, danger | ruled | asked)
        ]
        print(name, mine.sum(), "rules {:.3f}, layer {:.3f}, both {:.3f}, noticed {:.3f}".format(*found))
    if "--show" in sys.argv:
        for at in np.flatnonzero(((labels == 0) & danger) | (np.isin(labels, (1, 2)) & ~asked & ~ruled)):
            print(LABELS[labels[at]], np.round(chance[at], 2), texts[at])
    model = fitted(rows, labels, weights)
    print(kept(TARGET, model, (sure, maybe)))


if __name__ == "__main__":
    main()

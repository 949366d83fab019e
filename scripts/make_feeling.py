"""Trains the layer that knows feelings in words that no lexicon has, and writes src/kith/dialogue/care/feeling.npz.

    python -m scripts.make_feeling [--everyday clinc150-train-val.json] [--show]

Source: scripts/feelings/*.txt and scripts/moods.txt, written by hand for Kith; the phrases of the shipped flow, the
handbook and the lists of other tests as more without feeling. `--everyday` adds a share of the training part of
CLINC150 (Larson et al. 2019, CC BY 3.0; not part of Kith): the shipped file was made with it. In the cross-validation
neighbouring lines, which are often alike, and what comes of one template are in one fold. The bound was chosen on the
cross-validation. tests/dialogue/feelings.txt, written by somebody else, has no part in any of it.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from sklearn.linear_model import LogisticRegression

from kith.dialogue.care import feeling
from kith.dialogue.care.feeling import COLUMNS, LABELS, SHARES
from kith.dialogue.flows.flow import DEFAULT, load_flow
from kith.dialogue.understanding.traits import RARITY, features
from scripts import fitting

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "src" / "kith" / "dialogue" / "care" / "feeling.npz"
FOLDS = 5
BLOCK = 5  # neighbouring lines that are in one fold
EVERYDAY = 3000  # sentences of CLINC150
STRENGTH = 20.0  # inverse of the penalty
BOUNDS = (0.84, 0.65)  # chances of any feeling: on what was written without one, at most 5 % are exceeded
Row = tuple[str, int, int, float]


def written() -> list[Row]:
    """Sentences written for this: text, label, block, and how much it counts."""
    chance, group, rows = random.Random(7), 0, list[Row]()
    for path in [*sorted((ROOT / "scripts/feelings").glob("*.txt")), ROOT / "scripts/moods.txt"]:
        label, inside = 0, 0
        for line in path.read_text("utf-8").splitlines():
            if line.startswith("## "):
                label, inside, group = LABELS.index(line[3:].replace("none", "")), 0, group + 1
            elif line and not line.startswith("# "):
                group, inside = group + (inside == BLOCK), inside % BLOCK + 1
                texts = fitting.drawn(line, chance)
                rows += [(text, label, group, len(texts) ** -0.5) for text in texts]
        group += 1
    return rows


def borrowed(group: int, everyday: Path | None) -> list[Row]:
    """Sentences without feeling that were not written for this, from block `group` on."""
    said = [line.split("|")[0] for line in (ROOT / "tests/dialogue/entities.txt").read_text("utf-8").splitlines()]
    said += [line.split("=>")[0] for line in (ROOT / "tests/dialogue/facts.txt").read_text("utf-8").splitlines()]
    said += yaml.safe_load((ROOT / "tests/dialogue/wishes.yaml").read_text("utf-8"))
    said += [text for text, _ in load_flow(DEFAULT).rules.matcher.examples]
    rows = [(text, 0, group + number // BLOCK, 0.4) for number, text in enumerate(said) if text and text[0] != "#"]
    rows = [row for row in rows if not feeling.named(row[0])]
    group += len(said)
    for page in sorted((ROOT / "src/kith/knowledge/handbook").rglob("*.md")):
        found = [part for part in re.split(r"[\n。.]+", page.read_text("utf-8")) if 12 < len(part) < 160]
        rows += [(text, 0, group + number % 300, 0.3) for number, text in enumerate(found[::4])]
    if everyday is not None:
        asked = [row[0] for row in json.loads(everyday.read_text("utf-8"))["train"]]
        random.Random(1).shuffle(asked)
        rows += [(text, 0, group + 300 + number % 300, 0.4) for number, text in enumerate(asked[:EVERYDAY])]
    return rows


def fitted(rows: Any, labels: Any, weights: Any) -> Any:
    """The model."""
    return LogisticRegression(C=STRENGTH, max_iter=150, tol=1e-3).fit(rows, labels, sample_weight=weights)


def scores(name: str, found: Any, labels: Any, weights: Any) -> None:
    """Print how right answers are: all, each feeling, and how often one is found where none is."""
    each = list[float]()
    for place in range(len(LABELS)):
        hits = weights[(found == place) & (labels == place)].sum()
        each.append(2 * hits / (weights[found == place].sum() + weights[labels == place].sum()))
    right, calm = np.average(found == labels, weights=weights), labels == 0
    wrong = np.average(found[calm] > 0, weights=weights[calm])
    parts = [f"{label or 'none'} {score:.2f}" for label, score in zip(LABELS, each, strict=True)]
    print(f"{name}: accuracy {right:.3f}, macro-F1 {np.mean(each):.3f}, false {wrong:.3f};", *parts)


def calibration(chance: Any, labels: Any) -> None:
    """Print how often the likeliest label is right, by how likely it was."""
    best, right = chance.max(axis=1), chance.argmax(axis=1) == labels
    for low in (0.2, 0.4, 0.6, 0.8):
        part = (best >= low) & (best < low + 0.2 + (low == 0.8))
        print(f"said {best[part].mean():.2f}, right {right[part].mean():.2f} ({part.sum()})", end="; ")
    print()


def main() -> None:
    """Train, say what cross-validation found, and write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--everyday", type=Path)
    parser.add_argument("--show", action="store_true", help="list what cross-validation got wrong")
    given = parser.parse_args()
    own = written()
    texts, labelled, group, weight = zip(*own, *borrowed(own[-1][2] + 1, given.everyday), strict=True)
    labels, groups, weights = np.array(labelled), np.array(group), np.array(weight)
    counts = [feeling.counted(text) for text in texts]
    seen = [feeling.columns(*pair) for pair in zip(texts, counts, strict=True)]
    rarity = fitting.rarities(seen, COLUMNS)
    rows = fitting.matrix([features(one, rarity.astype(np.float32) / RARITY, SHARES) for one in seen], COLUMNS)
    fold = np.random.default_rng(5).permutation(groups.max() + 1)[groups] % FOLDS
    chance = np.zeros((len(texts), len(LABELS)), np.float32)
    for number in range(FOLDS):
        rest = fold != number
        chance[~rest] = fitted(rows[rest], labels[rest], weights[rest]).predict_proba(rows[~rest])
    mine = np.arange(len(texts)) < len(own)
    print(f"{len(texts)} sentences, {len(own)} written, of these without feeling {(labels[mine] == 0).sum()}")
    words = np.array([LABELS.index(feeling.named(text)) for text in texts])
    scores("lexicon", words[mine], labels[mine], weights[mine])
    for bounds in ((0.5, 0.5), (0.75, 0.55), (0.8, 0.6), (0.83, 0.65), (0.9, 0.7), BOUNDS):
        found = np.array([LABELS.index(feeling.decided(*pair, bounds)) for pair in zip(chance, counts, strict=True)])
        scores(f"bounds {bounds}", found[mine], labels[mine], weights[mine])
        print(f"  on what was borrowed {(found[~mine] > 0).mean():.4f}")
    calibration(chance[mine], labels[mine])
    if given.show:
        for at in np.flatnonzero(mine & (found != labels)):
            print(LABELS[labels[at]] or "none", "->", LABELS[found[at]] or "none", chance[at].max().round(2), texts[at])
    row, scale, bias = fitting.pressed(fitted(rows, labels, weights))
    np.savez_compressed(TARGET, rows=row, scale=scale, bias=bias, rarity=rarity, bounds=np.array(BOUNDS, np.float32))
    print(f"{TARGET.name}: {TARGET.stat().st_size / 1000:.0f} KB")


if __name__ == "__main__":
    main()

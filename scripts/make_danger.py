"""Trains the layer that notices danger in words that no rule knows, and writes src/kith/dialogue/care/danger.npz.

    python -m scripts.make_danger [--everyday clinc150-train-val.json] [--show] [--quick] [--without blind]

Source: scripts/care/*.txt and tests/dialogue/{crisis,unseen,blind}.txt, written by hand for Kith; the phrases of the
shipped flow, the handbook, and the lists of the content filter and of other tests as more that is harmless.
`--everyday` adds a share of the training part of CLINC150 (Larson et al. 2019, CC BY 3.0; not part of Kith) as everyday
requests: the shipped file was made with it. In the cross-validation (left out by `--quick`) all sentences of a
template, and neighbouring lines of a theme, are in one fold. `--without blind` leaves that file out of training, to
choose on it. scripts/care/held/*.txt, themes of three other hands, are never trained on: the
bounds are chosen on them, and what is found in them is said at the end. tests/dialogue/blind2.txt to blind4.txt,
written by others, have no part in any of it.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from scipy.sparse import csr_matrix
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

from kith.dialogue.care.crisis import bare, endangered, plain, sentences
from kith.dialogue.care.danger import COLUMNS, LABELS, LINE, NARROW, RARITY, columns, features, shipped
from kith.dialogue.care.worry import judged
from kith.dialogue.flows.flow import DEFAULT, load_flow
from scripts import fitting

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "src" / "kith" / "dialogue" / "care" / "danger.npz"
FORMER = ("crisis", "unseen", "blind")
FOLDS = 5
BLOCK = 5  # neighbouring lines of a theme that are in one fold
EVERYDAY = 10_000  # sentences of CLINC150
STRENGTH = 20.0  # inverse of the penalty
UNITS, ROUNDS = 24, 8  # of the net, and of its training
SHORTEST = 6  # characters of a sentence of a long text that is learnt by itself
COUNTS = np.array([1, 1.2, 1.2, 0.8])  # how much each label counts
BOUNDS = (0.93, 0.46, 0.45)  # chances for the script, for a question with help lines, for a question: chosen on
# sentences that are not trained on, and on everyday messages
MARKS = {"-": 0, "+": 1, "!": 2, "?": 3}
Row = tuple[str, int, int, float]


def written(without: str = "") -> list[Row]:
    """Sentences written for this, one file of tests left out: text, label, block, and how much it counts."""
    chance, group, rows = random.Random(7), 0, list[Row]()
    paths = [
        *sorted((ROOT / "scripts/care").glob("*.txt")),
        *(ROOT / f"tests/dialogue/{n}.txt" for n in FORMER if n != without),
    ]
    for path in paths:
        themed, inside = False, 0
        for line in path.read_text("utf-8").splitlines():
            if line.startswith("## "):
                themed, group, inside = True, group + 1, 0
            elif line[:2] in ("+ ", "! ", "? ", "- "):
                group, inside = group + (not themed or inside == BLOCK), inside % BLOCK + 1
                texts = fitting.drawn(line[2:], chance)
                rows += [(text, MARKS[line[0]], group, len(texts) ** -0.5) for text in texts]
        group += 1
    return rows


def parts(own: list[Row]) -> list[Row]:
    """Each sentence of a long harmless text by itself, as messages are read."""
    return [
        (part, 0, group, 0.6)
        for text, label, group, _ in own
        if not label
        for part in sentences(plain(text))[:-1]
        if SHORTEST <= len(part) < len(text) - SHORTEST
    ]


def borrowed(group: int, everyday: Path | None) -> list[Row]:
    """Harmless sentences that were not written for this, from theme `group` on."""
    chance, rows = random.Random(3), list[Row]()
    for name in ("scripts/filter/benign", "scripts/filter/benign2", "tests/security/benign"):
        for line in (ROOT / f"{name}.txt").read_text("utf-8").splitlines():
            if line and line[0] != "#":
                group += 1
                rows += [(text, 0, group, 0.5) for text in fitting.drawn(line, chance)[:4]]
    said = [line.split("|")[0] for line in (ROOT / "tests/dialogue/entities.txt").read_text("utf-8").splitlines()]
    said += [line.split("=>")[0] for line in (ROOT / "tests/dialogue/facts.txt").read_text("utf-8").splitlines()]
    moods = (ROOT / "scripts/moods.txt").read_text("utf-8").splitlines()
    said += [line for line in moods if not line.startswith("#")]
    said += yaml.safe_load((ROOT / "tests/dialogue/wishes.yaml").read_text("utf-8"))
    rows += [(text, 0, group + number, 0.7) for number, text in enumerate(said) if text.strip() and text[0] != "#"]
    group += len(said)
    phrases = [text for text, _ in load_flow(DEFAULT).rules.matcher.examples if text]
    rows += [(text, 0, group + number % 300, 1.0) for number, text in enumerate(phrases)]
    group += 300
    for page in sorted((ROOT / "src/kith/knowledge/handbook").rglob("*.md")):
        found = [part for part in re.split(r"[\n。.]+", page.read_text("utf-8")) if 12 < len(part) < 160]
        rows += [(text, 0, group + number % 300, 0.5) for number, text in enumerate(found[::4])]
    group += 300
    daily = yaml.safe_load((ROOT / "benchmarks/chinese.yaml").read_text("utf-8")).values()
    said = [text for some in daily for text in some][1::2]  # the other half is measured on
    rows += [(text, 0, group + number % 300, 1.0) for number, text in enumerate(said)]
    group += 300
    if everyday is not None:
        asked = [row[0] for row in json.loads(everyday.read_text("utf-8"))["train"]]
        random.Random(1).shuffle(asked)
        rows += [(text, 0, group + number % 300, 0.6) for number, text in enumerate(asked[:EVERYDAY])]
    return rows


def rarities(texts: list[str]) -> Any:
    """How rare each column is, in bytes; 0 where it was never seen."""
    return fitting.rarities([columns(text) for text in texts], COLUMNS)


def matrix(texts: list[str], rarity: Any) -> Any:
    """The features of plain texts, one row each."""
    return fitting.matrix([features(text, rarity.astype(np.float32) / RARITY) for text in texts], COLUMNS)


@dataclass(frozen=True, slots=True)
class Fitted:
    """The regression and the net."""

    line: Any
    net: Any

    def chances(self, rows: Any) -> Any:
        """How probable each label is for each row."""
        return LINE * self.line.predict_proba(rows) + (1 - LINE) * self.net.predict_proba(narrowed(rows))


def narrowed(rows: Any) -> Any:
    """Rows with their columns folded to those of the net."""
    some = rows.tocoo()
    return csr_matrix((some.data, (some.row, some.col % NARROW)), (rows.shape[0], NARROW))


def fitted(rows: Any, labels: Any, weights: Any) -> Fitted:
    """The model."""
    counted = weights * COUNTS[labels]
    line = LogisticRegression(C=STRENGTH, max_iter=200).fit(rows, labels, sample_weight=counted)
    net = MLPClassifier((UNITS,), max_iter=ROUNDS, learning_rate_init=2e-3, batch_size=128, alpha=1e-3, random_state=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # to stop early is what keeps it general
        return Fitted(line, net.fit(narrowed(rows), labels, sample_weight=counted))


def kept(target: Path, model: Fitted, rarity: Any, found: tuple[float, ...]) -> str:
    """Write a model to a file with its bounds; returns what it weighs."""
    parts = {"line": (model.line.coef_, model.line.intercept_)}
    parts |= {name: (model.net.coefs_[at].T, model.net.intercepts_[at]) for at, name in enumerate(("inner", "outer"))}
    arrays: dict[str, Any] = {"rarity": rarity, "bounds": np.array(found, np.float32)}
    for name, (values, bias) in parts.items():
        rows, scale = fitting.bytes_of(values)
        arrays |= {f"{name}_rows": rows, f"{name}_scale": scale, f"{name}_bias": bias.astype(np.float32)}
    np.savez_compressed(target, **arrays)
    return f"{target.name}: {target.stat().st_size / 1000:.0f} KB"


def tried() -> None:
    """Say what the file that was written finds in the themes that were kept out, by kind and language."""
    shipped.cache_clear()
    chance, found = random.Random(7), dict[tuple[str, str], list[tuple[int, float]]]()
    for path in sorted((ROOT / "scripts/care/held").glob("*.txt")):
        for line in path.read_text("utf-8").splitlines():
            texts = fitting.drawn(line[2:], chance) if line[:2] in ("+ ", "! ", "? ", "- ") else []
            for text in texts:
                key = (LABELS[MARKS[line[0]]], path.stem[-2:])
                found.setdefault(key, []).append((judged(text).tier, 1 / len(texts)))
    for key, some in sorted(found.items()):
        tiers, weights = np.array(some).T
        shares = " ".join(f"{np.average(tiers >= least, weights=weights):.3f}" for least in (3, 2, 1))
        print(*key, f"{weights.sum():.0f} lines; script, help shown, any question: {shares}")


def main() -> None:
    """Train, say what cross-validation found, and write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--everyday", type=Path)
    parser.add_argument("--show", action="store_true", help="list what cross-validation got wrong")
    parser.add_argument("--quick", action="store_true", help="no cross-validation")
    parser.add_argument("--without", default="", choices=FORMER, help="a file of sentences that is not trained on")
    given = parser.parse_args()
    own = written(given.without)
    data = [*own, *borrowed(own[-1][2] + 1, given.everyday), *parts(own)]
    plains = [bare(plain(row[0])) for row in data]
    rarity = rarities(plains)
    rows, labels, weights = matrix(plains, rarity), np.array([row[1] for row in data]), np.array([r[3] for r in data])
    if not given.quick:
        judge(data, len(own), rows, given.show)
    print(kept(TARGET, fitted(rows, labels, weights), rarity, BOUNDS))
    tried()


def judge(data: list[Row], count: int, rows: Any, show: bool) -> None:
    """Say what cross-validation finds; the first `count` sentences were written for this."""
    texts, labelled, group, weight = zip(*data, strict=True)
    labels, groups, weights = np.array(labelled), np.array(group), np.array(weight)
    fold = np.random.default_rng(5).permutation(groups.max() + 1)[groups] % FOLDS
    chance = np.zeros((len(texts), len(LABELS)))
    for number in range(FOLDS):
        rest = fold != number
        chance[~rest] = fitted(rows[rest], labels[rest], weights[rest]).chances(rows[~rest])
    mine = np.arange(len(texts)) < count
    score = chance[:, 1] + chance[:, 2]
    ruled = np.array([bool(at < count and endangered(text)) for at, text in enumerate(texts)])
    danger, asked = score >= BOUNDS[0], 1 - chance[:, 0] >= BOUNDS[-1]
    print(f"{len(texts)} sentences, {count} written, {groups[mine].max()} blocks")
    for place, name in [*enumerate(LABELS), (0, "borrowed")]:
        part = (labels == place) & (mine if name != "borrowed" else ~mine)
        found = [float(one[part].mean()) for one in (ruled, danger, danger | ruled, danger | ruled | asked)]
        print(name, part.sum(), "rules {:.3f}, layer {:.3f}, both {:.3f}, noticed {:.3f}".format(*found))
    if show:
        for at in np.flatnonzero(((labels == 0) & mine & danger) | (np.isin(labels, (1, 2)) & ~asked & ~ruled)):
            print(LABELS[labels[at]], np.round(chance[at], 2), texts[at])


if __name__ == "__main__":
    main()

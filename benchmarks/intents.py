"""How well and how fast intents are recognised, beside scikit-learn's TF-IDF with logistic regression in the same run.

``python -m benchmarks.intents --data clinc150-train-val.json [--phrases 20] [--intents 100] [--json]``

The data are a JSON file ``{"train": [[text, intent], …], "val": […], "oos_val": […]}`` such as CLINC150 (Larson et al.
2019). Without them the shipped flow and a Chinese set are measured, by five folds over their phrases. Both see the
same normalised texts. What is out of scope is refused below a threshold that lets both accept equally many in scope.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # for both sides, and before numpy is loaded

import numpy as np
import yaml
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from benchmarks.report import Row, report
from kith.dialogue.classifier import Classifier
from kith.dialogue.flow import DEFAULT, load_flow
from kith.dialogue.labelled import load_labelled
from kith.dialogue.normal import normal

Pairs = list[tuple[str, str]]
Judge = Callable[[str], tuple[str, float]]

PEER = "scikit-learn"


def kith_trained(train: Pairs) -> Judge:
    classifier = Classifier([text for text, _ in train], [label for _, label in train])

    def judge(text: str) -> tuple[str, float]:
        guess = classifier.guess(text)
        return guess.label, guess.confidence

    return judge


def peer_trained(train: Pairs) -> Judge:
    vectors = TfidfVectorizer(analyzer="char", ngram_range=(1, 3), sublinear_tf=True)
    model = make_pipeline(vectors, LogisticRegression(C=10, max_iter=300))
    model.fit([text for text, _ in train], [label for _, label in train])

    def judge(text: str) -> tuple[str, float]:
        chances = model.predict_proba([text])[0]
        return str(model.classes_[chances.argmax()]), float(chances.max())

    return judge


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    started = time.process_time()
    result = work()
    return result, time.process_time() - started


def compare(name: str, train: Pairs, judged: Pairs, strangers: Sequence[str]) -> list[Row]:
    """Train both, judge the same texts, one at a time. Times are of the processor, so that neighbours count little."""
    figures: list[dict[str, float]] = []
    for make in (kith_trained, peer_trained):
        judge, training = timed(lambda make=make: make(train))
        answers, judging = timed(lambda judge=judge: [judge(text) for text, _ in judged])
        sure = np.array([confidence for _, confidence in answers])
        right = np.array([label == wanted for (label, _), (_, wanted) in zip(answers, judged, strict=True)])
        accept = np.quantile(sure, 0.2)  # four of five in scope are accepted
        refused = [judge(text)[1] < accept for text in strangers]
        figures.append(
            {
                "accuracy %": 100 * float(right.mean()),
                "right of the 80 % surest %": 100 * float(right[sure >= accept].mean()),
                "out of scope refused %": 100 * float(np.mean(refused)) if refused else float("nan"),
                "training s(CPU)": training,
                "message µs(CPU)": 1e6 * judging / len(judged),
            }
        )
    kith, peer = figures
    rows = [(key.rsplit(" ", 1), kith[key], peer[key]) for key in kith]
    return [Row(f"{name}: {what}", a, unit, b, PEER) for (what, unit), a, b in rows]


def shipped() -> list[Row]:
    """Five folds over the phrases of the flow that comes with Kith: every phrase a way to say it that was not seen."""
    flow = load_flow(DEFAULT)
    pairs = [pair for pair in flow.rules.matcher.examples if pair[0]]
    order = np.random.default_rng(0).permutation(len(pairs))
    folds = [
        compare("shipped flow", [pairs[i] for i in order if i % 5 != k], [pairs[i] for i in order if i % 5 == k], ())
        for k in range(5)
    ]
    means = [
        Row(rows[0].name, fmean(r.figure for r in rows), rows[0].unit, fmean(r.peer for r in rows), PEER)
        for rows in zip(*folds, strict=True)
    ]
    return [row for row in means if "scope" not in row.name]


def chinese() -> list[Row]:
    """Five folds over the Chinese intents beside this file, dealt out evenly; every tenth intent is a stranger."""
    data: dict[str, list[str]] = yaml.safe_load((Path(__file__).parent / "chinese.yaml").read_text("utf-8"))
    strange = set(sorted(data)[::10])
    pairs = [(normal(text), label, place % 5) for label in sorted(data) for place, text in enumerate(data[label])]
    known = [pair for pair in pairs if pair[1] not in strange]
    strangers = [text for text, label, _ in pairs if label in strange]
    name = f"Chinese {len(data) - len(strange)} intents"
    folds = [
        compare(name, [(t, i) for t, i, k in known if k != fold], [(t, i) for t, i, k in known if k == fold], strangers)
        for fold in range(5)
    ]
    return [
        Row(rows[0].name, fmean(r.figure for r in rows), rows[0].unit, fmean(r.peer for r in rows), PEER)
        for rows in zip(*folds, strict=True)
    ]


def labelled(train: Path, test: Path) -> list[Row]:
    """Data as MASSIVE (JSON Lines) and BANKING77 (CSV) publish them."""
    learned = [(normal(text), label) for text, label in load_labelled(train)]
    judged = [(normal(text), label) for text, label in load_labelled(test, "test")]
    return compare(train.stem, learned, judged, ())


def clinc(path: Path, intents: int, phrases: int) -> list[Row]:
    """`phrases` training phrases, chosen by chance, of each of the first `intents`; judged on the validation part."""
    data: dict[str, list[list[str]]] = json.loads(path.read_text("utf-8"))
    random = np.random.default_rng(0)
    grouped: dict[str, list[str]] = {}
    for text, label in data["train"]:
        grouped.setdefault(label, []).append(text)
    chosen = sorted(grouped)[:intents]
    train = [
        (normal(grouped[label][place]), label)
        for label in chosen
        for place in random.permutation(len(grouped[label]))[:phrases]
    ]
    judged = [(normal(text), label) for text, label in data["val"] if label in set(chosen)]
    strangers = [normal(text) for text, _ in data["oos_val"]]
    return compare(f"CLINC150 {len(chosen)} x {phrases}", train, judged, strangers)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--train", type=Path, help="labelled data as MASSIVE or BANKING77 publish them")
    parser.add_argument("--test", type=Path, help="the part to judge on; with --train")
    parser.add_argument("--intents", type=int, default=100)
    parser.add_argument("--phrases", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    rows = shipped() + chinese() + (labelled(given.train, given.test) if given.train and given.test else [])
    rows += clinc(given.data, given.intents, given.phrases) if given.data else []
    report("intents", rows, given.json)


if __name__ == "__main__":
    main()

"""How well and how fast intents are recognised, beside scikit-learn's TF-IDF with logistic regression in the same run.

``python -m benchmarks.intents --data clinc150-train-val.json [--phrases 20] [--intents 100] [--encoder FILE] [--json]``
``python -m benchmarks.intents --only --data clinc150-train-val.json --phrases 100 --intents 150`` is the whole of it.

The data are a JSON file ``{"train": [[text, intent], …], "val": […], "oos_val": […]}`` such as CLINC150 (Larson et al.
2019). Without them the shipped flow and a Chinese set are measured, by five folds over their phrases. Both see the
same normalised texts. What is out of scope is refused below a threshold that lets both accept equally many in scope;
with ``oos_train`` in the file both learn it as a class of its own. "F1 of refusing" is of what is out of scope, at the
flow's own threshold for Kith and at its best threshold on these very texts for the peer, which favours the peer; "best
F1" is at the best threshold of each.

With ``--encoder`` (a GGUF or ONNX file of an embedding model) Kith is measured again with sentence vectors beside the
n-grams. No such model comes with Kith; ``scripts/make_encoder.py`` makes an ONNX file of a published one. Rasa's DIET
is measured by `benchmarks.diet`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
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
from kith.core.clock import SystemClock
from kith.core.errors import Invalid
from kith.dialogue.flows.flow import DEFAULT, load_flow
from kith.dialogue.flows.layers import best
from kith.dialogue.understanding.classifier import Classifier
from kith.dialogue.understanding.normal import normal
from kith.dialogue.workshop.labelled import load_labelled
from kith.models import ModelService, ModelSettings
from kith.runtime.supervisor import Supervisor

Pairs = list[tuple[str, str]]
Embed = Callable[[Sequence[str]], list[Sequence[float]]]
Judge = Callable[[str], tuple[str, float]]

PEER = "scikit-learn"
NOWHERE = "范围外"
THRESHOLD = 0.4  # a flow's own, unless it says otherwise


def kith_trained(train: Pairs) -> Judge:
    classifier = Classifier([text for text, _ in train], [label for _, label in train])

    def judge(text: str) -> tuple[str, float]:
        guess = classifier.guess(text)
        return guess.label, guess.confidence

    return judge


def vectored(train: Pairs, embed: Embed) -> Judge:
    """Kith with sentence vectors of an encoder; the n-grams alone where vectors do not help."""
    texts, labels = [text for text, _ in train], [label for _, label in train]
    classifier = best(texts, labels, embed(texts)) or Classifier(texts, labels)

    def judge(text: str) -> tuple[str, float]:
        guess = classifier.guess(text, None, embed([text])[0])
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


def compare(
    name: str, train: Pairs, judged: Pairs, strangers: Sequence[str], make: Callable[[Pairs], Judge] = kith_trained
) -> list[Row]:
    """Train both, judge the same texts, one at a time. Times are of the processor, so that neighbours count little."""
    figures: list[dict[str, float]] = []
    for trained in (make, peer_trained):
        judge, training = timed(lambda trained=trained: trained(train))
        answers, judging = timed(lambda judge=judge: [judge(text) for text, _ in judged])
        # a refusal by the class "" is as sure as nothing else
        sure = np.array([confidence if label else 0.0 for label, confidence in answers])
        right = np.array([label == wanted for (label, _), (_, wanted) in zip(answers, judged, strict=True)])
        accept = np.quantile(sure, 0.2)  # four of five in scope are accepted
        strange = np.array([confidence if label else 0.0 for label, confidence in map(judge, strangers)])
        own = trained is not peer_trained
        top, at = max((f1(sure, strange, at), at) for at in np.linspace(0.01, 0.99, 99))
        cut = THRESHOLD if own else at
        figures.append(
            {
                "accuracy %": 100 * float(right.mean()),
                "right of the 80 % surest %": 100 * float(right[sure >= accept].mean()),
                "out of scope refused %": 100 * float((strange < accept).mean()) if len(strange) else float("nan"),
                "right and accepted %": 100 * float((right & (sure >= cut)).mean()),
                "recall of refusing %": 100 * float((strange < cut).mean()) if len(strange) else float("nan"),
                "F1 of refusing %": 100 * f1(sure, strange, cut) if len(strange) else float("nan"),
                "best F1 of refusing %": 100 * top if len(strange) else float("nan"),
                "training s(CPU)": training,
                "message µs(CPU)": 1e6 * judging / len(judged),
            }
        )
    kith, peer = figures
    rows = [(key.rsplit(" ", 1), kith[key], peer[key]) for key in kith]
    return [Row(f"{name}: {what}", a, unit, b, PEER) for (what, unit), a, b in rows]


def f1(sure: Any, strange: Any, cut: float) -> float:
    """Of refusing what is out of scope below `cut`."""
    refused, wrongly = int((strange < cut).sum()), int((sure < cut).sum())
    return 2 * refused / max(len(strange) + refused + wrongly, 1)


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
    return [row for row in means if "scope" not in row.name and "refusing" not in row.name]


def phrases() -> tuple[dict[str, list[str]], list[str]]:
    """The Chinese intents beside this file, and what belongs to none of them."""
    data: dict[str, list[str]] = yaml.safe_load((Path(__file__).parent / "chinese.yaml").read_text("utf-8"))
    return data, [normal(text) for text in data.pop(NOWHERE)]


def chinese() -> list[Row]:
    """Five folds over the Chinese intents, dealt out evenly; every tenth intent is a stranger, and so is what belongs
    to none."""
    data, strangers = phrases()
    strange = set(sorted(data)[::10])
    pairs = [(normal(text), label, place % 5) for label in sorted(data) for place, text in enumerate(data[label])]
    known = [pair for pair in pairs if pair[1] not in strange]
    strangers += [text for text, label, _ in pairs if label in strange]
    name = f"Chinese {len(data) - len(strange)} intents"
    folds = [
        compare(name, [(t, i) for t, i, k in known if k != fold], [(t, i) for t, i, k in known if k == fold], strangers)
        for fold in range(5)
    ]
    return [
        Row(rows[0].name, fmean(r.figure for r in rows), rows[0].unit, fmean(r.peer for r in rows), PEER)
        for rows in zip(*folds, strict=True)
    ]


def unseen(path: Path) -> list[Row]:
    """All the Chinese intents, judged on a file of the same form that somebody else wrote."""
    data, _ = phrases()
    judged: dict[str, list[str]] = yaml.safe_load(path.read_text("utf-8"))
    strangers = [normal(text) for label, texts in judged.items() if label not in data for text in texts]
    return compare(
        f"Chinese {len(data)} intents, {path.stem}",
        [(normal(text), label) for label, texts in data.items() for text in texts],
        [(normal(text), label) for label in data for text in judged.get(label, ())],
        strangers,
    )


def labelled(train: Path, test: Path) -> list[Row]:
    """Data as MASSIVE (JSON Lines) and BANKING77 (CSV) publish them."""
    learned = [(normal(text), label) for text, label in load_labelled(train)]
    judged = [(normal(text), label) for text, label in load_labelled(test, "test")]
    return compare(train.stem, learned, judged, ())


def parts(path: Path) -> dict[str, Pairs]:
    """CLINC150, as it is published. Raises `Invalid` where that is not what the file is."""
    found = {part: load_labelled(path, part) for part in ("train", "val", "oos_val")}
    try:
        found["oos_train"] = load_labelled(path, "oos_train")
    except Invalid:
        found["oos_train"] = []  # then nobody learns it
    return found


def drawn(data: dict[str, Pairs], intents: int, phrases: int) -> tuple[Pairs, Pairs]:
    """`phrases` training phrases, chosen by chance, of each of the first `intents`, and what these are judged on."""
    random = np.random.default_rng(0)
    grouped: dict[str, list[str]] = {}
    for text, label in data["train"]:
        grouped.setdefault(label, []).append(text)
    chosen = sorted(grouped)[:intents]
    train = [
        (grouped[label][place], label)
        for label in chosen
        for place in random.permutation(len(grouped[label]))[:phrases]
    ]
    return train, [(text, label) for text, label in data["val"] if label in set(chosen)]


def clinc(
    path: Path, intents: int, phrases: int, make: Callable[[Pairs], Judge] = kith_trained, name: str = ""
) -> list[Row]:
    """`phrases` training phrases, chosen by chance, of each of the first `intents`; judged on the validation part."""
    data = parts(path)
    train, judged = ([(normal(text), label) for text, label in some] for some in drawn(data, intents, phrases))
    chosen = {label for _, label in train}
    train += [(normal(text), "") for text, _ in data["oos_train"]]
    strangers = [normal(text) for text, _ in data["oos_val"]]
    return compare(f"CLINC150 {len(chosen)} x {phrases}{name}", train, judged, strangers, make)


@contextmanager
def embedding(path: Path) -> Generator[Embed]:
    """Vectors of an encoder file, loaded as a household loads it."""
    runner = asyncio.Runner()
    with runner, tempfile.TemporaryDirectory() as folder:
        clock = SystemClock()
        supervisor = Supervisor(clock)
        settings = ModelSettings(name="encoder", path=str(path), type="embedding")
        service = ModelService([settings], clock, supervisor, Path(folder))
        runner.run(service.start())

        def embed(texts: Sequence[str]) -> list[Sequence[float]]:
            found: list[Sequence[float]] = []
            for start in range(0, len(texts), 64):
                found += runner.run(service.embed(texts[start : start + 64]))
            return found

        try:
            yield embed
        finally:
            runner.run(service.stop())


def encoded(path: Path, data: Path, intents: int, phrases: int) -> list[Row]:
    """CLINC150 with the vectors of an encoder file."""
    with embedding(path) as embed:
        return clinc(data, intents, phrases, lambda train: vectored(train, embed), f" + {path.stem}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--train", type=Path, help="labelled data as MASSIVE or BANKING77 publish them")
    parser.add_argument("--test", type=Path, help="the part to judge on; with --train")
    parser.add_argument("--unseen", type=Path, help="Chinese phrases as in chinese.yaml that had no part in anything")
    parser.add_argument("--intents", type=int, default=100)
    parser.add_argument("--phrases", type=int, default=20)
    parser.add_argument("--encoder", type=Path, help="a GGUF or ONNX file of an embedding model; with --data")
    parser.add_argument("--only", action="store_true", help="leave out the shipped flow and the Chinese intents")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    try:
        report("intents", measure(given), given.json)
    except Invalid as error:
        faults = "; ".join(
            f"line {fault.line} {fault.reason}" if fault.line else fault.reason for fault in error.faults
        )
        raise SystemExit(f"{error.message}: {faults}") from None


def measure(given: argparse.Namespace) -> list[Row]:
    """All that was asked for."""
    rows = [] if given.only else shipped() + chinese()
    rows += unseen(given.unseen) if given.unseen else []
    rows += labelled(given.train, given.test) if given.train and given.test else []
    rows += clinc(given.data, given.intents, given.phrases) if given.data else []
    if given.data and given.encoder:
        rows += encoded(given.encoder, given.data, given.intents, given.phrases)
    return rows


if __name__ == "__main__":
    main()

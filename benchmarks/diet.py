"""Understanding beside Rasa's DIET and scikit-learn: Kith, both peers, the same phrases and texts, in one run.

``python -m benchmarks.diet --rasa PYTHON FILE [--phrases 6 10] [--epochs 100] [--encoder FILE] [--chinese 6] [--json]``

PYTHON is that of an environment with Rasa, made for this alone: ``uv venv --python 3.10 /tmp/rasa`` and
``uv pip install --python /tmp/rasa/bin/python rasa==3.6.21 jieba``. FILE is CLINC150 as `benchmarks.intents` reads it:
so many phrases of each intent, chosen by chance, and as many that are out of scope, as a class of their own for
everybody; judged on the validation part. ``--chinese`` adds one fold in five of ``chinese.yaml``, so many phrases of
each intent, with nothing out of scope shown. Without FILE it is Chinese alone.

Rasa's pipeline is the one that ``rasa init`` gives, with its batch sizes; for Chinese its `JiebaTokenizer` stands for
the one that splits at spaces. Texts go to everybody as they are written. Each contender is a process of its own, with
one thread; seconds are of the processor. "Given" is what is above the contender's own threshold: Kith's 0.4 of a flow,
Rasa's `FallbackClassifier` as it is shipped, and for scikit-learn the threshold that suits it best on these very texts.
"At 90 % refused" is at the threshold of each that refuses nine tenths of what is out of scope: how well confidence
tells right from strange, whatever its scale. "Size" is what has to be installed: the distribution and what it needs,
without extras.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # for every side, and before numpy is loaded

import numpy as np

from benchmarks.intents import (
    THRESHOLD,
    Judge,
    Pairs,
    drawn,
    embedding,
    f1,
    kith_trained,
    parts,
    peer_trained,
    phrases,
    vectored,
)
from benchmarks.report import Row, machine, report
from benchmarks.trainer import installed, peak
from kith.dialogue.understanding.normal import normal

KITH, JOINED, SKLEARN, DIET = "Kith", "Kith + encoder", "scikit-learn", "DIET"
OUTSIDE = "oos"  # the name of what is out of scope, for Rasa
SEEN = 300  # phrases of the training part that are judged too


@dataclass(frozen=True, slots=True)
class Task:
    """What everybody learns and is judged on; the label "" is out of scope."""

    name: str
    train: Pairs
    judged: Pairs
    strangers: list[str]
    language: str = "en"

    def seen(self) -> Pairs:
        """Some of what was learnt, to show how far training went."""
        return [self.train[place] for place in np.random.default_rng(1).permutation(len(self.train))[:SEEN]]

    def texts(self) -> list[str]:
        return [text for text, _ in self.judged] + self.strangers + [text for text, _ in self.seen()]


def clinc(path: Path, count: int, intents: int) -> Task:
    """`count` phrases of each of the first `intents`, the same as `benchmarks.intents` takes."""
    data = parts(path)
    train, judged = drawn(data, intents, count)
    name = f"CLINC150 {len({label for _, label in train})} x {count}"
    train += [(text, "") for text, _ in data["oos_train"][:count]]
    return Task(name, train, judged, [text for text, _ in data["oos_val"]])


def chinese(count: int) -> Task:
    """The first of the five folds of `benchmarks.intents`, `count` phrases of each intent of it; every tenth intent is
    a stranger."""
    data, strangers = phrases()
    strange = set(sorted(data)[::10])
    strangers += [text for label in sorted(strange) for text in data[label]]
    known = sorted(set(data) - strange)
    train = [(text, label) for label in known for text in [t for k, t in enumerate(data[label]) if k % 5][:count]]
    return Task(
        f"Chinese {len(known)} x {min(count, len(train) // len(known))}",
        train,
        [(text, label) for label in known for text in data[label][::5]],
        strangers,
        "zh",
    )


def pipeline(task: Task, epochs: int) -> dict[str, Any]:
    """Rasa's configuration: what ``rasa init`` gives, with its numbers."""
    return {
        "recipe": "default.v1",
        "assistant_id": "kith-benchmark",
        "language": task.language,
        "pipeline": [
            {"name": "WhitespaceTokenizer" if task.language == "en" else "JiebaTokenizer"},
            {"name": "RegexFeaturizer"},
            {"name": "LexicalSyntacticFeaturizer"},
            {"name": "CountVectorsFeaturizer"},
            {"name": "CountVectorsFeaturizer", "analyzer": "char_wb", "min_ngram": 1, "max_ngram": 4},
            {"name": "DIETClassifier", "epochs": epochs, "random_seed": 0},
            {"name": "EntitySynonymMapper"},
            {"name": "FallbackClassifier", "threshold": 0.3, "ambiguity_threshold": 0.1},
        ],
    }


def contend(name: str, request: dict[str, Any]) -> dict[str, Any]:
    """One of ours, in this process: what `benchmarks.trainer` answers for Rasa."""
    learned = [(normal(text), label) for text, label in request["train"]]

    def measured(train: Callable[[Pairs], Judge]) -> dict[str, Any]:
        busy = time.process_time()
        judge = train(learned)
        training = time.process_time() - busy
        judge(normal(request["texts"][0]))
        busy = time.process_time()
        answers = [(*judge(normal(text)), False) for text in request["texts"]]
        return {"answers": answers, "training": training, "reading": time.process_time() - busy}

    if request.get("encoder"):
        with embedding(Path(request["encoder"])) as embed:
            figures = measured(lambda pairs: vectored(pairs, embed))
    else:
        figures = measured(peer_trained if name == SKLEARN else kith_trained)
    size = installed("scikit-learn") if name == SKLEARN else installed("kith") + folder_size()
    return figures | {"peak": peak(), "installed": size}


def folder_size() -> float:
    """MiB of Kith itself, which is not counted where it is installed as a link to its source."""
    root = Path(__file__).parents[1] / "src" / "kith"
    return sum(file.stat().st_size for file in root.rglob("*") if file.is_file() and file.suffix != ".pyc") / 2**20


def asked(name: str, task: Task, given: argparse.Namespace) -> dict[str, float]:
    """Train and ask one contender in a process of its own."""
    outside = OUTSIDE if name == DIET else ""
    train = [(text, label or outside) for text, label in task.train]
    request: dict[str, Any] = {"train": train, "texts": task.texts(), "threads": given.threads}
    with tempfile.TemporaryDirectory(prefix="kith-diet-") as folder:
        paths = [str(Path(folder) / "request.json"), str(Path(folder) / "answer.json")]
        if name == DIET:
            request["config"] = pipeline(task, given.epochs)
            command = [str(given.rasa), str(Path(__file__).parent / "trainer.py"), *paths]
        else:
            request["encoder"] = str(given.encoder) if name == JOINED else ""
            command = [sys.executable, "-m", "benchmarks.diet", "--contender", name, *paths]
        Path(paths[0]).write_text(json.dumps(request), "utf-8")
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{name} failed:\n{done.stdout[-4000:]}")
        answer: dict[str, Any] = json.loads(Path(paths[1]).read_text("utf-8"))
    return judged(name, task, answer)


def judged(name: str, task: Task, answer: dict[str, Any]) -> dict[str, float]:
    """The figures of a contender from what it answered to each text."""
    labels = ["" if label == OUTSIDE else label for label, _, _ in answer["answers"]]
    sure = np.array(
        [confidence if label else 0.0 for label, (_, confidence, _) in zip(labels, answer["answers"], strict=True)]
    )
    fallen = np.array([bool(back) for _, _, back in answer["answers"]])
    known, every = len(task.judged), len(task.judged) + len(task.strangers)
    wanted = [label for _, label in task.judged]
    right = np.array([label == want for label, want in zip(labels, wanted, strict=False)])
    inside, strange = sure[:known], sure[known:every]
    best, suits = max((f1(inside, strange, cut), float(cut)) for cut in np.linspace(0.01, 0.99, 99))
    refused = sure < {DIET: 1e-9, SKLEARN: suits}.get(name, THRESHOLD)
    refused |= fallen
    tenth = float(np.quantile(strange, 0.9))
    learnt = [label == want for label, (_, want) in zip(labels[every:], task.seen(), strict=True)]
    return {
        "right in scope %": 100 * float(right.mean()),
        "macro F1 in scope %": 100 * macro(labels[:known], wanted),
        "right and given %": 100 * float((right & ~refused[:known]).mean()),
        "wrong and given %": 100 * float((~right & ~refused[:known]).mean()),
        "out of scope refused %": 100 * float(refused[known:every].mean()),
        "best F1 of refusing %": 100 * best,
        "right and given at 90 % refused %": 100 * float((right & (inside > tenth)).mean()),
        "right of what was taught %": 100 * float(np.mean(learnt)),
        "message ms(CPU)": 1e3 * answer["reading"] / len(labels),
        "training s(CPU)": answer["training"],
        "peak memory MiB": answer["peak"],
        "size MiB": answer["installed"],
    }


def macro(labels: Sequence[str], wanted: Sequence[str]) -> float:
    """The mean of every intent's F1."""
    found: list[float] = []
    for name in set(wanted):
        both = sum(a == b == name for a, b in zip(labels, wanted, strict=True))
        found.append(2 * both / (sum(a == name for a in labels) + sum(b == name for b in wanted)))
    return float(np.mean(found))


def table(found: dict[str, dict[str, dict[str, float]]]) -> None:
    """All contenders beside each other."""
    print("diet: " + ", ".join(f"{key} {value}" for key, value in machine().items()))
    for task, contenders in found.items():
        print(f"\n{task:40}" + "".join(f"{name:>16}" for name in contenders))
        for what in next(iter(contenders.values())):
            print(f"{what:40}" + "".join(f"{figures[what]:16,.2f}" for figures in contenders.values()))


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, nargs="?", help="CLINC150, as benchmarks.intents reads it")
    parser.add_argument("--rasa", type=Path, help="the python of an environment with Rasa")
    parser.add_argument("--encoder", type=Path, help="a GGUF or ONNX file of an embedding model")
    parser.add_argument("--phrases", type=int, nargs="*", default=[6, 10])
    parser.add_argument("--intents", type=int, default=150)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--chinese", type=int, nargs="*", default=[], help="phrases of each Chinese intent")
    parser.add_argument("--only", nargs="*", choices=(KITH, JOINED, SKLEARN, DIET), help="these contenders alone")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--contender", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.contender:
        name, request, answer = given.contender
        Path(answer).write_text(json.dumps(contend(name, json.loads(Path(request).read_text("utf-8")))), "utf-8")
        return
    here = {KITH: True, JOINED: given.encoder, SKLEARN: True, DIET: given.rasa}
    names = [name for name, there in here.items() if there and name in (given.only or here)]
    tasks = [clinc(given.data, count, given.intents) for count in given.phrases] if given.data else []
    tasks += [chinese(count) for count in given.chinese or ([] if tasks else [100])]
    found = {task.name: {name: asked(name, task, given) for name in names} for task in tasks}
    if not given.json:
        table(found)
        return
    rows = [
        Row(f"{task}: {what.rpartition(' ')[0]}", figure, what.rpartition(" ")[2], figures[what], name)
        for task, contenders in found.items()
        for name, figures in contenders.items()
        if name != KITH and KITH in contenders
        for what, figure in contenders[KITH].items()
    ]
    report("diet", rows, as_json=True)


if __name__ == "__main__":
    main()

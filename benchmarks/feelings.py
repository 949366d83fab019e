"""How many feelings are named rightly that nothing was written for? Lexicon, layer, and both, in one run.

`python -m benchmarks.feelings [CLINC150.json]`: counts only, on sentences of somebody who had not seen the others.
Everyday Chinese is that of chinese.yaml; a file of CLINC150 (not part of Kith) says how often ordinary English requests
are taken for a feeling: its validation part, for the layer has seen some of its training part.
"""

from __future__ import annotations

import json
import re
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import yaml

from kith.dialogue.care.feeling import EMOTIONS, chances, decided, felt, named, shipped

CHINESE = Path(__file__).parent / "chinese.yaml"
UNSEEN = Path(__file__).parents[1] / "tests" / "dialogue" / "feelings.txt"
_NAMED = re.compile(rf"({'|'.join(EMOTIONS)}|none)\s*[:|\t]\s*(.+)")
Judge = Callable[[str], str]


def read(path: Path) -> list[tuple[str, str]]:
    """Feelings ("" for none) and their sentences."""
    rows, under = list[tuple[str, str]](), ""
    for line in path.read_text("utf-8").splitlines():
        if found := _NAMED.fullmatch(line.strip()):
            rows.append((found[1], found[2]))
        elif line.startswith("## "):
            under = line[3:].strip()
        elif line.strip() and under and not line.startswith("#"):
            rows.append((under, line.strip()))
    return [(name.replace("none", ""), text) for name, text in rows]


def layer(text: str) -> str:
    """What the layer says alone: without what the lexicon found, at the higher bound."""
    weights, nothing = shipped(), np.zeros(len(EMOTIONS) + 1, np.float32)
    return decided(chances(text, nothing, weights), nothing, weights.bounds)


def report(name: str, rows: Sequence[tuple[str, str]], judge: Judge) -> None:
    """How right a judge is on sentences whose feeling is known."""
    found = [judge(text) for _, text in rows]
    right = sum(one == wanted for one, (wanted, _) in zip(found, rows, strict=True))
    scores: dict[str, float] = {}
    for feeling in ("", *EMOTIONS):
        hits = sum(one == wanted == feeling for one, (wanted, _) in zip(found, rows, strict=True))
        total = found.count(feeling) + sum(wanted == feeling for wanted, _ in rows)
        scores[feeling or "none"] = 2 * hits / max(total, 1)
    calm = [one for one, (wanted, _) in zip(found, rows, strict=True) if not wanted]
    print(
        f"{name}: {right}/{len(rows)} = {right / len(rows):.1%}, macro-F1 {statistics.fmean(scores.values()):.3f}, "
        f"a feeling on {sum(map(bool, calm))}/{len(calm)} without one;",
        *(f"{feeling} {score:.2f}" for feeling, score in scores.items()),
    )


def timed(name: str, texts: Sequence[str], judge: Judge) -> None:
    """The time per message."""
    taken: list[float] = []
    for text in texts:
        began = time.perf_counter()
        judge(text)
        taken.append(time.perf_counter() - began)
    print(f"{name}: {statistics.median(taken) * 1000:.2f} ms a message at the median")


def both(text: str) -> str:
    """What is answered."""
    return felt(text)[0]


def main() -> None:
    """Print the figures."""
    rows = read(UNSEEN)
    judges: tuple[tuple[str, Judge], ...] = (("lexicon", named), ("layer", layer), ("both", both))
    for name, judge in judges:
        report(name, rows, judge)
        chinese = [row for row in rows if re.search(r"[\u4e00-\u9fff]", row[1])]
        report(f"{name}, Chinese", chinese, judge)
        report(f"{name}, English", [row for row in rows if row not in chinese], judge)
    for name, judge in judges:
        timed(name, [text for _, text in rows] * 2, judge)
    everyday = {"Chinese": [text for some in yaml.safe_load(CHINESE.read_text("utf-8")).values() for text in some]}
    if len(sys.argv) > 1:
        everyday["CLINC150"] = [row[0] for row in json.loads(Path(sys.argv[1]).read_text("utf-8"))["val"]]
    for name, texts in everyday.items():
        for kind, judge in judges:
            print(f"everyday {name}, {kind}: a feeling on {sum(bool(judge(text)) for text in texts)}/{len(texts)}")


if __name__ == "__main__":
    main()

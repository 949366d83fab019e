"""Values in what people say (days, times, money …): Kith beside the libraries that read them, by kind and language.

``python -m benchmarks.values [--peers PYTHON] [--show] [--json] [FILE …]``

FILE is like tests/dialogue/entities.txt, which is the default. PYTHON is that of an environment with the libraries,
made for this alone: ``uv venv /tmp/values`` and ``uv pip install --python /tmp/values/bin/python
recognizers-text-suite 'emoji<1' dateparser jionlp phonenumbers``. A library is judged only on the kinds and in the
languages that it knows, each kind by itself: F1 of what it found, value included. `--show` prints what Kith has wrong.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from benchmarks.report import Row, report
from kith.dialogue.flows.entities import extract

CASES = Path(__file__).parents[1] / "tests" / "dialogue" / "entities.txt"
READERS = Path(__file__).parent / "readers.py"
NOW = 1_763_726_400.0  # noon UTC on Friday, 21 November 2025
ZONE = ZoneInfo("UTC")
KINDS = ("date", "time", "duration", "money", "number", "percent", "phone", "email", "url", "address", "place")
Case = tuple[str, str, list[str]]


def cases(path: Path) -> list[Case]:
    """Language, text, and the values in it."""
    found: list[Case] = []
    for line in path.read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            text, _, values = line.rpartition("|")
            language = "zh" if re.search(r"[\u3400-\u9fff]", text) else "en"
            found.append((language, text.strip(), [v.strip() for v in values.split(";") if v.strip()]))
    return found


def f1(given: Sequence[Case], found: Mapping[str, Sequence[str]], kind: str) -> tuple[float, int]:
    """F1 of a kind over the texts, and how many values of it there are."""
    hits = there = said = 0
    for _, text, wanted in given:
        own, got = ([v for v in values if v.startswith(f"{kind}=")] for values in (wanted, found.get(text, ())))
        hits += sum((Counter(own) & Counter(got)).values())
        there, said = there + len(own), said + len(got)
    return (2 * hits / (there + said) if there + said else 0.0), there


def judge(given: Sequence[Case], others: Mapping[str, Any]) -> list[Row]:
    """Kith's figures, and beside them each library's on its own kinds and languages."""
    for _, text, _ in given[:20]:
        extract(text, (), NOW, ZONE)
    begun = time.perf_counter()
    own = {text: [f"{e.name}={e.value}" for e in extract(text, (), NOW, ZONE)] for _, text, _ in given}
    spent = 1000 * (time.perf_counter() - begun) / max(len(given), 1)
    rows = [Row("a text, all kinds", spent, "ms")]
    rows += [Row(f"a text, {name}", other["ms"], "ms") for name, other in others.items()]
    rows += [Row(f"texts at which {name} breaks", other["failed"], "") for name, other in others.items()]
    for language in ("en", "zh"):
        part = [case for case in given if case[0] == language]
        for kind in KINDS:
            figure, there = f1(part, own, kind)
            if not there:
                continue
            peers = [
                (100 * f1(part, other["found"], kind)[0], name)
                for name, other in others.items()
                if language in other["languages"].split() and kind in other["kinds"].split()
            ]
            rows += [Row(f"{language} {kind}, {there}", 100 * figure, "% F1", *peer) for peer in peers or [(0.0, "")]]
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, default=[CASES])
    parser.add_argument("--peers", metavar="PYTHON")
    parser.add_argument("--show", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    for path in options.files:
        given, others = cases(path), dict[str, Any]()
        if options.peers:
            asked = json.dumps([(language, text) for language, text, _ in given])
            done = subprocess.run([options.peers, READERS], input=asked, capture_output=True, text=True, check=True)
            others = json.loads(done.stdout)
            for name in [name for name, other in others.items() if "missing" in other]:
                print(f"{name}: not there ({others.pop(name)['missing']})")
        report(f"values in {path.name}, {len(given)} texts", judge(given, others), options.json)
        for _, text, wanted in given if options.show else ():
            got = [f"{e.name}={e.value}" for e in extract(text, (), NOW, ZONE)]
            if Counter(got) != Counter(wanted):
                print(f"  {text!r}: {got}, not {wanted}")


if __name__ == "__main__":
    main()

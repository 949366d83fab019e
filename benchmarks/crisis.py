"""How much danger is noticed that nothing was written for? On sentences kept out of training, and on everyday requests.

Danger counts as noticed from the tier on which help is shown at once: the script, or the question that names help
lines. False alarms are counted for the script and for either.

`python -m benchmarks.crisis [CLINC150.json]`: shares with 95 % bounds (Wilson), and the time per message beside that of
the rules alone. The held-out sets are tests/dialogue/blind2.txt, blind3.txt and blind4.txt, of three hands; blind.txt
was one before, and is trained on now.
Everyday Chinese is every other sentence of chinese.yaml, for the layer has seen the rest; a file of CLINC150 (not part
of Kith) says how often ordinary English requests are taken for danger: its validation part, for the layer has seen some
of its training part.
"""

from __future__ import annotations

import json
import math
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import yaml

from kith.dialogue.care.crisis import endangered
from kith.dialogue.care.measures import Tier
from kith.dialogue.care.worry import judged

TESTS = Path(__file__).parents[1] / "tests" / "dialogue"
CHINESE = Path(__file__).parent / "chinese.yaml"
TIERS = ("script", Tier.SURE), ("script or help line", Tier.LIKELY), ("any question too", Tier.UNCLEAR)
NAMES = {"+": "danger", "!": "danger", "?": "worrying", "-": "harmless"}


def marked(path: Path) -> dict[str, list[str]]:
    """The sentences of a set by what they are: by the mark before each, or by the heading over them."""
    found: dict[str, list[str]] = {}
    heading = ""
    for line in path.read_text("utf-8").splitlines():
        if line.startswith("## "):
            heading = line[3:].strip()
        elif line and not line.startswith("#"):
            name, text = (heading, line) if heading else (NAMES[line[0]], line[2:])
            found.setdefault(name, []).append(text)
    return found


def bounds(hits: int, total: int) -> str:
    """A share with its 95 % bounds."""
    share, z = hits / total, 1.96
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total)) / (1 + z * z / total)
    return f"{hits}/{total} = {share:.1%} ({middle - half:.1%} to {middle + half:.1%})"


def report(name: str, texts: Sequence[str]) -> None:
    """What the rules find in texts of one kind, and how many get the script, see help, or get either or a question."""
    found = [judged(text).tier for text in texts]
    shares = [("rules", sum(map(endangered, texts)))]
    shares += [(said, sum(tier >= least for tier in found)) for said, least in TIERS]
    print(f"{name}: " + ", ".join(f"{said} {bounds(hits, len(texts))}" for said, hits in shares))


def main() -> None:
    """Print the figures."""
    texts: list[str] = []
    sets = (
        ("held out, fourth", "blind4.txt"),
        ("held out, third", "blind3.txt"),
        ("held out, second", "blind2.txt"),
        ("trained on", "blind.txt"),
    )
    for title, name in sets:
        for kind, some in marked(TESTS / name).items():
            report(f"{title}, {kind}", some)
            texts += some
    for name, judge in (("rules", endangered), ("both", judged)):
        taken: list[float] = []
        for text in texts * 3:
            began = time.perf_counter()
            judge(text)
            taken.append(time.perf_counter() - began)
        print(f"{name}: {statistics.median(taken) * 1000:.2f} ms a message at the median")
    daily = [text for some in yaml.safe_load(CHINESE.read_text("utf-8")).values() for text in some]
    report("everyday Chinese", daily[::2])
    if len(sys.argv) > 1:
        rows = json.loads(Path(sys.argv[1]).read_text("utf-8"))
        report("CLINC150", [row[0] for row in rows["val"]])


if __name__ == "__main__":
    main()

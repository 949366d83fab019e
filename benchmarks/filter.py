"""What the content filter catches, and what it catches wrongly: ``python -m benchmarks.filter [CORPUS …]``.

Attacks and harmless sentences of ``tests/security/*.txt``, which no training has seen, the attacks also in every
disguise of ``benchmarks/disguise.py``; then every corpus that is named. Bounds are 95 % by Wilson, and for nothing
missed at all by Clopper and Pearson. Latency is for one message, thread and process.
"""

from __future__ import annotations

import json
import math
import platform
import random
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.disguise import Sample, corpus, disguises, read_set
from kith.security.filter import ContentFilter
from kith.security.settings import FilterSettings

SETS = Path(__file__).parents[1] / "tests" / "security"


def wilson(hits: int, total: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson, 1927); for all or none the exact bound of Clopper and Pearson (1934)."""
    if not total:
        return 0.0, 1.0
    if hits in (0, total):
        edge = 0.025 ** (1 / total)
        return (0.0, 1 - edge) if hits == 0 else (edge, 1.0)
    z, share = 1.959964, hits / total
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total)) / (1 + z * z / total)
    return middle - half, middle + half


def share(judge: ContentFilter, samples: Iterable[Sample]) -> dict[str, Any]:
    """How many of the samples are flagged, with bounds."""
    flags = [max(judge.scores(one.text).values()) >= 0.5 for one in samples]
    low, high = wilson(sum(flags), len(flags))
    return {"flagged": sum(flags), "of": len(flags), "share": round(sum(flags) / max(len(flags), 1), 4),
            "low": round(low, 4), "high": round(high, 4)}  # fmt: skip


def latency(judge: ContentFilter, samples: list[Sample]) -> dict[str, float]:
    """Milliseconds for one message."""
    spent: list[float] = []
    for one in samples:
        start = time.perf_counter()
        judge.scores(one.text)
        spent.append((time.perf_counter() - start) * 1e3)
    cuts = statistics.quantiles(spent, n=100)
    return {"p50_ms": round(cuts[49], 3), "p99_ms": round(cuts[98], 3)}


def main() -> None:
    judge, chance = ContentFilter(FilterSettings()), random.Random(21)
    attacks, benign = read_set(SETS / "attacks.txt"), read_set(SETS / "benign.txt")
    told = (SETS / "knowledge.txt").read_text("utf-8").split("[unseen]\n")[1]  # the part that nothing was fitted to
    questions = told.splitlines()
    judge.scores("warm")
    hidden = [Sample(change(one.text, chance), one.category, kind)
              for one in attacks for kind, change in disguises(one).items()]  # fmt: skip
    by_kind: dict[str, list[Sample]] = defaultdict(list)
    by_category: dict[str, list[Sample]] = defaultdict(list)
    for one in hidden:
        by_kind[one.kind].append(one)
    for one in attacks:
        by_category[one.category].append(one)
    found: dict[str, Any] = {
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "held-out attacks": share(judge, attacks),
        "held-out attacks, disguised": share(judge, hidden),
        "false alarms": share(judge, benign),
        "questions about bad things": share(judge, [Sample(line, "") for line in questions]),
        "by disguise": {kind: share(judge, rows) for kind, rows in sorted(by_kind.items())},
        "by category": {kind: share(judge, rows) for kind, rows in by_category.items()},
        "latency": latency(judge, benign),
    }
    for name in sys.argv[1:]:
        rows = corpus(Path(name))
        found[name] = {"harmful": share(judge, [one for one in rows if one.category]),
                       "harmless": share(judge, [one for one in rows if not one.category])}  # fmt: skip
    print(json.dumps(found, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()

"""Does what was said long ago come back? Evidence recall at k over conversations in the format of LoCoMo.

`python -m benchmarks.memory FILE`: FILE is LoCoMo's ``locomo10.json`` or one like it (not part of Kith; format:
https://github.com/snap-research/locomo). Only the ranking by words is measured, without a model. Beside the share of
evidence found stand the bytes that a prompt needs for it, and those of the whole conversation.
"""

from __future__ import annotations

import json
import re
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from kith.core.errors import Invalid
from kith.dialogue.memory.ranks import rate

_DEPTHS = (1, 5, 10)
_SESSION = re.compile(r"session_\d+")


@dataclass(frozen=True, slots=True)
class Talk:
    """Lines by their id, each with the date of its session; questions as text, evidence (ids) and category."""

    lines: dict[str, str]
    questions: tuple[tuple[str, frozenset[str], str], ...]


def load(path: Path) -> list[Talk]:
    """Every conversation of a file. Raises `Invalid` for what is not in the format."""
    try:
        data = cast("Any", json.loads(path.read_bytes()))
        return [_talk(one) for one in data]
    except (OSError, ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise Invalid(f"{path.name} is not in the format of LoCoMo ({type(error).__name__})") from None


def _talk(data: Any) -> Talk:
    lines: dict[str, str] = {}
    for name, session in data["conversation"].items():
        if _SESSION.fullmatch(name):
            date = str(data["conversation"].get(f"{name}_date_time", ""))
            lines |= {str(line["dia_id"]): f"{line['speaker']} ({date}): {line['text']}" for line in session}
    asked = [
        (str(one["question"]), frozenset(map(str, one["evidence"])) & lines.keys(), str(one["category"]))
        for one in data["qa"]
    ]
    return Talk(lines, tuple(one for one in asked if one[1]))


def measure(talks: list[Talk], depth: int) -> tuple[dict[str, tuple[float, int]], float, float]:
    """By category the mean share of evidence within the first `depth` lines, with the number of questions; bytes."""
    shares: dict[str, list[float]] = defaultdict(list)
    shown = whole = 0
    for talk in talks:
        ids, texts = list(talk.lines), list(talk.lines.values())
        size = sum(len(text.encode()) for text in texts)
        for question, evidence, category in talk.questions:
            best = [one.index for one in rate(question, texts)[:depth]]
            shares[category].append(len(evidence & {ids[index] for index in best}) / len(evidence))
            shown += sum(len(texts[index].encode()) for index in best)
            whole += size
    count = sum(map(len, shares.values())) or 1
    return {name: (sum(got) / len(got), len(got)) for name, got in sorted(shares.items())}, shown / count, whole / count


def main() -> None:
    """Print the figures; those of the full context are 100 % by its nature."""
    talks = load(Path(sys.argv[1]))
    for depth in _DEPTHS:
        found, shown, whole = measure(talks, depth)
        total = sum(count for _, count in found.values())
        mean = sum(share * count for share, count in found.values()) / (total or 1)
        by = ", ".join(f"category {name} {share:.1%} of {count}" for name, (share, count) in found.items())
        print(f"recall@{depth}: {mean:.1%} of {total} questions ({by}); {shown:.0f} bytes, full context {whole:.0f}")


if __name__ == "__main__":
    main()

"""Does what was said long ago come back? Evidence recall over conversations in the format of LoCoMo.

`python -m benchmarks.memory FILE`: FILE is LoCoMo's ``locomo10.json`` or one like it (not part of Kith; format:
https://github.com/snap-research/locomo); `python -m benchmarks.locomo FILE` writes a sample of our own. Every line is a
turn, asked for as the dialogue asks, by words alone and without a model. Beside the share of evidence found stand the
tokens (estimated) that a prompt pays for it, and those of the whole conversation, which has all evidence by its nature.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from kith.core.errors import Invalid
from kith.core.message import Message, Text
from kith.core.turn import Turn
from kith.dialogue.memory.past import FOUND, Past
from kith.dialogue.memory.shelves import Modelless

_DEPTHS = (1, FOUND, 10)
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


class _Told:
    """Implements what an index asks of a store: one conversation, a turn for each line."""

    def __init__(self, lines: dict[str, str]) -> None:
        said = [(name, Message(name, "user", (Text(text),), 0.0)) for name, text in lines.items()]
        self._turns = [Turn(name, "c", "p", 0.0, heard) for name, heard in said]

    async def turns(self, conversation: str, limit: int = 100, after: str = "") -> list[Turn]:
        return self._turns[-limit:] if conversation and not after else []


async def measure(talks: list[Talk], depth: int) -> tuple[dict[str, tuple[float, int]], float, float]:
    """By category the mean share of evidence in what `depth` passages show, with the number of questions; tokens."""
    shares: dict[str, list[float]] = defaultdict(list)
    shown = whole = 0
    for talk in talks:
        past = Past(cast("Any", _Told(talk.lines)))
        size = sum([await _count(text) for text in talk.lines.values()])
        for question, evidence, category in talk.questions:
            best = await past.search(["c"], question, 1.0, 0.0, depth)
            shares[category].append(len(evidence & {one.turn for one in best}) / len(evidence))
            shown += sum([await _count(one.text) for one in best])
            whole += size
    count = sum(map(len, shares.values())) or 1
    return {name: (sum(got) / len(got), len(got)) for name, got in sorted(shares.items())}, shown / count, whole / count


async def _count(text: str) -> int:
    return await Modelless().count(text)


def main() -> None:
    """Print the figures; those of the full context are 100 % by its nature."""
    talks = load(Path(sys.argv[1]))
    for depth in _DEPTHS:
        found, shown, whole = asyncio.run(measure(talks, depth))
        total = sum(count for _, count in found.values())
        mean = sum(share * count for share, count in found.values()) / (total or 1)
        by = ", ".join(f"category {name} {share:.1%} of {count}" for name, (share, count) in found.items())
        print(f"{depth} passages: {mean:.1%} of {total} questions ({by}); {shown:.0f} tokens, full context {whole:.0f}")


if __name__ == "__main__":
    main()

"""Does what was said long ago come back? Evidence recall over conversations in the format of LoCoMo.

`python -m benchmarks.memory FILE…`: FILE is LoCoMo's ``locomo10.json`` or one like it (not part of Kith; format:
https://github.com/snap-research/locomo); `python -m benchmarks.locomo FILE` writes a sample of our own. Every line is a
turn, said in its session, asked for as the dialogue asks, by words alone and without a model. A line of evidence counts
as found when an excerpt of its turn is among the passages that fit into the budget. Beside the share that is found
stand the tokens (estimated from above, one for two bytes) that a prompt pays for it and those of the whole
conversation, which has all evidence by its nature. Where the file has answers, the share of their words that stand in
what is shown is told as well, beside that in the whole conversation; dates mostly stand nowhere, they are reckoned.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from kith.core.errors import Invalid
from kith.core.message import Message, Text
from kith.core.turn import Turn
from kith.dialogue.memory.past import FOUND, Past
from kith.dialogue.memory.ranks import words
from kith.dialogue.memory.recall import passage_of, within
from kith.dialogue.memory.shelves import Modelless

_BUDGETS = (125, 250, 500, 1000, 2000)
_SESSION = re.compile(r"session_\d+")
_PACE = 20.0  # seconds from one line to the next


@dataclass(frozen=True, slots=True)
class Asked:
    """A question with the ids of its evidence, its category and, where the file has it, its answer."""

    question: str
    evidence: frozenset[str]
    category: str
    answer: str = ""


@dataclass(frozen=True, slots=True)
class Talk:
    """Lines by their id, each with its instant (that of its session, 0.0 where that is not told); and questions."""

    lines: dict[str, tuple[str, float]]
    questions: tuple[Asked, ...]


@dataclass(slots=True)
class Score:
    """What was found of one category: shares of evidence, and of the words of answers as shown and as ever said."""

    found: list[float]
    answers: list[tuple[float, float]]


def load(path: Path) -> list[Talk]:
    """Every conversation of a file. Raises `Invalid` for what is not in the format."""
    try:
        data = cast("Any", json.loads(path.read_bytes()))
        return [_talk(one) for one in data]
    except (OSError, ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise Invalid(f"{path.name} is not in the format of LoCoMo ({type(error).__name__})") from None


def _talk(data: Any) -> Talk:
    lines: dict[str, tuple[str, float]] = {}
    for name, session in data["conversation"].items():
        if _SESSION.fullmatch(name):
            at = _instant(str(data["conversation"].get(f"{name}_date_time", "")))
            for number, line in enumerate(session):
                lines[str(line["dia_id"])] = (f"{line['speaker']}: {line['text']}", at + number * _PACE)
    asked = [
        Asked(
            str(one["question"]), frozenset(map(str, one["evidence"])) & lines.keys(), str(one["category"]),
            str(one.get("answer") or ""),
        )
        for one in data["qa"]
    ]  # fmt: skip
    return Talk(lines, tuple(one for one in asked if one.evidence))


def _instant(text: str) -> float:
    """ "1:56 pm on 8 May, 2023" as seconds; 0.0 for what is no date."""
    try:
        return datetime.strptime(text, "%I:%M %p on %d %B, %Y").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return 0.0


class _Told:
    """Implements what an index asks of a store: one conversation, a turn for each line."""

    def __init__(self, lines: dict[str, tuple[str, float]]) -> None:
        said = [(name, Message(name, "user", (Text(text),), at)) for name, (text, at) in lines.items()]
        self._turns = [Turn(name, "c", "p", heard.at, heard) for name, heard in said]

    async def turns(self, conversation: str, limit: int = 100, after: str = "") -> list[Turn]:
        return self._turns[-limit:] if conversation and not after else []


async def measure(talks: Sequence[Talk], budget: int) -> tuple[dict[str, Score], float, float]:
    """By category what passages of `budget` tokens show; the mean tokens of these, and of the full context."""
    scores: dict[str, Score] = defaultdict(lambda: Score([], []))
    paid = whole = 0
    for talk in talks:
        past = Past(cast("Any", _Told(talk.lines)))
        now = max((at for _, at in talk.lines.values()), default=0.0) + 1.0
        size = sum([await _count(text) for text, _ in talk.lines.values()])
        said = {word for text, _ in talk.lines.values() for word in words(text)}
        for one in talk.questions:
            depth = max(FOUND, budget // 30)
            best = await past.search(["c"], one.question, now, now, depth)
            passages = [passage_of(each, "en") for each in best]
            kept = await within(passages, budget, _count)
            names = {each.turn for each, passage in zip(best, passages, strict=True) if passage in kept}
            score = scores[one.category]
            score.found.append(len(one.evidence & names) / len(one.evidence))
            if answer := set(words(one.answer)):
                seen = {word for passage in kept for word in words(f"{passage.source} {passage.text}")}
                score.answers.append((len(answer & seen) / len(answer), len(answer & said) / len(answer)))
            paid += sum([await _count(f"{passage.source}: {passage.text}") for passage in kept])
            whole += size
    count = sum(len(one.found) for one in scores.values()) or 1
    return dict(sorted(scores.items())), paid / count, whole / count


async def _count(text: str) -> int:
    return await Modelless().count(text)


def _mean(shares: Sequence[float]) -> float:
    return sum(shares) / (len(shares) or 1)


def main() -> None:
    """Print the figures; the evidence in the full context is 100 % by its nature."""
    for path in map(Path, sys.argv[1:]):
        talks = load(path)
        print(path.name)
        for budget in _BUDGETS:
            begun = time.perf_counter()
            found, paid, whole = asyncio.run(measure(talks, budget))
            every = [share for one in found.values() for share in one.found]
            each = (time.perf_counter() - begun) / (len(every) or 1) * 1000
            by = ", ".join(f"category {name} {_mean(one.found):.1%} of {len(one.found)}" for name, one in found.items())
            print(f"  {budget} tokens: {_mean(every):.1%} of the evidence of {len(every)} questions ({by});", end=" ")
            print(f"{paid:.0f} tokens paid, full context {whole:.0f}; {each:.1f} ms a question, indexing included")
            told = ", ".join(
                f"category {name} {_mean([a for a, _ in one.answers]):.1%} of {_mean([b for _, b in one.answers]):.1%}"
                for name, one in found.items()
                if one.answers
            )
            print(f"    words of answers: {told}" if told else "", end="\n" if told else "")


if __name__ == "__main__":
    main()

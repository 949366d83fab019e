"""How conversations end: done, abandoned, handed over to a human, or still open; and what people thought of replies.

Everything is reckoned from the stored turns, so that it can never disagree with what was said. A conversation that
goes on for months is cut into talks, wherever there was silence for longer than the dialogue remembers.

open         the last message is younger than that silence
handed over  somebody was told to take over, by the flow or because of danger
abandoned    a form was left open, given up, called off or ran out of time, and nothing was answered after it; or the
             last message failed, was refused, or nothing could answer it
done         everything else: what was asked last was answered
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from kith.core.turn import Turn
from kith.dialogue.understanding.normal import normal

Outcome = Literal["done", "abandoned", "handed_over", "open"]

_PENDING = ("asked", "again", "corrected", "confirm", "gave_up", "cancelled", "expired")
_WEEK, _MONDAY = 7 * 86400.0, 4 * 86400.0  # 1970 began on a Thursday

_UP = """👍|👍👍|❤️|🙏|💯|👌|helpful|that helped|that was helpful|very helpful|this helps|that helps|useful
that is useful|perfect|great answer|good answer|exactly what i needed|that solved it|problem solved
it works now|thanks that helped|thanks very helpful|thank you that helped|great thanks|perfect thanks
有用|很有用|有帮助|很有帮助|谢谢有用|谢谢很有用|帮到我了|解决了|问题解决了|搞定了|答得好|回答得很好|太有用了|谢谢你帮到我了|正是我要的|好用"""
_DOWN = """👎|👎👎|not helpful|that did not help|did not help|this does not help|useless|wrong answer|that is wrong
bad answer|that is not what i asked|you did not answer my question
that is not helpful|not what i meant|you misunderstood
没用|没有用|没帮助|没有帮助|不对题|答非所问|答错了|你答错了|回答错误|错误答案|没解决|还是不行|没听懂|你没听懂|不是我要的|不是这个意思|我不是问这个"""


def _phrases(text: str) -> frozenset[str]:
    return frozenset(normal(words) for line in text.splitlines() for words in line.split("|"))


_RATINGS = (*((words, 1) for words in _phrases(_UP)), *((words, -1) for words in _phrases(_DOWN)))
_FEEDBACK = dict(_RATINGS)


@dataclass(frozen=True, slots=True)
class Talk:
    """A stretch of one conversation without a long silence: its turns, oldest first, and how it ended."""

    conversation: str
    turns: tuple[Turn, ...]
    outcome: Outcome


def feedback(text: str) -> int:
    """What a message says about the reply before it: 1, -1, or 0 when it is no feedback."""
    return _FEEDBACK.get(normal(text), 0) if len(text) <= 60 else 0


def unanswered(turn: Turn) -> bool:
    """Whether nothing could answer: not the flow, not a model, not the knowledge."""
    if turn.outcome == "failed":
        return True
    if turn.outcome != "answered" or turn.model or turn.passages or turn.calls:
        return False
    return turn.path[-1].outcome in ("unknown", "gave_up") if turn.path else not turn.understanding.intent


def talks(turns: Iterable[Turn], now: float, idle: float) -> list[Talk]:
    """Cut turns, in any order, into talks, the oldest first."""
    of: dict[str, list[Turn]] = {}
    for turn in turns:
        of.setdefault(turn.conversation, []).append(turn)
    found: list[Talk] = []
    for conversation, told in of.items():
        told.sort(key=lambda turn: turn.at)
        begin = 0
        for place in range(1, len(told) + 1):
            if place == len(told) or told[place].at - told[place - 1].at > idle:
                stretch = tuple(told[begin:place])
                found.append(Talk(conversation, stretch, outcome(stretch, now, idle)))
                begin = place
    return sorted(found, key=lambda talk: talk.turns[0].at)


def outcome(turns: Sequence[Turn], now: float, idle: float) -> Outcome:
    """How one talk ended, by the rules above."""
    if any(turn.outcome == "handed_over" for turn in turns):
        return "handed_over"
    if now - turns[-1].at <= idle:
        return "open"
    last = next((turn for turn in reversed(turns) if not feedback(turn.heard.text)), turns[-1])
    if last.outcome in ("failed", "refused") or unanswered(last):
        return "abandoned"
    return "abandoned" if last.path and last.path[-1].outcome in _PENDING else "done"


def ratings(turns: Sequence[Turn], given: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """Turns that were rated, 1 or -1: what was `given` by hand, else what the person's next message says."""
    found: dict[str, int] = {}
    last: dict[str, str] = {}
    for turn in sorted(turns, key=lambda turn: turn.at):
        said = feedback(turn.heard.text)
        if said and turn.conversation in last:
            found[last[turn.conversation]] = said
        if not said:
            last[turn.conversation] = turn.id
    known = {turn.id for turn in turns}
    found |= {turn: int(row.get("rating", 0)) for turn, row in given.items() if turn in known}
    return {turn: rating for turn, rating in found.items() if rating}


def summary(found: Sequence[Talk], rated: Mapping[str, int]) -> dict[str, Any]:
    """The counts, the share that was done without a human, and both by week."""
    weeks: dict[float, list[Talk]] = {}
    for talk in found:
        weeks.setdefault((talk.turns[0].at - _MONDAY) // _WEEK * _WEEK + _MONDAY, []).append(talk)
    up = sum(rating > 0 for rating in rated.values())
    rows = [{"from": datetime.fromtimestamp(at, UTC).date().isoformat(), **_counts(weeks[at])} for at in sorted(weeks)]
    return {**_counts(found), "ratings": {"up": up, "down": len(rated) - up}, "weeks": rows}


def _counts(found: Sequence[Talk]) -> dict[str, Any]:
    counts = {
        name: sum(talk.outcome == name for talk in found) for name in ("done", "abandoned", "handed_over", "open")
    }
    ended = len(found) - counts["open"]
    return {"conversations": len(found), **counts, "automation": counts["done"] / ended if ended else None}

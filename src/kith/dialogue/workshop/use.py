"""Who used what: turns, tokens, replies of fallback models and their price, reckoned from the stored turns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from kith.core.turn import Turn

Way = Literal["person", "model", "channel", "persona"]
WAYS: tuple[str, ...] = get_args(Way)


@dataclass(slots=True)
class Sum:
    """One row: `prompt` and `completion` are tokens, `cost` is in the currency in which prices were given."""

    turns: int = 0
    prompt: int = 0
    completion: int = 0
    fallbacks: int = 0
    cost: float = 0.0


@dataclass(slots=True)
class Tally:
    """Sums by a key. `prices` are for a million tokens, by the name of the model; others cost nothing."""

    by: Way
    prices: Mapping[str, float]
    sums: dict[str, Sum] = field(default_factory=dict[str, Sum])

    def add(self, turns: Iterable[Turn], channels: Mapping[str, str]) -> None:
        """Count turns; `channels` has the channel of their conversations by id, where it is known."""
        for turn in turns:
            row = self.sums.setdefault(self._key(turn, channels), Sum())
            row.turns += 1
            row.prompt += turn.usage.prompt
            row.completion += turn.usage.completion
            row.fallbacks += turn.fallback
            row.cost += price(turn.usage.prompt + turn.usage.completion, self.prices.get(turn.model, 0.0))

    def rows(self) -> list[dict[str, Any]]:
        """JSON-shaped, the most tokens first."""
        order = sorted(self.sums.items(), key=lambda one: (-one[1].prompt - one[1].completion, -one[1].turns, one[0]))
        return [
            {
                "key": key,
                "turns": row.turns,
                "prompt": row.prompt,
                "completion": row.completion,
                "fallbacks": row.fallbacks,
                "cost": round(row.cost, 6),
            }
            for key, row in order
        ]

    def _key(self, turn: Turn, channels: Mapping[str, str]) -> str:
        match self.by:
            case "person":
                return turn.person
            case "model":
                return turn.model
            case "persona":
                return turn.persona
            case "channel":
                return channels.get(turn.conversation, "")


def price(tokens: int, million: float) -> float:
    """What so many tokens cost where a million costs `million`."""
    return tokens * million / 1_000_000

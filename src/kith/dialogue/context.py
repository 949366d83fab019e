"""What a model is shown: who it is, what was said, what is known; within its window, in an order that stays cached.

The parts stand from constant to volatile: persona and rules, then the rounds, then notes and the new message. Rounds
leave the window in steps of four, so that between steps the prefix only grows and the model's cache of it stays valid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from kith.core.message import Message, Part, Text
from kith.core.ports import Models
from kith.core.turn import Passage, Turn
from kith.dialogue.outside import nonce, notes, shown

STEP = 4


@dataclass(frozen=True, slots=True)
class Budget:
    """Tokens: of the model's whole window, kept for its reply, and allowed for what Kith itself adds."""

    context: int
    reply: int
    overhead: int


@dataclass(frozen=True, slots=True)
class Prompt:
    """The messages for a model, and what they cost: `overhead` of `tokens` are not the person's words.

    The first `notes` passages found room.
    """

    messages: tuple[Message, ...]
    tokens: int
    overhead: int
    dropped: int
    notes: int = 0


def window(turns: Sequence[Turn], total: int, rounds: int) -> Sequence[Turn]:
    """The turns to show: at least the last `rounds` of `total`, beginning at a multiple of four.

    `turns` are the last ones, oldest first.
    """
    first = start(total, rounds)
    return turns[-(total - first) :] if total > first else ()


def start(total: int, rounds: int) -> int:
    """The number of the first round that is shown."""
    first = max(0, total - rounds)
    return first - first % STEP


def rounds_of(turns: Sequence[Turn]) -> list[tuple[Message, ...]]:
    """Each turn as the messages of one round; a turn without a reply gives none."""
    return [(_asked(turn.heard), *turn.spoke) for turn in turns if turn.spoke]


def _asked(heard: Message) -> Message:
    """What the house said of its own accord has no question before it, and templates want one."""
    return replace(heard, role="user", parts=(Text("(It is time.)"),)) if heard.role == "system" else heard


async def compose(
    system: str,
    rounds: Sequence[tuple[Message, ...]],
    heard: Message,
    passages: Sequence[Passage],
    budget: Budget,
    models: Models,
    model: str,
) -> Prompt:
    """Fit everything into the budget: notes give way first, then the oldest rounds, in steps; never the message."""

    async def cost(text: str) -> int:
        return await models.count(text, model) if text else 0

    base, number, heard = await cost(system), nonce(heard.id), shown(heard)
    noted, overhead, room_for = "", base, 0
    for count in range(len(passages), 0, -1):
        candidate = notes(passages[:count], number)
        overhead = base + await cost(candidate)
        if overhead <= budget.overhead:
            noted, room_for = candidate, count
            break
        overhead = base
    room = budget.context - budget.reply - overhead - await cost(heard.text) - 8
    costs = [sum([await cost(message.text) + 8 for message in messages]) for messages in rounds]
    first = 0
    while first < len(rounds) and sum(costs[first:]) > room:
        first = min(first + STEP, len(rounds))
    kept = [shown(message) for messages in rounds[first:] for message in messages]
    said = Message(heard.id, "user", (Text(noted + heard.text), *_media(heard)), heard.at)
    messages = (Message("system", "system", (Text(system),), 0.0), *kept, said)
    spent = budget.context - budget.reply - room + sum(costs[first:])
    return Prompt(messages, spent, overhead, first, room_for)


def _media(message: Message) -> tuple[Part, ...]:
    return tuple(part for part in message.parts if not isinstance(part, Text))

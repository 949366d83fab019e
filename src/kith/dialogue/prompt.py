"""Putting a prompt together: who speaks, whom to, what went before, what is known, what was said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from kith.core.message import Message, Text
from kith.core.model import ModelCard, ToolSpec
from kith.core.ports import Models
from kith.core.turn import Passage
from kith.dialogue.context import Budget, compose, start
from kith.dialogue.memory import Where
from kith.dialogue.memory.recall import Known, Moment
from kith.dialogue.mind import Bill, Mind
from kith.dialogue.outside import nonce, shown
from kith.dialogue.outside import notes as framed
from kith.dialogue.settings import DialogueSettings


@dataclass(frozen=True, slots=True)
class Asked:
    """The message to answer, in its turn; `total` are the rounds of its conversation so far."""

    turn: str
    heard: Message
    where: Where | None
    locale: str
    instruction: str = ""
    passages: Sequence[Passage] = ()
    tools: Sequence[ToolSpec] = ()
    total: int = 0


async def prompt_for(
    asked: Asked,
    system: str,
    history: Sequence[Message],
    card: ModelCard,
    models: Models,
    settings: DialogueSettings,
    mind: Mind,
) -> tuple[Message, ...]:
    """The messages that a model is shown. What they are made of can be asked of the `mind` afterwards."""
    context = card.context or 4096
    reply = min(settings.reply_tokens, card.reply or settings.reply_tokens)
    budget = Budget(context, min(reply, context // 2), settings.overhead)
    said = rounds_given(history)
    until = said[0][0].at if said else asked.heard.at
    moment = Moment(asked.heard.text, until, start(asked.total, settings.rounds), asked.locale)
    room = min(budget.overhead, context // 4) - await models.count(system, card.name)
    known = await mind.known(asked.where, moment, room, card.name, models)
    notes = (*asked.passages, *known.passages)
    whole = "\n".join(filter(None, (system, known.profile, known.summary)))
    heard = _instructed(asked.heard, asked.instruction)
    prompt = await compose(whole, said, heard, notes, budget, models, card.name)
    if asked.where is not None:
        parts = _parts(asked, system, known, prompt.messages[1:-1], notes[: prompt.notes])
        mind.note(Bill(asked.turn, asked.where.conversation, asked.where.persons, card.name, parts))
    return prompt.messages


def rounds_given(messages: Sequence[Message]) -> list[tuple[Message, ...]]:
    """Messages cut into rounds: each begins with what a person said."""
    rounds: list[tuple[Message, ...]] = []
    for message in messages:
        if message.role == "user" or not rounds:
            rounds.append((message,))
        else:
            rounds[-1] = (*rounds[-1], message)
    return rounds


def _instructed(heard: Message, instruction: str) -> Message:
    """The message with the flow's instruction before it; volatile, so it stands behind the cached prefix."""
    return replace(heard, parts=(Text(f"({instruction})\n"), *heard.parts)) if instruction else heard


def _parts(
    asked: Asked, system: str, known: Known, rounds: Sequence[Message], notes: Sequence[Passage]
) -> tuple[tuple[str, str], ...]:
    """The parts of a prompt by name, without the empty ones: as the model is shown them, marks and frame included."""
    parts = (
        ("persona", system),
        ("tools", "\n".join(f"{tool.name}: {tool.description} {dict(tool.schema)}" for tool in asked.tools)),
        ("profile", known.profile),
        ("summary", known.summary),
        ("rounds", "\n".join(f"{said.role}: {said.text}" for said in rounds)),
        ("notes", framed(notes, nonce(asked.heard.id)).strip() if notes else ""),
        ("instruction", asked.instruction),
        ("message", shown(asked.heard).text),
    )
    return tuple((name, text) for name, text in parts if text)

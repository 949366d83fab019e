"""What the stages of a turn ask of the memory. Without one, nothing is known and nothing is kept."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from kith.core.errors import KithError, NotFound
from kith.core.message import Envelope
from kith.core.ports import Models
from kith.core.turn import Turn
from kith.dialogue.context import STEP, start
from kith.dialogue.flows.reading import Reading
from kith.dialogue.memory import Memory, Where
from kith.dialogue.memory.listening import Listener
from kith.dialogue.memory.recall import Known, Moment, bring
from kith.dialogue.memory.rules import find_facts
from kith.dialogue.memory.speech import Said, acknowledged, changed, noted, recollected, spoken
from kith.dialogue.personas.cast import Cast
from kith.dialogue.personas.persona import Persona
from kith.runtime.locale import tr
from kith.runtime.telemetry import get_logger

_log = get_logger(__name__)
_BILLS, _LISTED = 256, 20


@dataclass(frozen=True, slots=True)
class Bill:
    """What a model was shown for one turn: parts by name, with their texts, in the order of the prompt."""

    turn: str
    conversation: str
    persons: tuple[str, ...]
    model: str
    parts: tuple[tuple[str, str], ...]


class Mind:
    """The memory as turns see it, and the latest prompts for who wants them explained; those live in memory only."""

    def __init__(self, memory: Memory | None = None, cast: Cast | None = None) -> None:
        self.memory, self.cast = memory, cast
        self._listener = Listener(memory) if memory else None
        self._bills: OrderedDict[str, Bill] = OrderedDict()
        if memory:
            memory.wipe_also(self._wipe)

    def start(self) -> None:
        """Begin to learn in idle time. Needs a running loop."""
        if self._listener:
            self._listener.start()

    async def stop(self) -> None:
        """Stop learning."""
        if self._listener:
            await self._listener.stop()

    async def where(self, person: str, envelope: Envelope, conversation: str) -> Where:
        """Whose memory a message may use, and where it is spoken of."""
        if self.memory is None:
            return Where((person,), conversation, envelope.kind == "group")
        return await self.memory.where(person, envelope, conversation)

    async def speaker(self, text: str, where: Where, rounds: int) -> tuple[Persona | None, bool]:
        """The persona that answers, None for that of the settings, and whether it is one of several."""
        if self.cast is None:
            return None, False
        names = await self.cast.worn(where.conversation)
        return self.cast.speaker(text, names, rounds), len(names) > 1

    async def _switched(self, text: str, where: Where, locale: str) -> Said | None:
        if self.cast is None:
            return None
        if (wanted := self.cast.wanted(text)) is not None:
            return Said(await self._greeted(wanted, where, locale))
        if not (text.strip().casefold().startswith("/persona") or self.cast.asked(text)):
            return None
        names = ("、" if locale == "zh" else ", ").join(persona.name for _, persona in self.cast.all()[:_LISTED])
        return Said(tr("memory.personas", locale, names=names))

    async def played(self, reading: Reading, where: Where | None) -> Reading:
        """A reading whose action names a persona: it speaks from now on, and greets if the flow says nothing itself."""
        if reading.action is None or reading.action.kind != "persona" or self.cast is None or where is None:
            return reading
        try:
            greeting = await self._greeted(self.cast.get(reading.action.argument), where, reading.language)
        except NotFound:
            _log.warning("the flow names a persona that is not there", persona=reading.action.argument)
            return reading
        return replace(reading, answer=reading.answer or greeting)

    async def _greeted(self, wanted: Persona, where: Where, locale: str) -> str:
        if self.cast is not None:
            await self.cast.wear(where.conversation, [wanted.name])
        return wanted.greeting or tr("memory.persona", locale, name=wanted.name)

    async def asked(self, text: str, where: Where | None, locale: str) -> Said | None:
        """The answer to a message about the memory itself or who speaks, or that asks to remember something."""
        if where is not None and (switched := await self._switched(text, where, locale)) is not None:
            return switched
        if self.memory is None or where is None:
            return None
        said = await spoken(self.memory, text, where, locale)
        if said is None and self.memory.settings.remember and (answer := noted(text, locale)) is not None:
            return Said(answer)
        return said

    def tells(self, text: str) -> bool:
        """Whether a message tells something of a person that is kept."""
        return self.memory is not None and self.memory.settings.remember and bool(find_facts(text))

    async def told(self, text: str, where: Where | None, locale: str) -> str | None:
        """What can be answered without a model to somebody who tells of themselves, or asks what they told."""
        if self.memory is None or where is None:
            return None
        said = acknowledged(text, locale) if self.memory.settings.remember else None
        if said is None and self.memory.settings.remember:
            said = await changed(self.memory, text, where, locale)
        return said or await recollected(self.memory, text, where, locale)

    async def known(self, where: Where | None, moment: Moment, room: int, model: str, models: Models) -> Known:
        """What a model may be told of the person and of what went before."""
        if self.memory is None or where is None:
            return Known()

        async def count(text: str) -> int:
            return await models.count(text, model)

        try:
            return await bring(self.memory, where, moment, max(0, room), count)
        except KithError as error:
            _log.warning("nothing recalled", code=error.code)
            return Known()

    async def learn(self, turn: Turn, said: str, where: Where | None, rounds: tuple[int, int], *, forgot: bool) -> None:
        """After a turn: keep what was told, sum up what leaves next, and overwrite what was to be forgotten.

        `rounds` are those of the conversation so far, and those that are shown.
        """
        if self.memory is None or self._listener is None or where is None:
            return
        if forgot:
            self.drop(where.persons)
            await self.memory.shelves.scrub()
            return
        await self._listener.heard(turn, said, where)
        total, shown = rounds
        first = start(total, shown)
        if total and total % STEP == 0 and total >= first + STEP > STEP - 1:
            await self._listener.left(where.conversation, first, first + STEP)

    def note(self, bill: Bill) -> None:
        """Keep what a model is shown, for a while."""
        self._bills[bill.turn] = bill
        self._bills.move_to_end(bill.turn)
        while len(self._bills) > _BILLS:
            self._bills.popitem(last=False)

    async def _wipe(self, person: str, _: Sequence[str]) -> None:
        """Let go of the prompts of somebody of whom something is forgotten."""
        self.drop([person])

    def drop(self, persons: Sequence[str]) -> None:
        """Let go of the prompts of these persons."""
        for turn in [turn for turn, bill in self._bills.items() if set(bill.persons) & set(persons)]:
            del self._bills[turn]

    async def explain(self, turn: str, persons: Sequence[str], models: Models) -> dict[str, object]:
        """What went into the prompt of a turn of one's own, and the tokens of each part. Raises `NotFound`."""
        bill = self._bills.get(turn)
        if bill is None or not set(bill.persons) & set(persons):
            raise NotFound("the prompt of this turn is not known (any more)", code="prompt_gone")
        rows = [
            {"part": name, "tokens": await models.count(text, bill.model), "text": text} for name, text in bill.parts
        ]
        total = sum(int(str(row["tokens"])) for row in rows)
        said = sum(int(str(row["tokens"])) for row in rows if row["part"] in ("rounds", "message"))
        return {"turn": turn, "model": bill.model, "tokens": total, "overhead": total - said, "parts": rows}

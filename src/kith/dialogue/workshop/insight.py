"""Looking at all conversations: paths, outcomes, ratings, and what the flow could learn from them."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, cast

from kith.core.audit import Act, By, Change
from kith.core.clock import Clock
from kith.core.errors import Fault, Invalid, NotFound, Refused, Unavailable
from kith.core.events import Reacted
from kith.core.ports import History, Journal, Records, Store
from kith.core.turn import Turn
from kith.dialogue.flows.flow import DEFAULT, FlowBook
from kith.dialogue.workshop.learning import Question, mark, proposal, questions, row
from kith.dialogue.workshop.outcomes import feedback, ratings, summary, talks
from kith.dialogue.workshop.patching import kind_of, prove, read_text, stage, with_intent, with_patterns
from kith.dialogue.workshop.paths import graph
from kith.dialogue.workshop.use import WAYS, Tally, Way
from kith.runtime.telemetry import counter

_RATED, _DECIDED = "rating", "learn"  # kinds of records
_MOST = 50_000  # turns that are looked at: the last ones
_PAGE = 500
_RECENT = 200  # turns of a conversation among which the one is that a sign was put to
_DAY = 86400.0
_NAME = re.compile(r"[^\W\d][\w.-]{0,63}")
_counted = counter("kith_ratings_total", "Replies that were rated.", ("rating",))
_learnt = counter("kith_flow_learnt_total", "Questions that were decided about.", ("action",))


@dataclass(frozen=True, slots=True)
class Own:
    """Where a flow of one's own goes, and how the settings are told of it: keys by dotted path, and whose act it is."""

    place: Path
    adopt: Callable[[Mapping[str, Any], By], Awaitable[object]]


class Kept(Protocol):
    """An open storage, as far as it is looked at."""

    @property
    def store(self) -> Store: ...

    @property
    def history(self) -> History: ...

    @property
    def records(self) -> Records: ...

    @property
    def journal(self) -> Journal: ...


class Insight:
    """What there is to see and to decide; `idle` is the silence, in seconds, that ends a talk.

    `prices` are those of a million tokens by the name of the model.
    """

    def __init__(
        self,
        kept: Kept,
        flows: FlowBook,
        clock: Clock,
        idle: float,
        prices: Mapping[str, float] | None = None,
        own: Own | None = None,
    ) -> None:
        self._history, self._records, self._journal = kept.history, kept.records, kept.journal
        self._store = kept.store
        self._flows, self._clock, self._idle = flows, clock, idle
        self._prices, self._own = prices or {}, own
        self._writing = asyncio.Lock()

    async def paths(self, days: float = 30.0) -> Mapping[str, Any]:
        """The graph of the ways that the talks of the last `days` took; see `paths.graph`."""
        turns, whole = await self._turns(days)
        found = await asyncio.to_thread(lambda: graph(talks(turns, self._clock.now(), self._idle)))
        return {**found, "whole": whole}

    async def outcomes(self, days: float = 30.0) -> Mapping[str, Any]:
        """How the talks of the last `days` ended, the share done without a human, and the ratings."""
        turns, whole = await self._turns(days)
        found = talks(turns, self._clock.now(), self._idle)
        return {**summary(found, ratings(turns, await self._records.all(_RATED))), "whole": whole}

    async def use(self, by: str = "person", days: float = 30.0) -> Mapping[str, Any]:
        """Turns, tokens and their price in the last `days` by ``person``, ``model``, ``channel`` or ``persona``.

        Raises `Invalid` for another `by`. A turn that no model had a part in has "" for its model.
        """
        if by not in WAYS:
            raise Invalid("the request is not valid", faults=(Fault("by", f"is one of {', '.join(WAYS)}"),))
        tally, channels = Tally(cast("Way", by), self._prices), dict[str, str]()
        since, after = self._clock.now() - days * _DAY, ""
        while page := await self._history.walk(since, after, _PAGE):
            if by == "channel":
                await self._name_channels({turn.conversation for turn in page} - channels.keys(), channels)
            tally.add(page, channels)
            after = page[-1].id
        return {"rows": tally.rows()}

    async def _name_channels(self, conversations: Collection[str], channels: dict[str, str]) -> None:
        for conversation in conversations:
            try:
                channels[conversation] = (await self._store.conversation(conversation)).channel
            except NotFound:  # erased meanwhile
                channels[conversation] = ""

    async def reacted(self, event: Reacted) -> None:
        """A sign that somebody put to a reply on a chat platform counts as a rating by hand; taken away, as none."""
        taken, sign = event.reaction.startswith("-"), event.reaction.removeprefix("-")
        rating = feedback(sign)
        if not rating:
            return
        recent = await self._store.turns(event.conversation, _RECENT)
        turn = next((turn for turn in recent if any(said.id == event.message for said in turn.spoke)), None)
        if turn is not None:
            await self.rate(turn.id, 0 if taken else rating, "", turn.person)

    async def unanswered(self, days: float = 30.0, limit: int = 50) -> Mapping[str, Any]:
        """Questions without an answer or with a bad one, put together, each with a proposal."""
        flow = self._flows.current
        found = (await self._questions(days))[:limit]
        return {"questions": await asyncio.to_thread(lambda: [row(question, flow) for question in found])}

    async def turn(self, turn: str) -> Turn:
        """One turn. Raises `NotFound`."""
        return await self._history.turn(turn)

    async def rate(self, turn: str, rating: int, note: str, person: str) -> None:
        """Keep what a person thinks of a reply: 1, -1, or 0 to take it back."""
        if rating not in (-1, 0, 1):
            raise Invalid("the request is not valid", faults=(Fault("rating", "is 1, -1 or 0"),))
        if rating == 0:
            await self._records.delete(_RATED, turn)
        else:
            value = {"rating": rating, "note": note[:2000], "person": person, "at": self._clock.now()}
            await self._records.put(_RATED, turn, value)
        _counted.add(1, rating=str(rating))

    async def rated(self, turns: Sequence[str]) -> Mapping[str, int]:
        """What was kept by hand of these turns, 1 or -1; a turn without a rating is absent."""
        kept = await self._records.all(_RATED)
        return {turn: int(kept[turn].get("rating", 0)) for turn in turns if turn in kept}

    async def decide(
        self, question: str, action: Literal["approve", "dismiss"], by: By, intent: str = "", response: str = ""
    ) -> Mapping[str, Any]:
        """Put a question's texts into the flow's file, or never show it again.

        Without `intent` the proposal's is taken; a name that the flow does not have makes a new intent and needs a
        `response`. The flow that comes with Kith is not changed: its copy, with the phrases, is put in force. Raises
        `NotFound` (``question_not_found``), `Invalid`, `Unavailable` (``flow_not_written``), or `Refused`
        (``flow_shipped``: a flow of one's own is there, and not in force).
        """
        found = next((one for one in await self._questions(3650.0) if one.id == question), None)
        if found is None:
            raise NotFound("there is no such question", code="question_not_found")
        if action == "dismiss":
            await self._journal.act(_act("flow.dismiss", found, by), self._changes(found, action))
            _learnt.add(1, action=action)
            return {"id": found.id, "done": action}
        name = intent or str(proposal(found, self._flows.current)["intent"])
        async with self._writing:
            text = await asyncio.to_thread(self._learnt, found, name, response)
            path = self._place()
            spare = await asyncio.to_thread(stage, path, text)
            try:
                if self._own is not None and path != self._flows.path:
                    await self._own.adopt({"dialogue.flow": str(path)}, by)
                await self._journal.act(_act("flow.learn", found, by, name), self._changes(found, action))
                spare.replace(path.resolve())
            finally:
                spare.unlink(missing_ok=True)
                if not path.stat().st_size:
                    path.unlink()
            self._flows.path = path
            await asyncio.to_thread(self._flows.reload)
        _learnt.add(1, action=action)
        return {"id": found.id, "done": action, "intent": name, "patterns": found.texts}

    def _learnt(self, found: Question, name: str, response: str) -> str:
        """The flow file's new text, proved to be a flow."""
        path = self._flows.path
        text, kind = read_text(path), kind_of(path)
        if name in self._flows.current.intents:
            new = with_patterns(text, kind, name, found.texts)
        elif not _NAME.fullmatch(name):
            raise Invalid("the request is not valid", faults=(Fault("intent", "is needed: nothing like it is known"),))
        elif not response:
            raise Invalid("the request is not valid", faults=(Fault("response", f"is needed: {name!r} is new"),))
        else:
            new = with_intent(text, kind, name, found.texts, response)
        prove(path, new)
        return new

    def _place(self) -> Path:
        """The file that is written: that of the flow in force, or a new one where that came with Kith."""
        if self._flows.path != DEFAULT:
            return self._flows.path
        try:
            if self._own is None:
                raise FileExistsError
            self._own.place.parent.mkdir(parents=True, exist_ok=True)
            self._own.place.touch(0o600, exist_ok=False)
        except FileExistsError:
            raise Refused(
                "the flow that comes with Kith is not changed",
                code="flow_shipped",
                hint="kith flow copy FILE, then set dialogue.flow in kith.yaml to it",
            ) from None
        except OSError as error:
            raise Unavailable(f"no flow can be written ({type(error).__name__})", code="flow_not_written") from None
        return self._own.place

    def _changes(self, found: Question, action: str) -> list[Change]:
        value = {"action": action, "at": self._clock.now()}
        return [Change(_DECIDED, key, value) for key in dict.fromkeys(map(mark, found.texts))]

    async def _questions(self, days: float) -> list[Question]:
        turns, _ = await self._turns(days)
        rated = ratings(turns, await self._records.all(_RATED))
        decided = await self._records.all(_DECIDED)
        return await asyncio.to_thread(questions, turns, rated, decided, self._flows.current)

    async def _turns(self, days: float) -> tuple[list[Turn], bool]:
        """The last turns of the last `days`, and whether these are all."""
        since, found, seen, after = self._clock.now() - days * _DAY, deque[Turn](maxlen=_MOST), 0, ""
        while page := await self._history.walk(since, after, _PAGE):
            found.extend(page)
            seen, after = seen + len(page), page[-1].id
        return list(found), seen <= _MOST


def _act(name: str, found: Question, by: By, intent: str = "") -> Act:
    """Of what was said only the number of phrases is written down."""
    detail = {"phrases": str(len(found.texts)), **({"intent": intent} if intent else {})}
    return Act(name, by.actor, found.id, by.origin, detail=detail)

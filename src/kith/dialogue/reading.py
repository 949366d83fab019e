"""Reading one message by the rules of a flow."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import tzinfo
from typing import Any, Literal, cast

from kith.core.turn import Entity, Understanding
from kith.dialogue.entities import FREE, Lexicon, extract
from kith.dialogue.intents import Intents, Match
from kith.dialogue.normal import language
from kith.dialogue.quantities import moment
from kith.dialogue.schema import ActionPart, FlowPart, IntentPart, SlotPart, spoken
from kith.dialogue.state import Asking, Machine, Place
from kith.dialogue.templates import deep, filled, loose

_SURE = 0.6
_SHORT, _CLAUSES = 300, 6
_CLAUSE = re.compile(r"(?:[.!?;,\n。！？；，、～~]+(?!\d)|\b(?:and also|and then|also)\b|另外|还有|以及)")

Pick = Callable[[Sequence[str]], str]


@dataclass(frozen=True, slots=True)
class Action:
    """What the engine has to do, beside or instead of speaking an answer.

    ``model``: `argument` is an instruction, or "". ``tool``: `argument` names it. ``recall``: `argument` is the query,
    "" for the message itself. ``handover``: `argument` is the reason.
    """

    kind: Literal["model", "tool", "recall", "handover"]
    argument: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Reading:
    """What the flow makes of a message. `answer` None: it has none, something else has to answer.

    `state` is the dialogue's new state, JSON-shaped, to be handed to the next reading. `language` is ``en`` or ``zh``.
    """

    understanding: Understanding
    answer: str | None
    state: dict[str, Any]
    action: Action | None = None
    language: str = "en"


class Rules:
    """A flow made ready: its words, its trained intents, its states. Not changed by reading."""

    def __init__(self, part: FlowPart, lexicons: Sequence[Lexicon]) -> None:
        self.part = part
        self.lexicons = tuple(lexicons)
        self.free = frozenset({FREE, *(lexicon.name for lexicon in lexicons if lexicon.free)})
        self.machine = Machine(part)
        self.matcher = Intents(part.intents, self.free, part.threshold)
        self.intents = {intent.name: intent for intent in part.intents}


class Reader:
    """One message on its way through the rules; `read` may be called once."""

    def __init__(
        self, rules: Rules, text: str, locale: str, now: float, pick: Pick, zone: tzinfo | None = None
    ) -> None:
        default = rules.part.locale if not locale else "zh" if locale.lower().startswith("zh") else "en"
        self._rules, self._text, self._now, self._pick = rules, text, now, pick
        self._zone = zone
        self._language = language(text, default)
        self._entities = extract(text, rules.lexicons, now, zone)
        self._captured: tuple[Entity, ...] = ()
        self._given: dict[str, str] = {}
        self._place = Place()

    def read(self, state: Mapping[str, Any], values: Mapping[str, str]) -> Reading:
        """Understand the message where the dialogue stands, and answer it if the flow knows how."""
        self._place = place = self._rules.machine.restore(state, self._now)
        own = {**dict(moment(self._now, self._language, self._zone)), "last": place.last, **values}
        own |= {"text": self._text, "locale": self._language}
        self._given = {name: value for name, value in own.items() if value}
        allowed = self._rules.machine.allowed(place.at)
        match = self._rules.matcher.recognise(self._text, self._entities, allowed)
        asking = place.asking
        if asking is not None and (match.by != "rule" or match.intent == asking.intent):
            reading = self._answered(asking, match)
            if reading is not None:
                return reading
        if asking is None and match.by != "rule" and (several := self._several(allowed)):
            return several
        place.asking = None
        intent = self._rules.intents.get(match.intent)
        if intent is None:
            return self._unknown(match)
        self._captured = match.entities
        self._entities = (*self._entities, *(entity for entity in match.entities if entity not in self._entities))
        for slot in intent.slots:
            place.slots.pop(slot.name, None)
        return self._complete(intent, match)

    def _several(self, allowed: Collection[str] | None) -> Reading | None:
        """Several things said in one message, when each is understood for sure and has a plain answer; else None."""
        found: dict[str, tuple[IntentPart, Match]] = {}
        for part in clauses(self._text):
            entities = extract(part, self._rules.lexicons, self._now, self._zone)
            match = self._rules.matcher.recognise(part, entities, allowed)
            intent = self._rules.intents.get(match.intent)
            if intent is None or match.confidence < _SURE or intent.slots or intent.action:
                return None
            found.setdefault(intent.name, (intent, match))
        if len(found) < 2:
            return None
        at, answers = self._place.at, list[str]()
        for intent, match in found.values():
            self._captured = match.entities
            reading = self._complete(intent, match)
            if reading.answer is None or reading.action is not None:
                self._place.at, self._captured = at, ()
                return None
            answers.append(reading.answer)
        first, *others = found
        match = Match(first, min(match.confidence for _, match in found.values()), found[first][1].by)
        joined = self._reading(match, (" " if self._language == "en" else "").join(answers))
        return replace(joined, understanding=replace(joined.understanding, others=tuple(others)))

    def _answered(self, asking: Asking, match: Match) -> Reading | None:
        """The answer to a question of ours; None when the message was about something else."""
        intent = self._rules.intents.get(asking.intent)
        slot = next((s for s in intent.slots if s.name == asking.slot), None) if intent else None
        if intent is None or slot is None:
            return None
        name = slot.entity or slot.name
        value = next((entity.value for entity in self._entities if entity.name == name), "")
        if not value and name in self._rules.free and match.by != "classifier":
            value = self._text.strip()
        understood = Match(intent.name, 1.0, "rule")
        if value:
            self._place.slots[slot.name] = value
            self._place.asking = None
            return self._complete(intent, understood, but=name)
        if match.by == "classifier" and match.intent != intent.name:
            return None
        if asking.tries >= slot.tries:
            self._place.asking = None
            return self._unknown(match)
        self._place.asking = Asking(intent.name, slot.name, asking.tries + 1)
        return self._reading(understood, self._say(spoken(slot.prompt, self._language)))

    def _complete(self, intent: IntentPart, match: Match, but: str = "") -> Reading:
        """Fill what the message says, ask for what is missing, else move on and answer.

        `but` is the entity whose first value has been used.
        """
        slots = self._place.slots
        ordered = [*self._captured, *(entity for entity in self._entities if entity not in self._captured)]
        used = {index for index, entity in enumerate(ordered) if entity.name == but}
        for slot in intent.slots:
            if slot.name not in slots and (value := _take(slot, ordered, used)):
                slots[slot.name] = value
        missing = next((slot for slot in intent.slots if slot.required and not slots.get(slot.name)), None)
        if missing is not None:
            self._place.asking = Asking(intent.name, missing.name)
            return self._reading(match, self._say(spoken(missing.prompt, self._language)))
        transition = self._rules.machine.step(self._place, intent.name, self._facts())
        if transition is not None and (transition.responses or transition.action):
            return self._reading(match, self._say(spoken(transition.responses, self._language)), transition.action)
        templates = spoken(intent.response_template, self._language) + spoken(intent.responses, self._language)
        replies = spoken(intent.response, self._language) + filled(templates, self._known())
        return self._reading(match, self._choose(replies), intent.action)

    def _unknown(self, match: Match) -> Reading:
        transition = self._rules.machine.step(self._place, "", self._facts())
        nothing = Match(confidence=match.confidence)
        if transition is not None and (transition.responses or transition.action):
            return self._reading(nothing, self._say(spoken(transition.responses, self._language)), transition.action)
        return self._reading(nothing, self._say(spoken(self._rules.part.otherwise, self._language)))

    def _reading(self, match: Match, answer: str | None, action: str | ActionPart | None = None) -> Reading:
        understood = Understanding(match.intent, self._entities, confidence=match.confidence, by=match.by)
        done = self._action(action)
        self._place.last = answer or ""
        return Reading(understood, answer, self._place.keep(), done, self._language)

    def _facts(self) -> dict[str, str]:
        return {**_first(self._entities), **_first(self._captured), **self._place.slots}

    def _known(self) -> dict[str, str]:
        """Slots and gaps come before what is given ("date" is today), that before what else stood in the message."""
        return {**_first(self._entities), **self._given, **_first(self._captured), **self._place.slots}

    def _say(self, templates: Sequence[str]) -> str | None:
        return self._choose(filled(templates, self._known()))

    def _choose(self, replies: Sequence[str]) -> str | None:
        return self._pick(replies) if replies else None

    def _action(self, action: str | ActionPart | None) -> Action | None:
        part = self._rules.part.actions.get(action) if isinstance(action, str) else action
        if part is None:
            return None
        known = self._known()
        if part.tool:
            return Action("tool", part.tool, cast("dict[str, Any]", deep(part.arguments, known)))
        if part.model:
            return Action("model", self._argument(part.model, known))
        if part.recall:
            return Action("recall", self._argument(part.recall, known))
        return Action("handover", self._argument(part.handover, known))

    def _argument(self, value: object, known: Mapping[str, str]) -> str:
        if isinstance(value, dict):
            options = spoken(cast("dict[Any, Any]", value), self._language)
            value = options[0] if options else ""
        return loose(value, known) if isinstance(value, str) else ""


def clauses(text: str) -> list[str]:
    """The clauses of a short message, at most six: what stands between full stops, commas and "also"."""
    if len(text) > _SHORT:
        return []
    parts = [part.strip() for part in _CLAUSE.split(text)]
    found = [part for part in parts if re.search(r"\w", part)]
    return found if len(found) <= _CLAUSES else []


def _take(slot: SlotPart, entities: Sequence[Entity], used: set[int]) -> str:
    """The value of the first entity of the slot's kind that no other slot has taken."""
    for index, entity in enumerate(entities):
        if index not in used and entity.name == (slot.entity or slot.name):
            used.add(index)
            return entity.value
    return ""


def _first(entities: Iterable[Entity]) -> dict[str, str]:
    found: dict[str, str] = {}
    for entity in entities:
        found.setdefault(entity.name, entity.value)
    return found

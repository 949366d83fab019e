"""Reading one message by the rules of a flow."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import tzinfo
from typing import Any, Literal, cast

from kith.core.turn import Entity, Step, Understanding
from kith.dialogue.flows.entities import FREE, Lexicon, extract
from kith.dialogue.flows.forms import Heard, Move, fill, move, question, title, words
from kith.dialogue.flows.intents import Intents, Layer, Match
from kith.dialogue.flows.schema import ActionPart, FlowPart, IntentPart, spoken
from kith.dialogue.flows.state import Asking, Machine, Place
from kith.dialogue.flows.templates import deep, filled, loose
from kith.dialogue.understanding.normal import language
from kith.dialogue.values.quantities import moment
from kith.runtime.locale import tr

_SURE = 0.6
_SHORT, _CLAUSES = 300, 6
_CLAUSE = re.compile(r"(?:[.!?;,\n。！？；，、～~]+(?!\d)|\b(?:and also|and then|also)\b|另外|还有|以及)")
_AND = re.compile(
    r"^(?:(?:and|so|but|by the way|btw)\b[\s,]*|(?:对了|顺便(?:问一下|问问)?|那么|那)[\s，,]*)+", re.IGNORECASE
)

Pick = Callable[[Sequence[str]], str]


@dataclass(frozen=True, slots=True)
class Action:
    """What the engine has to do, beside or instead of speaking an answer.

    ``model``: `argument` is an instruction, or "". ``tool``: `argument` names it. ``recall``: `argument` is the query,
    "" for the message itself. ``handover``: `argument` is the reason. ``persona``: `argument` names who speaks now.
    """

    kind: Literal["model", "tool", "recall", "handover", "persona"]
    argument: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Reading:
    """What the flow makes of a message. `answer` None: it has none, something else has to answer.

    `state` is the dialogue's new state, JSON-shaped, to be handed to the next reading. `language` is ``en`` or ``zh``.
    `coda` is said after what somebody else answers; `path` tells how the state moved.
    """

    understanding: Understanding
    answer: str | None
    state: dict[str, Any]
    action: Action | None = None
    language: str = "en"
    coda: str = ""
    path: tuple[Step, ...] = ()


class Rules:
    """A flow made ready: its words, its trained intents, its states. Not changed by reading."""

    def __init__(self, part: FlowPart, lexicons: Sequence[Lexicon]) -> None:
        self.part = part
        self.lexicons = tuple(lexicons)
        self.free = frozenset({FREE, *(lexicon.name for lexicon in lexicons if lexicon.free)})
        self.machine = Machine(part)
        self.matcher = Intents(part.intents, self.free, part.threshold, part.out_of_scope)
        self.intents = {intent.name: intent for intent in part.intents}


class Reader:
    """One message on its way through the rules; `read` may be called once."""

    def __init__(
        self, rules: Rules, text: str, locale: str, now: float, pick: Pick, zone: tzinfo | None = None
    ) -> None:
        self._default = rules.part.locale if not locale else "zh" if locale.lower().startswith("zh") else "en"
        self._rules, self._text, self._now, self._pick = rules, text, now, pick
        self._zone = zone
        self._language = self._default
        self._entities = extract(text, rules.lexicons, now, zone)
        self._captured: tuple[Entity, ...] = ()
        self._given: dict[str, str] = {}
        self._place = Place()
        self._start = ""
        self._layer: Layer | None = None

    def read(self, state: Mapping[str, Any], values: Mapping[str, str], layer: Layer | None = None) -> Reading:
        """Understand the message where the dialogue stands, and answer it if the flow knows how."""
        self._layer = layer
        self._place = place = self._rules.machine.restore(state, self._now)
        self._language = place.language = language(self._text, place.language or self._default)
        self._start = place.node()
        own = {**dict(moment(self._now, self._language, self._zone)), "last": place.last, **values}
        own |= {"text": self._text, "locale": self._language}
        self._given = {name: value for name, value in own.items() if value}
        reading = self._understood()
        return self._lapsed(reading, *place.lapsed) if place.lapsed else reading

    def _understood(self) -> Reading:
        place, allowed = self._place, self._rules.machine.allowed(self._place.at)
        match = self._rules.matcher.recognise(self._text, self._entities, allowed, self._layer)
        if place.asking is not None and (reading := self._in_form(place.asking, match)):
            return reading
        if place.asking is None and match.by != "rule" and (several := self._several(allowed)):
            return several
        intent = self._rules.intents.get(match.intent)
        if intent is None:
            return self._unknown(match)
        self._captured = match.entities
        self._entities = (*self._entities, *(entity for entity in match.entities if entity not in self._entities))
        if not intent.slots:
            return self._aside(intent, match) if place.asking else self._complete(intent, match)
        self._pause()
        for slot in intent.slots:
            place.slots.pop(slot.name, None)
        return self._advance(intent, match)

    def _heard(self, match: Match) -> Heard:
        return Heard(self._text, self._entities, match, self._rules.free, self._now, self._zone)

    def _in_form(self, asking: Asking, match: Match) -> Reading | None:
        """What the open form makes of the message; None when it is about something else."""
        intent = self._rules.intents[asking.intent]
        heard = self._heard(match)
        found = move(intent, asking, self._place.slots, heard)
        understood = Match(intent.name, 1.0, "rule")
        match found.kind:
            case "next" | "corrected":
                changed = found.kind == "corrected" and found.slot is None
                lead = tr("dialogue.form.noted", self._language) if changed else ""
                return self._advance(intent, understood, found.used, lead, found.kind)
            case "done":
                self._place.asking = None
                return self._complete(intent, understood, "done")
            case "again" | "invalid" | "change":
                return self._once_more(intent, asking, found)
            case "cancelled" | "gave_up":
                return self._closed(intent, found.kind, match)
            case "digress":
                return self._unknown(match)
            case "other":
                return None

    def _once_more(self, intent: IntentPart, asking: Asking, found: Move) -> Reading:
        """Ask again: for the same value, with the reason when it was not good, or for what has to be changed."""
        self._place.asking = Asking(intent.name, asking.slot, asking.tries + 1, self._now)
        understood = Match(intent.name, 1.0, "rule")
        if found.kind == "change":
            return self._reading(understood, tr("dialogue.form.change", self._language), outcome="again")
        check = found.slot.check if found.slot else None
        reason = self._say(spoken(check.reason, self._language)) if check and found.kind == "invalid" else None
        if found.kind == "invalid" and reason is None:
            reason = tr("dialogue.form.invalid", self._language)
        return self._reading(understood, self._joined(reason, self._prompt(intent)), outcome="again")

    def _closed(self, intent: IntentPart, kind: Literal["cancelled", "gave_up"], match: Match) -> Reading:
        """The form ends without being done; what was interrupted by it goes on."""
        place = self._place
        place.asking = None
        for slot in intent.slots:
            place.slots.pop(slot.name, None)
        if kind == "gave_up" and intent.form is None:
            return self._unknown(match, "gave_up")
        said = self._say(words(intent, kind, self._language))
        return self._onward(self._reading(Match(intent.name, 1.0, "rule"), said, outcome=kind))

    def _pause(self) -> None:
        """Another form begins: the open one waits with its values."""
        place = self._place
        if place.asking is not None:
            own = {slot.name for slot in self._rules.intents[place.asking.intent].slots}
            place.asking.slots = {name: value for name, value in place.slots.items() if name in own}
            place.paused.append(place.asking)
            place.asking = None

    def _aside(self, intent: IntentPart, match: Match) -> Reading:
        """Something else in between: it is answered, and then the question is put again."""
        part = self._part(intent.action)
        if part is not None and part.handover:
            self._place.asking = None
            return self._complete(intent, match)
        return self._reminded(self._complete(intent, match))

    def _onward(self, reading: Reading) -> Reading:
        """After a form: what was said in the same message and waits, or the form that was interrupted."""
        place = self._place
        if place.asking is not None or reading.understanding.intent == "":
            return reading
        if place.queue:
            waiting = place.queue.pop(0)
            intent = self._rules.intents[waiting.intent]
            lead = tr("dialogue.form.then", self._language, title=title(intent, self._language))
        elif place.paused:
            waiting = place.paused.pop()
            intent = self._rules.intents[waiting.intent]
            lead = tr("dialogue.form.back", self._language, title=title(intent, self._language))
        else:
            return reading
        place.slots.update(waiting.slots)
        asked = question(intent, place.slots, self._language)
        if asked is None:
            return reading
        place.asking = Asking(intent.name, asked[0], since=self._now)
        return self._followed(reading, self._joined(lead, self._say(asked[1])))

    def _reminded(self, reading: Reading) -> Reading:
        """The reply, and then the open question again."""
        asking = self._place.asking
        if asking is None:
            return reading
        intent = self._rules.intents[asking.intent]
        asking.since = self._now
        lead = tr("dialogue.form.back", self._language, title=title(intent, self._language))
        return self._followed(reading, self._joined(lead, self._prompt(intent)))

    def _followed(self, reading: Reading, more: str) -> Reading:
        """The reading with more to say: with the answer, or after what somebody else answers."""
        place = self._place
        steps = (*reading.path[:-1], replace(reading.path[-1], end=place.node()))
        if reading.answer is None or (reading.action and reading.action.kind in ("tool", "recall")):
            return replace(reading, state=place.keep(), coda=more, path=steps)
        place.last = self._joined(reading.answer, more)
        return replace(reading, state=place.keep(), answer=place.last, path=steps)

    def _lapsed(self, reading: Reading, node: str, name: str) -> Reading:
        """A form ran out of time before this message: the reply says so first."""
        intent = self._rules.intents[name]
        told = self._say(words(intent, "expired", self._language)) or ""
        first = Step(node, "", self._start, "expired")
        path = (first, *reading.path)
        if reading.action is not None or (reading.answer is None and reading.understanding.intent):
            return replace(reading, coda=self._joined(told, reading.coda), path=path)
        if reading.answer is None:  # it was the answer to a question that is closed
            return replace(reading, answer=told, path=path)
        return replace(reading, answer=self._joined(told, reading.answer), path=path)

    def _joined(self, *texts: str | None) -> str:
        return (" " if self._language == "en" else "").join(text.strip() for text in texts if text and text.strip())

    def _prompt(self, intent: IntentPart) -> str | None:
        asked = question(intent, self._place.slots, self._language)
        return self._say(asked[1]) if asked else None

    def _several(self, allowed: Collection[str] | None) -> Reading | None:
        """Several things said in one message, when each is understood for sure; else None.

        Those with a plain answer are answered, then the first form begins, and the others wait in the queue.
        """
        found: dict[str, tuple[IntentPart, Match, tuple[Entity, ...]]] = {}
        for part in clauses(self._text):
            entities = extract(part, self._rules.lexicons, self._now, self._zone)
            match = self._rules.matcher.recognise(part, entities, allowed, self._layer)
            intent = self._rules.intents.get(match.intent)
            if intent is None or match.confidence < _SURE or (intent.action and not intent.slots):
                return None
            found.setdefault(intent.name, (intent, match, (*match.entities, *entities)))
        if len(found) < 2:
            return None
        plain = [(intent, match) for intent, match, _ in found.values() if not intent.slots]
        answers = self._plain(plain)
        if answers is None:
            return None
        steps = tuple(Step(self._start, intent.name, self._place.node()) for intent, _ in plain)
        first, *others = found
        match = Match(first, min(match.confidence for _, match, _ in found.values()), found[first][1].by)
        forms = [(intent, entities) for intent, _, entities in found.values() if intent.slots]
        if forms:
            reading = self._begin(forms, match, self._joined(*answers))
        else:
            reading = self._reading(match, self._joined(*answers))
        path = (*steps, *reading.path) if forms else steps
        return replace(reading, understanding=replace(reading.understanding, others=tuple(others)), path=path)

    def _plain(self, plain: Sequence[tuple[IntentPart, Match]]) -> list[str] | None:
        """The plain answers to each; None when one has none."""
        at, answers = self._place.at, list[str]()
        for intent, match in plain:
            self._captured = match.entities
            reading = self._complete(intent, match)
            if reading.answer is None or reading.action is not None:
                self._place.at, self._captured = at, ()
                return None
            answers.append(reading.answer)
        return answers

    def _begin(self, forms: Sequence[tuple[IntentPart, tuple[Entity, ...]]], match: Match, lead: str) -> Reading:
        """Open the first of several forms, each with what its own part of the message says."""
        place = self._place
        for intent, entities in forms:
            for slot in intent.slots:
                place.slots.pop(slot.name, None)
            waiting = Asking(intent.name, intent.slots[0].name, since=self._now)
            fill(intent, entities, waiting.slots, "", self._heard(match))
            place.queue.append(waiting)
        (first, _), waiting = forms[0], place.queue.pop(0)
        place.slots.update(waiting.slots)
        self._entities = ()
        return self._advance(first, Match(first.name, match.confidence, match.by), lead=lead)

    def _advance(
        self, intent: IntentPart, match: Match, used: str = "", lead: str = "", outcome: str = "asked"
    ) -> Reading:
        """Fill what the message says, ask for what is missing, else move on and answer.

        `used` is the entity whose first value has been taken; `lead` is said first.
        """
        place = self._place
        ordered = [*self._captured, *(entity for entity in self._entities if entity not in self._captured)]
        fill(intent, ordered, place.slots, used, self._heard(match))
        asked = question(intent, place.slots, self._language)
        if asked is None:
            place.asking = None
            done = self._complete(intent, match, "done")
            return replace(done, answer=self._joined(lead, done.answer)) if lead and done.answer else done
        name, prompts = asked
        place.asking = Asking(intent.name, name, since=self._now)
        outcome = "confirm" if not name and outcome in ("asked", "next") else outcome
        said = self._joined(lead, self._say(prompts))
        return self._reading(match, said, outcome="asked" if outcome == "next" else outcome)

    def _complete(self, intent: IntentPart, match: Match, outcome: str = "answered") -> Reading:
        """All is known: take the transition, and answer."""
        transition = self._rules.machine.step(self._place, intent.name, self._facts())
        if transition is not None and (transition.responses or transition.action):
            said = self._say(spoken(transition.responses, self._language))
            reading = self._reading(match, said, transition.action, outcome)
        else:
            templates = spoken(intent.response_template, self._language) + spoken(intent.responses, self._language)
            replies = spoken(intent.response, self._language) + filled(templates, self._known())
            reading = self._reading(match, self._choose(replies), intent.action, outcome)
        return self._onward(reading) if intent.slots else reading

    def _unknown(self, match: Match, outcome: str = "unknown") -> Reading:
        """Nothing was understood: free talk, after which an open question is put again."""
        transition = self._rules.machine.step(self._place, "", self._facts())
        nothing = Match(confidence=match.confidence)
        if transition is not None and (transition.responses or transition.action):
            said = self._say(spoken(transition.responses, self._language))
            reading = self._reading(nothing, said, transition.action, outcome)
        else:
            reading = self._reading(
                nothing, self._say(spoken(self._rules.part.otherwise, self._language)), None, outcome
            )
        return self._reminded(reading)

    def _reading(
        self, match: Match, answer: str | None, action: str | ActionPart | None = None, outcome: str = "answered"
    ) -> Reading:
        understood = Understanding(match.intent, self._entities, confidence=match.confidence, by=match.by)
        done = self._action(action)
        self._place.last = answer or ""
        if done is not None and done.kind == "handover":
            outcome = "handed_over"
        elif outcome == "answered" and answer is None:
            outcome = "passed"
        step = Step(self._start, match.intent, self._place.node(), outcome)
        return Reading(understood, answer, self._place.keep(), done, self._language, path=(step,))

    def _facts(self) -> dict[str, str]:
        return {**_first(self._entities), **_first(self._captured), **self._place.slots}

    def _known(self) -> dict[str, str]:
        """Slots and gaps come before what is given ("date" is today), that before what else stood in the message."""
        return {**_first(self._entities), **self._given, **_first(self._captured), **self._place.slots}

    def _say(self, templates: Sequence[str]) -> str | None:
        return self._choose(filled(templates, self._known()))

    def _choose(self, replies: Sequence[str]) -> str | None:
        return self._pick(replies) if replies else None

    def _part(self, action: str | ActionPart | None) -> ActionPart | None:
        return self._rules.part.actions.get(action) if isinstance(action, str) else action

    def _action(self, action: str | ActionPart | None) -> Action | None:
        part = self._part(action)
        if part is None:
            return None
        known = self._known()
        if part.tool:
            return Action("tool", part.tool, cast("dict[str, Any]", deep(part.arguments, known)))
        if part.model:
            return Action("model", self._argument(part.model, known))
        if part.persona:
            return Action("persona", self._argument(part.persona, known))
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
    parts = [_AND.sub("", part.strip()) for part in _CLAUSE.split(text)]
    found = [part for part in parts if re.search(r"\w", part)]
    return found if len(found) <= _CLAUSES else []


def _first(entities: Iterable[Entity]) -> dict[str, str]:
    found: dict[str, str] = {}
    for entity in entities:
        found.setdefault(entity.name, entity.value)
    return found

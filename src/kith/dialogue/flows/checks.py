"""What is wrong with a flow whose shape is right: names without meaning, phrases claimed twice, dead ends."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from kith.core.errors import Fault
from kith.dialogue.flows.entities import BUILT_IN, FREE, Lexicon
from kith.dialogue.flows.expressions import compile_safe
from kith.dialogue.flows.schema import RESERVED, ActionPart, CheckPart, FlowPart, IntentPart, Replies, every, listed
from kith.dialogue.flows.state import sources
from kith.dialogue.flows.templates import PLACEHOLDER, strings
from kith.dialogue.understanding.normal import normal
from kith.dialogue.understanding.phrases import GAPS, gaps
from kith.runtime.documents import Document, Place, dotted

GIVEN = ("name", "persona", "version", "time", "date", "weekday", "locale", "channel", "last", "text")

_KINDS = ("model", "tool", "recall", "handover", "persona")


class Checker:
    """Goes through a flow once. `faults` make it unusable, `warnings` do not."""

    def __init__(self, part: FlowPart, document: Document) -> None:
        self.faults: list[Fault] = []
        self.warnings: list[Fault] = []
        self.lexicons: list[Lexicon] = []
        self._part = part
        self._document = document
        self._intents = [intent.name for intent in part.intents]
        self._states = [state.name for state in part.states]
        self._entities = {*BUILT_IN, *(entity.name for entity in part.entities)}
        self._sources = {*GIVEN, *self._entities, *(s.name for intent in part.intents for s in intent.slots)}
        self._unique(("intents",), self._intents)
        self._unique(("entities",), [entity.name for entity in part.entities])
        self._unique(("states",), self._states)
        self._check_entities()
        self._check_intents()
        self._check_claims()
        self._check_states()
        self._check_transitions()
        for name, action in part.actions.items():
            self._check_action(("actions", name), action)
        self._check_replies(("otherwise",), part.otherwise)
        self._check_tests()

    def _fault(self, place: Place, reason: str) -> None:
        self.faults.append(Fault(dotted(place), reason, self._document.line(place)))

    def _warn(self, place: Place, reason: str) -> None:
        self.warnings.append(Fault(dotted(place), reason, self._document.line(place)))

    def _unique(self, place: Place, names: Sequence[str]) -> None:
        first: dict[str, int] = {}
        for index, name in enumerate(names):
            if first.setdefault(name, index) != index:
                self._fault((*place, index, "name"), f"{name!r} is the name of {dotted((*place, first[name]))} too")

    def _known(self, place: Place, name: str, names: Iterable[str], what: str) -> None:
        options = list(names)
        if name in options:
            return
        near = difflib.get_close_matches(name, options, n=1, cutoff=0.5)
        self._fault(place, f"there is no {what} {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""))

    def _check_entities(self) -> None:
        for index, entity in enumerate(self._part.entities):
            place: Place = ("entities", index)
            if not (entity.values or entity.regex or entity.free):
                self._fault(place, "needs values, regex, or free: true")
            try:
                self.lexicons.append(Lexicon(entity))
            except ValueError as error:
                self._fault((*place, "regex"), str(error))

    def _check_intents(self) -> None:
        moving = {name for t in self._part.transitions if t.responses or t.action for name in listed(t.on)}
        for index, intent in enumerate(self._part.intents):
            place: Place = ("intents", index)
            if not _answers(intent) and not moving & {intent.name, "*"}:
                self._fault(place, "needs a response, response_template, responses or action")
            self._check_patterns(place, intent)
            self._check_replies((*place, "response_template"), intent.response_template)
            self._check_replies((*place, "responses"), intent.responses)
            self._check_action((*place, "action"), intent.action)
            self._check_slots(place, intent)
            for at, state in enumerate(intent.states or ()):
                self._known((*place, "states", at), state, self._states, "state")

    def _check_patterns(self, place: Place, intent: IntentPart) -> None:
        for index, pattern in enumerate(intent.patterns):
            here = (*place, "patterns", index)
            found = gaps(pattern)
            if len(found) > GAPS:
                self._fault(here, f"has {len(found)} gaps, more than {GAPS}")
            for name in found:
                if name != "*":
                    self._known(here, name, self._entities, "entity")
            if not normal(pattern) or pattern.strip() == "*":
                self._fault(here, "is an empty phrase")

    def _check_slots(self, place: Place, intent: IntentPart) -> None:
        self._unique((*place, "slots"), [slot.name for slot in intent.slots])
        for index, slot in enumerate(intent.slots):
            here = (*place, "slots", index)
            self._known(here, slot.entity or slot.name, self._entities, "entity")
            if slot.required and not every(slot.prompt):
                self._fault(here, "needs a prompt, because it is required")
            self._check_replies((*here, "prompt"), slot.prompt)
            if slot.check is not None:
                self._check_value((*here, "check"), slot.check)
        if intent.form is not None:
            self._check_form((*place, "form"), intent)

    def _check_value(self, place: Place, check: CheckPart) -> None:
        if check.min is not None and check.max is not None and check.min > check.max:
            self._fault((*place, "min"), "is more than max")
        if check.regex is not None:
            try:
                compile_safe(check.regex)
            except ValueError as error:
                self._fault((*place, "regex"), str(error))
        self._check_replies((*place, "reason"), check.reason)

    def _check_form(self, place: Place, intent: IntentPart) -> None:
        if not intent.slots:
            self._fault(place, "needs slots beside it")
        for key in ("title", "confirm", "expired", "cancelled", "gave_up"):
            self._check_replies((*place, key), getattr(intent.form, key))

    def _check_claims(self) -> None:
        """A phrase belongs to one intent, unless the states in which the two are understood differ."""
        claims: dict[str, tuple[int, int]] = {}
        for index, intent in enumerate(self._part.intents):
            for at, pattern in enumerate(intent.patterns):
                said = pattern if gaps(pattern) else normal(pattern)
                other, where = claims.setdefault(said, (index, at))
                if other == index or not _meet(intent, self._part.intents[other]):
                    continue
                owner = f"{self._part.intents[other].name!r} (line {self._line(other, where)})"
                self._fault(("intents", index, "patterns", at), f"{pattern!r} is a phrase of {owner} too")

    def _line(self, intent: int, pattern: int) -> int:
        return self._document.line(("intents", intent, "patterns", pattern))

    def _check_states(self) -> None:
        initial = [index for index, state in enumerate(self._part.states) if state.initial]
        for index in initial[1:]:
            self._fault(("states", index, "initial"), f"{self._states[initial[0]]!r} is the initial state already")
        for index, state in enumerate(self._part.states):
            if state.on_timeout is not None:
                self._known(("states", index, "on_timeout"), state.on_timeout, self._states, "state")
                if state.timeout is None:
                    self._fault(("states", index, "on_timeout"), "needs a timeout beside it")
        if self._part.states:
            start = self._states[initial[0] if initial else 0]
            for lost in sorted(set(self._states) - _reachable(self._part, start), key=self._states.index):
                self._warn(("states", self._states.index(lost)), f"no transition leads to the state {lost!r}")

    def _check_transitions(self) -> None:
        for index, transition in enumerate(self._part.transitions):
            place: Place = ("transitions", index)
            for name in listed(transition.from_):
                if name != "*":
                    self._known((*place, "from"), name, self._states, "state")
            for name in listed(transition.on):
                if name not in RESERVED:
                    self._known((*place, "on"), name, self._intents, "intent")
            self._known((*place, "to"), transition.to, self._states, "state")
            for name in transition.when:
                self._known((*place, "when", name), name, self._sources - set(GIVEN) | {FREE}, "slot or entity")
            self._check_replies((*place, "responses"), transition.responses)
            self._check_action((*place, "action"), transition.action)

    def _check_action(self, place: Place, action: str | ActionPart | None) -> None:
        if isinstance(action, str):
            self._known(place, action, self._part.actions, "action")
        elif action is not None:
            kinds = [
                k for k in ("model", "tool", "recall", "handover", "persona") if getattr(action, k) not in (None, False)
            ]
            if len(kinds) != 1:
                self._fault(place, f"needs exactly one of {', '.join(_KINDS)}")
            if action.arguments and not action.tool:
                self._fault((*place, "arguments"), "belongs to a tool")
            for text in strings([action.model, action.recall, action.handover, action.persona, action.arguments]):
                self._check_text(place, text)

    def _check_replies(self, place: Place, replies: Replies | None) -> None:
        if replies is not None and not every(replies):
            self._fault(place, "is empty")
        for text in every(replies):
            self._check_text(place, text)

    def _check_text(self, place: Place, text: str) -> None:
        for name in PLACEHOLDER.findall(text):
            if name in self._sources or name.startswith("profile."):
                continue
            near = difflib.get_close_matches(name, sorted(self._sources), n=1, cutoff=0.6)
            hint = f"; did you mean {{{near[0]}}}?" if near else ""
            self._fault(place, f"nothing fills the placeholder {{{name}}}{hint}")

    def _check_tests(self) -> None:
        for index, test in enumerate(self._part.tests):
            if test.intent:
                self._known(("tests", index, "intent"), test.intent, self._intents, "intent")
            if test.state is not None:
                self._known(("tests", index, "state"), test.state, self._states, "state")


def _answers(intent: IntentPart) -> bool:
    return bool(every(intent.response) or every(intent.response_template) or every(intent.responses) or intent.action)


def _meet(one: IntentPart, other: IntentPart) -> bool:
    return one.states is None or other.states is None or bool(set(one.states) & set(other.states))


def _reachable(part: FlowPart, start: str) -> set[str]:
    names = [state.name for state in part.states]
    leads: dict[str, set[str]] = {state.name: {state.on_timeout or start} for state in part.states if state.timeout}
    for transition in part.transitions:
        for name in sources(transition, names):
            leads.setdefault(name, set()).add(transition.to)
    found, ahead = {start}, [start]
    while ahead:
        for name in leads.get(ahead.pop(), set()) - found:
            found.add(name)
            ahead.append(name)
    return found

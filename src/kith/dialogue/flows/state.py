"""Where a dialogue stands: its state, what it knows, what it is asking for; kept between turns as plain JSON."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from kith.dialogue.flows.schema import FlowPart, TransitionPart, listed

_SHORT = 500
_LONG = 4000
_PAUSED = 3  # forms that wait while another one is filled
_QUEUED = 4
_PATIENCE = 1800.0  # seconds for which a form that says nothing else waits for an answer


@dataclass(slots=True)
class Asking:
    """A slot of an intent that was asked for, how often, and when last; slot "" is the question whether all is right.

    `slots` are the values of a form that waits while another one is filled.
    """

    intent: str
    slot: str
    tries: int = 1
    since: float = 0.0
    slots: dict[str, str] = field(default_factory=dict[str, str])

    def keep(self) -> dict[str, Any]:
        """As JSON."""
        kept: dict[str, Any] = {"intent": self.intent, "slot": self.slot, "tries": self.tries, "since": self.since}
        return {**kept, "slots": _cut(self.slots)} if self.slots else kept


@dataclass(slots=True)
class Place:
    """Where one dialogue stands. `last` is what the flow answered in the turn before, "" when it did not.

    `paused` are forms that were interrupted by another, the latest last; `queue` intents that were said in one message
    and whose turn comes; `language` is the last one that was heard. `lapsed` is where a form stood that ran out of time
    just now, with its intent; it is not kept.
    """

    at: str = ""
    seen: float = 0.0
    slots: dict[str, str] = field(default_factory=dict[str, str])
    asking: Asking | None = None
    last: str = ""
    paused: list[Asking] = field(default_factory=list[Asking])
    queue: list[Asking] = field(default_factory=list[Asking])
    language: str = ""
    lapsed: tuple[str, str] | None = None

    def keep(self) -> dict[str, Any]:
        """As JSON; `Machine.restore` reads it back."""
        kept: dict[str, Any] = {"at": self.at, "seen": self.seen}
        if self.slots:
            kept["slots"] = _cut(self.slots)
        if self.asking:
            kept["asking"] = self.asking.keep()
        if self.paused:
            kept["paused"] = [asking.keep() for asking in self.paused[-_PAUSED:]]
        if self.queue:
            kept["queue"] = [asking.keep() for asking in self.queue[:_QUEUED]]
        if self.last:
            kept["last"] = self.last[:_LONG]
        if self.language:
            kept["language"] = self.language
        return kept

    def node(self) -> str:
        """The name of this place on a path: the state, or the form and what it asks for."""
        if self.asking is None:
            return self.at or "start"
        return f"{self.asking.intent}: {self.asking.slot or 'confirm'}"


class Machine:
    """The states and transitions of a flow. A flow without states has one state, ""."""

    def __init__(self, part: FlowPart) -> None:
        self._states = {state.name: state for state in part.states}
        self.initial = next((s.name for s in part.states if s.initial), part.states[0].name if part.states else "")
        self._transitions = part.transitions
        self._slots = {intent.name: {slot.name for slot in intent.slots} for intent in part.intents}
        self._patience = {intent.name: intent.form.timeout for intent in part.intents if intent.form}
        self._allowed = {name: self._open(part, name) for name in self._states}

    def allowed(self, at: str) -> Collection[str] | None:
        """The intents that can be understood in a state; None for all."""
        return self._allowed.get(at)

    def closes(self, asking: Asking) -> float:
        """The instant at which a form is closed unless somebody answers."""
        return asking.since + self._patience.get(asking.intent, _PATIENCE)

    def restore(self, state: Mapping[str, Any], now: float) -> Place:
        """Where the dialogue stands, after the time-outs. What a changed flow no longer has is forgotten."""
        seen = state.get("seen")
        place = Place(self.initial, float(seen) if isinstance(seen, int | float) else now)
        at, last, language = state.get("at"), state.get("last"), state.get("language")
        if isinstance(at, str) and at in self._states:
            place.at = at
        place.slots = self._known(state.get("slots"))
        place.last = last if isinstance(last, str) else ""
        place.language = language if language in ("en", "zh") else ""
        place.asking = self._asking(state.get("asking"), place.seen)
        place.paused = self._askings(state.get("paused"), place.seen)[-_PAUSED:]
        place.queue = self._askings(state.get("queue"), place.seen)[:_QUEUED]
        self._time_out(place, now)
        place.seen = now
        return place

    def step(self, place: Place, intent: str, facts: Mapping[str, str]) -> TransitionPart | None:
        """Move by the first transition whose state, intent ("" is ``unknown``) and guards fit; None if none does."""
        for transition in self._transitions:
            on = listed(transition.on)
            named = intent in on or (bool(intent) and "*" in on) or (not intent and "unknown" in on)
            if named and _from(transition, place.at) and guarded(transition, facts):
                place.at = transition.to
                return transition
        return None

    def _open(self, part: FlowPart, at: str) -> frozenset[str]:
        """An intent that transitions name is understood where one of them begins; any other everywhere."""
        governed = {name for transition in part.transitions for name in listed(transition.on)}
        leaving = {name for transition in part.transitions if _from(transition, at) for name in listed(transition.on)}

        def fits(name: str, states: list[str] | None) -> bool:
            if states is not None:
                return at in states
            return name not in governed or name in leaving or "*" in leaving

        return frozenset(intent.name for intent in part.intents if fits(intent.name, intent.states))

    def _known(self, value: object) -> dict[str, str]:
        """Slots that the flow still has."""
        if not isinstance(value, Mapping):
            return {}
        known = frozenset[str]().union(*self._slots.values())
        items = cast("Mapping[object, object]", value).items()
        return {str(k): str(v)[:_SHORT] for k, v in items if k in known and isinstance(v, str)}

    def _askings(self, value: object, seen: float) -> list[Asking]:
        rows = cast("list[object]", value) if isinstance(value, list) else []
        return [found for row in rows[:_SHORT] if (found := self._asking(row, seen))]

    def _asking(self, value: object, seen: float) -> Asking | None:
        if not isinstance(value, Mapping):
            return None
        kept = cast("Mapping[str, object]", value)
        intent, slot, tries, since = (kept.get(name) for name in ("intent", "slot", "tries", "since"))
        if not isinstance(intent, str) or not isinstance(slot, str) or not self._slots.get(intent):
            return None
        if slot and slot not in self._slots[intent]:
            return None
        when = float(since) if isinstance(since, int | float) else seen
        return Asking(intent, slot, tries if isinstance(tries, int) else 1, when, self._known(kept.get("slots")))

    def _time_out(self, place: Place, now: float) -> None:
        asking, node = place.asking, place.node()
        if asking is not None and now > self.closes(asking):
            place.lapsed = (node, asking.intent)
        state = self._states.get(place.at)
        if state is not None and state.timeout is not None and now - place.seen > state.timeout:
            place.at = state.on_timeout or self.initial
            if asking is not None:
                place.lapsed = (node, asking.intent)
            if place.at == self.initial:
                place.slots = {}
        if place.lapsed:
            for name in self._slots.get(place.lapsed[1], ()):
                place.slots.pop(name, None)
            place.asking, place.paused, place.queue = None, [], []


def guarded(transition: TransitionPart, facts: Mapping[str, str]) -> bool:
    """Whether every guard of a transition holds: true wants a value, false none, words that value or one of them."""
    for name, wanted in transition.when.items():
        value = facts.get(name, "")
        if isinstance(wanted, bool):
            if bool(value) != wanted:
                return False
        elif value.casefold() not in {word.casefold() for word in listed(wanted)}:
            return False
    return True


def sources(transition: TransitionPart, states: Sequence[str]) -> list[str]:
    """The states that a transition leaves."""
    named = listed(transition.from_)
    return list(states) if "*" in named else named


def _from(transition: TransitionPart, at: str) -> bool:
    named = listed(transition.from_)
    return "*" in named or at in named


def _cut(slots: Mapping[str, str]) -> dict[str, str]:
    return {name: value[:_SHORT] for name, value in slots.items()}

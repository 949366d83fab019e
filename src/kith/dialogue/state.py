"""Where a dialogue stands: its state, what it knows, what it is asking for; kept between turns as plain JSON."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from kith.dialogue.schema import FlowPart, TransitionPart, listed

_SHORT = 500
_LONG = 4000


@dataclass(slots=True)
class Asking:
    """A slot of an intent that was asked for, and how often."""

    intent: str
    slot: str
    tries: int = 1


@dataclass(slots=True)
class Place:
    """Where one dialogue stands. `last` is what the flow answered in the turn before, "" when it did not."""

    at: str = ""
    seen: float = 0.0
    slots: dict[str, str] = field(default_factory=dict[str, str])
    asking: Asking | None = None
    last: str = ""

    def keep(self) -> dict[str, Any]:
        """As JSON; `Machine.restore` reads it back."""
        kept: dict[str, Any] = {"at": self.at, "seen": self.seen}
        if self.slots:
            kept["slots"] = {name: value[:_SHORT] for name, value in self.slots.items()}
        if self.asking:
            kept["asking"] = {"intent": self.asking.intent, "slot": self.asking.slot, "tries": self.asking.tries}
        if self.last:
            kept["last"] = self.last[:_LONG]
        return kept


class Machine:
    """The states and transitions of a flow. A flow without states has one state, ""."""

    def __init__(self, part: FlowPart) -> None:
        self._states = {state.name: state for state in part.states}
        self.initial = next((s.name for s in part.states if s.initial), part.states[0].name if part.states else "")
        self._transitions = part.transitions
        self._slots = {intent.name: {slot.name for slot in intent.slots} for intent in part.intents}
        self._allowed = {name: self._open(part, name) for name in self._states}

    def allowed(self, at: str) -> Collection[str] | None:
        """The intents that can be understood in a state; None for all."""
        return self._allowed.get(at)

    def restore(self, state: Mapping[str, Any], now: float) -> Place:
        """Where the dialogue stands, after the time-outs. What a changed flow no longer has is forgotten."""
        seen = state.get("seen")
        place = Place(self.initial, float(seen) if isinstance(seen, int | float) else now)
        at, last = state.get("at"), state.get("last")
        if isinstance(at, str) and at in self._states:
            place.at = at
        known = frozenset[str]().union(*self._slots.values())
        slots = state.get("slots")
        if isinstance(slots, Mapping):
            items = cast("Mapping[object, object]", slots).items()
            place.slots = {str(k): str(v)[:_SHORT] for k, v in items if k in known and isinstance(v, str)}
        place.last = last if isinstance(last, str) else ""
        place.asking = self._asking(state.get("asking"))
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

    def _asking(self, value: object) -> Asking | None:
        if not isinstance(value, Mapping):
            return None
        kept = cast("Mapping[str, object]", value)
        intent, slot, tries = kept.get("intent"), kept.get("slot"), kept.get("tries")
        if not isinstance(intent, str) or not isinstance(slot, str) or slot not in self._slots.get(intent, ()):
            return None
        return Asking(intent, slot, tries if isinstance(tries, int) else 1)

    def _time_out(self, place: Place, now: float) -> None:
        state = self._states.get(place.at)
        if state is None or state.timeout is None or now - place.seen <= state.timeout:
            return
        place.at, place.asking = state.on_timeout or self.initial, None
        if place.at == self.initial:
            place.slots = {}


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

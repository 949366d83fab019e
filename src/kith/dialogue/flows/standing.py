"""Where a dialogue stands, for people to look at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kith.dialogue.flows.forms import title
from kith.dialogue.flows.schema import FlowPart
from kith.dialogue.flows.state import Asking, Machine


def standing(part: FlowPart, machine: Machine, state: Mapping[str, Any], now: float) -> dict[str, Any]:
    """The state, the open form with what is known and missing, what is paused and queued; as JSON."""
    place = machine.restore(state, now)
    intents = {intent.name: intent for intent in part.intents}

    def form(asking: Asking, slots: Mapping[str, str]) -> dict[str, Any]:
        intent = intents[asking.intent]
        return {
            "intent": intent.name,
            "title": title(intent, place.language or part.locale),
            "asking": asking.slot or "confirm",
            "tries": asking.tries,
            "slots": {slot.name: slots[slot.name] for slot in intent.slots if slot.name in slots},
            "missing": [slot.name for slot in intent.slots if slot.required and not slots.get(slot.name)],
            "closes": machine.closes(asking),
        }

    return {
        "state": place.at,
        "slots": place.slots,
        "form": form(place.asking, place.slots) if place.asking else None,
        "paused": [form(asking, asking.slots) for asking in reversed(place.paused)],
        "queue": [form(asking, asking.slots) for asking in place.queue],
        "language": place.language,
        "last": place.last,
    }

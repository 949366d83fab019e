"""What a form does with a message: take it as an answer, a correction, a yes, a cancellation; or leave it to others."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from typing import Literal

from kith.core.turn import Entity
from kith.dialogue.flows.intents import Match
from kith.dialogue.flows.schema import IntentPart, Replies, SlotPart, spoken
from kith.dialogue.flows.slots import (
    acceptable,
    agrees,
    asks,
    cancels,
    changes,
    corrected,
    denies,
    kind,
    marked,
    named,
    skips,
    take,
    wanting,
)
from kith.dialogue.flows.state import Asking
from kith.dialogue.understanding.normal import normal
from kith.runtime.locale import tr

_SURE, _SURER = 0.6, 0.7  # how sure it has to be that a message is about something else; surer where any words are good
_DOUBTS = 2  # how often a question for yes or no is put again


@dataclass(frozen=True, slots=True)
class Heard:
    """A message as forms see it: its text, what was found in it, what else it may mean, and when it came.

    `free` are the entities that may be any words.
    """

    text: str
    entities: tuple[Entity, ...]
    match: Match
    free: Collection[str]
    now: float
    zone: tzinfo | None = None

    @property
    def said(self) -> str:
        """The text as it is compared."""
        return normal(self.text)

    def other(self, intent: IntentPart, sure: float) -> bool:
        """Whether the classifier takes it for another intent."""
        return (
            self.match.by in ("classifier", "model")
            and self.match.intent != intent.name
            and self.match.confidence >= sure
        )


@dataclass(frozen=True, slots=True)
class Move:
    """What comes of it. ``next``: go on, a value was taken; ``invalid``: `slot` does not accept what was said.

    `used` is the entity whose first value has been taken.
    """

    kind: Literal["next", "corrected", "done", "again", "invalid", "change", "cancelled", "gave_up", "other", "digress"]
    slot: SlotPart | None = None
    used: str = ""


def move(intent: IntentPart, asking: Asking, slots: dict[str, str], heard: Heard) -> Move:
    """Judge a message while `asking` stands; values that are accepted are written into `slots`."""
    own = heard.match.by == "rule" and heard.match.intent not in ("", intent.name)
    if cancels(heard.said) and not own:
        return Move("cancelled")
    if not asking.slot:
        return _confirming(intent, asking, slots, heard, own=own)
    slot = next((slot for slot in intent.slots if slot.name == asking.slot), None)
    if slot is None or own:
        return Move("other")
    return _asked(intent, slot, asking, slots, heard)


def _asked(intent: IntentPart, slot: SlotPart, asking: Asking, slots: dict[str, str], heard: Heard) -> Move:
    """The answer to a question for a value."""
    value = take(slot, heard.entities, set())
    open_to_all = kind(slot) in heard.free
    elsewhere = {name: other for name, other in _meant(intent, slots, heard).items() if name != slot.name}
    alike = any(kind(found) == kind(slot) for found in intent.slots if found.name in elsewhere)
    if elsewhere and (marked(heard.said) if value or open_to_all else True) and (alike or not value):
        return _corrected(intent, slots, elsewhere, heard) or Move("invalid", slot)
    if elsewhere and value and not alike and not open_to_all:
        _corrected(intent, slots, elsewhere, heard)
    if not value and changes(heard.said) and (wanted := named(intent, heard.said)) and slots.get(wanted.name):
        slots.pop(wanted.name)
        return Move("corrected", wanted)
    other = heard.other(intent, _SURER if open_to_all else _SURE)
    if not value and not slot.required and skips(heard.said):
        slots[slot.name] = ""
        return Move("next")
    if not value and open_to_all and not other and not asks(heard.text):
        value = heard.text.strip()
    if value and acceptable(slot.check, value, heard.now, heard.zone):
        slots[slot.name] = value
        return Move("next", used=kind(slot))
    if not value and other:
        return Move("other")
    if not value and asks(heard.text):
        return Move("digress", slot)
    if asking.tries >= slot.tries:
        return Move("gave_up")
    return Move("invalid" if value else "again", slot)


def _confirming(intent: IntentPart, asking: Asking, slots: dict[str, str], heard: Heard, *, own: bool) -> Move:
    """The answer to the question whether all is right."""
    said = heard.said
    if agrees(said):
        return Move("done")
    meant = _meant(intent, slots, heard)
    if meant and not own:
        return _corrected(intent, slots, meant, heard) or Move("invalid", _slot(intent, meant))
    wanted = named(intent, said)
    if wanted is not None and (changes(said) or marked(said)) and not own:
        slots.pop(wanted.name, None)
        return Move("corrected", wanted)
    if denies(said) or (changes(said) and len(said) < 40 and not own):
        return Move("change") if asking.tries <= 1 else Move("cancelled")
    if own or heard.other(intent, _SURE):
        return Move("other")
    if asks(heard.text):
        return Move("digress")
    return Move("again") if asking.tries <= _DOUBTS else Move("gave_up")


def _meant(intent: IntentPart, slots: dict[str, str], heard: Heard) -> dict[str, str]:
    return corrected(intent, heard.entities, slots, heard.said) if heard.entities else {}


def _corrected(intent: IntentPart, slots: dict[str, str], changed: dict[str, str], heard: Heard) -> Move | None:
    """Take the changes, if every one is acceptable."""
    checks = {slot.name: slot.check for slot in intent.slots}
    if not all(acceptable(checks[name], value, heard.now, heard.zone) for name, value in changed.items()):
        return None
    slots.update(changed)
    return Move("corrected")


def _slot(intent: IntentPart, changed: dict[str, str]) -> SlotPart | None:
    return next((slot for slot in intent.slots if slot.name in changed), None)


def question(intent: IntentPart, slots: dict[str, str], language: str) -> tuple[str, list[str]] | None:
    """What to ask next: the slot's name and its prompts; name "" for the confirmation; None when nothing is left."""
    missing = wanting(intent, slots)
    if missing is not None:
        return missing.name, spoken(missing.prompt, language)
    if intent.form is not None and intent.form.confirm is not None:
        return "", spoken(intent.form.confirm, language)
    return None


def title(intent: IntentPart, language: str) -> str:
    """What a form is called when one speaks of it."""
    given = spoken(intent.form.title, language) if intent.form else []
    return given[0] if given else intent.name.replace("_", " ")


def words(intent: IntentPart, key: Literal["expired", "cancelled", "gave_up"], language: str) -> list[str]:
    """What is said when a form ends without being done: its own words, else those of the house."""
    own: Replies | None = getattr(intent.form, key) if intent.form else None
    return spoken(own, language) or [tr(f"dialogue.form.{key}", language, title=title(intent, language))]


def fill(intent: IntentPart, entities: Sequence[Entity], slots: dict[str, str], used: str, heard: Heard) -> None:
    """Put what a message says into the slots that have no value yet; `used` is an entity whose first value is taken."""
    taken = {next((i for i, e in enumerate(entities) if e.name == used), -1)} if used else set[int]()
    for slot in intent.slots:
        if slots.get(slot.name):
            continue
        value = take(slot, entities, taken)
        if value and acceptable(slot.check, value, heard.now, heard.zone):
            slots[slot.name] = value

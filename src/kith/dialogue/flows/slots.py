"""What people say to a form besides its values: yes, no, never mind, "no, Tuesday"; and which values may be taken."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, tzinfo
from pathlib import Path

from kith.core.turn import Entity
from kith.dialogue.flows.schema import CheckPart, IntentPart, SlotPart
from kith.dialogue.understanding.normal import normal


def _replies() -> dict[str, frozenset[str]]:
    """The words of `replies.txt` by section, normalised."""
    text = (Path(__file__).parent / "replies.txt").read_text("utf-8")
    found: dict[str, frozenset[str]] = {}
    section = ""
    for line in text.splitlines()[1:]:
        if line.startswith("["):
            section = line.strip("[]")
        else:
            found[section] = found.get(section, frozenset()) | {normal(words) for words in line.split("|")}
    return found


_REPLIES = _replies()
_POLITE = re.compile(
    r"^(?:oh|well|hmm|please|um|ah|哦|嗯|那|呃)\s*|"
    r"\s*(?:please|thanks|thank you|then|谢谢|了吧|吧)$"
)
_MARK = re.compile(
    r"^(?:(?:oh |sorry |wait |hmm )*(?:no|nope|not that|actually|sorry|i mean|i meant|i said|rather|make it|make that|"
    r"change|correction|instead|wrong|update|set|switch|better|it is|it should be)\b)|"
    r"\b(?:instead|i meant|i mean|rather)\b|"
    r"^(?:哦|啊|等等|等下|对不起|抱歉)*(?:不对|不是|不|错了|我是说|我说的是|应该是|改成|改为|换成|改|更正|说错了|还是|要改)|"
    r"改成|改为|换成|改到|换到|应该是|说错了|我是说|而是"
)
_CHANGE = re.compile(r"\b(?:change|update|correct|edit|wrong)\b|改|换|错|不对")
_QUESTION = re.compile(
    r"[?？]\s*$|^(?:what|who|whom|whose|when|where|why|which|how|is|are|do|does|did|can|could|will|would|should)\b|"
    r"(?:吗|呢|么)$|什么|怎么|为什么|多少钱|哪里|哪儿|谁|几点开"
)
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def cancels(said: str) -> bool:
    """Whether a normalised text calls the whole thing off."""
    return _meant(said, "cancel")


def agrees(said: str) -> bool:
    """Whether it says yes."""
    return _meant(said, "yes")


def denies(said: str) -> bool:
    """Whether it says no, and nothing else."""
    return _meant(said, "no")


def skips(said: str) -> bool:
    """Whether it says that there is nothing to say."""
    return _meant(said, "skip")


def asks(text: str) -> bool:
    """Whether a text looks like a question."""
    return bool(_QUESTION.search(text.strip().casefold()))


def marked(said: str) -> bool:
    """Whether a normalised text takes back what was said before."""
    return bool(_MARK.search(said))


def changes(said: str) -> bool:
    """Whether a normalised text asks for something to be changed."""
    return bool(_CHANGE.search(said))


def named(intent: IntentPart, said: str) -> SlotPart | None:
    """The slot that a normalised text calls by its name or by one of its words; the longest word wins."""
    found: list[tuple[int, SlotPart]] = []
    for slot in intent.slots:
        for word in (slot.name.replace("_", " "), *slot.words):
            plain = normal(word)
            edge = r"\b" if plain.isascii() else ""
            if plain and re.search(f"{edge}{re.escape(plain)}{edge}", said):
                found.append((len(plain), slot))
    return max(found, key=lambda item: item[0])[1] if found else None


def take(slot: SlotPart, entities: Sequence[Entity], used: set[int]) -> str:
    """The value of the first entity of the slot's kind that no other slot has taken."""
    for index, entity in enumerate(entities):
        if index not in used and entity.name == kind(slot):
            used.add(index)
            return entity.value
    return ""


def kind(slot: SlotPart) -> str:
    """The entity that fills a slot."""
    return slot.entity or slot.name


def wanting(intent: IntentPart, slots: Mapping[str, str]) -> SlotPart | None:
    """What is still missing: the first required slot without a value, then any that was never asked for."""
    for slot in intent.slots:
        if slot.required and not slots.get(slot.name):
            return slot
    return next((slot for slot in intent.slots if slot.prompt and slot.name not in slots), None)


def corrected(intent: IntentPart, entities: Sequence[Entity], slots: Mapping[str, str], said: str) -> dict[str, str]:
    """The slots that a message changes, with their new values: the one that it names, else those of its values' kinds.

    Of several slots of one kind, the last one filled is meant. "Not the 5th, the 6th" means the last value.
    """
    wanted = named(intent, said)
    if wanted is not None and any(entity.name == kind(wanted) for entity in entities):
        return {wanted.name: next(e.value for e in reversed(entities) if e.name == kind(wanted))}
    found: dict[str, str] = {}
    filled = [slot for slot in intent.slots if slots.get(slot.name)]
    for name in dict.fromkeys(entity.name for entity in entities):
        of_kind = [slot for slot in filled if kind(slot) == name]
        if of_kind:
            found[of_kind[-1].name] = next(e.value for e in reversed(entities) if e.name == name)
    return found


def acceptable(check: CheckPart | None, value: str, now: float, zone: tzinfo | None) -> bool:
    """Whether a value is what the slot's check wants."""
    if check is None:
        return True
    number = _NUMBER.match(value)
    if check.min is not None and (number is None or float(number[0]) < check.min):
        return False
    if check.max is not None and (number is None or float(number[0]) > check.max):
        return False
    if check.choices and value.casefold() not in {choice.casefold() for choice in check.choices}:
        return False
    if check.regex is not None and not re.fullmatch(check.regex, value, re.IGNORECASE):
        return False
    return not check.future or _ahead(value, now, zone)


def _ahead(value: str, now: float, zone: tzinfo | None) -> bool:
    """Whether a date is today or later; what is no date may be meant for any day."""
    try:
        today = datetime.fromtimestamp(now, UTC).astimezone(zone).date()
        return date.fromisoformat(value[:10]) >= today
    except (ValueError, OverflowError, OSError):
        return True


def _meant(said: str, section: str) -> bool:
    words = _REPLIES[section]
    return said in words or _POLITE.sub("", said).strip() in words

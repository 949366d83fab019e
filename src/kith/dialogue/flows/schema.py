"""What a flow file may say. The smallest is ``{"intents": [{"name", "patterns", "response"}]}``."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints, field_validator

from kith.runtime.settings import Section

RESERVED = ("*", "unknown")  # in a transition: any intent that was understood, and none
_NAME = re.compile(r"[^\W\d][\w.-]{0,63}")


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError("a name is 1 to 64 letters, digits, '_', '-' or '.', and begins with a letter")
    if text in RESERVED:
        raise ValueError(f"{text!r} is reserved")
    return text


Name = Annotated[str, AfterValidator(_name)]
Words = Annotated[str, StringConstraints(min_length=1, max_length=4000)]
Phrase = Annotated[str, StringConstraints(min_length=1, max_length=500)]
Language = Literal["en", "zh"]
PerLanguage = dict[Language, list[Words] | Words]
Replies = Words | list[Words] | PerLanguage  # one, several to pick from, or either per language
Seconds = Annotated[float, Field(gt=0, le=31_536_000)]


class ActionPart(Section):
    """What happens instead of, or after, a fixed answer: one of `model`, `tool`, `recall`, `handover`, `persona`."""

    model: bool | Words | dict[Language, Words] | None = None
    tool: Annotated[str, StringConstraints(min_length=1, max_length=128)] | None = None
    arguments: dict[str, Any] = Field(default_factory=dict[str, Any], max_length=64)
    recall: bool | Words | dict[Language, Words] | None = None
    handover: bool | Words | dict[Language, Words] | None = None
    persona: Words | None = None


class CheckPart(Section):
    """What a slot's value has to be; `reason` is said when it is not.

    `min` and `max` are for the number with which a value begins, `future` for dates and times.
    """

    min: float | None = None
    max: float | None = None
    choices: list[Words] = Field(default_factory=list[str], max_length=500)
    regex: Phrase | None = None
    future: bool = False
    reason: Replies | None = None


class SlotPart(Section):
    """Something that an intent has to know: an entity, and how to ask for it. Asked at most `tries` times.

    `words` are what people call it when they correct it. One that is not `required` is asked for once, if it has a
    prompt, and may be passed over.
    """

    name: Name
    entity: Name | None = None
    prompt: Replies | None = None
    required: bool = True
    tries: int = Field(2, ge=1, le=10)
    check: CheckPart | None = None
    words: list[Phrase] = Field(default_factory=list[str], max_length=50)


class FormPart(Section):
    """How the slots of an intent are asked for. `title` is what the form is called, `confirm` what has to be agreed to.

    After `timeout` seconds without an answer it is closed, and the next reply says so.
    """

    title: Replies | None = None
    confirm: Replies | None = None
    timeout: Seconds = 1800.0
    expired: Replies | None = None
    cancelled: Replies | None = None
    gave_up: Replies | None = None


class IntentPart(Section):
    """What people may say, and what is answered.

    `response` is taken literally; `response_template` and `responses` fill ``{placeholders}``.
    """

    name: Name
    patterns: list[Phrase] = Field(min_length=1, max_length=5000)
    response: Replies | None = None
    response_template: Replies | None = None
    responses: Replies | None = None
    action: Name | ActionPart | None = None
    slots: list[SlotPart] = Field(default_factory=list[SlotPart], max_length=32)
    form: FormPart | None = None
    states: list[Name] | None = None


class EntityPart(Section):
    """Words with what they mean, regular expressions (group 1 or ``value`` is the value), or any words (`free`)."""

    name: Name
    values: dict[Words, Words | list[Words]] | list[Words] = Field(
        default_factory=dict[str, str | list[str]], max_length=20_000
    )
    regex: Phrase | list[Phrase] = Field(default_factory=list[str], max_length=500)
    free: bool = False


class StatePart(Section):
    """A place in the dialogue. After `timeout` seconds of silence it moves on, by default to the initial state."""

    name: Name
    initial: bool = False
    timeout: Seconds | None = None
    on_timeout: Name | None = None


class TransitionPart(Section):
    """From a state to another, on an intent, when every guard holds: slot or entity to value, values, or true/false."""

    from_: str | list[str] = Field("*", alias="from")
    on: str | list[str]
    to: Name
    when: dict[Name, bool | Words | list[Words]] = Field(default_factory=dict[str, bool | str | list[str]])
    responses: Replies | None = None
    action: Name | ActionPart | None = None

    @field_validator("on", "from_")
    @classmethod
    def _some(cls, value: str | list[str]) -> str | list[str]:
        if not value:
            raise ValueError("names nothing")
        return value


class TestPart(Section):
    """A thing to say and what has to be understood; an empty `intent` says: nothing."""

    __test__ = False  # not a test of pytest's

    say: Words
    intent: str = ""
    state: Name | None = None
    answer: Words | None = None


class FlowPart(Section):
    """A whole flow file. `out_of_scope` are phrases of no intent, from which the classifier learns what to refuse."""

    name: Name = "flow"
    locale: Language = "en"
    threshold: float = Field(0.4, ge=0, le=1)
    intents: list[IntentPart] = Field(min_length=1, max_length=2000)
    entities: list[EntityPart] = Field(default_factory=list[EntityPart], max_length=500)
    states: list[StatePart] = Field(default_factory=list[StatePart], max_length=500)
    transitions: list[TransitionPart] = Field(default_factory=list[TransitionPart], max_length=5000)
    actions: dict[Name, ActionPart] = Field(default_factory=dict[str, ActionPart], max_length=500)
    otherwise: Replies | None = None
    out_of_scope: list[Phrase] = Field(default_factory=list[str], max_length=5000)
    tests: list[TestPart] = Field(default_factory=list[TestPart], max_length=5000)


def listed(value: str | list[str]) -> list[str]:
    """One or several, as several."""
    return [value] if isinstance(value, str) else list(value)


def spoken(replies: Replies | None, language: str) -> list[str]:
    """The replies in `language`; where they are given per language and not in this one, those of another."""
    if replies is None:
        return []
    if isinstance(replies, dict):
        ordered = sorted(replies.items(), key=lambda item: item[0] != language)
        return listed(ordered[0][1]) if ordered else []
    return listed(replies)


def every(replies: Replies | None) -> list[str]:
    """All replies in all languages."""
    if isinstance(replies, dict):
        return [text for group in replies.values() for text in listed(group)]
    return [] if replies is None else listed(replies)

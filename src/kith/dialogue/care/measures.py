"""What Kith says and does when somebody may be in danger, when a talk gets long, and when a minor is speaking."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from pydantic import Field

from kith.core.ids import conversation_id
from kith.core.message import Message, Text
from kith.core.people import Parcel
from kith.runtime.locale import tr
from kith.runtime.settings import Section

MINOR = (
    "The person is a minor. Keep everything suitable for a child; no romance, violence in detail, gambling, alcohol or "
    "drugs. Suggest talking to a parent or teacher about anything serious."
)


class Tier(IntEnum):
    """What danger that shows in a message asks for, from nothing to the script."""

    NONE = 0
    UNCLEAR = 1  # a gentle question
    LIKELY = 2  # a question that names help lines
    SURE = 3  # the scripted answer


@dataclass(frozen=True, slots=True)
class Worry:
    """How far danger shows in a message; false where it does not. `other`: somebody else is who hurts."""

    tier: Tier = Tier.NONE
    other: bool = False

    def __bool__(self) -> bool:
        return self.tier > Tier.NONE


class HelpLine(Section):
    """A number that somebody in distress can call."""

    name: str = Field(min_length=1, max_length=80, description="Whose line it is, as it is shown.")
    number: str = Field(min_length=2, max_length=40, description="What to dial.")


class Contact(Section):
    """The person who is told when somebody may be in danger, at their own address on a channel."""

    name: str = Field(min_length=1, max_length=60, description="Who is told; named to the one in danger.")
    channel: str = Field(min_length=1, max_length=64, description="The channel on which they are told.")
    account: str = Field(default="", max_length=200, description="The account of that channel; empty for its only one.")
    conversation: str = Field(min_length=1, max_length=200, description="Their conversation there, in its own terms.")


class CareSettings(Section):
    """The section ``dialogue.care``. The safe answer itself cannot be switched off."""

    help_lines: tuple[HelpLine, ...] = Field(default=(), description="Help lines to name; the shipped ones when empty.")
    contact: Contact | None = Field(default=None, description="Who is told when somebody may be in danger.")
    break_after: float = Field(
        default=7200.0,
        ge=0,
        description="Seconds of talk without a pause after which a break is suggested; 0 for never.",
    )
    minor: bool = Field(default=False, description="Whether a minor speaks: stricter rules, earlier breaks.")

    @property
    def rest(self) -> float:
        """Seconds after which a break is suggested: for a minor an hour at most."""
        return min(self.break_after or 3600.0, 3600.0) if self.minor else self.break_after


def safe_answer(settings: CareSettings, locale: str, *, threatened: bool = False) -> str:
    """The scripted answer to somebody who may be in danger; no model has a part in it.

    Who is `threatened` by somebody gets other lines, and nobody of the household is told: it may be the one they fear.
    """
    lines = "\n".join(f"- {line.name}: {line.number}" for line in settings.help_lines)
    if threatened:
        numbers = tr("dialogue.crisis.refuges", locale)
        return "\n\n".join((tr("dialogue.crisis.threatened", locale), f"{lines}\n{numbers}".strip()))
    parts = [tr("dialogue.crisis.heard", locale), lines or tr("dialogue.crisis.lines", locale)]
    if settings.contact is not None:
        parts.append(tr("dialogue.crisis.told", locale, name=settings.contact.name))
    return "\n\n".join([*parts, tr("dialogue.crisis.now", locale)])


def doubtful_answer(settings: CareSettings, locale: str, *, threatened: bool = False) -> str:
    """The question to somebody who is likely, not surely, in danger: a yes or a no answers it, and help is named in it.

    No model has a part in it either. Who may be `threatened` by somebody is asked about that and gets other lines.
    """
    own = tr("dialogue.crisis.comma", locale).join(f"{line.name} ({line.number})" for line in settings.help_lines)
    shipped = tr("dialogue.crisis.refuge" if threatened else "dialogue.crisis.line", locale)
    lines = tr("dialogue.crisis.comma", locale).join(filter(None, (own, shipped if threatened or not own else "")))
    return tr("dialogue.crisis.ask_threatened" if threatened else "dialogue.crisis.ask_line", locale, lines=lines)


def alarm(contact: Contact, turn: str, who: str, locale: str, now: float) -> Parcel:
    """The word to the named person: who may need them, and nothing of what was said."""
    text = tr("dialogue.crisis.alarm", locale, who=who or tr("dialogue.crisis.someone", locale))
    message = Message(f"{turn}_care", "assistant", (Text(text),), now)
    return Parcel(
        id=message.id,
        sequence=0,
        conversation=conversation_id(contact.channel, contact.account, contact.conversation),
        channel=contact.channel,
        account=contact.account,
        target=contact.conversation,
        message=message,
        due=now,
    )

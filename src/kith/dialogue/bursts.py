"""Messages of one person that come shortly after each other and are one thing said: which, and as what."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from kith.core.message import Envelope
from kith.core.turn import Claim
from kith.dialogue.flows.flow import Flow
from kith.dialogue.flows.intents import Match
from kith.dialogue.flows.slots import agrees, cancels, denies
from kith.dialogue.initiative.wishes import read_wish
from kith.dialogue.manners import MannersSettings
from kith.dialogue.memory.speech import about_memory
from kith.dialogue.threads import goes_on
from kith.dialogue.understanding.normal import normal
from kith.dialogue.values.zones import asked_there, zone_wanted


def pause(settings: MannersSettings, envelope: Envelope) -> float:
    """For how many seconds a message waits for more; 0 for what somebody waits for, and for what Kith says first."""
    if not envelope.deliver or envelope.message.role != "user":
        return 0.0
    return envelope.pause if settings.debounce is None else settings.debounce


def joinable(first: Envelope, later: Envelope) -> bool:
    """Whether `later` may be answered together with `first`: the same person in one place, answered by the outbox."""
    said = first.message.role == later.message.role == "user"
    there = (first.channel, first.account, first.conversation, first.sender)
    same = there == (later.channel, later.account, later.conversation, later.sender)
    return said and first.deliver and later.deliver and same and first.kind == later.kind and not later.edits


def whole(text: str, flow: Flow, now: float) -> bool:
    """Whether a message means something by itself, by some rule: then it is answered by itself, and at once.

    Two wishes to be reminded in one burst are two reminders; what no rule knows may be the half of a sentence.
    """
    plain = normal(text)
    if agrees(plain) or denies(plain) or cancels(plain) or goes_on(text) or about_memory(text):
        return True
    if zone_wanted(text) is not None or asked_there(text) or read_wish(text, now, None) is not None:
        return True
    read = flow.read(text, {}, locale="", now=now, values={}, pick=lambda texts: texts[0], layer=_unsaid)
    return read.understanding.by == "rule"


def _unsaid(said: str, allowed: Collection[str] | None) -> Match:
    """A layer that has no opinion, so that only rules are asked."""
    del said, allowed
    return Match()


def joined(claim: Claim, alone: Callable[[str], bool] = lambda _: False) -> tuple[Envelope, tuple[str, ...]]:
    """A claimed message and those behind it as one, up to the first that stands `alone`; and the ids of the latter."""
    along: list[tuple[str, Envelope]] = []
    for name, envelope in claim.following:
        if not joinable(claim.envelope, envelope) or alone(envelope.message.text):
            break
        along.append((name, envelope))
    return _merged(claim.envelope, [envelope for _, envelope in along]), tuple(name for name, _ in along)


def _merged(first: Envelope, rest: Sequence[Envelope]) -> Envelope:
    if not rest:
        return first
    parts = tuple(part for envelope in (first, *rest) for part in envelope.message.parts)
    return replace(first, platform_id=rest[-1].platform_id, message=replace(first.message, parts=parts))

"""Manners of listening: a burst of messages is one thing said, and a new message may change the reply to the last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from pydantic import Field

from kith.core.message import Envelope
from kith.core.turn import Claim
from kith.runtime.settings import Section

LONGEST = 10.0  # seconds that a burst may keep its answer waiting


class MannersSettings(Section):
    """The section ``dialogue.manners``. Both are off at first: every message gets an answer of its own, in order."""

    debounce: float = Field(
        default=0.0,
        ge=0,
        le=10,
        description="Seconds of silence after a message before it is answered, together with what came meanwhile.",
    )
    interjection: Literal["queue", "steer", "interrupt"] = Field(
        default="queue",
        description="What a message does to a reply that is being made: waits its turn, changes it, or stops it.",
    )


def joinable(first: Envelope, later: Envelope) -> bool:
    """Whether `later` may be answered together with `first`: the same person in one place, answered by the outbox."""
    said = first.message.role == later.message.role == "user"
    there = (first.channel, first.account, first.conversation, first.sender)
    same = there == (later.channel, later.account, later.conversation, later.sender)
    return said and first.deliver and later.deliver and same and not later.edits


def joined(claim: Claim) -> tuple[Envelope, tuple[str, ...]]:
    """A claimed message and those behind it as one, and the ids of the latter."""
    along: list[tuple[str, Envelope]] = []
    for name, envelope in claim.following:
        if not joinable(claim.envelope, envelope):
            break
        along.append((name, envelope))
    return _merged(claim.envelope, [envelope for _, envelope in along]), tuple(name for name, _ in along)


def _merged(first: Envelope, rest: Sequence[Envelope]) -> Envelope:
    if not rest:
        return first
    parts = tuple(part for envelope in (first, *rest) for part in envelope.message.parts)
    return replace(first, platform_id=rest[-1].platform_id, message=replace(first.message, parts=parts))

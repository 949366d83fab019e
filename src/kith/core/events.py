"""Facts that one room publishes and others may care about."""

from __future__ import annotations

from dataclasses import dataclass

from kith.core.turn import Turn


@dataclass(frozen=True, slots=True)
class MessageReceived:
    """A message was committed to the inbox."""

    id: str
    conversation: str
    channel: str


@dataclass(frozen=True, slots=True)
class TurnFinished:
    """A turn was committed."""

    turn: Turn
    channel: str


@dataclass(frozen=True, slots=True)
class ParcelSettled:
    """A reply reached its end: sent, dead or stale."""

    id: str
    channel: str
    state: str


@dataclass(frozen=True, slots=True)
class FlowReloaded:
    """Another flow is in force, or (with `error`) the old one was kept because the new one is broken."""

    path: str
    error: str = ""


@dataclass(frozen=True, slots=True)
class ModelChanged:
    """A model's worker changed state: ``ready``, ``failed``, ``stopped``."""

    model: str
    state: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Reacted:
    """Somebody put a sign (`reaction`, with ``-`` in front: took it away) to the reply `message`."""

    conversation: str
    message: str
    sender: str
    channel: str
    reaction: str


Event = MessageReceived | TurnFinished | ParcelSettled | FlowReloaded | ModelChanged | Reacted

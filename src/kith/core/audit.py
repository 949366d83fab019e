"""The audit log: who did what to what, and what it changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class By:
    """Who acts, by the id of the principal, and from where: an address, or ``console`` at the machine itself."""

    actor: str = "owner"
    origin: str = "console"


@dataclass(frozen=True, slots=True)
class Act:
    """One act of somebody. `name` is ``thing.verb``; `origin` the address or place it came from; `detail` is small.

    Never a secret in it, and nothing of what people say.
    """

    name: str
    actor: str
    subject: str = ""
    origin: str = ""
    outcome: Literal["done", "refused"] = "done"
    detail: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Entry:
    """An act as it was written down: its place in the log, its instant, and the hash that holds the chain together.

    `hash` is the SHA-256, in hex, of the former entry's hash and of everything in this one.
    """

    number: int
    at: float
    act: Act
    hash: str


@dataclass(frozen=True, slots=True)
class Change:
    """What an act does to one record: put `value`, or with None take it away.

    `when` it has to be ``absent`` or ``present`` before, else nothing of the act happens.
    """

    kind: str
    key: str
    value: Mapping[str, Any] | None
    when: Literal["any", "absent", "present"] = "any"

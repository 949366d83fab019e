"""Identifiers: sortable by time where they are made, derived where two places must agree."""

from __future__ import annotations

import hashlib
import random

from kith.core.clock import Clock

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32, as in the ULID specification
_PAIRS = tuple(first + second for first in _ALPHABET for second in _ALPHABET)


class Ids:
    """Makes identifiers ``prefix_`` + 26 characters: 48 bits of milliseconds, then 80 random bits (the ULID layout).

    Two made by one object sort in the order in which they were made, also when the clock steps back.
    """

    def __init__(self, clock: Clock, source: random.Random | None = None) -> None:
        self._clock = clock
        self._random = source or random.SystemRandom()
        self._last = 0

    def new(self, prefix: str) -> str:
        value = int(self._clock.now() * 1000) << 80 | self._random.getrandbits(80)
        if value <= self._last:
            value = self._last + 1 + self._random.getrandbits(32)
        self._last = value
        return f"{prefix}_{''.join([_PAIRS[value >> shift & 1023] for shift in range(120, -1, -10)])}"


def conversation_id(channel: str, account: str, handle: str) -> str:
    """The id of the conversation that a platform calls `handle`: the same on every node, without asking anyone."""
    return f"c_{_digest(channel, account, handle)}"


def person_id(channel: str, account: str, handle: str) -> str:
    """The id given to the person first met as `handle`. Linking accounts may later point it at another person."""
    return f"p_{_digest(channel, account, handle)}"


def _digest(*parts: str) -> str:
    return hashlib.blake2b("\x1f".join(parts).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()

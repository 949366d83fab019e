"""How fast a platform lets us speak: token buckets for the whole account and for each chat."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from kith.core.clock import Clock

_RATE = re.compile(r"(\d+(?:\.\d+)?)/(\d+(?:\.\d+)?)")
_CHATS = 10_000


@dataclass(frozen=True, slots=True)
class Rate:
    """`count` messages in `seconds`; 0 for no limit."""

    count: float = 0.0
    seconds: float = 1.0

    @classmethod
    def read(cls, text: str) -> Self:
        """``n/seconds`` as in a manifest; empty for no limit. Raises `ValueError`."""
        if not text:
            return cls()
        found = _RATE.fullmatch(text.replace(" ", ""))
        if found is None or not float(found[1]) or not float(found[2]):
            raise ValueError(f"{text!r} is not a rate: n/seconds")
        return cls(float(found[1]), float(found[2]))


class Pace:
    """One bucket for the account, one for each chat."""

    def __init__(self, account: Rate, chat: Rate, clock: Clock) -> None:
        self._account, self._chat, self._clock = account, chat, clock
        self._due = 0.0
        self._chats: dict[str, float] = {}

    def take(self, chat: str) -> float:
        """0 when a message to `chat` may be sent now, and is counted; else the seconds until it may (and nothing is).

        The virtual-scheduling form of the leaky bucket (ITU-T I.371, generic cell rate algorithm): a full bucket
        lets `count` messages out at once, then one each ``seconds / count``.
        """
        now, own = self._clock.monotonic(), self._chats.get(chat, 0.0)
        wait = max(_wait(self._account, self._due, now), _wait(self._chat, own, now))
        if wait > 0:
            return wait
        self._due = _next(self._account, self._due, now)
        if self._chat.count:
            self._chats.pop(chat, None)
            self._chats[chat] = _next(self._chat, own, now)
            if len(self._chats) > _CHATS:
                self._chats.pop(next(iter(self._chats)))
        return 0.0

    async def wait(self, chat: str) -> None:
        """Returns when a message to `chat` may be sent, and has been counted."""
        while (seconds := self.take(chat)) > 0:
            await self._clock.sleep(seconds)


def _wait(rate: Rate, due: float, now: float) -> float:
    return max(0.0, due - rate.seconds * (rate.count - 1) / rate.count - now) if rate.count else 0.0


def _next(rate: Rate, due: float, now: float) -> float:
    return max(due, now) + rate.seconds / rate.count if rate.count else 0.0

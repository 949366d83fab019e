"""Calls from outside: refused when repeated or too old, kept aside for a while when nobody understood them."""

from __future__ import annotations

import base64
from collections import OrderedDict
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from kith.core.channel import Hook
from kith.core.clock import Clock
from kith.core.errors import Refused
from kith.core.ports import Records

WINDOW = 300.0
_SEEN = 20_000
_SLOTS = 50
_LARGEST = 16 * 1024
_KEPT = 86_400.0
_TELLING = ("content-type", "user-agent", "content-length")


class Replay:
    """Remembers what came within the window. A call older (or newer) than it cannot be told from a repeated one.

    In memory: after a restart the inbox still knows every message by its id.
    """

    def __init__(self, clock: Clock, window: float = WINDOW) -> None:
        self._clock, self._window = clock, window
        self._seen: OrderedDict[str, float] = OrderedDict()

    def check(self, at: float, key: str) -> None:
        """A call signed at the instant `at`, which `key` (its signature or nonce) tells from all others.

        Raises `Refused` (code ``replayed``). To be called after the signature was found good.
        """
        now = self._clock.now()
        while self._seen and (next(iter(self._seen.values())) < now - 2 * self._window or len(self._seen) > _SEEN):
            self._seen.popitem(last=False)
        if not now - self._window <= at <= now + self._window:
            raise Refused("this call is too old, or the clocks differ", code="replayed")
        if key in self._seen:
            raise Refused("this call was made before", code="replayed")
        self._seen[key] = now

    @contextmanager
    def until_kept(self, key: str) -> Generator[None]:
        """What was checked is kept when this ends well. However else it ends, by an error or because whoever called
        did not wait, the same call is welcome again."""
        try:
            yield
        except BaseException:
            self._seen.pop(key, None)
            raise


class Aside:
    """The last calls of each channel that could not be understood: 50, of at most 16 KiB, for a day, encrypted."""

    def __init__(self, records: Records, clock: Clock) -> None:
        self._records, self._clock = records, clock
        self._next: dict[str, int] = {}

    async def keep(self, channel: str, request: Hook, reason: str) -> None:
        """Lay a call aside. Nothing of its headers that could be a secret."""
        place = self._next.get(channel, 0)
        self._next[channel] = (place + 1) % _SLOTS
        value = {
            "at": self._clock.now(),
            "method": request.method,
            "headers": {name: request.headers[name][:200] for name in _TELLING if name in request.headers},
            "body": base64.b64encode(request.body[:_LARGEST]).decode(),
            "reason": reason[:500],
        }
        await self._records.put("hook", f"{channel}:{place}", value)

    async def kept(self, channel: str) -> Sequence[Mapping[str, Any]]:
        """What lies aside for a channel, oldest first; what is older than a day is thrown away."""
        now, found = self._clock.now(), list[Mapping[str, Any]]()
        for key, value in (await self._records.all("hook")).items():
            if float(value["at"]) < now - _KEPT:
                await self._records.delete("hook", key)
            elif key.rpartition(":")[0] == channel:
                found.append(value)
        return sorted(found, key=lambda one: float(one["at"]))

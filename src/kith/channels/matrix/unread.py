"""What came encrypted and could not be read yet: kept until its keys come, over a restart too, within bounds.

The events lie in the records as they came, sealed by whoever sent them. They are kept before the place in the stream of
updates is, so none is lost between the two; one that was read is let go of only after it was accepted. With each
stands whose it is, so that it goes with everything else of somebody who is erased.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from kith.channels.kit import Kit
from kith.core.ids import person_id

_KIND = "unread"
_MOST = 1000
_LONGEST = 86400.0  # seconds after which no key is expected any more


@dataclass(frozen=True, slots=True)
class Sealed:
    """One event that cannot be read: in which room, since when."""

    name: str
    room: str
    event: Any
    at: float


class Unread:
    """Those of one account of one channel."""

    def __init__(self, kit: Kit, channel: str, account: str) -> None:
        self._kit, self._channel, self._account = kit, channel, account
        self._prefix = f"{channel}:{account}:"
        self._kept: OrderedDict[str, Sealed] = OrderedDict()

    async def load(self, revive: Callable[[str, Mapping[str, Any]], Any]) -> None:
        """Take up what was kept before; `revive` makes an event of its room and source, None of what is none."""
        kept = (await self._kit.records.all(_KIND)).items()
        mine = [(key, value) for key, value in kept if key.startswith(self._prefix)]
        for key, value in sorted(mine, key=lambda one: float(one[1].get("at", 0.0))):
            name, room, source = key.removeprefix(self._prefix), str(value.get("room", "")), value.get("event")
            event = revive(room, cast("Mapping[str, Any]", source)) if isinstance(source, Mapping) else None
            if event is None:
                await self._kit.records.delete(_KIND, key)
            else:
                self._kept[name] = Sealed(name, room, event, float(value.get("at", 0.0)))

    def all(self) -> tuple[Sealed, ...]:
        """The oldest first."""
        return tuple(self._kept.values())

    async def keep(self, room: str, event: Any) -> None:
        """Keep one, once. Where twice too many are kept, because nobody can be told, the oldest goes."""
        name = str(event.event_id)
        if name not in self._kept:
            while len(self._kept) >= 2 * _MOST:
                await self.drop(next(iter(self._kept.values())))
            made = Sealed(name, room, event, self._kit.clock.now())
            whose = person_id(self._channel, self._account, str(event.sender))
            value = {"room": room, "event": event.source, "at": made.at, "person": whose}
            await self._kit.records.put(_KIND, self._prefix + name, value)
            self._kept[name] = made

    async def there(self, one: Sealed) -> bool:
        """Whether one is kept still: its sender may have been erased meanwhile."""
        if await self._kit.records.get(_KIND, self._prefix + one.name) is not None:
            return True
        self._kept.pop(one.name, None)
        return False

    async def drop(self, one: Sealed) -> None:
        """Let go of one: it was read, or never will be."""
        self._kept.pop(one.name, None)
        await self._kit.records.delete(_KIND, self._prefix + one.name)

    def hopeless(self) -> tuple[Sealed, ...]:
        """Those that are too old, or too many."""
        now, over = self._kit.clock.now(), max(len(self._kept) - _MOST, 0)
        return tuple(one for n, one in enumerate(self._kept.values()) if n < over or now - one.at > _LONGEST)

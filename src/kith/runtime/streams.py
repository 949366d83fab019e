"""What is being said right now, to whoever is looking: a live hub with a short memory, so that a reader can resume."""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_TOPICS = 1000
_RING = 64 * 1024
_READER = 64 * 1024
PIECES = ("delta", "reset")  # of a reply that is being made; ``reset`` takes back those before it


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """One thing that happened on a topic; ids of one hub grow."""

    id: int
    kind: str
    data: Mapping[str, Any]
    size: int


@dataclass(slots=True)
class _Topic:
    ring: deque[StreamEvent] = field(default_factory=deque[StreamEvent])
    bytes: int = 0
    readers: set[Subscription] = field(default_factory=lambda: set[Subscription]())


class Subscription:
    """One reader of one topic. Iterates over events until closed.

    A reader that does not keep up costs at most 64 KiB: then it is cut off (`lagged` becomes true and iteration ends),
    and resumes from the last event it saw, or from storage.
    """

    def __init__(self, hub: Streams, topic: str) -> None:
        self._hub = hub
        self._topic = topic
        self._waiting: deque[StreamEvent] = deque()
        self._bytes = 0
        self._wake = asyncio.Event()
        self._closed = False
        self.lagged = False
        self.gap = False

    def __aiter__(self) -> AsyncIterator[StreamEvent]:
        return self

    async def __anext__(self) -> StreamEvent:
        while not self._waiting:
            if self._closed:
                raise StopAsyncIteration
            self._wake.clear()
            await self._wake.wait()
        event = self._waiting.popleft()
        self._bytes -= event.size
        return event

    def close(self) -> None:
        """Stop reading; what already waits can still be read."""
        self._closed = True
        self._wake.set()
        self._hub.forget(self._topic, self)

    def push(self, event: StreamEvent) -> None:
        """Used by the hub."""
        if self._bytes + event.size > _READER:
            self.lagged = True
            self.close()
            return
        self._waiting.append(event)
        self._bytes += event.size
        self._wake.set()


class Streams:
    """The hub. Keeps the last 64 KiB of events of the thousand topics used last."""

    def __init__(self) -> None:
        self._topics: OrderedDict[str, _Topic] = OrderedDict()
        self._last = 0

    @property
    def last(self) -> int:
        """The id of the latest event on any topic, 0 before the first."""
        return self._last

    def publish(self, topic: str, kind: str, data: Mapping[str, Any]) -> int:
        """Tell every reader of `topic`; returns the event's id."""
        self._last += 1
        event = StreamEvent(self._last, kind, data, len(json.dumps(data, ensure_ascii=False).encode()) + 64)
        found = self._topic(topic)
        found.ring.append(event)
        found.bytes += event.size
        while found.bytes > _RING and len(found.ring) > 1:
            found.bytes -= found.ring.popleft().size
        for reader in tuple(found.readers):
            reader.push(event)
        return event.id

    def subscribe(self, topic: str, after: int | None = None) -> Subscription:
        """Read `topic` from now on, or from behind the event `after`; `gap` is set when some are no longer kept."""
        reader = Subscription(self, topic)
        found = self._topic(topic)
        if after is not None:
            kept = [event for event in found.ring if event.id > after]
            reader.gap = after > self._last or (after < self._last and (not found.ring or found.ring[0].id > after + 1))
            for event in kept:
                reader.push(event)
        if not reader.lagged:
            found.readers.add(reader)
        return reader

    def begun(self, topic: str) -> Sequence[StreamEvent]:
        """The pieces, as far as they are kept, of the replies that have not ended: for a reader who may lack some."""
        kept = () if (found := self._topics.get(topic)) is None else tuple(found.ring)
        over = {event.data.get("turn") for event in kept if event.kind == "end"}
        return [event for event in kept if event.kind in PIECES and event.data.get("turn") not in over]

    def forget(self, topic: str, reader: Subscription) -> None:
        """Used by a reader that closes."""
        if found := self._topics.get(topic):
            found.readers.discard(reader)

    async def wipe(self, _: str, topics: Sequence[str]) -> None:
        """Let go of what was said on `topics`; their readers go on with what comes."""
        for topic in topics:
            if found := self._topics.get(topic):
                found.ring.clear()
                found.bytes = 0

    def _topic(self, topic: str) -> _Topic:
        found = self._topics.setdefault(topic, _Topic())
        self._topics.move_to_end(topic)
        if len(self._topics) > _TOPICS:
            idle = next((name for name, kept in self._topics.items() if not kept.readers), None)
            if idle is not None and idle != topic:
                del self._topics[idle]
        return found

"""Following a conversation live: one way for server-sent events and gRPC, and ids from which both can be resumed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Any

from kith.core.ids import Ids
from kith.core.ports import Store
from kith.runtime.streams import PIECES, StreamEvent, Streams, Subscription

_CAUGHT_UP = 100  # turns sent to a reader who missed some and does not say which was the last it has


@dataclass(frozen=True, slots=True)
class News:
    """One event: its kind, what it says, and the id behind which to resume; empty where that is not possible."""

    kind: str
    data: Mapping[str, Any]
    id: str = ""


class Feed:
    """Live events of conversations. `closing` is set when the server stops, which ends every follower."""

    def __init__(self, streams: Streams, store: Store, ids: Ids, closing: asyncio.Event) -> None:
        self._streams, self._store, self._stop = streams, store, closing
        # Ids of live events start anew with every process: without this mark, an id of the last one would look valid.
        self._epoch = ids.new("e")[-8:]

    @asynccontextmanager
    async def follow(self, conversation: str, last: str = "", after: str = "") -> AsyncGenerator[AsyncIterator[News]]:
        """Its events from now on, or from behind the event `last` or the turn `after`.

        What the live stream no longer has comes as events of kind ``turn``, and a reply that is being made begins anew
        behind a ``reset``; the last event of a reader that did not keep up is ``lagged``. Nothing is missed from the
        moment this is entered.
        """
        number = self._number(last)
        reader = self._streams.subscribe(conversation, number)
        begun: Sequence[StreamEvent] = ()
        if missed := reader.gap or bool(after) or bool(last and number is None):
            reader.close()
            reader, begun = self._streams.subscribe(conversation), self._streams.begun(conversation)
        ending = asyncio.create_task(self._end(reader))
        try:
            yield self._news(reader, conversation, after, begun, missed=missed)
        finally:
            ending.cancel()
            reader.close()

    async def _news(
        self, reader: Subscription, conversation: str, after: str, begun: Sequence[StreamEvent], *, missed: bool
    ) -> AsyncGenerator[News]:
        whole = set[str]()
        if missed:
            for turn in await self._store.turns(conversation, _CAUGHT_UP, after):
                whole.add(turn.id)
                yield News("turn", asdict(turn))
        coming = [event for event in begun if event.data.get("turn") not in whole]
        for turn in dict.fromkeys(event.data["turn"] for event in coming):
            yield News("reset", {"turn": turn})
        for event in coming:
            yield News(event.kind, event.data)
        async for event in reader:
            if event.kind not in PIECES or event.data.get("turn") not in whole:
                yield News(event.kind, event.data, f"{self._epoch}-{event.id}")
        if reader.lagged:
            yield News("lagged", {})

    def _number(self, last: str) -> int | None:
        """The event number in an id of this process, else None: then the store fills in."""
        epoch, _, number = last.partition("-")
        usable = epoch == self._epoch and number.isascii() and number.isdecimal() and len(number) <= 15
        return int(number) if usable else None

    async def _end(self, reader: Subscription) -> None:
        await self._stop.wait()
        reader.close()

"""The terminal channel: what is typed goes to the inbox like everything else, what comes back is seen live."""

from __future__ import annotations

from collections.abc import AsyncIterator

from kith.channels.cli.parse import NAME, Typed, envelope
from kith.channels.cli.render import printable, render
from kith.channels.cli.settings import TerminalSettings
from kith.channels.kit import Arrival, Kit, origin
from kith.core.errors import Unavailable
from kith.core.ids import conversation_id
from kith.core.people import Parcel
from kith.core.ports import Accept
from kith.core.turn import Sent
from kith.runtime.streams import StreamEvent

_RECENT = 20


class TerminalChannel:
    """Implements `Channel`; `open` gives the conversation that a terminal shows."""

    def __init__(self, settings: TerminalSettings, kit: Kit) -> None:
        self._settings, self._kit = settings, kit
        self._accept: Accept | None = None

    async def start(self, accept: Accept) -> None:
        """Ready to be typed at."""
        self._accept = accept

    async def send(self, parcel: Parcel) -> Sent:
        """Show something that nobody asked for just now (a reminder) at the terminal, if one is open."""
        turn = await origin(self._kit.store, parcel)
        self._kit.streams.publish(parcel.conversation, "message", render(parcel.message, turn))
        return Sent(parcel.id)

    async def stop(self) -> None:
        """Nothing typed is accepted afterwards."""
        self._accept = None

    def open(self, conversation: str = "main", locale: str = "") -> Terminal:
        """A view on one conversation. Raises `Unavailable` when the channel is not started."""
        if self._accept is None:
            raise Unavailable("the terminal channel is not started")
        return Terminal(self._settings, self._kit, self._accept, conversation, locale)


class Terminal:
    """One conversation as a terminal sees it: `say` something, and read `events` (delta, reset, message, end)."""

    def __init__(self, settings: TerminalSettings, kit: Kit, accept: Accept, conversation: str, locale: str) -> None:
        self._settings, self._kit, self._accept = settings, kit, accept
        self._conversation, self._locale = conversation, locale
        self._topic = conversation_id(NAME, settings.account, conversation)
        self._reader = kit.streams.subscribe(self._topic)

    async def say(self, text: str, model: str = "") -> str:
        """Commit what was typed; returns the id of its turn. Raises `Invalid`, and what the inbox raises."""
        typed = Typed(self._kit.ids.new("x"), text, self._conversation, self._locale, model)
        arrival = Arrival(self._settings.account, self._kit.clock.now(), self._settings.owner)
        return (await self._accept(envelope(typed, arrival))).id

    async def events(self) -> AsyncIterator[StreamEvent]:
        """What happens in the conversation. Before a turn's end its replies come whole, as ``message``."""
        while True:
            async for event in self._reader:
                if event.kind == "end" and not event.data.get("code"):
                    for done in await self._said(str(event.data.get("turn"))):
                        yield done
                yield _clean(event)
            if not self._reader.lagged:
                return
            self._reader = self._kit.streams.subscribe(self._topic)
            for done in await self._said(""):
                yield done

    async def cancel(self, turn: str) -> None:
        """Stop making a reply."""
        self._kit.cancel(turn)

    async def close(self) -> None:
        """Stop looking."""
        self._reader.close()

    async def _said(self, turn: str) -> list[StreamEvent]:
        """The replies of a turn, or (with no turn) of the latest one, which a reader that lagged may have missed."""
        recent = await self._kit.store.turns(self._topic, _RECENT)
        chosen = [found for found in recent if found.id == turn] if turn else list(recent[-1:])
        return [StreamEvent(0, "message", render(said, found), 0) for found in chosen for said in found.spoke]


def _clean(event: StreamEvent) -> StreamEvent:
    if event.kind != "delta":
        return event
    data = {**event.data, "text": printable(str(event.data.get("text", "")))}
    return StreamEvent(event.id, event.kind, data, event.size)

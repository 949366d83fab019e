"""The web channel. The stored turn is the truth and the live stream a view on it, so delivering twice shows once."""

from __future__ import annotations

import asyncio

from kith.channels.kit import Arrival, Kit, origin
from kith.channels.web.render import render
from kith.channels.web.session import Desk, Session
from kith.channels.web.settings import WebSettings
from kith.core.errors import Unavailable
from kith.core.people import Parcel, Principal
from kith.core.ports import Accept, Peer
from kith.core.turn import Sent


class WebChannel:
    """Implements `Channel` and `Line`."""

    def __init__(self, settings: WebSettings, kit: Kit) -> None:
        self._settings, self._kit = settings, kit
        self._boot = kit.ids.new("h")
        self._accept: Accept | None = None
        self._open: set[asyncio.Task[object]] = set()

    async def start(self, accept: Accept) -> None:
        """Let clients in."""
        self._accept = accept

    async def send(self, parcel: Parcel) -> Sent:
        """Show a reply to whoever follows its conversation; whoever does not finds it in the store."""
        turn = await origin(self._kit.store, parcel)
        self._kit.streams.publish(parcel.conversation, "message", render(parcel.message, turn))
        return Sent(parcel.id)

    async def stop(self) -> None:
        """Say goodbye to every client."""
        self._accept = None
        for task in tuple(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def converse(self, peer: Peer, principal: Principal) -> None:
        """Speak with one client until it goes or Kith stops. Raises `Unavailable` when the channel is not started."""
        if self._accept is None:
            raise Unavailable("the web channel is not started")
        sender = Arrival(self._settings.account, 0.0, principal.id)
        session = Session(peer, sender, Desk(self._kit, self._accept, self._boot, self._settings))
        task: asyncio.Task[object] = asyncio.create_task(session.run())
        self._open.add(task)
        try:
            await asyncio.wait({task})
        finally:
            self._open.discard(task)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error

"""The XMPP channel.

The server's archive (XEP-0313) is what makes it whole: inwards everything behind the last id that was accepted is read
from it after each login, before what comes live; outwards a reply in doubt is looked up in it (``reconcile``). A reply
counts as sent when the server has acknowledged it (XEP-0198).
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections import OrderedDict
from typing import Any, NoReturn

from kith.channels.kit import Arrival, Kit, collect, deliver, hand_over, let_go, load_cursor, save_cursor, tended
from kith.channels.xmpp.files import Files, opener
from kith.channels.xmpp.parse import NAME, Self, Stanza, parse, read
from kith.channels.xmpp.render import piece_id, render, words
from kith.channels.xmpp.settings import XmppSettings
from kith.channels.xmpp.wire import Wire
from kith.core.errors import Invalid, KithError, NotFound, Refused, Unavailable
from kith.core.message import Envelope, Media, Message, Text
from kith.core.people import Parcel
from kith.core.ports import Accept
from kith.core.turn import Sent
from kith.runtime.telemetry import get_logger

_log = get_logger(__name__)
_LOOK_BACK = 2000  # messages, in both directions: while we were away others went on talking
_SKEW = 600.0  # seconds by which the server's clock may be behind ours
_KNOWN = 5000


class XmppChannel:
    """One address."""

    def __init__(self, settings: XmppSettings, kit: Kit) -> None:
        self._settings, self._kit = settings, kit
        self._rooms = {room.split()[0].lower(): [*room.split(), ""][1] for room in settings.rooms if room.strip()}
        self._own = Self(settings.jid.partition("/")[0].lower(), dict.fromkeys(self._rooms, settings.nick))
        self._wire: Wire | None = None
        self._accept: Accept | None = None
        self._files: Files | None = None
        self._queue: asyncio.Queue[str] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        self._place: dict[str, str] = {}  # the last accepted id in each archive; "" is our own
        self._names: OrderedDict[str, str] = OrderedDict()  # senders' ids of messages, to what the inbox knows

    async def start(self, accept: Accept) -> None:
        """Log in and join the rooms. Raises `Unavailable`, `Refused`, `Invalid` without an address."""
        if "@" not in self._settings.jid:
            raise Invalid("the XMPP channel needs an address", hint="set channels.xmpp.jid")
        self._queue = asyncio.Queue()
        wire = Wire(self._settings, self._queue.put_nowait, self._kit.alive, self._kit.lost)
        await wire.open()
        self._wire = wire
        try:
            for room, password in self._rooms.items():
                await self._join(wire, room, password)
            await self._find_place(wire)
        except KithError:
            await self.stop()
            raise
        self._accept = accept
        self._task = asyncio.create_task(tended("XMPP", self._kit.lost, lambda: self._run(wire)))

    async def stop(self) -> None:
        """Log out."""
        self._accept = None
        task, self._task, wire, self._wire = self._task, None, self._wire, None
        files, self._files = self._files, None
        await let_go([task], wire, files)

    async def probe(self) -> None:
        """Ask the server for an answer. Raises `Unavailable`."""
        await self._connected().ping()

    async def typing(self, conversation: str) -> None:
        """Show that we write (XEP-0085)."""
        self._connected().note(
            conversation, self._kind(conversation), "composing", "http://jabber.org/protocol/chatstates"
        )

    async def send(self, parcel: Parcel) -> Sent:
        """Returns when the server has acknowledged it. Raises `Unavailable`, or `OSError`, `TimeoutError` in doubt."""
        wire = self._connected()
        if not parcel.target or any(char in parcel.target for char in "<>\"'&"):
            raise Refused("the reply's target is no address")

        async def say(index: int, piece: str | Media) -> str:
            name, address = piece_id(parcel.id, index), ""
            if isinstance(piece, Media):
                data = await self._kit.blobs.fetch(piece)
                address = await self._open(wire).put(data, piece.mime, piece.name or "file")
            body = address if isinstance(piece, Media) else piece
            await wire.say(parcel.target, self._kind(parcel.target), body, name, address=address)
            return name

        return await deliver(self._kit, parcel, render(parcel.message), say)

    async def edit(self, parcel: Parcel, receipt: str, text: str) -> None:
        """Correct a message (XEP-0308). The correction has the id of the reply's first piece, so that the archive tells
        whether it arrived. Raises as `send`."""
        body = words(Message("", "assistant", (Text(text),), 0.0))[0]
        kind = self._kind(parcel.target)
        await self._connected().say(parcel.target, kind, body, piece_id(parcel.id, 0), replaces=receipt)

    async def arrived(self, parcel: Parcel) -> bool:
        """Whether the archive holds the whole reply; the pieces that it holds are noted as sent."""
        wire, count = self._connected(), len(render(parcel.message))
        room = parcel.target if parcel.target in self._rooms else ""
        try:
            since = max(parcel.message.at - _SKEW, 0.0)
            latest = await wire.latest(room, _LOOK_BACK, "" if room else parcel.target, since)
        except NotFound:
            return False  # no archive: what is in doubt is sent again
        there = {stanza.origin or stanza.id for stanza in self._stanzas(latest)}
        names = [piece_id(parcel.id, index) for index in range(count)]
        sent = next((index for index, name in enumerate(names) if name not in there), count)
        if 0 < sent < count:
            noted = {"at": self._kit.clock.now(), "receipts": names[:sent]}
            await self._kit.records.put("pieces", parcel.id, noted)
        return sent == count

    def _stanzas(self, found: list[tuple[str, str]]) -> list[Stanza]:
        stanzas: list[Stanza] = []
        for _, raw in found:
            try:
                stanzas.append(read(raw, self._own))
            except Invalid:
                continue
        return stanzas

    def _kind(self, target: str) -> str:
        return "groupchat" if target in self._rooms else "chat"

    def _connected(self) -> Wire:
        if self._wire is None or self._accept is None:
            raise Unavailable("the XMPP channel is not connected")
        return self._wire

    async def _join(self, wire: Wire, room: str, password: str) -> None:
        try:
            await wire.join(room, self._settings.nick, password)
        except Refused as error:
            _log.warning("room not joined", room=room, reason=error.message)

    async def _find_place(self, wire: Wire) -> None:
        """Where to go on in each archive; at the very first start behind everything that is there."""
        kept = await load_cursor(self._kit, NAME, self._settings.account)
        self._place = {str(room): str(place) for room, place in kept.get("places", {}).items()}
        for room in ("", *self._rooms):
            if room not in self._place:
                try:
                    latest = await wire.latest(room, 1)
                except NotFound:
                    _log.info("no archive", room=room)
                    continue
                self._place[room] = latest[-1][0] if latest else ""
        await self._keep_place()

    async def _keep_place(self) -> None:
        place = {"places": self._place, "at": self._kit.clock.now()}
        await save_cursor(self._kit, NAME, self._settings.account, place)

    async def _run(self, wire: Wire) -> NoReturn:
        for room in tuple(self._place):
            await self._catch_up(wire, room)
        while True:
            raw = await self._queue.get()
            await self._hear(raw, live=True)

    async def _catch_up(self, wire: Wire, room: str) -> None:
        """Hear what the archive holds behind our place; an archive that has forgotten the place is read by time."""
        kept = await load_cursor(self._kit, NAME, self._settings.account)
        since = float(kept.get("at", self._kit.clock.now()))
        for after in dict.fromkeys((self._place[room], "")):
            try:
                async for _, raw in wire.archive(room, after, since - 3600):
                    await self._hear(raw, live=False)
                return
            except NotFound:
                continue

    async def _hear(self, raw: str, *, live: bool) -> None:
        """Hand one stanza over, then move on behind it and tell its sender that it came."""
        arrival = Arrival(self._settings.account, self._kit.clock.now())
        try:
            stanza = read(raw, self._own)
            envelope = parse(raw, arrival, self._own)
        except Invalid as error:
            _log.info("stanza not understood", code=error.code)
            return
        if envelope is not None:
            await self._hand_over(self._resolved(stanza, envelope))
        room = stanza.bare if stanza.kind == "groupchat" else ""
        if stanza.archived and room in self._place:
            self._place[room] = stanza.archived
            await self._keep_place()
        if envelope is not None and live and envelope.kind == "direct" and self._settings.receipts and stanza.id:
            self._confirm(stanza)

    async def _hand_over(self, envelope: Envelope) -> None:
        async def fetch(address: str, most: int) -> tuple[bytes, str]:
            return await self._open(self._connected()).get(address, most)

        async def made() -> Envelope:
            return await collect(self._kit, envelope, fetch)

        await hand_over(self._kit, lambda: self._accept, made)

    def _open(self, wire: Wire) -> Files:
        if self._files is None:
            self._files = opener(self._kit.http, wire)
        return self._files

    def _confirm(self, stanza: Stanza) -> None:
        """Receipt (XEP-0184) and marker (XEP-0333), where the sender asked for them."""
        wire = self._wire
        try:
            if wire is not None and stanza.wants_receipt:
                wire.note(stanza.sender, "chat", "received", "urn:xmpp:receipts", stanza.id)
            if wire is not None and stanza.wants_marker:
                wire.note(stanza.sender, "chat", "displayed", "urn:xmpp:chat-markers:0", stanza.id)
        except Unavailable:
            return  # the connection has gone; that they were not told does no harm

    def _resolved(self, stanza: Stanza, envelope: Envelope) -> Envelope:
        """The envelope with the inbox's own ids in place of the sender's, where they are known."""
        for name in filter(None, (stanza.id, stanza.origin)):
            self._names[f"{stanza.bare} {name}"] = envelope.platform_id
        while len(self._names) > _KNOWN:
            self._names.popitem(last=False)
        changes: dict[str, Any] = {}
        if stanza.corrects and (known := self._names.get(f"{stanza.bare} {stanza.corrects}")):
            changes["edits"] = known
        return dataclasses.replace(envelope, **changes)

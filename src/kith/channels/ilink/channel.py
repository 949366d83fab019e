"""The iLink channel: messages are asked for with a cursor, which is kept after they were.

A reply carries the token of the message that it answers. It is good for about 90 seconds; a later reply is tried
without one, and waits where WeChat does not want that.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Mapping
from typing import Any, NoReturn

from kith.channels.ilink.parse import NAME, PENDING, context, parse
from kith.channels.ilink.render import Piece, media_item, render, said, text_item
from kith.channels.ilink.settings import IlinkSettings
from kith.channels.ilink.wire import Stale, Wire
from kith.channels.kit import (
    Arrival,
    Kit,
    deliver,
    hand_over,
    inner,
    let_go,
    load_cursor,
    rows,
    save_cursor,
    tended,
    word,
)
from kith.core.errors import Invalid, KithError, Refused, Unavailable
from kith.core.message import Audio, Envelope, File, Image, Part, Text
from kith.core.people import Parcel
from kith.core.ports import Accept
from kith.core.turn import Sent
from kith.runtime.telemetry import get_logger

_log = get_logger(__name__)
_POLL = 35.0
_FIRST = 2.0
_KNOWN = 500
_TRIES = 3


class IlinkChannel:
    """One bot. Implements `Channel`."""

    def __init__(self, settings: IlinkSettings, kit: Kit) -> None:
        self._settings, self._kit = settings, kit
        self._wire: Wire | None = None
        self._accept: Accept | None = None
        self._task: asyncio.Task[None] | None = None
        self._asking: asyncio.Task[Mapping[str, Any]] | None = None
        self._tokens: dict[str, str] = {}
        self._tickets: dict[str, str] = {}
        self._poll = _POLL

    async def start(self, accept: Accept) -> None:
        """Begin to ask. Raises `Unavailable`, `Refused` for a session that has expired."""
        given = self._settings
        if not given.token.get_secret_value():
            raise Refused("nobody has scanned the QR code yet", hint="kith channels add ilink")
        wire = self._wire = Wire(self._kit.http(), given.base, given.cdn, given.token.get_secret_value())
        kept = await load_cursor(self._kit, NAME, given.account)
        tokens = inner(kept, "tokens")
        self._tokens = {user: word(tokens, user) for user in tokens}
        cursor = word(kept, "cursor")
        try:
            await self._notify(wire, "notifystart")
            self._asking = asyncio.create_task(self._ask(wire, cursor))
            await asyncio.wait({self._asking}, timeout=_FIRST)
            if self._asking.done():  # a token that is not good is told at once
                self._asking.result()
        except KithError:
            await self.stop()
            raise
        self._accept = accept
        self._task = asyncio.create_task(tended("iLink", self._kit.lost, lambda: self._run(wire, cursor)))

    async def stop(self) -> None:
        """Ask no more; what was not kept comes again."""
        listening, self._accept = self._accept is not None, None
        task, self._task, asking, self._asking = self._task, None, self._asking, None
        wire, self._wire = self._wire, None
        if asking is not None:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        await let_go([task])
        if wire is not None:
            if listening:
                await self._notify(wire, "notifystop")
            await wire.close()

    async def probe(self) -> None:
        """``getconfig``. Raises `Unavailable`, `Refused`."""
        await self._connected().post("getconfig", {"ilink_user_id": self._settings.owner})

    async def typing(self, conversation: str) -> None:
        """Show that we write."""
        wire, token = self._connected(), self._tokens.get(conversation, "")
        if (ticket := self._tickets.get(conversation, "")) == "":
            told = await wire.post("getconfig", {"ilink_user_id": conversation, "context_token": token})
            if (ticket := word(told, "typing_ticket")) == "":
                return
            self._tickets[conversation] = ticket
            while len(self._tickets) > _KNOWN:
                self._tickets.pop(next(iter(self._tickets)))
        try:
            await wire.post("sendtyping", {"ilink_user_id": conversation, "typing_ticket": ticket, "status": 1})
        except (Invalid, Stale):
            self._tickets.pop(conversation, None)

    async def send(self, parcel: Parcel) -> Sent:
        """Returns when WeChat has every piece. Raises `Unavailable`, `Refused`."""
        wire = self._connected()

        async def say(index: int, piece: Piece) -> str:
            item = text_item(piece.text)
            if piece.media is not None:
                data = await self._kit.blobs.fetch(piece.media)
                item = media_item(piece, *await self._stored(wire, data, piece.kind, parcel.target))
            await self._say(wire, f"{parcel.id}-{index}", parcel.target, item)
            self._kit.alive()
            return ""

        return await deliver(self._kit, parcel, render(parcel.message), say)

    async def _stored(self, wire: Wire, data: bytes, kind: int, target: str) -> tuple[str, bytes, int, int]:
        param, key, size = await wire.store(data, kind, target)
        return param, key, len(data), size

    async def _say(self, wire: Wire, client_id: str, target: str, item: dict[str, Any]) -> None:
        """With the conversation's token; without one when it is dead."""
        token = self._tokens.get(target, "")
        try:
            try:
                await wire.post("sendmessage", {"msg": said(client_id, target, token, item)})
            except Stale:
                if not token:
                    raise
                await wire.post("sendmessage", {"msg": said(client_id, target, "", item)})
                if self._tokens.get(target) == token:
                    self._tokens.pop(target, None)
        except Refused as error:  # every other call would be refused, too
            self._kit.lost(error.message)
            raise

    def _connected(self) -> Wire:
        if self._wire is None or self._accept is None:
            raise Unavailable("the iLink channel is not connected")
        return self._wire

    async def _notify(self, wire: Wire, what: str) -> None:
        """Tell that we come or go. Whoever does not want to know does not matter."""
        try:
            await wire.post(f"msg/{what}", {}, 5.0)
        except (Invalid, Unavailable) as error:
            _log.info("not notified", call=what, code=error.code)
        except Refused:
            if what == "notifystart":
                raise

    async def _ask(self, wire: Wire, cursor: str) -> Mapping[str, Any]:
        """What is new after `cursor`; the answer comes when there is something, or after a good half of a minute."""
        return await wire.post("getupdates", {"get_updates_buf": cursor}, self._poll + 10)

    async def _run(self, wire: Wire, cursor: str) -> NoReturn:
        """Ask, accept, and only then go on."""
        asking = self._asking
        while True:
            told = await (asking or self._ask(wire, cursor))
            self._asking = asking = None
            self._kit.alive()
            wait: Any = told.get("longpolling_timeout_ms")
            self._poll = min(max(wait / 1000, 1.0), 60.0) if isinstance(wait, int) and wait > 0 else _POLL
            messages = rows(told, "msgs", 1000)
            for message in messages:
                await self._take(message)
            cursor = word(told, "get_updates_buf") or cursor
            if messages or word(told, "get_updates_buf"):
                kept = {"cursor": cursor, "tokens": dict(self._tokens)}
                await save_cursor(self._kit, NAME, self._settings.account, kept)

    async def _take(self, message: Mapping[str, Any]) -> None:
        user, token = context(message)
        if user and token:  # known before the message is: it may be answered at once
            self._tokens.pop(user, None)
            self._tokens[user] = token
            while len(self._tokens) > _KNOWN:
                self._tokens.pop(next(iter(self._tokens)))

        async def made() -> Envelope | None:
            envelope = parse(message, Arrival(self._settings.account, self._kit.clock.now()))
            return None if envelope is None else await self._fetched(envelope)

        await hand_over(self._kit, lambda: self._accept, made)

    async def _fetched(self, envelope: Envelope) -> Envelope:
        parts = tuple([await self._part(part) for part in envelope.message.parts])
        return dataclasses.replace(envelope, message=dataclasses.replace(envelope.message, parts=parts))

    async def _part(self, part: Part) -> Part:
        """The part with its bytes here; named in words when they cannot be had."""
        if not isinstance(part, Image | Audio | File) or not part.blob.startswith(PENDING):
            return part
        key, _, name = part.blob.removeprefix(PENDING).partition(":")
        for attempt in range(1, _TRIES + 1):
            try:
                data = await self._connected().fetch(key, name)
                return dataclasses.replace(part, blob=self._kit.blobs.put(data), size=len(data))
            except (Invalid, Refused):
                break
            except Unavailable as error:
                if attempt < _TRIES:
                    await self._kit.clock.sleep(min(error.retry_after, 2.0))
        return Text(f"[{part.mime} {part.name}]".replace(" ]", "]"), outside=True)

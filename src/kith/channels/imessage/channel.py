"""The iMessage channel: messages are asked for from where we were; the server's calls only say when to ask.

BlueBubbles makes each call once, whether it is answered or not. So nothing depends on a call but changes of messages
that are already known: edits, and what was taken back.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import re
from collections import OrderedDict, deque
from collections.abc import Awaitable, Mapping
from typing import Any, TypeVar

from kith.channels.imessage.parse import NAME, address, created, parse
from kith.channels.imessage.render import Piece, failed, render
from kith.channels.imessage.settings import ImessageSettings
from kith.channels.imessage.wire import PAGE, Wire
from kith.channels.kit import (
    Arrival,
    Hook,
    HookReply,
    Kit,
    body_of,
    collect,
    deliver,
    hand_over,
    inner,
    keep,
    let_go,
    load_cursor,
    mapping,
    same,
    save_cursor,
    tended,
    word,
)
from kith.core.errors import Invalid, KithError, NotFound, Refused, Unavailable
from kith.core.message import Envelope
from kith.core.people import Parcel
from kith.core.ports import Accept
from kith.core.turn import Sent
from kith.runtime.telemetry import get_logger

_log = get_logger(__name__)
_EVENTS = ("new-message", "updated-message", "message-send-error", "typing-indicator")
_OVERLAP = 120_000  # milliseconds: a message may come with a date that lies behind a later one
_SLACK = 30.0
_KNOWN = 10_000
_WAITING = 1000
_TRIES = 3
_SIGN = 20.0
_GUID = re.compile(r"[\w-]{8,64}", re.ASCII)

T = TypeVar("T")


class ImessageChannel:
    """One server. Implements `Channel`, `Hooked` and `Reconciler`."""

    def __init__(self, settings: ImessageSettings, kit: Kit) -> None:
        self._settings, self._kit = settings, kit
        self._wire: Wire | None = None
        self._accept: Accept | None = None
        self._task: asyncio.Task[None] | None = None
        self._private, self._first = False, 0
        self._own: frozenset[str] = frozenset()
        self._news = asyncio.Event()
        self._calls: deque[Mapping[str, Any]] = deque()
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._said: OrderedDict[str, str] = OrderedDict()
        self._signs: OrderedDict[str, float] = OrderedDict()

    async def start(self, accept: Accept) -> None:
        """Ask the server what it can, and begin to ask for messages. Raises `Unavailable`, `Refused` for a wrong
        password, `Invalid`."""
        given, secret = self._settings, self._settings.secret.get_secret_value()
        if not given.password.get_secret_value() or given.lacks():
            raise Invalid("iMessage needs `password`, and with `url` a `secret` of 16 characters", code="bad_field")
        await self.stop()
        wire = self._wire = Wire(given, self._kit.http(timeout=30.0))
        try:
            about = await wire.about()
            if given.url:
                await wire.enlist(given.url, secret, _EVENTS)
            after = await self._begun()
        except KithError:
            await self.stop()
            raise
        able = about.get("private_api") is True and about.get("helper_connected") is True
        self._private = given.method == "private-api" or (given.method == "auto" and able)
        ids = (*given.addresses, word(about, "detected_imessage"), word(about, "detected_icloud"))
        self._own = frozenset(address(one) for one in ids if address(one))
        self._kit.alive()
        self._accept = accept
        self._task = asyncio.create_task(tended("iMessage", self._kit.lost, lambda: self._run(wire, after)))

    async def stop(self) -> None:
        """Ask no more; what was not accepted is there the next time."""
        self._accept = None
        task, self._task, wire, self._wire = self._task, None, self._wire, None
        await let_go([task], wire)

    async def probe(self) -> None:
        """``ping``. Raises `Unavailable`, `Refused`."""
        await self._guarded(self._connected().ping())
        self._kit.alive()

    async def typing(self, conversation: str) -> None:
        """Show that we have read it and write, where the Private API is on."""
        wire, now = self._connected(), self._kit.clock.monotonic()
        if self._settings.signs and self._private and now - self._signs.get(conversation, -_SIGN) >= _SIGN:
            keep(self._signs, conversation, now, _KNOWN)
            await self._guarded(wire.write(conversation))

    async def send(self, parcel: Parcel) -> Sent:
        """Returns when iMessage has every piece; the receipts are message ids. Raises `Unavailable`, `Invalid`."""
        wire = self._connected()

        async def say(index: int, piece: Piece) -> str:
            name = await self._guarded(self._say(wire, parcel, index, piece))
            self._kit.alive()
            if name:
                keep(self._said, name, parcel.id, _KNOWN)
            return name

        return await deliver(self._kit, parcel, render(parcel.message), say)

    async def arrived(self, parcel: Parcel) -> bool:
        """Whether all of a reply is in its chat; the pieces that are there are noted as sent. A message of ours counts
        that was made after the reply, says the same, and is not known to belong to another one."""
        wire, wanted = self._connected(), render(parcel.message)
        kept = await self._kit.records.get("pieces", parcel.id) or {}
        names = [str(name) for name in kept.get("receipts", ())]
        after = max(0, int((parcel.message.at - _SLACK) * 1000))
        for message in await self._guarded(wire.messages(after, 0, parcel.target)):
            name = word(message, "guid")[:128]
            ours = message.get("isFromMe") is True and not failed(message) and name not in names
            foreign = self._said.get(name, parcel.id) != parcel.id
            if ours and not foreign and len(names) < len(wanted) and wanted[len(names)].shown(message):
                names.append(name)
                keep(self._said, name, parcel.id, _KNOWN)
        if 0 < len(names) < len(wanted):
            await self._kit.records.put("pieces", parcel.id, {"at": self._kit.clock.now(), "receipts": names})
        return len(names) == len(wanted)

    async def hook(self, request: Hook) -> HookReply:
        """Hear a call of the server's, if it shows our secret. Raises `Refused`, `Invalid`, `Unavailable`."""
        if self._accept is None or not self._settings.url:
            raise Unavailable("the iMessage channel takes no calls now")
        if request.method != "POST":
            return HookReply(405, {"allow": "POST"})
        ours, shown = self._settings.secret.get_secret_value(), request.query.get("secret", "")
        if not same(shown, ours):
            raise Refused("the secret of this call is not ours", code="bad_signature")
        event = mapping(body_of(request.body), "not an event")
        match word(event, "type"):
            case "new-message" | "updated-message":
                if len(self._calls) >= _WAITING:
                    raise Unavailable("too many calls wait", retry_after=5.0)
                self._calls.append(event)
                self._news.set()
            case "message-send-error":
                _log.warning("message not delivered", code=failed(inner(event, "data")))
            case _:
                pass
        return HookReply(200)

    def _connected(self) -> Wire:
        if self._wire is None or self._accept is None:
            raise Unavailable("the iMessage channel is not connected")
        return self._wire

    async def _guarded(self, doing: Awaitable[T]) -> T:
        """With a password that was changed nothing goes any more: what waits has to stay until we have the new one."""
        try:
            return await doing
        except Refused as error:
            self._kit.lost(error.message)
            raise Unavailable(error.message, hint=error.hint, retry_after=60.0) from None

    async def _say(self, wire: Wire, parcel: Parcel, index: int, piece: Piece) -> str:
        method = "private-api" if self._private else "apple-script"
        body = {"chatGuid": parcel.target, "tempGuid": f"{parcel.id}-{index}", "method": method}
        if self._private and not index and _GUID.fullmatch(answered := parcel.reply_to.partition("/")[0]):
            body["selectedMessageGuid"] = answered
        if piece.media is None:
            return await wire.text({**body, "message": piece.text})
        data = await self._kit.blobs.fetch(piece.media)
        return await wire.file({**body, "name": piece.name}, data, piece.media.mime)

    async def _begun(self) -> int:
        """The instant from which messages are asked for. The first time it is now: no old chat is answered."""
        kept = await load_cursor(self._kit, NAME, self._settings.account)
        now = int(self._kit.clock.now() * 1000)
        self._first = int(kept.get("first", now))
        if not kept:
            await self._reached(now)
        return int(kept.get("after", now))

    async def _reached(self, after: int) -> None:
        await save_cursor(self._kit, NAME, self._settings.account, {"first": self._first, "after": after})

    async def _run(self, wire: Wire, after: int) -> None:
        """Ask, accept, and only then go on; at once when the server calls."""
        while self._accept is not None:
            self._news.clear()
            after = await self._catch_up(wire, after)
            while self._calls and await self._take(self._calls[0]):
                self._calls.popleft()
            self._kit.alive()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._settings.poll):
                    await self._news.wait()

    async def _catch_up(self, wire: Wire, after: int) -> int:
        """Accept every message that was made since `after`, or shortly before; the instant of the latest."""
        latest, offset, now = after, 0, int(self._kit.clock.now() * 1000)
        while True:
            page = await wire.messages(max(self._first, after - _OVERLAP), offset)
            for message in page:
                if not await self._take({"type": "new-message", "data": message}):
                    return latest
                latest = max(latest, min(created(message), now))  # a date in the future must not hide what follows
            if latest > after:
                await self._reached(latest)
            if len(page) < PAGE:
                return latest
            offset += len(page)

    async def _take(self, event: Mapping[str, Any]) -> bool:
        """While the inbox cannot take it, nothing after it is heard. False when the channel was stopped before."""
        guid = word(inner(event, "data"), "guid")
        new = word(event, "type") == "new-message"
        if new and guid in self._seen:
            return True

        async def made() -> Envelope | None:
            envelope = parse(event, Arrival(self._settings.account, self._kit.clock.now()), self._own)
            if envelope is None:
                return None
            if envelope.reply_to in self._said:
                envelope = dataclasses.replace(envelope, mentioned=True)
            return await self._fetched(envelope)

        done = await hand_over(self._kit, lambda: self._accept, made)
        if done and new and guid:
            keep(self._seen, guid, None, _KNOWN)
        return done

    async def _fetched(self, envelope: Envelope) -> Envelope:
        """The envelope with the bytes of its files here. Raises `Unavailable`."""

        async def fetch(name: str, most: int) -> tuple[bytes, str]:
            for _ in range(_TRIES - 1):
                with contextlib.suppress(NotFound):  # the Mac may still be fetching it itself
                    return await self._guarded(self._connected().fetch(name, most))
                await self._kit.clock.sleep(1.0)
            return await self._guarded(self._connected().fetch(name, most))

        return await collect(self._kit, envelope, fetch)

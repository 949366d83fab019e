"""The WhatsApp channel: Meta calls us with messages and receipts, and is answered after they were kept.

Meta's signature carries no instant, and a call that failed is made again for seven days; so a repeated call is known
by the ids of its messages, and what is older than eight days is not heard.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import re
from collections import OrderedDict
from collections.abc import Awaitable, Mapping
from typing import Any, TypeVar

from kith.channels.kit import Arrival, Hook, HookReply, Kit, body_of, collect, deliver, keep, same
from kith.channels.whatsapp.ledger import Ledger
from kith.channels.whatsapp.parse import NAME, Receipt, read, receipts, singles, values
from kith.channels.whatsapp.render import Piece, place, render
from kith.channels.whatsapp.settings import WhatsappSettings
from kith.channels.whatsapp.wire import Wire, judge
from kith.core.errors import Invalid, KithError, Refused, Unavailable
from kith.core.message import Envelope
from kith.core.people import Parcel
from kith.core.ports import Accept
from kith.core.turn import Sent
from kith.runtime.telemetry import get_logger

_log = get_logger(__name__)
_PLAIN = {"content-type": "text/plain"}
_DAY = 23 * 3600.0  # the window is 24 hours; what was noted may be an hour old
_HOUR = 3600.0
_SIGN = 20.0  # WhatsApp takes the sign that we write away after 25 seconds
_CHATS = 10_000
_MESSAGE = re.compile(r"wamid\.[!-~]{1,490}")

T = TypeVar("T")


class WhatsappChannel:
    """One number. Implements `Channel` and `Hooked`."""

    def __init__(self, settings: WhatsappSettings, kit: Kit) -> None:
        self._settings, self._kit = settings, kit
        self._ledger = Ledger()
        self._wire: Wire | None = None
        self._accept: Accept | None = None
        self._latest: OrderedDict[str, str] = OrderedDict()
        self._signs: OrderedDict[str, tuple[str, float]] = OrderedDict()
        self._heard: OrderedDict[str, float] = OrderedDict()
        self._reactions: OrderedDict[str, str] = OrderedDict()

    async def start(self, accept: Accept) -> None:
        """Ask after our number. Raises `Unavailable`, `Refused` for a wrong or expired token, `Invalid`."""
        given = self._settings
        if not given.number or not all(one.get_secret_value() for one in (given.token, given.secret, given.verify)):
            raise Invalid("WhatsApp needs `number`, `token`, `secret` and `verify`", code="bad_field")
        await self.stop()
        self._wire = Wire(given, self._kit.http(timeout=15.0))
        try:
            await self._wire.about()
        except KithError:
            await self.stop()
            raise
        self._kit.alive()
        self._accept = accept

    async def stop(self) -> None:
        """No call is taken afterwards: Meta makes it again."""
        self._accept = None
        wire, self._wire = self._wire, None
        if wire is not None:
            await wire.close()

    async def probe(self) -> None:
        """Ask after our number. Raises `Unavailable`, `Refused`."""
        await self._guarded(self._connected().about())
        self._kit.alive()

    async def typing(self, conversation: str) -> None:
        """Show that the latest message was read and that we write; there is no such sign for groups."""
        wire, latest = self._connected(), self._latest.get(conversation, "")
        if not self._settings.signs or not latest or place(conversation)["recipient_type"] == "group":
            return
        now, (shown, at) = self._kit.clock.monotonic(), self._signs.get(conversation, ("", 0.0))
        if shown == latest and now - at < _SIGN:
            return
        keep(self._signs, conversation, (latest, now), _CHATS)
        sign = {"status": "read", "message_id": latest, "typing_indicator": {"type": "text"}}
        await self._guarded(wire.say({"messaging_product": "whatsapp", **sign}))

    async def send(self, parcel: Parcel) -> Sent:
        """Returns when WhatsApp has every piece; the receipts are message ids. Raises `Unavailable`, `Invalid`, and
        `Refused` (code ``window_closed``) where only a template would get through."""
        wire, wait = self._connected(), self._settings.verdict
        if wait and await self._open(parcel.target):
            wait = 0.0

        async def say(index: int, piece: Piece) -> str:
            nonlocal wait
            key = f"{parcel.id}-{index}"
            if known := self._ledger.arrived(key):  # the answer to an earlier try was lost
                return known
            name = await self._guarded(self._say(wire, parcel, piece, index))
            self._kit.alive()
            if wait and (told := await self._ledger.verdict(name, wait)) is not None:
                wait = 0.0
                if told.state == "failed":
                    raise judge(told.code, told.detail, parcel.attempts)
            return name

        return await deliver(self._kit, parcel, render(parcel.message), say)

    async def hook(self, request: Hook) -> HookReply:
        """Hear a call of Meta's, if it is signed. Raises `Refused`, `Invalid`; `Unavailable` for it to come again."""
        if self._accept is None:
            raise Unavailable("the WhatsApp channel is not connected")
        if request.method == "GET":
            return self._greeted(request.query)
        if request.method != "POST":
            return HookReply(405, {"allow": "GET, POST"})
        self._checked(request)
        call = body_of(request.body)
        early: list[Unavailable] = []
        for value in values(call, self._settings.number):
            for receipt in receipts(value):
                await self._noted(receipt, early)
            for single in singles(value):
                await self._take(single)
        if early:  # Meta calls again, and then it has been settled
            raise early[0]
        return HookReply(200)

    def _greeted(self, query: Mapping[str, str]) -> HookReply:
        """Meta asks once, at the set-up, whether this address is ours."""
        shown, ours = query.get("hub.verify_token", ""), self._settings.verify.get_secret_value()
        if not same(shown, ours) or query.get("hub.mode") != "subscribe":
            raise Refused("the verify token of this call is not ours", code="bad_signature")
        return HookReply(200, _PLAIN, query.get("hub.challenge", "")[:1000].encode("utf-8", "replace"))

    def _checked(self, request: Hook) -> None:
        """The signature over the body as it came ("Validate payloads")."""
        secret = self._settings.secret.get_secret_value().encode()
        wanted = "sha256=" + hmac.new(secret, request.body, hashlib.sha256).hexdigest()
        shown = request.headers.get("x-hub-signature-256", "")
        if not same(shown, wanted):
            raise Refused("the signature of this call is not good", code="bad_signature")

    def _connected(self) -> Wire:
        if self._wire is None or self._accept is None:
            raise Unavailable("the WhatsApp channel is not connected")
        return self._wire

    async def _guarded(self, doing: Awaitable[T]) -> T:
        """With a token that has expired nothing goes any more: what waits has to stay until there is a new one."""
        try:
            return await doing
        except Refused as error:
            if error.code != "unauthenticated":
                raise
            self._kit.lost(error.message)
            raise Unavailable(error.message, hint=error.hint, retry_after=60.0) from None

    async def _say(self, wire: Wire, parcel: Parcel, piece: Piece, index: int) -> str:
        upload, media = "", piece.media
        if media is not None:
            upload = await wire.upload(await self._kit.blobs.fetch(media), media.mime, media.name)
        answers = parcel.reply_to if not index and _MESSAGE.fullmatch(parcel.reply_to) else ""
        body = piece.body(parcel.target, answers, f"{parcel.id}-{index}", upload)
        return await wire.say(body, max(parcel.attempts, 1))

    async def _open(self, target: str) -> bool:
        """Whether somebody has written within the last day, as far as we know."""
        at = self._heard.get(target)
        if at is None:
            kept = await self._kit.records.get("window", self._place(target)) or {}
            at = float(kept.get("at", 0.0))
        return self._kit.clock.now() - at < _DAY

    async def _opened(self, conversation: str) -> None:
        """Somebody has written: WhatsApp lets anything through for a day."""
        now = self._kit.clock.now()
        if now - self._heard.get(conversation, 0.0) > _HOUR:
            await self._kit.records.put("window", self._place(conversation), {"at": now})
            keep(self._heard, conversation, now, _CHATS)

    def _place(self, conversation: str) -> str:
        return f"{NAME}:{self._settings.account}:{conversation}"

    async def _noted(self, receipt: Receipt, early: list[Unavailable]) -> None:
        """What became of a message. A failure that nobody waits for makes a dead letter of the reply; one that comes
        before the reply is settled goes into `early`."""
        if self._ledger.note(receipt) or receipt.state != "failed":
            return
        reason, parcel = judge(receipt.code, receipt.detail), receipt.key.rpartition("-")[0]
        _log.warning("message not delivered", message=receipt.id, code=receipt.code, reason=reason.message)
        try:
            await self._kit.undelivered(parcel, receipt.id, reason.message)
            await self._kit.records.delete("pieces", parcel)  # so that a retry does not leave it out
        except Unavailable as error:
            early.append(error)

    async def _take(self, single: Mapping[str, Any]) -> None:
        """While the inbox cannot take it, the call is not answered. What can never be accepted is passed over."""
        accept = self._accept
        if accept is None:
            raise Unavailable("the WhatsApp channel is not connected")
        try:
            envelope = read(single, Arrival(self._settings.account, self._kit.clock.now()))
            if envelope is None:
                return
            if envelope.reaction:
                envelope = self._named(envelope)
            elif not envelope.edits:
                keep(self._latest, envelope.conversation, envelope.platform_id, _CHATS)
            await self._opened(envelope.conversation)
            await accept(await self._fetched(envelope))
        except Unavailable:
            raise
        except KithError as error:
            _log.info("message not accepted", code=error.code)

    async def _fetched(self, envelope: Envelope) -> Envelope:
        """The envelope with the bytes of its file here. Raises `Unavailable`."""

        async def fetch(name: str, most: int) -> tuple[bytes, str]:
            return await self._guarded(self._connected().fetch(name, most)), ""

        return await collect(self._kit, envelope, fetch)

    def _named(self, envelope: Envelope) -> Envelope:
        """WhatsApp does not say which reaction was taken away; we do, as far as we have seen it put."""
        place = f"{envelope.sender} {envelope.reply_to}"
        if envelope.reaction != "-":
            keep(self._reactions, place, envelope.reaction, _CHATS)
            return envelope
        return dataclasses.replace(envelope, reaction=f"-{self._reactions.pop(place, '')}")

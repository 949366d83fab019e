"""The QQ channel: over the gateway, or by calls of QQ's. Either way a message counts as heard once it is kept.

QQ takes only answers to a message, and each with a number of its own; see `Ledger`.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any, cast

import msgspec

from kith.channels.kit import (
    Arrival,
    Bookmark,
    Event,
    Hook,
    HookReply,
    Kit,
    Replay,
    Session,
    Usage,
    body_of,
    collect,
    deliver,
    hand_over,
    inner,
    let_go,
    load_cursor,
    mapping,
    save_cursor,
    tended,
    word,
)
from kith.channels.qqbot.ledger import Ledger
from kith.channels.qqbot.parse import NAME, check_openid, parse
from kith.channels.qqbot.render import Piece, render
from kith.channels.qqbot.seal import Seal
from kith.channels.qqbot.settings import QqSettings
from kith.channels.qqbot.wire import Linked, Over, Twice, Wire
from kith.core.errors import Invalid, KithError, NotFound, Refused, Unavailable
from kith.core.message import Envelope
from kith.core.people import Parcel
from kith.core.ports import Accept
from kith.core.turn import Sent
from kith.runtime.telemetry import get_logger

_log = get_logger(__name__)
_TRIES = 8
_FATAL = {
    4010: "QQ refuses the connection: its shard",
    4011: "the bot is in more servers than one connection may serve",
    4012: "QQ refuses the connection: its version",
    4013: "QQ refuses the connection: its intents",
    4014: "QQ does not let this bot hear messages: ask for the right to at q.qq.com",
    4914: "this bot was taken down: look at it at q.qq.com",
    4915: "this bot was banned: look at it at q.qq.com",
}
_GONE = frozenset({4006, 4007, *range(4900, 4914)})
_JSON = {"content-type": "application/json"}


class QqChannel:
    """One bot. Implements `Channel`, `Prober` and, for calls, `Hooked`."""

    def __init__(self, settings: QqSettings, kit: Kit) -> None:
        self._settings, self._kit = settings, kit
        self._seal = Seal(settings.secret.get_secret_value())
        self._replay = Replay(kit.clock)
        self._ledger = Ledger(kit, NAME, settings.account)
        self._wire: Wire | None = None
        self._session: Session | None = None
        self._accept: Accept | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self, accept: Accept) -> None:
        """Ask for a token, and take the session up again or begin one. Raises `Unavailable`, `Refused`."""
        wire = self._wire = Wire(self._settings, self._kit)
        try:
            if self._settings.mode == "calls":
                await wire.token()
                self._accept = accept
                return
            url = await wire.gateway()
            kept = await load_cursor(self._kit, NAME, self._settings.account)
            mark = Bookmark(str(kept.get("session", "")), "", int(kept.get("seq", 0)))
            usage = Usage(wire.identify, wire.token, _FATAL, _GONE)
            session = self._session = Session(usage, self._kit.clock, self._kit.alive, mark)
            await session.open(url)
        except KithError:
            await self.stop()
            raise
        self._accept = accept
        self._task = asyncio.create_task(self._run(wire, session, url))

    async def stop(self) -> None:
        """Leave the connection; what was not kept comes again for a while."""
        self._accept = None
        task, self._task, session, self._session = self._task, None, self._session, None
        wire, self._wire = self._wire, None
        await let_go([task], session, wire)

    async def probe(self) -> None:
        """Whether the gateway answers, over which everything is heard; else the API. Raises `Unavailable`."""
        wire = self._connected()
        if self._session is not None:
            await self._session.probe()
        else:
            await wire.call("GET", "/users/@me")

    async def reach(self) -> None:
        """Whether the API answers, which replies go by; with calls `probe` asks. Raises `Unavailable`, `Refused`."""
        wire = self._connected()
        if self._session is not None:
            await wire.call("GET", "/users/@me")

    async def send(self, parcel: Parcel) -> Sent:
        """Returns when QQ has every piece; a receipt is a message's id. Raises `Unavailable`, `Refused`, `Invalid`."""
        wire, path = self._connected(), _path(parcel.target)

        async def say(index: int, piece: Piece) -> str:
            info = ""
            if piece.media is not None:
                info = await wire.upload(path, piece.media, await self._kit.blobs.fetch(piece.media))
            return await self._answer(wire, path, parcel, f"{parcel.id}-{index}", piece, info)

        return await deliver(self._kit, parcel, render(parcel.message, self._settings.markdown), say)

    async def hook(self, request: Hook) -> HookReply:
        """Hear a call of QQ's, if its signature is good and new. Raises `Refused`, `Invalid` and as the inbox."""
        accept = self._accept
        if accept is None or self._settings.mode != "calls":
            raise Unavailable("the QQ channel takes no calls now")
        told = mapping(body_of(request.body), "not a call")
        if told.get("op") == 13:
            stamp, token = word(inner(told, "d"), "event_ts"), word(inner(told, "d"), "plain_token")
            return _reply({"plain_token": token, "signature": self._seal.answer(stamp, token)})
        shown = request.headers.get("x-signature-ed25519", "")
        at = self._seal.check(shown, request.headers.get("x-signature-timestamp", ""), request.body)
        if told.get("op") == 1:
            return _reply({"op": 11, "d": told.get("d")})
        self._replay.check(at, shown.lower())
        with self._replay.until_kept(shown.lower()):
            if told.get("op") == 0 and (envelope := await self._read(told)) is not None:
                await accept(envelope)
        return _reply({"op": 12, "d": 0})

    def _connected(self) -> Wire:
        if self._wire is None or self._accept is None:
            raise Unavailable("the QQ channel is not connected")
        return self._wire

    async def _answer(self, wire: Wire, path: str, parcel: Parcel, key: str, piece: Piece, info: str) -> str:
        """Say one piece in answer to the message it is for, else to another that may still be answered."""
        for _ in range(_TRIES):
            slot = await self._ledger.slot(parcel.target, parcel.reply_to, key)
            place = {"msg_id": slot.name, "msg_seq": slot.number} if slot else {"msg_seq": _number(key)}
            try:
                told: Any = await wire.call("POST", f"{path}/messages", piece.body(info) | place)
            except Twice:
                if slot is None or slot.again:
                    return ""  # it had arrived, only its answer had not
                await self._ledger.drop(parcel.target, slot, key, close=False)
            except Over as error:
                if slot is None:
                    raise Refused(f"QQ takes no unasked message: {error.message}") from None
                await self._ledger.drop(parcel.target, slot, key, close=True)
            except Linked:
                if piece.unlinked() == piece:
                    raise
                piece = piece.unlinked()
            else:
                return str(cast("dict[str, Any]", told).get("id", ""))[:256] if isinstance(told, dict) else ""
        raise Unavailable("QQ takes no answer now", retry_after=5.0)

    async def _run(self, wire: Wire, session: Session, url: str) -> None:
        async def heard(event: Event) -> None:
            await self._take(event.whole)
            session.done(event)
            if event.name not in ("RESUMED", ""):
                mark = {"session": session.mark.session, "seq": session.mark.seq}
                await save_cursor(self._kit, NAME, self._settings.account, mark)

        await tended("QQ", self._kit.lost, lambda: session.listen(url, heard, wire.forget))

    async def _take(self, event: Mapping[str, Any]) -> None:
        """While the inbox cannot take it, nothing after it is heard. What can never be accepted is passed over."""
        if not await hand_over(self._kit, lambda: self._accept, lambda: self._read(event)):
            raise Unavailable("the channel was stopped before this was kept")

    async def _read(self, event: Mapping[str, Any]) -> Envelope | None:
        """The envelope with the bytes of its files here, noted as something that may be answered."""
        now = self._kit.clock.now()
        envelope = parse(event, Arrival(self._settings.account, now))
        if envelope is None:
            return None
        at = _instant(word(inner(event, "d"), "timestamp"), now)
        await self._ledger.hear(envelope.conversation, envelope.platform_id, at)
        return await collect(self._kit, envelope, self._connected().fetch)


def _path(target: str) -> str:
    """Where messages to a conversation go. Raises `NotFound`."""
    kind, _, name = target.partition(":")
    try:
        return f"/v2/{ {'u': 'users', 'g': 'groups'}[kind] }/{check_openid(name)}"
    except (KeyError, Invalid):
        raise NotFound("there is no such conversation on QQ") from None


def _instant(stamp: str, now: float) -> float:
    """When a message was written, as far as can be believed."""
    try:
        written = datetime.fromisoformat(stamp)
    except ValueError:
        return now
    return min(written.timestamp(), now) if written.tzinfo is not None else now


def _number(key: str) -> int:
    """The number of a message that answers none: the same each time it is sent."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=2).digest(), "big") or 1


def _reply(told: Mapping[str, Any]) -> HookReply:
    return HookReply(200, _JSON, msgspec.json.encode(told))

"""The OneBot channel: a QQ account behind a program that speaks OneBot v11, over a WebSocket or over HTTP.

OneBot acknowledges nothing: what the program tells while we are away is not told again. So after each start the
history of the conversations that are known is read, where the program keeps one, back to the last message that was
heard; the inbox knows those that it has.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Mapping
from typing import Any, NoReturn, cast

from kith.channels.kit import (
    Arrival,
    Hook,
    HookReply,
    Kit,
    Replay,
    body_of,
    deliver,
    inner,
    let_go,
    mapping,
    same,
    tended,
    word,
)
from kith.channels.onebot.door import Porch
from kith.channels.onebot.hearing import Ear
from kith.channels.onebot.parse import parse
from kith.channels.onebot.render import Piece, carried, place, render, segments
from kith.channels.onebot.segments import whole
from kith.channels.onebot.settings import OnebotSettings
from kith.channels.onebot.wire import Caller, Phone, dial
from kith.core.errors import Invalid, KithError, Refused, Unavailable
from kith.core.people import Parcel
from kith.core.ports import Accept
from kith.core.turn import Sent
from kith.runtime.telemetry import get_logger

_log = get_logger(__name__)
_QUEUE = 5000
_HELD = 15.0


class OnebotChannel:
    """One QQ account. Implements `Channel` and, for calls, `Hooked`."""

    def __init__(self, settings: OnebotSettings, kit: Kit) -> None:
        self._settings, self._kit = settings, kit
        self._replay = Replay(kit.clock)
        self._caller: Caller | None = None
        self._porch: Porch | None = None
        self._ear: Ear | None = None
        self._task: asyncio.Task[None] | None = None
        self._queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue(_QUEUE)
        self._shows = True

    async def start(self, accept: Accept) -> None:
        """Connect, and ask who we are. Raises `Unavailable`, `Refused` for a wrong token, `Invalid`."""
        self._queue = asyncio.Queue(_QUEUE)
        try:
            caller = self._caller = await self._connect()
            told: Any = await caller.call("get_login_info")
            own = whole(cast("Mapping[str, Any]", told), "user_id", "") if isinstance(told, Mapping) else ""
            if not own:
                raise Unavailable("the OneBot program does not say who we are", retry_after=5.0)
            await self._online(caller)
        except KithError:
            await self.stop()
            raise
        ear = self._ear = Ear(self._settings, self._kit, caller, own, accept)
        self._task = asyncio.create_task(tended("OneBot", self._kit.lost, lambda: self._run(ear)))

    async def stop(self) -> None:
        """Close the connection."""
        self._ear = None
        task, self._task, caller, self._caller = self._task, None, self._caller, None
        await let_go([task], caller)
        porch, self._porch = self._porch, None
        if porch is not None:
            await porch.close()

    async def probe(self) -> None:
        """``get_status``: whether the program answers, and QQ is logged in. Raises `Unavailable`, `Refused`."""
        await self._online(self._connected())

    async def typing(self, conversation: str) -> None:
        """Show that we write, where the program can do that (NapCat's ``set_input_status``); in private only."""
        kind, where = place(conversation)
        if kind == "private" and self._shows:
            try:
                await self._connected().call("set_input_status", {"user_id": where["user_id"], "event_type": 1})
            except (Invalid, Refused):
                self._shows = False

    async def send(self, parcel: Parcel) -> Sent:
        """Returns when the program has every piece; the receipts are names of messages. Raises `Unavailable`,
        `Refused`."""
        caller = self._connected()

        async def say(index: int, piece: Piece) -> str:
            kind, where = place(parcel.target)
            data = b"" if piece.media is None else await self._kit.blobs.fetch(piece.media)
            if piece.media is not None and not piece.segment:
                name = piece.media.name or "file"
                told: Any = await caller.call(
                    f"upload_{kind}_file", {**where, "file": carried(data), "name": name}, patience=90.0
                )
            else:
                said = segments(piece, parcel.target, "" if index else parcel.reply_to, data)
                told = await caller.call(f"send_{kind}_msg", {**where, "message": said}, patience=45.0)
            self._kit.alive()
            number = whole(cast("Mapping[str, Any]", told), "message_id", "") if isinstance(told, Mapping) else ""
            return f"{parcel.target}/{number}" if number else ""

        return await deliver(self._kit, parcel, render(parcel.message), say)

    async def hook(self, request: Hook) -> HookReply:
        """Hear a call of the program's, if its signature is good and it is new. Raises `Refused`, `Invalid`,
        `Unavailable`: the program does not call again, so the inbox is waited for a while."""
        if (ear := self._ear) is None or self._settings.mode != "calls":
            raise Unavailable("the OneBot channel takes no calls now")
        secret = self._settings.secret.get_secret_value().encode()
        signed = hmac.new(secret, request.body, hashlib.sha1).hexdigest()
        shown = request.headers.get("x-signature", "")
        if not same(shown, f"sha1={signed}"):
            raise Refused("the signature of this call is not good", code="bad_signature")
        told = mapping(body_of(request.body), "the call is not an event")
        self._replay.check(float(whole(told, "time")), signed)
        parse(told, Arrival(self._settings.account, self._kit.clock.now()), ear.own)  # raises what is to be told
        if self._living(told):
            with self._replay.until_kept(signed):
                try:
                    async with asyncio.timeout(_HELD):
                        await ear.take(told)
                except TimeoutError:
                    raise Unavailable("the message cannot be kept now") from None
        return HookReply(204)

    async def _connect(self) -> Caller:
        given = self._settings
        token, web = given.token.get_secret_value(), given.url.startswith("http")
        match given.mode:
            case "client":
                if web:
                    raise Invalid("with mode `client` the url begins with ws:// or wss://", code="bad_field")
                return await dial(given.url, token, self._hear, self._gone)
            case "server":
                porch = self._porch = Porch(given.listen, token, self._hear, self._gone)
                await porch.open()
                return await porch.link()
            case "calls":
                if not web or len(given.secret.get_secret_value()) < 8:
                    raise Invalid(
                        "calls need a `secret` of 8 characters or more, and the http address of the program's API",
                        code="bad_field",
                    )
                return Phone(self._kit.http(), given.url, token)

    async def _online(self, caller: Caller) -> None:
        told: Any = await caller.call("get_status")
        if isinstance(told, Mapping) and cast("Mapping[str, Any]", told).get("online") is False:
            raise Unavailable("QQ is not logged in there: log in anew in the OneBot program", retry_after=30.0)

    def _connected(self) -> Caller:
        if self._caller is None or self._ear is None:
            raise Unavailable("the OneBot channel is not connected")
        return self._caller

    def _gone(self, reason: KithError) -> None:
        self._kit.lost(reason.message)

    def _living(self, event: Mapping[str, Any]) -> bool:
        """Whether an event is more than a heartbeat. A heartbeat that says that QQ is logged out ends the connection:
        it is a sign of the program's life, and not of the account's."""
        beat = word(event, "post_type") == "meta_event"
        if beat and inner(event, "status").get("online") is False:
            self._kit.lost("QQ is not logged in there: log in anew in the OneBot program")
            return False
        if self._settings.mode != "calls":  # that the program reaches us does not say that we reach it
            self._kit.alive()
        return not beat

    def _hear(self, event: dict[str, Any]) -> None:
        if self._living(event):
            if self._queue.full():
                self._kit.lost("more is told than can be kept")
            else:
                self._queue.put_nowait(event)

    async def _run(self, ear: Ear) -> NoReturn:
        if self._settings.mode != "calls":
            await ear.catch_up()
        while True:
            await ear.take(await self._queue.get())

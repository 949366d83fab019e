"""The Telegram channel: updates are asked for, or come as calls; either way they are acknowledged after they were kept.

Asking for updates with an offset acknowledges all before it (``getUpdates``), so the offset grows only after `accept`.
"""

from __future__ import annotations

import asyncio
from typing import Any, NoReturn, cast

from kith.channels.kit import (
    Arrival,
    Hook,
    HookReply,
    Kit,
    body_of,
    collect,
    deliver,
    hand_over,
    let_go,
    load_cursor,
    same,
    save_cursor,
    tended,
)
from kith.channels.telegram.parse import NAME, parse
from kith.channels.telegram.render import Piece, place, render
from kith.channels.telegram.settings import TelegramSettings
from kith.channels.telegram.wire import Moved, Wire, upload
from kith.core.errors import Invalid, KithError, Refused, Unavailable
from kith.core.message import Envelope
from kith.core.people import Parcel
from kith.core.ports import Accept
from kith.core.turn import Sent
from kith.runtime.telemetry import get_logger

_log = get_logger(__name__)
_KINDS = ["message", "edited_message", "message_reaction"]
_ANSWER = HookReply(200)


class TelegramChannel:
    """One bot. Implements `Channel` and, for webhooks, `Hooked`."""

    def __init__(self, settings: TelegramSettings, kit: Kit) -> None:
        self._settings, self._kit = settings, kit
        self._wire: Wire | None = None
        self._accept: Accept | None = None
        self._task: asyncio.Task[None] | None = None
        self._own = ""

    async def start(self, accept: Accept) -> None:
        """Ask who we are, and begin to listen. Raises `Unavailable`, `Refused` for a wrong token, `Invalid`."""
        given = self._settings
        if given.lacks():
            raise Invalid("the webhook needs `url` and a `secret` of 16 characters or more", code="bad_field")
        wire = self._wire = Wire(given)
        try:
            self._own = str((await wire.ask("getMe")).get("username", ""))
            if given.mode == "calls":
                secret = given.secret.get_secret_value()
                await wire.call("setWebhook", {"url": given.url, "secret_token": secret, "allowed_updates": _KINDS})
            else:
                await wire.call("deleteWebhook")
            kept = await load_cursor(self._kit, NAME, given.account)
        except KithError:
            await self.stop()
            raise
        self._accept = accept
        if given.mode == "polling":
            self._task = asyncio.create_task(
                tended("Telegram", self._kit.lost, lambda: self._run(wire, int(kept.get("offset", 0))))
            )

    async def stop(self) -> None:
        """Ask no more; what was not acknowledged comes again."""
        self._accept = None
        task, self._task, wire, self._wire = self._task, None, self._wire, None
        await let_go([task], wire)

    async def probe(self) -> None:
        """``getMe``. Raises `Unavailable`, `Refused`."""
        await self._connected().call("getMe")

    async def typing(self, conversation: str) -> None:
        """Show that we write; Telegram takes it away after five seconds."""
        await self._connected().call("sendChatAction", {**place(conversation, ""), "action": "typing"})

    async def send(self, parcel: Parcel) -> Sent:
        """Returns when Telegram has every piece; the receipts are ``chat/message``. Raises `Unavailable`, `Refused`."""
        wire = self._connected()

        async def say(index: int, piece: Piece) -> str:
            where = place(parcel.target, "" if index else parcel.reply_to)
            try:
                return await self._say(wire, where, piece)
            except Moved as moved:
                return await self._say(wire, {"chat_id": str(moved.chat)}, piece)

        return await deliver(self._kit, parcel, render(parcel.message), say)

    async def hook(self, request: Hook) -> HookReply:
        """Hear a call of Telegram's, if it shows our secret. Raises `Refused`, `Invalid` and as the inbox."""
        if self._accept is None or self._settings.mode != "calls":
            raise Unavailable("the Telegram channel takes no calls now")
        shown = request.headers.get("x-telegram-bot-api-secret-token", "")
        if not same(shown, self._settings.secret.get_secret_value()):
            raise Refused("the secret of this call is not ours", code="bad_signature")
        update = body_of(request.body)
        if (envelope := self._read(update)) is not None:
            await self._accept(await self._fetched(envelope))
        return _ANSWER

    def _connected(self) -> Wire:
        if self._wire is None or self._accept is None:
            raise Unavailable("the Telegram channel is not connected")
        return self._wire

    async def _say(self, wire: Wire, where: dict[str, Any], piece: Piece) -> str:
        if piece.media is None:
            what: dict[str, Any] = {"text": piece.text, "parse_mode": "HTML"}
        else:
            data = await self._kit.blobs.fetch(piece.media)
            what = {piece.key: upload(data, piece.media.name or piece.key)}
        found = await wire.ask(piece.method, {**where, **what})
        self._kit.alive()
        number = found.get("message_id", "")
        return f"{where['chat_id']}/{number}" if number else ""  # as reactions and answers name it

    async def _run(self, wire: Wire, offset: int) -> NoReturn:
        """Ask, accept, and only then acknowledge."""
        poll = self._settings.poll
        while True:
            wanted = {"offset": offset, "timeout": poll, "allowed_updates": _KINDS}
            updates = cast("list[dict[str, Any]]", await wire.call("getUpdates", wanted, poll + 15))
            self._kit.alive()
            for update in updates:
                await self._take(update)
                offset = max(offset, int(update["update_id"]) + 1)
                await save_cursor(self._kit, NAME, self._settings.account, {"offset": offset})

    def _read(self, update: Any) -> Envelope | None:
        return parse(update, Arrival(self._settings.account, self._kit.clock.now()), self._own)

    async def _take(self, update: Any) -> None:
        """While the inbox cannot take it, nothing after it is heard. What can never be accepted is passed over."""

        async def made() -> Envelope | None:
            envelope = self._read(update)
            return None if envelope is None else await self._fetched(envelope)

        await hand_over(self._kit, lambda: self._accept, made)

    async def _fetched(self, envelope: Envelope) -> Envelope:
        """The envelope with the bytes of its files here. Raises `Unavailable`."""

        async def fetch(name: str, most: int) -> tuple[bytes, str]:
            return await self._connected().fetch(name, most), ""

        return await collect(self._kit, envelope, fetch)

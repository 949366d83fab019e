"""The Feishu channel: events come over the long connection or as calls, and are acknowledged after they were kept.

Feishu sends again what is not acknowledged within three seconds (after 15 s, 5 min, 1 h and 6 h); the inbox knows it
by its id. Outwards every message has a ``uuid``: within an hour Feishu says the same one only once.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, NoReturn

import msgspec

from kith.channels.feishu.frames import Frame
from kith.channels.feishu.line import Line
from kith.channels.feishu.parse import Heard, Kind, parse
from kith.channels.feishu.render import Piece, render, safe, shown, simple
from kith.channels.feishu.seal import Seal, mapping
from kith.channels.feishu.settings import FeishuSettings
from kith.channels.feishu.wire import CARD, GONE, Unwanted, Wire
from kith.channels.kit import (
    Arrival,
    Hook,
    HookReply,
    Kit,
    Replay,
    collect,
    deliver,
    hand_over,
    inner,
    let_go,
    same,
    tended,
)
from kith.core.errors import Invalid, KithError, Refused, Unavailable
from kith.core.message import Envelope
from kith.core.people import Parcel
from kith.core.ports import Accept
from kith.core.turn import Sent
from kith.runtime.telemetry import get_logger

_log = get_logger(__name__)
_QUEUE = 2000
_KNOWN = 5000
_EDITS = 18  # of the 20 that a post takes; the last ones are for the finished reply
_ANSWER = HookReply(200, {"content-type": "application/json"}, b"{}")


class FeishuChannel:
    """One app's bot. Implements `Channel` and, for calls, `Hooked`."""

    def __init__(self, settings: FeishuSettings, kit: Kit) -> None:
        self._settings, self._kit = settings, kit
        self._seal, self._replay = Seal(settings.encrypt_key.get_secret_value()), Replay(kit.clock)
        self._wire: Wire | None = None
        self._line: Line | None = None
        self._accept: Accept | None = None
        self._task: asyncio.Task[None] | None = None
        self._queue: asyncio.Queue[tuple[Frame, bytes]] = asyncio.Queue(_QUEUE)
        self._known: OrderedDict[str, Heard] = OrderedDict()
        self._kinds: dict[str, Kind] = {}
        self._own = ""

    async def start(self, accept: Accept) -> None:
        """Ask who we are, and connect. Raises `Unavailable`, `Refused` for a wrong secret or app, `Invalid`."""
        await self.stop()
        given = self._settings
        if given.lacks():
            raise Invalid("with the mode `calls` Feishu needs `encrypt_key`", code="bad_field")
        wire = self._wire = Wire(self._kit.http(timeout=15.0), self._kit.clock, given)
        self._queue = asyncio.Queue(_QUEUE)
        try:
            self._own = str(inner(await wire.call("GET", "/open-apis/bot/v3/info"), "bot").get("open_id", ""))
            self._accept = accept
            if given.mode == "socket":
                line = self._line = Line(self._hear, self._kit.alive, self._kit.lost)
                await line.open(*await wire.endpoint())
                self._task = asyncio.create_task(tended("Feishu", self._kit.lost, lambda: self._run(line)))
        except KithError:
            await self.stop()
            raise
        self._kit.alive()

    async def stop(self) -> None:
        """Hear nothing more; what was not acknowledged comes again."""
        self._accept = None
        task, self._task, line, self._line = self._task, None, self._line, None
        wire, self._wire = self._wire, None
        await let_go([task], line, wire)

    async def probe(self) -> None:
        """Whether the connection answers a ping; with calls, whether the API answers. Raises `Unavailable`."""
        wire = self._connected()
        if self._line is not None:
            await self._line.ask()
        else:
            await wire.call("GET", "/open-apis/bot/v3/info")

    async def reach(self) -> None:
        """Whether the API answers, which replies go by; with calls `probe` asks. Raises `Unavailable`, `Refused`."""
        wire = self._connected()
        if self._line is not None:
            await wire.reach()

    async def send(self, parcel: Parcel) -> Sent:
        """Returns when Feishu has every piece; the receipts are message ids. Raises `Unavailable`, `Refused`."""
        wire = self._connected()

        async def say(index: int, piece: Piece) -> str:
            told = await self._say(wire, parcel, index, piece)
            name = str(told.get("message_id", ""))
            self._remember(name, Heard(parcel.target, "", self._kinds.get(_chat(parcel.target), "group")))
            return name

        return await deliver(self._kit, parcel, render(parcel.message, self._settings.cards), say)

    async def edit(self, parcel: Parcel, receipt: str, text: str) -> None:
        """Change a card, or a post as often as Feishu lets us. Raises as `send`."""
        wire, piece = self._connected(), shown(safe(text), self._settings.cards)
        path = f"/open-apis/im/v1/messages/{receipt}"
        if piece.kind == "interactive":
            await wire.call("PATCH", path, {"content": piece.content})
        elif _number(parcel.id) <= _EDITS:
            await wire.call("PUT", path, {"msg_type": piece.kind, "content": piece.content})

    async def hook(self, request: Hook) -> HookReply:
        """Hear a call, if it is sealed, signed and new. Raises `Refused`, `Invalid` and as the inbox."""
        if self._accept is None or self._settings.mode != "calls":
            raise Unavailable("the Feishu channel takes no calls now")
        told = self._seal.open(request.body)
        if told.get("type") == "url_verification":  # the one call that may come without a signature
            self._shown(told.get("token"))
            answer = msgspec.json.encode({"challenge": str(told.get("challenge", ""))[:1000]})
            return HookReply(200, {"content-type": "application/json"}, answer)
        names = ("request-timestamp", "request-nonce", "signature")
        stamp, nonce, shown_ = (request.headers.get(f"x-lark-{name}", "") for name in names)
        self._seal.check(shown_, stamp, nonce, request.body)
        self._shown(inner(told, "header").get("token"))
        self._replay.check(float(stamp) if stamp.isascii() and stamp.isdigit() and len(stamp) < 13 else 0.0, shown_)
        with self._replay.until_kept(shown_):
            if (envelope := await self._read(told)) is not None:
                await self._accept(envelope)
        return _ANSWER

    def _shown(self, token: Any) -> None:
        wanted = self._settings.verification.get_secret_value()
        if wanted and not same(str(token), wanted):
            raise Refused("the token of this call is not ours", code="bad_signature")

    def _connected(self) -> Wire:
        if self._wire is None or self._accept is None:
            raise Unavailable("the Feishu channel is not connected")
        return self._wire

    async def _say(self, wire: Wire, parcel: Parcel, index: int, piece: Piece) -> Mapping[str, Any]:
        """One message: into its thread, as a reply in a group, or plainly. A card that is not wanted goes as text."""
        content = piece.content or await self._content(wire, piece)
        body = {"msg_type": piece.kind, "content": content, "uuid": _key(f"{parcel.id}-{index}")}
        root, quoted = parcel.target.partition(":")[2], self._known.get(parcel.reply_to)
        goal = root or (parcel.reply_to if not index and quoted is not None and quoted.kind == "group" else "")
        try:
            if goal:
                try:
                    answer = {**body, "reply_in_thread": bool(root)}
                    return inner(await wire.call("POST", f"/open-apis/im/v1/messages/{goal}/reply", answer), "data")
                except Unwanted as error:
                    if error.number not in GONE:  # what was asked is not there any more: then without it
                        raise
            where = {"receive_id": _chat(parcel.target), **body}
            told = await wire.call("POST", "/open-apis/im/v1/messages", where, receive_id_type="chat_id")
            return inner(told, "data")
        except Unwanted as error:
            if error.number not in CARD or piece.kind not in ("interactive", "post"):
                raise
            return await self._say(wire, parcel, index, simple(piece.text))

    async def _content(self, wire: Wire, piece: Piece) -> str:
        """A file laid at Feishu, as a message's content."""
        assert piece.media is not None
        data, name = await self._kit.blobs.fetch(piece.media), piece.media.name or piece.kind
        if piece.kind == "image":
            key = await wire.upload("images", data, {"image_type": "message"}, name)
            return msgspec.json.encode({"image_key": key}).decode()
        fields = {"file_type": "opus" if piece.kind == "audio" else _type(name), "file_name": name}
        return msgspec.json.encode({"file_key": await wire.upload("files", data, fields, name)}).decode()

    def _hear(self, frame: Frame, payload: bytes) -> None:
        """What finds no room is not acknowledged, and comes again."""
        if not self._queue.full():
            self._queue.put_nowait((frame, payload))

    async def _run(self, line: Line) -> NoReturn:
        while True:
            frame, payload = await self._queue.get()
            try:
                if await self._take(payload):
                    await line.acknowledge(frame)
            except Unavailable as error:
                _log.info("event not acknowledged", reason=error.message)

    async def _take(self, payload: bytes) -> bool:
        """While the inbox cannot take it, nothing after it is heard. What can never be accepted is passed over."""

        async def made() -> Envelope | None:
            return await self._read(mapping(payload))

        return await hand_over(self._kit, lambda: self._accept, made)

    async def _read(self, event: dict[str, Any]) -> Envelope | None:
        """What an event says, with the bytes of its files. Raises `Invalid`, `Unavailable`."""
        envelope = parse(event, Arrival(self._settings.account, self._kit.clock.now()), self._own, self._known)
        if envelope is None:
            return None
        if not envelope.edits and not envelope.reaction:
            self._kinds[_chat(envelope.conversation)] = envelope.kind
            self._remember(envelope.platform_id, Heard(envelope.conversation, envelope.sender, envelope.kind))
        wire = self._connected()

        async def fetch(name: str, most: int) -> tuple[bytes, str]:
            kind, message, key = name.split(":")
            return await wire.fetch(message, key, kind, most)

        return await collect(self._kit, envelope, fetch)

    def _remember(self, name: str, heard: Heard) -> None:
        self._known[name] = heard
        while len(self._known) > _KNOWN:
            self._known.popitem(last=False)
        while len(self._kinds) > _KNOWN:
            del self._kinds[next(iter(self._kinds))]


def _chat(target: str) -> str:
    """The chat of a conversation, which may be one of its threads: ``chat`` or ``chat:root``."""
    return target.partition(":")[0]


def _key(name: str) -> str:
    """At most 50 characters, the same each time."""
    return hashlib.blake2b(name.encode(), digest_size=16).hexdigest()


def _number(parcel: str) -> int:
    """Which edit of a growing reply this is (``d_turn-7``); 0 for the finished one."""
    number = parcel.rpartition("-")[2]
    return int(number) if parcel.startswith("d_") and number.isascii() and number.isdigit() else 0


def _type(name: str) -> str:
    end = name.rpartition(".")[2].lower()
    known = {"pdf": "pdf", "doc": "doc", "docx": "doc", "xls": "xls", "xlsx": "xls", "ppt": "ppt", "pptx": "ppt"}
    return "mp4" if end == "mp4" else known.get(end, "stream")

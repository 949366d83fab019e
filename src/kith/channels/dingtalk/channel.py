"""The DingTalk channel: messages come over Stream mode, and are acknowledged after they were kept.

DingTalk sends again after about a minute what is not acknowledged; the inbox knows it by its id. Outwards DingTalk
takes no key of ours: a message whose answer was lost is sent again.
"""

from __future__ import annotations

import asyncio
import io
import wave
from collections import OrderedDict
from typing import Any, cast

from kith.channels.dingtalk.line import Line
from kith.channels.dingtalk.parse import parse, session
from kith.channels.dingtalk.render import Piece, kind_of, param, render
from kith.channels.dingtalk.settings import DingtalkSettings
from kith.channels.dingtalk.wire import Wire
from kith.channels.kit import Arrival, Kit, body_of, collect, deliver, hand_over, keep, let_go, tended
from kith.core.errors import Invalid, KithError, Refused, Unavailable
from kith.core.message import Envelope
from kith.core.people import Parcel
from kith.core.ports import Accept
from kith.core.turn import Sent
from kith.runtime.telemetry import get_logger

_log = get_logger(__name__)
_QUEUE = 2000
_KNOWN = 2000
_SPARE = 60.0


class DingtalkChannel:
    """One app's robot. Implements `Channel`."""

    def __init__(self, settings: DingtalkSettings, kit: Kit) -> None:
        self._settings, self._kit = settings, kit
        self._wire: Wire | None = None
        self._line: Line | None = None
        self._accept: Accept | None = None
        self._task: asyncio.Task[None] | None = None
        self._queue: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue(_QUEUE + 1)
        self._sessions: OrderedDict[str, tuple[str, float]] = OrderedDict()

    async def start(self, accept: Accept) -> None:
        """Ask for a token, and connect. Raises `Unavailable`, `Refused` for a wrong id or secret."""
        await self.stop()
        clients = self._kit.http(timeout=15.0), self._kit.http(timeout=15.0, public=True)
        wire = self._wire = Wire(*clients, self._kit.clock, self._settings)
        self._queue = asyncio.Queue(_QUEUE + 1)
        try:
            await wire.token()
            line = self._line = Line(self._hear, self._kit.alive, self._kit.lost)
            await line.open(await wire.endpoint())
        except KithError:
            await self.stop()
            raise
        self._accept = accept
        self._kit.alive()
        self._task = asyncio.create_task(tended("DingTalk", self._kit.lost, lambda: self._run(line)))

    async def stop(self) -> None:
        """Hear nothing more; what was not acknowledged comes again."""
        self._accept = None
        task, self._task, line, self._line = self._task, None, self._line, None
        wire, self._wire = self._wire, None
        await let_go([task], line, wire)

    async def probe(self) -> None:
        """Whether the connection answers a ping. Raises `Unavailable`."""
        self._connected()
        if self._line is not None:
            await self._line.ask()

    async def reach(self) -> None:
        """Whether the API answers, which replies go by. Raises `Unavailable`, `Refused`."""
        await self._connected().reach()

    async def send(self, parcel: Parcel) -> Sent:
        """Returns when DingTalk has every piece; the receipts are ``processQueryKey``. Raises `Unavailable`,
        `Refused`."""
        wire = self._connected()

        async def say(_: int, piece: Piece) -> str:
            return await self._say(wire, parcel.target, piece)

        return await deliver(self._kit, parcel, render(parcel.message), say)

    def _connected(self) -> Wire:
        if self._wire is None or self._accept is None:
            raise Unavailable("the DingTalk channel is not connected")
        return self._wire

    async def _say(self, wire: Wire, target: str, piece: Piece) -> str:
        """Through the API, or at the session's address where that is wished or the only way."""
        if piece.media is not None:
            return await wire.say(target, *await self._laid(wire, piece))
        url, until = self._sessions.get(target, ("", 0.0))
        foreign = target.startswith("@$")  # somebody of another organisation: they have no user id
        if url and until - _SPARE > self._kit.clock.now() and (foreign or self._settings.reply == "session"):
            await wire.answer(url, piece.title, piece.text)
            return ""
        if foreign:
            raise Refused("somebody of another organisation can only be answered within 90 minutes")
        return await wire.say(target, *piece.template)

    async def _laid(self, wire: Wire, piece: Piece) -> tuple[str, str]:
        """A file laid at DingTalk, as a template and its parameters."""
        assert piece.media is not None
        data, name = await self._kit.blobs.fetch(piece.media), piece.media.name
        match piece.kind:
            case "image":
                return "sampleImageMsg", param(photoURL=await wire.upload("image", data, name or "image.png"))
            case "voice":
                length = _milliseconds(data)
                key = await wire.upload("voice", data, name or "voice.wav")
                return "sampleAudio", param(mediaId=key, duration=str(length))
            case _:
                key = await wire.upload("file", data, name)
                return "sampleFile", param(mediaId=key, fileName=name, fileType=kind_of(name))

    def _hear(self, frame: dict[str, Any] | None) -> None:
        """What finds no room is not acknowledged, and comes again."""
        if self._queue.qsize() < (_QUEUE if frame is not None else _QUEUE + 1):
            self._queue.put_nowait(frame)

    async def _run(self, line: Line) -> str:
        while (frame := await self._queue.get()) is not None:
            try:
                if await self._take(frame):
                    await line.acknowledge(frame)
            except Unavailable as error:
                _log.info("message not acknowledged", reason=error.message)
        return "DingTalk wants the connection replaced"  # what came before was answered on it

    async def _take(self, frame: dict[str, Any]) -> bool:
        """While the inbox cannot take it, nothing after it is heard. What can never be accepted is passed over."""

        async def made() -> Envelope | None:
            raw = _data(frame)
            envelope = parse(raw, Arrival(self._settings.account, self._kit.clock.now()))
            if envelope is None:
                return None
            self._remember(envelope.conversation, raw)
            return await collect(self._kit, envelope, self._connected().fetch)

        return await hand_over(self._kit, lambda: self._accept, made)

    def _remember(self, conversation: str, raw: dict[str, Any]) -> None:
        """Where this conversation may be answered for a while."""
        url, until = session(raw)
        if self._wire is not None and self._wire.belongs(url):
            keep(self._sessions, conversation, (url, until), _KNOWN)


def _data(frame: dict[str, Any]) -> dict[str, Any]:
    """A callback's data, which is JSON as text. Raises `Invalid`."""
    raw = frame.get("data")
    found = body_of(raw, "a callback's data is no JSON") if isinstance(raw, str) else None
    if not isinstance(found, dict):
        raise Invalid("a callback's data is no JSON object", code="bad_frame")
    return cast("dict[str, Any]", found)


def _milliseconds(data: bytes) -> int:
    """How long a WAV lasts. Raises `Invalid` for one that is broken."""
    try:
        with wave.open(io.BytesIO(data)) as sound:
            return max(1, round(1000 * sound.getnframes() / sound.getframerate()))
    except (wave.Error, EOFError, ZeroDivisionError, ValueError):
        raise Invalid("the sound is no WAV", code="not_wanted") from None

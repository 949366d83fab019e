"""The long connection: a WebSocket with frames of ``pbbp2``, in which every event waits for our answer.

Feishu's SDK answers as soon as its handler returns, has one event loop for the whole process that nothing can stop, and
hears events out of their order; this hands each frame over and answers when it is told to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidStatus, WebSocketException

from kith.channels.feishu.frames import CONTROL, Frame, Parts, decode, encode
from kith.channels.feishu.seal import mapping
from kith.channels.feishu.wire import seconds
from kith.core.errors import Invalid, KithError, Refused, Unavailable
from kith.runtime.telemetry import get_logger

_log = get_logger(__name__)
_CONNECT = 15.0
_FORBIDDEN = "403"
_AUTH, _CROWD = "514", "1000040350"
_DONE = msgspec.json.encode({"code": 200})

Hear = Callable[[Frame, bytes], None]


class Line:
    """One connection. `hear` gets the last frame of every event and its payload, `alive` is called on any traffic."""

    def __init__(self, hear: Hear, alive: Callable[[], None], lost: Callable[[str], None]) -> None:
        self._hear, self._alive, self._lost = hear, alive, lost
        self._socket: ClientConnection | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._parts, self._pong = Parts(), asyncio.Event()
        self._service, self._every = 0, 90.0

    async def open(self, url: str, every: float) -> None:
        """Connect, and ping every so many seconds. Raises `Unavailable`, `Refused`."""
        number = url.partition("service_id=")[2].partition("&")[0]
        self._service = int(number) if number.isascii() and number.isdigit() and len(number) < 10 else 0
        self._every = every
        try:
            async with asyncio.timeout(_CONNECT):
                self._socket = await connect(
                    url, proxy=None, ping_interval=None, max_size=4 * 1024 * 1024, close_timeout=2
                )
        except InvalidStatus as error:
            raise _turned_away(error) from None
        except (InvalidHandshake, WebSocketException, OSError, TimeoutError, ValueError) as error:
            raise Unavailable(f"Feishu's socket does not open ({type(error).__name__})", retry_after=2.0) from None
        self._tasks = [asyncio.create_task(self._listen(self._socket)), asyncio.create_task(self._beat())]

    async def close(self) -> None:
        """Hear nothing more."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        socket, self._socket = self._socket, None
        if socket is not None:
            await socket.close()

    async def acknowledge(self, frame: Frame) -> None:
        """Answer an event: it is kept. Raises `Unavailable`."""
        headers = (*frame.headers, ("biz_rt", "0"))
        answer = Frame(frame.method, frame.service, headers, _DONE, frame.seq, frame.log, frame.encoding, frame.kind)
        await self._write(answer)

    async def ask(self) -> None:
        """Ping, and wait for the pong. Raises `Unavailable`."""
        self._pong.clear()
        await self._write(Frame(CONTROL, self._service, (("type", "ping"),)))
        await self._pong.wait()

    async def _write(self, frame: Frame) -> None:
        if self._socket is None:
            raise Unavailable("Feishu's socket is closed")
        try:
            await self._socket.send(encode(frame))
        except (WebSocketException, OSError) as error:
            raise Unavailable(f"Feishu's socket is closed ({type(error).__name__})") from None

    async def _listen(self, socket: ClientConnection) -> None:
        reason = "Feishu closed the connection"
        try:
            async for raw in socket:
                self._alive()
                try:
                    self._take(decode(raw if isinstance(raw, bytes) else raw.encode()))
                except Invalid as error:
                    _log.info("frame not understood", code=error.code)
        except (WebSocketException, OSError) as error:
            reason = f"the connection to Feishu ended ({type(error).__name__})"
        except Exception as error:  # noqa: BLE001  # a bug ends this connection and not the channel
            _log.exception("feishu connection failed", error=type(error).__name__)
            reason = f"the Feishu channel failed ({type(error).__name__})"
        self._lost(reason)

    def _take(self, frame: Frame) -> None:
        kind = frame.header("type")
        if frame.method == CONTROL:
            if kind == "pong":
                self._pong.set()
                if frame.payload:
                    self._every = seconds(mapping(frame.payload))
        elif kind == "event" and (payload := self._parts.add(frame)) is not None:
            self._hear(frame, payload)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._every)
            try:
                await self._write(Frame(CONTROL, self._service, (("type", "ping"),)))
            except Unavailable:
                return  # the listener tells


def _turned_away(error: InvalidStatus) -> KithError:
    """What the handshake's headers say (the SDKs of Feishu, "handshake-status")."""
    headers = error.response.headers
    status, said = headers.get("handshake-status", ""), headers.get("handshake-msg", "")[:200]
    if status == _FORBIDDEN:
        return Refused(f"Feishu allows no long connection: {said}", hint="look at the app's event subscription")
    if status == _AUTH and headers.get("handshake-autherrcode", "") == _CROWD:
        return Unavailable("the app has too many long connections (50)", retry_after=30.0)
    return Unavailable(f"Feishu's socket does not open ({error.response.status_code} {said})", retry_after=5.0)

"""A session over a WebSocket that can be taken up again: the protocol that Discord's Gateway and QQ's bots share.

The platform says hello with an interval (op 10); we answer with who we are (op 2), or with the session that we had and
the number of the last event that was kept (op 6), and all later ones come again. Heartbeats (op 1) are acknowledged
(op 11); the platform may ask us to connect again (op 7) or declare a session gone (op 9). An event counts as kept with
`done`, not when it is read: whatever was read and not kept comes again on the next connection, or in the next process.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn, cast

import msgspec

from kith.channels.arrival import inner
from kith.core.clock import Clock
from kith.core.errors import KithError, Refused, Unavailable
from kith.runtime.telemetry import get_logger

_log = get_logger(__name__)
_chance = random.SystemRandom()
_CONNECT = 20.0
_ANSWER = 10.0
_CLOSE = 2.0
_KEEP = 4000  # a close code that leaves the session open; 1000 and 1001 would end it
_QUEUE = 1000
_LARGEST = 32 * 1024 * 1024


@dataclass(slots=True)
class Bookmark:
    """Up to which event everything was kept: the session's name, the address at which it goes on, and the number."""

    session: str = ""
    url: str = ""
    seq: int = 0


@dataclass(frozen=True, slots=True)
class Usage:
    """What one platform does its own way: the body of op 2, the token in op 6, the close codes after which nothing
    helps (with what to tell the person), and those after which the session is gone."""

    identify: Callable[[], Awaitable[Mapping[str, Any]]]
    token: Callable[[], Awaitable[str]]
    fatal: Mapping[int, str] = field(default_factory=dict[int, str])
    gone: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Event:
    """One event (op 0): its name, its number, and the whole message as the platform sent it."""

    name: str
    number: int
    whole: Mapping[str, Any]

    @property
    def body(self) -> Mapping[str, Any]:
        """The event's own fields; empty where there are none."""
        found = self.whole.get("d")
        return cast("Mapping[str, Any]", found) if isinstance(found, Mapping) else {}


def gateway(told: Any, platform: str) -> str:
    """The gateway's address, as the platform names it. Raises `Unavailable`, also when no session may be begun today
    any more."""
    fields = cast("Mapping[str, Any]", told) if isinstance(told, Mapping) else dict[str, Any]()
    limit, url = inner(fields, "session_start_limit"), fields.get("url")
    if limit.get("remaining") == 0:
        after = limit.get("reset_after")
        wait = after / 1000 if isinstance(after, int | float) else 60.0
        raise Unavailable(f"{platform} lets this bot begin no more sessions today", retry_after=min(wait, 86_400.0))
    if not isinstance(url, str) or not url.startswith(("wss://", "ws://")):
        raise Unavailable(f"{platform} gives no address of its gateway", retry_after=5.0)
    return url


class Session:
    """One connection at a time. `alive` is called for whatever is heard of the platform."""

    def __init__(self, usage: Usage, clock: Clock, alive: Callable[[], None], mark: Bookmark | None = None) -> None:
        self.mark = mark or Bookmark()
        self._usage, self._clock, self._alive = usage, clock, alive
        self._socket: Any = None
        self._tasks: list[asyncio.Task[None]] = []
        self._events: asyncio.Queue[Event | None] = asyncio.Queue(_QUEUE)
        self._begun: asyncio.Future[None] | None = None
        self._end: KithError = Unavailable("there is no session")
        self._acked = asyncio.Event()
        self._seen = 0
        self._unanswered = self._void = False

    async def open(self, url: str) -> None:
        """Take the session up again, or begin one at `url`. Raises `Unavailable`, `Refused` where nothing helps."""
        for again in (True, False):
            before = self.mark.session, self.mark.url
            try:
                async with asyncio.timeout(_CONNECT):
                    await self._connect(self.mark.url or url)
                return
            except TimeoutError:
                error: KithError = Unavailable("the gateway does not answer", retry_after=2.0)
                self.mark.url = ""
            except KithError as found:
                error = found
            await self.close()
            if not again or before == (self.mark.session, self.mark.url):
                raise error

    async def listen(
        self, url: str, heard: Callable[[Event], Awaitable[None]], left: Callable[[], None] = lambda: None
    ) -> NoReturn:
        """Hear, keep with `heard`, and only then move on. After a broken connection `left` is told, and the session is
        taken up once more at once. Raises as `open` and `heard`."""
        while True:
            try:
                event = await self.next()
            except Unavailable as error:
                _log.info("gateway left", reason=error.message)
                left()
                await self.close()
                await self.open(url)
                continue
            await heard(event)

    async def next(self) -> Event:
        """The next event, in order. Raises `Unavailable` or `Refused` when the connection has ended."""
        event = await self._events.get()
        if event is None:
            raise self._end
        return event

    def done(self, event: Event) -> None:
        """All up to this event is kept: it does not come again."""
        if event.name == "READY" and not self._void:
            session, url = event.body.get("session_id"), event.body.get("resume_gateway_url")
            self.mark.session = session if isinstance(session, str) else ""
            self.mark.url = url if isinstance(url, str) and url.startswith(("wss://", "ws://")) else ""
        self.mark.seq = event.number or self.mark.seq

    async def probe(self) -> None:
        """A heartbeat, and its answer. Raises `Unavailable`."""
        if self._socket is None:
            raise Unavailable("the gateway is not connected")
        self._acked.clear()
        try:
            async with asyncio.timeout(_ANSWER):
                await self._say(self._socket, 1, self._seen or None)
                await self._acked.wait()
        except TimeoutError:
            raise Unavailable("the gateway does not answer") from None

    async def close(self) -> None:
        """Let go of the connection; the session can be taken up again."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        socket, self._socket = self._socket, None
        if socket is not None:
            await socket.close(_KEEP)
        if self._begun is not None and self._begun.done() and not self._begun.cancelled():
            self._begun.exception()  # it was told already, or nobody waits for it any more

    async def _connect(self, url: str) -> None:
        from websockets.asyncio.client import connect
        from websockets.exceptions import InvalidHandshake, InvalidURI

        try:
            # proxies of the environment are ignored: where bytes go is decided by the settings alone
            socket = await connect(url, max_size=_LARGEST, ping_interval=None, close_timeout=_CLOSE, proxy=None)
        except (OSError, InvalidHandshake, InvalidURI) as error:
            self.mark.url = ""  # the address at which sessions go on may be gone: then where they begin
            raise Unavailable(f"the gateway cannot be reached ({type(error).__name__})", retry_after=2.0) from None
        self._socket, self._seen, self._unanswered, self._void = socket, self.mark.seq, False, False
        self._events = asyncio.Queue(_QUEUE)
        self._begun = asyncio.get_running_loop().create_future()
        self._tasks = [asyncio.create_task(self._read(socket, self._begun))]
        await self._begun

    async def _read(self, socket: Any, begun: asyncio.Future[None]) -> None:
        """Until the connection ends; then every reader is told why."""
        from websockets.exceptions import WebSocketException

        self._end = Unavailable("the gateway closed the connection")
        try:
            async for raw in socket:
                self._alive()
                if reason := await self._hear(socket, begun, raw):
                    self._end = Unavailable(reason)
                    break
        except (WebSocketException, OSError) as error:
            self._end = Unavailable(f"the gateway's connection broke ({type(error).__name__})")
        except KithError as error:
            self._end = error
        code = int(socket.close_code or 0)
        if code in self._usage.gone:
            self._forget()
        if code in self._usage.fatal:
            self._end = Refused(f"{self._usage.fatal[code]} ({code})")
        if not begun.done():
            begun.set_exception(self._end)
        await self._events.put(None)

    async def _hear(self, socket: Any, begun: asyncio.Future[None], raw: str | bytes) -> str:
        """One message. Why the connection has to end, or nothing."""
        try:
            told: Any = msgspec.json.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            told = None
        if not isinstance(told, dict):
            return "the gateway's message makes no sense"
        frame = cast("dict[str, Any]", told)
        match frame.get("op"):
            case 0:
                await self._event(begun, frame)
            case 1:
                await self._say(socket, 1, self._seen or None)
            case 7:
                return "the gateway asked for a new connection"
            case 9:
                if frame.get("d") is not True:
                    self._forget()
                return "the gateway does not know the session any more"
            case 10:
                await self._greet(socket, frame)
            case 11:
                self._unanswered = False
                self._acked.set()
            case _:
                _log.debug("unknown frame")
        return ""

    async def _event(self, begun: asyncio.Future[None], frame: Mapping[str, Any]) -> None:
        number, name = frame.get("s"), frame.get("t")
        number = number if isinstance(number, int) and number >= 0 else 0
        self._seen = max(self._seen, number)
        if not begun.done():
            begun.set_result(None)
        await self._events.put(Event(name if isinstance(name, str) else "", number, frame))

    def _forget(self) -> None:
        """The session is gone, even if its READY was not kept yet."""
        self.mark.session = self.mark.url = ""
        self._void = True

    async def _greet(self, socket: Any, hello: Mapping[str, Any]) -> None:
        body: Any = hello.get("d")
        told: Any = cast("dict[str, Any]", body).get("heartbeat_interval") if isinstance(body, dict) else None
        interval = told / 1000 if isinstance(told, int | float) and told >= 10 else 41.25
        self._tasks.append(asyncio.create_task(self._beat(socket, min(interval, 300.0))))
        if self.mark.session:
            token = await self._usage.token()
            await self._say(socket, 6, {"token": token, "session_id": self.mark.session, "seq": self.mark.seq})
        else:
            self._seen = 0
            await self._say(socket, 2, await self._usage.identify())

    async def _beat(self, socket: Any, interval: float) -> None:
        """The first beat after a random part of the interval. One that was not answered ends the connection."""
        await self._clock.sleep(interval * _chance.random())
        with contextlib.suppress(Unavailable):
            while not self._unanswered:
                self._unanswered = True
                await self._say(socket, 1, self._seen or None)
                await self._clock.sleep(interval)
        await socket.close(_KEEP)

    @staticmethod
    async def _say(socket: Any, op: int, body: Any) -> None:
        from websockets.exceptions import WebSocketException

        try:
            await socket.send(msgspec.json.encode({"op": op, "d": body}).decode())
        except (WebSocketException, OSError) as error:
            raise Unavailable(f"the gateway's connection broke ({type(error).__name__})") from None

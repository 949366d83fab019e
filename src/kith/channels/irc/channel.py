"""The IRC channel.

IRC has no acknowledgements. Outwards the order of a connection stands in for them: the server's answer to a PING shows
that it has taken every line before it, and whatever was written without that answer is in doubt and not sent again
(``at_most_once``). Inwards, what is said while the connection is broken never comes.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable

from kith.channels.irc.parse import Line, fold, parse
from kith.channels.irc.render import render
from kith.channels.irc.settings import IrcSettings
from kith.channels.irc.wire import Wire
from kith.channels.kit import Arrival, Kit, deliver, hand_over, let_go
from kith.core.errors import Invalid, KithError, Refused, Unavailable
from kith.core.people import Parcel
from kith.core.ports import Accept
from kith.core.turn import Sent
from kith.runtime.telemetry import get_logger

_log = get_logger(__name__)
_PATIENCE = 15.0
_QUEUE = 8.0
_ABSENT = 30.0


class IrcChannel:
    """One nick; started and stopped as often as needed."""

    def __init__(self, settings: IrcSettings, kit: Kit) -> None:
        self._settings, self._kit = settings, kit
        self._wire: Wire | None = None
        self._accept: Accept | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._numbers = itertools.count(1)
        self._pongs: dict[str, asyncio.Future[None]] = {}
        self._asked = asyncio.Event()
        self._batch: asyncio.Future[None] | None = None
        self._free = 0.0  # when the bucket of the flood limit is empty, on the monotonic clock
        self._refusals: dict[str, KithError] = {}

    async def start(self, accept: Accept) -> None:
        """Connect, log in and join. Raises `Unavailable`, `Refused`, `Invalid` without a host."""
        if not self._settings.host:
            raise Invalid("the IRC channel needs the server's name", hint="set channels.irc.host")
        wire = self._wire = await Wire.open(self._settings)
        self._accept = accept
        self._asked.clear()
        self._tasks = [asyncio.create_task(self._run(loop, wire)) for loop in (self._listen, self._confirm)]
        try:
            for room in self._settings.rooms:
                await wire.write("JOIN " + " ".join(room.replace(",", " ").split()[:2]))
            await self._confirmed()  # the rooms are joined, or their refusals have been logged
        except (OSError, TimeoutError):
            await self.stop()
            raise Unavailable("the IRC server hung up") from None
        self._kit.alive()

    async def stop(self) -> None:
        """Leave the network."""
        self._accept = None
        wire, self._wire = self._wire, None
        tasks, self._tasks = self._tasks, []
        await let_go(tasks)
        self._give_up()
        await let_go((), wire)

    async def probe(self) -> None:
        """Ask the server for a sign of life, and for our own name if somebody else had it. Raises `Unavailable`."""
        wire = self._connected()
        try:
            if fold(wire.nick) != fold(self._settings.nick):
                await wire.write(f"NICK {self._settings.nick}")
            await self._confirmed()
        except (OSError, TimeoutError):
            raise Unavailable("the IRC server does not answer") from None

    async def send(self, parcel: Parcel) -> Sent:
        """One line after the other, as fast as the flood limit allows.

        Raises `Unavailable` where nothing of the next line has been sent, `OSError` or `TimeoutError` in doubt.
        """
        if not parcel.target or any(char in parcel.target for char in " ,:\r\n\0"):
            raise Refused("the reply's target is no nick and no room")

        async def say(index: int, text: str) -> str:
            await self._say(parcel.target, text)
            return f"{index}"

        return await deliver(self._kit, parcel, render(parcel.message), say)

    async def _say(self, target: str, text: str) -> None:
        self._connected()
        await self._wait_turn()
        wire = self._connected()
        self._refusals.pop(fold(target), None)
        await wire.write(f"PRIVMSG {target} :{text}")
        await self._confirmed()
        if (refusal := self._refusals.pop(fold(target), None)) is not None:
            raise refusal

    async def _wait_turn(self) -> None:
        """The flood limit: `burst` lines at once, `per_second` in the long run. Raises `Unavailable` if it is long."""
        now, given = self._kit.clock.monotonic(), self._settings
        due = max(self._free, now - given.burst / given.per_second)
        wait = due + 1 / given.per_second - now
        if wait > _QUEUE:
            raise Unavailable("the flood limit is reached", retry_after=wait - _QUEUE / 2)
        self._free = due + 1 / given.per_second
        if wait > 0:
            await self._kit.clock.sleep(wait)

    def _connected(self) -> Wire:
        if self._wire is None or self._accept is None:
            raise Unavailable("the IRC channel is not connected")
        return self._wire

    async def _confirmed(self) -> None:
        """Returns when the server has taken every line written until now. Raises `OSError` or `TimeoutError`."""
        if self._batch is None:
            self._batch = asyncio.get_running_loop().create_future()
        self._asked.set()
        async with asyncio.timeout(_PATIENCE):
            await asyncio.shield(self._batch)

    async def _confirm(self, wire: Wire) -> None:
        """One PING at a time, each for all the lines that were written before it."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            batch, self._batch = self._batch, None
            if batch is None:
                continue
            token = f"k{next(self._numbers)}"
            self._pongs[token] = batch
            await wire.write(f"PING :{token}")
            await asyncio.wait((batch,))

    async def _run(self, loop: Callable[[Wire], Awaitable[None]], wire: Wire) -> None:
        """Run one of the loops; its end is the connection's."""
        try:
            await loop(wire)
        except OSError as error:
            reason = f"the connection to the IRC server is lost: {error}"
        except Exception as error:  # noqa: BLE001  # a bug ends this connection and not the channel
            _log.exception("irc loop failed", error=type(error).__name__)
            reason = f"the IRC channel failed ({type(error).__name__})"
        else:
            return
        wire.abort()
        if self._wire is wire:
            self._accept = None
            self._give_up()
            self._kit.lost(reason)

    def _give_up(self) -> None:
        """Nobody will confirm any more what is waiting for it."""
        batches = [*self._pongs.values(), *((self._batch,) if self._batch else ())]
        self._pongs.clear()
        self._batch = None
        for batch in batches:
            if not batch.done():
                batch.set_exception(ConnectionResetError("the connection broke before the server confirmed"))
                batch.exception()  # nobody may be waiting

    async def _listen(self, wire: Wire) -> None:
        while True:
            raw, line = await wire.read()
            self._kit.alive()
            if line is None:
                continue
            match line.command:
                case "PING":
                    await wire.write(f"PONG :{line.param(0)}")
                case "PONG":
                    batch = self._pongs.pop(line.params[-1] if line.params else "", None)
                    if batch is not None and not batch.done():
                        batch.set_result(None)
                case "NICK" if fold(line.nick) == fold(wire.nick):
                    wire.nick = line.param(0)
                case "ERROR":
                    raise ConnectionResetError(line.param(0))
                case "PRIVMSG":
                    await self._hear(raw, wire)
                case command:
                    self._note(command, line)

    def _note(self, command: str, line: Line) -> None:
        """What the server says of lines that it did not pass on."""
        target = fold(line.param(1))
        if command in ("401", "406"):
            self._refusals[target] = Unavailable("they are not on the network now", retry_after=_ABSENT)
        elif command in ("403", "404", "442", "531"):
            self._refusals[target] = Refused(f"the IRC server did not pass the message on: {line.params[-1]}")
        elif command in ("471", "473", "474", "475", "476", "477"):
            _log.warning("room not joined", room=line.param(1), reason=line.params[-1])
        if len(self._refusals) > 1000:
            self._refusals.pop(next(iter(self._refusals)))

    async def _hear(self, raw: bytes, wire: Wire) -> None:
        arrival = Arrival(self._settings.account, self._kit.clock.now())
        try:
            envelope = parse(raw, arrival, wire.nick, accounts=self._settings.identity == "account")
        except Invalid as error:
            _log.debug("line not understood", code=error.code)
            return
        if envelope is not None:
            await hand_over(self._kit, lambda: self._accept, envelope)

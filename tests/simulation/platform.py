"""A chat platform across a bad network: people who write, a channel that Kith sends through, and what people saw."""

from __future__ import annotations

import asyncio
import contextvars
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from kith.core.errors import KithError, Unavailable
from kith.core.message import Envelope, Message, Text
from kith.core.people import Parcel
from kith.core.ports import Accept
from kith.core.turn import Sent
from tests.simulation.faults import Weather
from tests.simulation.loop import Process, VirtualLoop

CHANNEL = "sim"
_OUTSIDE = contextvars.Context()
_PATIENCE = 15.0  # seconds after which a platform delivers again what was not acknowledged
_WORDS = ("hello", "你好", "what is the time of bees?", "tell me more", "再见", "why?", "thanks", "42", "讲个故事")


@dataclass(slots=True)
class Platform:
    """`seen` is what people saw, in order: (conversation handle, platform id answered, parcel id)."""

    loop: VirtualLoop
    rng: random.Random
    weather: Weather
    policy: str
    note: Callable[..., None]
    doors: list[Door] = field(default_factory=list)
    acknowledged: dict[str, str] = field(default_factory=dict)
    sent: int = 0
    seen: list[tuple[str, str, str]] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)

    async def write(self, conversation: str, sender: str, number: int) -> None:
        """One person writes one message, and the platform delivers it until it is acknowledged."""
        name = f"{conversation}/{number}"
        self.sent += 1
        await asyncio.sleep(self.rng.random() * 120)
        while name not in self.acknowledged:
            for _ in range(1 + (self.rng.random() < self.weather.net_twice)):
                self._deliver(name, conversation, sender)
            await asyncio.sleep(_PATIENCE * (0.5 + self.rng.random()))

    def _deliver(self, name: str, conversation: str, sender: str) -> None:
        doors = [door for door in self.doors if door.open and not door.process.dead]
        if not doors or self._lost():
            return
        door = self.rng.choice(doors)
        text = self.rng.choice(_WORDS)
        message = Message(f"m_{name}", "user", (Text(text),), 0.0)
        envelope = Envelope(CHANNEL, "local", name, sender, conversation, message)
        self.later(lambda: door.knock(envelope, self._acknowledge), door.process)

    def _acknowledge(self, name: str, turn: str) -> None:
        if self._lost():
            return

        def arrive() -> None:
            if self.acknowledged.setdefault(name, turn) != turn:
                raise AssertionError(f"{name} was accepted as {self.acknowledged[name]} and as {turn}")
            self.note("acknowledged", name)

        self.later(arrive)

    def request(self, parcel: Parcel, answer: asyncio.Future[str]) -> None:
        """Kith asks the platform to show `parcel`. What happens to the request, and to its answer, is the weather's."""
        if self._lost():
            return  # the answer never comes
        if self.rng.random() < self.weather.net_fail:
            failure = Unavailable("try later", retry_after=self.rng.random() * 5) if self.rng.random() < 0.5 else None
            self.later(lambda: _settle(answer, failure or ConnectionResetError("reset")))
            return
        times = 1 + (self.policy == "idempotent" and self.rng.random() < self.weather.net_twice)
        for _ in range(times):
            self._show_later(parcel, answer)

    def _show_later(self, parcel: Parcel, answer: asyncio.Future[str]) -> None:
        def arrive() -> None:
            self._show(parcel)
            if self._lost():
                return
            broken = self.rng.random() < self.weather.net_after
            self.later(lambda: _settle(answer, ConnectionResetError("reset") if broken else None))

        if self.policy == "idempotent":
            self.later(arrive)  # may arrive after Kith has given up waiting, or has died
        else:
            arrive()

    def _show(self, parcel: Parcel) -> None:
        if self.policy == "idempotent" and parcel.id in self.keys:
            return
        self.keys.add(parcel.id)
        self.seen.append((parcel.target, parcel.reply_to, parcel.id))
        self.note("seen", parcel.target, parcel.reply_to)

    def later(self, act: Callable[[], None], process: Process | None = None) -> None:
        """Do `act` after the network's delay, in the world outside or within a process."""
        delay = self.rng.random() * self.weather.net_delay
        if self.rng.random() < 0.02:
            delay *= 10
        # The network belongs to no process: it goes on whoever dies.
        self.loop.call_later(delay, act, context=process.context if process else _OUTSIDE)

    def _lost(self) -> bool:
        return self.rng.random() < self.weather.net_loss


def _settle(answer: asyncio.Future[str], failure: BaseException | None) -> None:
    if answer.done():
        return
    if failure is None:
        answer.set_result("shown")
    else:
        answer.set_exception(failure)
        answer.exception()  # a dead process does not ask for it


class Door:
    """The channel inside one process. Implements `Channel` and `Reconciler`."""

    def __init__(self, platform: Platform, process: Process) -> None:
        self._platform, self.process = platform, process
        self._accept: Accept | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def open(self) -> bool:
        return self._accept is not None

    async def start(self, accept: Accept) -> None:
        self._accept = accept
        self._platform.doors.append(self)

    async def send(self, parcel: Parcel) -> Sent:
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._platform.request(parcel, answer)
        return Sent(await answer)

    async def arrived(self, parcel: Parcel) -> bool:
        await asyncio.sleep(0.1)
        return parcel.id in self._platform.keys

    async def stop(self) -> None:
        self._accept = None

    def knock(self, envelope: Envelope, acknowledge: Callable[[str, str], None]) -> None:
        """The platform's request has reached the process."""
        task = asyncio.create_task(self._hear(envelope, acknowledge))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _hear(self, envelope: Envelope, acknowledge: Callable[[str, str], None]) -> None:
        if self._accept is None:
            return
        try:
            accepted = await self._accept(envelope)
        except KithError as error:
            self._platform.note("refused", envelope.platform_id, error.code)
            return
        acknowledge(envelope.platform_id, accepted.id)

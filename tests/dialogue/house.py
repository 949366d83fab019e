"""A small household for tests of the dialogue: real storage in memory, real flow and handbook, scripted models."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import cache
from typing import Any

from kith.core.clock import SystemClock
from kith.core.errors import KithError, NotFound, Refused
from kith.core.ids import Ids
from kith.core.message import Delta, Envelope, Message, Text, ToolCall, ToolResult, Usage
from kith.core.model import ChatRequest, ModelCard, ToolSpec
from kith.core.people import Parcel, Principal
from kith.core.turn import Sent
from kith.dialogue import DialogueSettings, Engine, FlowBook, Ports, load_persona
from kith.dialogue.mind import Mind
from kith.knowledge import KnowledgeSettings, Library
from kith.media import Senseless
from kith.runtime.blobs import Blobs
from kith.runtime.bus import Bus
from kith.runtime.health import Health
from kith.runtime.streams import Streams
from kith.storage import Storage, StorageSettings, open_storage

Script = Callable[[ChatRequest], Sequence[Delta | KithError | asyncio.Event]]


class Scripted:
    """Implements `Models`: `script` says what comes for a request; an event in it is waited for."""

    def __init__(self, script: Script | None = None) -> None:
        self.script = script
        self.asked: list[ChatRequest] = []

    def cards(self) -> Sequence[ModelCard]:
        return (ModelCard("scripted", "chat", "scripted", context=2048, capabilities=("chat",)),) if self.script else ()

    async def chat(self, request: ChatRequest) -> AsyncIterator[Delta]:
        self.asked.append(request)
        if self.script is None:
            raise NotFound("no model")
        for step in self.script(request):
            if isinstance(step, KithError):
                raise step
            if isinstance(step, asyncio.Event):
                await step.wait()
            else:
                yield step

    async def embed(self, texts: Sequence[str], model: str = "") -> Sequence[Sequence[float]]:
        return ()

    async def count(self, text: str, model: str = "") -> int:
        return len(text.encode()) // 3


class Gate:
    """Implements `Guard`: lets everybody in but `enemy`."""

    async def admit(self, envelope: Envelope) -> Principal:
        if envelope.sender == "enemy":
            raise Refused("no")
        return Principal(envelope.sender, envelope.sender)

    def release(self, envelope: Envelope, known: Sequence[str] = ()) -> Gate:
        return self

    def feed(self, text: str) -> str:
        return text.replace("\x07", "")

    def finish(self) -> str:
        return ""

    async def judge(self, text: str) -> dict[str, float]:
        return {}


class Adder:
    """Implements `Tools`: one tool that adds."""

    def offered(self, principal: Principal) -> Sequence[ToolSpec]:
        return (ToolSpec("add", "Adds.", {"type": "object"}, "read", outside=False),)

    async def call(self, call: ToolCall, principal: Principal) -> ToolResult:
        return ToolResult(call.call, "3")


class Key:
    """Implements `Cipher`, for tests."""

    def key(self, purpose: str) -> bytes:
        return b"k" * 32


@cache
def flows() -> FlowBook:
    """The shipped flow, trained once for all tests."""
    return FlowBook(None)


@cache
def library() -> Library:
    """The handbook, indexed once for all tests."""
    return Library(KnowledgeSettings())


class House:
    """The pieces of one household."""

    def __init__(self, models: Scripted, storage: Storage, mind: Mind | None = None, **settings: Any) -> None:
        clock = SystemClock()
        self.models, self.storage, self.streams, self.health, self.bus = models, storage, Streams(), Health(), Bus()
        ports = Ports(  # `senses`, `flows`, `blobs` and `tools` may be among the settings
            guard=Gate(),
            store=storage.store,
            inbox=storage.inbox,
            senses=settings.pop("senses", Senseless()),
            flows=settings.pop("flows", None) or flows(),
            knowledge=library(),
            models=models,
            tools=settings.pop("tools", Adder()),
            persona=load_persona(),
            blobs=settings.pop("blobs", None) or Blobs(),
            settings=DialogueSettings(**settings),
            bus=self.bus,
            clock=clock,
            ids=Ids(clock, random.Random(7)),
            records=storage.records,
            people=storage.people,
            mind=mind or Mind(),
        )
        self.engine = Engine(ports, self.streams, self.health, "w1")

    async def outbox(self, count: int) -> list[Parcel]:
        """Deliver until `count` replies went out."""
        found: list[Parcel] = []
        async with asyncio.timeout(90):
            while len(found) < count:
                for parcel in await self.storage.outbox.take("w1", 100):
                    found.append(parcel)
                    await self.storage.outbox.settle(parcel, Sent())
                await asyncio.sleep(0.001)
        return found


def play(scene: Callable[[House], Awaitable[None]], script: Script | None = None, **settings: Any) -> None:
    """Run `scene` with a household whose model follows `script`."""

    async def run() -> None:
        clock = SystemClock()
        storage = await open_storage(StorageSettings(backend="memory"), clock, Ids(clock), Key())
        house = House(Scripted(script), storage, **settings)
        await house.engine.start()
        try:
            await scene(house)
        finally:
            await house.engine.stop(grace=0.1)
            await house.bus.close()
            await storage.close()

    asyncio.run(run())


def says(*words: str) -> Script:
    """A model that says `words`, one delta each."""
    last = Delta(finish="stop", usage=Usage(10, len(words)), model="scripted")
    return lambda _: (*(Delta(word) for word in words), last)


def heard(number: int, text: str, conversation: str = "c", **fields: Any) -> Envelope:
    """A message of the test channel."""
    message = Message(f"m{number}", "user", (Text(text),), float(number))
    values = {"sender": "ann", **fields}
    return Envelope("test", "a", f"{conversation}-{number}", conversation=conversation, message=message, **values)

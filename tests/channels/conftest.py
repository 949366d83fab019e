"""A household in memory: storage, live streams and a dialogue that answers by echoing when it is told to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from kith.channels import ChannelManager, ChannelPorts, ChannelsSettings
from kith.core.clock import SystemClock
from kith.core.errors import KithError
from kith.core.ids import Ids, conversation_id
from kith.core.message import Delta, Envelope, Message, Text
from kith.core.people import Parcel
from kith.core.turn import Accepted, Dead, Done, Later, Passage, Sent, Stale, Turn
from kith.runtime.health import Health
from kith.runtime.registry import Registry
from kith.runtime.streams import Streams
from kith.storage import Storage, StorageSettings, open_storage


class Key:
    def key(self, purpose: str) -> bytes:
        return purpose.encode().ljust(32, b".")[:32]


class Talk:
    """Hears into the inbox; `failure` is raised instead when set."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self.failure: KithError | None = None
        self.cancelled: list[str] = []

    async def hear(self, envelope: Envelope) -> Accepted:
        if self.failure is not None:
            raise self.failure
        return await self._storage.inbox.accept(envelope)

    def reply(self, envelope: Envelope, history: Sequence[Message] | None = None) -> AsyncIterator[Delta]:
        raise NotImplementedError

    def cancel(self, turn: str) -> None:
        self.cancelled.append(turn)


class House:
    """`manager` runs the channels of `settings`; `answer` ends waiting turns."""

    def __init__(self, storage: Storage, settings: dict[str, Any], registry: Registry | None = None) -> None:
        self.storage, self.clock, self.streams, self.health = storage, SystemClock(), Streams(), Health()
        self.ids = Ids(self.clock)
        self.talk = Talk(storage)
        self.settings = ChannelsSettings.model_validate(
            {"delivery": {"poll": 0.02, "backoff": 0.01, "backoff_limit": 0.02, "grace": 0.5}, **settings}
        )
        self.settled: list[tuple[str, str]] = []
        self.answering = asyncio.Lock()  # held by who answers, where somebody else may
        ports = ChannelPorts(self.talk, storage.outbox, storage.store, self.streams, self.health, waiting=storage.inbox)
        self.manager = ChannelManager(ports, self.settings, self.clock, self.ids, registry)

    async def commit(self, *texts: str, channel: str = "loopback", conversation: str = "main", **more: Any) -> None:
        """One turn whose replies are `texts`, waiting in the outbox."""
        said = Message(self.ids.new("m"), "user", (Text("?"),), self.clock.now())
        envelope = Envelope(channel, more.pop("account", "local"), self.ids.new("x"), "somebody", conversation, said)
        async with self.answering:
            await self.storage.inbox.accept(envelope)
            await self.answer(*texts, **more)

    async def answer(self, *texts: str, deliver: bool = True, **more: Any) -> list[Turn]:
        """Answer everything that waits with `texts`, as the dialogue would."""
        turns: list[Turn] = []
        for claim in await self.storage.inbox.claim("talk", 100):
            envelope = claim.envelope
            person, conversation = await self.storage.store.resolve(envelope)
            spoke = tuple(Message(self.ids.new("m"), "assistant", (Text(t),), self.clock.now()) for t in texts)
            parcels = tuple(
                Parcel(m.id, 0, conversation.id, envelope.channel, envelope.account, envelope.conversation, m, **more)
                for m in spoke
                if deliver and envelope.deliver
            )
            turn = Turn(
                claim.id, conversation.id, person.id, self.clock.now(), envelope.message, spoke,
                passages=(Passage("p", "handbook", 1.0),), model="echo",
            )  # fmt: skip
            await self.storage.inbox.settle(claim, Done(turn, {}, parcels))
            self.streams.publish(conversation.id, "end", {"turn": claim.id})
            turns.append(turn)
        return turns

    async def states(self) -> dict[str, str]:
        """Every reply's text and state."""
        found: dict[str, str] = {}
        for state in ("waiting", "sending", "sent", "dead", "stale"):
            found |= {parcel.message.text: state for parcel in await self.storage.outbox.find(state)}
        return found

    async def until(self, condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(90):
            while True:
                value = condition()
                if await value if asyncio.iscoroutine(value) else value:
                    return
                await asyncio.sleep(0.005)

    async def until_states(self, **wanted: str) -> None:
        async def reached() -> bool:
            return (await self.states()).items() >= wanted.items()

        await self.until(reached)


@asynccontextmanager
async def open_house(tmp_path: Path, registry: Registry | None = None, **settings: Any) -> AsyncIterator[House]:
    clock = SystemClock()
    storage = await open_storage(StorageSettings(backend="memory", path=tmp_path / "k.db"), clock, Ids(clock), Key())
    try:
        yield House(storage, settings, registry)
    finally:
        await storage.close()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """`house(loopback={...})` opens a household with these channel settings."""

    def opener(registry: Registry | None = None, **settings: Any) -> Any:
        return open_house(tmp_path, registry, **settings)

    yield opener


Outcome = Sent | Later | Dead | Stale
__all__ = ["House", "Outcome", "conversation_id"]

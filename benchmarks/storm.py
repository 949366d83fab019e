"""All channels at once, 50 conversations each, while the library of one freezes: what do the others notice?

``python -m benchmarks.storm [--conversations N] [--seconds S] [--freeze S] [--json]``. Every channel with a platform
takes part under its own name, over a platform of ours that answers at once (so that no vendor's server decides);
manager, sender, outbox, storage, keepers and threads are the real ones. The same storm is played twice in one run, calm
and with the first channel's thread asleep; the ratio of the others' p95 is the result.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.report import Row, report
from kith.channels import ChannelManager, ChannelPorts, ChannelsSettings
from kith.channels.kit import ChannelSettings, Kit
from kith.core.clock import SystemClock
from kith.core.ids import Ids
from kith.core.manifest import Manifest
from kith.core.message import Envelope, Message, Text
from kith.core.people import Parcel
from kith.core.turn import Accepted, Done, Sent, Turn
from kith.runtime.health import Health
from kith.runtime.registry import Registry
from kith.runtime.streams import Streams
from kith.storage import Storage, StorageSettings, open_storage


class Key:
    """A key for the storage."""

    def key(self, purpose: str) -> bytes:
        return purpose.encode().ljust(32, b".")[:32]


@dataclass
class Platforms:
    """A registry of every platform's manifest, its channel replaced by one whose platform answers at once."""

    victim: str
    freeze: float
    took: dict[str, list[float]] = field(default_factory=dict)

    def manifests(self) -> dict[str, Manifest]:
        found: dict[str, Manifest] = {}
        for name, one in Registry("channels").manifests().items():
            if "local" in one.capabilities:
                continue
            details = {"delivery": "idempotent", "default": True, "liveness": one.details["liveness"]}
            details["isolation"] = "thread" if name == self.victim else one.details.get("isolation", "loop")
            found[name] = Manifest(name, "channel", one.title, "x:y", "x", one.path, details=details)
        return found

    def manifest(self, name: str) -> Manifest:
        return self.manifests()[name]

    def settings(self, _: str) -> type[ChannelSettings]:
        return ChannelSettings

    def load(self, name: str) -> Any:
        return lambda _, kit: Instant(self, name, kit)


class Instant:
    """A channel whose platform takes everything at once, unless its library sleeps."""

    def __init__(self, platforms: Platforms, name: str, kit: Kit) -> None:
        self.platforms, self.name, self.kit = platforms, name, kit

    async def start(self, _: Any) -> None:
        return

    async def send(self, parcel: Parcel) -> Sent:
        if self.name == self.platforms.victim and self.platforms.freeze:
            freeze, self.platforms.freeze = self.platforms.freeze, 0.0
            time.sleep(freeze)  # noqa: ASYNC251  # that is the point
        self.platforms.took.setdefault(self.name, []).append(time.time() - parcel.message.at)
        return Sent(parcel.id)

    async def stop(self) -> None:
        return


class Talk:
    """Hears into the inbox."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def hear(self, envelope: Envelope) -> Accepted:
        return await self._storage.inbox.accept(envelope)


async def play(folder: Path, conversations: int, seconds: float, freeze: float) -> dict[str, list[float]]:
    """One storm; how long each channel's replies took from being said to being sent, in seconds."""
    clock = SystemClock()
    ids = Ids(clock)
    storage = await open_storage(StorageSettings(path=folder / f"storm{freeze}.db"), clock, ids, Key())
    names = sorted(Platforms("", 0).manifests())
    platforms = Platforms(names[0], freeze)
    ports = ChannelPorts(Talk(storage), storage.outbox, storage.store, Streams(), Health())
    manager = ChannelManager(ports, ChannelsSettings(), clock, ids, platforms)
    await manager.start("storm")
    end = clock.monotonic() + seconds
    rounds = 0
    while clock.monotonic() < end:
        rounds += 1
        began = clock.monotonic()
        for name in names:
            await asyncio.gather(*(_hear(manager, ids, name, n) for n in range(conversations)))
        while await _answer(storage, ids):
            manager.nudge()
        await asyncio.sleep(max(0.0, 1.0 - (clock.monotonic() - began)))  # one message a second in each conversation
    await asyncio.sleep(1.0)
    await manager.stop()
    await storage.close()
    return platforms.took


async def _hear(manager: ChannelManager, ids: Ids, name: str, conversation: int) -> None:
    said = Message(ids.new("m"), "user", (Text("?"),), time.time())
    keeper = manager._keepers[name]  # noqa: SLF001  # the platform's side
    await keeper.accept(Envelope(name, "local", said.id, f"p{conversation}", f"c{conversation}", said))


async def _answer(storage: Storage, ids: Ids) -> int:
    claims = await storage.inbox.claim("storm", 100)

    async def one(claim: Any) -> None:
        envelope = claim.envelope
        person, conversation = await storage.store.resolve(envelope)
        said = Message(ids.new("m"), "assistant", (Text("!"),), time.time())
        parcel = Parcel(said.id, 0, conversation.id, envelope.channel, envelope.account, envelope.conversation, said)
        turn = Turn(claim.id, conversation.id, person.id, time.time(), envelope.message, (said,))
        await storage.inbox.settle(claim, Done(turn, {}, (parcel,)))

    await asyncio.gather(*(one(claim) for claim in claims))
    return len(claims)


def p95(values: list[float]) -> float:
    """The 95th percentile."""
    ordered = sorted(values) or [0.0]
    return ordered[min(len(ordered) - 1, len(ordered) * 95 // 100)]


def main() -> int:
    """Calm, then with a frozen channel; the exit status says whether the others' p95 stayed below twice as much."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.storm")
    parser.add_argument("--conversations", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=75.0)
    parser.add_argument("--freeze", type=float, default=60.0)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kith-storm-") as name:
        calm, storm = (
            asyncio.run(play(Path(name), given.conversations, given.seconds, freeze)) for freeze in (0.0, given.freeze)
        )
    victim = min(calm)
    others = [[took for name, list_ in one.items() if name != victim for took in list_] for one in (calm, storm)]
    before, after = p95(others[0]), p95(others[1])
    figures = [
        Row("channels", len(calm), ""),
        Row("replies of the others, calm", len(others[0]), ""),
        Row("replies of the others, one frozen", len(others[1]), ""),
        Row("p95 of the others, calm", before * 1000, "ms"),
        Row("p95 of the others, one frozen", after * 1000, "ms", before * 1000, "calm"),
        Row("replies of the frozen one", len(storm.get(victim, [])), ""),
    ]
    report("storm", figures, given.json)
    return 0 if after < 2 * before else 1


if __name__ == "__main__":
    sys.exit(main())

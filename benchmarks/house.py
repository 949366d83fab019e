"""A household for benchmarks: in this process, in a folder of its own, with the loopback channel and a small flow."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import uvloop

from kith.app import Household, open_household
from kith.core.people import Parcel
from kith.core.turn import Sent
from kith.settings import Settings

T = TypeVar("T")
FLOW = {
    "intents": [
        {"name": "greeting", "patterns": ["hello", "good morning", "你好"], "response": "hello to you"},
        {"name": "thanks", "patterns": ["thanks", "thank you", "谢谢"], "response": "with pleasure"},
    ]
}


class Meter:
    """Times each message from its arrival to its delivery."""

    def __init__(self, house: Household) -> None:
        self.channel: Any = house.channels.channel("loopback")
        self.begun: dict[str, float] = {}
        self.delays: list[float] = []
        self.last = 0.0
        self._all = asyncio.Event()
        self._wanted = 0
        self._send: Callable[[Parcel], Any] = self.channel.send
        self.channel.send = self._delivered

    async def _delivered(self, parcel: Parcel) -> Sent:
        sent: Sent = await self._send(parcel)
        self.last = time.perf_counter()
        if begun := self.begun.pop(parcel.reply_to, 0.0):
            self.delays.append(self.last - begun)
        if len(self.delays) >= self._wanted:
            self._all.set()
        return sent

    async def say(self, name: str, room: str) -> None:
        """One message; returns when it is acknowledged. Raises what the inbox raises."""
        self.begun[name] = time.perf_counter()
        line = {"id": name, "text": "hello", "conversation": room, "sender": room}
        try:
            await self.channel.inject(json.dumps(line))
        except BaseException:
            del self.begun[name]
            raise

    async def answered(self, number: int) -> None:
        """Wait until `number` messages were delivered."""
        self._wanted = number
        self._all.clear()
        if len(self.delays) < number:
            await self._all.wait()


def run(work: Coroutine[Any, Any, T]) -> T:
    """As `kith serve` runs: on uvloop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


@contextlib.asynccontextmanager
async def household(folder: Path, *, serve: bool = False, **storage: Any) -> AsyncIterator[Household]:
    """An open household in `folder`; `storage` is its section of the settings."""
    folder.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 - nobody waits yet
    os.environ["KITH_HOME"] = str(folder)
    flow = folder / "flow.json"
    flow.write_text(json.dumps(FLOW), "utf-8")
    settings = Settings.model_validate(
        {
            "gateway": {"port": 0},
            "storage": storage,
            "dialogue": {"flow": str(flow), "manners": {"debounce": 0}},
            "channels": {"loopback": {}},
            "security": {"messages_per_minute": 1e9, "burst": 1_000_000_000},
        }
    )
    async with open_household(settings, serve=serve) as house:
        yield house

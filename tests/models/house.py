"""What the tests of this room share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kith.core.clock import SystemClock
from kith.core.events import ModelChanged
from kith.core.message import Delta, Message, Text
from kith.core.model import ChatRequest, Sampling
from kith.models import ModelService, ModelSettings
from kith.runtime.supervisor import Child, Supervisor


@dataclass
class House:
    """A service with its supervisor, and what it published."""

    service: ModelService
    supervisor: Supervisor
    events: list[ModelChanged] = field(default_factory=list)

    @property
    def child(self) -> Child:
        return self.supervisor.children()[0]

    async def say(self, text: str = "hi", **more: Any) -> list[Delta]:
        return [delta async for delta in self.service.chat(ask(text, **more))]


def ask(text: str = "hi", model: str = "", private: bool = True, deadline: float = 0.0, **sampling: Any) -> ChatRequest:
    messages = (Message("m", "user", (Text(text),), 0.0),)
    chosen = Sampling(**{"max_tokens": 20, "seed": 1, **sampling})
    return ChatRequest(messages, model, chosen, private=private, deadline=deadline)


def said(deltas: list[Delta]) -> str:
    return "".join(delta.text for delta in deltas)


@asynccontextmanager
async def opened(folder: Path, *models: ModelSettings) -> AsyncGenerator[House]:
    clock, events = SystemClock(), list[ModelChanged]()
    supervisor = Supervisor(clock)
    service = ModelService(models, clock, supervisor, folder, publish=events.append)
    await service.start()
    try:
        yield House(service, supervisor, events)
    finally:
        await service.stop()
        await supervisor.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(90):
        while not condition():
            await asyncio.sleep(0.005)

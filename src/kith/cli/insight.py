"""Looking into conversations where no server runs. Apart, because storage takes a while to import."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from kith.app import open_insight
from kith.cli.desk import local_storage
from kith.core.clock import SystemClock
from kith.dialogue import FlowBook
from kith.dialogue.workshop.insight import Insight
from kith.settings import load_settings


async def local_state(conversation: str) -> dict[str, Any]:
    """Where the dialogue of a conversation stands. Raises `NotFound`."""
    flows = await asyncio.to_thread(FlowBook, load_settings().dialogue.flow)
    async with local_storage() as storage:
        found = await storage.store.conversation(conversation)
        return {"conversation": found.id, **flows.standing(found.state, SystemClock().now())}


@asynccontextmanager
async def local_insight() -> AsyncGenerator[Insight]:
    """What the conversations of this home show."""
    settings = load_settings()
    flows = await asyncio.to_thread(FlowBook, settings.dialogue.flow)
    async with local_storage() as storage:
        yield open_insight(storage, flows, SystemClock(), settings)

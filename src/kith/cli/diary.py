"""What is remembered in this home, opened where no server runs. Apart, because storage takes a while to import."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from kith.cli.desk import local_storage
from kith.core.clock import SystemClock
from kith.core.ids import Ids
from kith.core.ports import Journal
from kith.dialogue.initiative.agenda import Agenda
from kith.dialogue.memory import Memory, Modelless
from kith.dialogue.personas.cast import Cast
from kith.dialogue.personas.persona import load_persona
from kith.runtime.blobs import Blobs
from kith.runtime.registry import authenticated
from kith.runtime.settings import home
from kith.runtime.shelf import Shelf
from kith.settings import load_settings


@asynccontextmanager
async def local_memory() -> AsyncGenerator[Memory]:
    """Without models, which remembering, showing and forgetting need none of."""
    clock, settings = SystemClock(), load_settings()
    async with local_storage() as storage:
        media = Blobs(shelf=Shelf(home() / "media", storage.derive("media"), settings.storage.media_limit))
        remember = settings.dialogue.memory
        yield Memory(storage, Modelless(), clock, Ids(clock), remember, local=authenticated(), media=media)


@asynccontextmanager
async def local_agenda() -> AsyncGenerator[Agenda]:
    """What everybody is to be reminded of."""
    clock, settings = SystemClock(), load_settings().dialogue
    async with local_storage() as storage:
        yield Agenda(storage.records, storage.people, storage.inbox, clock, settings.initiative, settings.timezone)


@asynccontextmanager
async def local_cast() -> AsyncGenerator[tuple[Cast, Journal]]:
    """Who may speak, and the log in which it is written down when that changes."""
    first = load_persona(load_settings().dialogue.persona)
    async with local_storage() as storage:
        yield Cast(home() / "personas", storage.records, first), storage.journal

"""The composition root: from settings to a household that talks. Nobody else knows every room."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from kith.channels import ChannelManager, ChannelPorts
from kith.core.clock import Clock, SystemClock
from kith.core.events import Reacted
from kith.core.ids import Ids
from kith.dialogue import Engine, FlowBook, Ports, load_persona
from kith.dialogue.memory import Memory
from kith.dialogue.mind import Mind
from kith.dialogue.personas.cast import Cast
from kith.dialogue.workshop.insight import Insight, Own
from kith.dialogue.workshop.studio import Studio
from kith.gateway import Gateway, GatewayPorts
from kith.knowledge import Library
from kith.media import Senseless
from kith.models import ModelService
from kith.models.intake import Intake
from kith.ops import suggest
from kith.plugins import Outside
from kith.runtime.blobs import Blobs
from kith.runtime.bus import Bus
from kith.runtime.edits import Edits
from kith.runtime.files import leave_note, private_folder
from kith.runtime.health import Health
from kith.runtime.leaks import masked
from kith.runtime.registry import authenticated
from kith.runtime.settings import home
from kith.runtime.shelf import Shelf
from kith.runtime.streams import Streams
from kith.runtime.supervisor import Supervisor
from kith.runtime.tasks import Tasks
from kith.runtime.telemetry import configure_logs
from kith.security import HouseGuard, Identity, KeyRing
from kith.settings import Settings
from kith.storage import Storage, StorageSettings, open_storage


@dataclass(slots=True)
class Household:
    """Everything that runs, by the ports that commands use."""

    settings: Settings
    storage: Storage
    models: ModelService
    flows: FlowBook
    talk: Engine
    channels: ChannelManager
    auth: Identity
    streams: Streams
    health: Health
    clock: Clock
    ids: Ids
    parts: Ports
    blobs: Blobs
    gateway: Gateway | None = None
    first_token: str | None = None

    @property
    def ready(self) -> bool:
        """Whether every required component can do its work."""
        return self.health.ready


@asynccontextmanager
async def open_household(settings: Settings, *, serve: bool) -> AsyncGenerator[Household]:
    """Build and start everything, from the ground up; stop it in the opposite order. With `serve`, open the door."""
    configure_logs(settings.log.level, json=settings.log.json_lines, hide=masked)
    async with AsyncExitStack() as stack:
        house = await _furnish(settings, stack)
        house.health.report("storage", "ready")
        await house.models.start()
        stack.push_async_callback(house.models.stop)
        await house.channels.start(local=not serve)
        stack.push_async_callback(house.channels.stop)
        await house.talk.start()
        stack.push_async_callback(house.talk.stop)
        if serve:
            house.first_token = await house.auth.first_start()
            house.gateway = await _open_door(house, stack)
        yield house


async def _furnish(settings: Settings, stack: AsyncExitStack) -> Household:
    clock, health, streams, bus = SystemClock(), Health(), Streams(), Bus()
    ids, supervisor, folder, public = Ids(clock), Supervisor(clock), home() / "models", not settings.gateway.loopback
    keys = KeyRing(home() / "keys", settings.storage.path.parent)
    storage = await _keep_house(settings.storage, clock, ids, stack, keys)
    blobs = Blobs(shelf=Shelf(home() / "media", storage.derive("media"), settings.storage.media_limit))
    stack.push_async_callback(supervisor.close)
    stack.push_async_callback(bus.close)
    auth = Identity(storage.records, storage.journal, settings.security, clock, ids, reachable=public)
    flows, ground, kept = FlowBook(settings.dialogue.flow), (clock, supervisor, folder), settings.dialogue.memory
    tools = await stack.enter_async_context(Outside(settings.plugins.mcp, clock, health))
    publish, serving, fetch, local = bus.publish, settings.serving, blobs.fetch, authenticated()
    models = ModelService(settings.models, *ground, publish=publish, serving=serving, fetch=fetch, cipher=keys)
    cast = Cast(home() / "personas", storage.records, load_persona(settings.dialogue.persona))
    memory = Memory(storage, models, clock, ids, kept, local=local, wipes=(models.forget, streams.wipe), media=blobs)
    ports = Ports(
        guard=HouseGuard(settings.security, auth, clock, local, auth.pairing),
        store=storage.store,
        inbox=storage.inbox,
        senses=Senseless(),
        flows=flows,
        knowledge=Library(settings.knowledge),
        models=models,
        tools=tools,
        persona=cast.first,
        settings=settings.dialogue,
        bus=bus,
        clock=clock,
        ids=ids,
        records=storage.records,
        people=storage.people,
        mind=Mind(memory, cast),
        blobs=blobs,
    )
    talk = Engine(ports, streams, health, worker=ids.new("w"))
    shared = streams, health, bus, storage.records, blobs, auth.linking(storage, memory.link), storage.inbox
    doors = ChannelPorts(talk, storage.outbox, storage.store, *shared)
    channels = ChannelManager(doors, settings.channels, clock, ids)
    return Household(settings, storage, models, flows, talk, channels, auth, streams, health, clock, ids, ports, blobs)


async def _keep_house(chosen: StorageSettings, clock: Clock, ids: Ids, stack: AsyncExitStack, keys: KeyRing) -> Storage:
    """The open data, tidied every hour until the house is closed."""
    storage = await open_data(chosen, clock, ids, keys)
    stack.push_async_callback(storage.close)
    tasks = Tasks(clock, ids, workers=1)
    tasks.repeat("storage upkeep", storage.upkeep, 3600.0)
    tasks.start()
    stack.push_async_callback(tasks.stop)
    return storage


async def open_data(settings: StorageSettings, clock: Clock, ids: Ids, keys: KeyRing | None = None) -> Storage:
    """Open the data with its key; a change of keys that was interrupted is brought to its end."""
    private_folder(home())
    keys = keys or KeyRing(home() / "keys", settings.path.parent)
    storage = await open_storage(settings, clock, ids, keys, keys.spare())
    if storage.spare_used:
        keys.promote()
    return storage


def open_insight(storage: Storage, flows: FlowBook, clock: Clock, settings: Settings) -> Insight:
    """What all conversations show, and cost."""
    own = Own(home() / "flow.yaml", Edits(Settings, settings.file, settings, storage.journal).change)
    prices = {model.name: model.cost for model in settings.models}
    return Insight(storage, flows, clock, settings.dialogue.session_idle, prices, own)


async def _open_door(house: Household, stack: AsyncExitStack) -> Gateway:
    ports = GatewayPorts(
        talk=house.talk,
        models=house.models,
        store=house.storage.store,
        outbox=house.storage.outbox,
        auth=house.auth,
        accounts=house.auth,
        journal=house.storage.journal,
        flows=house.flows,
        streams=house.streams,
        health=house.health,
        lines=house.channels.lines,
        channels=house.channels,
        clock=house.clock,
        ids=house.ids,
        blobs=house.blobs,
        knowledge=house.parts.knowledge,
        judge=house.parts.guard,
        purse=house.parts.purse,
        insight=(insight := open_insight(house.storage, house.flows, house.clock, house.settings)),
        learning=insight,
        cancel=house.talk.cancel,
        intake=(intake := Intake(home() / "models", house.clock, house.ids, house.models.refresh)),
        preferences=Edits(Settings, house.settings.file, house.settings, house.storage.journal),
        studio=Studio(house.flows, home() / "flow.yaml", house.clock),
        advise=suggest,
        memory=house.parts.mind.memory,
        prompts=house.parts.mind,
        agenda=house.parts.agenda,
        personas=house.parts.mind.cast,
    )
    stack.push_async_callback(intake.stop)
    house.parts.bus.subscribe(Reacted, insight.reacted)
    gateway = Gateway(ports, house.settings.gateway)
    await gateway.start()
    stack.push_async_callback(gateway.stop)
    note = {**gateway.note(), "token": house.auth.local(), "pid": os.getpid()}
    stack.callback(leave_note(home() / "run" / "server.json", json.dumps(note)))
    return gateway

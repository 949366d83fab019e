"""The manager: builds the configured channels, starts and stops them, and runs the sender that feeds them."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, Protocol, cast, get_args, runtime_checkable

from kith.channels.apart import Apart
from kith.channels.door import Door, House
from kith.channels.drafts import Drafts, Manner
from kith.channels.keeper import Keeper, Life, Prober, Watch
from kith.channels.kit import ChannelSettings, Idle, Kit, Limits, Notes
from kith.channels.needs import lacking, needed, refuse
from kith.channels.pace import Pace, Rate
from kith.channels.replay import Aside
from kith.channels.scan import Scans
from kith.channels.sender import Policy, Route, Sender
from kith.channels.settings import ChannelsSettings, check_channels
from kith.channels.text import Unit
from kith.channels.vault import Vault, completed
from kith.channels.way import Reaching
from kith.core.channel import Hook, HookReply
from kith.core.clock import Clock
from kith.core.errors import Broken, Invalid, Missing, NotFound, Unavailable
from kith.core.events import TurnFinished
from kith.core.ids import Ids
from kith.core.manifest import Manifest
from kith.core.people import Parcel
from kith.core.ports import Access, Channel, Hooked, Line, Outbox, Records, Store, Talk, Waiting
from kith.runtime.blobs import Blobs
from kith.runtime.bus import Bus
from kith.runtime.documents import Document, validate
from kith.runtime.health import Health
from kith.runtime.registry import Registry
from kith.runtime.settings import expanded
from kith.runtime.streams import Streams
from kith.runtime.telemetry import get_logger

_log = get_logger(__name__)
_STOP = 5.0
_TRY = 20.0
_DAY = 86_400.0


@runtime_checkable
class _Stopper(Protocol):
    """A dialogue that can stop making a reply; `cancel` takes the turn's id."""

    def cancel(self, turn: str) -> None: ...


@dataclass(frozen=True, slots=True)
class ChannelPorts:
    """What the channels ask of other rooms."""

    talk: Talk
    outbox: Outbox
    store: Store
    streams: Streams
    health: Health
    bus: Bus | None = None
    records: Records = field(default_factory=Notes)
    blobs: Blobs = field(default_factory=Blobs)
    access: Access | None = None
    waiting: Waiting = field(default_factory=Idle)


class ChannelManager:
    """Every configured channel of this household.

    A channel that is not named in the settings is on if its manifest says ``default = true``. Raises `Invalid` for
    settings that a channel does not accept.
    """

    def __init__(
        self,
        ports: ChannelPorts,
        settings: ChannelsSettings,
        clock: Clock,
        ids: Ids,
        registry: Registry | None = None,
        chance: random.Random | None = None,
    ) -> None:
        self._ports, self._settings, self._clock, self._ids = ports, settings, clock, ids
        self._registry = registry or Registry("channels")
        check_channels(settings, self._registry)
        self._chance = chance or random.SystemRandom()
        self._routes: dict[str, Route] = {}
        self._keepers: dict[str, Keeper] = {}
        self._added: dict[str, Channel] = {}
        self._written: dict[str, Mapping[str, Any]] = dict(settings.configured)
        self._changing, self._stopping = asyncio.Lock(), False
        self._aside, self._vault = Aside(ports.records, clock), Vault(ports.records)
        self._scans = Scans(clock, self._registry)
        self._sender = Sender(
            ports.outbox, self._routes, settings.delivery, clock, ports.health, ports.bus, self._chance
        )

    def add(self, name: str, channel: Channel) -> None:
        """Before `start`: a channel without a folder, that another room brings. It is local, and sending to it again
        does no harm."""
        self._added[name] = channel

    async def start(self, worker: str = "", *, local: bool = False) -> None:
        """Start every channel and the sender. One that cannot start is tried again, and stalls nobody.

        With `local`, only channels that live in this process are started (no connection to a platform): for commands
        that run beside, or instead of, a server.
        """
        self._stopping = False
        await self._vault.load()
        for name, manifest in self._registry.manifests().items():
            if (settings := self._chosen(name, manifest)) is None:
                continue
            if local and not _is_local(manifest):
                continue
            self._set_up(name, manifest, settings)
        for name, channel in self._added.items():
            door = Door(ChannelSettings(), self._house(None), channel.send)
            self._keep(Route(name, "", "idempotent", True), lambda _, one=channel: one, door, 0.0)
        self._sender.others = local
        for keeper in self._keepers.values():
            keeper.start()
        with contextlib.suppress(TimeoutError):  # what lives in this process is there at once, or not at once
            local_ones = (keeper.tried.wait() for keeper in self._keepers.values() if keeper.route.local)
            async with asyncio.timeout(_STOP):
                await asyncio.gather(*local_ones)
        if self._ports.bus is not None:
            self._ports.bus.subscribe(TurnFinished, self._spoken)
        self._sender.start(worker or self._ids.new("w"))

    async def stop(self) -> None:
        """Accept nothing more, finish what is being sent, disconnect. A change that is being made is waited for, and
        brings nothing up any more."""
        self._stopping = True
        await self._scans.close()
        await self._sender.stop()
        await asyncio.gather(*(keeper.stop() for keeper in self._keepers.values()))
        async with self._changing:
            await asyncio.gather(*(keeper.stop() for keeper in self._keepers.values()))
        self._routes.clear()
        self._keepers.clear()

    async def _spoken(self, _: TurnFinished) -> None:
        self.nudge()

    def nudge(self) -> None:
        """Something was put into the outbox."""
        self._sender.nudge()

    @property
    def lines(self) -> Mapping[str, Line]:
        """The channels whose clients come through Kith's own door, by name: a view that follows what happens."""
        return _Lines(self._keepers)

    def channel(self, name: str) -> Channel:
        """A configured channel. Raises `NotFound`."""
        if name not in self._keepers:
            raise NotFound(f"the channel {name!r} is not on; there are {', '.join(sorted(self._keepers)) or 'none'}")
        return self._keepers[name].channel

    def having(self, capability: str) -> Channel | None:
        """The first channel that is on and whose manifest names `capability`."""
        manifests = self._registry.manifests()
        names = [name for name in self._keepers if name in manifests and capability in manifests[name].capabilities]
        return self._keepers[names[0]].channel if names else None

    async def hook(self, channel: str, account: str, request: Hook) -> HookReply:
        """Hand a platform's call to its channel. Raises `NotFound` for one that takes none, and what it raises."""
        keeper = self._keepers.get(channel)
        if keeper is None or keeper.route.account != account or not hasattr(keeper.channel, "hook"):
            raise NotFound("no channel takes calls at this address")
        if keeper.route.channel is None:
            raise Unavailable("this channel is not connected", retry_after=5.0)
        try:
            return await cast("Hooked", keeper.channel).hook(request)
        except Invalid as error:  # nobody understood it: somebody may want to look
            await self._aside.keep(channel, request, str(error))
            raise

    def describe(self) -> Sequence[Mapping[str, Any]]:
        """Every channel there is: what it can do, whether it is on, and how it is. Instants are of the wall clock."""
        return [self._about(manifest) for _, manifest in sorted(self._registry.manifests().items())]

    def _about(self, manifest: Manifest) -> dict[str, Any]:
        name, keeper = manifest.name, self._keepers.get(manifest.name)
        watch, report = (keeper.watch if keeper else Watch()), self._ports.health.snapshot().get(f"channel:{name}")
        waiting = keeper.route.waiting.values() if keeper else ()
        return {
            "name": name,
            "title": dict(manifest.title),
            "quality": manifest.quality,
            "delivery": str(manifest.details.get("delivery", "")),
            "state": report.condition if report else "stopped",
            "note": (report.detail if report else "") or self._complaint(watch),
            "builtin": name not in self._written and bool(manifest.details.get("default", False)),
            "configured": name in self._written or bool(manifest.details.get("default", False)),
            "last_in": watch.last_in,
            "last_out": watch.last_out,
            "lag": max(0.0, self._clock.now() - min(waiting)) if waiting else 0.0,
            "waiting": len(waiting),
            "errors": watch.errors,
            "restarts": watch.restarts,
            "capabilities": list(manifest.capabilities),
            "scan": bool(manifest.details.get("scan")),
            "media": {way: dict(manifest.details.get(way, {})) for way in ("up", "down")},
            "schema": self._schema(manifest),
        }

    def _complaint(self, watch: Watch) -> str:
        """What the platform said within a day of a reply that it did not deliver."""
        fresh = watch.complaint and self._clock.now() - watch.complained < _DAY
        return f"a reply did not arrive, see kith outbox list: {watch.complaint}" if fresh else ""

    def about(self, name: str) -> Mapping[str, Any]:
        """One channel. Raises `NotFound`."""
        return self._about(self._registry.manifest(name))

    async def command(self, name: str, action: Literal["start", "stop", "restart", "test"]) -> Mapping[str, Any]:
        """Do something with a channel that is on; what it is like afterwards, with ``proof`` for a test.

        Raises `NotFound`, for a test `Unavailable` with the reason why nothing proves that it is connected.
        """
        self._registry.manifest(name)
        if action == "test":
            return {**self.about(name), "proof": await self._prove(name)}
        async with self._changing:
            if action in ("stop", "restart"):
                await self._dismiss(name)
            if action in ("start", "restart"):
                await self._hire(name)
        return self.about(name)

    async def configure(self, name: str, settings: Mapping[str, Any] | None) -> Mapping[str, Any]:
        """Give a channel these settings and bring it up with them, the others undisturbed; None takes it away.

        Raises `NotFound`, or `Invalid` with every mistake (the old settings then stay in force).
        """
        if settings is not None:
            self.check(name, settings)
        async with self._changing:
            await self._dismiss(name)
            self._written.pop(name, None)
            if settings is None:
                self._routes.pop(name, None)
                await self._vault.forget(f"channels.{name}")
            else:
                self._written[name] = cast("dict[str, Any]", expanded(dict(settings), f"channels.{name}"))
                await self._hire(name)
        return self.about(name)

    async def scan(self, name: str, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """Begin a set-up by a QR code; see `Scans.begin`."""
        return await self._scans.begin(name, given)

    async def scanned(self, name: str, scan: str, code: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """How far a set-up is; see `Scans.step`."""
        return await self._scans.step(name, scan, code)

    def check(self, name: str, settings: Mapping[str, Any]) -> Mapping[str, Any]:
        """Settings with their secrets and the environment's values. Raises `NotFound`, `Invalid` with every mistake."""
        place, cls = f"channels.{name}", self._class(self._registry.manifest(name).name)
        whole = self._vault.revealed(place, cast("dict[str, Any]", expanded(dict(settings), place)))
        validate(cls, Document(whole, place, {}))
        return whole

    async def conceal(self, name: str, settings: Mapping[str, Any], locale: str = "") -> Mapping[str, Any]:
        """Check settings, keep the secrets among them, and return what may be written down: secrets only by name.

        What the channel cannot do without (see `channels.needs`) has to be there, unless it is to be off; what is not
        is told in the language of `locale`.

        A secret that is left out stays the one it was; an empty one is taken away. Raises as `check`, `Unavailable`.
        """
        manifest, place = self._registry.manifest(name), f"channels.{name}"
        schema = self._class(name).model_json_schema()
        whole = completed(self._written.get(name, {}), settings, schema)
        found = validate(self._class(name), Document(self.check(name, whole), place, {}))
        refuse(manifest, lacking(manifest, found, locale), locale)
        return await self._vault.conceal(place, whole, schema)

    def _schema(self, manifest: Manifest) -> dict[str, Any]:
        """The schema of a channel's settings, in which what the channel cannot do without is required."""
        schema = self._class(manifest.name).model_json_schema()
        needs = [*dict.fromkeys((*schema.get("required", ()), *needed(manifest)))]
        return {**schema, "required": needs} if needs else schema

    async def kept(self, name: str) -> Sequence[Mapping[str, Any]]:
        """The calls of a platform that nobody understood, for a day; oldest first. Raises `NotFound`."""
        return await self._aside.kept(self._registry.manifest(name).name)

    def _class(self, name: str) -> type[ChannelSettings]:
        return cast("type[ChannelSettings]", self._registry.settings(name) or ChannelSettings)

    async def _dismiss(self, name: str) -> None:
        """Stop a channel. Its route stays, so that its replies wait in the outbox."""
        if (keeper := self._keepers.pop(name, None)) is not None:
            await keeper.stop()

    async def _hire(self, name: str) -> None:
        """Bring a channel up, and wait a while for how it went."""
        manifest = self._registry.manifest(name)
        if self._stopping or name in self._keepers or (settings := self._chosen(name, manifest)) is None:
            return
        if (keeper := self._set_up(name, manifest, settings)) is None:
            return
        keeper.start()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_TRY):
                await keeper.tried.wait()
        self._sender.nudge()

    async def _prove(self, name: str) -> str:
        """What proves that a channel is connected: an answered question, or traffic since it came up."""
        keeper = self._keepers.get(name)
        if keeper is None or keeper.route.channel is None:
            raise Unavailable(f"{name} is not connected: {keeper.watch.note if keeper else 'it is off'}")
        if hasattr(keeper.channel, "probe"):
            await _answered(cast("Prober", keeper.channel).probe(), f"{name} did not answer")
            keeper.alive()
            if hasattr(keeper.channel, "reach"):  # replies take another way than what is heard
                await _answered(cast("Reaching", keeper.channel).reach(), f"{name} cannot send: it did not answer")
                keeper.answered()
            return "traffic" if self._both_ways(keeper) else "probe"
        if keeper.route.local or self._both_ways(keeper):
            return "traffic"
        raise Unavailable(f"nothing has gone both ways through {name} yet", hint="write to it, and test again")

    @staticmethod
    def _both_ways(keeper: Keeper) -> bool:
        """Whether something came and something went since it is up."""
        return min(keeper.watch.last_in, keeper.watch.last_out) >= keeper.watch.since > 0

    def _chosen(self, name: str, manifest: Manifest) -> ChannelSettings | None:
        """The settings of a channel that is on."""
        written = self._written.get(name)
        if written is None and not manifest.details.get("default", False):
            return None
        try:
            whole = self._vault.revealed(f"channels.{name}", written or {})
            settings = validate(self._class(name), Document(whole, "kith.yaml", {}))
        except Missing as error:
            self._ports.health.report(f"channel:{name}", "failed", f"{error.message}: {error.hint}", required=False)
            return None
        except Invalid as error:  # a secret that is not here, or not what the channel wants
            told = "; ".join(f"{fault.path} {fault.reason}" for fault in error.faults) or error.message
            self._ports.health.report(f"channel:{name}", "failed", told, required=False)
            return None
        return settings if settings.enabled else None

    def _set_up(self, name: str, manifest: Manifest, settings: ChannelSettings) -> Keeper | None:
        """A keeper for a channel; None when its library is not installed."""
        policy, details = str(manifest.details.get("delivery", "")), manifest.details
        if policy not in get_args(Policy):
            raise Invalid(f"{manifest.path} names no delivery policy; it is one of {', '.join(get_args(Policy))}")
        try:
            entry = cast("Callable[[Any, Kit], Channel]", self._registry.load(name))
        except Missing as error:
            self._ports.health.report(f"channel:{name}", "failed", f"{error.message}: {error.hint}", required=False)
            return None
        route = Route(name, settings.account, cast("Policy", policy), _is_local(manifest))
        account, chat = (Rate.read(str(details.get(key, ""))) for key in ("rate", "chat_rate"))
        route.pace = Pace(account, chat, self._clock)
        route.limits, route.blobs = Limits.read(details, manifest.path), self._ports.blobs
        route.title = dict(manifest.title)
        access = None if route.local else self._ports.access
        if access is not None:
            access.rule(name, settings.access, settings.allow)
        keeper = self._keep(
            route,
            _builder(manifest, lambda kit: entry(settings, kit), self._kit),
            Door(settings, self._house(access), lambda parcel: self._say(name, parcel), route.limits, _pause(manifest)),
            float(details.get("liveness", 0)),
        )
        if (manner := _manner(details, policy, settings.streaming)) is not None and hasattr(keeper.channel, "edit"):
            route.drafts = Drafts(self._kit(keeper), manner, lambda: route.channel, route.spare)
        if policy == "reconcile" and not hasattr(keeper.channel, "arrived"):
            raise Broken(f"{manifest.path} promises to reconcile, but its channel cannot be asked what arrived")
        return keeper

    async def _say(self, name: str, parcel: Parcel) -> None:
        """A sentence past the outbox, which counts as one that went."""
        await self.channel(name).send(parcel)
        if (keeper := self._keepers.get(name)) is not None:
            keeper.passed()

    async def _undelivered(self, keeper: Keeper, parcel: str, receipt: str, reason: str) -> None:
        if await self._sender.complain(parcel, receipt, reason):
            keeper.complained(reason)

    def _house(self, access: Access | None) -> House:
        ports = self._ports
        return House(ports.talk, self._cancel, self._clock, self._ids, access, ports.bus)

    def _cancel(self, turn: str) -> None:
        if isinstance(self._ports.talk, _Stopper):
            self._ports.talk.cancel(turn)
        else:
            _log.debug("this dialogue cannot stop a turn", turn=turn)

    def _kit(self, keeper: Keeper) -> Kit:
        ports, (alive, lost) = self._ports, keeper.ties()
        return Kit(
            ports.store, ports.streams, self._clock, self._ids, self._cancel, ports.records, ports.blobs,
            alive=alive, lost=lost, pace=keeper.pace, limits=keeper.route.limits,
            undelivered=partial(self._undelivered, keeper), waiting=ports.waiting,
        )  # fmt: skip

    def _keep(self, route: Route, build: Callable[[Keeper], Channel], door: Door, liveness: float) -> Keeper:
        route.slots = asyncio.Semaphore(self._settings.delivery.concurrency)
        life = Life(self._settings.delivery, self._clock, self._ports.health, self._chance, self._ports.streams)
        keeper = Keeper(route, build, door, liveness, life)
        keeper.up = self._sender.nudge
        self._keepers[route.name], self._routes[route.name] = keeper, route
        return keeper


def _builder(
    manifest: Manifest, build: Callable[[Kit], Channel], kit: Callable[[Keeper], Kit]
) -> Callable[[Keeper], Channel]:
    """What makes a channel anew for each try, where its manifest wants it: in the house's loop, or in a thread."""
    match manifest.details.get("isolation", "loop"):
        case "loop":
            return lambda keeper: build(kit(keeper))
        case "thread":
            return lambda keeper: Apart(manifest.name, build, kit(keeper))
        case other:
            raise Invalid(f"{manifest.path} wants the isolation {other!r}; it is 'loop' or 'thread'")


class _Lines(Mapping[str, Line]):
    """Of all that are kept, those that converse, as they are at this moment."""

    def __init__(self, keepers: Mapping[str, Keeper]) -> None:
        self._keepers = keepers

    def __getitem__(self, name: str) -> Line:
        channel = self._keepers[name].channel
        if not hasattr(channel, "converse"):
            raise KeyError(name)
        return cast("Line", channel)

    def __iter__(self) -> Iterator[str]:
        return (name for name, keeper in self._keepers.items() if hasattr(keeper.channel, "converse"))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _manner(details: Mapping[str, Any], policy: str, wanted: str) -> Manner | None:
    """How replies are shown while they are made; None for not at all."""
    every = float(details.get("edit", 0))
    if not every or wanted == "off" or (wanted == "auto" and policy == "at_most_once"):
        return None
    limit = int(details.get("edit_limit", details.get("limit", 2000)))
    return Manner(every, limit, cast("Unit", details.get("unit", "chars")), policy == "idempotent")


def _pause(manifest: Manifest) -> float:
    """For how many seconds a message waits for more, where people write in bursts. Raises `Invalid`."""
    found = manifest.details.get("burst", 0)
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 <= found <= 10:
        raise Invalid(f"{manifest.path}: 'burst' is a number of seconds, at most 10")
    return float(found)


def _is_local(manifest: Manifest) -> bool:
    return "local" in manifest.capabilities


async def _answered(question: Coroutine[Any, Any, None], silence: str) -> None:
    """Put a question to a platform. Raises `Unavailable`, and what the question raises."""
    try:
        async with asyncio.timeout(_TRY):
            await question
    except TimeoutError:
        raise Unavailable(f"{silence} within {_TRY:.0f} s") from None

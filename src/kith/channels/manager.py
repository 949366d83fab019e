"""The manager: builds the configured channels, starts and stops them, and runs the sender that feeds them."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast, get_args, runtime_checkable

from kith.channels.kit import ChannelSettings, Kit
from kith.channels.sender import Policy, Route, Sender
from kith.channels.settings import ChannelsSettings, check_channels
from kith.core.clock import Clock
from kith.core.errors import Broken, Invalid, KithError, Missing, NotFound, Unavailable
from kith.core.events import TurnFinished
from kith.core.ids import Ids
from kith.core.manifest import Manifest
from kith.core.message import Envelope
from kith.core.ports import Accept, Channel, Line, Outbox, Store, Talk
from kith.core.turn import Accepted
from kith.runtime.bus import Bus
from kith.runtime.documents import Document, validate
from kith.runtime.health import Health
from kith.runtime.registry import Registry
from kith.runtime.streams import Streams
from kith.runtime.telemetry import counter, get_logger, span

_log = get_logger(__name__)
_heard = counter("kith_channels_heard_total", "Messages that channels handed over.", ("channel", "result"))
_STOP = 5.0
_RESTART_LIMIT = 60.0


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
        self._built: dict[str, Channel] = {}
        self._added: dict[str, Channel] = {}
        self._starting: dict[str, asyncio.Task[None]] = {}
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
        for name, manifest in self._registry.manifests().items():
            if (settings := self._chosen(name, manifest)) is None:
                continue
            if local and not _is_local(manifest):
                continue
            self._build(name, manifest, settings)
        for name, channel in self._added.items():
            self._register(name, channel, "", "idempotent", local=True)
        self._sender.others = local
        tried = {name: asyncio.Event() for name in self._built}
        self._starting = {name: asyncio.create_task(self._bring_up(name, tried[name])) for name in self._built}
        with contextlib.suppress(TimeoutError):  # what lives in this process is there at once, or not at once
            local_ones = (event.wait() for name, event in tried.items() if self._routes[name].local)
            async with asyncio.timeout(_STOP):
                await asyncio.gather(*local_ones)
        if self._ports.bus is not None:
            self._ports.bus.subscribe(TurnFinished, self._spoken)
        self._sender.start(worker or self._ids.new("w"))

    async def stop(self) -> None:
        """Accept nothing more, finish what is being sent, disconnect."""
        for task in self._starting.values():
            task.cancel()
        await asyncio.gather(*self._starting.values(), return_exceptions=True)
        await self._sender.stop()
        await asyncio.gather(*(self._take_down(name) for name in self._built))
        self._routes.clear()
        self._built.clear()

    async def _spoken(self, _: TurnFinished) -> None:
        self.nudge()

    def nudge(self) -> None:
        """Something was put into the outbox."""
        self._sender.nudge()

    @property
    def lines(self) -> Mapping[str, Line]:
        """The channels whose clients come through Kith's own door, by name."""
        return {name: cast("Line", channel) for name, channel in self._built.items() if hasattr(channel, "converse")}

    def channel(self, name: str) -> Channel:
        """A configured channel. Raises `NotFound`."""
        if name not in self._built:
            raise NotFound(f"the channel {name!r} is not on; there are {', '.join(sorted(self._built)) or 'none'}")
        return self._built[name]

    def having(self, capability: str) -> Channel | None:
        """The first channel that is on and whose manifest names `capability`."""
        manifests = self._registry.manifests()
        names = [name for name in self._built if name in manifests and capability in manifests[name].capabilities]
        return self._built[names[0]] if names else None

    def _chosen(self, name: str, manifest: Manifest) -> ChannelSettings | None:
        """The settings of a channel that is on."""
        written = self._settings.configured.get(name)
        if written is None and not manifest.details.get("default", False):
            return None
        try:
            cls = self._registry.settings(name) or ChannelSettings
            settings = cast("ChannelSettings", validate(cls, Document(dict(written or {}), "kith.yaml", {})))
        except Missing as error:
            self._ports.health.report(f"channel:{name}", "failed", f"{error.message}: {error.hint}", required=False)
            return None
        return settings if settings.enabled else None

    def _build(self, name: str, manifest: Manifest, settings: ChannelSettings) -> None:
        policy = str(manifest.details.get("delivery", ""))
        if policy not in get_args(Policy):
            raise Invalid(f"{manifest.path} names no delivery policy; it is one of {', '.join(get_args(Policy))}")
        entry = cast("Callable[[Any, Kit], Channel]", self._registry.load(name))
        ports = self._ports
        cancel = ports.talk.cancel if isinstance(ports.talk, _Stopper) else _cannot_cancel
        built = entry(settings, Kit(ports.store, ports.streams, self._clock, self._ids, cancel))
        if policy == "reconcile" and not hasattr(built, "arrived"):
            raise Broken(f"{manifest.path} promises to reconcile, but its channel cannot be asked what arrived")
        self._register(name, built, settings.account, cast("Policy", policy), local=_is_local(manifest))

    def _register(self, name: str, channel: Channel, account: str, policy: Policy, *, local: bool) -> None:
        slots = asyncio.Semaphore(self._settings.delivery.concurrency)
        self._built[name] = channel
        self._routes[name] = Route(name, account, policy, local, slots=slots)

    async def _bring_up(self, name: str, tried: asyncio.Event) -> None:
        """Start one channel, again and again with growing waits while it says that it cannot yet."""
        delivery = self._settings.delivery
        wait = delivery.backoff
        self._ports.health.report(f"channel:{name}", "starting", required=False)
        while await self._begin(name):
            tried.set()
            await self._clock.sleep(wait * (0.5 + self._chance.random() / 2))
            wait = min(wait * 2, delivery.backoff_limit, _RESTART_LIMIT)
        tried.set()

    async def _begin(self, name: str) -> bool:
        """Start one channel once, and report how it went; true when trying again may help."""
        route = self._routes[name]
        try:
            await self._built[name].start(self._accept(name))
        except Unavailable as error:
            route.note = error.message
        except KithError as error:
            route.note = error.message
            self._ports.health.report(f"channel:{name}", "failed", str(error), required=False)
            return False
        except Exception as error:  # noqa: BLE001  # a channel's bug stays the channel's: the others start
            _log.exception("channel did not start", channel=name, error=type(error).__name__)
            route.note = f"the channel {name!r} failed to start ({type(error).__name__})"
        else:
            route.channel, route.note = self._built[name], ""
            self._ports.health.report(f"channel:{name}", "ready", required=False)
            self._sender.nudge()
            return False
        self._ports.health.report(f"channel:{name}", "degraded", route.note, required=False)
        return True

    async def _take_down(self, name: str) -> None:
        try:
            async with asyncio.timeout(_STOP):
                await self._built[name].stop()
        except Exception as error:  # noqa: BLE001  # stopping goes on whatever one channel does
            _log.warning("channel did not stop cleanly", channel=name, error=type(error).__name__)
        self._ports.health.report(f"channel:{name}", "stopped", required=False)

    def _accept(self, name: str) -> Accept:
        async def accept(envelope: Envelope) -> Accepted:
            if envelope.channel != name:
                raise Broken(f"the channel {name!r} hands over a message in the name of {envelope.channel!r}")
            try:
                with span("channel.accept", channel=name):
                    accepted = await self._ports.talk.hear(envelope)
            except KithError as error:
                _heard.add(1, channel=name, result=error.code)
                raise
            _heard.add(1, channel=name, result="duplicate" if accepted.duplicate else "accepted")
            return accepted

        return accept


def _is_local(manifest: Manifest) -> bool:
    return "local" in manifest.capabilities


def _cannot_cancel(turn: str) -> None:
    _log.debug("this dialogue cannot stop a turn", turn=turn)

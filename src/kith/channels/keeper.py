"""The keeper of one channel: brings it up, watches that it is alive, and brings it up again when it is not.

A channel is alive while its platform is heard of on the channel's own connection: by a ping (`Kit.alive`), or by an
answer to a question of ours (`probe`). A message, or a reply that was taken, is a sign only of a channel that cannot
ask: what a platform says by calling us comes on connections of its own, and goes on while our way out is dead, and that
a reply was taken is told some time after. After a
third of the manifest's ``liveness`` without a sign the question is put; when the silence has lasted the whole of it,
the channel is taken down and built anew. What it had not yet acknowledged comes again from the platform, and what it
had not yet sent is still in the outbox. A channel that speaks on another way than it hears on has both watched (`Way`).
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, cast

from kith.channels.calls import called_off
from kith.channels.door import Door
from kith.channels.sender import Route
from kith.channels.settings import DeliverySettings
from kith.channels.typist import Typist
from kith.channels.way import Reaching, Way
from kith.core.clock import Clock
from kith.core.errors import Broken, KithError, Unavailable
from kith.core.message import Envelope
from kith.core.people import Parcel
from kith.core.ports import Channel
from kith.core.turn import Accepted, Sent
from kith.runtime.health import Condition, Health
from kith.runtime.streams import Streams
from kith.runtime.telemetry import counter, get_logger, span

_log = get_logger(__name__)
_heard = counter("kith_channels_heard_total", "Messages that channels handed over.", ("channel", "result"))
_restarts = counter("kith_channels_restarts_total", "Channels taken down and brought up again.", ("channel",))
_STOP = 5.0
_START = 60.0
_LONGEST = 60.0
_CALM = 60.0
_SOON = 1.0  # seconds before a question that had no answer is put again; twice as long after each


class Prober(Protocol):
    """A channel that can ask its platform something. Raises `Unavailable` when there is no answer."""

    async def probe(self) -> None: ...


@dataclass(slots=True)
class Watch:
    """What is known of a channel's life; instants are of the wall clock, 0 for never. `errors` counts since start.
    `complaint` is what the platform said last of a reply that it had taken and did not deliver, at `complained`."""

    condition: Condition = "stopped"
    note: str = ""
    last_in: float = 0.0
    last_out: float = 0.0
    errors: int = 0
    restarts: int = 0
    since: float = 0.0
    complaint: str = ""
    complained: float = 0.0
    sign: float = field(default=0.0, repr=False)


@dataclass(frozen=True, slots=True)
class Life:
    """What all keepers share."""

    delivery: DeliverySettings
    clock: Clock
    health: Health
    chance: random.Random
    streams: Streams


class Keeper:
    """Keeps one channel up from `start` to `stop`. `build` makes a fresh one for each try, given its keeper; what the
    channel hears goes through `door`."""

    def __init__(
        self, route: Route, build: Callable[[Keeper], Channel], door: Door, liveness: float, life: Life
    ) -> None:
        self.route, self.liveness, self.watch = route, liveness, Watch()
        self.door = door
        self._typist = Typist(life.streams)
        self._number = 0
        self.channel = build(self)
        self.tried = asyncio.Event()
        self._build, self._delivery = build, life.delivery
        self._clock, self._health, self._chance = life.clock, life.health, life.chance
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lost = asyncio.Event()
        self._fresh = True
        self._way: Way | None = None
        self.up: Callable[[], None] = lambda: None
        route.took = self._took

    @property
    def name(self) -> str:
        return self.route.name

    def alive(self) -> None:
        """The platform was heard of."""
        self.watch.sign = self._clock.monotonic()

    def ties(self) -> tuple[Callable[[], None], Callable[[str], None]]:
        """`alive` and `lost` for the channel that is made now. One that was left behind, frozen, and thaws after it was
        replaced, proves nothing and ends nothing."""
        number = self._number

        def alive() -> None:
            if number == self._number:
                self.alive()

        return alive, lambda reason: self.lost(reason, number)

    async def pace(self, chat: str) -> None:
        """Wait until the platform takes one more message to `chat`."""
        if self.route.pace is not None:
            await self.route.pace.wait(chat)

    async def accept(self, envelope: Envelope) -> Accepted:
        """A message came in: it is kept when this returns. Raises what the inbox raises."""
        if envelope.channel != self.name:
            raise Broken(f"the channel {self.name!r} hands over a message in the name of {envelope.channel!r}")
        self.watch.last_in = self._clock.now()
        if not hasattr(self.channel, "probe"):
            self.alive()
        try:
            with span("channel.accept", channel=self.name):
                accepted = await self.door.hear(envelope)
        except KithError as error:
            _heard.add(1, channel=self.name, result=error.code)
            raise
        _heard.add(1, channel=self.name, result="duplicate" if accepted.duplicate else "accepted")
        if accepted.id and not accepted.duplicate:
            self._typist.begin(self.channel, envelope)
            if self.route.drafts is not None and envelope.deliver:
                self.route.drafts.begin(envelope, accepted.id)
        return accepted

    def _took(self, parcel: Parcel, sent: Sent) -> None:
        self.door.sent(parcel, sent.receipt)
        self.passed()  # told some time after the platform said so: a silence that has begun since is not cut short

    def passed(self) -> None:
        """Something went out: a sign of life of the way that it took, or of a channel that cannot ask."""
        self.watch.last_out = self._clock.now()
        if self._way is not None or not hasattr(self.channel, "probe"):
            self.answered()

    def answered(self) -> None:
        """The platform was heard of on the way that replies take."""
        if self._way is None:
            self.alive()
        else:
            self._way.passed()

    def complained(self, reason: str) -> None:
        """A reply that the platform had taken did not arrive."""
        self.watch.errors += 1
        self.watch.complaint, self.watch.complained = reason, self._clock.now()

    def lost(self, reason: str, number: int = -1) -> None:
        """The connection has gone for good; from any thread. `number` is whose: not the latest's is of no matter."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._mark, reason, number)

    def _mark(self, reason: str, number: int = -1) -> None:
        if not self._lost.is_set() and number in (-1, self._number):
            self.watch.note = reason or "the connection was lost"
            self._lost.set()

    def start(self) -> None:
        """Bring the channel up and keep it so."""
        if self._task is None or self._task.done():
            self._loop = asyncio.get_running_loop()
            self.tried.clear()
            self._report("starting", "")
            self._task = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        """Send nothing new, give running sends their grace, and let go of it.

        It is brought up no more before anything else; what it hears until it is down may begin something, so that is
        closed last.
        """
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self.route.channel, self.route.note = None, f"the channel {self.name!r} is stopped"
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._delivery.grace):
                if self.route.held:
                    await self.route.idle.wait()
        await self._take_down()
        await self.door.close()
        await self._typist.close()
        if self.route.drafts is not None:
            await self.route.drafts.close()
        self._report("stopped", "")
        self.tried.set()

    async def _keep(self) -> None:
        """Up, watch, down, and again after a wait that grows while nothing works, and is short again after a good while
        or a message that went through."""
        wait = self._delivery.backoff
        while await self._begin():
            began = self._clock.monotonic()
            if self.route.channel is not None:
                await self._watched()
                if self._clock.monotonic() - began > _CALM or self._proven():
                    wait = self._delivery.backoff
                self.watch.restarts += 1
                self.watch.errors += 1
                _restarts.add(1, channel=self.name)
                _log.warning("channel lost", channel=self.name, reason=self.watch.note)
            self._report("degraded", self.watch.note)
            await self._take_down()
            self.tried.set()
            await self._clock.sleep(wait * (0.5 + self._chance.random() / 2))
            wait = min(wait * 2, self._delivery.backoff_limit, _LONGEST)
        self.tried.set()

    def _proven(self) -> bool:
        """Whether a message went through since the channel came up: it works, however soon its connection broke."""
        return max(self.watch.last_in, self.watch.last_out) >= self.watch.since > 0

    async def _begin(self) -> bool:
        """Start once. False when trying again cannot help; `route.channel` is set when it is up."""
        if not self._fresh:
            self._number += 1
            self.channel = self._build(self)
        self._fresh = False
        self._lost.clear()
        try:
            async with asyncio.timeout(_START):
                await self.channel.start(self.accept)
        except (Unavailable, TimeoutError) as error:
            self.watch.note = error.message if isinstance(error, Unavailable) else "the platform did not answer"
        except KithError as error:
            self._report("failed", f"{error.message}: {error.hint}" if error.hint else error.message)
            await self._take_down()
            return False
        except asyncio.CancelledError:
            if called_off():
                raise
            self.watch.note = f"the library of the channel {self.name!r} gave up"
        except Exception as error:  # noqa: BLE001  # a channel's bug stays the channel's: the others start
            _log.exception("channel did not start", channel=self.name, error=type(error).__name__)
            self.watch.note = f"the channel {self.name!r} failed to start ({type(error).__name__})"
        else:
            self.alive()
            self._way = self._way_out()
            self.route.channel = self.channel
            self.watch.since = self._clock.now()
            self._report("ready", "")
            self.tried.set()
            self.up()
            return True
        self.watch.errors += 1
        return True

    def _way_out(self) -> Way | None:
        """What watches the way out, where that is another than the way in."""
        if self.liveness <= 0 or not hasattr(self.channel, "reach"):
            return None
        return Way(self.liveness, self._clock, self._cannot)

    def _cannot(self, why: str) -> None:
        """The channel hears, and cannot send; or, with an empty `why`, it can again."""
        if self.route.channel is None:
            return
        if not why:
            self._report("ready", "")
            self.up()
            return
        self.watch.errors += 1
        _log.warning("channel cannot send", channel=self.name, reason=why)
        self._report("degraded", f"cannot send: {why}")

    async def _watched(self) -> None:
        """Until the channel is lost, with an eye on its way out."""
        if self._way is None:
            await self._until_lost()
            return
        watching = asyncio.create_task(self._way.watch(cast("Reaching", self.channel)))
        try:
            await self._until_lost()
        finally:
            self._way = None
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    async def _until_lost(self) -> None:
        """Returns when the channel said so itself, or has been silent for too long."""
        if self.liveness <= 0:
            await self._lost.wait()
            return
        step, wait = self.liveness / 3, _SOON
        while not self._lost.is_set():
            silent = self._clock.monotonic() - self.watch.sign
            if silent >= self.liveness:
                self._mark(f"nothing was heard of the platform for {silent:.0f} s")
                return
            if silent >= step and hasattr(self.channel, "probe"):
                await self._ask(cast("Prober", self.channel), self.liveness - silent)
                silent = self._clock.monotonic() - self.watch.sign
                if silent >= step and not self._lost.is_set():
                    await self._pause(min(wait, step / 4, self.liveness - silent))
                    wait *= 2
                else:
                    wait = _SOON
                continue
            await self._pause((step if silent < step else self.liveness) - silent)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(seconds, 0.001)):
                await self._lost.wait()

    async def _ask(self, channel: Prober, seconds: float) -> None:
        """Put the question; only its answer is a sign of life. Given up at once when the channel says it is lost."""
        question = asyncio.ensure_future(channel.probe())
        gone = asyncio.ensure_future(self._lost.wait())
        try:
            await asyncio.wait({question, gone}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            question.cancel()
            outcome = (await asyncio.gather(question, gone, return_exceptions=True))[0]
        if outcome is None:
            self.alive()
        elif isinstance(outcome, Exception):
            self.watch.errors += 1
            _log.info("channel does not answer", channel=self.name, error=type(outcome).__name__)

    async def _take_down(self) -> None:
        self.route.channel = None
        try:
            async with asyncio.timeout(_STOP):
                await self.channel.stop()
        except asyncio.CancelledError:
            if called_off():
                raise
            _log.warning("channel did not stop cleanly", channel=self.name, error="CancelledError")
        except Exception as error:  # noqa: BLE001  # stopping goes on whatever one channel does
            _log.warning("channel did not stop cleanly", channel=self.name, error=type(error).__name__)

    def _report(self, condition: Condition, note: str) -> None:
        self.watch.condition, self.watch.note = condition, note
        if condition != "ready":
            self.route.note = note
        self._health.report(f"channel:{self.name}", condition, note, required=False)

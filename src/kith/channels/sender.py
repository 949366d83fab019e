"""The sender: takes replies from the outbox and hands them to their channels, each by its own delivery policy.

======================  =====================================================================================
``idempotent``          the platform takes our key: whatever is in doubt is sent again
``at_least_once``       the platform takes no key: whatever is in doubt is sent again, and may arrive twice
``at_most_once``        whatever is in doubt is not sent again, but kept for a person to see
``reconcile``           whatever is in doubt is asked about (`Reconciler.arrived`) before it is sent again
======================  =====================================================================================

In doubt is a reply whose sender vanished between sending and settling, and one whose send ended in a way that does not
tell whether it arrived: a time-out, a broken connection, a bug.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, cast

from kith.channels.calls import called_off, keep
from kith.channels.drafts import Drafts
from kith.channels.media import Limits, fitted, tongue
from kith.channels.pace import Pace
from kith.channels.settings import DeliverySettings
from kith.core.clock import Clock
from kith.core.errors import KithError, NotFound, Refused, Unavailable
from kith.core.events import ParcelSettled
from kith.core.message import Text
from kith.core.people import Parcel
from kith.core.ports import Channel, Complaints, Outbox, Reconciler
from kith.core.turn import Dead, Later, Sent, Stale
from kith.runtime.blobs import Blobs
from kith.runtime.bus import Bus
from kith.runtime.health import Health
from kith.runtime.leaks import masked
from kith.runtime.telemetry import counter, get_logger, span

Policy = Literal["idempotent", "at_most_once", "at_least_once", "reconcile"]
Outcome = Sent | Later | Dead | Stale

_log = get_logger(__name__)
_settled = counter("kith_channels_parcels_total", "Replies that left the outbox.", ("channel", "state"))
_BATCH = 64
_KNOWN = 1000
_BUSY = 2.0
_ABSENT = 30.0
_PATIENCE = 5.0
_VANISHED = "Kith stopped while this was being sent; it may or may not have arrived, so it is not sent again"


@dataclass(slots=True)
class Route:
    """A configured channel as the sender sees it. `channel` is None until it has started; `took` is told of a reply
    that it sent, `pace` is its platform's, `waiting` when each reply was made that it has not got rid of yet, `drafts`
    shows replies while they are made. `limits` is what media its platform takes, `title` its name by language."""

    name: str
    account: str
    policy: Policy
    local: bool
    channel: Channel | None = None
    note: str = ""
    slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))
    held: int = 0
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    took: Callable[[Parcel, Sent], None] | None = None
    pace: Pace | None = None
    waiting: dict[str, float] = field(default_factory=dict[str, float])
    drafts: Drafts | None = None
    limits: Limits = field(default_factory=Limits)
    blobs: Blobs = field(default_factory=Blobs)
    title: Mapping[str, str] = field(default_factory=dict[str, str])

    async def fit(self, parcel: Parcel) -> Parcel:
        """A reply with only such media as the platform takes."""
        title = self.title.get(tongue(parcel.message.text) or "en", self.name)
        return await fitted(parcel, self.limits, self.blobs, title)

    def spare(self, chat: str) -> bool:
        """Whether something less important than replies may be sent to a chat now; it is then counted."""
        return not self.waiting and (self.pace is None or self.pace.take(chat) == 0)


class Sender:
    """Runs until stopped. `routes` maps a channel's name to its route and may change at any time.

    With `others` true, replies for channels that are not configured are left to another process instead of going to
    the dead letters.
    """

    def __init__(
        self,
        outbox: Outbox,
        routes: Mapping[str, Route],
        settings: DeliverySettings,
        clock: Clock,
        health: Health,
        bus: Bus | None = None,
        chance: random.Random | None = None,
    ) -> None:
        self._outbox, self._routes, self._settings = outbox, routes, settings
        self._clock, self._health, self._bus = clock, health, bus
        self._chance = chance or random.SystemRandom()
        self._wake = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None
        self._flying: dict[str, Parcel] = {}
        self._unwritten: OrderedDict[str, Sent] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self._queued: set[asyncio.Task[None]] = set()
        self._stopping = False
        self.others = False

    def nudge(self) -> None:
        """Look into the outbox now."""
        self._wake.set()

    def start(self, worker: str) -> None:
        """Begin sending as `worker`. Needs a running loop."""
        self._stopping = False
        self._loop = asyncio.create_task(self._run(worker))

    async def stop(self) -> None:
        """Take nothing new, give running sends their grace, leave the rest in the outbox."""
        self._stopping = True
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)
        for task in tuple(self._queued):  # nothing of these was sent yet: they go back
            task.cancel()
        if self._tasks:
            _, late = await asyncio.wait(tuple(self._tasks), timeout=self._settings.grace)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _run(self, worker: str) -> None:
        while True:
            self._wake.clear()
            try:
                parcels = await self._outbox.take(worker, _BATCH)
                self._health.report("outbox", "ready")
            except KithError as error:
                self._health.report("outbox", "degraded", error.message)
                parcels = ()
            except Exception as error:  # noqa: BLE001  # one bad look must not be the last: nothing would leave any more
                _log.exception("outbox not read", error=type(error).__name__)
                self._health.report("outbox", "degraded", f"the outbox cannot be read ({type(error).__name__})")
                parcels = ()
            for parcel in parcels:
                self._dispatch(parcel)
            if len(parcels) < _BATCH:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._settings.poll):  # wait_for can swallow a cancellation
                        await self._wake.wait()
            else:
                await asyncio.sleep(0)

    def _dispatch(self, parcel: Parcel) -> None:
        if parcel.id in self._flying:  # its lease ran out while we were sending: the same work under a new fence
            self._flying[parcel.id] = parcel
            return
        self._flying[parcel.id] = parcel
        task = asyncio.create_task(self._carry(parcel))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry(self, parcel: Parcel) -> None:
        """Send one parcel and settle it."""
        waiting = route.waiting if (route := self._routes.get(parcel.channel)) else {}
        waiting.setdefault(parcel.id, parcel.message.at)
        try:
            outcome = self._unwritten.pop(parcel.id, None) or await self._decide(parcel)
            if not isinstance(outcome, Later):
                waiting.pop(parcel.id, None)
            await self._settle(parcel, outcome)
        finally:
            del self._flying[parcel.id]
            self._wake.set()

    async def _decide(self, parcel: Parcel) -> Outcome:
        """Find the route and wait for a slot; a channel that is stuck gives its parcels back."""
        now = self._clock.now()
        route = self._routes.get(parcel.channel)
        if route is None or not (route.local or route.account == parcel.account):
            if self.others:
                return _back(parcel, now + _ABSENT, "another process has this channel")
            return Dead(f"the channel {parcel.channel!r} with account {parcel.account!r} is not configured any more")
        if parcel.state == "sending" and route.policy == "at_most_once":
            return Dead(_VANISHED)
        if parcel.expires and now > parcel.expires and parcel.state != "sending":
            return Stale()
        if route.channel is None:
            why = route.note or f"the channel {route.name!r} is not connected"
            return _back(parcel, now + self._delay(parcel), why)
        if route.held >= self._settings.waiting:
            return _back(parcel, now + _BUSY * (1 + self._chance.random()), f"the channel {route.name!r} is busy")
        route.held += 1
        route.idle.clear()
        try:
            if not await self._slot(route):
                return _back(parcel, self._clock.now(), f"the channel {route.name!r} is busy")
            try:
                return await self._paced(route, parcel) or await self._send(route, parcel)
            finally:
                route.slots.release()
        finally:
            route.held -= 1
            if not route.held:
                route.idle.set()

    async def _slot(self, route: Route) -> bool:
        """Wait for a slot of the channel; false at stop, or when the wait was so long that the lease may end soon."""
        since, task = self._clock.monotonic(), asyncio.current_task()
        assert task is not None
        self._queued.add(task)
        try:
            await route.slots.acquire()
        except asyncio.CancelledError:
            if not self._stopping:
                raise
            task.uncancel()
            return False
        finally:
            self._queued.discard(task)
        if self._stopping or self._clock.monotonic() - since > self._settings.timeout:
            route.slots.release()
            return False
        return True

    async def _paced(self, route: Route, parcel: Parcel) -> Later | None:
        """Wait for the platform's rate; for long waits the reply goes back into the outbox."""
        while route.pace is not None and (wait := route.pace.take(parcel.target)) > 0:
            if wait > _PATIENCE:
                why = f"{route.name!r} takes no more messages for {wait:.0f} s"
                return _back(parcel, self._clock.now() + wait, why)
            await self._clock.sleep(wait)
        return None

    async def _send(self, route: Route, parcel: Parcel) -> Outcome:
        """Send as the channel's policy says, and translate whatever goes wrong."""
        channel = route.channel
        if channel is None:  # it was lost while this waited
            return _back(parcel, self._clock.now() + self._delay(parcel), route.note)
        try:
            async with asyncio.timeout(self._settings.timeout):
                said = await route.fit(_masked(parcel))
                known = await _recover(route, channel, said)
                if known is not None:
                    return known
                if parcel.expires and self._clock.now() > parcel.expires:
                    return Stale()
                with span("channel.send", channel=route.name):
                    sent = await (route.drafts.say(channel, said) if route.drafts else channel.send(said))
                if route.took is not None:
                    route.took(parcel, sent)
                return sent
        except Unavailable as error:
            return self._again(parcel, error.message, error.retry_after)
        except Refused as error:
            return self._again(parcel, error.message, error.retry_after) if error.retry_after else Dead(error.message)
        except KithError as error:
            return Dead(error.message)
        except asyncio.CancelledError:
            if called_off():
                raise
            return self._doubtful(route, parcel, f"the library of the channel {route.name!r} gave up")
        except (TimeoutError, OSError) as error:
            reason = f"the connection to {route.name!r} failed ({type(error).__name__})"
            return self._doubtful(route, parcel, reason)
        except Exception as error:  # noqa: BLE001  # a channel's bug stays the channel's: the sender goes on
            _log.exception("channel failed", channel=route.name, error=type(error).__name__)
            return self._doubtful(route, parcel, f"the channel {route.name!r} failed ({type(error).__name__})")

    def _doubtful(self, route: Route, parcel: Parcel, reason: str) -> Outcome:
        if route.policy == "at_most_once":
            return Dead(f"{reason}; it may or may not have arrived, and this channel never sends twice")
        return self._again(parcel, reason, 0.0)

    def _again(self, parcel: Parcel, reason: str, after: float) -> Outcome:
        if parcel.attempts >= self._settings.attempts:
            return Dead(f"given up after {parcel.attempts} tries: {reason}")
        return Later(self._clock.now() + max(after, self._delay(parcel)), reason)

    def _delay(self, parcel: Parcel) -> float:
        """Exponential back-off with jitter in its upper half, so that a crowd of replies does not return at once."""
        exponent = min(max(parcel.attempts - 1, 0), 30)
        longest = min(self._settings.backoff * 2.0**exponent, self._settings.backoff_limit)
        return longest * (0.5 + self._chance.random() / 2)

    async def complain(self, parcel: str, receipt: str, reason: str) -> bool:
        """A platform says that what it took did not arrive: that ends as any other dead letter. Whether there was such
        a reply. Raises `Unavailable` while it is being settled."""
        found = await cast("Complaints", self._outbox).complain(parcel, receipt, reason)
        if found is not None:
            self._tell(found, Dead(reason))
        return found is not None

    async def _settle(self, parcel: Parcel, outcome: Outcome) -> None:
        """Write the outcome down. A storage that fails is waited for: what was sent must not be sent again, nor when
        its lease ran out meanwhile and it was taken anew, by ourselves."""
        wait = 0.25
        while True:
            held = self._flying.get(parcel.id, parcel)
            try:
                await self._outbox.settle(held, outcome)
                break
            except Unavailable as error:
                _log.warning("parcel not settled yet", parcel=parcel.id, error=error.message)
                await self._clock.sleep(wait)
                wait = min(wait * 2, 5.0)
            except (Refused, NotFound) as error:
                if self._flying.get(parcel.id, parcel) is not held:
                    continue
                if isinstance(outcome, Sent):  # should it come back to us, it is known
                    keep(self._unwritten, parcel.id, outcome, _KNOWN)
                _log.warning("parcel settled elsewhere", parcel=parcel.id, code=error.code)
                return
        route = self._routes.get(parcel.channel)
        if route is not None and route.drafts is not None and not isinstance(outcome, Later):
            await route.drafts.settled(parcel)
        self._tell(parcel, outcome)

    def _tell(self, parcel: Parcel, outcome: Outcome) -> None:
        state = type(outcome).__name__.lower()
        _settled.add(1, channel=parcel.channel, state=state)
        if isinstance(outcome, Dead):
            _log.warning("parcel dead", parcel=parcel.id, channel=parcel.channel, reason=outcome.error)
        if self._bus is not None and not isinstance(outcome, Later):
            self._bus.publish(ParcelSettled(parcel.id, parcel.channel, state))


def _back(parcel: Parcel, at: float, why: str) -> Later:
    """It was not tried, so that a doubt about it is no smaller than before."""
    return Later(at, why, doubt=parcel.state == "sending")


def _masked(parcel: Parcel) -> Parcel:
    """As it may leave: whoever wrote it, no key and no password goes to a platform."""
    message = parcel.message
    parts = tuple(replace(part, text=masked(part.text)) if isinstance(part, Text) else part for part in message.parts)
    return parcel if parts == message.parts else replace(parcel, message=replace(message, parts=parts))


async def _recover(route: Route, channel: Channel, parcel: Parcel) -> Outcome | None:
    """What is already known of a parcel that may have been sent before; None to send it."""
    if route.policy == "reconcile" and (parcel.state == "sending" or parcel.attempts > 1):
        arrived = cast("Callable[[Parcel], Awaitable[bool]]", cast("Reconciler", channel).arrived)
        if await arrived(parcel):
            return Sent()
    return None

"""The door of one channel: what is dropped before it is kept, who is let in, and what edits and reactions mean.

A message passes, in this order: the loop guard (other programs), the group rule, access; then an edit stops the reply
to what it replaces, a taken-back message only stops it, a reaction is told to whoever keeps ratings, and media that are
too large are left out and their sender is told.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from kith.channels.kit import ChannelSettings, Limits
from kith.channels.media import weighed
from kith.core.clock import Clock
from kith.core.errors import KithError, Refused
from kith.core.events import Reacted
from kith.core.ids import Ids, conversation_id
from kith.core.message import Envelope, Message, Text
from kith.core.people import Parcel
from kith.core.ports import Access, Talk
from kith.core.turn import Accepted
from kith.runtime.buckets import Buckets
from kith.runtime.bus import Bus
from kith.runtime.telemetry import counter, get_logger

_log = get_logger(__name__)
_turned = counter("kith_channels_turned_away_total", "Messages not let in.", ("channel", "reason"))
_KNOWN = 2000
_SAY = 20.0


@dataclass(frozen=True, slots=True)
class House:
    """What the door needs of the house. Without `access` everybody is let in, and the guard decides alone."""

    talk: Talk
    cancel: Callable[[str], None]
    clock: Clock
    ids: Ids
    access: Access | None = None
    bus: Bus | None = None


Say = Callable[[Parcel], Awaitable[object]]


class Door:
    """`say` sends a parcel at once, past the outbox: words to somebody who was not let in.

    `pause` is how long a message waits for more of the same person, where the settings do not say.
    """

    def __init__(
        self, settings: ChannelSettings, house: House, say: Say, limits: Limits | None = None, pause: float = 0.0
    ) -> None:
        self._settings, self._house, self._say = settings, house, say
        self._limits = limits or Limits()
        self._pause = pause if settings.debounce is None else settings.debounce
        rounds = max(settings.bot_rounds, 1)
        self._bots = Buckets(rounds / 10, rounds, house.clock)
        self._turns: OrderedDict[str, str] = OrderedDict()
        self._said: OrderedDict[str, tuple[str, str]] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()

    def sent(self, parcel: Parcel, receipt: str) -> None:
        """A reply went out, and the platform calls it `receipt` (several, for several pieces): reactions name it."""
        for one in receipt.split():
            self._said[one] = parcel.thread or parcel.conversation, parcel.message.id
        while len(self._said) > _KNOWN:
            self._said.popitem(last=False)

    async def hear(self, envelope: Envelope) -> Accepted:
        """Keep a message that may come in. What may not is dropped, and the platform told that we have it."""
        if (reason := await self._unwanted(envelope)) != "":
            _turned.add(1, channel=envelope.channel, reason=reason)
            return self._nothing(envelope)
        if envelope.reaction:
            self._reacted(envelope)
            return self._nothing(envelope)
        if envelope.edits and (turn := self._turns.get(_place(envelope, envelope.edits))):
            self._house.cancel(turn)
        if envelope.edits and not envelope.message.parts:
            return self._nothing(envelope)
        envelope, sorry, more = weighed(envelope, self._limits)
        if not more:
            self._tell_soon(envelope, sorry)
            return self._nothing(envelope)
        accepted = await self._house.talk.hear(replace(envelope, pause=self._pause) if self._pause else envelope)
        if sorry and not accepted.duplicate:
            self._tell_soon(envelope, sorry)
        self._turns[_place(envelope, envelope.platform_id)] = accepted.id
        if envelope.edits:
            self._turns[_place(envelope, envelope.edits)] = accepted.id
        while len(self._turns) > _KNOWN:
            self._turns.popitem(last=False)
        return accepted

    async def close(self) -> None:
        """Say nothing more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _unwanted(self, envelope: Envelope) -> str:
        """Why a message is not let in; empty when it is."""
        if envelope.bot and not self._round(envelope):
            return "bot"
        if envelope.kind == "group" and not self._addressed(envelope):
            return "group"
        if self._house.access is None:
            return ""
        welcome = await self._house.access.greet(envelope)
        if welcome.admitted:
            return ""
        if welcome.say:
            self._tell_soon(envelope, welcome.say)
        return "stranger"

    def _round(self, envelope: Envelope) -> bool:
        """Whether another program is answered once more: so many rounds in ten minutes, in each conversation."""
        if self._settings.bot_rounds < 1:
            return False
        try:
            self._bots.take(envelope.conversation)
        except Refused:
            return False
        return True

    def _addressed(self, envelope: Envelope) -> bool:
        match self._settings.groups:
            case "always":
                return True
            case "never":
                return False
            case "mention":
                return envelope.mentioned or bool(envelope.reaction)
            case "names" | "sometimes" as rule:
                if envelope.mentioned or envelope.reaction or called(envelope.message.text, self._settings.names):
                    return True
                return rule == "sometimes" and drawn(envelope) < self._settings.chance

    def _tell_soon(self, envelope: Envelope, text: str) -> None:
        task = asyncio.create_task(self._tell(envelope, text))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tell(self, envelope: Envelope, text: str) -> None:
        """One sentence past the outbox. If it does not arrive, they write again."""
        house = self._house
        said = Message(house.ids.new("m"), "assistant", (Text(text),), house.clock.now())
        topic = conversation_id(envelope.channel, envelope.account, envelope.conversation)
        parcel = Parcel(said.id, 0, topic, envelope.channel, envelope.account, envelope.conversation, said)
        try:
            async with asyncio.timeout(_SAY):
                await self._say(parcel)
        except (KithError, OSError, TimeoutError) as error:
            _log.info("sentence not told", channel=envelope.channel, error=type(error).__name__)
        except Exception as error:  # noqa: BLE001  # a channel's bug stays the channel's
            _log.exception("channel failed", channel=envelope.channel, error=type(error).__name__)

    def _reacted(self, envelope: Envelope) -> None:
        known = self._said.get(envelope.reply_to)
        if known is not None and self._house.bus is not None:
            self._house.bus.publish(Reacted(*known, envelope.sender, envelope.channel, envelope.reaction))

    @staticmethod
    def _nothing(envelope: Envelope) -> Accepted:
        return Accepted("", conversation_id(envelope.channel, envelope.account, envelope.conversation))


def called(text: str, names: Sequence[str]) -> bool:
    """Whether a text says one of `names`: as a word, where it is of letters that words are parted by spaces of."""
    said = text.casefold()
    for name in filter(None, map(str.casefold, names)):
        edge = r"(?<![a-z0-9]){}(?![a-z0-9])" if name.isascii() else "{}"
        if re.search(edge.format(re.escape(name)), said):
            return True
    return False


def drawn(envelope: Envelope) -> float:
    """A number from 0 to 1 by lot, the same each time that a message is delivered."""
    raw = "\x1f".join((envelope.channel, envelope.account, envelope.conversation, envelope.platform_id))
    lot = hashlib.blake2b(raw.encode("utf-8", "surrogatepass"), digest_size=4).digest()
    return int.from_bytes(lot, "big") / (1 << 32)


def _place(envelope: Envelope, platform_id: str) -> str:
    return f"{envelope.conversation}\x1f{platform_id}"

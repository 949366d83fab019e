"""The guard of the house: who may speak, how often, how much, and what leaves the house."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from kith.core.clock import Clock
from kith.core.errors import Refused
from kith.core.message import Envelope, Text
from kith.core.people import Principal
from kith.security.settings import SecuritySettings

_BUCKETS = 10_000
_CONTROLS = {code: None for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\n\t"}


class Principals(Protocol):
    """Where the guard looks a sender up; `TokenAuth` is one."""

    async def principal(self, name: str) -> Principal | None: ...


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


class HouseGuard:
    """Implements the port `Guard`.

    `local` names the channels whose clients have been authenticated before they reach the guard (the API and the web
    app by their token, the terminal by being at the machine). Every other channel stays closed.
    """

    def __init__(
        self, settings: SecuritySettings, principals: Principals, clock: Clock, local: Collection[str]
    ) -> None:
        self._settings, self._principals, self._clock = settings, principals, clock
        self._local = frozenset(local)
        self._buckets: OrderedDict[tuple[str, str, str], _Bucket] = OrderedDict()

    async def admit(self, envelope: Envelope) -> Principal:
        """Who speaks. Raises `Refused`: for a stranger, for too long a text, or (with `retry_after`) for too many."""
        principal = await self._identify(envelope)
        length = sum(len(part.text) for part in envelope.message.parts if isinstance(part, Text))
        if length > self._settings.max_characters:
            raise Refused(
                f"the message has {length} characters, more than the {self._settings.max_characters} allowed",
                code="message_too_long",
                hint="send it in parts, or as a file",
            )
        self._spend((envelope.channel, envelope.account, envelope.sender))
        return principal

    async def release(self, text: str) -> str:
        """`text` without control characters (terminals obey them) and lone surrogates (nothing can encode them)."""
        clean = text.replace("\r\n", "\n").translate(_CONTROLS)
        return clean.encode("utf-8", "replace").decode("utf-8")

    async def _identify(self, envelope: Envelope) -> Principal:
        if envelope.channel not in self._local:
            raise Refused(
                f"nobody has been allowed to speak on the channel {envelope.channel!r} yet",
                code="not_paired",
                hint="every channel is closed until its senders are allowed",
            )
        if found := await self._principals.principal(envelope.sender):
            return found
        if envelope.sender.startswith("t_"):  # the shape of a token's id: it was good once, and has been revoked
            raise Refused("this token has been revoked", code="unauthenticated")
        return Principal(envelope.sender or "owner", envelope.sender_name or envelope.sender or "owner", "owner")

    def _spend(self, sender: tuple[str, str, str]) -> None:
        """Take one token from the sender's bucket, which refills evenly up to `burst`."""
        now, burst = self._clock.monotonic(), float(self._settings.burst)
        rate = self._settings.messages_per_minute / 60
        bucket = self._buckets.setdefault(sender, _Bucket(burst, now))
        self._buckets.move_to_end(sender)
        bucket.tokens, bucket.at = min(burst, bucket.tokens + (now - bucket.at) * rate), now
        if bucket.tokens < 1:
            raise Refused("too many messages", code="rate_limited", retry_after=(1 - bucket.tokens) / rate)
        bucket.tokens -= 1
        if len(self._buckets) > _BUCKETS:
            self._buckets.popitem(last=False)

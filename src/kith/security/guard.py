"""The guard of the house: who may speak, how often, how much, and what leaves the house."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from kith.core.clock import Clock
from kith.core.errors import Refused
from kith.core.message import Envelope, Text
from kith.core.people import Principal
from kith.core.ports import Access, Release
from kith.runtime.buckets import Buckets
from kith.security.outflow import outflow
from kith.security.settings import SecuritySettings


class Principals(Protocol):
    """Where the guard looks a sender up; `Identity` is one."""

    async def principal(self, name: str) -> Principal | None: ...


class HouseGuard:
    """Implements the port `Guard`.

    `local` names the channels whose clients have been authenticated before they reach the guard (the API and the web
    app by their token, the terminal by being at the machine). On every other channel `access` says who is known, and
    without it they stay closed.
    """

    def __init__(
        self,
        settings: SecuritySettings,
        principals: Principals,
        clock: Clock,
        local: Collection[str],
        access: Access | None = None,
    ) -> None:
        self._settings, self._principals, self._access = settings, principals, access
        self._local = frozenset(local)
        self._buckets = Buckets(settings.messages_per_minute, settings.burst, clock)

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
        self._buckets.take((envelope.channel, envelope.account, envelope.sender))
        return principal

    def release(self, envelope: Envelope, known: Sequence[str] = ()) -> Release:
        """The way out of one reply; `kith.security.outflow` says what is hidden from whom."""
        return outflow(envelope, known)

    async def _identify(self, envelope: Envelope) -> Principal:
        if envelope.channel not in self._local:
            known = await self._access.admitted(envelope) if self._access is not None else None
            if known is not None:
                return known
            raise Refused(
                f"nobody has been allowed to speak on the channel {envelope.channel!r} yet",
                code="not_paired",
                hint="every channel is closed until its senders are allowed",
            )
        if found := await self._principals.principal(envelope.sender):
            return found
        if envelope.sender.startswith(("t_", "u_")):  # the shape of a token's or account's id: it was good once
            raise Refused("this token or account has been revoked", code="unauthenticated")
        return Principal(envelope.sender or "owner", envelope.sender_name or envelope.sender or "owner", "owner")

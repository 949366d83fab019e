"""The guard of the house: who may speak, how often, how much, and what leaves the house."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from kith.core.clock import Clock
from kith.core.errors import Refused
from kith.core.message import Envelope, Text
from kith.core.people import Principal
from kith.core.ports import Access, Release
from kith.runtime.buckets import Buckets
from kith.security.filter import ContentFilter
from kith.security.outflow import outflow, to_program
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
        self._filter = ContentFilter(settings.filter)

    async def admit(self, envelope: Envelope) -> Principal:
        """Who speaks. Raises `Refused`: for a stranger, for too long or harmful a text, or (with `retry_after`) for too
        many."""
        principal = await self._identify(envelope)
        length = sum(len(part.text) for part in envelope.message.parts if isinstance(part, Text))
        if length > self._settings.max_characters:
            raise Refused(
                f"the message has {length} characters, more than the {self._settings.max_characters} allowed",
                code="message_too_long",
                hint="send it in parts, or as a file",
            )
        self._buckets.take((envelope.channel, envelope.account, envelope.sender))
        await self._heard(envelope)
        return principal

    async def judge(self, text: str) -> Mapping[str, float]:
        """How sure the content filter is, in 0..1, that `text` belongs to each category; 0.5 and more is flagged."""
        return await self._filter.judge(text)

    async def _heard(self, envelope: Envelope) -> None:
        """Raises `Refused` for a message that asks for harm, where the owner wants that; quotations are not asked."""
        parts = (part.text for part in envelope.message.parts if isinstance(part, Text) and not part.outside)
        await self._refuse("\n".join(parts))

    async def _refuse(self, text: str) -> None:
        category = await self._filter.noticed(text)
        if category and self._settings.filter.incoming == "refuse":
            code = "content_self_harm" if category == "self_harm" else "content_refused"
            hint = "whoever thinks of harming themselves finds help at https://findahelpline.com"
            hint = hint if category == "self_harm" else ""
            raise Refused("this message asks for something that is not answered here", code=code, hint=hint)

    async def direct(self, asked: Sequence[str], known: Sequence[str]) -> Release | None:
        """The way out of a model's reply to a program that asks it by its name, None where the owner wants none.

        All that it says for its user is looked at: it keeps the conversation, and could have changed it. Raises
        `Refused` for harm, where the owner wants that.
        """
        if not self._settings.filter.programs:
            return None
        for text in asked:
            await self._refuse(text)
        watch = self._filter.leaving if self._settings.filter.outgoing != "off" else None
        return to_program(known, watch, cut=self._settings.filter.outgoing == "refuse")

    def release(self, envelope: Envelope, known: Sequence[str] = ()) -> Release:
        """The way out of one reply; `kith.security.outflow` says what is hidden from whom."""
        watch = self._filter.leaving if self._settings.filter.outgoing != "off" else None
        return outflow(envelope, known, watch, cut=self._settings.filter.outgoing == "refuse")

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

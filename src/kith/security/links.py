"""One human in two apps: a code asked for in the one and sent from the other makes both faces one person.

Codes are kept as digests, are good for ten minutes and once, and few may be tried; they are given and taken only in
direct conversations. A stranger who brings one is let in with it, as what the asker is, but never as more than a
member.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Collection
from typing import Any, Literal, Protocol, cast

from kith.core.audit import By
from kith.core.channel import Welcome
from kith.core.clock import Clock
from kith.core.errors import Invalid, NotFound, Refused
from kith.core.message import Envelope
from kith.core.people import Principal
from kith.core.ports import Records, Store
from kith.runtime.buckets import Buckets
from kith.runtime.locale import tr
from kith.security.pairing import Pairing, looks_like_code, new_code, spoken
from kith.security.passwords import code_digest

_KIND = "link"
_MINUTES = 10
_TRIES = 5
_ASKS = re.compile(
    r"(please )?link (me|my accounts?|accounts|this account)"
    r"|(请)?(帮我)?(把)?(关联|绑定)(一下)?(我的)?(账号|帐号|账户)",
    re.IGNORECASE,
)


class Shelves(Protocol):
    """Where codes and people are kept."""

    @property
    def records(self) -> Records: ...

    @property
    def store(self) -> Store: ...


class Links:
    """Implements the port `Access` around `pairing`. `link` makes two persons one: it is given the one that stays, the
    other, and who says so."""

    def __init__(
        self, pairing: Pairing, shelves: Shelves, link: Callable[[str, str, By], Awaitable[Any]], clock: Clock
    ) -> None:
        self._pairing, self._shelves, self._link, self._clock = pairing, shelves, link, clock
        self._tries = Buckets(_TRIES / _MINUTES, _TRIES, clock)

    def rule(self, channel: str, rule: Literal["paired", "listed", "everyone"], allowed: Collection[str]) -> None:
        """As `Pairing`."""
        self._pairing.rule(channel, rule, allowed)

    async def admitted(self, envelope: Envelope) -> Principal | None:
        """As `Pairing`."""
        return await self._pairing.admitted(envelope)

    async def greet(self, envelope: Envelope) -> Welcome:
        """As `Pairing`, except for who asks for a code to be linked by, or brings one."""
        text = envelope.message.text.strip().rstrip(".!。！")
        if envelope.kind == "direct" and not envelope.reaction and not envelope.edits:
            if _ASKS.fullmatch(text) and (known := await self.admitted(envelope)) is not None:
                return Welcome(False, await self._offer(envelope, known))
            if looks_like_code(text) and (said := await self._take(envelope, text)):
                return Welcome(False, said)
        return await self._pairing.greet(envelope)

    async def _offer(self, envelope: Envelope, known: Principal) -> str:
        person, _ = await self._shelves.store.resolve(envelope)
        records, now = self._shelves.records, self._clock.now()
        for key, kept in (await records.all(_KIND)).items():
            if float(kept["until"]) < now or kept["person"] == person.id:
                await records.delete(_KIND, key)
        code = new_code()
        value = {"person": person.id, "role": known.role, "by": known.id, "until": now + _MINUTES * 60}
        await records.put(_KIND, code_digest(code), value)
        return tr("security.link.code", spoken(envelope), code=code, minutes=_MINUTES)

    async def _take(self, envelope: Envelope, code: str) -> str:
        """What is said to somebody who brought a code; empty when it is none of ours."""
        try:
            self._tries.take("\x1f".join((envelope.channel, envelope.account, envelope.sender)))
        except Refused:
            return ""
        records, key = self._shelves.records, code_digest(code)
        kept = await records.get(_KIND, key)
        if kept is None or float(kept["until"]) < self._clock.now() or not await records.delete(_KIND, key):
            return ""
        by = By(str(kept["by"]), f"channel:{envelope.channel}")
        if await self.admitted(envelope) is None:
            role = "guest" if kept["role"] == "guest" else "member"
            await self._pairing.vouch(envelope, role, by)
        other, _ = await self._shelves.store.resolve(envelope)
        locale = spoken(envelope, other.locale)
        try:
            await self._link(cast("str", kept["person"]), other.id, by)
        except (Invalid, NotFound):  # it is themselves already, or the asker was erased meanwhile
            return tr("security.link.same", locale)
        return tr("security.link.done", locale)

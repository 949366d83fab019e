"""Budgets: what models may cost in a day, for each person and for the whole house.

What was spent is kept as records, so that neither a restart nor an erased conversation gives it back; those of earlier
days are deleted. The reply that crosses a limit is still given. Without limits nothing is kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from datetime import datetime

from pydantic import Field

from kith.core.clock import Clock
from kith.core.errors import Refused
from kith.core.message import Delta, Text, Usage
from kith.core.model import ChatRequest, ModelCard
from kith.core.ports import Models, Records
from kith.dialogue.values.zones import zone
from kith.dialogue.workshop.use import price
from kith.runtime.settings import Section
from kith.runtime.telemetry import counter

_KIND = "spent"
_refused = counter("kith_budget_refusals_total", "Requests to models that a budget ended.")


class BudgetSettings(Section):
    """The section ``dialogue.budgets``; a day is that of the household's time zone, and 0 is no limit."""

    person_tokens: int = Field(default=0, ge=0, le=10**15, description="Tokens a day for each person.")
    person_cost: float = Field(default=0.0, ge=0, allow_inf_nan=False, description="Cost a day for each person.")
    house_tokens: int = Field(default=0, ge=0, le=10**15, description="Tokens a day for everybody together.")
    house_cost: float = Field(default=0.0, ge=0, allow_inf_nan=False, description="Cost a day for everybody together.")


class Purse:
    """Implements `Models`: asks `models` as long as there is something left of the day's budget."""

    def __init__(
        self, models: Models, records: Records, clock: Clock, settings: BudgetSettings, timezone: str = ""
    ) -> None:
        self._models, self._records, self._clock = models, records, clock
        self._house = (settings.house_tokens, settings.house_cost)
        self._person = (settings.person_tokens, settings.person_cost)
        self._zone, self._writing, self._tidied = zone(timezone), asyncio.Lock(), ""

    @property
    def limited(self) -> bool:
        """Whether there is any limit."""
        return any((*self._house, *self._person))

    def cards(self) -> Sequence[ModelCard]:
        """As `Models.cards`."""
        return self._models.cards()

    async def embed(self, texts: Sequence[str], model: str = "") -> Sequence[Sequence[float]]:
        """As `Models.embed`; not counted."""
        return await self._models.embed(texts, model)

    async def count(self, text: str, model: str = "") -> int:
        """As `Models.count`."""
        return await self._models.count(text, model)

    async def chat(self, request: ChatRequest) -> AsyncIterator[Delta]:
        """As `Models.chat`. Raises `Refused` (``budget_spent``) when nothing is left."""
        if self.limited and await self.empty(request.person):
            raise Refused("today's budget for language models is used up", code="budget_spent")
        usage, model, said = Usage(), request.model, 0
        stream = self._models.chat(request)
        try:
            async for delta in stream:
                usage, model, said = delta.usage or usage, delta.model or model, said + len(delta.text.encode())
                yield delta
        finally:
            if isinstance(stream, AsyncGenerator):  # whoever stops listening stops the model
                await stream.aclose()
            tokens = usage.prompt + usage.completion
            if not tokens and said and self.limited:  # stopped, or a model that does not tell: three bytes a token
                tokens = (said + sum(_size(request))) // 3 + 1
            await self._spend(request.person, tokens, model)

    async def empty(self, person: str) -> bool:
        """Whether the budget of this person ("" for nobody's), or of the house, is used up for today."""
        for limits, key in ((self._house, self._today()), (self._person, self._today(person))):
            if not any(limits) or (key == self._today() and limits is self._person):
                continue
            if any(limit and done >= limit for limit, done in zip(limits, await self._spent(key), strict=True)):
                _refused.add(1)
                return True
        return False

    async def _spend(self, person: str, tokens: int, model: str) -> None:
        if not tokens or not self.limited:
            return
        cost = price(tokens, next((card.cost for card in self.cards() if card.name == model), 0.0))
        async with self._writing:
            await self._tidy()
            for key in {self._today(), self._today(person)}:
                before = await self._spent(key)
                await self._records.put(_KIND, key, {"tokens": before[0] + tokens, "cost": before[1] + cost})

    async def _tidy(self) -> None:
        today = self._today()
        if self._tidied != today:
            for key in await self._records.all(_KIND):
                if key.partition("/")[0] != today:
                    await self._records.delete(_KIND, key)
            self._tidied = today

    async def _spent(self, key: str) -> tuple[int, float]:
        kept = await self._records.get(_KIND, key) or {}
        return int(kept.get("tokens", 0)), float(kept.get("cost", 0.0))

    def _today(self, person: str = "") -> str:
        day = datetime.fromtimestamp(self._clock.now(), self._zone).date().isoformat()
        return f"{day}/{person}" if person else day


def _size(request: ChatRequest) -> list[int]:
    return [len(part.text.encode()) for one in request.messages for part in one.parts if isinstance(part, Text)]

"""What programs pass that ask a model by its name: the filter of what comes in, the budget, the filters on the way out.

Around the assistant itself the dialogue does the same; a model's own name is no way around it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import replace

from kith.core.ids import person_id
from kith.core.message import Delta, ToolCall
from kith.core.model import ChatRequest
from kith.core.people import Principal
from kith.core.ports import Release
from kith.gateway.ending import Ending
from kith.gateway.ports import GatewayPorts
from kith.gateway.stream import closing


def own(principal: Principal) -> str:
    """The person that a principal is of itself."""
    return person_id("api", principal.id, principal.id)


class Watch:
    """Asks models on behalf of programs."""

    def __init__(self, ports: GatewayPorts) -> None:
        self._ports = ports

    async def chat(self, request: ChatRequest, principal: Principal, *, whole: bool) -> AsyncGenerator[Delta]:
        """As `Models.chat`, for the person `own` of the principal; `whole` when nobody reads it before its end.

        Raises also `Refused`: ``content_refused``, ``content_self_harm``, ``budget_spent``.
        """
        judge, known = self._ports.judge, [message.text for message in request.messages]
        asked = [message.text for message in request.messages if message.role == "user"]
        way = await judge.direct(asked, known) if judge is not None else None
        person, purse = await self._person(request.person, principal), self._ports.purse
        paid = request if person == request.person else replace(request, person=person)
        deltas = (purse if purse is not None and purse.limited else self._ports.models).chat(paid)
        async with closing(deltas) as running:
            if way is not None and whole:
                yield await self._gathered(running, way, known)
                return
            async for delta in running if way is None else self._let(running, way, known):
                yield delta

    async def _person(self, own: str, principal: Principal) -> str:
        """Who the principal is to the house, so that the budget is the same as in a conversation."""
        if self._ports.memory is None or self._ports.purse is None or not self._ports.purse.limited:
            return own
        found = await self._ports.memory.people.who([("api", principal.id)])
        return own if own in found or not found else found[0]

    async def _let(self, deltas: AsyncIterator[Delta], way: Release, known: Sequence[str]) -> AsyncGenerator[Delta]:
        """The same without what must not leave. Nothing more is read of a reply that was cut off."""
        last = ""
        async for delta in deltas:
            last = delta.model or last
            text = way.feed(delta.text) + (way.finish() if delta.finish else "")
            if way.withheld:
                yield Delta(text, finish="content_filter", usage=delta.usage, model=last, fallback=delta.fallback)
                return
            calls = tuple([await self._hidden(call, known) for call in delta.calls]) if delta.calls else ()
            if text == delta.text and calls == delta.calls:
                yield delta
            elif text or delta.finish or delta.calls or delta.usage:
                yield replace(delta, text=text, calls=calls, logprobs=())  # probabilities would tell what is hidden
        if rest := way.finish():
            yield Delta(rest, model=last)

    async def _gathered(self, deltas: AsyncIterator[Delta], way: Release, known: Sequence[str]) -> Delta:
        """The same in one piece: looking once at all of it takes a third of the time."""
        ending = Ending()
        async for delta in deltas:
            ending.note(delta)
        text = ending.text
        shown = way.feed(text) + way.finish()
        if way.withheld:
            ending.calls, ending.logprobs, ending.finish = [], [], "content_filter"
        ending.calls = [await self._hidden(call, known) for call in ending.calls]
        ending.logprobs = ending.logprobs if shown == text else []
        return ending.delta(shown)

    async def _hidden(self, call: ToolCall, known: Sequence[str]) -> ToolCall:
        """A call whose arguments hold no secret but those that the program gave."""
        way = await self._ports.judge.direct((), known) if self._ports.judge is not None else None
        return call if way is None else replace(call, arguments=way.feed(call.arguments) + way.finish())

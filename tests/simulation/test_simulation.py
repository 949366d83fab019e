"""Fixed seeds of the simulation, the same twice, and proofs that it would notice a household that loses or doubles."""

from __future__ import annotations

import asyncio
from functools import cache
from typing import Any

import pytest

from kith.channels import sender
from kith.core.clock import FrozenClock
from kith.core.ids import Ids
from kith.core.message import Envelope, Message, Text
from kith.core.people import Parcel
from kith.core.turn import Done, Later, Sent, Turn
from kith.dialogue import FlowBook
from kith.storage import StorageSettings
from kith.storage.ledger import inbox, outbox
from kith.storage.memory.database import open_database
from tests.simulation.world import FLOW, Result, simulate


@cache
def flows() -> FlowBook:
    return FlowBook(FLOW)


def run(seed: int) -> Result:
    return simulate(seed, flows())[0]


@pytest.mark.parametrize(
    "start", [0, 25, *(pytest.param(start, marks=pytest.mark.server) for start in range(50, 400, 25))]
)
def test_nothing_is_lost_or_doubled(start: int) -> None:
    results = [run(seed) for seed in range(start, start + 25)]
    assert [result for result in results if result.problems] == []
    assert sum(result.messages for result in results) > 100
    assert sum(result.kills for result in results) > 10


def test_one_seed_tells_one_story() -> None:
    for seed in (3, 17, 62):
        first, story = simulate(seed, flows())
        second, again = simulate(seed, flows())
        assert first == second
        assert story == again
    assert run(3).trace != run(4).trace


def _mark_nothing(desk: Any, new: str, mark: bytes, envelope: Envelope, body: bytes) -> Any:
    return _accept(desk, new, new.encode(), envelope, body)


def _hold_anyway(side: int, conversation: str, fence: int, worker: str = "") -> Any:
    rows = yield inbox.sql("SELECT head FROM lanes WHERE side = $1 AND conversation = $2", side, conversation)
    if rows[0][0] is None:
        raise inbox.lost()
    return int(rows[0][0])


def _drop_doubtful(self: Any, route: Any, parcel: Parcel, reason: str) -> Any:
    return Sent()


_accept = inbox._accept


@pytest.mark.server
@pytest.mark.parametrize(
    ("module", "name", "broken"),
    [
        (inbox, "_accept", _mark_nothing),
        (outbox, "held", _hold_anyway),
        (sender.Sender, "_doubtful", _drop_doubtful),
        (outbox, "SLACK", 1e12),
    ],
    ids=["no deduplication", "no fence", "believed to be sent", "a clock that is trusted"],
)
def test_a_broken_household_is_found_out(module: Any, name: str, broken: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, name, broken)
    assert any(run(seed).problems for seed in range(120))


def _turn(number: int, clock: FrozenClock) -> tuple[Turn, Parcel]:
    said = Message(f"r{number}", "assistant", (Text("yes"),), clock.now())
    heard = Message(f"m{number}", "user", (Text("?"),), clock.now())
    parcel = Parcel(said.id, 0, "c", "x", "local", "room", said, due=clock.now())
    return Turn(f"t{number}", "c", "p", clock.now(), heard, (said,)), parcel


def test_replies_leave_although_the_clock_is_set_back_a_year() -> None:
    async def story() -> None:
        clock = FrozenClock()
        storage = await open_database(StorageSettings(), clock, Ids(clock), None)
        for number in range(3):
            message = Message(f"h{number}", "user", (Text("?"),), clock.now())
            await storage.inbox.accept(Envelope("x", "local", f"{number}", "s", "room", message))
        for number in range(3):
            (claim,) = await storage.inbox.claim("w", 8)
            turn, parcel = _turn(number, clock)
            if number == 2:
                clock.jump(-31_557_600)
            await storage.inbox.settle(claim, Done(turn, {}, (Parcel(**_fields(parcel, claim.conversation)),)))
        (parcel,) = await storage.outbox.take("w", 8)
        await storage.outbox.settle(parcel, Later(clock.now() + 31_557_600, "reckoned by another clock"))
        clock.advance(3600)
        for _ in range(3):
            (parcel,) = await storage.outbox.take("w", 8)
            await storage.outbox.settle(parcel, Sent())
        assert (await storage.counts()).unsent == 0
        await storage.close()

    asyncio.run(story())


def _fields(parcel: Parcel, conversation: str) -> dict[str, Any]:
    fields = {name: getattr(parcel, name) for name in parcel.__slots__}
    return {**fields, "conversation": conversation}

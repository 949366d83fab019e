"""One human in two apps: a code given here and brought there, and nothing else, makes two faces one person."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from kith.core.audit import Act, By
from kith.core.clock import FrozenClock
from kith.core.message import Envelope
from kith.security.links import Links
from kith.security.pairing import Pairing
from kith.storage import Storage
from tests.security.conftest import envelope, told


class World:
    def __init__(self, storage: Storage, clock: FrozenClock) -> None:
        self.storage, self.clock = storage, clock
        self.pairing = Pairing(storage.records, storage.journal, clock)
        self.links = Links(self.pairing, storage, self._link, clock)
        self.links.rule("chat", "everyone", ())

    async def _link(self, person: str, other: str, by: By) -> Any:
        act = Act("person.link", by.actor, person, by.origin, detail={"with": other})
        return await self.storage.people.link(person, other, act)

    async def code(self, text: str = "link me", sender: str = "anna") -> str:
        said = await self.links.greet(envelope(text, sender))
        assert not said.admitted
        found = re.search(r"[A-Z2-9]{4}-[A-Z2-9]{4}", said.say)
        assert found is not None
        return found[0]

    async def who(self, told: Envelope) -> str:
        return (await self.storage.store.resolve(told))[0].id


def tell(tmp_path: Path, story: Callable[[World], Awaitable[None]]) -> None:
    told(tmp_path, lambda storage, clock: story(World(storage, clock)))


@pytest.mark.parametrize("text", ["link me", "Link my account.", "关联账号", "帮我绑定我的账号。"])
def test_two_faces_become_one_person(tmp_path: Path, text: str) -> None:
    async def story(world: World) -> None:
        world.links.rule("other", "everyone", ())
        code = await world.code(text)
        there = envelope(code.lower(), "a.b", channel="other")
        before = await world.who(there)
        assert before != await world.who(envelope("x"))
        said = await world.links.greet(there)
        assert not said.admitted and said.say
        assert await world.who(there) == await world.who(envelope("x"))
        acts = [entry.act.name for entry in await world.storage.journal.entries()]
        assert acts == ["person.link"]

    tell(tmp_path, story)


def test_a_stranger_who_brings_it_is_let_in_once(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        code = await world.code()
        assert (await world.links.greet(envelope(code, "a.b", channel="other"))).say
        known = await world.links.admitted(envelope("x", "a.b", channel="other"))
        assert known is not None and known.role == "guest"
        again = await world.links.greet(envelope(code, "eve", channel="other"))
        assert "kith pair" in again.say  # the code was used: she is a stranger as before
        assert await world.links.admitted(envelope("x", "eve", channel="other")) is None

    tell(tmp_path, story)


def test_a_code_is_old_after_ten_minutes_and_replaced_by_a_new_one(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        first, second = await world.code(), await world.code()
        assert len(await world.storage.records.all("link")) == 1
        assert (await world.links.greet(envelope(first, "a.b"))).admitted  # an ordinary message
        world.clock.advance(601)
        assert (await world.links.greet(envelope(second, "a.b"))).admitted
        assert await world.who(envelope("x", "a.b")) != await world.who(envelope("x"))

    tell(tmp_path, story)


def test_not_in_groups_not_for_strangers_and_not_by_guessing(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        assert (await world.links.greet(envelope("link me", kind="group"))).admitted
        assert "kith pair" in (await world.links.greet(envelope("link me", channel="other"))).say
        for _ in range(5):
            assert (await world.links.greet(envelope("AAAA-BBBB", "eve"))).admitted
        code = await world.code()
        assert (await world.links.greet(envelope(code, "eve"))).admitted  # too many tries
        assert await world.who(envelope("x", "eve")) != await world.who(envelope("x"))
        assert "same" in (await world.links.greet(envelope(code))).say

    tell(tmp_path, story)


@pytest.mark.parametrize("text", ["link me up", "", "\x00", "关联账号" * 5000, "link me link me"])
def test_other_words_go_their_way(tmp_path: Path, text: str) -> None:
    async def story(world: World) -> None:
        assert (await world.links.greet(envelope(text))).admitted

    tell(tmp_path, story)

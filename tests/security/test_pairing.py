"""Pairing: closed by default, opened by codes that are short-lived, few and good once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from kith.core.audit import By
from kith.core.clock import FrozenClock
from kith.core.errors import Invalid, NotFound, Refused
from kith.security import HouseGuard, SecuritySettings
from kith.security.pairing import Pairing
from kith.storage import Storage
from tests.security.conftest import envelope, told


class World:
    """Pairing over a storage in memory, and a clock that moves when told."""

    def __init__(self, storage: Storage, clock: FrozenClock) -> None:
        self.storage, self.clock = storage, clock
        self.pairing = Pairing(storage.records, storage.journal, clock)

    async def code(self, sender: str = "anna", **more: Any) -> str:
        """What a stranger is told."""
        say = (await self.pairing.greet(envelope("hello", sender, **more))).say
        return say.split("kith pair ")[1][:9] if say else ""

    async def acts(self) -> list[str]:
        return [entry.act.name for entry in await self.storage.journal.entries()]


def tell(tmp_path: Path, story: Callable[[World], Awaitable[None]]) -> None:
    told(tmp_path, lambda storage, clock: story(World(storage, clock)))


def test_a_stranger_gets_one_code_an_hour_and_is_let_in_by_it(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        code = await world.code()
        assert len(code) == 9
        assert await world.code() == ""
        (request,) = await world.pairing.waiting()
        assert (request.sender, request.channel) == ("anna", "chat")
        face = await world.pairing.approve(code.lower(), "member", By())
        assert (face.sender, face.role) == ("anna", "member")
        assert (await world.pairing.greet(envelope("hello"))).admitted
        assert not (await world.pairing.greet(envelope("hello", "bert"))).admitted
        assert not (await world.pairing.greet(envelope("hello", account="other"))).admitted
        with pytest.raises(NotFound):
            await world.pairing.approve(code, "member", By())
        await world.pairing.remove(face.id, By())
        assert not (await world.pairing.greet(envelope("hello"))).admitted
        assert await world.acts() == ["pairing.admit", "pairing.remove"]

    tell(tmp_path, story)


def test_a_code_is_good_for_ten_minutes_and_a_new_one_comes_after_an_hour(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        code = await world.code()
        world.clock.advance(601)
        with pytest.raises(NotFound):
            await world.pairing.approve(code, "guest", By())
        assert not await world.pairing.waiting()
        world.clock.advance(3000)
        again = await world.code()
        assert again != code
        await world.pairing.approve((await world.pairing.waiting())[0].id, "guest", By())
        assert (await world.pairing.greet(envelope("x"))).admitted
        assert len(await world.storage.records.all("pairing")) == 0  # the old one was swept away

    tell(tmp_path, story)


def test_a_code_that_the_household_made_lets_in_whoever_sends_it_first(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        code, until = await world.pairing.offer("guest", By("u_1", "127.0.0.1"))
        assert until == world.clock.now() + 600
        welcome = await world.pairing.greet(envelope(f" {code.lower()} "))
        assert not welcome.admitted and "Welcome" in welcome.say  # the code itself is not a message
        assert (await world.pairing.greet(envelope("hello"))).admitted
        assert (await world.pairing.greet(envelope(code, "bert"))).say.startswith("I do not know you")
        assert await world.acts() == ["pairing.offer", "pairing.admit"]

    tell(tmp_path, story)


def test_codes_cannot_be_guessed(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        code, _ = await world.pairing.offer("guest", By())
        for number in range(5):
            await world.pairing.greet(envelope(f"AAAA-AAA{'ABCDE'[number]}"))
        assert not (await world.pairing.greet(envelope(code))).admitted
        assert not (await world.pairing.greet(envelope("hello"))).admitted  # the sixth try did not count

    tell(tmp_path, story)


def test_nothing_is_told_in_groups_nor_where_only_the_list_counts(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        assert await world.code(kind="group") == ""
        world.pairing.rule("chat", "listed", ["anna", "family"])
        assert (await world.pairing.greet(envelope("x"))).admitted
        assert (await world.pairing.greet(envelope("x", "bert"))).say == ""
        assert (await world.pairing.greet(envelope("x", "bert", kind="group", conversation="family"))).admitted
        assert not (await world.pairing.greet(envelope("x", "bert", conversation="family"))).admitted
        world.pairing.rule("chat", "everyone", [])
        known = await world.pairing.admitted(envelope("x", "bert"))
        assert known is not None and known.role == "guest"

    tell(tmp_path, story)


def test_the_stranger_reads_their_own_language(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        assert "我还不认识您" in (await world.pairing.greet(envelope("你好"))).say

    tell(tmp_path, story)


def test_a_crowd_of_strangers_does_not_fill_the_house(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        codes = [await world.code(f"stranger {number}") for number in range(230)]
        assert sum(bool(code) for code in codes) == 200
        assert len(await world.storage.records.all("pairing")) == 200

    tell(tmp_path, story)


def test_codes_are_kept_as_digests(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        code = await world.code()
        offered, _ = await world.pairing.offer("guest", By())
        kept = str(await world.storage.records.all("pairing"))
        assert code not in kept and offered not in kept

    tell(tmp_path, story)


def test_nobody_becomes_the_owner_by_a_code(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        code = await world.code()
        for role in ("owner", "king"):
            with pytest.raises(Invalid):
                await world.pairing.approve(code, role, By())
            with pytest.raises(Invalid):
                await world.pairing.offer(role, By())
        await world.pairing.refuse(code, By())
        assert not await world.pairing.waiting()

    tell(tmp_path, story)


def test_the_guard_asks_again(tmp_path: Path) -> None:
    class Nobody:
        async def principal(self, name: str) -> None:
            return None

    async def story(world: World) -> None:
        guard = HouseGuard(SecuritySettings(), Nobody(), world.clock, ["web"], world.pairing)
        with pytest.raises(Refused) as caught:
            await guard.admit(envelope("x"))
        assert caught.value.code == "not_paired"
        await world.pairing.approve(await world.code(), "admin", By())
        principal = await guard.admit(envelope("x", sender_name="Anna"))
        assert (principal.name, principal.role) == ("Anna", "admin")

    tell(tmp_path, story)

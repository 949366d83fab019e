"""The sender: delivery policies, order, back-off, isolation, stopping."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kith.core.errors import Invalid, Refused, Unavailable
from kith.core.people import Parcel
from kith.core.ports import Accept
from kith.core.turn import Sent
from kith.runtime.registry import Registry, read_manifest

Open = Callable[..., Any]


class Fake:
    """A channel whose sends are scripted: each entry is an error to raise, or None for success."""

    def __init__(self, settings: Any, kit: Any) -> None:
        self.script: list[BaseException | None] = []
        self.sent: list[str] = []
        self.known: set[str] = set()
        self.hold: asyncio.Event | None = None
        self.running = 0
        self.most = 0

    async def start(self, accept: Accept) -> None:
        self.accept = accept

    async def send(self, parcel: Parcel) -> Sent:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            if self.hold is not None:
                await self.hold.wait()
            fault = self.script.pop(0) if self.script else None
            if fault is not None:
                raise fault
            self.sent.append(parcel.message.text)
            return Sent("r")
        finally:
            self.running -= 1

    async def arrived(self, parcel: Parcel) -> bool:
        return parcel.message.text in self.known

    async def stop(self) -> None:
        return


class Fakes(Registry):
    """One fake channel for each delivery policy, named after it, and a second idempotent one."""

    def __init__(self, tmp_path: Path) -> None:
        super().__init__("channels")
        manifests = {}
        for name in ("idempotent", "at_most_once", "at_least_once", "reconcile", "other"):
            path = tmp_path / f"{name}.toml"
            policy = "idempotent" if name == "other" else name
            path.write_text(
                f'name = "{name}"\nkind = "channel"\ntitle = {{ en = "x", zh = "x" }}\nentry = "x:Fake"\n'
                f'[details]\ndelivery = "{policy}"\n'
            )
            manifests[name] = read_manifest(path, "tests")
        self.__dict__["_found"] = manifests

    def load(self, name: str) -> Any:
        return Fake


def fake(house: Any, name: str) -> Fake:
    return house.manager.channel(name)


def test_replies_leave_in_order_and_settle(house: Open) -> None:
    async def story() -> None:
        async with house(loopback={}) as home:
            await home.manager.start("w")
            await home.commit("one", "two", "three")
            home.manager.nudge()
            await home.until_states(one="sent", two="sent", three="sent")
            assert [p.message.text for p in home.manager.channel("loopback").delivered] == ["one", "two", "three"]
            await home.manager.stop()

    asyncio.run(story())


@pytest.mark.parametrize(
    ("policy", "sent", "state"),
    [
        ("idempotent", ["hello"], "sent"),
        ("at_least_once", ["hello"], "sent"),
        ("at_most_once", [], "dead"),
        ("reconcile", ["hello"], "sent"),
    ],
)
def test_a_reply_whose_sender_vanished(house: Open, tmp_path: Path, policy: str, sent: list[str], state: str) -> None:
    async def story() -> None:
        async with house(Fakes(tmp_path), **{policy: {}}) as home:
            await home.commit("hello", channel=policy)
            await _crash(home)
            await home.manager.start("w")
            await home.until_states(hello=state)
            assert fake(home, policy).sent == sent
            await home.manager.stop()

    asyncio.run(story())


def test_a_doubt_outlasts_a_channel_that_is_not_there_yet(house: Open, tmp_path: Path) -> None:
    """Whoever gives a reply in doubt back, because it cannot be sent now, has not found out whether it was sent."""

    async def story() -> None:
        async with house(Fakes(tmp_path), at_most_once={}) as home:
            await home.commit("hello", channel="at_most_once")
            await _crash(home)
            home.manager._registry.load = lambda name: Late
            await home.manager.start("w")
            await home.until_states(hello="dead")
            assert home.health.snapshot()["channel:at_most_once"].condition != "ready"
            await home.manager.stop()

    asyncio.run(story())


class Late(Fake):
    """Cannot connect."""

    async def start(self, accept: Accept) -> None:
        raise Unavailable("nobody there")


async def _crash(home: Any) -> None:
    """A former process took the parcel and was killed: its lease has run out."""
    taken = await home.storage.outbox.take("dead", 10)
    assert taken
    outbox, take = home.storage.outbox, home.storage.outbox.take
    sender = home.manager._sender

    class Resumed:
        first = True

        async def take(self, worker: str, limit: int) -> Any:
            if self.first:
                self.first = False
                from dataclasses import replace

                return [replace(parcel, state="sending") for parcel in taken]
            return await take(worker, limit)

        def __getattr__(self, name: str) -> Any:
            return getattr(outbox, name)

    sender._outbox = Resumed()


def test_reconcile_does_not_repeat_what_arrived(house: Open, tmp_path: Path) -> None:
    async def story() -> None:
        async with house(Fakes(tmp_path), reconcile={}) as home:
            await home.commit("hello", channel="reconcile")
            await home.manager.start("w")
            channel = fake(home, "reconcile")
            channel.script = [ConnectionResetError()]
            channel.known = {"hello"}  # it had arrived before the connection broke
            await home.until_states(hello="sent")
            assert channel.sent == []
            await home.manager.stop()

    asyncio.run(story())


def test_trouble_is_tried_again_until_it_works(house: Open, tmp_path: Path) -> None:
    async def story() -> None:
        async with house(Fakes(tmp_path), idempotent={}) as home:
            await home.manager.start("w")
            channel = fake(home, "idempotent")
            channel.script = [
                Unavailable("busy", retry_after=0.01), OSError("reset"), TimeoutError(), ValueError("a bug"),
                Refused("slow down", retry_after=0.01),
            ]  # fmt: skip
            await home.commit("hello", "world", channel="idempotent")
            await home.until_states(hello="sent", world="sent")
            assert channel.sent == ["hello", "world"]
            await home.manager.stop()

    asyncio.run(story())


@pytest.mark.parametrize("fault", [Invalid("too long"), Refused("blocked")])
def test_what_can_never_work_goes_to_the_dead_letters(house: Open, tmp_path: Path, fault: Exception) -> None:
    async def story() -> None:
        async with house(Fakes(tmp_path), idempotent={}) as home:
            await home.manager.start("w")
            fake(home, "idempotent").script = [fault]
            await home.commit("bad", "good", channel="idempotent")
            await home.until_states(bad="dead", good="sent")
            (dead,) = await home.storage.outbox.find("dead")
            assert str(fault) in dead.error
            await home.manager.stop()

    asyncio.run(story())


def test_giving_up_after_the_set_number_of_tries(house: Open, tmp_path: Path) -> None:
    async def story() -> None:
        delivery = {"poll": 0.01, "backoff": 0.01, "backoff_limit": 0.01, "attempts": 3}
        async with house(Fakes(tmp_path), idempotent={}, delivery=delivery) as home:
            await home.manager.start("w")
            channel = fake(home, "idempotent")
            channel.script = [Unavailable("no")] * 50
            for fault in channel.script:
                fault.retry_after = 0.0  # pyright: ignore
            await home.commit("hello", channel="idempotent")
            await home.until_states(hello="dead")
            assert len(channel.script) == 47
            await home.manager.stop()

    asyncio.run(story())


def test_at_most_once_does_not_repeat_what_is_in_doubt(house: Open, tmp_path: Path) -> None:
    async def story() -> None:
        async with house(Fakes(tmp_path), at_most_once={}) as home:
            await home.manager.start("w")
            channel = fake(home, "at_most_once")
            channel.script = [Unavailable("certainly not taken", retry_after=0.0), None, OSError("reset")]
            await home.commit("sure", channel="at_most_once")
            await home.until_states(sure="sent")
            await home.commit("doubt", channel="at_most_once")
            await home.until_states(doubt="dead")
            assert channel.sent == ["sure"]
            await home.manager.stop()

    asyncio.run(story())


def test_a_hanging_send_is_given_up(house: Open, tmp_path: Path) -> None:
    async def story() -> None:
        delivery = {"poll": 0.01, "timeout": 0.05, "backoff": 0.01, "backoff_limit": 0.01}
        async with house(Fakes(tmp_path), idempotent={}, delivery=delivery) as home:
            await home.manager.start("w")
            channel = fake(home, "idempotent")
            channel.hold = asyncio.Event()
            await home.commit("hello", channel="idempotent")
            await home.until(lambda: home.storage.outbox.find("waiting"))
            channel.hold = None
            await home.until_states(hello="sent")
            await home.manager.stop()

    asyncio.run(story())


def test_too_old_a_reply_is_shown_not_sent(house: Open) -> None:
    async def story() -> None:
        async with house(loopback={}) as home:
            await home.commit("old", expires=home.clock.now() - 1)
            await home.commit("new", expires=home.clock.now() + 3600)
            await home.manager.start("w")
            await home.until_states(old="stale", new="sent")
            await home.manager.stop()

    asyncio.run(story())


def test_a_channel_that_is_gone(house: Open) -> None:
    async def story() -> None:
        async with house(loopback={}) as home:
            await home.commit("lost", channel="telegraph")
            await home.manager.start("w")
            await home.until_states(lost="dead")
            (dead,) = await home.storage.outbox.find("dead")
            assert "not configured any more" in dead.error
            await home.manager.stop()

    asyncio.run(story())


def test_beside_a_server_other_channels_are_left_alone(house: Open, tmp_path: Path) -> None:
    async def story() -> None:
        async with house(Fakes(tmp_path), idempotent={}) as home:
            await home.commit("theirs", channel="idempotent")
            await home.manager.start("w", local=True)
            await home.until(lambda: home.storage.outbox.find("waiting"))
            assert await home.storage.outbox.find("dead") == ()
            await home.manager.stop()

    asyncio.run(story())


def test_a_stuck_channel_stalls_nobody_else(house: Open, tmp_path: Path) -> None:
    async def story() -> None:
        delivery = {"poll": 0.01, "concurrency": 4, "waiting": 16}
        async with house(Fakes(tmp_path), idempotent={}, other={}, delivery=delivery) as home:
            await home.manager.start("w")
            stuck = fake(home, "idempotent")
            stuck.hold = asyncio.Event()
            for number in range(100):
                await home.commit(f"stuck {number}", channel="idempotent", conversation=f"s{number}")
            for number in range(20):
                await home.commit(f"free {number}", channel="other", conversation=f"f{number}")
            await home.until(lambda: len(fake(home, "other").sent) == 20)
            assert stuck.sent == []
            assert stuck.most == 4
            stuck.hold.set()
            await home.until(lambda: len(stuck.sent) >= 16)
            await home.manager.stop()

    asyncio.run(story())


def test_stopping_gives_back_what_was_not_sent(house: Open, tmp_path: Path) -> None:
    async def story() -> None:
        delivery = {"poll": 0.01, "concurrency": 1, "grace": 0.05}
        async with house(Fakes(tmp_path), at_most_once={}, delivery=delivery) as home:
            await home.manager.start("w")
            channel = fake(home, "at_most_once")
            channel.hold = asyncio.Event()
            for number in range(3):
                await home.commit(str(number), channel="at_most_once", conversation=str(number))
            await home.until(lambda: home.manager._sender._queued and len(home.manager._sender._tasks) == 3)
            await home.manager.stop()
            states = sorted((await home.states()).values())
            assert states == ["sending", "waiting", "waiting"]  # only the one on its way is in doubt

    asyncio.run(story())


def test_a_failing_storage_is_waited_for_after_sending(house: Open, tmp_path: Path) -> None:
    async def story() -> None:
        async with house(Fakes(tmp_path), idempotent={}) as home:
            sender, outbox = home.manager._sender, home.storage.outbox
            failures = [Unavailable("disk full")]

            class Full:
                async def settle(self, parcel: Any, outcome: Any) -> None:
                    if failures:
                        raise failures.pop()
                    await outbox.settle(parcel, outcome)

                def __getattr__(self, name: str) -> Any:
                    return getattr(outbox, name)

            sender._outbox = Full()
            await home.manager.start("w")
            await home.commit("once", channel="idempotent")
            await home.until_states(once="sent")
            assert fake(home, "idempotent").sent == ["once"]
            await home.manager.stop()

    asyncio.run(story())

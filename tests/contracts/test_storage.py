"""What every storage backend promises: order, no doubles, one owner at a time, all or nothing."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from dataclasses import replace

import pytest

from kith.core.errors import Invalid, KithError, NotFound, Refused, Unavailable
from kith.core.ids import conversation_id
from kith.core.message import Data, Envelope, Message, Text
from kith.core.people import Parcel
from kith.core.turn import Claim, Dead, Done, Later, Sent, Stale, Turn
from kith.storage import Storage

from .conftest import Story, World

Tell = Callable[[Story], None]


def envelope(key: str, who: str = "ann", text: str = "hello 你好", **changes: object) -> Envelope:
    message = Message(f"m_{key}", "user", (Text(text),), 1.0)
    return replace(Envelope("loopback", "me", key, who, who, message), **changes)


def done(claim: Claim, *replies: str, turn: str = "") -> Done:
    said = tuple(
        Message(f"r_{claim.id}_{i}", "assistant", (Text(text),), 2.0) for i, text in enumerate(replies or ("hi",))
    )
    parcels = tuple(
        Parcel(f"o_{claim.id}_{i}", 0, claim.conversation, "loopback", "me", "ann", message)
        for i, message in enumerate(said)
    )
    record = Turn(turn or f"t_{claim.id}", claim.conversation, "p_1", 2.0, claim.envelope.message, said)
    return Done(record, {"state": "greeted", "n": [1, 2]}, parcels)


async def answer(storage: Storage, key: str, *replies: str, who: str = "ann") -> Claim:
    await storage.inbox.accept(envelope(key, who))
    (claim,) = await storage.inbox.claim("w", 1)
    await storage.inbox.settle(claim, done(claim, *replies))
    return claim


async def refused(work: object, code: str) -> None:
    with pytest.raises(KithError) as caught:
        await work
    assert caught.value.code == code
    assert caught.value.message


def test_a_walk_over_every_turn(tell: Tell) -> None:
    async def story(world: World) -> None:
        storage = await world.open()
        for number in range(5):
            await answer(storage, f"k{number}", who=f"w{number % 2}")
        first = await storage.history.walk(limit=2)
        rest = await storage.history.walk(after=first[-1].id, limit=9)
        every = [*first, *rest]
        assert len({turn.id for turn in every}) == 5
        assert await storage.history.walk(since=every[0].at + 1) == ()
        assert await storage.history.turn(every[3].id) == every[3]
        await refused(storage.history.turn("t_none"), "turn_not_found")

    tell(story)


def test_life_of_a_message(tell: Tell) -> None:
    async def story(world: World) -> None:
        storage = await world.open()
        heard = await storage.inbox.accept(envelope("1"))
        assert heard.conversation == conversation_id("loopback", "me", "ann")
        assert not heard.duplicate
        (claim,) = await storage.inbox.claim("w", 10)
        assert claim.id == heard.id
        assert claim.envelope == envelope("1")
        assert (claim.attempts, claim.until, claim.worker) == (1, world.clock.now() + 60, "w")
        person, conversation = await storage.store.resolve(claim.envelope)
        assert conversation.state == {}
        assert conversation.members == (person.id,)
        await storage.inbox.settle(claim, done(claim, "one", "two"))
        assert (await storage.store.conversation(conversation.id)).state == {"state": "greeted", "n": [1, 2]}
        assert (await storage.store.turns(conversation.id))[0] == done(claim, "one", "two").turn
        (first,) = await storage.outbox.take("s", 10)
        assert (first.message.text, first.state, first.attempts) == ("one", "waiting", 1)
        assert await storage.outbox.take("s", 10) == ()
        await storage.outbox.settle(first, Sent("platform-7"))
        (second,) = await storage.outbox.take("s", 10)
        assert second.message.text == "two"
        assert second.sequence > first.sequence
        await storage.outbox.settle(second, Sent())
        assert [p.state for p in await storage.outbox.find("sent")] == ["sent", "sent"]
        counts = await storage.counts()
        assert (counts.waiting, counts.unsent, counts.held) == (0, 0, 0)

    tell(story)


def test_a_reply_that_a_platform_took_and_did_not_deliver_is_dead(tell: Tell) -> None:
    async def story(world: World) -> None:
        storage = await world.open()
        await storage.inbox.accept(envelope("1"))
        (claim,) = await storage.inbox.claim("w", 10)
        await storage.inbox.settle(claim, done(claim, "one"))
        (parcel,) = await storage.outbox.take("s", 10)
        with pytest.raises(Unavailable):  # it may be on its way
            await storage.outbox.complain(parcel.id, "r2", "not there")
        await storage.outbox.settle(parcel, Sent("r1 r2"))
        assert await storage.outbox.complain("another", "r2", "not there") is None
        assert await storage.outbox.complain(parcel.id, "r", "not there") is None
        told = await storage.outbox.complain(parcel.id, "r2", "not there")
        assert told is not None and (told.id, told.state, told.error) == (parcel.id, "dead", "not there")
        assert await storage.outbox.complain(parcel.id, "r2", "again") is None
        (dead,) = await storage.outbox.find("dead")
        assert (dead.id, dead.error) == (parcel.id, "not there")
        await storage.outbox.decide(parcel.id, "retry")
        (again,) = await storage.outbox.take("s", 10)
        await storage.outbox.settle(again, Sent("r3"))
        assert await storage.outbox.complain(parcel.id, "r2", "told twice") is None  # that was the first try
        assert [one.id for one in await storage.outbox.find("sent")] == [parcel.id]

    tell(story)


def test_a_repeated_delivery_is_recognised(tell: Tell) -> None:
    async def story(world: World) -> None:
        storage = await world.open()
        first = await storage.inbox.accept(envelope("1"))
        assert await storage.inbox.accept(envelope("1", text="again")) == replace(first, duplicate=True)
        assert not (await storage.inbox.accept(envelope("1", account="other"))).duplicate
        assert not (await storage.inbox.accept(envelope("1", channel="web"))).duplicate
        both = await asyncio.gather(*(storage.inbox.accept(envelope("2")) for _ in range(10)))
        assert sum(not one.duplicate for one in both) == 1
        assert len({one.id for one in both}) == 1
        for claim in await storage.inbox.claim("w", 10):
            await storage.inbox.settle(claim, done(claim))
        world.clock.advance(6.9 * 86400)
        await storage.upkeep()
        await storage.close()
        storage = await world.open()
        assert (await storage.inbox.accept(envelope("1"))).duplicate

    tell(story)


def test_without_an_id_of_the_platform_every_message_is_new(tell: Tell) -> None:
    async def story(world: World) -> None:
        storage = await world.open()
        await storage.inbox.accept(envelope(""))
        assert not (await storage.inbox.accept(envelope(""))).duplicate

    tell(story)


def test_what_is_old_is_forgotten_and_a_jump_of_the_clock_forgets_nothing(tell: Tell) -> None:
    async def story(world: World) -> None:
        storage = await world.open()
        for index in range(1203):
            await storage.inbox.accept(envelope(str(index), str(index)))
        for claim in await storage.inbox.claim("w", 2000):
            await storage.inbox.settle(claim, done(claim))
        world.clock.jump(365 * 86400)
        assert await storage.upkeep() == 0
        world.clock.advance(7.1 * 86400)
        await storage.inbox.accept(envelope("late", "late"))
        assert await storage.upkeep() == 1203
        assert not (await storage.inbox.accept(envelope("1", "1"))).duplicate
        assert len(await storage.outbox.find("waiting", 5000)) == 1203

    tell(story)


def test_order_within_and_across_conversations(tell: Tell) -> None:
    async def story(world: World) -> None:
        storage = await world.open()
        for key, who in (("1", "ann"), ("2", "ann"), ("3", "bob"), ("4", "ann"), ("5", "eve")):
            await storage.inbox.accept(envelope(key, who))
        first = await storage.inbox.claim("w", 2)
        assert [claim.envelope.platform_id for claim in first] == ["1", "3"]
        assert [c.envelope.platform_id for c in await storage.inbox.claim("x", 9)] == ["5"]
        await storage.inbox.settle(first[0], done(first[0]))
        assert [c.envelope.platform_id for c in await storage.inbox.claim("x", 9)] == ["2"]

    tell(story)


def test_later_keeps_the_conversation_waiting_and_dead_frees_it(tell: Tell) -> None:
    async def story(world: World) -> None:
        storage = await world.open()
        await storage.inbox.accept(envelope("1"))
        await storage.inbox.accept(envelope("2"))
        (claim,) = await storage.inbox.claim("w", 9)
        await storage.inbox.settle(claim, Later(world.clock.now() + 30, "model busy"))
        assert await storage.inbox.claim("w", 9) == ()
        world.clock.advance(31)
        (claim,) = await storage.inbox.claim("w", 9)
        assert (claim.envelope.platform_id, claim.attempts) == ("1", 2)
        await storage.inbox.settle(claim, Dead("cannot be answered"))
        (following,) = await storage.inbox.claim("w", 9)
        assert (following.envelope.platform_id, following.attempts) == ("2", 1)
        ((key, kept, reason),) = await storage.inbox.dead()
        assert (key, kept, reason) == (claim.id, envelope("1"), "cannot be answered")
        assert (await storage.counts()).dead_messages == 1
        assert (await storage.inbox.accept(envelope("1"))).duplicate

    tell(story)


def test_an_old_owner_cannot_settle_or_renew(tell: Tell) -> None:
    async def story(world: World) -> None:
        one, two = await world.open(), await world.open()
        await one.inbox.accept(envelope("1"))
        (old,) = await one.inbox.claim("a", 1)
        assert await two.inbox.claim("b", 1) == ()
        world.clock.advance(50)
        old = await one.inbox.renew(old)
        world.clock.advance(50)
        assert await two.inbox.claim("b", 1) == ()
        world.clock.advance(11)
        (new,) = await two.inbox.claim("b", 1)
        assert new.id == old.id
        assert new.fence > old.fence
        await refused(one.inbox.renew(old), "lease_lost")
        for outcome in (done(old), Later(0, ""), Dead("")):
            await refused(one.inbox.settle(old, outcome), "lease_lost")
        await two.inbox.settle(new, done(new))
        await refused(two.inbox.settle(new, done(new, turn="t_other")), "lease_lost")
        await refused(two.inbox.renew(new), "lease_lost")
        assert len(await one.store.turns(old.conversation)) == 1
        assert len(await one.outbox.find("waiting")) == 1

    tell(story)


def test_many_workers_never_share_a_message(tell: Tell) -> None:
    async def story(world: World) -> None:
        one, two = await world.open(), await world.open()
        for index in range(60):
            await one.inbox.accept(envelope(str(index), f"who{index % 7}"))
        answered: list[tuple[str, int]] = []
        busy: set[str] = set()

        async def work(storage: Storage, name: str) -> None:
            while len(answered) < 60:
                for claim in await storage.inbox.claim(name, 3):
                    assert claim.conversation not in busy
                    busy.add(claim.conversation)
                    await asyncio.sleep(0)
                    answered.append((claim.conversation, int(claim.envelope.platform_id)))
                    busy.discard(claim.conversation)
                    await storage.inbox.settle(claim, done(claim))

        await asyncio.gather(*(work(storage, f"w{i}") for i in range(3) for storage in (one, two)))
        assert sorted(number for _, number in answered) == list(range(60))
        for conversation in {conversation for conversation, _ in answered}:
            numbers = [number for where, number in answered if where == conversation]
            assert numbers == sorted(numbers)

    tell(story)


def test_a_restart_takes_over_at_once_and_leaves_the_living_alone(tell: Tell) -> None:
    async def story(world: World) -> None:
        victim = await world.open()
        await answer(victim, "0", "unsent")
        for key in ("1", "2"):
            await victim.inbox.accept(envelope(key, key))
        (lost, _) = await victim.inbox.claim("w", 2)
        (sending,) = await victim.outbox.take("s", 1)
        if world.settings.backend != "memory":
            other = await world.open()
            assert await other.inbox.claim("o", 9) == ()
            assert await other.outbox.take("o", 9) == ()
        await world.crash(victim)
        after = await world.open()
        again = await after.inbox.claim("w", 9)
        assert [(c.envelope.platform_id, c.attempts) for c in again] == [("1", 2), ("2", 2)]
        assert again[0].fence > lost.fence
        (retaken,) = await after.outbox.take("s", 9)
        assert (retaken.id, retaken.state, retaken.attempts) == (sending.id, "sending", 2)
        await refused(after.outbox.settle(sending, Sent()), "lease_lost")
        await after.outbox.settle(retaken, Later(world.clock.now(), "not connected", doubt=True))
        (retaken,) = await after.outbox.take("s", 9)
        assert (retaken.id, retaken.state) == (sending.id, "sending")
        await after.outbox.settle(retaken, Later(world.clock.now(), "asked the platform: not there"))
        assert (await after.outbox.take("s", 9))[0].state == "waiting"

    tell(story)


def test_a_turn_is_kept_whole_or_not_at_all(tell: Tell) -> None:
    async def story(world: World) -> None:
        storage = await world.open()
        before = await answer(storage, "1", "first")
        await storage.inbox.accept(envelope("2"))
        await storage.inbox.accept(envelope("3", "bob"))
        claim, other = await storage.inbox.claim("w", 2)
        taken = await storage.outbox.find("waiting")
        broken = done(claim, "second", "third")
        twice = replace(broken, state={"n": 9}, parcels=(broken.parcels[0], replace(broken.parcels[1], id=taken[0].id)))
        results = await asyncio.gather(
            storage.inbox.settle(claim, twice), storage.inbox.settle(other, done(other)), return_exceptions=True
        )
        assert isinstance(results[0], Invalid)
        assert results[0].code == "conflict"
        assert results[1] is None
        assert [turn.id for turn in await storage.store.turns(claim.conversation)] == [f"t_{before.id}"]
        assert (await storage.store.conversation(claim.conversation)).state == {"state": "greeted", "n": [1, 2]}
        assert len(await storage.outbox.find("waiting")) == 2
        await refused(storage.inbox.settle(claim, replace(broken, turn=done(before).turn)), "conflict")
        await storage.inbox.settle(claim, broken)
        assert len(await storage.store.turns(claim.conversation)) == 2

    tell(story)


def test_outbox_order_retry_and_drop(tell: Tell) -> None:
    async def story(world: World) -> None:
        storage = await world.open()
        await answer(storage, "1", "a", "b", "c", "d")
        (a,) = await storage.outbox.take("s", 9)
        await storage.outbox.settle(a, Later(world.clock.now() + 10, "offline"))
        assert await storage.outbox.take("s", 9) == ()
        world.clock.advance(11)
        (a,) = await storage.outbox.take("s", 9)
        assert (a.message.text, a.attempts, a.error) == ("a", 2, "offline")
        await storage.outbox.settle(a, Dead("blocked"))
        (b,) = await storage.outbox.take("s", 9)
        await storage.outbox.settle(b, Stale())
        assert [(p.message.text, p.state, p.error) for p in await storage.outbox.find()] == [
            ("a", "dead", "blocked"),
            ("b", "stale", ""),
            ("c", "waiting", ""),
            ("d", "waiting", ""),
        ]
        await storage.outbox.decide(a.id, "retry")
        await storage.outbox.decide(b.id, "drop")
        (again,) = await storage.outbox.take("s", 9)
        assert (again.id, again.attempts, again.expires, again.state) == (a.id, 1, 0, "waiting")
        assert [p.id for p in await storage.outbox.find("sending")] == [a.id]
        for key in (a.id, b.id, "o_unknown"):
            with pytest.raises(NotFound):
                await storage.outbox.decide(key, "retry")
        await storage.outbox.settle(again, Sent())
        assert [(await storage.outbox.take("s", 9))[0].message.text for _ in range(1)] == ["c"]
        assert [p.message.text for p in await storage.outbox.find("dropped")] == ["b"]
        for wrong in ("burn", ""):
            with pytest.raises(Invalid):
                await storage.outbox.decide(a.id, wrong)
        with pytest.raises(Invalid):
            await storage.outbox.find("somewhere")

    tell(story)


def test_a_retry_while_another_reply_is_being_sent(tell: Tell) -> None:
    async def story(world: World) -> None:
        storage = await world.open()
        await answer(storage, "1", "a", "b", "c")
        (a,) = await storage.outbox.take("s", 1)
        await storage.outbox.settle(a, Dead("no"))
        (b,) = await storage.outbox.take("s", 1)
        await storage.outbox.decide(a.id, "retry")
        assert await storage.outbox.take("s", 1) == ()
        await storage.outbox.settle(b, Sent())
        assert [(await storage.outbox.take("s", 1))[0].message.text] == ["a"]

    tell(story)


def test_two_senders_never_both_hold_a_parcel(tell: Tell) -> None:
    async def story(world: World) -> None:
        one, two = await world.open(), await world.open()
        await answer(one, "1", "a")
        (old,) = await one.outbox.take("s", 1)
        assert await two.outbox.take("t", 1) == ()
        world.clock.advance(61)
        (new,) = await two.outbox.take("t", 1)
        assert (new.state, new.id) == ("sending", old.id)
        await refused(one.outbox.settle(old, Sent()), "lease_lost")
        await two.outbox.settle(new, Sent())
        await refused(two.outbox.settle(new, Sent()), "lease_lost")

    tell(story)


def test_expiry_travels_with_the_parcel(tell: Tell) -> None:
    async def story(world: World) -> None:
        storage = await world.open()
        await storage.inbox.accept(envelope("1"))
        (claim,) = await storage.inbox.claim("w", 1)
        work = done(claim, "a", "b")
        due = world.clock.now() + 5
        parcels = (replace(work.parcels[0], expires=due), replace(work.parcels[1], due=due))
        await storage.inbox.settle(claim, replace(work, parcels=parcels))
        world.clock.advance(3)
        (a,) = await storage.outbox.take("s", 1)
        assert a.expires == due
        await storage.outbox.settle(a, Sent())
        assert await storage.outbox.take("s", 1) == ()
        world.clock.advance(3)
        assert len(await storage.outbox.take("s", 1)) == 1

    tell(story)


def test_a_jump_of_the_clock_stops_no_conversation(tell: Tell) -> None:
    async def story(world: World) -> None:
        storage = await world.open()
        await storage.inbox.accept(envelope("1"))
        for jump in (365 * 86400, -365 * 86400, 3600, -3600):
            (old,) = await storage.inbox.claim("w", 1)
            world.clock.jump(jump)
            (new,) = await storage.inbox.claim("w", 1)
            await refused(storage.inbox.settle(old, done(old)), "lease_lost")
            await storage.inbox.settle(new, Later(world.clock.now() + 9, "busy"))
            assert await storage.inbox.claim("w", 1) == ()
            world.clock.jump(jump)
            if jump > 0:
                continue
            assert len(await storage.inbox.claim("w", 1)) == 1
            world.clock.advance(61)

    tell(story)


def test_too_many_waiting_messages_are_refused_before_they_are_kept(tell: Tell) -> None:
    async def story(world: World) -> None:
        storage = await world.open(waiting_limit=3)
        for key in "123":
            await storage.inbox.accept(envelope(key, key))
        with pytest.raises(Unavailable) as caught:
            await storage.inbox.accept(envelope("4"))
        assert caught.value.code == "inbox_full"
        assert caught.value.retry_after > 0
        (claim,) = await storage.inbox.claim("w", 1)
        await storage.inbox.settle(claim, done(claim))
        assert not (await storage.inbox.accept(envelope("4"))).duplicate
        await world.crash(storage)
        again = await world.open(waiting_limit=3)
        with pytest.raises(Unavailable):
            await again.inbox.accept(envelope("5"))

    tell(story)


def test_people_and_conversations(tell: Tell) -> None:
    async def story(world: World) -> None:
        storage = await world.open()
        group = envelope("1", "ann", conversation="team", kind="group", sender_name="Ann", locale="zh")
        ann, team = await storage.store.resolve(group)
        assert (ann.name, ann.locale, dict(ann.handles)) == ("Ann", "zh", {"loopback": "ann"})
        assert (team.kind, team.handle, team.channel, team.account) == ("group", "team", "loopback", "me")
        world.clock.advance(1)
        bob, team = await storage.store.resolve(replace(group, sender="bob"))
        assert set(team.members) == {ann.id, bob.id}
        world.clock.advance(1)
        again, direct = await storage.store.resolve(envelope("2", "ann"))
        assert again == ann
        assert [c.id for c in await storage.store.conversations(ann.id)] == [direct.id, team.id]
        assert [c.id for c in await storage.store.conversations(bob.id)] == [team.id]
        assert len(await storage.store.conversations(limit=1)) == 1
        same = await asyncio.gather(*(storage.store.resolve(envelope("3", "eve")) for _ in range(8)))
        assert all(pair == same[0] for pair in same)
        with pytest.raises(NotFound):
            await storage.store.conversation("c_nowhere")

    tell(story)


def test_turns_by_pages(tell: Tell) -> None:
    async def story(world: World) -> None:
        storage = await world.open(turn_cache=5)
        claims = [await answer(storage, str(index)) for index in range(12)]
        where = claims[0].conversation
        ids = [f"t_{claim.id}" for claim in claims]
        assert [t.id for t in await storage.store.turns(where)] == ids
        assert [t.id for t in await storage.store.turns(where, 3)] == ids[-3:]
        assert [t.id for t in await storage.store.turns(where, 4, after=ids[5])] == ids[6:10]
        assert await storage.store.turns(where, 4, after=ids[-1]) == ()
        assert [t.id for t in await storage.store.turns(where, 4, before=ids[7])] == ids[3:7]
        assert [t.id for t in await storage.store.turns(where, 4, before=ids[2])] == ids[:2]
        assert await storage.store.turns(where, 4, before=ids[0]) == ()
        with pytest.raises(NotFound):
            await storage.store.turns(where, before="t_unknown")
        assert await storage.store.turns("c_nowhere") == ()
        with pytest.raises(NotFound):
            await storage.store.turns(where, after="t_unknown")

    tell(story)


def test_records(tell: Tell) -> None:
    async def story(world: World) -> None:
        storage = await world.open()
        assert await storage.records.get("token", "x") is None
        await storage.records.put("token", "x", {"a": [1, {"b": None}], "名": "值"})
        await storage.records.put("token", "y\x00\ud800", {"c": "\ud800\x00"})
        await storage.records.put("cursor", "x", {})
        await storage.records.put("cursor", "x", {"n": 2})
        assert await storage.records.get("token", "x") == {"a": [1, {"b": None}], "名": "值"}
        assert await storage.records.get("cursor", "x") == {"n": 2}
        assert set(await storage.records.all("token")) == {"x", "y\x00?"}
        assert await storage.records.delete("token", "x")
        assert not await storage.records.delete("token", "x")
        for bad in ({"x": object()}, {"x": float("nan")}, {"x": b"raw"}):
            with pytest.raises(Invalid):
                await storage.records.put("token", "z", bad)

    tell(story)


def test_hostile_content_is_kept_as_it_is_or_set_aside(tell: Tell) -> None:
    async def story(world: World) -> None:
        storage = await world.open()
        texts = ["", "\x00", "half \ud83d", "'; DROP TABLE inbox; --", "{lock} $1 ?1", "字" * 300_000, "\u202e\ufeff"]
        for index, text in enumerate(texts):
            await storage.inbox.accept(envelope(f"{index}\x00\x1f", f"who\x00{index}\ud800", text))
        claims = await storage.inbox.claim("w", 99)
        assert [c.envelope.message.text for c in claims] == [t.replace("\ud83d", "?") for t in texts]
        for claim in claims:
            await storage.store.resolve(claim.envelope)
            await storage.inbox.settle(claim, done(claim, claim.envelope.message.text))
        assert len(await storage.outbox.take("s", 99)) == len(texts)
        never = Message("m", "user", (Data("table", {"x": float("inf")}),), float("nan"))
        await storage.inbox.accept(replace(envelope("bad", "mad"), message=never))
        await storage.inbox.accept(envelope("good", "mad"))
        assert await storage.inbox.claim("w", 9) == ()
        assert [c.envelope.platform_id for c in await storage.inbox.claim("w", 9)] == ["good"]
        assert (await storage.counts()).dead_messages == 1

    tell(story)


def test_a_cancelled_claim_gives_its_messages_back(tell: Tell) -> None:
    async def story(world: World) -> None:
        storage = await world.open()
        await storage.inbox.accept(envelope("1"))
        task = asyncio.ensure_future(storage.inbox.claim("w", 1))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        if task.cancelled():
            for _ in range(1000):
                if not (await storage.counts()).held and (claims := await storage.inbox.claim("w", 1)):
                    break
                await asyncio.sleep(0.001)
            assert claims[0].attempts == 1

    tell(story)


def test_migration_back_and_forward_and_a_newer_database(tell: Tell) -> None:
    async def story(world: World) -> None:
        storage = await world.open()
        await storage.records.put("a", "b", {})
        await storage.migrate(0)
        with pytest.raises(KithError):
            await storage.records.get("a", "b")
        await world.crash(storage)
        storage = await world.open()
        assert await storage.records.get("a", "b") is None
        from kith.storage.ledger.schema import put

        await storage._engine.write(lambda: put("version", "99"))
        await world.crash(storage)
        with pytest.raises(Refused) as caught:
            await world.open()
        assert caught.value.code == "too_new"

    tell(story)


def test_a_closed_database_says_so(tell: Tell) -> None:
    async def story(world: World) -> None:
        storage = await world.open()
        await storage.close()
        await refused(storage.inbox.accept(envelope("1")), "closed")

    tell(story)


def test_a_database_that_closes_under_a_cancelled_claim_is_quiet(tell: Tell) -> None:
    """Closing gives leases back anyway: nobody has to hear that it could not be done twice."""

    async def story(world: World) -> None:
        told: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        storage = await world.open()
        await storage.inbox.accept(envelope("1"))
        task = asyncio.ensure_future(storage.inbox.claim("w", 1))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        await storage.close()
        for _ in range(20):
            await asyncio.sleep(0.001)
        gc.collect()
        assert not told

    tell(story)


def test_a_branch_begins_with_what_was_said(tell: Tell) -> None:
    async def story(world: World) -> None:
        storage = await world.open()
        for key in ("1", "2", "3"):
            await storage.store.resolve(envelope(key))
            await answer(storage, key, f"reply {key}")
        source = conversation_id("loopback", "me", "ann")
        turns = await storage.store.turns(source)
        whole = await storage.store.branch(source, turns[1].id, "ann:b", whole=True)
        before = await storage.store.branch(source, turns[1].id, "ann:c", whole=False)
        copied = await storage.store.turns(whole)
        assert [turn.spoke[0].text for turn in copied] == ["reply 1", "reply 2"]
        assert [turn.spoke[0].text for turn in await storage.store.turns(before)] == ["reply 1"]
        assert {turn.conversation for turn in copied} == {whole}
        assert not {turn.id for turn in copied} & {turn.id for turn in turns}
        assert await storage.store.turns(source) == turns
        made = await storage.store.conversation(whole)
        assert (made.handle, made.state["rounds"]) == ("ann:b", 2)
        assert made.members == (await storage.store.conversation(source)).members
        await refused(storage.store.branch(source, turns[1].id, "ann:b", whole=True), "conflict")
        await refused(storage.store.branch(source, "none", "ann:d", whole=True), "turn_not_found")
        await refused(storage.store.branch("none", turns[1].id, "ann:d", whole=True), "turn_not_found")

    tell(story)

"""What every storage backend promises about a place that goes on with another place's conversation."""

from __future__ import annotations

from dataclasses import replace

from kith.core.audit import Act
from kith.core.ids import conversation_id, person_id
from kith.core.turn import Claim, Dead, Done
from kith.storage import Storage

from .conftest import World
from .test_storage import Tell, done, envelope

BY = Act("test.act", "owner")
ANN, BOB = conversation_id("loopback", "me", "ann"), conversation_id("loopback", "me", "bob")


async def _go(storage: Storage, key: str, who: str, goal: str) -> None:
    """One message of `who` that ends with their place going on with `goal`."""
    await storage.inbox.accept(envelope(key, who))
    claim = next(one for one in await storage.inbox.claim("w", 9) if one.envelope.platform_id == key)
    await storage.store.resolve(claim.envelope, claim.conversation)
    await storage.inbox.settle(claim, going(claim, goal))


def going(claim: Claim, goal: str) -> Done:
    """The end of a turn after which the place of the one who spoke goes on with `goal`."""
    told = done(claim)
    who = person_id("loopback", "me", claim.envelope.sender)
    return replace(told, thread=goal, turn=replace(told.turn, person=who))


def test_a_place_goes_on_elsewhere_and_comes_back(tell: Tell) -> None:
    async def story(world: World) -> None:
        storage = await world.open()
        await _go(storage, "1", "ann", "")
        await storage.inbox.accept(envelope("2", "bob"))
        for key in ("3", "4"):
            await storage.inbox.accept(envelope(key, "bob"))
        (claim,) = await storage.inbox.claim("w", 9)
        await storage.store.resolve(claim.envelope, claim.conversation)
        await storage.inbox.accept(envelope("5", "ann"))
        (busy,) = await storage.inbox.claim("other", 9)
        await storage.inbox.settle(claim, going(claim, ANN))
        assert await storage.inbox.claim("w", 9) == ()  # one turn at a time: ann's is being made

        await world.crash(storage)
        storage = await world.open()
        order = []
        while claims := await storage.inbox.claim("w", 9):
            assert len(claims) == 1 and claims[0].conversation == ANN
            order.append(claims[0].envelope.platform_id)
            await storage.inbox.settle(claims[0], done(claims[0]))
        assert order == ["5", "3", "4"] and busy.envelope.platform_id == "5"
        assert (await storage.inbox.accept(envelope("6", "bob"))).conversation == ANN
        assert (await storage.inbox.accept(envelope("7", "ann"))).conversation == ANN
        assert (await storage.inbox.accept(envelope("3", "bob"))).duplicate
        assert (await storage.store.conversation(ANN)).places == (BOB,)

        (claim,) = await storage.inbox.claim("w", 9)
        await storage.inbox.settle(claim, going(claim, BOB))  # said by bob: they part
        (claim,) = await storage.inbox.claim("w", 9)
        assert (claim.envelope.platform_id, claim.conversation) == ("7", ANN)
        await storage.inbox.settle(claim, done(claim))
        assert (await storage.inbox.accept(envelope("8", "bob"))).conversation == BOB
        assert (await storage.store.conversation(ANN)).places == ()

    tell(story)


def test_whoever_is_followed_can_part_from_all(tell: Tell) -> None:
    async def story(world: World) -> None:
        storage = await world.open()
        await _go(storage, "1", "ann", "")
        await _go(storage, "2", "bob", ANN)
        await storage.inbox.accept(envelope("3", "ann"))
        for key, who in (("4", "bob"), ("5", "ann"), ("6", "bob")):
            await storage.inbox.accept(envelope(key, who))
        (claim,) = await storage.inbox.claim("w", 9)
        await storage.inbox.settle(claim, going(claim, ANN))
        claims = {one.envelope.platform_id: one.conversation for one in await storage.inbox.claim("w", 9)}
        assert claims == {"4": BOB, "5": ANN}

    tell(story)


def test_turns_of_both_and_nothing_left_after_erasure(tell: Tell) -> None:
    async def story(world: World) -> None:
        storage = await world.open()
        await _go(storage, "1", "ann", "")
        await _go(storage, "2", "bob", ANN)
        await storage.people.link(person_id("loopback", "me", "ann"), person_id("loopback", "me", "bob"), BY)
        await _go(storage, "3", "bob", "")
        both = await storage.store.turns(BOB)
        assert [turn.conversation for turn in both] == [ANN, BOB, ANN]
        assert [turn.id for turn in await storage.store.turns(BOB, after=both[0].id)] == [one.id for one in both[1:]]
        assert [turn.conversation for turn in await storage.store.turns(ANN)] == [ANN, ANN]
        person, where = await storage.store.resolve(envelope("3", "bob"))
        assert where.id == ANN and where.places == (BOB,)
        await storage.dossiers.erase([person.id], BY)
        assert (await storage.inbox.accept(envelope("9", "bob"))).conversation == BOB

    tell(story)


def test_what_has_no_reply_yet_is_told_wherever_its_place_goes_on(tell: Tell) -> None:
    async def story(world: World) -> None:
        storage = await world.open()
        assert await storage.inbox.unanswered(ANN) == ()
        await _go(storage, "1", "ann", "")
        await _go(storage, "2", "bob", ANN)
        ids = [(await storage.inbox.accept(envelope(key, who))).id for key, who in (("3", "bob"), ("4", "ann"))]
        (claim,) = await storage.inbox.claim("w", 9)  # being answered is not answered
        for place in (ANN, BOB):
            waiting = await storage.inbox.unanswered(place)
            assert [(turn, said.platform_id) for turn, said in waiting] == list(zip(ids, "34", strict=True))
        await storage.inbox.settle(claim, done(claim))
        assert [turn for turn, _ in await storage.inbox.unanswered(BOB)] == ids[1:]
        (claim,) = await storage.inbox.claim("w", 9)
        await storage.inbox.settle(claim, Dead("no"))
        assert await storage.inbox.unanswered(ANN) == ()

    tell(story)

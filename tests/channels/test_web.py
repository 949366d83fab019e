"""The WebSocket protocol: frames, live pieces, resume across broken connections and restarts, hostile clients."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from kith.core.errors import Unavailable
from kith.core.ids import conversation_id
from kith.core.people import Principal

Open = Callable[..., Any]
OWNER = Principal("t_1", "laptop")


class Client:
    """A peer in memory. `says` are the frames it got."""

    def __init__(self, house: Any, principal: Principal = OWNER) -> None:
        self._in: asyncio.Queue[str | None] = asyncio.Queue()
        self.got: list[dict[str, Any]] = []
        self.blocked: asyncio.Event | None = None
        self.task = asyncio.create_task(house.manager.lines["web"].converse(self, principal))
        self._house = house

    async def receive(self) -> str:
        raw = await self._in.get()
        if raw is None:
            raise EOFError
        return raw

    async def send(self, text: str) -> None:
        if self.blocked is not None:
            await self.blocked.wait()
        self.got.append(json.loads(text))

    def say(self, **frame: Any) -> None:
        self._in.put_nowait(json.dumps(frame))

    def raw(self, text: str) -> None:
        self._in.put_nowait(text)

    async def until(self, kind: str, count: int = 1) -> list[dict[str, Any]]:
        await self._house.until(lambda: sum(f["type"] == kind for f in self.got) >= count)
        return [f for f in self.got if f["type"] == kind]

    async def leave(self) -> None:
        self._in.put_nowait(None)
        await asyncio.wait_for(self.task, 90)


def topic(conversation: str = "main", principal: Principal = OWNER) -> str:
    return conversation_id("web", "local", f"{principal.id}:{conversation}")


def test_a_message_is_accepted_answered_and_known_again(house: Open) -> None:
    async def story() -> None:
        async with house() as home:
            await home.manager.start("w")
            client = Client(home)
            client.say(type="message", id="1", text="hello")
            (accepted,) = await client.until("accepted")
            home.streams.publish(topic(), "delta", {"turn": accepted["turn"], "text": "Hi"})
            await home.answer("Hi there")
            (message,) = await client.until("message")
            await client.until("end")
            assert [f["type"] for f in client.got] == ["accepted", "delta", "message", "end"]
            assert message["text"] == "Hi there"
            assert message["turn"] == accepted["turn"]
            assert message["sources"] == ["handbook"]
            client.say(type="message", id="1", text="hello")
            again = (await client.until("accepted", 2))[1]
            assert again["duplicate"] is True
            client.say(type="ping")
            await client.until("pong")
            await client.leave()
            await home.manager.stop()

    asyncio.run(story())


def test_resuming_behind_a_cursor_loses_and_repeats_nothing(house: Open) -> None:
    async def story() -> None:
        async with house() as home:
            await home.manager.start("w")
            client = Client(home)
            client.say(type="message", id="1", text="one")
            await client.until("accepted")
            await home.answer("first")
            last = (await client.until("end"))[0]
            await client.leave()
            await home.talk.hear(_envelope(home, "two"))
            await home.answer("second")
            client = Client(home)
            client.say(type="resume", after=last["at"])
            await client.until("end")
            assert [f["text"] for f in client.got if f["type"] == "message"] == ["second"]
            await client.leave()
            await home.manager.stop()

    asyncio.run(story())


def _envelope(home: Any, text: str) -> Any:
    from kith.channels.kit import Arrival
    from kith.channels.web.parse import Say, envelope

    return envelope(Say(home.ids.new("x"), text), Arrival("local", home.clock.now(), OWNER.id))


@pytest.mark.parametrize("point", ["cursor", "turn", "", "unknown"])
def test_resuming_after_a_restart_reads_the_store(house: Open, point: str) -> None:
    async def story() -> None:
        async with house() as home:
            await home.manager.start("w")
            client = Client(home)
            client.say(type="message", id="1", text="one")
            await client.until("accepted")
            await home.answer("first")
            last = (await client.until("end"))[0]
            await client.leave()
            await home.manager.stop()
            home.streams.__init__()  # a new process has an empty hub, whose event ids start anew
            for number in range(250):
                await home.talk.hear(_envelope(home, str(number)))
                await home.answer(f"answer {number}")
            await home.manager.start("w2")
            client = Client(home)
            after = {"cursor": last["at"], "turn": last["turn"], "": "", "unknown": "t_nobody"}[point]
            client.say(type="resume", after=after)
            await client.until("resumed")
            texts = [f["text"] for f in client.got if f["type"] == "message"]
            if point in ("cursor", "turn"):
                assert texts == [f"answer {n}" for n in range(250)]
            else:
                assert texts[-1] == "answer 249"
                assert len(set(texts)) == len(texts) >= 100
            await client.leave()
            await home.manager.stop()

    asyncio.run(story())


def test_a_slow_reader_gets_everything_that_is_kept(house: Open) -> None:
    async def story() -> None:
        async with house() as home:
            await home.manager.start("w")
            client = Client(home)
            client.say(type="message", id="1", text="one")
            await client.until("accepted")
            client.blocked = asyncio.Event()
            turn = "x"
            for _ in range(100):
                home.streams.publish(topic(), "delta", {"turn": turn, "text": "z" * 2000})
            await home.answer("first")
            await home.talk.hear(_envelope(home, "two"))
            await home.answer("second " + "long " * 20_000)  # larger than any reader may hold
            client.blocked.set()
            await client.until("message", 2)
            texts = [f["text"][:6] for f in client.got if f["type"] == "message"]
            assert texts == ["first", "second"]
            await client.leave()
            await home.manager.stop()

    asyncio.run(story())


def test_a_reply_that_was_missed_in_part_begins_anew(house: Open) -> None:
    async def story() -> None:
        async with house() as home:
            await home.manager.start("w")
            client = Client(home)
            client.say(type="message", id="1", text="one")
            (accepted,) = await client.until("accepted")
            turn = accepted["turn"]
            home.streams.publish(topic(), "delta", {"turn": turn, "text": "Once upon"})
            (piece,) = await client.until("delta")
            await client.leave()
            await home.manager.stop()
            home.streams.__init__()  # a new process makes the reply again, and is quicker than who looks for it
            for kind, text in (("reset", ""), ("delta", "Once "), ("delta", "upon")):
                home.streams.publish(topic(), kind, {"turn": turn, "text": text})
            await home.manager.start("w2")
            client = Client(home)
            client.say(type="resume", after=piece["at"])
            (resumed,) = await client.until("resumed")
            assert [f["type"] for f in client.got] == ["heard", "reset", "reset", "delta", "delta", "resumed"]
            home.streams.publish(topic(), "delta", {"turn": turn, "text": " a time"})
            await client.until("delta", 3)
            assert "".join(f["text"] for f in client.got if f["type"] == "delta") == "Once upon a time"
            await client.leave()
            client = Client(home)
            client.say(type="resume", after=resumed["at"])  # this process: what came since, and no more
            await client.until("resumed")
            await client.until("delta")
            assert [f["text"] for f in client.got if f["type"] == "delta"] == [" a time"]
            await client.leave()
            await home.manager.stop()

    asyncio.run(story())


def test_no_piece_comes_behind_its_whole_reply(house: Open) -> None:
    async def story() -> None:
        async with house() as home:
            await home.manager.start("w")
            client = Client(home)
            await home.talk.hear(_envelope(home, "one"))
            await home.answer("first")
            client.say(type="resume", after="")
            (message,) = await client.until("message")
            home.streams.publish(topic(), "delta", {"turn": message["turn"], "text": "rst"})
            home.streams.publish(topic(), "delta", {"turn": "t_other", "text": "se"})
            assert [f["text"] for f in await client.until("delta")] == ["se"]
            await client.leave()
            await home.manager.stop()

    asyncio.run(story())


def test_parcels_are_shown_once(house: Open) -> None:
    async def story() -> None:
        async with house() as home:
            await home.manager.start("w")
            client = Client(home)
            client.say(type="resume")
            await client.until("resumed")
            await home.commit("a reminder", channel="web", conversation=f"{OWNER.id}:main")
            await home.until_states(**{"a reminder": "sent"})
            await client.until("message")
            client.say(type="ping")
            await client.until("pong")
            assert sum(f["type"] == "message" for f in client.got) == 1
            await client.leave()
            await home.manager.stop()

    asyncio.run(story())


def test_principals_cannot_see_one_another(house: Open) -> None:
    async def story() -> None:
        async with house() as home:
            await home.manager.start("w")
            mine, theirs = Client(home), Client(home, Principal("t_2", "phone"))
            mine.say(type="message", id="1", text="secret")
            (accepted,) = await mine.until("accepted")
            await home.answer("secret answer")
            await mine.until("message")
            theirs.say(type="resume", conversation="main")
            await theirs.until("resumed")
            theirs.say(type="message", id="1", text="hello")
            assert (await theirs.until("accepted"))[0]["duplicate"] is False
            theirs.say(type="cancel", turn=accepted["turn"])
            assert (await theirs.until("error"))[0]["code"] == "not_found"
            mine.say(type="cancel", turn=accepted["turn"])
            await home.until(lambda: home.talk.cancelled == [accepted["turn"]])
            assert not any("secret" in json.dumps(f) for f in theirs.got)
            await mine.leave()
            await theirs.leave()
            await home.manager.stop()

    asyncio.run(story())


def test_a_reply_is_stopped_on_another_page_of_its_person_as_soon_as_a_piece_of_it_came_there(house: Open) -> None:
    async def story() -> None:
        async with house() as home:
            await home.manager.start("w")
            first, second = Client(home), Client(home)
            first.say(type="message", id="1", text="a long story")
            (accepted,) = await first.until("accepted")
            second.say(type="resume")
            await second.until("resumed")
            home.streams.publish(topic(), "delta", {"turn": accepted["turn"], "text": "Once"})
            await second.until("delta")
            second.say(type="cancel", turn=accepted["turn"])
            await home.until(lambda: home.talk.cancelled == [accepted["turn"]])
            await first.leave()
            await second.leave()
            await home.manager.stop()

    asyncio.run(story())


@pytest.mark.parametrize("point", ["turn", "", "a.7."])
def test_a_page_that_is_read_anew_sees_the_question_and_all_of_the_reply_so_far(house: Open, point: str) -> None:
    async def story() -> None:
        async with house() as home:
            await home.manager.start("w")
            await home.talk.hear(_envelope(home, "zero"))
            (before,) = await home.answer("old")
            for kind, data in (("delta", {"text": "ol"}), ("end", {})):
                home.streams.publish(topic(), kind, {"turn": before.id, **data})
            client, strange = Client(home), Client(home, Principal("t_2", "phone"))
            client.say(type="message", id="7", text="one")
            (accepted,) = await client.until("accepted")
            await client.leave()
            turn = accepted["turn"]
            home.streams.publish(topic(), "delta", {"turn": turn, "text": "Hi "})
            client = Client(home)
            client.say(type="resume", after={"turn": before.id}.get(point, point))
            strange.say(type="resume", after="")
            await client.until("delta")
            home.streams.publish(topic(), "delta", {"turn": turn, "text": "there"})
            await client.until("delta", 2)
            (heard,) = await client.until("heard")
            assert (heard["turn"], heard["id"], heard["text"], heard["parts"]) == (turn, "7", "one", [])
            assert heard["time"] > 0
            client.say(type="cancel", turn=turn)
            await home.until(lambda: home.talk.cancelled == [turn])
            await home.answer("Hi there")
            await client.until("end")
            told = [(f["type"], f.get("turn")) for f in client.got if f["type"] != "resumed"]
            old = [] if point == "turn" else [("message", before.id)]
            assert told == [*old, *((kind, turn) for kind in ("heard", "reset", "delta", "delta", "message", "end"))]
            await strange.until("resumed")
            assert [f["type"] for f in strange.got] == ["resumed"]
            await client.leave()
            await strange.leave()
            await home.manager.stop()

    asyncio.run(story())


def test_a_reply_that_is_whole_before_its_pieces_are_read_is_shown_once(
    house: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        async with house() as home:
            await home.manager.start("w")
            client, other = Client(home), Client(home)
            other.say(type="resume")
            await other.until("resumed")
            client.say(type="message", id="7", text="one")
            (accepted,) = await client.until("accepted")
            assert not any(f["type"] == "heard" for f in client.got)
            home.streams.publish(topic(), "delta", {"turn": accepted["turn"], "text": "Hi"})
            (heard,) = await other.until("heard")
            await other.until("delta")
            assert heard["turn"] == accepted["turn"]
            assert [f["type"] for f in other.got] == ["resumed", "heard", "delta"]

            stored, asked, free = home.storage.store.turns, asyncio.Event(), asyncio.Event()

            async def slow(*arguments: Any) -> Any:
                asked.set()
                await free.wait()
                return await stored(*arguments)

            monkeypatch.setattr(home.storage.store, "turns", slow)
            late = Client(home)
            late.say(type="resume", after="")
            await home.until(asked.is_set)
            home.streams.publish(topic(), "delta", {"turn": accepted["turn"], "text": " there"})
            await home.answer("Hi there")
            free.set()
            await late.until("end")
            assert [f["type"] for f in late.got] == ["message", "resumed", "end"]
            for one in (client, other, late):
                await one.leave()
            await home.manager.stop()

    asyncio.run(story())


HOSTILE = [
    "", "nul", "[]", "{}", '{"type":"launch"}', '{"type":["message"]}', '{"type":"message"}',
    '{"type":"message","id":1,"text":"x"}', '{"type":"message","id":"","text":"x"}',
    '{"type":"message","id":"1","text":" \\u0000 "}', '{"type":"message","id":"a\\nb","text":"x"}',
    '{"type":"message","id":"1","text":"\\ud800"}', '{"type":"message","id":"1","text":"x","conversation":""}',
    '{"type":"message","id":"' + "x" * 129 + '","text":"x"}', "[" * 100_000, "\ud800",
    '{"type":"resume","after":"a.b.c"}', '{"type":"resume","after":"h.' + "9" * 400 + '.t"}',
    '{"type":"cancel","turn":"t_other"}', "9" * 10_000, '{"type":"resume","after":1e999}',
]  # fmt: skip


def test_hostile_frames_get_an_error_and_the_connection_stays(house: Open) -> None:
    async def story() -> None:
        async with house() as home:
            await home.manager.start("w")
            client = Client(home)
            for number, raw in enumerate(HOSTILE, 1):
                client.raw(raw)
                errors = await client.until("error", number)
                assert errors[-1]["code"] in ("bad_frame", "bad_field", "not_found"), raw
                assert "Traceback" not in json.dumps(errors[-1])
            home.talk.failure = Unavailable("the disk is full", retry_after=7)
            client.say(type="message", id="9", text="x", locale="zh")
            told = (await client.until("error", len(HOSTILE) + 1))[-1]
            assert told | {"type": "error", "code": "unavailable", "retry_after": 7, "id": "9"} == told
            assert "稍后" in told["message"]
            client.say(type="ping")
            await client.until("pong")
            await client.leave()
            await home.manager.stop()

    asyncio.run(story())


def test_a_connection_follows_a_bounded_number_of_conversations(house: Open) -> None:
    async def story() -> None:
        async with house(web={"conversations": 2}) as home:
            await home.manager.start("w")
            client = Client(home)
            for name in "abc":
                client.say(type="resume", conversation=name)
            assert (await client.until("error"))[0]["code"] == "refused"
            await client.until("resumed", 2)
            await client.leave()
            await home.manager.stop()

    asyncio.run(story())


def test_a_peer_that_cannot_be_written_to_ends_its_own_connection(house: Open) -> None:
    async def story() -> None:
        async with house() as home:
            await home.manager.start("w")
            client = Client(home)
            client.say(type="resume")
            await client.until("resumed")

            async def broken(text: str) -> None:
                raise BrokenPipeError

            client.send = broken  # pyright: ignore
            home.streams.publish(topic(), "delta", {"turn": "t", "text": "x"})
            await asyncio.wait_for(client.task, 90)
            await home.manager.stop()

    asyncio.run(story())


def test_stopping_ends_every_conversation(house: Open) -> None:
    async def story() -> None:
        async with house() as home:
            await home.manager.start("w")
            client = Client(home)
            client.say(type="ping")
            await client.until("pong")
            line = home.manager.lines["web"]
            await home.manager.stop()
            await asyncio.wait_for(client.task, 90)
            with pytest.raises(Unavailable):
                await line.converse(client, OWNER)

    asyncio.run(story())


def test_the_receipt_is_a_point_to_resume_from(house: Open) -> None:
    """A connection that breaks before the first piece of the answer loses nothing, and sees nothing old."""

    async def story(restart: bool) -> None:
        async with house() as home:
            await home.manager.start("w")
            await home.talk.hear(_envelope(home, "zero"))
            await home.answer("old")
            client = Client(home)
            client.say(type="message", id="1", text="one")
            (accepted,) = await client.until("accepted")
            await client.leave()
            if restart:
                await home.manager.stop()
                home.streams.__init__()
                await home.manager.start("w2")
            await home.answer("new")
            client = Client(home)
            client.say(type="resume", after=accepted["at"])
            await client.until("message")
            client.say(type="ping")
            await client.until("pong")
            assert [f["text"] for f in client.got if f["type"] == "message"] == ["new"]
            await client.leave()
            await home.manager.stop()

    asyncio.run(story(False))
    asyncio.run(story(True))

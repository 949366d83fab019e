"""What was said is found again however long ago it was, at once when it is new, and not when it is forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from kith.core.errors import NotFound
from kith.core.message import Message, Text
from kith.core.turn import Passage, Turn
from kith.dialogue.memory.past import Past
from kith.dialogue.memory.ranks import Index, rate
from kith.dialogue.memory.recall import within


class Kept:
    """Implements what an index asks of a store."""

    def __init__(self) -> None:
        self.rooms: dict[str, list[Turn]] = {}
        self.read = 0

    def say(self, room: str, text: str, outcome: Literal["answered", "failed"] = "answered") -> None:
        number = len(self.rooms.setdefault(room, []))
        heard = Message(f"m{number}", "user", (Text(text),), float(number))
        self.rooms[room].append(Turn(f"{room}-{number}", room, "ann", float(number), heard, outcome=outcome))

    async def turns(self, conversation: str, limit: int = 100, after: str = "") -> Sequence[Turn]:
        await asyncio.sleep(0)
        turns = self.rooms.get(conversation, [])
        if not after:
            found = turns[-limit:]
        else:
            place = next((n for n, turn in enumerate(turns) if turn.id == after), None)
            if place is None:
                raise NotFound("gone")
            found = turns[place + 1 :][:limit]
        self.read += len(found)
        return tuple(found)


def texts(found: Sequence[object]) -> list[str]:
    return [getattr(one, "text", "") for one in found]


def test_a_word_said_three_thousand_turns_ago_is_found_and_only_news_is_read() -> None:
    async def story() -> None:
        store = Kept()
        store.say("c", "my grandmother baked saffron buns in Gothenburg")
        for number in range(3000):
            store.say("c", f"today I walked to the office, day {number}")
        past = Past(store)
        now = 4000.0
        assert texts(await past.search(["c"], "who made the saffron buns?", now, now)) == [
            "my grandmother baked saffron buns in Gothenburg"
        ]
        read = store.read
        store.say("c", "the ferry to Orkney leaves at noon")
        store.say("c", "this one failed: Orkney", outcome="failed")
        assert texts(await past.search(["c"], "when does the Orkney ferry leave?", now, now)) == [
            "the ferry to Orkney leaves at noon"
        ]
        assert store.read == read + 2
        assert await past.search(["c"], "the Orkney ferry", 3001.0, now) == []  # it stands in the window still

    asyncio.run(story())


def test_several_conversations_are_searched_and_many_at_once() -> None:
    async def story() -> None:
        store = Kept()
        store.say("one", "我下个月去大理看洱海")
        store.say("two", "the bicycle has a flat tyre")
        past = Past(store)
        found = await asyncio.gather(*(past.search(["one", "two", "none"], "洱海在哪里", 9.0, 9.0) for _ in range(20)))
        assert {tuple(texts(one)) for one in found} == {("我下个月去大理看洱海",)}
        assert len(past._rooms["one"]) == 1

    asyncio.run(story())


def test_a_turn_that_two_places_share_is_found_once() -> None:
    async def story() -> None:
        store = Kept()
        store.say("one", "the ferry to Orkney leaves at noon")
        store.rooms["two"] = store.rooms["one"]
        assert len(await Past(store).search(["one", "two"], "the Orkney ferry", 9.0, 9.0)) == 1

    asyncio.run(story())


def test_what_is_gone_is_not_found_any_more() -> None:
    async def story() -> None:
        store = Kept()
        store.say("c", "the code of the safe is in the blue book")
        past = Past(store)
        assert await past.search(["c"], "code of the safe", 9.0, 9.0)
        store.rooms["c"] = []
        store.say("d", "hello")
        assert await past.search(["c", "d"], "code of the safe", 9.0, 9.0) == []
        store.say("c", "the code of the safe is in the red book")
        past.drop()
        assert texts(await past.search(["c"], "code of the safe", 9.0, 9.0)) == [
            "the code of the safe is in the red book"
        ]

    asyncio.run(story())


def test_no_more_is_held_than_allowed() -> None:
    async def story() -> None:
        store = Kept()
        for number in range(10):
            for line in range(10):
                store.say(f"c{number}", f"line{line} was said in room{number}")
        past = Past(store, most=35)
        for number in range(10):
            assert await past.search([f"c{number}"], "what was line7, line8, line9?", 99.0, 99.0)
        assert sum(map(len, past._rooms.values())) <= 35

    asyncio.run(story())


async def found_in(lines: Sequence[str], query: str) -> list[str]:
    store = Kept()
    for line in (*lines, *(f"nothing of note happened on the {n}. walk" for n in range(20))):
        store.say("c", line)
    return texts(await Past(store).search(["c"], query, 99.0, 99.0))


def test_an_answer_is_found_by_its_question_but_not_hours_later() -> None:
    said = ("What does your necklace stand for?", "Love, faith and strength!", "I see")
    found = asyncio.run(found_in(said, "what does the necklace stand for"))
    assert set(found[:2]) == set(said[:2])

    async def story() -> None:
        store = Kept()
        for at, line in ((0.0, said[0]), (7200.0, said[1])):
            store.say("c", line)
            store.rooms["c"][-1] = replace(store.rooms["c"][-1], at=at)
        assert texts(await Past(store).search(["c"], "what the necklace stands for", 9e9, 9e9)) == [said[0]]

    asyncio.run(story())


def test_who_asks_when_is_shown_a_time() -> None:
    said = (
        "the pottery class was fun",
        "yesterday I went to the pottery class",
        "那个陶艺课很好玩",
        "昨天我去了陶艺课",
    )
    assert asyncio.run(found_in(said, "when did I go to the pottery class?"))[0] == said[1]
    assert asyncio.run(found_in(said, "我什么时候去的陶艺课？"))[0] == said[3]


def test_a_kind_leads_to_its_members_and_not_back() -> None:
    said = ("my dog is called Biscuit", "the pet shop was closed", "家里养了一只仓鼠叫豆豆")
    assert said[0] in asyncio.run(found_in(said, "what is the name of my pet?"))
    assert said[2] in asyncio.run(found_in(said, "我的宠物叫什么名字"))
    assert asyncio.run(found_in(said, "is there a puppy? a kitten?"))[:1] == [said[0]]
    assert said[0] not in asyncio.run(found_in(said, "and the parrot?"))


def test_of_a_long_text_is_shown_what_was_asked_for() -> None:
    hay = "well, this and that, " * 30
    long = f"{hay} the code of the boathouse is forty-two, {hay}"
    for query in ("what is the code of the boathouse?", "boathouse"):
        (one,) = asyncio.run(found_in([long], query))
        assert "boathouse is forty-two" in one
        assert len(one) <= 160
    assert asyncio.run(found_in(["x" * 5000 + " boathouse"], "boathouse")) == ["x" * 160]
    assert len(asyncio.run(found_in(["船屋的密码是四十二" * 100], "船屋"))[0]) <= 160


def test_a_month_that_nobody_named_is_known() -> None:
    async def story() -> None:
        store = Kept()
        for at, line in ((1683500000.0, "we went camping"), (1691500000.0, "we went camping again")):
            store.say("c", line)
            store.rooms["c"][-1] = replace(store.rooms["c"][-1], at=at)
        for query in ("camping in May 2023", "5月 camping"):
            assert texts(await Past(store).search(["c"], query, 9e9, 9e9))[0] == "we went camping"
        store.rooms["d"] = [replace(store.rooms["c"][0], at=at) for at in (1e30, float("nan"), -1e18)]
        past = Past(store)
        await past.search(["d"], "we went camping", 9e40, 9e9)
        assert len(past._rooms["d"]) == 3

    asyncio.run(story())


def test_only_as_much_is_shown_as_fits() -> None:
    async def count(text: str) -> int:
        return len(text)

    passages = [Passage("a" * 10, "s", 1.0), Passage("b" * 30, "s", 0.9), Passage("c" * 5, "s", 0.8)]
    for room, kept in ((100, "abc"), (25, "ac"), (13, "a"), (8, "c"), (0, "")):
        assert "".join(one.text[0] for one in asyncio.run(within(passages, room, count))) == kept


def test_an_index_rates_as_a_list_does() -> None:
    said = ["the red boat", "a red car and a red house", "nothing of the kind", "红色的船"]
    index = Index()
    for text in said:
        index.add(text)
    assert index.rate("red boat") == rate("red boat", said)
    assert index.rate("red boat")[0].index == 0
    assert index.rate("") == Index().rate("red") == []

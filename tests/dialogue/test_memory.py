"""What is remembered of people, who may know it, and that it can be forgotten."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import itertools
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kith.core.audit import Act, By
from kith.core.clock import SystemClock
from kith.core.errors import Invalid, NotFound
from kith.core.ids import Ids, conversation_id, person_id
from kith.core.message import Delta, Envelope, Image, Media, Message, Text, Usage
from kith.core.model import ChatRequest, ModelCard
from kith.core.people import Principal
from kith.core.turn import Turn
from kith.dialogue.memory import Memory, MemorySettings
from kith.dialogue.memory.listening import read
from kith.dialogue.memory.ranks import rate
from kith.dialogue.memory.rules import asked_to_remember, find_facts
from kith.dialogue.mind import Mind
from kith.dialogue.workshop.outcomes import unanswered
from kith.runtime.blobs import Blobs
from kith.runtime.shelf import Shelf
from kith.storage import StorageSettings, open_storage

from .house import House, Key, Script, Scripted, heard, says

CASES = Path(__file__).parent / "facts.txt"
Scene = Callable[[House, Memory], Awaitable[None]]


def live(scene: Scene, script: Script | None = None, memory: dict[str, Any] | None = None, **settings: Any) -> None:
    """A household with a memory; `scene` gets both."""

    async def run() -> None:
        clock = SystemClock()
        storage = await open_storage(StorageSettings(backend="memory"), clock, Ids(clock), Key())
        models = Scripted(script)
        wiped: list[str] = []

        async def wipe(person: str, _: Sequence[str]) -> None:
            wiped.append(person)

        kept = Memory(
            storage, models, clock, Ids(clock), MemorySettings(**(memory or {})), local=("api", "web"),
            wipes=(wipe,), media=settings.get("blobs"),
        )  # fmt: skip
        house = House(models, storage, mind=Mind(kept), **settings)
        house.wiped = wiped
        await house.engine.start()
        try:
            await scene(house, kept)
        finally:
            await house.engine.stop(grace=0.1)
            await house.bus.close()
            await storage.close()

    asyncio.run(run())


async def say(house: House, number: int, text: str, conversation: str = "c", **fields: Any) -> str:
    """One message through the whole of the dialogue: the reply, once everything of the turn is done."""
    words = [
        delta.text async for delta in house.engine.reply(heard(number, text, conversation, deliver=False, **fields))
    ]
    await idle(house)
    return "".join(words)


async def idle(house: House) -> None:
    async with asyncio.timeout(90):
        while house.engine._active:
            await asyncio.sleep(0.001)


def ann(handle: str = "ann") -> str:
    return person_id("test", "a", handle)


def rows() -> list[tuple[str, str]]:
    lines = [line for line in CASES.read_text("utf-8").splitlines() if line and not line.startswith("#")]
    return [(said.strip(), wanted.strip()) for said, _, wanted in (line.partition("=>") for line in lines)]


@pytest.mark.parametrize(("said", "wanted"), rows())
def test_what_people_tell_of_themselves_is_found_and_nothing_else(said: str, wanted: str) -> None:
    found = "; ".join(f"{fact.kind}: {fact.value}" for fact in find_facts(said))
    assert found == wanted


@pytest.mark.parametrize(
    "text", ["", "\x00" * 50, "my name is " * 5000, "我叫" * 5000, "(" * 3000, "😀" * 4000, "\ud800 i live in"]
)
def test_hostile_texts_are_read_quickly_and_quietly(text: str) -> None:
    assert len(find_facts(text)) <= 8
    assert asked_to_remember(text) is None


def test_facts_are_kept_with_who_when_and_where() -> None:
    async def scene(house: House, memory: Memory) -> None:
        await say(house, 1, "My name is Ann and I live in Bern.")
        facts = await memory.facts([ann()])
        assert [(fact.kind, fact.value, fact.by) for fact in facts] == [
            ("name", "Ann", "rule"),
            ("home", "Bern", "rule"),
        ]
        (turn,) = await house.storage.store.turns(facts[0].conversation)
        assert (facts[0].turn, facts[0].at, facts[0].person) == (turn.id, 1.0, ann())
        assert 0.5 < facts[0].confidence <= 1
        await say(house, 2, "I live in Bern.")
        assert len(await memory.facts([ann()])) == 2

    live(scene)


def test_the_newer_word_counts_and_the_older_stays_as_history() -> None:
    async def scene(house: House, memory: Memory) -> None:
        await say(house, 1, "I live in Bern")
        await say(house, 2, "I love coffee")
        await say(house, 3, "I just moved to Kyoto")
        await say(house, 4, "I don't like coffee any more")
        assert [fact.value for fact in await memory.facts([ann()])] == ["Kyoto", "coffee"]
        old = [fact for fact in await memory.facts([ann()], history=True) if fact.replaced]
        assert [(fact.kind, fact.value) for fact in old] == [("home", "Bern"), ("like", "coffee")]
        assert await say(house, 5, "我住在哪里？") == "你住在Kyoto。"

    live(scene)


def test_people_ask_what_is_known_in_both_languages() -> None:
    async def scene(house: House, memory: Memory) -> None:
        assert "nothing" in await say(house, 1, "What do you know about me?")
        assert "Remember" in (await say(house, 2, "Remember that the gate code is 47119358")).title()
        assert await say(house, 3, "我叫安，我对花生过敏") == "我记住了：你叫安；你对花生过敏。"
        told = await say(house, 4, "你知道我什么？")
        assert "- 你叫安" in told
        assert "47119358" in told
        assert await say(house, 5, "我叫什么名字？") == "你叫安。"
        assert await say(house, 6, "what's my name") == "You are called 安."

    live(scene)


def test_what_is_answered_from_memory_is_shown_to_nobody_as_unanswered() -> None:
    async def scene(house: House, memory: Memory) -> None:
        for number, text in enumerate(("my birthday is 3 May", "when is my birthday?", "who is Zelda?")):
            await say(house, number, text)
        turns = await house.storage.history.walk(limit=10)
        assert [turn.heard.text for turn in turns if unanswered(turn)] == ["who is Zelda?"]

    live(scene)


ANSWERS = (
    (
        ("my sister's name is Ann", "I will remember: your sister is called Ann."),
        ("what's my sister's name?", "Your sister is called Ann."),
        ("who is Ann?", "Your sister is called Ann."),
        ("no, my sister's name is Bea", "I will remember: your sister is called Bea."),
        ("so what is the name of my sister", "Your sister is called Bea."),
        ("who is Bob?", "I have no language model yet"),
        ("my mom is called Carol", "I will remember: your mom is called Carol."),
        ("我妈妈叫什么", "Your mom is called Carol."),
        ("Remember that the cabin's key hangs behind the stove", "I will remember: the cabin's key hangs behind"),
        ("where is my cabin's key?", "You told me: the cabin's key hangs behind the stove."),
        ("remember that my bike is where I left it", "I will remember: your bike is where you left it."),
        ("forget my sister's name", "It is forgotten"),
        ("what's my sister's name?", "You have not told me that yet."),
        ("I am 34 years old", "I will remember: you are 34 years old."),
        ("I turned 35 yesterday!", "I will remember: you are 35 years old."),
        ("how old am I", "You are 35 years old."),
        ("remember my anniversary is June 5", "I will remember: your anniversary is June 5."),
        ("when is my anniversary?", "You told me: your anniversary is June 5."),
        ("I like hiking", "I will remember: you like hiking."),
        ("forget that", "It is forgotten"),
        ("what do I like?", "You have not told me that yet."),
        ("I live in Bern", "I will remember: you live in Bern."),
        ("where do I live", "You live in Bern."),
        ("forget that", "It is forgotten"),
        ("where do I live", "You have not told me that yet."),
    ),
    (
        ("我不吃香菜", "我记住了：你不喜欢香菜。"),
        ("我不吃什么？", "你不喜欢香菜。"),
        ("我对花生过敏", "我记住了：你对花生过敏。"),
        ("我有什么忌口", "- 你不喜欢香菜\n- 你对花生过敏"),
        ("我妹妹叫小红", "我记住了：你的妹妹叫小红。"),
        ("我妹妹叫什么名字", "你的妹妹叫小红。"),
        ("小红是谁", "你的妹妹叫小红。"),
        ("不对，我妹妹叫小兰", "我记住了：你的妹妹叫小兰。"),
        ("我妹妹叫什么", "你的妹妹叫小兰。"),
        ("忘掉我妹妹的名字", "已经忘掉了"),
        ("我妹妹叫什么", "这个你还没告诉过我。"),
        ("你是谁", "我是 Kith"),
        ("我家的猫叫年糕", "我记住了：你的猫叫年糕。"),
        ("what is my cat called?", "你的猫叫年糕。"),
        ("忘掉我刚才说的", "已经忘掉了"),
        ("我的猫叫什么", "这个你还没告诉过我。"),
    ),
)


@pytest.mark.parametrize("talk", ANSWERS)
def test_what_was_told_is_answered_without_a_model(talk: Sequence[tuple[str, str]]) -> None:
    async def scene(house: House, memory: Memory) -> None:
        for number, (text, wanted) in enumerate(talk):
            assert (await say(house, number, text)).startswith(wanted), text
        stored = json.dumps(await house.storage.dossiers.export([ann()]), ensure_ascii=False, default=str)
        assert not any(gone in stored for gone in ("Ann", "Bea", "hiking", "Bern", "小红", "小兰", "年糕"))

    live(scene)


def test_what_one_told_is_nobody_elses_answer() -> None:
    async def scene(house: House, memory: Memory) -> None:
        await say(house, 1, "my sister is called Zelda")
        await say(house, 2, "Remember that my safe is behind the zebra")
        for number, text in enumerate(
            ("who is Zelda?", "what's my sister's name?", "where is my safe?", "forget that")
        ):
            told = await say(house, 10 + number, text, "d", sender="bob")
            assert "sister" not in told and "zebra" not in told, text
            group = await say(house, 20 + number, text, "g", kind="group", mentioned=True)
            assert "sister" not in group and "zebra" not in group, text
        assert len(await memory.facts([ann()])) == 2

    live(scene)


FORGET = (
    ("I live in Zanzibar", "forget that I live in Zanzibar", "en"),
    ("I work as a zanzibarist", "please forget my job as zanzibarist", "en"),
    ("我住在桑给巴尔岛", "忘掉我住在桑给巴尔岛这件事吧", "zh"),
    ("记住我的密码是桑给巴尔岛47119358", "把我的密码忘了吧", "zh"),
    ("Remember that Zanzibar is my word", "Forget everything about me", "en"),
    ("我住在桑给巴尔岛", "请忘掉关于我的一切", "zh"),
)


@pytest.mark.parametrize(("told", "wish", "lang"), FORGET)
def test_what_is_forgotten_is_gone_from_everywhere(told: str, wish: str, lang: str) -> None:
    async def scene(house: House, memory: Memory) -> None:
        await say(house, 1, told)
        await say(house, 2, "is Zanzibar nice? 桑给巴尔岛好玩吗")
        assert await memory.facts([ann()])
        reply = await say(house, 3, wish)
        assert ("忘" if lang == "zh" else "forg") in reply
        assert not await memory.facts([ann()], history=True)
        stored = json.dumps(await house.storage.dossiers.export([ann()]), ensure_ascii=False, default=str).casefold()
        assert "zanzibar" not in stored.replace("is zanzibar nice", "") or "word" in told
        assert told.casefold() not in stored
        assert wish.casefold() not in stored
        assert "47119358" not in stored
        assert house.wiped
        acts = [entry.act for entry in await house.storage.journal.entries()]
        assert [act.name for act in acts] == ["memory.forget"]
        assert "anzibar" not in str(acts)

    live(scene)


def test_what_is_no_wish_to_forget_is_left_alone() -> None:
    async def scene(house: House, memory: Memory) -> None:
        await say(house, 1, "I live in Bern")
        for number, text in enumerate(("forget it", "I forgot my keys", "我忘了带钥匙", "don't forget me", "算了"), 2):
            await say(house, number, text)
        assert await memory.facts([ann()])
        assert "nothing like that" in await say(house, 9, "forget that I have a yacht")

    live(scene)


def test_facts_of_one_are_never_told_to_another() -> None:
    async def scene(house: House, memory: Memory) -> None:
        await say(house, 1, "My name is Ann. I live in Zanzibar. Remember that my safe is behind the zebra")
        shown = house.models.asked
        shown.clear()
        await say(house, 2, "where does Ann live, in Zanzibar? where is the safe?", "d", sender="bob")
        await say(house, 3, "where do I live and where is my safe?", "g", sender="ann", kind="group")
        await say(house, 4, "what do you know about Ann and her safe?", "g", sender="bob", kind="group")
        told = "\n".join(message.text for request in shown for message in request.messages)
        assert "zebra" not in told
        assert "Lives in Zanzibar" not in told
        assert "alone" in await say(house, 5, "what do you know about me?", "g", sender="ann", kind="group")
        assert not await memory.facts([ann("bob")])
        shown.clear()
        await say(house, 6, "where is my safe?", "c")
        assert "zebra" in "\n".join(message.text for message in shown[0].messages)

    live(scene, says("Hm."))


def test_what_was_told_in_a_group_may_be_used_there() -> None:
    async def scene(house: House, memory: Memory) -> None:
        await say(house, 1, "I am allergic to peanuts", "g", kind="group")
        for number in range(2, 20):
            await say(house, number, f"and now number {number}", "g", kind="group")
        house.models.asked.clear()
        await say(house, 30, "can I eat peanuts?", "g", kind="group")
        assert "allergic to peanuts" in "\n".join(message.text for message in house.models.asked[0].messages)

    live(scene, says("Hm."), {"model_facts": False, "summaries": False})


def test_a_model_is_told_who_it_speaks_with_and_the_beginning_stays_the_same() -> None:
    async def scene(house: House, memory: Memory) -> None:
        await say(house, 1, "My name is Ann and I like hiking", "before")
        prompts: list[Sequence[Message]] = []
        for number in range(2, 40):
            house.models.asked.clear()
            await say(house, number, f"I like number {number} very much, what about hiking?")
            (request,) = house.models.asked
            prompts.append(request.messages)
            await house.engine._ports.mind._listener._tasks.settled()
        assert "Is called Ann" in prompts[0][0].text
        slides = 0
        for former, later in itertools.pairwise(prompts):
            same = [message.text for message in former[:-1]] == [message.text for message in later[: len(former) - 1]]
            slides += not same
        assert slides <= len(prompts) // 4
        assert all(len(prompt[0].text.encode()) // 3 <= 800 for prompt in prompts)
        assert "Earlier in this conversation" in prompts[-1][0].text

    live(scene, says("Good."), {"model_facts": False})


def test_what_left_the_window_is_found_again() -> None:
    async def scene(house: House, memory: Memory) -> None:
        await say(house, 1, "The plumber comes on the ninth with a green van")
        for number in range(2, 30):
            await say(house, number, f"let us talk of number {number}")
        house.models.asked.clear()
        await say(house, 40, "when does the plumber come?")
        sent = house.models.asked[0].messages
        assert "green van" in sent[-1].text
        (conversation,) = await house.storage.store.conversations(ann())
        turn = (await house.storage.store.turns(conversation.id))[-1]
        bill = await house.engine._ports.mind.explain(turn.id, [ann()], house.models)
        texts = {row["part"]: row["text"] for row in bill["parts"]}
        assert sent[0].text == "\n".join(texts[name] for name in ("persona", "profile", "summary") if name in texts)
        assert texts["rounds"] == "\n".join(f"{said.role}: {said.text}" for said in sent[1:-1])
        assert sent[-1].text == texts["notes"] + "\n\n" + texts["message"]
        assert bill["tokens"] == sum(row["tokens"] for row in bill["parts"])
        assert bill["overhead"] <= 800

    live(scene, says("Fine."), {"summaries": False, "model_facts": False})


def test_a_prompt_is_explained_to_the_one_whose_it_is() -> None:
    async def scene(house: House, memory: Memory) -> None:
        await say(house, 1, "I like hiking and tea")
        await say(house, 2, "tell me of tea")
        (conversation,) = await house.storage.store.conversations(ann())
        turn = (await house.storage.store.turns(conversation.id))[-1]
        mind = house.engine._ports.mind
        bill = await mind.explain(turn.id, [ann()], house.models)
        parts = {row["part"]: row["tokens"] for row in bill["parts"]}
        assert {"persona", "rounds", "message"} <= set(parts)
        assert bill["tokens"] == sum(parts.values())
        assert bill["overhead"] <= 800
        with pytest.raises(NotFound):
            await mind.explain(turn.id, [ann("bob")], house.models)
        await say(house, 3, "forget everything about me")
        with pytest.raises(NotFound):
            await mind.explain(turn.id, [ann()], house.models)

    live(scene, says("Tea."), {"model_facts": False})


def test_a_model_finds_what_the_rules_do_not_but_invents_nothing() -> None:
    said = "Since the wedding my knees hurt and I bake sourdough on Sundays"
    found = {
        "facts": [
            {"kind": "like", "value": "sourdough"},
            {"kind": "home", "value": "Mars"},
            {"kind": "x", "value": "my"},
        ]
    }

    def script(request: ChatRequest) -> Sequence[Delta]:
        text = json.dumps(found) if request.sampling.schema else "Nice."
        return (Delta(text), Delta(finish="stop", usage=Usage(1, 1), model="scripted"))

    async def scene(house: House, memory: Memory) -> None:
        await say(house, 1, said)
        await house.engine._ports.mind._listener._tasks.settled()
        (fact,) = await memory.facts([ann()])
        assert (fact.kind, fact.value, fact.by) == ("like", "sourdough", "model")
        background = [request for request in house.models.asked if request.priority == "background"]
        assert len(background) == 1
        assert background[0].private

    live(scene, script)
    assert read("{" * 5000, said) == []
    assert read('{"facts": 7}', said) == read("no json", said) == read('{"facts": [1, null, {"kind": []}]}', said) == []


def test_the_memory_of_a_principal_spans_the_channels_of_this_machine() -> None:
    async def scene(house: House, memory: Memory) -> None:
        web = Envelope(
            "web", "w", "k1", "u_1", "h", Message("m1", "user", (Text("I live in Bern"),), 1.0), deliver=False
        )
        async for _ in house.engine.reply(web):
            pass
        await idle(house)
        me = Principal("u_1", "Ann", "member")
        await memory.remember(me, "I am allergic to nuts")
        mine = await memory.mine("u_1")
        assert {fact.value for fact in await memory.facts(mine)} == {"Bern", "nuts"}
        (old,) = [fact for fact in await memory.facts(mine) if fact.value == "Bern"]
        changed = await memory.edit(mine, old.id, "I live in Oslo", By("u_1", "test"))
        assert (changed.value, changed.by) == ("Oslo", "person")
        assert {fact.value for fact in await memory.facts(mine, history=True)} == {"Oslo", "nuts"}
        with pytest.raises(NotFound):
            await memory.edit([ann("bob")], changed.id, "x", By())
        with pytest.raises(Invalid):
            await memory.remember(me, "   ")
        assert await memory.forget_one(mine, changed.id, By("u_1", "test")) == 1
        await memory.erase(mine, By())
        assert not await memory.facts(mine, history=True)
        with pytest.raises(NotFound):
            await memory.erase(["p_nobody"], By())

    live(scene)


def test_the_ranking_finds_by_words_pairs_and_age() -> None:
    texts = ["allergic to peanuts", "likes hiking in the mountains", "对花生过敏", "喜欢爬山"]
    assert rate("peanut allergy", texts)[0].index == 0
    assert rate("我能吃花生吗", texts)[0].index == 2
    assert rate("what is this", texts) == []
    newer = rate("tea", ["drinks tea", "drinks tea"], [1e9, 1.0])
    assert newer[0].index == 1


class Vectors(Scripted):
    """A model that makes vectors: sea and ocean are near."""

    def cards(self) -> Sequence[ModelCard]:
        return (*super().cards(), ModelCard("vec", "embed", "scripted"))

    async def embed(self, texts: Sequence[str], model: str = "") -> Sequence[Sequence[float]]:
        return [[1.0, 0.0] if "ocean" in text or "sea" in text else [0.0, 1.0] for text in texts]


def test_an_embedding_model_finds_what_words_do_not() -> None:
    from kith.dialogue.memory.likeness import alike

    async def story() -> None:
        found = await alike(Vectors(says("x")), "the ocean", ["loves the sea", "hates trains"])
        assert list(found) == [0]
        assert await alike(Scripted(says("x")), "the ocean", ["loves the sea"]) == {}

    asyncio.run(story())


def test_a_turn_is_learnt_from_only_once() -> None:
    async def scene(house: House, memory: Memory) -> None:
        turn = Turn("t", "c", ann(), 1.0, Message("m", "user", (Text("I live in Bern"),), 1.0))
        assert len(await memory.learn(turn, "I live in Bern")) == 1
        assert not await memory.learn(turn, "I live in Bern")

    live(scene)


def test_media_are_taken_along_and_erased_but_not_those_of_others(tmp_path: Path) -> None:
    blobs = Blobs(shelf=Shelf(tmp_path / "media", b"k" * 32, 10**9))

    async def scene(house: House, memory: Memory) -> None:
        for number, (who, kind, data) in enumerate(
            (("ann", "direct", b"mine"), ("ann", "group", b"shown"), ("bob", "group", b"his"))
        ):
            place = "c" if kind == "direct" else "g"
            parts = (Text("look at this"), Image(blobs.put(data), "image/png", size=len(data)))
            told = heard(number, "", place, deliver=False, sender=who, kind=kind)
            told = replace(told, message=replace(told.message, parts=parts))
            async for _ in house.engine.reply(told):
                pass
            await idle(house)
        export = await memory.export([ann()])
        assert {base64.b64decode(data) for data in export["media"].values()} == {b"mine", b"shown"}
        await memory.erase([ann()], By())
        later = Blobs(shelf=Shelf(tmp_path / "media", b"k" * 32, 10**9))
        for data in (b"mine", b"shown"):
            for kept in (blobs, later):
                with pytest.raises(NotFound):
                    await kept.fetch(Media(hashlib.sha256(data).hexdigest(), "image/png"))
        assert await later.fetch(Media(hashlib.sha256(b"his").hexdigest(), "image/png")) == b"his"

    live(scene, blobs=blobs)


def test_who_follows_from_another_place_is_erased_there_too_with_media(tmp_path: Path) -> None:
    """Ann went on at another place with the conversation of the first, and showed a picture there."""
    blobs = Blobs(shelf=Shelf(tmp_path / "media", b"k" * 32, 10**9))

    async def scene(house: House, memory: Memory) -> None:
        async def tell(number: int, text: str, app: str, data: bytes = b"") -> None:
            place, sender = ("c", "ann") if app == "test" else ("d", "ann@far")
            parts = (Text(text), *((Image(blobs.put(data), "image/png", size=len(data)),) if data else ()))
            told = replace(heard(number, "", place, deliver=False, sender=sender), channel=app)
            async for _ in house.engine.reply(replace(told, message=replace(told.message, parts=parts))):
                pass
            await idle(house)

        await tell(1, "I live in Bern", "test", b"near")
        await tell(2, "what rhymes with tree", "far")
        one, _ = await house.storage.store.resolve(heard(1, ""))
        two, _ = await house.storage.store.resolve(replace(heard(1, "", "d", sender="ann@far"), channel="far"))
        await house.storage.people.link(one.id, two.id, Act("test.link", "owner"))
        await tell(3, "continue here", "far")
        await tell(4, "look at my zebra", "far", b"away")
        home, there = (conversation_id(app, "a", place) for app, place in (("test", "c"), ("far", "d")))
        assert "zebra" in (await house.storage.store.turns(home))[-1].heard.text
        export = await memory.export([one.id])
        assert {base64.b64decode(data) for data in export["media"].values()} == {b"near", b"away"}
        await memory.erase([one.id], By())
        assert not await house.storage.store.turns(home) and not await house.storage.store.turns(there)
        later = Blobs(shelf=Shelf(tmp_path / "media", b"k" * 32, 10**9))
        for data in (b"near", b"away"):
            for kept in (blobs, later):
                with pytest.raises(NotFound):
                    await kept.fetch(Media(hashlib.sha256(data).hexdigest(), "image/png"))
        await tell(5, "what rhymes with sea", "far")  # a stranger again, who follows nothing
        assert len(await house.storage.store.turns(there)) == 1 and not await house.storage.store.turns(home)

    live(scene, blobs=blobs)


def test_what_was_not_told_is_said_not_to_be_known() -> None:
    async def scene(house: House, _: Memory) -> None:
        assert (
            await say(house, 1, "what's my name?") == "You have not told me that yet. Tell me, and I will remember it."
        )
        assert "Kith" in await say(house, 2, "what is your name?")
        assert "没告诉过我" in await say(house, 3, "我住在哪里？")

    live(scene)

"""One person in two apps goes on with one conversation, if they say so, until they say otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from kith.core.audit import Act
from kith.core.errors import KithError
from kith.core.ids import conversation_id
from kith.core.message import Delta, Envelope
from kith.core.model import ChatRequest
from kith.core.people import Parcel
from kith.dialogue import threads
from kith.dialogue.threads import goes_on
from tests.dialogue.house import House, heard, play, says

HOME, FAR = conversation_id("test", "a", "c"), conversation_id("far", "a", "d")


def far(number: int, text: str, **fields: Any) -> Envelope:
    """The same person in another app."""
    return replace(heard(number, text, "d", **{"sender": "ann@far", **fields}), channel="far")


async def say(house: House, envelope: Envelope) -> Parcel:
    await house.engine.hear(envelope)
    return (await house.outbox(1))[0]


async def linked(house: House) -> None:
    """Ann has spoken in both apps, and both are known to be she."""
    await say(house, heard(1, "my bicycle is called Wind"))
    await say(house, far(1, "what rhymes with tree"))
    one, _ = await house.storage.store.resolve(heard(1, ""))
    two, _ = await house.storage.store.resolve(far(1, ""))
    await house.storage.people.link(one.id, two.id, Act("test.link", "owner"))


def shown(house: House) -> str:
    """Everything that the model was shown last."""
    return "\n".join(message.text for message in house.models.asked[-1].messages)


@pytest.mark.parametrize(
    ("wish", "apart"),
    [
        ("Continue here.", "talk apart"),
        ("continue from TEST", "Separate our conversations!"),
        ("/follow", "/leave"),
        ("/follow@KithBot Test", "/LEAVE@KithBot"),
        ("continue here what we talked about on test", "/leave"),
        ("接着刚才在 test 上聊的", "/leave"),
        ("在这里接着聊", "分开聊"),
        ("从 test 接着聊。", "以后分开聊吧"),
    ],
)
def test_the_other_app_goes_on_until_it_is_ended(wish: str, apart: str) -> None:
    async def scene(house: House) -> None:
        await linked(house)
        agreed = await say(house, far(2, wish))
        assert agreed.channel == "far" and "test" in agreed.message.text
        there = await say(house, far(3, "so what is it called, tell me in verse"))
        assert "Wind" in shown(house)
        assert (there.channel, there.target, there.conversation, there.thread) == ("far", "d", FAR, HOME)
        back = await say(house, heard(4, "and now in prose, please, at length"))
        assert "in verse" in shown(house)
        assert (back.channel, back.target, back.conversation, back.thread) == ("test", "c", HOME, "")
        said = [turn.heard.text for turn in await house.storage.store.turns(HOME)]
        assert said[-2:] == ["so what is it called, tell me in verse", "and now in prose, please, at length"]
        assert [turn.heard.text for turn in await house.storage.store.turns(FAR)][-2:] == said[-2:]

        ended = await say(house, far(5, apart))
        assert (ended.channel, ended.thread) == ("far", HOME)
        alone = await say(house, far(6, "what did I ask about the tree, in other words"))
        assert "in verse" not in shown(house) and alone.thread == ""
        assert (await house.storage.store.turns(FAR))[-1].heard.text.startswith("what did I ask")

    play(scene, says("word"))


@pytest.mark.parametrize(
    ("text", "app"),
    [
        ("continue here what we talked about on Telegram", "telegram"),
        ("Let's continue our Telegram conversation.", "telegram"),
        ("Can we pick up where we left off on the web?", "web"),
        ("go on with our e-mail conversation", "email"),
        ("接着刚才在网页上聊的", "web"),
        ("那我们继续聊飞书上的那个话题吧", "feishu"),
        ("请在这里接着我们昨天在企业微信聊的内容", "wecom"),
        ("把网页上的对话接过来", "web"),
        ("continue from page 3", ""),
        ("continue the story", ""),
        ("continue the matrix discussion", ""),
        ("继续讲故事吧", ""),
        ("接着说刚才的事", ""),
        ("接" * 120, ""),
        ("continue " * 13, ""),
    ],
)
def test_the_app_is_called_as_people_call_it(text: str, app: str) -> None:
    assert goes_on(text) is bool(app)
    if app:
        apps = threads._apps(threads._plain(text))
        assert any(threads._is(said, app) for said in apps)


def test_several_are_listed_with_codes_and_a_wrong_code_follows_nothing() -> None:
    async def scene(house: House) -> None:
        await linked(house)
        await say(house, replace(heard(50, "good day", "e"), account="second"))  # another account of the first app
        third = conversation_id("test", "second", "e")
        one, _ = await house.storage.store.resolve(heard(1, ""))
        two, _ = await house.storage.store.resolve(replace(heard(50, "", "e"), account="second"))
        await house.storage.people.link(one.id, two.id, Act("test.link", "owner"))
        told = (await say(house, far(2, "/follow"))).message.text
        codes = {conversation: conversation.removeprefix("c_")[:6] for conversation in (HOME, third, FAR)}
        assert codes[HOME] in told and codes[third] in told and codes[FAR] not in told
        wrong = await say(house, far(3, f"/follow {codes[FAR]}"))
        assert wrong.message.text.startswith("None of your conversations") and wrong.thread == ""
        await say(house, far(4, f"/follow {codes[third]}"))
        assert (await say(house, far(5, "what rhymes with sea"))).thread == third
        assert codes[FAR] not in (await say(house, replace(heard(51, "/follow", "e"), account="second"))).message.text

    play(scene, says("word"))


def test_the_first_app_can_end_it_too() -> None:
    async def scene(house: House) -> None:
        await linked(house)
        await say(house, far(2, "continue here"))
        await say(house, heard(3, "talk apart"))
        assert (await say(house, far(4, "what rhymes with sea"))).thread == ""

    play(scene, says("word"))


def test_a_form_begun_in_one_app_is_filled_in_in_the_other() -> None:
    async def scene(house: House) -> None:
        await linked(house)
        await say(house, far(2, "continue here"))
        before = (await house.storage.store.conversation(HOME)).state
        await say(house, far(3, "what rhymes with sea"))
        after = (await house.storage.store.conversation(HOME)).state
        assert after["rounds"] == before["rounds"] + 1
        assert (await house.storage.store.conversation(FAR)).state["rounds"] == 2

    play(scene, says("word"))


@pytest.mark.parametrize(
    ("text", "alone"),
    [
        ("continue here", "This is the only conversation of yours"),
        ("我们在这边继续聊吧", "我只知道您的这一个会话"),
        ("continue from test", "word"),
        ("接着聊", "word"),
        ("/follow", "This is the only conversation of yours"),
        ("/follow test", "This is the only conversation of yours"),
        ("接着刚才在网页上聊的", "我只知道您的这一个会话"),
    ],
)
def test_strangers_groups_and_others_are_left_alone(text: str, alone: str) -> None:
    async def scene(house: House) -> None:
        await say(house, heard(1, "what rhymes with tree"))
        stranger = await say(house, far(1, text))
        assert stranger.message.text.startswith(alone) and stranger.thread == ""
        await say(house, far(2, "talk apart"))
        one, _ = await house.storage.store.resolve(heard(1, ""))
        two, _ = await house.storage.store.resolve(far(1, ""))
        await house.storage.people.link(one.id, two.id, Act("test.link", "owner"))
        group = {"kind": "group", "mentioned": True}
        crowd = replace(heard(9, text, "g", sender="ann@far", **group), channel="far")
        never = "Only a conversation that you have alone" if text.startswith("/") else "word"
        assert (await say(house, crowd)).message.text.startswith(never)  # from a group: never
        await say(house, heard(10, "what rhymes with sea", sender="bob"))  # the place is no longer Ann's
        code = HOME.removeprefix("c_")[:6]
        assert code not in (await say(house, far(11, text))).message.text
        assert not (await house.storage.store.conversation(HOME)).places
        assert all("sea" not in turn.heard.text for turn in await house.storage.store.turns(FAR))
        await say(house, heard(12, "what rhymes with bee", "g2", **group))
        await say(house, far(13, "continue here"))  # into a group: never
        for room in ("c", "g2"):
            assert not (await house.storage.store.conversation(conversation_id("test", "a", room))).places

    play(scene, says("word"))


def test_both_apps_at_once_take_turns() -> None:
    """One turn at a time, each app's messages in their order, and none twice or lost."""
    running = most = 0

    def script(request: ChatRequest) -> Sequence[Delta | KithError | asyncio.Event]:
        nonlocal running, most
        running += 1
        most = max(most, running)
        go = asyncio.Event()

        def end() -> None:
            nonlocal running
            running -= 1
            go.set()

        asyncio.get_running_loop().call_later(0.002, end)
        return (go, Delta("word"), Delta(finish="stop", model="scripted"))

    async def scene(house: House) -> None:
        nonlocal most
        await linked(house)
        await say(house, far(2, "continue here"))
        most = 0
        texts = {
            "test": [f"what rhymes with tree {n}" for n in range(10)],
            "far": [f"and with sea {n}" for n in range(10)],
        }
        letters = [
            [heard(20 + n, text) for n, text in enumerate(texts["test"])],
            [far(20 + n, text) for n, text in enumerate(texts["far"])],
        ]

        async def all_of(app: Sequence[Envelope]) -> None:
            for letter in app:
                await house.engine.hear(letter)

        await asyncio.gather(*(all_of(app) for app in letters))
        out = await house.outbox(20)
        assert most == 1
        for app in ("test", "far"):
            replies = [parcel.reply_to for parcel in out if parcel.channel == app]
            assert replies == [f"{'c' if app == 'test' else 'd'}-{20 + n}" for n in range(10)]
        turns = [turn.heard.text for turn in await house.storage.store.turns(HOME, 20)]
        for app in texts.values():
            assert [text for text in turns if text in app] == app

    play(scene, script)


def test_what_waits_behind_the_wish_goes_along() -> None:
    slow = asyncio.Event()

    def script(request: ChatRequest) -> Sequence[Delta | KithError | asyncio.Event]:
        first = "hold on" in request.messages[-1].text
        return (*((slow,) if first else ()), Delta("word"), Delta(finish="stop", model="scripted"))

    async def scene(house: House) -> None:
        await linked(house)
        for number, text in enumerate(
            ("hold on and think of a verse", "continue here", "and what of Wind, then", "so?")
        ):
            await house.engine.hear(far(30 + number, text))
        slow.set()
        out = await house.outbox(4)
        assert [parcel.reply_to for parcel in out] == ["d-30", "d-31", "d-32", "d-33"]
        assert [parcel.thread for parcel in out] == ["", "", HOME, HOME]

    play(scene, script)


@pytest.mark.parametrize("kind", ["group", "direct"])
def test_a_place_where_others_come_in_is_on_its_own_again(kind: str) -> None:
    """A platform's room of two can become a room of three."""

    async def scene(house: House) -> None:
        await linked(house)
        assert (await say(house, far(2, "continue here"))).thread == ""
        assert (await say(house, far(3, "so what is it called, tell me in verse"))).thread == HOME
        room = {"kind": kind, "mentioned": True}
        asked = await say(house, far(4, "what do we talk about, tell me", sender="bob@far", **room))
        assert (asked.thread, asked.target) == ("", "d")
        assert "Wind" not in shown(house) and "in verse" not in shown(house)
        again = await say(house, far(5, "and what of the rest, tell me", **room))
        assert again.thread == "" and "Wind" not in shown(house)
        assert "in verse" not in [turn.heard.text for turn in await house.storage.store.turns(FAR)]
        assert (await say(house, heard(4, "and now in prose, please, at length"))).thread == ""
        assert "Wind" in shown(house)

    play(scene, says("word"))

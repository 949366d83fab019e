"""The Telegram channel, through aiogram, against an emulator of the Bot API."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from kith.channels.kit import Kit
from kith.channels.telegram.channel import TelegramChannel
from kith.channels.telegram.settings import TelegramSettings
from kith.core.channel import Hook
from kith.core.errors import Invalid, KithError, Refused, Unavailable
from kith.core.message import Envelope, Image, Part, Text
from kith.core.people import Parcel
from kith.core.turn import Accepted
from tests.channels.emulators.telegram import Telegram, telegram
from tests.channels.proxy import Proxy
from tests.channels.rig import household, until
from tests.channels.trial import ear, full, kit, reply, trial

pytestmark = pytest.mark.server
SECRET = "a-secret-of-the-tests"


def parcel(text: str, *more: Part, target: str = "7", reply_to: str = "") -> Parcel:
    return reply("telegram", target, text, more, reply_to=reply_to)


def tell(story: Callable[[TelegramChannel, Telegram, list[Envelope], Kit], Awaitable[None]], **settings: Any) -> None:
    shelf = kit()

    def make(platform: Telegram, shelf: Kit) -> TelegramChannel:
        given = {"token": "42:TEST", "api": platform.url, "poll": 1, **settings}
        return TelegramChannel(TelegramSettings(**given), shelf)

    trial(telegram, make, lambda *told: story(*told, shelf), shelf=shelf)


def test_both_ways_while_the_connection_breaks(tmp_path: Path) -> None:
    async def story() -> None:
        async with telegram() as platform, Proxy(int(platform.url.rpartition(":")[2])) as proxy:
            settings = {"token": "42:TEST", "api": f"http://127.0.0.1:{proxy.port}", "poll": 1, "access": "everyone"}
            async with household(tmp_path, "telegram", settings) as (_, echo):
                for number in range(60):
                    platform.hear(str(number), chat=100 + number % 20)
                    if number % 20 == 10:
                        await until(lambda: echo.heard)
                        proxy.cut()
                await until(lambda: len({one["seen"] for one in platform.said}) == 60, 240)
            for chat in range(20):
                wanted = [f"{chat + 20 * turn}" for turn in range(3)]
                assert echo.heard[str(100 + chat)] == wanted
                told = [one["seen"] for one in platform.said if one["chat_id"] == str(100 + chat)]
                assert list(dict.fromkeys(told)) == [f"re {text}" for text in wanted]

    asyncio.run(story())


def test_an_answer_lost_after_acceptance_is_sent_again_as_declared(tmp_path: Path) -> None:
    async def story() -> None:
        async with telegram() as platform:
            settings = {"token": "42:TEST", "api": platform.url, "poll": 1, "access": "everyone"}
            async with household(tmp_path, "telegram", settings) as (home, echo):
                platform.trouble = {"sendMessage": ["lose"], "getUpdates": [0, "lose"]}
                platform.hear("hello", number=5)
                await until(lambda: len(platform.said) == 2)
                await home.until_states(**{"re hello": "sent"})
                assert [one["seen"] for one in platform.said] == ["re hello"] * 2
                assert [one["reply_parameters"]["message_id"] for one in platform.said] == [5, 5]
                assert echo.heard == {"7": ["hello"]}

    asyncio.run(story())


def test_updates_in_any_order_and_lost_answers_lose_nothing_and_are_heard_once(tmp_path: Path) -> None:
    async def story() -> None:
        async with telegram() as platform:
            platform.chance = random.Random(7)
            settings = {"token": "42:TEST", "api": platform.url, "poll": 1, "access": "everyone"}
            async with household(tmp_path, "telegram", settings) as (home, echo):
                for number in range(18):
                    platform.hear(str(number), chat=100 + number % 6)
                    if number % 6 == 5:  # these were given, and nobody heard the answer: they are given again
                        platform.trouble["getUpdates"] = ["lose"]
                        platform.updates.append(platform.updates[-1])
                        await until(lambda: sum(map(len, echo.heard.values())) > 0)
                await until(lambda: len({one["seen"] for one in platform.said}) == 18, 240)
                await home.until(lambda: not platform.updates)
            heard = sorted(text for told in echo.heard.values() for text in told)
            assert heard == sorted(map(str, range(18)))
            # a reply that was under way when the connection was made anew may be seen twice, as declared
            assert {one["seen"] for one in platform.said} == {f"re {number}" for number in range(18)}

    asyncio.run(story())


def test_calls_in_any_order_and_repeated(tmp_path: Path) -> None:
    async def story() -> None:
        async with telegram() as platform:
            settings = {
                "token": "42:TEST", "api": platform.url, "mode": "calls", "secret": SECRET, "access": "everyone",
                "url": "https://kith.example/hooks/telegram/local",
            }  # fmt: skip
            async with household(tmp_path, "telegram", settings) as (home, echo):
                for number in range(6):
                    platform.hear(str(number))
                headers = {"x-telegram-bot-api-secret-token": SECRET}
                for update in [*reversed(platform.updates), *platform.updates]:
                    call = Hook("POST", headers=headers, body=json.dumps(update).encode())
                    assert (await home.manager.hook("telegram", "local", call)).status == 200
                await until(lambda: len(platform.said) == 6)
            assert echo.heard["7"] == list("543210")
            assert [one["seen"] for one in platform.said] == [f"re {number}" for number in "543210"]

    asyncio.run(story())


def test_a_reaction_names_the_reply_it_was_put_to() -> None:
    async def story(channel: TelegramChannel, platform: Telegram, heard: list[Envelope], shelf: Kit) -> None:
        sent = await channel.send(parcel("hello"))
        put = {"user": {"id": 7}, "chat": {"id": 7, "type": "private"}, "message_id": int(sent.receipt.split("/")[1])}
        kinds = {"old_reaction": [], "new_reaction": [{"type": "emoji", "emoji": "👍"}]}
        platform.updates.append({"update_id": 20_000, "message_reaction": {**put, **kinds}})
        await until(lambda: heard)
        assert (heard[0].reply_to, heard[0].reaction) == (sent.receipt, "👍")

    tell(story)


def test_nothing_is_acknowledged_before_it_is_kept() -> None:
    async def story() -> None:
        async with telegram() as platform:
            shelf, heard = kit(), list[Envelope]()
            settings = TelegramSettings(token="42:TEST", api=platform.url, poll=1)
            first = TelegramChannel(settings, shelf)
            await first.start(ear([], full(heard)))
            platform.hear("hello", number=5)
            await until(lambda: heard)
            await first.stop()
            assert platform.updates and set(platform.asked) == {0}
            second = TelegramChannel(settings, shelf)
            await second.start(ear(heard))
            await until(lambda: not platform.updates)
            assert [one.platform_id for one in heard] == ["7/5", "7/5"]
            await second.stop()

    asyncio.run(story())


def test_a_reply_says_what_it_answers_and_keeps_to_the_limit() -> None:
    async def story(channel: TelegramChannel, platform: Telegram, heard: list[Envelope], shelf: Kit) -> None:
        await channel.send(parcel("**bold** <b>&", target="7:3", reply_to="7/9"))
        first = platform.said[0]
        assert (first["seen"], first["message_thread_id"]) == ("bold <b>&", "3")
        assert first["reply_parameters"] == {"message_id": 9, "allow_sending_without_reply": True}
        platform.trouble = {"sendMessage": [0, 503]}
        long = parcel("\U0001f600 & so on. " * 900)
        with pytest.raises(Unavailable):
            await channel.send(long)
        await channel.send(long)
        told = "".join(one["seen"] for one in platform.said[1:])
        assert told.replace(" ", "") == long.message.text.replace(" ", "")
        await channel.typing("7")
        assert platform.actions[0]["action"] == "typing"

    tell(story)


@pytest.mark.parametrize(
    ("answer", "kind", "after"),
    [(429, Unavailable, 7.0), (502, Unavailable, 2.0), ("drop", Unavailable, 2.0), (403, Refused, None),
     (400, Invalid, None)],
)  # fmt: skip
def test_what_telegram_says_decides(answer: int | str, kind: type[KithError], after: float | None) -> None:
    async def story(channel: TelegramChannel, platform: Telegram, heard: list[Envelope], shelf: Kit) -> None:
        platform.trouble = {"sendMessage": [answer]}
        with pytest.raises(kind) as caught:
            await channel.send(parcel("hello"))
        assert getattr(caught.value, "retry_after", None) == after

    tell(story)


def test_files_come_and_go() -> None:
    async def story(channel: TelegramChannel, platform: Telegram, heard: list[Envelope], shelf: Kit) -> None:
        platform.files["big"] = b"a picture"
        photo = [{"file_id": "small", "file_size": 1}, {"file_id": "big", "file_size": 9}]
        platform.hear("", photo=photo, caption="look")
        platform.hear("", document={"file_id": "gone", "mime_type": "text/plain", "file_name": "a.txt"})
        await until(lambda: len(heard) == 2)
        text, picture = heard[0].message.parts
        assert isinstance(text, Text) and isinstance(picture, Image)
        assert (text.text, await shelf.blobs.fetch(picture)) == ("look", b"a picture")
        assert heard[1].message.text == "[a.txt: not to be had]"
        await channel.send(parcel("", picture))
        assert platform.said[0]["file"] == b"a picture"

    tell(story)


def test_repeated_and_strange_updates_harm_nothing() -> None:
    async def story(channel: TelegramChannel, platform: Telegram, heard: list[Envelope], shelf: Kit) -> None:
        platform.updates.append({"update_id": 1, "message": {"text": "x"}})
        platform.updates.append({"update_id": 2, "something_new": {}})
        platform.hear("hello", number=5)
        platform.updates.append({**platform.updates[-1], "update_id": 20_000})
        await until(lambda: len(heard) == 2)
        assert heard[0].message.id == heard[1].message.id  # the inbox knows it

    tell(story)


def test_a_wrong_token_is_not_tried_again() -> None:
    async def story(*_: Any) -> None:
        raise AssertionError

    for token in ("42:WRONG", "rubbish", ""):
        with pytest.raises(Refused):
            tell(story, token=token)


def test_an_expired_token_ends_the_connection() -> None:
    async def story() -> None:
        async with telegram() as platform:
            gone: list[str] = []

            async def accept(envelope: Envelope) -> Accepted:
                return Accepted("t", "c")

            settings = TelegramSettings(token="42:TEST", api=platform.url, poll=1)
            channel = TelegramChannel(settings, kit(lost=gone.append))
            await channel.start(accept)
            platform.token = "42:NEW"
            await until(lambda: gone)
            await channel.stop()

    asyncio.run(story())


def test_calls_are_believed_with_the_secret() -> None:
    async def story(channel: TelegramChannel, platform: Telegram, heard: list[Envelope], shelf: Kit) -> None:
        assert platform.hooked["secret_token"] == SECRET
        platform.hear("hello")
        body = json.dumps(platform.updates[0]).encode()
        good = {"x-telegram-bot-api-secret-token": SECRET}
        assert (await channel.hook(Hook("POST", headers=good, body=body))).status == 200
        assert heard[0].message.text == "hello"
        for headers in ({}, {"x-telegram-bot-api-secret-token": "é"}):
            with pytest.raises(Refused):
                await channel.hook(Hook("POST", headers=headers, body=body))
        for rubbish in (b"", b"\xff", b"[" * 100_000, b"[]"):
            with pytest.raises(Invalid):
                await channel.hook(Hook("POST", headers=good, body=rubbish))

    tell(story, mode="calls", url="https://kith.example/hooks/telegram/local", secret=SECRET)
    with pytest.raises(Invalid):
        tell(story, mode="calls")

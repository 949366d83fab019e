"""The Discord channel against an emulator of the Gateway and the REST API, and that emulator against discord.py."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yarl

from kith.channels.discord.channel import DiscordChannel
from kith.channels.discord.settings import DiscordSettings
from kith.channels.kit import Kit
from kith.core.errors import Invalid, KithError, NotFound, Refused, Unavailable
from kith.core.message import Envelope, Image, Part, Text
from kith.core.people import Parcel
from tests.channels.emulators.discord import ANN, CONTENT, GUILD, KITH, OTHER, PEER, ROLE, TOKEN, Discord, discord
from tests.channels.proxy import Proxy
from tests.channels.rig import household, until
from tests.channels.trial import (
    Story,
    cannot_work,
    ends,
    into_the_void,
    kept_for_the_next_process,
    kit,
    reply,
    trial,
    welcome,
)

pytestmark = pytest.mark.server


def given(platform: Discord, **more: Any) -> dict[str, Any]:
    return {"token": TOKEN, "api": f"{platform.url}/api/v10", "cdn": platform.url, **more}


def parcel(text: str, *more: Part, target: str = "7", reply_to: str = "") -> Parcel:
    return reply("discord", target, text, more, reply_to=reply_to)


def made(platform: Discord, shelf: Kit, **settings: Any) -> DiscordChannel:
    return DiscordChannel(DiscordSettings(**given(platform, **settings)), shelf)


def tell(
    story: Story[DiscordChannel, Discord], ready: Callable[[Discord], None] = lambda _: None, **settings: Any
) -> None:
    trial(discord, lambda platform, shelf: made(platform, shelf, **settings), story, ready=ready)


def test_both_ways_while_the_connection_breaks(tmp_path: Path) -> None:
    async def story() -> None:
        async with discord() as platform, Proxy(int(platform.url.rpartition(":")[2])) as proxy:
            platform.gateway = f"ws://127.0.0.1:{proxy.port}"
            settings = given(platform, api=f"http://127.0.0.1:{proxy.port}/api/v10", access="everyone", streaming="off")
            async with household(tmp_path, "discord", settings) as (_, echo):
                for number in range(60):
                    await platform.hear(str(number), channel=str(100 + number % 20))
                    if number % 20 == 10:
                        await until(lambda: echo.heard)
                        proxy.cut()
                await until(lambda: len({one["content"] for one in platform.said}) == 60, 240)
            for chat in range(100, 120):
                wanted = [f"{chat - 100 + 20 * turn}" for turn in range(3)]
                assert echo.heard[str(chat)] == wanted
                told = [one["content"] for one in platform.said if one["channel"] == str(chat)]
                assert told == [f"re {text}" for text in wanted]  # none twice: the platform knows their keys
            assert platform.begun == 1 and platform.resumed

    asyncio.run(story())


def test_what_was_not_kept_comes_again_in_the_next_process() -> None:
    kept_for_the_next_process(discord, made)


def test_when_the_session_is_gone_the_history_is_read() -> None:
    async def story(channel: DiscordChannel, platform: Discord, heard: list[Envelope]) -> None:
        await platform.hear("direct")
        await platform.hear("in a server", channel="8", guild_id=GUILD)
        await until(lambda: len(heard) == 2)
        platform.forget()
        for number in range(230):
            await platform.hear(str(number))
        await platform.hear("there too", channel="8")
        await until(lambda: platform.begun == 2)
        await platform.hear("live")
        await until(lambda: {"live", "there too"} <= {one.message.text for one in heard})
        texts = [one.message.text for one in heard if one.conversation == "7"]
        assert list(dict.fromkeys(texts)) == ["direct", *map(str, range(230)), "live"]
        assert [one.kind for one in heard if one.message.text == "there too"] == ["group"]
        names = {one.message.text: one.message.id for one in heard}
        assert all(names[one.message.text] == one.message.id for one in heard)  # what comes twice is known

    tell(story)


def test_the_gateway_may_ask_for_a_beat_or_a_new_connection() -> None:
    async def story(channel: DiscordChannel, platform: Discord, heard: list[Envelope]) -> None:
        await platform.command(1)
        await channel.probe()
        await platform.command(7)
        await until(lambda: platform.resumed)
        await platform.hear("after")
        await until(lambda: heard)
        await platform.command(9, True)  # may be taken up again
        await until(lambda: len(platform.resumed) == 2)
        assert platform.begun == 1
        await platform.command(9, False)
        await until(lambda: platform.begun == 2)
        await platform.hear("later")
        await until(lambda: heard[-1].message.text == "later")

    tell(story)


def test_heartbeats_without_an_answer_end_the_connection() -> None:
    def ready(platform: Discord) -> None:
        platform.deaf, platform.interval = True, 100

    async def story(channel: DiscordChannel, platform: Discord, heard: list[Envelope]) -> None:
        await until(lambda: platform.resumed)
        platform.deaf = False
        await channel.probe()

    tell(story, ready)


def test_silence_is_noticed_within_the_bound(tmp_path: Path) -> None:
    async def story() -> None:
        async with discord() as platform, Proxy(int(platform.url.rpartition(":")[2])) as proxy:
            platform.gateway = f"ws://127.0.0.1:{proxy.port}"
            settings = given(platform, api=f"http://127.0.0.1:{proxy.port}/api/v10", access="everyone")
            async with household(tmp_path, "discord", settings) as (home, echo):
                await into_the_void(home, "discord", proxy, lambda: platform.hear("into the void"))
                await until(lambda: echo.heard == {"7": ["into the void"]})

    asyncio.run(story())


def test_a_reply_says_what_it_answers_is_edited_and_keeps_to_the_limit() -> None:
    async def story(channel: DiscordChannel, platform: Discord, heard: list[Envelope]) -> None:
        asked = await platform.hear("question")
        sent = await channel.send(parcel("@everyone **bold**", reply_to=f"7/{asked['id']}"))
        first = platform.said[0]
        assert first["message_reference"]["message_id"] == asked["id"] and first["allowed_mentions"] == {"parse": []}
        assert sent.receipt == f"7/{first['id']}"
        await channel.edit(parcel("x"), sent.receipt, "\U0001f600" * 1500)
        assert platform.history["7"][-1]["content"] == "\U0001f600" * 1000
        for gone in ("7/1", "rubbish", "7/"):
            with pytest.raises(NotFound):
                await channel.edit(parcel("x"), gone, "text")
        platform.trouble = [0, 503]
        long = parcel("\U0001f600 and so on. " * 400)
        with pytest.raises(Unavailable):
            await channel.send(long)
        assert len((await channel.send(long)).receipt.split()) == len(platform.said) - 1
        told = "".join(one["content"] for one in platform.said[1:])
        assert told.replace(" ", "") == long.message.text.replace(" ", "")
        await channel.typing("7")
        assert platform.typed == ["7"]
        for target in ("../users", "7/8", ""):
            with pytest.raises(NotFound):
                await channel.send(parcel("x", target=target))
        put = {"user_id": ANN["id"], "channel_id": "7", "message_id": first["id"], "message_author_id": KITH["id"]}
        await platform.dispatch("MESSAGE_REACTION_ADD", {**put, "emoji": {"name": "👍", "id": None}})
        await until(lambda: len(heard) == 2)
        assert [one.message.text for one in heard] == ["question", ""]  # our own are not heard
        assert (heard[1].reaction, heard[1].reply_to) == ("👍", sent.receipt)  # so that the door knows what it is to

    tell(story)


@pytest.mark.parametrize(
    ("answer", "kind", "after"),
    [(429, Unavailable, 7.0), (502, Unavailable, 2.0), ("drop", Unavailable, 1.0), (403, Refused, None),
     (400, Invalid, None), (401, Refused, None), (404, NotFound, None)],
)  # fmt: skip
def test_what_discord_says_decides(answer: int | str, kind: type[KithError], after: float | None) -> None:
    async def story(channel: DiscordChannel, platform: Discord, heard: list[Envelope]) -> None:
        platform.trouble = [answer]
        await ends(channel.send(parcel("hello")), kind, after)

    tell(story)


def test_a_lost_answer_makes_no_second_message() -> None:
    async def story(channel: DiscordChannel, platform: Discord, heard: list[Envelope]) -> None:
        platform.trouble = ["lose"]
        with pytest.raises(Unavailable):
            await channel.send(parcel("hello"))
        assert (await channel.send(parcel("hello"))).receipt
        assert len(platform.said) == 1

    tell(story)


def test_the_rate_of_a_channel_is_told() -> None:
    async def story(channel: DiscordChannel, platform: Discord, heard: list[Envelope]) -> None:
        platform.rate = True
        with pytest.raises(Unavailable) as caught:
            for number in range(6):
                await channel.send(parcel("x" * (number + 1)))
        assert len(platform.said) == 5 and 0 < caught.value.retry_after <= 5

    tell(story)


def test_files_come_and_go() -> None:
    async def story(channel: DiscordChannel, platform: Discord, heard: list[Envelope]) -> None:
        elsewhere = {**platform.keep("b.txt", b"x", "text/plain"), "url": "http://127.0.0.1:1/secret"}
        gone = {**platform.keep("c.txt", b"x", "text/plain"), "url": f"{platform.url}/attachments/7/1/c.txt"}
        await platform.hear("look", attachments=[platform.keep("a.png", b"a picture", "image/png"), elsewhere, gone])
        await until(lambda: heard)
        text, picture, second, third = heard[0].message.parts
        assert isinstance(text, Text) and isinstance(picture, Image)
        assert (text.text, await channel._kit.blobs.fetch(picture)) == ("look", b"a picture")
        assert isinstance(second, Text) and isinstance(third, Text)
        assert second.outside and "b.txt" in second.text and "c.txt" in third.text
        await channel.send(parcel("here", picture))
        assert [one["files"] for one in platform.said] == [{}, {"a.png": b"a picture"}]

    tell(story)


def test_a_role_that_means_us_and_what_was_taken_back() -> None:
    async def story(channel: DiscordChannel, platform: Discord, heard: list[Envelope]) -> None:
        said = await platform.hear("<@&165511591545143296> hello", guild_id=GUILD, mention_roles=[ROLE])
        await platform.hear("hello", guild_id=GUILD, mention_roles=["9"])
        await platform.dispatch("MESSAGE_UPDATE", {**said, "content": "bye", "edited_timestamp": "2024-01-01T00:00:02"})
        await platform.dispatch("MESSAGE_DELETE_BULK", {"ids": [said["id"], "1"], "channel_id": "7", "guild_id": GUILD})
        await until(lambda: len(heard) == 4)
        assert [one.mentioned for one in heard] == [True, False, True, True]
        assert heard[2].edits == heard[3].edits == heard[0].platform_id and not heard[3].message.parts
        assert heard[3].sender == ANN["id"]

    tell(story)


def test_repeated_reordered_and_strange_events_harm_nothing() -> None:
    async def story(channel: DiscordChannel, platform: Discord, heard: list[Envelope]) -> None:
        await platform.dispatch("MESSAGE_CREATE", {"content": "x"})
        await platform.dispatch("SOMETHING_NEW", {})
        said = await platform.hear("later")
        await platform.dispatch("MESSAGE_CREATE", {**said, "id": str(int(said["id"]) - 1), "content": "earlier"})
        await platform.dispatch("MESSAGE_CREATE", said)
        await platform.hear("another bot", user=OTHER)
        await until(lambda: len(heard) == 4)
        assert [one.message.text for one in heard] == ["later", "earlier", "later", "another bot"]
        assert heard[0].message.id == heard[2].message.id  # the inbox knows it
        assert [one.bot for one in heard] == [False, False, False, True]
        for session in platform.sessions.values():
            assert session.socket is not None
            await session.socket.send_str("[" * 10_000)
        await until(lambda: platform.resumed)

    tell(story)


@pytest.mark.parametrize(
    ("wrong", "kind", "said"),
    [({"token": "wrong"}, Refused, "does not know this bot"), ({"token": ""}, Refused, "no token"),
     ({"token": "é"}, Refused, "no token"), ({"forbidden": CONTENT}, Refused, "Message Content Intent"),
     ({"starts": 0}, Unavailable, "no more sessions")],
)  # fmt: skip
def test_what_cannot_work_is_said_at_once(wrong: dict[str, Any], kind: type[KithError], said: str) -> None:
    platform = {key: wrong[key] for key in ("forbidden", "starts") if key in wrong}
    cannot_work(tell, kind, said, platform, **{key: wrong[key] for key in wrong if key not in platform})


def test_a_token_that_was_made_anew_ends_the_connection() -> None:
    async def story() -> None:
        async with discord() as platform:
            gone: list[str] = []
            channel = DiscordChannel(DiscordSettings(**given(platform)), kit(lost=gone.append))
            await channel.start(welcome)
            platform.users = {"another": KITH}
            await platform.command(7)
            await until(lambda: gone)
            assert "does not know this bot" in gone[0]
            with pytest.raises(Unavailable):
                await channel.probe()
            await channel.stop()
            with pytest.raises(Refused):
                await channel.start(welcome)

    asyncio.run(story())


def test_discord_py_understands_the_emulator_and_what_we_say(monkeypatch: pytest.MonkeyPatch) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # its part for voice imports audioop
        import discord as library

    async def story(channel: DiscordChannel, platform: Discord, heard: list[Envelope]) -> None:
        seen: list[Any] = []

        class Peer(library.Client):
            async def on_message(self, message: Any) -> None:
                seen.append(message)
                if message.content == "hello":
                    await message.reply("hello yourself")

        monkeypatch.setattr(library.http.Route, "BASE", f"{platform.url}/api/v10")
        monkeypatch.setattr(library.gateway.DiscordWebSocket, "DEFAULT_GATEWAY", yarl.URL(platform.gateway))
        intents = library.Intents.default()
        intents.message_content = True
        async with Peer(intents=intents) as peer:
            task = asyncio.create_task(peer.start(PEER))
            await until(lambda: peer.is_ready() or task.done())
            said = await channel.send(parcel("hello"))
            await until(lambda: heard)
            assert (heard[0].message.text, heard[0].reply_to, heard[0].bot) == ("hello yourself", said.receipt, True)
            assert heard[0].mentioned  # an answer to us
            picture = Image(channel._kit.blobs.put(b"a picture"), "image/png", "a.png")
            await channel.send(parcel("", picture, reply_to=heard[0].platform_id))
            await until(lambda: len(seen) == 3)
            assert await seen[2].attachments[0].read() == b"a picture"
            assert seen[2].reference.resolved.content == "hello yourself"
            await peer.close()
            await task

    tell(story)

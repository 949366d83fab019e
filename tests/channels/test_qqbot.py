"""The QQ channel against an emulator of QQ's open platform."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kith.channels.kit import Kit
from kith.channels.qqbot.channel import QqChannel
from kith.channels.qqbot.settings import QqSettings
from kith.core.clock import SystemClock
from kith.core.errors import Invalid, KithError, NotFound, Refused, Unavailable
from kith.core.message import Envelope, File, Image, Part, Text
from kith.core.people import Parcel
from tests.channels.emulators.qqbot import ANN, APP, GROUP, SECRET, Qq, call, qq
from tests.channels.proxy import Proxy
from tests.channels.rig import household, until
from tests.channels.trial import (
    Shifted,
    Story,
    cannot_work,
    ends,
    into_the_void,
    kept_for_the_next_process,
    kit,
    reply,
    trial,
)

pytestmark = pytest.mark.server
PLACE = f"u:{ANN}"


def given(platform: Qq, **more: Any) -> dict[str, Any]:
    return {"app": APP, "secret": SECRET, "api": platform.url, "tokens": platform.url, "media": ["127.0.0.1"], **more}


def parcel(text: str, *more: Part, target: str = PLACE, reply_to: str = "", name: str = "p") -> Parcel:
    return reply("qqbot", target, text, more, name=name, reply_to=reply_to)


def full(envelope: Envelope) -> None:
    if envelope.message.text == "busy":
        raise Unavailable("the disk is full")


def made(platform: Qq, shelf: Kit, **settings: Any) -> QqChannel:
    return QqChannel(QqSettings(**given(platform, **settings)), shelf)


def tell(
    story: Story[QqChannel, Qq],
    ready: Callable[[Qq], None] = lambda _: None,
    clock: SystemClock | None = None,
    **settings: Any,
) -> None:
    shelf = kit(clock)
    trial(qq, lambda *found: made(*found, **settings), story, shelf=shelf, ready=ready, door=lambda _: full)


def test_both_ways_while_the_connection_breaks(tmp_path: Path) -> None:
    async def story() -> None:
        async with qq() as platform, Proxy(int(platform.url.rpartition(":")[2])) as proxy:
            through = f"http://127.0.0.1:{proxy.port}"
            platform.gateway = f"ws{through[4:]}/websocket"
            settings = given(platform, api=through, tokens=through, access="everyone")
            async with household(tmp_path, "qqbot", settings) as (_, echo):
                for number in range(60):
                    await platform.hear(str(number), group=f"G{number % 20}")
                    if number % 20 == 10:
                        await until(lambda: echo.heard)
                        proxy.cut()
                await until(lambda: len({one["text"] for one in platform.said}) == 60, 240)
            for group in range(20):
                wanted = [f"{group + 20 * turn}" for turn in range(3)]
                assert echo.heard[f"g:G{group}"] == wanted
                told = [one["text"] for one in platform.said if one["place"] == f"groups/G{group}"]
                assert told == [f"re {text}" for text in wanted]  # none twice: QQ knows their numbers
            assert platform.begun == 1 and platform.resumed

    asyncio.run(story())


def test_what_was_not_kept_comes_again_in_the_next_process() -> None:
    kept_for_the_next_process(qq, made)


def test_sessions_end_and_begin() -> None:
    async def story(channel: QqChannel, platform: Qq, heard: list[Envelope]) -> None:
        await platform.command(7)
        await until(lambda: platform.resumed)
        await platform.leave(4009)
        await until(lambda: len(platform.resumed) == 2)
        platform.forget()
        await until(lambda: platform.begun == 2)
        await platform.leave(4900)
        await until(lambda: platform.begun == 3)
        await platform.command(9, False)
        await until(lambda: platform.begun == 4)
        platform.expire()
        await platform.command(7)
        await until(lambda: len(platform.resumed) == 3)
        await platform.hear("later")
        await until(lambda: heard)
        await channel.probe()

    tell(story)


def test_silence_is_noticed_within_the_bound(tmp_path: Path) -> None:
    async def story() -> None:
        async with qq() as platform, Proxy(int(platform.url.rpartition(":")[2])) as proxy:
            platform.gateway = f"ws://127.0.0.1:{proxy.port}/websocket"
            async with household(tmp_path, "qqbot", given(platform, access="everyone")) as (home, echo):
                await into_the_void(home, "qqbot", proxy, lambda: platform.hear("into the void"))
                await until(lambda: echo.heard == {PLACE: ["into the void"]})

    asyncio.run(story())


def test_heartbeats_without_an_answer_end_the_connection() -> None:
    def ready(platform: Qq) -> None:
        platform.deaf, platform.interval = True, 100

    async def story(channel: QqChannel, platform: Qq, heard: list[Envelope]) -> None:
        await until(lambda: platform.resumed)
        platform.deaf = False
        await channel.probe()

    tell(story, ready)


def test_answers_have_numbers_and_a_lost_one_is_not_said_twice() -> None:
    async def story(channel: QqChannel, platform: Qq, heard: list[Envelope]) -> None:
        asked = await platform.hear("question")
        await until(lambda: heard)
        assert (await channel.send(parcel("one", reply_to=asked))).receipt
        platform.trouble = ["lose"]
        with pytest.raises(Unavailable):
            await channel.send(parcel("second", reply_to=asked))
        await channel.send(parcel("second", reply_to=asked))
        await channel.send(parcel("a third one"))  # says not to what: the latest is answered
        assert [(one["text"], one["msg_id"], one["msg_seq"]) for one in platform.said] == [
            ("one", asked, 1), ("second", asked, 2), ("a third one", asked, 3),
        ]  # fmt: skip
        with pytest.raises(Refused, match="unasked"):
            await channel.send(parcel("x" * 9000, reply_to=asked))  # three pieces, two answers left

    tell(story)


def test_when_an_answer_comes_too_late_another_message_is_answered() -> None:
    clock = Shifted()

    async def story(channel: QqChannel, platform: Qq, heard: list[Envelope]) -> None:
        first = await platform.hear("first", group=GROUP)
        second = await platform.hear("second", group=GROUP)
        await until(lambda: len(heard) == 2)
        platform.late.add(first)
        await channel.send(parcel("one", target=f"g:{GROUP}", reply_to=first))
        assert platform.said[-1]["msg_id"] == second
        clock.ahead = 301.0
        with pytest.raises(Refused):
            await channel.send(parcel("three", target=f"g:{GROUP}", reply_to=second))
        platform.unasked = 1
        await channel.send(parcel("four!", target=f"g:{GROUP}", reply_to=second))
        assert "msg_id" not in platform.said[-1]
        for target in ("g:../users", "x:1", "", "u:"):
            with pytest.raises(NotFound):
                await channel.send(parcel("x", target=target))

    tell(story, clock=clock)


@pytest.mark.parametrize(
    ("answer", "kind", "after"),
    [(429, Unavailable, 7.0), (502, Unavailable, 2.0), ("drop", Unavailable, 1.0), (304082, Unavailable, 2.0),
     (1100100, Unavailable, 5.0), (403, Refused, None), (11265, Refused, None), (1100101, Invalid, None)],
)  # fmt: skip
def test_what_qq_says_decides(answer: int | str, kind: type[KithError], after: float | None) -> None:
    async def story(channel: QqChannel, platform: Qq, heard: list[Envelope]) -> None:
        await platform.hear("question")
        await until(lambda: heard)
        platform.trouble = [answer]
        await ends(channel.send(parcel("hello")), kind, after)

    tell(story)


def test_tokens_are_renewed_when_they_expire() -> None:
    clock = Shifted()

    async def story(channel: QqChannel, platform: Qq, heard: list[Envelope]) -> None:
        await platform.hear("question")
        await until(lambda: heard)
        assert platform.tokens == 1
        clock.ahead = 3000.0
        await channel.send(parcel("one"))
        assert platform.tokens == 1
        clock.ahead = 7160.0  # less than 45 s are left
        await platform.hear("again", timestamp="2999-01-01T00:00:00+00:00")
        await until(lambda: len(heard) == 2)
        await channel.send(parcel("three"))
        assert platform.tokens == 2
        platform.expire()  # sooner than it said
        await channel.send(parcel("seven.."))
        assert platform.tokens == 3 and len(platform.said) == 3

    tell(story, clock=clock)


def test_links_that_qq_refuses_are_sent_so_that_nobody_can_click_them() -> None:
    async def story(channel: QqChannel, platform: Qq, heard: list[Envelope]) -> None:
        await platform.hear("question")
        await until(lambda: heard)
        await channel.send(parcel("see https://example.com/a"))
        assert platform.said[0]["text"] == "see https：//example．com/a"
        assert platform.said[0]["msg_seq"] == 1
        await channel.send(parcel("**bold**"))
        assert platform.said[1]["msg_type"] == 2

    tell(story, markdown=True)


def test_files_come_and_go() -> None:
    async def story(channel: QqChannel, platform: Qq, heard: list[Envelope]) -> None:
        platform.files["a"] = b"a picture"
        files = [
            {"content_type": "image/png", "filename": "a.png", "url": f"{platform.url}/download/a"},
            {"content_type": "file", "filename": "b.pdf", "url": f"{platform.url}/download/gone"},
            {"content_type": "file", "filename": "c.txt", "url": "http://127.0.0.1.example/secret"},
        ]
        asked = await platform.hear("look", attachments=files)
        await until(lambda: heard)
        text, picture, second, third = heard[0].message.parts
        assert isinstance(text, Text) and isinstance(picture, Image)
        assert (text.text, await channel._kit.blobs.fetch(picture)) == ("look", b"a picture")
        assert isinstance(second, Text) and isinstance(third, Text) and third.outside
        plan = File(channel._kit.blobs.put(b"a plan"), "application/pdf", "b.pdf")
        await channel.send(parcel("here", picture, plan, reply_to=asked))
        assert [(one["msg_type"], one["file"], one["msg_seq"]) for one in platform.said] == [
            (0, b"", 1), (7, b"a picture", 2), (7, b"a plan", 3),
        ]  # fmt: skip
        assert [body["file_type"] for _, body in platform.uploads.values()] == [1, 4]

    tell(story)


def test_repeated_reordered_and_strange_events_harm_nothing() -> None:
    async def story(channel: QqChannel, platform: Qq, heard: list[Envelope]) -> None:
        await platform.dispatch("C2C_MESSAGE_CREATE", {"content": "x"})
        await platform.dispatch("SOMETHING_NEW", "text")
        later, earlier = platform.message("later"), platform.message("earlier")
        for event in (earlier, later, earlier):
            await platform.dispatch(event["t"], event["d"])
        await until(lambda: len(heard) == 3)
        assert heard[0].message.id == heard[2].message.id  # the inbox knows it
        for session in platform.sessions.values():
            assert session.socket is not None
            await session.socket.send_str("rubbish")
        await until(lambda: platform.resumed)

    tell(story)


@pytest.mark.parametrize(
    ("wrong", "kind", "said"),
    [({"secret": "wrong"}, Refused, "does not know this bot"), ({"app": ""}, Refused, "AppID"),
     ({"close": 4014}, Refused, "let this bot hear"), ({"close": 4915}, Refused, "banned"),
     ({"starts": 0}, Unavailable, "no more sessions")],
)  # fmt: skip
def test_what_cannot_work_is_said_at_once(wrong: dict[str, Any], kind: type[KithError], said: str) -> None:
    platform = {key: wrong[key] for key in ("close", "starts") if key in wrong}
    cannot_work(tell, kind, said, platform, **{key: wrong[key] for key in wrong if key not in platform})


def test_calls_are_believed_only_when_signed_new_and_in_time() -> None:
    async def story(channel: QqChannel, platform: Qq, heard: list[Envelope]) -> None:
        assert platform.begun == 0
        challenge = {"op": 13, "d": {"plain_token": "Arq0D5A61EgUu4OxUvOp", "event_ts": "1725442341"}}
        told = (await channel.hook(call(challenge))).body
        assert b'"signature":"87befc99c42c651b3aac0278e71ada338433ae26fcb24307bdc5ad38c1adc2d0' in told
        assert (await channel.hook(call({"op": 1, "d": 7}))).body == b'{"op":11,"d":7}'
        good = call(platform.message("hello", group=GROUP))
        assert (await channel.hook(good)).body == b'{"op":12,"d":0}'
        assert heard[0].message.text == "hello" and heard[0].conversation == f"g:{GROUP}"
        await channel.send(parcel("yes", target=heard[0].conversation, reply_to=heard[0].platform_id))
        assert platform.said[0]["place"] == f"groups/{GROUP}"
        busy = call(platform.message("busy"))
        for _ in range(2):  # it was not kept: it may come again
            with pytest.raises(Unavailable):
                await channel.hook(busy)
        event = platform.message("more")
        for bad in (good, call(event, secret="wrong"), call(event, at=time.time() - 400)):
            with pytest.raises(Refused):
                await channel.hook(bad)
        for rubbish in (b"", b"\xff", b"[]", b"[" * 100_000):
            with pytest.raises(Invalid):
                await channel.hook(call({}, raw=rubbish))
        await channel.probe()

    tell(story, mode="calls")

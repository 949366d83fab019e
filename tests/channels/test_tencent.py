"""WeCom and WeChat official accounts against an emulator of their APIs, and the platforms' own sample of the seal."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from kith.channels import wechat, wecom
from kith.channels.kit import Kit, Seal, tags
from kith.channels.wechat import channel as weixin
from kith.channels.wechat.settings import WechatSettings
from kith.channels.wecom.channel import WecomChannel
from kith.channels.wecom.settings import WecomSettings
from kith.core.channel import Hook
from kith.core.clock import FrozenClock
from kith.core.errors import Invalid, KithError, Refused, Unavailable
from kith.core.ids import Ids
from kith.core.message import Envelope, File, Image, Message, Text
from kith.core.people import Parcel
from kith.core.turn import Accepted
from kith.runtime.streams import Streams
from tests.channels.emulators.tencent import KEY, OWNER, PICTURE, SEAL, SECRET, TOKEN, Tencent, call

# The request in the sample code that the platforms hand out.
SAMPLE = (
    "RypEvHKD8QQKFhvQ6QleEB4J58tiPdvo+rtK1I9qca6aM/wvqnLSV5zEPeusUiX5L5X/0lWfrf0QADHHhGd3QczcdCUpj911L3vg3W/sYYvu"
    "JTs3TUUkSUXxaccAS0qhxchrRYt66wiSpGLYL42aM6A8dTT+6k4aSknmPj48kzJs8qLjvd4Xgpue06DOdnLxAUHzM6+kDZ+HMZfJYuR+LtwG"
    "c2hgf5gsijff0ekUNXZiqATP7PF5mZxZ3Izoun1s4zG4LUMnvw2r+KqCKIw+3IQH03v+BCA9nMELNqbSf6tiWSrXJB3LAVGUcallcrw8V2t9"
    "EL4EhzJWrQUax5wLVMNS0+rUPA3k22Ncx4XXZS9o0MBH27Bo6BpNelZpS+/uh9KsNlY6bHCmJU9p8g7m3fVKn28H3KDYA5Pl/T8Z1ptDAVe0"
    "lXdQ2YoyyH2uyPIGHBZZIs2pDBS8R07+qN+E7Q=="
)
Story = Callable[[Any, Tencent, list[Envelope]], Awaitable[None]]
BOTH = pytest.mark.parametrize("platform", ["wecom", "wechat"])


def letter(platform: str, name: str) -> str:
    module = wecom if platform == "wecom" else wechat
    return (Path(str(module.__file__)).parent / "tests" / "fixtures" / f"{name}.xml").read_text("utf-8")


def tell(platform: str, story: Story, **settings: Any) -> None:
    async def whole() -> None:
        platform_api = Tencent()
        runner = web.AppRunner(platform_api.app(), shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        base = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"
        clock = FrozenClock()
        kit = Kit(None, Streams(), clock, Ids(clock), lambda turn: None)
        given: dict[str, Any] = {"secret": SECRET, "token": TOKEN, "key": KEY, "base": base, **settings}
        channel: Any = (
            WecomChannel(WecomSettings(corp=OWNER, agent=218, **given), kit)
            if platform == "wecom"
            else weixin.WechatChannel(WechatSettings(app=OWNER, **given), kit)
        )
        heard: list[Envelope] = []

        async def accept(envelope: Envelope) -> Accepted:
            if envelope.message.text == "busy":
                raise Unavailable("the disk is full")
            heard.append(envelope)
            return Accepted("t_1", "c_1", duplicate=len(heard) > 1)

        try:
            await channel.start(accept)
            await story(channel, platform_api, heard)
        finally:
            await channel.stop()
            await runner.cleanup()

    asyncio.run(whole())


def parcel(text: str, number: int = 1) -> Parcel:
    said = Message(f"m_{number}", "assistant", (Text(text),), 0.0)
    return Parcel(f"m_{number}", number, "c_1", "wecom", "local", "mycreate", said)


def test_the_sample_of_the_platform_is_opened() -> None:
    SEAL.check("477715d11cdb4164915debcba66cb864d751f3e6", "1409659813", "1372623149", SAMPLE)
    found = tags(SEAL.open(SAMPLE))
    assert (found["FromUserName"], found["Content"], found["MsgId"]) == ("mycreate", "hello", "4561255354251345929")
    echo = "P9nAzCzyDtyTWESHep1vC5X9xho/qYX3Zpb4yKa9SKld1DsH3Iyt3tP3zNdtp+4RPcs8TgAE7OaBO+FZXvnaqQ=="
    SEAL.check("5c45ff5e21c57e6ad56bac8758b79b1d9ac89fd3", "1409659589", "263014780", echo)
    assert SEAL.open(echo).isdigit()


def test_a_seal_that_is_broken_or_of_somebody_else_is_not_opened() -> None:
    assert SEAL.open(SEAL.close("你好".encode())).decode() == "你好"
    for bad in ("", "=", "é", "AAAA", SAMPLE[:-24], "A" * 64, Seal(TOKEN, KEY, "other").close(b"x")):
        with pytest.raises(Invalid):
            SEAL.open(bad)
    with pytest.raises(Invalid):
        Seal(TOKEN, "short", OWNER)


@pytest.mark.parametrize(
    "raw",
    [b"", b"\xff", b"<a", b"x" * 300_000, "\ud800", b'<!DOCTYPE a [<!ENTITY b "c">]><a><d>&b;</d></a>',
     '<?xml version="1.0" encoding="utf-16"?><a/>'.encode("utf-16")],
)  # fmt: skip
def test_hostile_letters_are_invalid(raw: Any) -> None:
    with pytest.raises(Invalid):
        tags(raw)


@pytest.mark.server
@BOTH
def test_replies_go_out_in_pieces_that_are_not_repeated(platform: str) -> None:
    async def story(channel: Any, api: Tencent, heard: list[Envelope]) -> None:
        text = "你好世界。" * 300
        api.trouble = [0, 45009]
        with pytest.raises(Unavailable) as caught:
            await channel.send(parcel(text))
        assert caught.value.retry_after == 60.0
        await channel.send(parcel(text))
        assert "".join(one["text"]["content"] for one in api.sent) == text
        assert {one["touser"] for one in api.sent} == {"mycreate"}
        await channel.probe()

    tell(platform, story)


@pytest.mark.server
@BOTH
def test_a_token_that_expired_is_asked_for_anew(platform: str) -> None:
    async def story(channel: Any, api: Tencent, heard: list[Envelope]) -> None:
        api.expire()
        await channel.send(parcel("hello"))
        assert (len(api.sent), api.tokens) == (1, 2)

    tell(platform, story)


@pytest.mark.server
@BOTH
@pytest.mark.parametrize(
    ("trouble", "kind", "after"),
    [(429, Unavailable, 7.0), (502, Unavailable, 5.0), (-1, Unavailable, 1.0), (45015, Invalid, None),
     (404, Invalid, None)],
)  # fmt: skip
def test_what_the_platform_says_decides(platform: str, trouble: int, kind: type[KithError], after: float) -> None:
    async def story(channel: Any, api: Tencent, heard: list[Envelope]) -> None:
        api.trouble = [trouble]
        with pytest.raises(kind) as caught:
            await channel.send(parcel("hello"))
        assert getattr(caught.value, "retry_after", None) == after

    tell(platform, story)


@pytest.mark.server
@BOTH
def test_a_wrong_secret_is_told_at_once(platform: str) -> None:
    async def story(channel: Any, api: Tencent, heard: list[Envelope]) -> None:
        raise AssertionError

    with pytest.raises(Refused):
        tell(platform, story, secret="wrong")


@pytest.mark.server
@BOTH
def test_the_address_is_proven(platform: str) -> None:
    async def story(channel: Any, api: Tencent, heard: list[Envelope]) -> None:
        echo = SEAL.close(b"1616140317555161061") if platform == "wecom" else "1616140317555161061"
        query = {"timestamp": "1", "nonce": "2", "echostr": echo}
        query |= {"msg_signature": SEAL.sign("1", "2", echo), "signature": SEAL.sign("1", "2")}
        assert (await channel.hook(Hook("GET", query=query))).body == b"1616140317555161061"
        with pytest.raises(Refused):
            await channel.hook(Hook("GET", query={**query, "nonce": "3"}))

    tell(platform, story)


@pytest.mark.server
@BOTH
def test_calls_are_believed_only_when_sealed_new_and_in_time(platform: str) -> None:
    async def story(channel: Any, api: Tencent, heard: list[Envelope]) -> None:
        good = call(letter(platform, "text"))
        assert (await channel.hook(good)).body == b"success"
        for bad in (
            good,  # the very same call
            dataclasses.replace(good, query={**good.query, "nonce": "n2"}),
            call(letter(platform, "text"), stamp="1699999699"),
            call(letter(platform, "text"), stamp="٣"),
            call(letter(platform, "text"), seal=Seal("another", KEY, OWNER)),
        ):
            with pytest.raises(Refused):
                await channel.hook(bad)
        with pytest.raises(Invalid):
            await channel.hook(call("<xml><MsgType>text</MsgType></xml>", nonce="n9"))
        assert (await channel.hook(call(letter(platform, "event")))).body == b"success"
        assert (await channel.hook(Hook("PUT"))).status == 405
        assert [(one.sender, one.message.text) for one in heard] == [("mycreate", "hello 你好")]

    tell(platform, story)


@pytest.mark.server
@BOTH
def test_a_message_that_could_not_be_kept_may_come_again(platform: str) -> None:
    async def story(channel: Any, api: Tencent, heard: list[Envelope]) -> None:
        busy = call(letter(platform, "text").replace("hello 你好", "busy"))
        for _ in range(2):
            with pytest.raises(Unavailable):
                await channel.hook(busy)

    tell(platform, story)


@pytest.mark.server
@BOTH
def test_a_picture_is_fetched_and_a_lost_sound_is_named(platform: str) -> None:
    async def story(channel: Any, api: Tencent, heard: list[Envelope]) -> None:
        await channel.hook(call(letter(platform, "image")))
        await channel.hook(call(letter(platform, "voice")))
        picture, sound = heard[0].message.parts[0], heard[1].message.parts[0]
        assert isinstance(picture, Image) and (picture.mime, picture.size) == ("image/jpeg", len(PICTURE))
        assert await channel._kit.blobs.fetch(picture) == PICTURE
        assert sound == Text("[audio/amr: not to be had]", outside=True)

    tell(platform, story)


@pytest.mark.server
@BOTH
def test_a_film_and_a_file_come_with_their_bytes(platform: str) -> None:
    async def story(channel: Any, api: Tencent, heard: list[Envelope]) -> None:
        shown = letter(platform, "image")
        for kind, more in (("video", ""), ("file", "<FileName>plan.pdf</FileName>")):
            changed = shown.replace("[image]", f"[{kind}]").replace("</xml>", f"{more}</xml>")
            await channel.hook(call(changed, nonce=f"n-{kind}"))
        film, plan = heard[0].message.parts[0], heard[1].message.parts[0]
        assert isinstance(film, File) and isinstance(plan, File)
        assert (film.name, plan.name, plan.size) == ("video.mp4", "plan.pdf", len(PICTURE))
        assert await channel._kit.blobs.fetch(film) == PICTURE

    tell(platform, story)


@pytest.mark.server
def test_pictures_and_files_go_out_in_wecom() -> None:
    async def story(channel: Any, api: Tencent, heard: list[Envelope]) -> None:
        keep = channel._kit.blobs.put
        cat, plan = Image(keep(b"a cat's picture"), "image/png", "cat.png"), File(keep(b"a whole plan"), "text/plain")
        moving = Image(keep(b"a moving cat"), "image/gif", "cat.gif")
        said = Message("m_1", "assistant", (Text("here"), cat, plan, moving), 0.0)
        api.expire()
        await channel.send(dataclasses.replace(parcel(""), message=said))
        assert [body["msgtype"] for body in api.sent] == ["text", "image", "file", "file"]
        kept = [(kind, name) for kind, name, _ in api.stored.values()]
        assert kept == [("image", "cat.png"), ("file", "text.plain"), ("file", "cat.gif")]
        assert all("media" not in body for body in api.sent)

    tell("wecom", story)


@pytest.mark.server
def test_a_passive_reply_is_the_answer_to_the_call() -> None:
    async def story(channel: Any, api: Tencent, heard: list[Envelope]) -> None:
        with pytest.raises(Unavailable):
            await channel.send(parcel("too early"))
        asked = asyncio.create_task(channel.hook(call(letter("wechat", "text"))))
        while not heard:
            await asyncio.sleep(0)
        await channel.send(parcel("5 < 6 & " + "好" * 1000))
        answer = tags((await asked).body)
        SEAL.check(answer["MsgSignature"], answer["TimeStamp"], answer["Nonce"], answer["Encrypt"])
        said = tags(SEAL.open(answer["Encrypt"]))
        assert said["Content"].startswith("5 < 6 & 好") and said["Content"].endswith("…")
        assert len(said["Content"].encode()) <= 2048
        assert (said["ToUserName"], said["FromUserName"], api.sent) == ("mycreate", OWNER, [])

    tell("wechat", story, reply="passive")


@pytest.mark.server
def test_a_passive_reply_that_is_late_waits_for_the_next_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weixin, "PATIENCE", 0.0)
    monkeypatch.setattr(weixin, "_REST", 0.0)

    async def story(channel: Any, api: Tencent, heard: list[Envelope]) -> None:
        again = call(letter("wechat", "text"))
        with pytest.raises(Unavailable):
            await channel.hook(again)
        monkeypatch.setattr(weixin, "PATIENCE", 60.0)
        asked = asyncio.create_task(channel.hook(again))  # the very same call, made again
        while len(heard) < 2:
            await asyncio.sleep(0)
        await channel.send(parcel("late"))
        assert tags(SEAL.open(tags((await asked).body)["Encrypt"]))["Content"] == "late"

    tell("wechat", story, reply="passive")

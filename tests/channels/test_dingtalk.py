"""The DingTalk channel against an emulator of the API and of Stream mode, which DingTalk's SDK believes."""

from __future__ import annotations

import asyncio
import io
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from kith.channels.dingtalk.channel import DingtalkChannel
from kith.channels.dingtalk.settings import DingtalkSettings
from kith.channels.kit import Kit
from kith.core.errors import Invalid, KithError, Refused, Unavailable
from kith.core.message import Audio, Envelope, File, Image, Part
from kith.core.people import Parcel
from tests.channels.emulators.dingtalk import APP, PICTURE, SECRET, Dingtalk, dingtalk
from tests.channels.rig import Stage, play, until
from tests.channels.trial import Story, ear, ends, kit, once, reply, silence_noticed, suite, token_renewed, trial

pytestmark = pytest.mark.server


def parcel(text: str, *parts: Part, target: str = "@ann", name: str = "p") -> Parcel:
    return reply("dingtalk", target, text, parts, name=name)


def tell(story: Story[DingtalkChannel, Dingtalk], clock: Any = None, **settings: Any) -> list[str]:
    """What the channel said when its connection was lost."""
    gone: list[str] = []

    def make(platform: Dingtalk, shelf: Kit) -> DingtalkChannel:
        given = {"app": APP, "secret": SECRET, "api": platform.url, "oapi": platform.url, **settings}
        return DingtalkChannel(DingtalkSettings(**given), shelf)

    shelf = kit(clock, lost=gone.append)
    trial(dingtalk, make, story, shelf=shelf, door=lambda platform: once(lambda: not platform.answered))
    return gone


def test_messages_are_answered_in_order_once_they_are_kept() -> None:
    async def story(channel: DingtalkChannel, platform: Dingtalk, heard: list[Envelope]) -> None:
        await until(lambda: platform.sockets)
        await platform.hear("busy")
        for number in range(30):
            await platform.hear(str(number))
        await until(lambda: not platform.waiting)
        assert [one.message.text for one in heard] == ["busy", *map(str, range(30))]
        assert platform.answered[-1]["code"] == 200 and platform.answered[-1]["data"] == '{"response":null}'
        await platform.hear("twice", copies=2)
        await until(lambda: not platform.waiting and len(heard) == 33)
        assert heard[-1].message.id == heard[-2].message.id  # the inbox knows it
        await platform.tell("ping", {"opaque": "0x1"})
        await until(lambda: platform.system)
        assert (platform.system[0]["code"], platform.system[0]["data"]) == (200, '{"opaque": "0x1"}')
        await channel.probe()

    assert tell(story) == []


def test_a_connection_that_is_replaced_answers_what_it_heard_first() -> None:
    async def story(channel: DingtalkChannel, platform: Dingtalk, heard: list[Envelope]) -> None:
        await until(lambda: platform.sockets)
        for number in range(10):
            await platform.hear(str(number))
        await platform.tell("disconnect", {"reason": "connection is expired"})
        await until(lambda: not platform.waiting)
        run: Any = channel._task
        await until(run.done)
        assert len(heard) == 10

    assert tell(story) == ["DingTalk wants the connection replaced"]


def test_what_was_not_kept_comes_again_on_the_next_connection() -> None:
    async def story(channel: DingtalkChannel, platform: Dingtalk, heard: list[Envelope]) -> None:
        await until(lambda: platform.sockets)
        line: Any = channel._line
        for socket in tuple(platform.sockets):
            await socket.close()
        await until(line._task.done)
        await platform.hear("while nobody listened")
        await channel.start(ear(heard))
        await until(lambda: not platform.waiting)
        assert heard[-1].message.text == "while nobody listened" and platform.opened == 2

    assert tell(story) == ["DingTalk closed the connection"]


def test_strange_frames_harm_nothing() -> None:
    async def story(channel: DingtalkChannel, platform: Dingtalk, heard: list[Envelope]) -> None:
        await until(lambda: platform.sockets)
        for socket in platform.sockets:
            for rubbish in ("", "[]", "{", '{"type": "CALLBACK"}', '{"type": 7, "headers": 8}', "[" * 10_000):
                await socket.send_str(rubbish)
            await socket.send_bytes(b"\xff")
            frame = {"type": "CALLBACK", "headers": {"messageId": "fx/none"}, "data": "[]"}
            await socket.send_json(frame)
        await platform.hear("", senderNick=7, msgtype=9)
        await platform.hear("after")
        await until(lambda: not platform.waiting)
        assert [one.message.text for one in heard] == ["after"]

    assert tell(story) == []


def test_replies_go_to_persons_and_groups_in_pieces_that_are_not_repeated() -> None:
    async def story(channel: DingtalkChannel, platform: Dingtalk, heard: list[Envelope]) -> None:
        sent = await channel.send(parcel("**hello**\nyou"))
        assert platform.said == [
            {"to": "ann", "key": "sampleMarkdown", "title": "hello", "text": "**hello**  \nyou"}
        ]  # fmt: skip
        assert sent.receipt == "key-1"
        platform.trouble = {"send": [0, 503]}
        long = parcel("你好世界。" * 1500, target="cid-group")
        with pytest.raises(Unavailable):
            await channel.send(long)
        await channel.send(long)
        assert "".join(one["text"] for one in platform.said[1:]) == long.message.text
        assert {one["to"] for one in platform.said[1:]} == {"cid-group"}
        platform.trouble = {"send": ["lose"]}  # at least once: when the answer is lost, it is said again
        with pytest.raises(Unavailable):
            await channel.send(parcel("again"))
        await channel.send(parcel("again"))
        assert [one["text"] for one in platform.said[-2:]] == ["again", "again"]

    tell(story)


def test_a_session_is_answered_where_it_is_wished_or_the_only_way() -> None:
    async def story(channel: DingtalkChannel, platform: Dingtalk, heard: list[Envelope]) -> None:
        await platform.hear("hello")
        await platform.hear("hello", group="cid-g")
        await platform.hear("hello", senderStaffId="", senderId="$:far")
        for url in ("https://evil.example/robot/sendBySession?session=x", f"{platform.url}.evil/robot/sendBySession?"):
            await platform.hear("hello", person="eve", sessionWebhook=url)
        await until(lambda: not platform.waiting)
        for target in ("@ann", "cid-g", "@$:far", "@eve"):
            await channel.send(parcel("hi", target=target, name=target))
        assert [(one["to"], one["key"]) for one in platform.said] == [
            ("ann", "session"), ("cid-g", "session"), ("ann", "session"), ("eve", "sampleMarkdown"),
        ]  # fmt: skip
        await platform.hear("late", person="bob", sessionWebhookExpiredTime=1)
        await until(lambda: not platform.waiting)
        await channel.send(parcel("hi", target="@bob", name="bob"))
        assert platform.said[-1]["key"] == "sampleMarkdown"
        with pytest.raises(Refused):
            await channel.send(parcel("hi", target="@$:unknown", name="u"))

    async def plain(channel: DingtalkChannel, platform: Dingtalk, heard: list[Envelope]) -> None:
        await platform.hear("hello")
        await until(lambda: not platform.waiting)
        await channel.send(parcel("hi"))
        assert platform.said[-1]["key"] == "sampleMarkdown"

    tell(story, reply="session")
    tell(plain)


def sound(seconds: float) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(8000)
        out.writeframes(b"\0\0" * int(8000 * seconds))
    return file.getvalue()


def test_files_come_and_go() -> None:
    async def story(channel: DingtalkChannel, platform: Dingtalk, heard: list[Envelope]) -> None:
        await platform.hear("", msgtype="picture", content={"downloadCode": "code_1"})
        await platform.hear("", msgtype="file", content={"downloadCode": "gone", "fileName": "a.txt"})
        await until(lambda: len(heard) == 2)
        picture = heard[0].message.parts[0]
        assert isinstance(picture, Image) and await channel._kit.blobs.fetch(picture) == PICTURE
        assert heard[1].message.text == "[a.txt: not to be had]"
        put = channel._kit.blobs.put
        image = Image(put(PICTURE), "image/jpeg", "x.jpg")
        files = (Audio(put(sound(1.5)), "audio/wav"), File(put(b"%PDF"), "application/pdf", "plan.pdf"))
        platform.expire()  # also an upload asks for a new token
        await channel.send(parcel("look", image, *files))
        assert [one["key"] for one in platform.said] == [
            "sampleMarkdown",
            "sampleImageMsg",
            "sampleAudio",
            "sampleFile",
        ]
        assert platform.said[2]["duration"] == "1500" and platform.said[3]["fileType"] == "pdf"
        assert platform.uploads[platform.said[1]["photoURL"]] == ("image", "x.jpg", PICTURE)
        with pytest.raises(Invalid):
            await channel.send(parcel("", Audio(put(b"noise"), "audio/wav"), name="noise"))

    tell(story)


def test_the_token_is_renewed_before_it_ends_and_when_it_is_stale() -> None:
    token_renewed(tell, parcel)


@pytest.mark.parametrize(
    ("answer", "kind", "after"),
    [(429, Unavailable, 7.0), ("Forbidden.AccessDenied.QpsLimitForApi", Unavailable, 5.0), (502, Unavailable, 5.0),
     ("88", Unavailable, 5.0), ("Forbidden.AccessDenied.AccessTokenPermissionDenied", Refused, None),
     ("invalidParameter.userIds.invalid", Invalid, None), (404, Unavailable, 5.0)],
)  # fmt: skip
def test_what_dingtalk_says_decides(answer: int | str, kind: type[KithError], after: float | None) -> None:
    async def story(channel: DingtalkChannel, platform: Dingtalk, heard: list[Envelope]) -> None:
        platform.trouble = {"send": [answer]}
        await ends(channel.send(parcel("hello")), kind, after)

    tell(story)


def test_somebody_who_cannot_be_reached_or_was_told_too_much() -> None:
    async def story(channel: DingtalkChannel, platform: Dingtalk, heard: list[Envelope]) -> None:
        with pytest.raises(Refused) as refused:
            await channel.send(parcel("hello", target="@nobody"))
        assert refused.value.retry_after is None
        platform.flooded.add("ann")
        with pytest.raises(Unavailable) as caught:
            await channel.send(parcel("hello"))
        assert caught.value.retry_after == 60.0 and not platform.said

    tell(story)


@pytest.mark.parametrize("given", [{"secret": "wrong"}, {"app": "other"}])
def test_a_wrong_secret_is_told_at_once(given: dict[str, str]) -> None:
    async def story(*_: Any) -> None:
        raise AssertionError

    with pytest.raises(Refused) as caught:
        tell(story, **given)
    assert "channels.dingtalk" in caught.value.hint


@pytest.mark.parametrize(
    ("answer", "kind"), [("InvalidAuthentication", Refused), (503, Unavailable), (429, Unavailable)]
)
def test_a_connection_that_is_not_given(answer: int | str, kind: type[KithError]) -> None:
    async def story(channel: DingtalkChannel, platform: Dingtalk, heard: list[Envelope]) -> None:
        platform.trouble = {"open": [answer]}
        with pytest.raises(kind):
            await channel.start(ear(heard))

    tell(story)


class Person:
    """Somebody in a direct chat with the robot."""

    def __init__(self, platform: Dingtalk, number: int) -> None:
        self._platform, self._name = platform, f"p{number}"

    async def say(self, text: str) -> None:
        await self._platform.hear(text, self._name)

    @property
    def heard(self) -> list[str]:
        return [one["text"] for one in self._platform.said if one["to"] == self._name]


@asynccontextmanager
async def stage() -> AsyncIterator[Stage]:
    async with dingtalk() as platform:

        def settings(port: int) -> dict[str, Any]:
            platform.gate = base = f"http://127.0.0.1:{port}"
            return {"app": APP, "secret": SECRET, "api": base, "oapi": base, "access": "everyone"}

        port = int(platform.url.rpartition(":")[2])
        yield Stage("dingtalk", port, settings, [Person(platform, number) for number in range(4)])


def test_nothing_is_lost_while_connections_are_cut(tmp_path: Path) -> None:
    outcome = asyncio.run(play(tmp_path, stage(), messages=60, seconds=3.0, every=1.0))
    print(f"{outcome.cuts} cuts, recovered in {[round(one, 2) for one in outcome.recoveries]} s, {outcome.outwards}")
    assert outcome.cuts and outcome.inwards.clean and not outcome.outwards.lost and not outcome.dead, outcome


def test_a_silent_connection_is_noticed(tmp_path: Path) -> None:
    silence_noticed(tmp_path, stage())


def test_the_sdk_of_dingtalk_believes_the_emulator() -> None:
    async def story() -> None:
        async with dingtalk() as platform:
            address = {"DINGTALK_OPENAPI_ENDPOINT": platform.url}
            async with suite("dingsuite.py", APP, SECRET, **address) as out:
                await until(lambda: platform.sockets, 240)
                await platform.hear("你好")
                assert (await out.readline()).decode().strip() == "heard 你好"
                await platform.hear("", msgtype="picture", content={"downloadCode": "code_1"})
                told = (await out.readline()).decode().strip()
                assert told == f"heard {platform.url}/files/code_1"
                await until(lambda: not platform.waiting)  # answered by the SDK
                assert platform.said == [{"to": "ann", "key": "session", "text": "re 你好"}]

    asyncio.run(story())


def test_its_own_words_are_not_answered() -> None:
    async def story(channel: DingtalkChannel, platform: Dingtalk, heard: list[Envelope]) -> None:
        await platform.hear("my own", senderStaffId="", senderId="$:kith")
        await platform.hear("somebody's")
        await until(lambda: heard)
        assert [one.message.text for one in heard] == ["somebody's"]

    tell(story)

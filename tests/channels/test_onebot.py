"""The OneBot channel, over WebSockets both ways and over HTTP, against an emulator of a OneBot v11 program."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from kith.channels.kit import Kit
from kith.channels.onebot import door
from kith.channels.onebot.channel import OnebotChannel
from kith.channels.onebot.settings import OnebotSettings
from kith.core.channel import Hook
from kith.core.errors import Invalid, KithError, Refused, Unavailable
from kith.core.message import Audio, Envelope, File, Image, Part, Text
from kith.core.people import Parcel
from kith.core.turn import Accepted
from tests.channels.emulators.onebot import TOKEN, Onebot, onebot
from tests.channels.proxy import Proxy
from tests.channels.rig import household, until
from tests.channels.trial import kit, reply, trial

pytestmark = pytest.mark.server
SECRET = "a-secret-of-the-tests"
PNG = b"\x89PNG a picture"
Story = Callable[[OnebotChannel, Onebot, list[Envelope], Kit], Awaitable[None]]


def parcel(text: str, *more: Part, target: str = "private:7", reply_to: str = "") -> Parcel:
    return reply("onebot", target, text, more, reply_to=reply_to)


def settings(platform: Onebot, **more: Any) -> OnebotSettings:
    return OnebotSettings(**{"url": f"ws{platform.url[4:]}", "token": TOKEN, **more})


def tell(story: Story, shelf: Kit | None = None, before: Callable[[Onebot], Any] = lambda _: None, **more: Any) -> None:
    own = shelf or kit()

    def make(platform: Onebot, own: Kit) -> OnebotChannel:
        given = {"url": platform.url} if more.get("mode") == "calls" else {}
        return OnebotChannel(settings(platform, **given, **more), own)

    trial(onebot, make, lambda *told: story(*told, own), shelf=own, ready=before)


def test_both_ways_while_the_connection_breaks(tmp_path: Path) -> None:
    """OneBot tells an event once: what was told to nobody is found in the history."""

    async def story() -> None:
        async with onebot() as platform, Proxy(int(platform.url.rpartition(":")[2])) as proxy:
            given = {"url": f"ws://127.0.0.1:{proxy.port}", "token": TOKEN, "access": "everyone"}
            async with household(tmp_path, "onebot", given) as (_, echo):
                for number in range(30):
                    await platform.hear(str(number), user=100 + number % 10)
                    if number in (12, 22):
                        await until(lambda: len(echo.heard) == 10)
                        proxy.cut()
                await until(lambda: len({one["text"] for one in platform.said}) == 30, 240)
            for user in range(10):
                wanted = [f"{user + 10 * turn}" for turn in range(3)]
                assert echo.heard[f"private:{100 + user}"] == wanted
                told = [one["text"] for one in platform.said if one["user_id"] == 100 + user]
                assert list(dict.fromkeys(told)) == [f"re {text}" for text in wanted]

    asyncio.run(story())


def test_a_black_hole_is_noticed(tmp_path: Path) -> None:
    async def story() -> None:
        async with onebot() as platform, Proxy(int(platform.url.rpartition(":")[2])) as proxy:
            given = {"url": f"ws://127.0.0.1:{proxy.port}", "token": TOKEN, "access": "everyone"}
            async with household(tmp_path, "onebot", given) as (home, echo):
                keeper = home.manager._keepers["onebot"]
                keeper.liveness = 1.5
                proxy.cut()
                await until(lambda: keeper.watch.restarts >= 1 and keeper.route.channel is not None)
                await platform.hear("before")
                await until(lambda: platform.said)
                proxy.blackhole()
                await until(lambda: keeper.watch.restarts >= 2)
                await platform.hear("meanwhile")
                proxy.heal()
                await until(lambda: echo.heard["private:7"] == ["before", "meanwhile"])

    asyncio.run(story())


def test_repeated_reordered_and_strange_events_harm_nothing() -> None:
    async def story(channel: OnebotChannel, platform: Onebot, heard: list[Envelope], shelf: Kit) -> None:
        await platform.hear("twice", copies=2)
        for strange in ({"post_type": "new"}, {"post_type": "message"}, {"post_type": []}, {"echo": "kith-1"}, {}):
            await platform.tell(strange)
        first, second = platform.event("first"), platform.event("second")
        await platform.tell(second)
        await platform.tell(first)
        await until(lambda: len(heard) == 4)
        assert heard[0].message.id == heard[1].message.id  # the inbox knows it
        assert [one.message.text for one in heard[2:]] == ["second", "first"]
        await channel.probe()

    tell(story)


def test_what_cannot_be_kept_is_waited_for_and_nothing_overtakes_it() -> None:
    async def story() -> None:
        async with onebot() as platform:
            heard, full = list[str](), [True, True]

            async def accept(envelope: Envelope) -> Accepted:
                if full and full.pop():
                    raise Unavailable("no room", retry_after=0.01)
                heard.append(envelope.message.text)
                return Accepted("t", "c")

            channel = OnebotChannel(settings(platform), kit())
            await channel.start(accept)
            for number in range(5):
                await platform.hear(str(number))
            await until(lambda: len(heard) == 5)
            assert heard == list("01234")
            await channel.stop()

    asyncio.run(story())


def test_a_reply_says_what_it_answers_and_keeps_to_the_limit() -> None:
    async def story(channel: OnebotChannel, platform: Onebot, heard: list[Envelope], shelf: Kit) -> None:
        sent = await channel.send(parcel("**bold** [CQ:at,qq=all]", target="group:3", reply_to="group:3/9"))
        first = platform.said[0]
        assert (first["action"], first["group_id"], first["text"]) == ("send_group_msg", 3, "bold [CQ:at,qq=all]")
        assert first["message"][0] == {"type": "reply", "data": {"id": "9"}}
        assert sent.receipt == f"group:3/{first['id']}"
        platform.trouble = {"send_private_msg": [0, 1200]}
        long = parcel("你好，世界。" * 1500)
        with pytest.raises(Unavailable):
            await channel.send(long)
        await channel.send(long)
        assert "".join(one["text"] for one in platform.said[1:]) == long.message.text
        await channel.typing("private:7")
        await channel.typing("group:3")
        assert platform.shown == [{"user_id": 7, "event_type": 1}]
        platform.without.add("set_input_status")
        await channel.typing("private:7")
        await channel.typing("private:7")
        assert platform.asked.count("set_input_status") == 2

    tell(story)


@pytest.mark.parametrize(
    ("answer", "kind", "after"),
    [(1200, Unavailable, 5.0), ("drop", Unavailable, 1.0), ("lose", Unavailable, 1.0), (1429, Unavailable, 30.0),
     (102, Refused, None), (1403, Refused, None), (100, Invalid, None), (1404, Invalid, None)],
)  # fmt: skip
def test_what_the_program_says_decides(answer: int | str, kind: type[KithError], after: float | None) -> None:
    async def story(channel: OnebotChannel, platform: Onebot, heard: list[Envelope], shelf: Kit) -> None:
        platform.trouble = {"send_private_msg": [answer]}
        with pytest.raises(kind) as caught:
            await channel.send(parcel("hello"))
        assert getattr(caught.value, "retry_after", None) == after
        assert len(platform.said) == (answer == "lose")

    tell(story)


def test_an_answer_lost_after_acceptance_is_sent_again_as_declared(tmp_path: Path) -> None:
    async def story() -> None:
        async with onebot() as platform:
            given = {"url": f"ws{platform.url[4:]}", "token": TOKEN, "access": "everyone"}
            async with household(tmp_path, "onebot", given) as (home, _):
                platform.trouble = {"send_private_msg": ["lose"]}
                await platform.hear("hello")
                await until(lambda: len(platform.said) == 2)
                await home.until_states(**{"re hello": "sent"})
                assert [one["text"] for one in platform.said] == ["re hello", "re hello"]

    asyncio.run(story())


def test_files_come_and_go() -> None:
    async def story(channel: OnebotChannel, platform: Onebot, heard: list[Envelope], shelf: Kit) -> None:
        platform.files = {"a.png": PNG, "v.amr": b"ID3 a voice", "plan": b"a plan"}
        url = f"{platform.url}/files/a.png"
        await platform.hear([{"type": "image", "data": {"file": "x.png", "url": url}}])
        await platform.hear([{"type": "image", "data": {"file": "a.png"}}])
        await platform.hear([{"type": "record", "data": {"file": "v.amr", "url": f"{platform.url}/files/gone"}}])
        await platform.hear([{"type": "record", "data": {"file": "gone.amr", "url": url}}])
        await platform.hear([{"type": "file", "data": {"file": "plan.txt", "file_id": "plan"}}])
        await platform.hear([{"type": "image", "data": {"file": "base64://aGk="}}])
        for gone in ({"file": "gone.png"}, {"url": "http://127.0.0.1:1/inside.png"}, {"url": "http://[::1]/x"}):
            await platform.hear([{"type": "image", "data": gone}])
        await until(lambda: len(heard) == 9)
        parts = [one.message.parts[0] for one in heard]
        assert [type(part) for part in parts] == [Image, Image, Audio, Audio, File, Image, Text, Text, Text]
        bytes_ = [await shelf.blobs.fetch(part) for part in parts if isinstance(part, Image | Audio | File)]
        assert bytes_ == [PNG, PNG, b"ID3 a voice", PNG, b"a plan", b"hi"]
        picture, voice, plan = parts[0], parts[2], parts[4]
        assert isinstance(picture, Image) and isinstance(voice, Audio) and isinstance(plan, File)
        assert (picture.mime, voice.mime, plan.name) == ("image/png", "audio/mpeg", "plan.txt")
        await channel.send(parcel("", picture, voice, plan, target="group:3"))
        kinds = [one["message"][0]["type"] for one in platform.said]
        assert kinds == ["image", "record"]
        assert (platform.uploads[0]["name"], platform.uploads[0]["bytes"]) == ("plan.txt", b"a plan")

    tell(story)


def test_a_file_that_is_too_large_stays_where_it_is_and_its_sender_is_told(tmp_path: Path) -> None:
    async def story() -> None:
        async with onebot() as platform:
            given = {"url": f"ws{platform.url[4:]}", "token": TOKEN, "access": "everyone"}
            async with household(tmp_path, "onebot", given) as (_, echo):
                platform.files = {"huge": b"x" * 20_000_001}
                for data in (
                    {"file": "a.zip", "file_id": "huge"},
                    {"file": "b.zip", "file_id": "huge", "file_size": 900_000_000},
                ):
                    await platform.hear([{"type": "file", "data": data}, {"type": "text", "data": {"text": "look"}}])
                await until(lambda: len(platform.said) == 4)
                assert [text[-4:] for text in echo.heard["private:7"]] == ["look", "look"]
                told = [one["text"] for one in platform.said if not one["text"].startswith("re ")]
                assert [text.split(":")[0] for text in told] == ["I could not take a.zip", "I could not take b.zip"]

    asyncio.run(story())


def test_what_is_answered_or_forwarded_is_told_along() -> None:
    async def story(channel: OnebotChannel, platform: Onebot, heard: list[Envelope], shelf: Kit) -> None:
        asked = await platform.hear("at six?", user=8, group=3)
        ours = platform._say("send_group_msg", {"group_id": 3, "message": [{"type": "text", "data": {"text": "ok"}}]})
        for number in (asked["message_id"], ours["data"]["message_id"], 1):
            quote = {"type": "reply", "data": {"id": str(number)}}
            await platform.hear([quote, {"type": "text", "data": {"text": "why"}}], group=3)
        platform.forwards["9"] = [{"sender": {"nickname": "Bo"}, "message": "come"}]
        for number in ("9", "8"):
            await platform.hear([{"type": "forward", "data": {"id": number}}])
        await until(lambda: len(heard) == 6)
        assert heard[1].message.parts == (Text("> u8: at six?", outside=True), Text("why"))
        assert [one.mentioned for one in heard[:4]] == [False, False, True, False]
        assert heard[2].message.parts == heard[3].message.parts == (Text("why"),)
        assert heard[4].message.parts == (Text("Bo: come", outside=True),)
        assert heard[5].message.parts == (Text("[forwarded messages]", outside=True),)

    tell(story)


def test_what_was_said_meanwhile_is_read_in_the_history() -> None:
    async def first(channel: OnebotChannel, platform: Onebot, heard: list[Envelope], shelf: Kit) -> None:
        await platform.hear("one")
        await until(lambda: heard and (shelf.records._kept))  # pyright: ignore

    async def second(channel: OnebotChannel, platform: Onebot, heard: list[Envelope], shelf: Kit) -> None:
        await until(lambda: [one.message.text for one in heard] == ["one", "two"])

    async def third(channel: OnebotChannel, platform: Onebot, heard: list[Envelope], shelf: Kit) -> None:
        await platform.hear("three")
        await until(lambda: [one.message.text for one in heard] == ["three"])

    shelf = kit()
    tell(first, shelf)
    tell(second, shelf, lambda platform: [platform.event(text) for text in ("one", "two")])
    tell(third, shelf, lambda platform: platform.without.add("get_friend_msg_history"))


@pytest.mark.parametrize("manner", ["napcat", "llonebot", "lagrange", "go-cqhttp"])
def test_the_history_is_read_back_to_what_was_heard_last(tmp_path: Path, manner: str) -> None:
    """More than one page in two conversations; go-cqhttp has a history of groups alone."""
    chats = [{"user": 9, "group": 5}, {"user": 9, "group": 6} if manner == "go-cqhttp" else {"user": 7}]

    async def story() -> None:
        async with onebot() as platform, Proxy(int(platform.url.rpartition(":")[2])) as proxy:
            platform.manner = manner
            if manner == "go-cqhttp":
                platform.without.add("get_friend_msg_history")
            given = {"url": f"ws://127.0.0.1:{proxy.port}", "token": TOKEN, "access": "everyone", "groups": "always"}
            async with household(tmp_path, "onebot", given) as (home, echo):
                keeper = home.manager._keepers["onebot"]
                for chat in [{"user": 8}, *chats]:
                    await platform.hear("0", **chat)
                await until(lambda: len(echo.heard) == 3)
                proxy.blackhole()
                proxy.cut()
                await until(lambda: keeper.route.channel is None)
                for number in range(1, 151):
                    for chat in chats:
                        platform.event(str(number), **chat)
                proxy.heal()
                await until(lambda: sorted(len(found) for found in echo.heard.values()) == [1, 151, 151], 120)
            assert all(found == [str(number) for number in range(len(found))] for found in echo.heard.values())

    asyncio.run(story())


def test_the_history_of_very_much_is_read_from_a_thousand_messages_ago_and_no_further_than_a_day() -> None:
    async def first(channel: OnebotChannel, platform: Onebot, heard: list[Envelope], shelf: Kit) -> None:
        for user in (7, 8):
            await platform.tell(platform.event("0", user=user, time=now - 90_000))
        await until(lambda: len(shelf.records._kept) and len(heard) == 2)  # pyright: ignore

    async def second(channel: OnebotChannel, platform: Onebot, heard: list[Envelope], shelf: Kit) -> None:
        await until(lambda: len(heard) == 1039)
        assert [one.message.text for one in heard[:1000]] == [str(number) for number in range(100, 1100)]
        assert [one.message.text for one in heard[1000:]] == [str(number) for number in range(21, 60)]

    def meanwhile(platform: Onebot) -> None:
        for number in range(1100):
            platform.event(str(number), user=7, time=now - 2000 + number)
        for number in range(60):
            platform.event(str(number), user=8, time=now - (10 if number >= 40 else 87_000) + number)

    now, shelf = int(time.time()), kit()
    tell(first, shelf)
    tell(second, shelf, meanwhile)


def test_an_answer_that_fails_is_asked_for_again_and_a_program_that_is_gone_is_left(tmp_path: Path) -> None:
    """What the program tells is heard only after its history: it would hide what is missing before it."""

    async def story() -> None:
        async with onebot() as platform, Proxy(int(platform.url.rpartition(":")[2])) as proxy:
            given = {"url": f"ws://127.0.0.1:{proxy.port}", "token": TOKEN, "access": "everyone"}
            async with household(tmp_path, "onebot", given) as (home, echo):
                await platform.hear("one")
                await until(lambda: echo.heard.get("private:7") == ["one"])
                platform.trouble["get_friend_msg_history"] = [1200, "drop", 1200]
                platform.event("two")
                proxy.cut()
                await until(lambda: home.manager._keepers["onebot"].watch.restarts >= 2)
                await until(lambda: platform.sockets)
                await platform.hear("three")
                await until(lambda: echo.heard["private:7"] == ["one", "two", "three"])

    asyncio.run(story())


def test_a_heartbeat_tells_when_qq_is_logged_out() -> None:
    gone, signs = list[str](), list[bool]()

    async def story(channel: OnebotChannel, platform: Onebot, heard: list[Envelope], shelf: Kit) -> None:
        await platform.beat()
        await until(lambda: len(signs) == 2)  # the first is that of the connection
        platform.online = False
        await platform.beat()
        await until(lambda: gone)
        assert len(signs) == 2
        with pytest.raises(Unavailable):
            await channel.probe()

    tell(story, kit(lost=gone.append, alive=lambda: signs.append(True)))
    with pytest.raises(Unavailable):
        tell(story, None, lambda platform: setattr(platform, "online", False))


def test_a_wrong_token_is_not_tried_again() -> None:
    async def story(*_: Any) -> None:
        raise AssertionError

    with pytest.raises(Refused):
        tell(story, token="wrong")
    with pytest.raises(Refused):
        tell(story, before=lambda platform: platform.trouble.update(get_login_info=[1403]))
    with pytest.raises(Refused):
        tell(story, mode="calls", secret=SECRET, token="wrong")
    with pytest.raises(Invalid):
        tell(story, mode="calls", secret="short")
    with pytest.raises(Invalid):
        tell(story, url="http://127.0.0.1:1")


def test_the_program_may_connect_to_us() -> None:
    async def story() -> None:
        async with onebot() as platform:
            heard, gone = list[str](), list[str]()

            async def accept(envelope: Envelope) -> Accepted:
                heard.append(envelope.message.text)
                return Accepted("t", "c")

            channel = OnebotChannel(settings(platform, mode="server", listen="127.0.0.1:0"), kit(lost=gone.append))
            starting = asyncio.create_task(channel.start(accept))
            await until(lambda: channel._porch is not None and channel._porch.port)
            assert channel._porch is not None
            port = channel._porch.port
            for token, role in (("wrong", "Universal"), (TOKEN, "Event")):
                with pytest.raises(Exception, match="rejected"):
                    async with platform.dialled(port, token, role):
                        raise AssertionError
            async with platform.dialled(port):
                await starting
                await platform.hear("one")
                await until(lambda: heard == ["one"])
                await channel.send(parcel("hello"))
                assert platform.said[0]["text"] == "hello" and not gone
                with contextlib.suppress(ConnectionClosed):  # a second one: the first is thought to be dead
                    async with platform.dialled(port):
                        await until(lambda: gone)
                await until(lambda: gone)
            await channel.stop()

    asyncio.run(story())


def test_a_program_that_does_not_come_is_told_and_a_port_for_others_needs_a_token(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(door.Porch.link, "__defaults__", (0.01,))

    async def story(*_: Any) -> None:
        raise AssertionError

    with pytest.raises(Unavailable):
        tell(story, mode="server", listen="127.0.0.1:0")
    with pytest.raises(Invalid):
        tell(story, mode="server", listen="0.0.0.0:0", token="")


def test_calls_are_believed_only_when_signed_new_and_in_time() -> None:
    def call(event: Any, secret: str = SECRET) -> Hook:
        body = event if isinstance(event, bytes) else json.dumps(event).encode()
        return Hook(
            "POST",
            headers={"x-signature": f"sha1={hmac.new(secret.encode(), body, hashlib.sha1).hexdigest()}"},
            body=body,
        )

    async def story(channel: OnebotChannel, platform: Onebot, heard: list[Envelope], shelf: Kit) -> None:
        event = {**platform.event("hello"), "time": int(time.time())}
        good = call(event)
        assert (await channel.hook(good)).status == 204
        assert [one.message.text for one in heard] == ["hello"]
        late, early = ({**event, "time": event["time"] + seconds} for seconds in (-400, 400))
        for bad in (good, call(event, "another secret"), call(late), call(early), Hook("POST", body=good.body)):
            with pytest.raises(Refused):
                await channel.hook(bad)
        beat = {"time": int(time.time()), "post_type": "meta_event", "meta_event_type": "heartbeat", "status": {}}
        assert (await channel.hook(call(beat))).status == 204
        for rubbish in (b"", b"\xff", b"[]", b"[" * 100_000, {}, {"time": event["time"]}):
            with pytest.raises(Invalid):
                await channel.hook(call(rubbish))
        await channel.send(parcel("over HTTP"))
        assert platform.said[0]["text"] == "over HTTP"
        for answer, kind, after in ((429, Unavailable, 7.0), (502, Unavailable, 5.0), (102, Refused, None)):
            platform.trouble = {"send_private_msg": [answer]}
            with pytest.raises(kind) as caught:
                await channel.send(parcel("again"))
            assert getattr(caught.value, "retry_after", None) == after

    tell(story, mode="calls", secret=SECRET)


def test_a_call_that_cannot_be_kept_is_not_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kith.channels.onebot.channel._HELD", 0.05)

    async def story() -> None:
        async with onebot() as platform:

            async def cannot(envelope: Envelope) -> Accepted:
                raise Unavailable("no room", retry_after=0.01)

            channel = OnebotChannel(settings(platform, url=platform.url, mode="calls", secret=SECRET), kit())
            await channel.start(cannot)
            body = json.dumps({**platform.event("hello"), "time": int(time.time())}).encode()
            signed = f"sha1={hmac.new(SECRET.encode(), body, hashlib.sha1).hexdigest()}"
            for _ in range(2):
                with pytest.raises(Unavailable):
                    await channel.hook(Hook("POST", headers={"x-signature": signed}, body=body))
            await channel.stop()

    asyncio.run(story())

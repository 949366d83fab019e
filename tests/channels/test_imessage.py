"""The iMessage channel against an emulator of the BlueBubbles server, which calls us over HTTP."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from kith.channels.imessage import channel as module
from kith.channels.imessage.channel import ImessageChannel
from kith.channels.imessage.settings import ImessageSettings
from kith.core.channel import Hook
from kith.core.errors import Invalid, KithError, Refused, Unavailable
from kith.core.message import Envelope, File, Image, Part, Text
from kith.core.people import Parcel
from kith.core.turn import Accepted
from tests.channels.emulators.bluebubbles import PASSWORD, BlueBubbles, bluebubbles
from tests.channels.emulators.callback import called
from tests.channels.proxy import Proxy
from tests.channels.rig import household, until, up
from tests.channels.trial import ear, kit, reply

pytestmark = pytest.mark.server
ANN, FAMILY, SECRET = "iMessage;-;+15551234567", "iMessage;+;chat42", "a-secret-of-the-tests"
Story = Callable[[ImessageChannel, BlueBubbles, list[Envelope], list[str]], Awaitable[None]]


def parcel(text: str, *more: Part, target: str = ANN, reply_to: str = "", attempts: int = 1) -> Parcel:
    return reply("imessage", target, text, more, reply_to=reply_to, attempts=attempts, at=time.time())


def tell(story: Story, hooked: bool = True, private: bool = True, **settings: Any) -> None:
    async def whole() -> None:
        async with bluebubbles() as mac, AsyncExitStack() as stack:
            heard, lost = list[Envelope](), list[str]()
            mac.private, mac.header = private, settings.get("auth") == "header"

            async def hook(request: Hook) -> Any:
                return await channel.hook(request)

            given = {"server": mac.url, "password": PASSWORD, "poll": 60 if hooked else 1}
            if hooked:
                given |= {"url": await stack.enter_async_context(called(hook)), "secret": SECRET}
            channel = ImessageChannel(ImessageSettings(**{**given, **settings}), kit(lost=lost.append))
            try:
                await channel.start(ear(heard))
                await story(channel, mac, heard, lost)
            finally:
                mac.slow.set()
                await channel.stop()

    asyncio.run(whole())


def test_both_ways_while_the_connection_breaks(tmp_path: Path) -> None:
    async def story() -> None:
        async with bluebubbles() as mac, Proxy(int(mac.url.rpartition(":")[2])) as proxy:
            settings = {"server": f"http://127.0.0.1:{proxy.port}", "password": PASSWORD, "poll": 1}
            settings |= {"access": "everyone", "url": "http://127.0.0.1:1/hook", "secret": SECRET}
            async with household(tmp_path, "imessage", settings) as (_, echo):
                for number in range(60):
                    mac.hear(str(number), chat=f"iMessage;-;+1555{number % 20:04}")
                    if number % 20 == 10:
                        await until(lambda: echo.heard)
                        proxy.cut()
                await until(lambda: len({one["text"] for one in mac.said}) == 60, 240)
            for chat in range(20):
                wanted, place = [f"{chat + 20 * turn}" for turn in range(3)], f"iMessage;-;+1555{chat:04}"
                assert echo.heard[place] == wanted
                told = [one["text"] for one in mac.said if one["chats"][0]["guid"] == place]
                assert told == [f"re {text}" for text in wanted]  # each once: what was in doubt was looked for

    asyncio.run(story())


def test_what_came_while_kith_was_off_is_heard_in_order() -> None:
    async def story() -> None:
        async with bluebubbles() as mac:
            mac.hear("before Kith was ever there")
            shelf, heard, room = kit(), list[str](), asyncio.Event()

            async def accept(envelope: Envelope) -> Accepted:
                if envelope.message.text == "second" and not room.is_set():
                    raise Unavailable("no room", retry_after=60.0)
                heard.append(envelope.message.text)
                return Accepted("t", "c")

            given = ImessageSettings(server=mac.url, password=PASSWORD, poll=1)
            first = ImessageChannel(given, shelf)
            await first.start(accept)
            mac.hear("first")
            mac.hear("second")
            await until(lambda: heard)
            await first.stop()
            mac.hear("third")
            room.set()
            second = ImessageChannel(given, shelf)
            await second.start(accept)
            await until(lambda: "third" in heard)
            await second.stop()
            assert list(dict.fromkeys(heard)) == ["first", "second", "third"]

    asyncio.run(story())


def test_many_messages_come_in_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAGE", 7)
    monkeypatch.setattr("kith.channels.imessage.wire.PAGE", 7)

    async def story(channel: ImessageChannel, mac: BlueBubbles, heard: list[Envelope], lost: list[str]) -> None:
        for number in range(30):
            mac.hear(str(number))
        await until(lambda: len(heard) >= 30)
        assert [one.message.text for one in heard] == [str(number) for number in range(30)]
        assert {one["limit"] for one in mac.asked} == {7}

    tell(story, hooked=False)


def test_calls_come_twice_out_of_order_or_not_at_all() -> None:
    async def story(channel: ImessageChannel, mac: BlueBubbles, heard: list[Envelope], lost: list[str]) -> None:
        mac.copies = 2
        mac.hear("one")
        mac._calls.rotate(1)
        mac.deaf = True
        mac.hear("two")
        mac.deaf = False
        mac.hear("three")
        late = mac.message("late", ANN, dateCreated=mac.messages[0]["dateCreated"] - 600_000)
        mac.messages.append(late)  # it reached the Mac long after it was written
        mac.tell("new-message", late)
        await until(lambda: len(heard) == 4)
        assert [one.message.text for one in heard] == ["one", "two", "three", "late"]
        mac.messages.append({**mac.message("from tomorrow", ANN), "dateCreated": int(time.time() * 1000) + 86_400_000})
        mac.hear("today")
        await until(lambda: len(heard) == 6)
        mac.hear("and after")
        await until(lambda: heard[-1].message.text == "and after")
        assert set(mac.answers) == {200}

    tell(story)


def test_changes_of_a_message_are_heard() -> None:
    async def story(channel: ImessageChannel, mac: BlueBubbles, heard: list[Envelope], lost: list[str]) -> None:
        guid = mac.hear("helo")
        await until(lambda: heard)
        mac.change(guid, text="hello", dateEdited=int(time.time() * 1000))
        mac.tell("updated-message", {**mac.messages[0], "dateRead": 1})
        mac.change(guid, text="", dateRetracted=int(time.time() * 1000) + 5)
        mac.hear("Loved", associatedMessageGuid=f"p:0/{guid}", associatedMessageType="love")
        mac.tell("typing-indicator", {"display": True, "guid": ANN})
        mac.tell("message-send-error", {"guid": "x", "error": 4})
        await until(lambda: {one.reaction for one in heard} == {"", "❤️"} and len(heard) == 5)
        edits = [one for one in heard if one.edits]
        assert {one.edits for one in edits} == {guid} and "" in {one.message.text for one in edits}
        assert len({one.platform_id for one in edits if one.message.parts}) == 1  # the inbox knows it

    tell(story)


def test_calls_are_believed_with_the_secret() -> None:
    async def story(channel: ImessageChannel, mac: BlueBubbles, heard: list[Envelope], lost: list[str]) -> None:
        body = json.dumps({"type": "new-message", "data": mac.message("hello", ANN)}).encode()
        for query in ({}, {"secret": "é"}, {"secret": SECRET[:-1]}):
            with pytest.raises(Refused):
                await channel.hook(Hook("POST", query=query, body=body))
        good = {"secret": SECRET}
        for rubbish in (b"", b"\xff", b"[" * 100_000, b"[]"):
            with pytest.raises(Invalid):
                await channel.hook(Hook("POST", query=good, body=rubbish))
        for strange in (b"{}", b'{"type": "new-message"}', b'{"type": "new-message", "data": {"guid": 1}}'):
            assert (await channel.hook(Hook("POST", query=good, body=strange))).status == 200
        assert (await channel.hook(Hook("GET", query=good))).status == 405
        assert (await channel.hook(Hook("POST", query=good, body=body))).status == 200
        await until(lambda: heard)
        assert [one.message.text for one in heard] == ["hello"] and not lost

    tell(story)


def test_the_server_is_told_once_where_to_call() -> None:
    async def story(channel: ImessageChannel, mac: BlueBubbles, heard: list[Envelope], lost: list[str]) -> None:
        (listed,) = mac.hooks
        assert listed["url"].endswith(f"/hook?secret={SECRET}")
        mac.hooks.append({"id": 9, "url": listed["url"].replace(SECRET, "an-older-secret"), "events": ["*"]})
        mac.hooks.append({"id": 10, "url": "http://127.0.0.1:1/of-others", "events": ["*"]})

        async def accept(envelope: Envelope) -> Accepted:
            return Accepted("t", "c")

        await channel.start(accept)
        assert [one["id"] for one in mac.hooks] == [1, 10]

    tell(story)


def test_files_come_and_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TRIES", 1)

    async def story(channel: ImessageChannel, mac: BlueBubbles, heard: list[Envelope], lost: list[str]) -> None:
        mac.files["F-1"] = b"a picture"
        file = {"guid": "F-1", "mimeType": "image/heic", "transferName": "a.heic", "totalBytes": 9}
        mac.hear("\ufffclook", attachments=[file])
        mac.hear("", attachments=[{**file, "guid": "gone"}])
        await until(lambda: len(heard) == 2)
        text, picture = heard[0].message.parts
        assert isinstance(text, Text) and isinstance(picture, Image)
        assert (text.text, picture.mime) == ("look", "image/jpeg")  # the server has turned it into one
        assert await channel._kit.blobs.fetch(picture) == b"a picture"
        assert heard[1].message.parts == (Text("[a.heic: not to be had]", outside=True),)
        note = File(channel._kit.blobs.put(b"words"), "text/plain", "a.txt", 5)
        await channel.send(parcel("see", picture, note))
        assert [one["text"] for one in mac.said] == ["see", "\ufffc", "\ufffc"]
        assert [one["attachments"][0]["transferName"] for one in mac.said[1:]] == ["a.heic", "a.txt"]
        assert mac.files[mac.said[2]["attachments"][0]["guid"]] == b"words"

    tell(story)


def test_a_file_that_is_too_large_is_left_where_it_is() -> None:
    async def story(channel: ImessageChannel, mac: BlueBubbles, heard: list[Envelope], lost: list[str]) -> None:
        room = channel._kit.limits.room("file")
        mac.files["F-1"] = bytes(room + 1)
        mac.hear("", attachments=[{"guid": "F-1", "mimeType": "video/mp4", "transferName": "a.mp4", "totalBytes": 1}])
        await until(lambda: heard)
        assert heard[0].message.parts == (File("at:F-1", "video/mp4", "a.mp4", room + 1),)  # the door tells the sender

    tell(story)


def test_replies_signs_and_mentions() -> None:
    async def story(channel: ImessageChannel, mac: BlueBubbles, heard: list[Envelope], lost: list[str]) -> None:
        guid = mac.hear("hello")
        await until(lambda: heard)
        sent = await channel.send(parcel("**hi**", reply_to=guid))
        assert (mac.said[0]["text"], mac.said[0]["threadOriginatorGuid"]) == ("hi", guid)
        for _ in range(2):
            await channel.typing(ANN)
        assert mac.signs == [f"read {ANN}", f"typing {ANN}"]
        mac.hear("and this?", chat=FAMILY)
        mac.hear("and that?", chat=FAMILY, threadOriginatorGuid=sent.receipt)
        run = {"range": [0, 4], "attributes": {"__kIMMentionConfirmedMention": "Kith@example.com"}}
        mac.hear("Kith?", chat=FAMILY, attributedBody=[{"string": "Kith?", "runs": [run]}])
        await until(lambda: len(heard) == 4)
        assert [one.mentioned for one in heard] == [True, False, True, True]
        assert (heard[1].kind, heard[1].sender) == ("group", "+15550000001")

    tell(story)


def test_without_the_private_api_it_speaks_by_applescript() -> None:
    async def story(channel: ImessageChannel, mac: BlueBubbles, heard: list[Envelope], lost: list[str]) -> None:
        await channel.typing(ANN)
        await channel.send(parcel("hi", reply_to="C4B2E437-A373-43F6-9740-9CD84E5893A1"))
        assert (mac.said[0]["threadOriginatorGuid"], mac.signs) == (None, [])

    tell(story, private=False, auth="header")


@pytest.mark.parametrize(
    ("answer", "kind", "after"),
    [(429, Unavailable, 7.0), (502, Unavailable, 7.0), ("drop", Unavailable, 2.0), ("absent", Invalid, None),
     (413, Invalid, None)],
)  # fmt: skip
def test_what_the_server_says_decides(answer: int | str, kind: type[KithError], after: float | None) -> None:
    async def story(channel: ImessageChannel, mac: BlueBubbles, heard: list[Envelope], lost: list[str]) -> None:
        mac.trouble = [answer]
        with pytest.raises(kind) as caught:
            await channel.send(parcel("hello"))
        assert getattr(caught.value, "retry_after", None) == after
        assert not await channel.arrived(parcel("hello"))
        await channel.send(parcel("hello"))
        assert [one["text"] for one in mac.said] == ["hello"] and not lost

    tell(story)


def test_a_reply_in_doubt_is_looked_for() -> None:
    async def story(channel: ImessageChannel, mac: BlueBubbles, heard: list[Envelope], lost: list[str]) -> None:
        await channel.send(parcel("ok"))  # says the same, and is another one
        mac.trouble = ["lose"]
        with pytest.raises(Unavailable):
            await channel.send(parcel("ok\n"))
        assert await channel.arrived(parcel("ok\n"))
        long, other = parcel("and so on. " * 2000), parcel("never said")
        mac.trouble = [0, "lose"]
        with pytest.raises(Unavailable):
            await channel.send(long)
        assert not await channel.arrived(long) and not await channel.arrived(other)
        await channel.send(long)
        told = "".join(one["text"] for one in mac.said[2:])
        assert told.replace(" ", "") == long.message.text.replace(" ", "")
        assert await channel.arrived(long)

    tell(story)


def test_what_is_still_being_sent_is_not_sent_beside_it() -> None:
    async def story(channel: ImessageChannel, mac: BlueBubbles, heard: list[Envelope], lost: list[str]) -> None:
        mac.trouble = ["slow"]
        first = asyncio.create_task(channel.send(parcel("slowly")))
        await until(lambda: mac._sending)
        with pytest.raises(Unavailable) as caught:
            await channel.send(parcel("slowly"))
        assert caught.value.retry_after == 5.0 and not await channel.arrived(parcel("slowly"))
        mac.slow.set()
        await first
        assert await channel.arrived(parcel("slowly")) and len(mac.said) == 1

    tell(story)


def test_a_password_that_changed_keeps_what_waits(tmp_path: Path) -> None:
    async def story(channel: ImessageChannel, mac: BlueBubbles, heard: list[Envelope], lost: list[str]) -> None:
        mac.password = "another"
        with pytest.raises(Unavailable, match="password"):
            await channel.send(parcel("hello"))
        assert "password" in lost[0]
        with pytest.raises(Unavailable):
            await channel.probe()

    tell(story)

    async def whole() -> None:
        async with bluebubbles() as mac:
            settings = {"server": mac.url, "password": PASSWORD, "poll": 1, "access": "everyone"}
            async with household(tmp_path, "imessage", settings) as (home, _):
                mac.password = "another"
                await home.until(lambda: home.health.snapshot()["channel:imessage"].condition == "failed")
                assert "channels.imessage.password" in home.health.snapshot()["channel:imessage"].detail

    asyncio.run(whole())


def test_a_wrong_password_is_not_tried_again() -> None:
    async def story(*_: Any) -> None:
        raise AssertionError

    with pytest.raises(Refused, match=r"channels\.imessage\.password"):
        tell(story, password="wrong")
    with pytest.raises(Invalid):
        tell(story, password="")
    with pytest.raises(Invalid):
        tell(story, secret="short")


def test_a_silent_server_is_noticed(tmp_path: Path) -> None:
    async def story() -> None:
        async with bluebubbles() as mac, Proxy(int(mac.url.rpartition(":")[2])) as proxy:
            settings = {"server": f"http://127.0.0.1:{proxy.port}", "password": PASSWORD, "poll": 1}
            async with household(tmp_path, "imessage", settings) as (home, _):
                keeper = home.manager._keepers["imessage"]
                assert keeper.liveness == 90
                keeper.liveness = 1.5
                keeper._lost.set()  # the keeper looks at the new bound from the next connection on
                await until(lambda: keeper.watch.restarts >= 1 and keeper.route.channel is not None)
                proxy.blackhole()
                await until(lambda: keeper.watch.restarts >= 2)
                proxy.heal()
                await up(home, "imessage")

    asyncio.run(story())

"""The WhatsApp channel against an emulator of the Cloud API, which calls us over HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from kith.channels.whatsapp.channel import WhatsappChannel
from kith.channels.whatsapp.settings import WhatsappSettings
from kith.core.channel import Hook
from kith.core.errors import Invalid, KithError, NotFound, Refused, Unavailable
from kith.core.message import Audio, Envelope, File, Image, Part, Text
from kith.core.people import Parcel
from tests.channels.emulators.callback import called
from tests.channels.emulators.whatsapp import NUMBER, SECRET, TOKEN, VERIFY, Whatsapp, whatsapp
from tests.channels.proxy import Proxy
from tests.channels.rig import household, until, up
from tests.channels.trial import ear, kit, reply

pytestmark = pytest.mark.server
ANN = "16505551234"
GIVEN = {"number": NUMBER, "token": TOKEN, "secret": SECRET, "verify": VERIFY}
Story = Callable[[WhatsappChannel, Whatsapp, list[Envelope], list[str]], Awaitable[None]]


def parcel(text: str, *more: Part, target: str = ANN, reply_to: str = "", attempts: int = 1) -> Parcel:
    return reply("whatsapp", target, text, more, reply_to=reply_to, attempts=attempts)


def tell(story: Story, **settings: Any) -> None:
    async def whole() -> None:
        async with whatsapp() as platform:
            heard, lost = list[Envelope](), list[str]()

            def door(envelope: Envelope) -> None:
                if envelope.message.text == "busy" and not any(one.message.text == "free" for one in heard):
                    raise Unavailable("no room")

            given = {**GIVEN, "api": platform.url, **settings}
            channel = WhatsappChannel(WhatsappSettings(**given), kit(lost=lost.append))
            async with called(channel.hook) as hook:
                try:
                    await channel.start(ear(heard, door))
                    platform.hook = hook
                    await story(channel, platform, heard, lost)
                finally:
                    await channel.stop()

    asyncio.run(whole())


def test_both_ways_while_the_connection_breaks(tmp_path: Path) -> None:
    async def story() -> None:
        async with whatsapp() as platform, Proxy(int(platform.url.rpartition(":")[2])) as proxy:
            settings = {**GIVEN, "api": f"http://127.0.0.1:{proxy.port}", "access": "everyone"}
            async with (
                household(tmp_path, "whatsapp", settings) as (home, echo),
                called(lambda request: home.manager.hook("whatsapp", "local", request)) as hook,
                Proxy(int(hook.rpartition(":")[2].partition("/")[0])) as door,
            ):
                platform.hook = f"http://127.0.0.1:{door.port}/hook"
                for number in range(60):
                    platform.hear(str(number), sender=str(1000 + number % 20))
                    if number % 20 == 10:
                        await until(lambda: echo.heard)
                        proxy.cut()
                        door.cut()
                await until(lambda: len({one["text"]["body"] for one in platform.said}) == 60, 240)
                await until(lambda: not platform.waiting)
            for chat in range(20):
                wanted = {str(chat + 20 * turn) for turn in range(3)}
                assert set(echo.heard[str(1000 + chat)]) == wanted and len(echo.heard[str(1000 + chat)]) == 3
                said = [one["text"]["body"] for one in platform.said if one["to"] == str(1000 + chat)]
                assert set(said) == {f"re {text}" for text in wanted}
            assert all(one["context"]["message_id"].startswith("wamid.") for one in platform.said)

    asyncio.run(story())


def test_a_call_is_answered_only_when_all_of_it_is_kept() -> None:
    async def story(channel: WhatsappChannel, platform: Whatsapp, heard: list[Envelope], lost: list[str]) -> None:
        first, second, strange = platform.message("hello"), platform.message("busy"), platform.message("x")
        strange["timestamp"] = "yesterday"
        platform.tell(platform.value(messages=[strange, first]), platform.value(messages=[second]))
        await until(lambda: 503 in platform.answers)
        platform.hear("free")
        await until(lambda: not platform.waiting)
        assert {one.message.text for one in heard} == {"hello", "busy", "free"}
        twice = {one.message.id for one in heard if one.message.text == "hello"}
        assert len(twice) == 1  # the inbox knows it

    tell(story)


def test_calls_are_believed_with_their_signature() -> None:
    async def story(channel: WhatsappChannel, platform: Whatsapp, heard: list[Envelope], lost: list[str]) -> None:
        message = platform.value(messages=[platform.message("hello")])
        call = {
            "object": "whatsapp_business_account",
            "entry": [{"changes": [{"field": "messages", "value": message}]}],
        }
        body = json.dumps(call).encode()
        async with aiohttp.ClientSession() as session:
            assert await platform.call(session, body) == 200
            assert await platform.call(session, json.dumps(call, indent=1).encode(), secret="another") == 403
            for rubbish in (b"", b"\xff", b"[" * 100_000, b"[]", b'{"object": "page"}'):
                assert await platform.call(session, rubbish) == 400
        for headers in ({}, {"x-hub-signature-256": "sha256=é"}, {"x-hub-signature-256": ""}):
            with pytest.raises(Refused):
                await channel.hook(Hook("POST", headers=headers, body=body))
        assert (await channel.hook(Hook("PUT"))).status == 405
        assert [one.message.text for one in heard] == ["hello"]

    tell(story)


def test_the_address_is_proven() -> None:
    async def story(channel: WhatsappChannel, platform: Whatsapp, heard: list[Envelope], lost: list[str]) -> None:
        query = {"hub.mode": "subscribe", "hub.verify_token": VERIFY, "hub.challenge": "1158201444"}
        async with aiohttp.ClientSession() as session, session.get(platform.hook, params=query) as answer:
            assert (answer.status, await answer.text()) == (200, "1158201444")
        for wrong in ({"hub.verify_token": "é"}, {"hub.mode": "x"}, {"hub.verify_token": ""}):
            with pytest.raises(Refused):
                await channel.hook(Hook("GET", query={**query, **wrong}))

    tell(story)


def test_files_come_in_two_steps_and_go_in_two() -> None:
    async def story(channel: WhatsappChannel, platform: Whatsapp, heard: list[Envelope], lost: list[str]) -> None:
        platform.files["77"] = b"a picture", "image/jpeg"
        platform.hear(kind="image", image={"id": "77", "mime_type": "image/jpeg", "caption": "look"})
        platform.hear(kind="audio", audio={"id": "78", "mime_type": "audio/ogg; codecs=opus", "voice": True})
        await until(lambda: len(heard) == 2)
        text, picture = heard[0].message.parts
        assert isinstance(text, Text) and isinstance(picture, Image)
        assert (text.text, await channel._kit.blobs.fetch(picture)) == ("look", b"a picture")
        assert heard[1].message.parts == (Text("[audio/ogg: not to be had]", outside=True),)
        note = File(channel._kit.blobs.put(b"words"), "text/plain", "a.txt", 5)
        sound = Audio(channel._kit.blobs.put(b"sound"), "audio/ogg", "", 5)
        await channel.send(parcel("see", picture, note, sound))
        assert [one["type"] for one in platform.said] == ["text", "image", "document", "audio"]
        assert platform.files[platform.said[2]["document"]["id"]] == (b"words", "text/plain")
        assert platform.said[2]["document"]["filename"] == "a.txt"
        with pytest.raises(Invalid):
            await channel.send(parcel("", File(note.blob, "application/zip", "a.zip", 5)))
        with pytest.raises(NotFound):
            await channel.send(parcel("", File("gone", "text/plain")))

    tell(story)


def test_a_file_that_is_too_large_is_left_where_it_is() -> None:
    async def story(channel: WhatsappChannel, platform: Whatsapp, heard: list[Envelope], lost: list[str]) -> None:
        room = channel._kit.limits.room("image")
        platform.files["77"] = bytes(room + 1), "image/jpeg"
        platform.hear(kind="image", image={"id": "77", "caption": "look"})
        await until(lambda: heard)
        text, picture = heard[0].message.parts
        assert isinstance(text, Text) and isinstance(picture, Image)
        assert (picture.blob, picture.size) == ("at:77", room + 1)  # the door tells the sender

    tell(story)


def test_a_reaction_that_is_taken_away_is_named() -> None:
    async def story(channel: WhatsappChannel, platform: Whatsapp, heard: list[Envelope], lost: list[str]) -> None:
        for more in ({"emoji": "👎"}, {"emoji": "👍"}, {}, {}):
            platform.hear(kind="reaction", reaction={"message_id": "wamid.OURS1", **more})
        await until(lambda: len(heard) == 4)
        assert [one.reaction for one in heard] == ["👎", "👍", "-👍", "-"]

    tell(story)


def test_the_token_is_shown_only_to_whatsapp() -> None:
    async def story(channel: WhatsappChannel, platform: Whatsapp, heard: list[Envelope], lost: list[str]) -> None:
        platform.files["77"] = b"a picture", "image/jpeg"
        for address in ("http://127.0.0.1:1", "https://fbsbx.com.example", "file:///etc", "http://lookaside.fbsbx.com"):
            platform.elsewhere = address
            platform.hear(kind="image", image={"id": "77"})
        await until(lambda: len(heard) == 4)
        assert {one.message.text for one in heard} == {"[image/jpeg: not to be had]"}

    tell(story)


def test_a_reply_says_what_it_answers_and_keeps_to_the_limit() -> None:
    async def story(channel: WhatsappChannel, platform: Whatsapp, heard: list[Envelope], lost: list[str]) -> None:
        platform.hear("hello")
        await until(lambda: heard)
        sent = await channel.send(parcel("**bold**", reply_to=heard[0].platform_id))
        assert platform.said[0]["context"] == {"message_id": heard[0].platform_id}
        assert (platform.said[0]["text"]["body"], platform.said[0]["id"]) == ("*bold*", sent.receipt)
        platform.trouble = [0, 503]
        long = parcel("\U0001f600 and so on. " * 900)
        with pytest.raises(Unavailable):
            await channel.send(long)
        await channel.send(long)
        told = "".join(one["text"]["body"] for one in platform.said[1:])
        assert told.replace(" ", "") == long.message.text.replace(" ", "")

    tell(story)


@pytest.mark.parametrize(
    ("answer", "kind", "after"),
    [(429, Unavailable, 7.0), (503, Unavailable, 7.0), ("drop", Unavailable, 2.0), (130429, Unavailable, 4.0),
     (131056, Unavailable, 4.0), (131048, Unavailable, 3600.0), (131026, Invalid, None), (131031, Refused, None)],
)  # fmt: skip
def test_what_whatsapp_says_decides(answer: int | str, kind: type[KithError], after: float | None) -> None:
    async def story(channel: WhatsappChannel, platform: Whatsapp, heard: list[Envelope], lost: list[str]) -> None:
        platform.trouble = [answer]
        with pytest.raises(kind) as caught:
            await channel.send(parcel("hello"))
        assert getattr(caught.value, "retry_after", None) == after
        await channel.send(parcel("hello"))
        assert [one["text"]["body"] for one in platform.said] == ["hello"] and not lost

    tell(story)


def test_a_reply_whose_answer_was_lost_is_known_by_its_receipt() -> None:
    async def story(channel: WhatsappChannel, platform: Whatsapp, heard: list[Envelope], lost: list[str]) -> None:
        platform.hear("hello")
        platform.trouble = ["lose"]
        with pytest.raises(Unavailable):
            await channel.send(parcel("once"))
        await until(lambda: not platform.waiting)
        sent = await channel.send(parcel("once", attempts=2))
        assert [one["id"] for one in platform.said] == [sent.receipt]

    tell(story)


def test_a_reply_whose_receipt_is_late_is_said_again() -> None:
    async def story(channel: WhatsappChannel, platform: Whatsapp, heard: list[Envelope], lost: list[str]) -> None:
        platform.statuses = ()
        platform.trouble = ["lose"]
        with pytest.raises(Unavailable):
            await channel.send(parcel("twice"))
        await channel.send(parcel("twice", attempts=2))
        assert len(platform.said) == 2  # the declared policy

    tell(story, verdict=0)


@pytest.mark.parametrize("late", [True, False])
def test_after_a_day_of_silence_the_owner_is_told_of_templates(late: bool) -> None:
    async def story(channel: WhatsappChannel, platform: Whatsapp, heard: list[Envelope], lost: list[str]) -> None:
        platform.closed, platform.late = {ANN}, late
        with pytest.raises(Refused, match="template") as caught:
            await channel.send(parcel("good morning"))
        assert (caught.value.code, caught.value.retry_after, platform.said) == ("window_closed", None, [])
        platform.closed = set()
        platform.hear("here I am")
        await until(lambda: heard)
        await channel.send(parcel("good morning"))
        assert len(platform.said) == 1 and not lost

    tell(story)


def test_a_reply_outside_the_window_is_a_dead_letter_with_the_reason(tmp_path: Path) -> None:
    async def story() -> None:
        async with whatsapp() as platform:
            settings = {**GIVEN, "api": platform.url, "access": "everyone"}
            async with (
                household(tmp_path, "whatsapp", settings) as (home, _),
                called(lambda request: home.manager.hook("whatsapp", "local", request)) as hook,
            ):
                platform.hook, platform.closed = hook, {ANN}
                platform.hear("hello")

                async def dead() -> Any:
                    return await home.storage.outbox.find("dead")

                platform.late = False
                await home.until(dead)
                (letter,) = await dead()
                assert "template" in letter.error and "131047" in letter.error

    asyncio.run(story())


def test_a_token_that_expires_keeps_what_waits(tmp_path: Path) -> None:
    async def story(channel: WhatsappChannel, platform: Whatsapp, heard: list[Envelope], lost: list[str]) -> None:
        platform.token = "EAAJB-NEW"
        with pytest.raises(Unavailable, match="token"):
            await channel.send(parcel("hello"))
        assert "token" in lost[0]
        with pytest.raises(Unavailable):
            await channel.probe()

    tell(story)

    async def whole() -> None:
        async with whatsapp() as platform:
            settings = {**GIVEN, "api": platform.url, "access": "everyone"}
            async with (
                household(tmp_path, "whatsapp", settings) as (home, _),
                called(lambda request: home.manager.hook("whatsapp", "local", request)) as hook,
            ):
                platform.hook, platform.token = hook, "EAAJB-NEW"
                platform.hear("hello")
                await home.until(lambda: home.health.snapshot()["channel:whatsapp"].condition == "failed")
                assert "system user" in home.health.snapshot()["channel:whatsapp"].detail
                assert (await home.states()) == {"re hello": "waiting"}

    asyncio.run(whole())


def test_a_wrong_token_is_not_tried_again() -> None:
    async def story(*_: Any) -> None:
        raise AssertionError

    with pytest.raises(Refused, match="system user"):
        tell(story, token="wrong")
    for missing in ("number", "token", "secret", "verify"):
        with pytest.raises(Invalid):
            tell(story, **{missing: ""})


def test_the_sign_of_writing_is_shown_once_for_each_message() -> None:
    async def story(channel: WhatsappChannel, platform: Whatsapp, heard: list[Envelope], lost: list[str]) -> None:
        await channel.typing(ANN)
        platform.hear("hello")
        platform.hear("hello", group_id="Y2FwaV9ncm91cDox")
        await until(lambda: len(heard) == 2)
        for chat in (ANN, ANN, "Y2FwaV9ncm91cDox"):
            await channel.typing(chat)
        (sign,) = platform.read
        assert (sign["message_id"], sign["typing_indicator"]) == (heard[0].platform_id, {"type": "text"})

    tell(story)


def test_a_dead_way_out_is_noticed_however_much_comes_in(tmp_path: Path) -> None:
    async def talk(platform: Whatsapp) -> None:
        """One message after the other, each as soon as the last was heard."""
        while True:
            platform.hear("still here")
            await until(lambda: not platform.waiting)

    async def story() -> None:
        async with whatsapp() as platform, Proxy(int(platform.url.rpartition(":")[2])) as proxy:
            settings = {**GIVEN, "api": f"http://127.0.0.1:{proxy.port}", "access": "everyone"}
            async with (
                household(tmp_path, "whatsapp", settings) as (home, _),
                called(lambda request: home.manager.hook("whatsapp", "local", request)) as platform.hook,
            ):
                keeper = home.manager._keepers["whatsapp"]
                assert keeper.liveness == 180
                keeper.liveness = 1.0
                keeper._lost.set()  # the keeper looks at the new bound from the next connection on
                await until(lambda: keeper.watch.restarts >= 1 and keeper.route.channel is not None)
                proxy.blackhole()
                talking = asyncio.create_task(talk(platform))
                await until(lambda: keeper.watch.restarts >= 2)
                talking.cancel()
                proxy.heal()
                await up(home, "whatsapp")

    asyncio.run(story())


def test_a_failure_that_is_told_later_makes_a_dead_letter_and_is_shown(tmp_path: Path) -> None:
    async def story() -> None:
        async with whatsapp() as platform:
            settings = {**GIVEN, "api": platform.url, "access": "everyone"}
            async with (
                household(tmp_path, "whatsapp", settings) as (home, _),
                called(lambda request: home.manager.hook("whatsapp", "local", request)) as platform.hook,
            ):
                platform.hear("hello", sender=ANN)
                await home.until_states(**{"re hello": "sent"})
                (sent,) = await home.storage.outbox.find("sent")
                about = {"id": platform.said[0]["id"], "recipient_id": ANN, "timestamp": "1", "status": "failed"}
                about["biz_opaque_callback_data"] = platform.said[0]["biz_opaque_callback_data"]
                error = {"code": 131026, "title": "Message undeliverable"}
                platform.tell(platform.value(statuses=[{**about, "errors": [error]}]))
                await home.until_states(**{"re hello": "dead"})
                (dead,) = await home.storage.outbox.find("dead")
                assert dead.id == sent.id and "not on WhatsApp" in dead.error
                shown = home.manager.about("whatsapp")
                assert (shown["state"], shown["errors"]) == ("ready", 1) and dead.error in shown["note"]
                await home.storage.outbox.decide(dead.id, "retry")
                home.manager.nudge()
                await home.until_states(**{"re hello": "sent"})
                assert len(platform.said) == 2
                platform.tell(platform.value(statuses=[{**about, "errors": [error]}]))  # Meta says it again
                await until(lambda: not platform.waiting)
                assert (await home.states())["re hello"] == "sent"

    asyncio.run(story())

"""The Feishu channel against an emulator of the open platform and its long connection, which Feishu's SDK believes."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from kith.channels.feishu.channel import FeishuChannel
from kith.channels.feishu.seal import Seal
from kith.channels.feishu.settings import FeishuSettings
from kith.channels.kit import Kit
from kith.core.channel import Hook
from kith.core.errors import Invalid, KithError, Refused, Unavailable
from kith.core.ids import conversation_id
from kith.core.message import Audio, Envelope, File, Image, Message, Part, Text
from kith.core.people import Parcel
from kith.core.turn import Done, Turn
from tests.channels.conftest import House, open_house
from tests.channels.emulators.feishu import APP, BOT, PICTURE, SECRET, Feishu, feishu
from tests.channels.rig import Stage, play, until, up
from tests.channels.trial import (
    Story,
    ear,
    ends,
    kit,
    once,
    reply,
    silence_noticed,
    suite,
    token_renewed,
    trial,
)

pytestmark = pytest.mark.server
KEY = "kudryavka"


def parcel(text: str, *parts: Part, target: str = "oc_1", reply_to: str = "", name: str = "p") -> Parcel:
    return reply("feishu", target, text, parts, name=name, reply_to=reply_to)


def tell(story: Story[FeishuChannel, Feishu], clock: Any = None, **settings: Any) -> list[str]:
    """What the channel said when its connection was lost."""
    gone: list[str] = []

    def make(platform: Feishu, shelf: Kit) -> FeishuChannel:
        given = {"app": APP, "secret": SECRET, "base": platform.url, **settings}
        return FeishuChannel(FeishuSettings(**given), shelf)

    shelf = kit(clock, lost=gone.append)
    trial(feishu, make, story, shelf=shelf, door=lambda platform: once(lambda: not platform.answered))
    return gone


def shown(said: dict[str, Any]) -> str:
    """The text of a message as the emulator keeps it."""
    content = said["content"]
    match said["msg_type"]:
        case "interactive":
            return content["body"]["elements"][0]["content"]
        case "post":
            return content["zh_cn"]["content"][0][0]["text"]
        case _:
            return content["text"]


def test_events_are_answered_in_order_once_they_are_kept() -> None:
    async def story(channel: FeishuChannel, platform: Feishu, heard: list[Envelope]) -> None:
        await until(lambda: platform.sockets)
        await platform.hear("busy")
        for number in range(30):
            await platform.hear(str(number))
        await until(lambda: not platform.waiting)
        assert [one.message.text for one in heard] == ["busy", *map(str, range(30))]
        assert platform.answered[-1] == {"code": 200}
        await platform.hear("twice", copies=2)
        await until(lambda: not platform.waiting)
        assert heard[-1].message.id == heard[-2].message.id  # the inbox knows it
        platform.parts = 3
        await platform.hear("in three parts, the last one first")
        await until(lambda: heard[-1].message.text == "in three parts, the last one first")
        await channel.probe()
        await platform.event("im.chat.updated_v1", {"chat_id": "oc_1"})
        await until(lambda: not platform.waiting)

    assert tell(story) == []


def test_what_was_not_kept_comes_again_on_the_next_connection() -> None:
    async def story(channel: FeishuChannel, platform: Feishu, heard: list[Envelope]) -> None:
        await until(lambda: platform.sockets)
        line: Any = channel._line
        await platform.drop()
        await until(line._tasks[0].done)
        await platform.hear("while nobody listened")
        await channel.start(ear(heard))
        await until(lambda: not platform.waiting)
        assert heard[-1].message.text == "while nobody listened" and platform.opened == 2

    assert tell(story) == ["Feishu closed the connection"]


def test_strange_frames_and_events_harm_nothing() -> None:
    async def story(channel: FeishuChannel, platform: Feishu, heard: list[Envelope]) -> None:
        await until(lambda: platform.sockets)
        for socket in platform.sockets:
            for rubbish in (b"", b"\xff" * 20, b"\x08"):
                await socket.send_bytes(rubbish)
            await socket.send_str("text")
        await platform.event("im.message.receive_v1", {"message": {"message_id": "om_x"}})
        await platform.event("im.message.receive_v1", {"sender": None, "message": []})
        await platform.hear("after")
        await until(lambda: not platform.waiting)
        assert [one.message.text for one in heard] == ["after"]

    assert tell(story) == []


def test_the_same_reply_is_said_once_and_in_pieces() -> None:
    async def story(channel: FeishuChannel, platform: Feishu, heard: list[Envelope]) -> None:
        platform.trouble = {"send": ["lose"]}
        with pytest.raises(Unavailable):
            await channel.send(parcel("hello"))
        sent = await channel.send(parcel("hello"))
        assert list(platform.said) == [sent.receipt]  # Feishu knew the key
        platform.trouble = {"send": [0, 503]}
        long = parcel("你好世界。" * 2000)
        with pytest.raises(Unavailable):
            await channel.send(long)
        receipts = (await channel.send(long)).receipt.split()
        assert "".join(shown(platform.said[one]) for one in receipts) == long.message.text
        assert len(platform.said) == 1 + len(receipts)

    tell(story)


def test_a_reply_goes_where_it_was_asked() -> None:
    async def story(channel: FeishuChannel, platform: Feishu, heard: list[Envelope]) -> None:
        direct, group = await platform.hear("hello"), await platform.hear("hello", "oc_2", "group")
        await platform.hear("in a thread", "oc_2", "group", thread_id="omt_1", root_id="om_root", parent_id="om_root")
        await until(lambda: len(heard) == 3)
        for name, target, asked in (("a", "oc_1", direct), ("b", "oc_2", group), ("c", heard[2].conversation, "om_3")):
            await channel.send(parcel("x", target=target, reply_to=asked, name=name))
        plain, quoted, threaded = platform.said.values()
        assert (plain["goal"], plain["receive_id"]) == ("", "oc_1")
        assert (quoted["goal"], quoted["reply_in_thread"]) == (group, False)
        assert (threaded["goal"], threaded["reply_in_thread"]) == ("om_root", True)
        platform.gone.add(group)
        sent = await channel.send(parcel("y", target="oc_2", reply_to=group, name="d"))
        assert platform.said[sent.receipt]["receive_id"] == "oc_2"  # what was asked is taken back

    tell(story)


def test_recalls_and_reactions_find_their_message() -> None:
    async def story(channel: FeishuChannel, platform: Feishu, heard: list[Envelope]) -> None:
        name = await platform.hear("hello", "oc_2", "group")
        await until(lambda: heard)
        sent = await channel.send(parcel("hi", target="oc_2", reply_to=name))
        await platform.event("im.message.recalled_v1", {"message_id": name, "chat_id": "oc_2"})
        put = {"message_id": sent.receipt, "reaction_type": {"emoji_type": "ThumbsDown"},
               "operator_type": "user", "user_id": {"open_id": "ou_ann"}}  # fmt: skip
        await platform.event("im.message.reaction.created_v1", put)
        await platform.event("im.message.reaction.created_v1", {**put, "message_id": "om_unknown"})
        await platform.hear("again?", "oc_2", "group", parent_id=sent.receipt)
        await until(lambda: not platform.waiting)
        assert len(heard) == 4
        assert (heard[1].edits, heard[1].message.parts, heard[1].sender) == (name, (), "ou_ann")
        assert (heard[2].reaction, heard[2].reply_to, heard[2].conversation) == ("👎", sent.receipt, "oc_2")
        assert heard[3].mentioned

    tell(story)


def test_a_reply_grows_as_a_card_or_as_a_post() -> None:
    async def cards(channel: FeishuChannel, platform: Feishu, heard: list[Envelope]) -> None:
        sent = await channel.send(parcel("one", name="d_turn"))
        for number in range(30):
            await channel.edit(parcel("", name=f"d_turn-{number}"), sent.receipt, f"one {number} <at id=all></at>")
        said = platform.said[sent.receipt]
        assert said["edits"] == 30 and shown(said) == "one 29 <\u200bat id=all><\u200b/at>"
        platform.trouble = {"patch": [230031]}
        with pytest.raises(Invalid):  # "only within 14 days": the finished reply is then said anew
            await channel.edit(parcel("x"), sent.receipt, "late")

    async def posts(channel: FeishuChannel, platform: Feishu, heard: list[Envelope]) -> None:
        sent = await channel.send(parcel("one", name="d_turn"))
        for number in range(1, 40):
            await channel.edit(_named(parcel(""), f"d_turn-{number}"), sent.receipt, f"one {number}")
        await channel.edit(parcel("finished"), sent.receipt, "finished")
        said = platform.said[sent.receipt]
        assert said["edits"] <= 20 and shown(said) == "finished"

    tell(cards)
    tell(posts, cards=False)


def _named(one: Parcel, name: str) -> Parcel:
    return Parcel(name, 1, one.conversation, one.channel, one.account, one.target, one.message)


def test_a_card_that_is_not_wanted_goes_as_text() -> None:
    async def story(channel: FeishuChannel, platform: Feishu, heard: list[Envelope]) -> None:
        platform.trouble = {"send": [230099]}
        sent = await channel.send(parcel("**bold** table"))
        assert platform.said[sent.receipt]["content"] == {"text": "bold table"}

    tell(story)


def test_files_come_and_go() -> None:
    async def story(channel: FeishuChannel, platform: Feishu, heard: list[Envelope]) -> None:
        await platform.hear("", message_type="image", content='{"image_key": "img_1"}')
        gone = '{"file_key": "file_x", "file_name": "a.txt"}'
        await platform.hear("", message_type="file", content=gone)
        await until(lambda: len(heard) == 2)
        picture = heard[0].message.parts[0]
        assert isinstance(picture, Image) and (picture.mime, picture.size) == ("image/png", len(PICTURE))
        assert heard[1].message.text == "[a.txt: not to be had]"
        put = channel._kit.blobs.put
        files = (Audio(put(b"Ogg"), "audio/ogg"), File(put(b"%PDF"), "application/pdf", "plan.pdf"))
        platform.expire()  # also an upload asks for a new token
        receipts = (await channel.send(parcel("look", picture, *files))).receipt.split()
        kinds = [platform.said[one]["msg_type"] for one in receipts]
        assert kinds == ["interactive", "image", "audio", "file"]
        image, audio, file = platform.uploads.values()
        assert (image["image"], image["image_type"]) == (PICTURE, "message")
        assert (audio["file_type"], file["file_type"], file["file_name"]) == ("opus", "pdf", "plan.pdf")

    tell(story)


def test_the_token_is_renewed_before_it_ends_and_when_it_is_stale() -> None:
    token_renewed(tell, parcel)


@pytest.mark.parametrize(
    ("answer", "kind", "after"),
    [(429, Unavailable, 7.0), (99991400, Unavailable, 5.0), (230020, Unavailable, 1.0), (502, Unavailable, 5.0),
     (230002, Refused, None), (99991672, Refused, None), (230006, Refused, None), (230028, Invalid, None)],
)  # fmt: skip
def test_what_feishu_says_decides(answer: int, kind: type[KithError], after: float | None) -> None:
    async def story(channel: FeishuChannel, platform: Feishu, heard: list[Envelope]) -> None:
        platform.trouble = {"send": [answer]}
        await ends(channel.send(parcel("hello")), kind, after)

    tell(story)


@pytest.mark.parametrize("given", [{"secret": "wrong"}, {"app": "cli_other"}])
def test_a_wrong_secret_is_told_at_once(given: dict[str, str]) -> None:
    async def story(*_: Any) -> None:
        raise AssertionError

    with pytest.raises(Refused) as caught:
        tell(story, **given)
    assert "channels.feishu" in caught.value.hint
    with pytest.raises(Invalid):
        tell(story, mode="calls")


@pytest.mark.parametrize(
    ("headers", "kind"),
    [({"handshake-status": "403", "handshake-msg": "off"}, Refused), ({}, Unavailable),
     ({"handshake-status": "514", "handshake-autherrcode": "1000040350"}, Unavailable)],
)  # fmt: skip
def test_a_refused_handshake_says_why(headers: dict[str, str], kind: type[KithError]) -> None:
    async def story(channel: FeishuChannel, platform: Feishu, heard: list[Envelope]) -> None:
        platform.refuse = {**headers, "x": "y"}
        with pytest.raises(kind):
            await channel.start(ear(heard))

    tell(story)


def test_calls_are_believed_only_when_sealed_signed_new_and_in_time() -> None:
    seal = Seal(KEY)

    def call(told: dict[str, Any], by: Seal = seal, ago: int = 0, nonce: str = "n") -> Hook:
        body = json.dumps({"encrypt": by.close(json.dumps(told).encode())}).encode()
        stamp = str(int(time.time()) - ago)
        signed = by.sign(stamp, nonce, body)
        names = {"x-lark-request-timestamp": stamp, "x-lark-request-nonce": nonce, "x-lark-signature": signed}
        return Hook("POST", headers=names, body=body)

    async def story(channel: FeishuChannel, platform: Feishu, heard: list[Envelope]) -> None:
        assert not platform.opened
        asked = {"type": "url_verification", "challenge": "ajls384kdjx98XX", "token": "v-token"}
        body = json.dumps({"encrypt": seal.close(json.dumps(asked).encode())}).encode()
        answer = await channel.hook(Hook("POST", body=body))
        assert json.loads(answer.body) == {"challenge": "ajls384kdjx98XX"}
        await platform.hear("hello")
        said = json.loads(next(iter(platform.waiting.values()))[0].payload)
        good = call(said)
        assert (await channel.hook(good)).status == 200
        assert heard[0].message.text == "hello"
        bad = [
            good,  # the very same call
            call(said, ago=400),
            call({**said, "header": {**said["header"], "token": "another"}}),
            call({**asked, "token": "another"}),
            Hook("POST", headers={**good.headers, "x-lark-signature": "é"}, body=good.body),
            Hook("POST", headers={**good.headers, "x-lark-request-timestamp": "٣"}, body=good.body),
        ]
        for one in bad:
            with pytest.raises(Refused):
                await channel.hook(one)
        for rubbish in (b"", b"\xff", b"[]", b'{"type": "url_verification", "challenge": "x"}'):
            with pytest.raises(Invalid):
                await channel.hook(Hook("POST", headers=good.headers, body=rubbish))
        with pytest.raises((Invalid, Refused)):
            await channel.hook(call(said, Seal("another")))
        said["event"]["message"] |= {"message_id": "om_busy", "content": '{"text": "busy"}'}
        busy = call(said)
        with pytest.raises(Unavailable):
            await channel.hook(busy)
        assert (await channel.hook(busy)).status == 200  # it was not kept: the same call is welcome again
        await channel.probe()

    tell(story, mode="calls", encrypt_key=KEY, verification="v-token")


def test_an_app_that_keeps_a_connection_takes_no_calls() -> None:
    async def story(channel: FeishuChannel, platform: Feishu, heard: list[Envelope]) -> None:
        with pytest.raises(Unavailable):
            await channel.hook(Hook("POST", body=b"{}"))

    tell(story)


class Person:
    """Somebody in a direct chat with the bot."""

    def __init__(self, platform: Feishu, number: int) -> None:
        self._platform, self.chat, self.user = platform, f"oc_p{number}", f"ou_p{number}"

    async def say(self, text: str) -> None:
        await self._platform.hear(text, self.chat, user=self.user)

    @property
    def heard(self) -> list[str]:
        return [shown(one) for one in self._platform.said.values() if one.get("receive_id") == self.chat]


@asynccontextmanager
async def stage() -> AsyncIterator[Stage]:
    async with feishu() as platform:

        def settings(port: int) -> dict[str, Any]:
            platform.gate = base = f"http://127.0.0.1:{port}"
            return {"app": APP, "secret": SECRET, "base": base, "access": "everyone", "streaming": "off"}

        port = int(platform.url.rpartition(":")[2])
        yield Stage("feishu", port, settings, [Person(platform, number) for number in range(4)])


def test_nothing_is_lost_doubled_or_misordered_while_connections_are_cut(tmp_path: Path) -> None:
    outcome = asyncio.run(play(tmp_path, stage(), messages=80, seconds=3.0, every=1.0))
    print(f"{outcome.cuts} cuts, recovered in {[round(one, 2) for one in outcome.recoveries]} s")
    assert outcome.cuts and outcome.inwards.clean and outcome.outwards.clean and not outcome.dead, outcome


def test_one_card_grows_into_the_reply(tmp_path: Path) -> None:
    async def story() -> None:
        async with feishu() as platform:
            given = {"app": APP, "secret": SECRET, "base": platform.url, "access": "everyone"}
            async with open_house(tmp_path, feishu=given) as home:
                await home.manager.start("w")
                try:
                    await up(home, "feishu")
                    await until(lambda: platform.sockets)
                    await platform.hear("tell me a story")
                    await until(lambda: not platform.waiting)
                    claim = (await home.storage.inbox.claim("talk", 1))[0]
                    topic = conversation_id("feishu", "local", "oc_1")
                    for place, words in enumerate(("Once upon ", "a time there ", "was a fox. ")):
                        home.streams.publish(topic, "delta", {"turn": claim.id, "text": words})
                        await until(lambda place=place: platform.said and total(platform) >= place)
                    await settle(home, claim, "Once upon a time there was a fox. The end.")
                    await until(lambda: any(shown(one).endswith("end.") for one in platform.said.values()))
                    assert len(platform.said) == 1 and total(platform) >= 3
                finally:
                    await home.manager.stop()

    def total(platform: Feishu) -> int:
        return sum(one["edits"] for one in platform.said.values())

    async def settle(home: House, claim: Any, text: str) -> None:
        person, conversation = await home.storage.store.resolve(claim.envelope)
        said = Message(home.ids.new("m"), "assistant", (Text(text),), home.clock.now())
        out = Parcel(said.id, 0, conversation.id, "feishu", "local", claim.envelope.conversation, said)
        turn = Turn(claim.id, conversation.id, person.id, home.clock.now(), claim.envelope.message, (said,), model="m")
        await home.storage.inbox.settle(claim, Done(turn, {}, (out,)))
        home.streams.publish(conversation.id, "end", {"turn": claim.id})
        home.manager.nudge()

    asyncio.run(story())


def test_a_silent_connection_is_noticed(tmp_path: Path) -> None:
    silence_noticed(tmp_path, stage())


def test_the_sdk_of_feishu_believes_the_emulator() -> None:
    async def story() -> None:
        async with feishu() as platform, suite("larksuite.py", platform.url, APP, SECRET) as out:
            said = (await out.readline()).split()
            assert said[0] == b"said" and said[1] == said[2] != said[3]
            await until(lambda: platform.sockets)
            await platform.hear("你好")
            platform.parts = 2
            await platform.hear("in parts")
            texts = {(await out.readline()).decode().strip() for _ in range(2)}
            assert texts == {"heard 你好", "heard in parts"}
            await until(lambda: not platform.waiting)  # answered by the SDK

    asyncio.run(story())


def test_its_own_words_are_not_answered() -> None:
    async def story(channel: FeishuChannel, platform: Feishu, heard: list[Envelope]) -> None:
        await platform.hear("my own", user=BOT)
        await platform.hear("somebody's")
        await until(lambda: heard)
        assert [one.message.text for one in heard] == ["somebody's"]

    tell(story)

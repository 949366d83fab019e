"""The Slack channel, through Slack's SDK, against an emulator of the Web API and Socket Mode."""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from kith.channels.kit import Kit
from kith.channels.slack.channel import SlackChannel
from kith.channels.slack.settings import SlackSettings
from kith.core.channel import Hook
from kith.core.errors import Invalid, KithError, Refused, Unavailable
from kith.core.message import Envelope, File, Image, Message, Text
from kith.core.people import Parcel
from tests.channels.emulators.slack import Slack, slack
from tests.channels.rig import until
from tests.channels.trial import ends, once, reply, trial

pytestmark = pytest.mark.server
SECRET = "8f742231b10e8888abcd99yyyzzz85a5"


def parcel(text: str, target: str = "D1") -> Parcel:
    return reply("slack", target, text)


def tell(story: Callable[[SlackChannel, Slack, list[Envelope]], Awaitable[None]], **settings: Any) -> None:
    def make(platform: Slack, shelf: Kit) -> SlackChannel:
        given = {"token": "xoxb-test", "app_token": "xapp-test", "api": f"{platform.url}/api", **settings}
        return SlackChannel(SlackSettings(**given), shelf)

    trial(slack, make, story, door=lambda platform: once(lambda: platform.waiting))


def test_events_are_acknowledged_in_order_once_they_are_kept() -> None:
    async def story(channel: SlackChannel, platform: Slack, heard: list[Envelope]) -> None:
        await until(lambda: platform.sockets)
        await platform.hear("busy")
        for number in range(30):
            await platform.hear(str(number))
        await until(lambda: not platform.waiting)
        assert [one.message.text for one in heard] == ["busy", *map(str, range(30))]
        await platform.hear("twice", copies=2)
        await until(lambda: not platform.waiting)
        assert heard[-1].message.id == heard[-2].message.id  # the inbox knows it
        await platform.refresh()
        await until(lambda: platform.opened == 2 and platform.sockets)
        await platform.hear("after")
        await until(lambda: heard[-1].message.text == "after")
        await channel.probe()

    tell(story)


@pytest.mark.parametrize(
    ("answer", "kind", "after"),
    [(429, Unavailable, 7.0), (503, Unavailable, 5.0), ("token_expired", Refused, None),
     ("is_archived", Refused, None), ("msg_too_long", Invalid, None)],
)  # fmt: skip
def test_what_slack_says_decides(answer: int | str, kind: type[KithError], after: float | None) -> None:
    async def story(channel: SlackChannel, platform: Slack, heard: list[Envelope]) -> None:
        platform.trouble = [answer]
        await ends(channel.send(parcel("hello")), kind, after)
        assert (await channel.send(parcel("**hi** <&", "C1:17.5"))).receipt == "C1/1700000001.000001"
        assert platform.said[0]["thread_ts"] == "17.5" and platform.said[0]["text"] == "*hi* &lt;&amp;"

    tell(story, app_token="", signing_secret=SECRET)


def test_files_come_and_go_and_the_token_stays_at_slack() -> None:
    async def story(channel: SlackChannel, platform: Slack, heard: list[Envelope]) -> None:
        platform.files["cat.png"] = b"a cat"

        def file(name: str, base: str = "") -> dict[str, Any]:
            address = f"{base or platform.url}/files/{name}"
            return {"name": name, "mimetype": "image/png", "size": 5, "url_private_download": address}

        await until(lambda: platform.sockets)
        strange = "http://127.0.0.1:9"  # shown no token: nothing is asked of it
        await platform.hear("look", subtype="file_share", files=[file("cat.png"), file("gone.png"), file("x", strange)])
        await until(lambda: heard)
        words, cat, gone, elsewhere = heard[0].message.parts
        assert words == Text("look") and isinstance(cat, Image)
        assert await channel._kit.blobs.fetch(cat) == b"a cat"
        assert [gone, elsewhere] == [Text(f"[{name}: not to be had]", outside=True) for name in ("gone.png", "x")]
        platform.readable = False
        await platform.hear("", subtype="file_share", files=[file("cat.png")])
        await until(lambda: len(heard) == 2)
        assert heard[1].message.text == "[cat.png: not to be had]"
        plan = File(channel._kit.blobs.put(b"a plan"), "application/pdf", "plan.pdf", 6)
        said = Message("m", "assistant", (Text("here"), plan), 0.0)
        await channel.send(dataclasses.replace(parcel("", "C1:17.5"), message=said))
        assert [one["text"] for one in platform.said] == ["here"]
        assert platform.posted == [("C1", "17.5", "plan.pdf", b"a plan")]
        platform.elsewhere = strange
        with pytest.raises(Unavailable):
            await channel.send(dataclasses.replace(parcel("x"), message=Message("m2", "assistant", (plan,), 0.0)))

    tell(story)


def test_wrong_tokens_are_not_tried_again() -> None:
    async def story(*_: Any) -> None:
        raise AssertionError

    for wrong in ({"token": "xoxb-wrong"}, {"app_token": "xapp-wrong"}):
        with pytest.raises(Refused):
            tell(story, **wrong)
    with pytest.raises(Invalid):
        tell(story, app_token="")


def test_calls_are_believed_only_when_signed_new_and_in_time() -> None:
    def call(told: bytes, secret: str = SECRET, ago: int = 0) -> Hook:
        at = int(time.time()) - ago
        signed = hmac.new(secret.encode(), f"v0:{at}:".encode() + told, hashlib.sha256).hexdigest()
        headers = {"x-slack-request-timestamp": str(at), "x-slack-signature": f"v0={signed}"}
        return Hook("POST", headers=headers, body=told)

    async def story(channel: SlackChannel, platform: Slack, heard: list[Envelope]) -> None:
        assert (await channel.hook(call(b'{"type": "url_verification", "challenge": "abc"}'))).body == b"abc"
        event = {"type": "message", "channel": "D1", "channel_type": "im", "user": "U1", "text": "hello", "ts": "17.5"}
        good = call(json.dumps({"type": "event_callback", "event": event}).encode())
        assert (await channel.hook(good)).status == 200
        assert heard[0].message.text == "hello"
        for bad in (good, call(b"{}", "wrong"), call(b"{}", ago=400), Hook("POST", body=b"{}")):
            with pytest.raises(Refused):
                await channel.hook(bad)
        for rubbish in (b"", b"\xff", b"[]"):
            with pytest.raises(Invalid):
                await channel.hook(call(rubbish))

    tell(story, app_token="", signing_secret=SECRET)

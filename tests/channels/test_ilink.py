"""The iLink channel, against an emulator of its API and CDN; and set-up by its QR code."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from kith.channels.ilink.channel import IlinkChannel
from kith.channels.ilink.settings import IlinkSettings
from kith.channels.ilink.wire import opened, sealed
from kith.channels.kit import Kit
from kith.channels.scan import Scans, scanner
from kith.cli import scan as terminal
from kith.core.clock import FrozenClock
from kith.core.errors import Invalid, KithError, NotFound, Refused, Unavailable
from kith.core.message import Audio, Envelope, File, Image, Part, Text
from kith.core.people import Parcel
from kith.runtime.registry import Registry
from tests.channels.emulators.ilink import OWNER, TOKEN, Ilink, confirmed, ilink
from tests.channels.proxy import Proxy
from tests.channels.rig import household, until
from tests.channels.trial import ear, full, kit, reply, trial

pytestmark = pytest.mark.server
MANIFEST = Registry("channels").manifest("ilink")
Story = Callable[[IlinkChannel, Ilink, list[Envelope], Kit], Awaitable[None]]


def parcel(text: str, *more: Part, target: str = OWNER) -> Parcel:
    return reply("ilink", target, text, more)


def given(url: str, **more: Any) -> dict[str, Any]:
    return {"token": TOKEN, "owner": OWNER, "base": url, "cdn": f"{url}/c2c", **more}


def tell(story: Story, shelf: Kit | None = None, before: Callable[[Ilink], Any] = lambda _: None, **more: Any) -> None:
    own = shelf or kit()

    def make(platform: Ilink, own: Kit) -> IlinkChannel:
        return IlinkChannel(IlinkSettings(**given(platform.url, **more)), own)

    trial(ilink, make, lambda *told: story(*told, own), shelf=own, ready=before)


def test_both_ways_while_the_connection_breaks(tmp_path: Path) -> None:
    async def story() -> None:
        async with ilink() as platform, Proxy(int(platform.url.rpartition(":")[2])) as proxy:
            settings = given(f"http://127.0.0.1:{proxy.port}", access="everyone")
            async with household(tmp_path, "ilink", settings) as (_, echo):
                for number in range(60):
                    platform.hear(str(number), user=f"u{number % 20}@im.wechat")
                    if number % 20 == 10:
                        await until(lambda: echo.heard)
                        proxy.cut()
                await until(lambda: len({one["text"] for one in platform.said}) == 60, 240)
            for user in range(20):
                wanted = [f"{user + 20 * turn}" for turn in range(3)]
                assert echo.heard[f"u{user}@im.wechat"] == wanted
                told = [one["text"] for one in platform.said if one["to_user_id"] == f"u{user}@im.wechat"]
                assert list(dict.fromkeys(told)) == [f"re {text}" for text in wanted]

    asyncio.run(story())


def test_a_black_hole_is_noticed(tmp_path: Path) -> None:
    async def story() -> None:
        async with ilink() as platform, Proxy(int(platform.url.rpartition(":")[2])) as proxy:
            settings = given(f"http://127.0.0.1:{proxy.port}", access="everyone")
            async with household(tmp_path, "ilink", settings) as (home, echo):
                keeper = home.manager._keepers["ilink"]
                keeper.liveness = 1.5
                platform.trouble["getupdates"] = ["drop"]
                await until(lambda: keeper.watch.restarts >= 1 and keeper.route.channel is not None)
                proxy.blackhole()
                await until(lambda: keeper.watch.restarts >= 2)
                platform.hear("meanwhile")
                proxy.heal()
                await until(lambda: echo.heard.get(OWNER) == ["meanwhile"])

    asyncio.run(story())


def test_the_cursor_is_kept_after_the_messages_were() -> None:
    shelf = kit()

    async def story() -> None:
        async with ilink() as platform:
            heard = list[Envelope]()
            settings = IlinkSettings(**given(platform.url))
            first = IlinkChannel(settings, shelf)
            await first.start(ear([], full(heard)))
            platform.hear("hello", number=5)
            await until(lambda: heard)
            await first.stop()
            assert set(platform.cursors) == {0}
            second = IlinkChannel(settings, shelf)
            await second.start(ear(heard))
            await until(lambda: platform.cursors[-1] == 1)
            await second.send(parcel("hi"))
            await second.stop()
            third = IlinkChannel(settings, shelf)  # the conversation's token is still known
            await third.start(ear(heard))
            await third.send(parcel("there"))
            await third.stop()
            assert [one.platform_id for one in heard] == ["5", "5"] and platform.cursors[-1] == 1
            assert [one["context_token"] for one in platform.said] == [*platform.tokens] * 2
            assert platform.notified == ["notifystart", "notifystop"] * 3

    asyncio.run(story())


def test_repeated_reordered_and_strange_messages_harm_nothing() -> None:
    def before(platform: Ilink) -> None:
        platform.messages += [{}, {"message_type": 1, "item_list": 7}, {"from_user_id": [], "context_token": {}}]
        platform.hear("second", number=6)
        platform.hear("first", number=5)
        platform.messages.append(platform.messages[-1])

    async def story(channel: IlinkChannel, platform: Ilink, heard: list[Envelope], shelf: Kit) -> None:
        await until(lambda: len(heard) == 3)
        assert [one.message.text for one in heard] == ["second", "first", "first"]
        assert heard[1].message.id == heard[2].message.id  # the inbox knows it
        await channel.probe()
        await channel.typing(OWNER)
        await channel.typing(OWNER)
        assert [(one["typing_ticket"], one["status"]) for one in platform.typed] == [(f"ticket of {OWNER}", 1)] * 2

    tell(story, before=before)


@pytest.mark.parametrize("slot", ["ret", "errcode"])
@pytest.mark.parametrize(
    ("answer", "kind", "after"),
    [(-2, Unavailable, 60.0), (-1, Unavailable, 5.0), (429, Unavailable, 7.0), (502, Unavailable, 5.0),
     ("drop", Unavailable, 1.0), ("lose", Unavailable, 1.0), (-14, Refused, None), (401, Refused, None),
     (-7, Invalid, None)],
)  # fmt: skip
def test_what_wechat_says_decides(slot: str, answer: int | str, kind: type[KithError], after: float | None) -> None:
    gone = list[str]()

    async def story(channel: IlinkChannel, platform: Ilink, heard: list[Envelope], shelf: Kit) -> None:
        platform.without, platform.slot = True, slot
        platform.trouble = {"sendmessage": [answer]}
        with pytest.raises(kind) as caught:
            await channel.send(parcel("hello"))
        assert getattr(caught.value, "retry_after", None) == after
        assert bool(gone) is (kind is Refused) and len(platform.said) == (answer == "lose")

    tell(story, kit(lost=gone.append))


def test_an_answer_lost_after_acceptance_is_sent_again_under_the_same_name(tmp_path: Path) -> None:
    async def story() -> None:
        async with (
            ilink() as platform,
            household(tmp_path, "ilink", given(platform.url, access="everyone")) as (home, _),
        ):
            platform.trouble = {"sendmessage": ["lose"]}
            platform.hear("hello")
            await until(lambda: len(platform.said) == 2)
            await home.until_states(**{"re hello": "sent"})
            first, second = platform.said
            assert first["client_id"] == second["client_id"] and first["text"] == second["text"] == "re hello"

    asyncio.run(story())


def test_a_conversation_whose_token_is_dead() -> None:
    async def story(channel: IlinkChannel, platform: Ilink, heard: list[Envelope], shelf: Kit) -> None:
        platform.hear("hello")
        await until(lambda: heard)
        await channel.send(parcel("in time"))
        platform.shift = 91.0
        with pytest.raises(Unavailable) as caught:
            await channel.send(parcel("too late"))
        assert caught.value.retry_after == 60.0
        platform.without = True
        await channel.send(parcel("without"))
        assert "context_token" not in platform.said[-1]
        platform.without = False
        token = platform.hear("again")
        await until(lambda: len(heard) == 2)
        await channel.send(parcel("too late"))
        assert platform.said[-1]["context_token"] == token

    tell(story)


def test_seven_messages_in_five_minutes_and_no_more(tmp_path: Path) -> None:
    async def story(channel: IlinkChannel, platform: Ilink, heard: list[Envelope], shelf: Kit) -> None:
        platform.hear("hello")
        await until(lambda: heard)
        for number in range(7):
            await channel.send(parcel("x" * (number + 1)))
        with pytest.raises(Unavailable) as caught:
            await channel.send(parcel("one more"))
        assert caught.value.retry_after == 60.0

    tell(story)

    async def paced() -> None:
        async with ilink() as platform, household(tmp_path, "ilink", given(platform.url, access="everyone")) as both:
            home, echo = both
            for number in range(9):
                platform.hear(str(number))
            await until(lambda: len(platform.said) == 7 and len(echo.heard.get(OWNER, ())) == 9)

            async def settled() -> bool:
                return sorted((await home.states()).values()) == ["sent"] * 7 + ["waiting"] * 2

            await home.until(settled)

    asyncio.run(paced())


def test_a_long_reply_is_not_repeated() -> None:
    async def story(channel: IlinkChannel, platform: Ilink, heard: list[Envelope], shelf: Kit) -> None:
        platform.without = True
        platform.trouble = {"sendmessage": [0, 503]}
        long = parcel("你好，世界。" * 1500)
        with pytest.raises(Unavailable):
            await channel.send(long)
        await channel.send(long)
        assert "".join(one["text"] for one in platform.said) == long.message.text

    tell(story)


def test_files_come_and_go() -> None:
    key = bytes(range(16))

    def media(name: str, how: str = key.hex()) -> dict[str, Any]:
        return {"aeskey": how, "media": {"encrypt_query_param": name}}

    def before(platform: Ilink) -> None:
        platform.files = {"a/b=": sealed(b"a picture", key), "v": sealed(b"a voice", key), "open": b"not sealed"}
        platform.hear({"type": 2, "image_item": media("a/b=")})
        platform.hear({"type": 3, "voice_item": media("v")})
        platform.hear({"type": 4, "file_item": {"file_name": "plan.txt", **media("open", "")}})
        platform.hear({"type": 2, "image_item": media("gone")})
        platform.hear({"type": 2, "image_item": media("open")})

    async def story(channel: IlinkChannel, platform: Ilink, heard: list[Envelope], shelf: Kit) -> None:
        await until(lambda: len(heard) == 5)
        parts = [one.message.parts[0] for one in heard]
        assert [type(part) for part in parts] == [Image, Audio, File, Text, Text]
        bytes_ = [await shelf.blobs.fetch(part) for part in parts if isinstance(part, Image | Audio | File)]
        assert bytes_ == [b"a picture", b"a voice", b"not sealed"]
        picture, _, plan, *_ = parts
        assert isinstance(picture, Image) and isinstance(plan, File)
        await channel.send(parcel("", picture, plan))
        sent = [one["item_list"][0] for one in platform.said]
        assert (sent[0]["type"], sent[1]["file_item"]["file_name"]) == (2, "plan.txt")
        stored = platform.files[sent[0]["image_item"]["media"]["encrypt_query_param"]]
        assert opened(stored, bytes.fromhex(platform.uploads[0]["aeskey"])) == b"a picture"
        assert [one["media_type"] for one in platform.uploads] == [1, 3]

    tell(story, before=before)


@pytest.mark.parametrize("slot", ["ret", "errcode"])
def test_a_session_that_expired_is_told_at_once(slot: str) -> None:
    async def story(*_: Any) -> None:
        raise AssertionError

    for more in ({"token": "another"}, {"token": ""}):
        with pytest.raises(Refused) as caught:
            tell(story, before=lambda platform: setattr(platform, "slot", slot), **more)
        assert "kith channels add ilink" in caught.value.hint
    with pytest.raises(Refused):
        tell(story, before=lambda platform: platform.trouble.update(getupdates=[-14]))


def test_a_session_that_expires_takes_the_channel_down(tmp_path: Path) -> None:
    async def story() -> None:
        async with ilink() as platform, household(tmp_path, "ilink", given(platform.url)) as (home, _):
            platform.token = "another"
            await until(lambda: home.health.snapshot()["channel:ilink"].condition == "failed")
            assert "expired" in home.health.snapshot()["channel:ilink"].detail

    asyncio.run(story())


def scanning(story: Callable[[Ilink, dict[str, Any]], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with ilink() as platform:
            await story(platform, {"base": platform.url, "cdn": f"{platform.url}/c2c"})

    asyncio.run(whole())


def test_a_scan_gives_the_settings() -> None:
    async def story(platform: Ilink, start: dict[str, Any]) -> None:
        host = platform.url.removeprefix("http://")
        platform.statuses = [
            {"status": "wait"}, {"status": "expired"}, {"status": "scaned"},
            {"status": "scaned_but_redirect", "redirect_host": host}, {"status": "need_verifycode"},
            confirmed(platform.url),
        ]  # fmt: skip
        own = scanner(MANIFEST, IlinkSettings, start)
        told = [await own.begin(), *[await own.step() for _ in range(5)], await own.step("4711")]
        await own.close()
        assert [one.state for one in told] == ["waiting", "waiting", "waiting", "scanned", "scanned", "code", "done"]
        assert [one.picture for one in told if one.picture] == ["https://w/q1", "https://w/q2"]
        assert platform.asked[-1] == "4711"
        settings = IlinkSettings(**{**start, **told[-1].settings})
        assert (settings.token.get_secret_value(), settings.allow) == (TOKEN, (OWNER,))

    scanning(story)


def test_a_scan_that_leads_nowhere() -> None:
    async def story(platform: Ilink, start: dict[str, Any]) -> None:
        for bad in ([{"status": "expired"}] * 4, [{"status": "binded_redirect"}], [confirmed("https://evil.example")],
                    [{"status": "scaned_but_redirect", "redirect_host": "x.weixin.qq.com.evil.example"}]):  # fmt: skip
            platform.statuses = list(bad)
            own = scanner(MANIFEST, IlinkSettings, start)
            await own.begin()
            with pytest.raises(Refused):
                for _ in bad:
                    await own.step()
            await own.close()
        nowhere = scanner(MANIFEST, IlinkSettings, {"base": "http://127.0.0.1:9"})
        with pytest.raises(Unavailable):
            await nowhere.begin()
        assert (await nowhere.step()).state == "waiting"
        await nowhere.close()
        with pytest.raises(NotFound):
            scanner(dataclasses.replace(MANIFEST, details={}), IlinkSettings, {})

    scanning(story)


def test_set_ups_that_go_on_at_once_are_few_and_end() -> None:
    async def story(platform: Ilink, start: dict[str, Any]) -> None:
        clock = FrozenClock()
        scans = Scans(clock, Registry("channels"))
        first = await scans.begin("ilink", start)
        assert first["svg"].startswith("<svg") and first["state"] == "waiting"
        with pytest.raises(NotFound):
            await scans.step("other", first["scan"])
        platform.statuses = [confirmed(platform.url)]
        told, settings = await scans.step("ilink", first["scan"])
        assert (told["state"], settings["token"], settings["cdn"]) == (
            "done",
            TOKEN,
            start["cdn"],
        ) and TOKEN not in json.dumps(told)
        with pytest.raises(NotFound):
            await scans.step("ilink", first["scan"])
        for _ in range(8):
            await scans.begin("ilink", start)
        with pytest.raises(Unavailable):
            await scans.begin("ilink", start)
        clock.advance(500.0)
        await scans.begin("ilink", start)
        await scans.close()

    scanning(story)


def test_the_terminal_shows_the_code_and_asks_for_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "_PAUSE", 0.0)
    shown, found = list[str](), dict[str, Any]()

    async def story(platform: Ilink, start: dict[str, Any]) -> None:
        platform.statuses = [
            {"status": "wait"}, {"status": "expired"}, {"status": "scaned"}, {"status": "scaned"},
            {"status": "need_verifycode"}, confirmed(platform.url),
        ]  # fmt: skip
        monkeypatch.setattr(terminal.click, "echo", lambda text="", **_: shown.append(text))
        monkeypatch.setattr(terminal.click, "prompt", lambda *_, **__: " 4711 ")
        found.update(await terminal.scanned(MANIFEST, IlinkSettings, start))
        assert platform.asked[-1] == "4711"

    scanning(story)
    assert found["token"] == TOKEN and not any(TOKEN in text for text in shown)
    assert [text for text in shown if text.startswith("https://")] == ["https://w/q1", "https://w/q2"]
    assert sum("█" in text for text in shown) == 2 and len(shown) == 7


def test_the_command_writes_what_came_of_the_scan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from kith.cli import channels

    written = dict[str, Any]()

    async def scanned(*_: Any) -> dict[str, Any]:
        return {"token": TOKEN, "allow": [OWNER]}

    async def added(manifest: Any, settings: dict[str, Any], schema: Any) -> dict[str, Any]:
        written.update(settings)
        return {"name": manifest.name}

    monkeypatch.setenv("KITH_HOME", str(tmp_path))
    monkeypatch.setattr(channels, "scanned", scanned)
    monkeypatch.setattr(channels, "_add", added)
    result = CliRunner().invoke(channels.add, ["ilink", "--set", "owner=me", "--json"])
    assert json.loads(result.output) == {"name": "ilink"}
    assert written == {"owner": "me", "token": TOKEN, "allow": [OWNER]}
    written.clear()
    CliRunner().invoke(channels.add, ["ilink", "--set", "token=mine"])
    assert written == {"token": "mine"}

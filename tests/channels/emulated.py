"""People on the emulated platforms, one place for all of them: what a play of every channel at once is made with.

Where a platform calls us, `Stage.place` is a `Line`: whoever plays gives it the house's ear for such calls.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kith.core.channel import Hook, HookReply
from kith.core.errors import KithError
from tests.channels.emulators import dingtalk as ding
from tests.channels.emulators import discord as disc
from tests.channels.emulators import feishu as lark
from tests.channels.emulators import ilink as weixin
from tests.channels.emulators import onebot as bot
from tests.channels.emulators import qqbot, tencent
from tests.channels.emulators import whatsapp as meta
from tests.channels.emulators.callback import called
from tests.channels.emulators.site import listening
from tests.channels.emulators.slack import slack
from tests.channels.emulators.telegram import telegram
from tests.channels.rig import Stage

_OPEN = {"access": "everyone"}


@dataclass
class Line:
    """The way of a platform's calls to the house."""

    hook: Callable[[Hook], Awaitable[HookReply]] | None = None

    async def take(self, request: Hook) -> HookReply:
        """Raises what the house raises, and waits while there is none."""
        while self.hook is None:
            await asyncio.sleep(0.02)
        return await self.hook(request)


@dataclass
class Party:
    """Somebody on an emulated platform: how they write, and where what was said to them is found."""

    write: Callable[[str], Any]
    read: Callable[[], list[str]]
    _tasks: set[asyncio.Future[Any]] = field(default_factory=set)

    @property
    def heard(self) -> list[str]:
        return self.read()

    async def say(self, text: str) -> None:
        done = self.write(text)
        if asyncio.iscoroutine(done):
            await done


def _told(said: Callable[[], list[dict[str, Any]]], place: str, where: Any, what: str) -> Callable[[], list[str]]:
    """The texts that were said at `where`."""
    return lambda: [str(one[what]) for one in said() if one[place] == where]


@asynccontextmanager
async def telegram_stage(_: Path, people: int) -> AsyncIterator[Stage]:
    async with telegram() as platform:

        def party(chat: int) -> Party:
            read = _told(lambda: platform.said, "chat_id", str(chat), "seen")
            return Party(lambda text: platform.hear(text, chat=chat), read)

        def settings(port: int) -> dict[str, Any]:
            return {"token": "42:TEST", "api": f"http://127.0.0.1:{port}", **_OPEN}

        yield Stage("telegram", _port(platform), settings, [party(100 + n) for n in range(people)])


@asynccontextmanager
async def discord_stage(_: Path, people: int) -> AsyncIterator[Stage]:
    async with disc.discord() as platform:

        def party(channel: str) -> Party:
            read = _told(lambda: platform.said, "channel", channel, "content")
            return Party(lambda text: platform.hear(text, channel=channel), read)

        def settings(port: int) -> dict[str, Any]:
            platform.gateway = f"ws://127.0.0.1:{port}"
            base = f"http://127.0.0.1:{port}"
            return {"token": disc.TOKEN, "api": f"{base}/api/v10", "cdn": base, "streaming": "off", **_OPEN}

        yield Stage("discord", _port(platform), settings, [party(str(100 + n)) for n in range(people)])


@asynccontextmanager
async def slack_stage(_: Path, people: int) -> AsyncIterator[Stage]:
    async with slack() as platform:
        port = _port(platform)

        def party(channel: str) -> Party:
            read = _told(lambda: platform.said, "channel", channel, "text")
            return Party(lambda text: platform.hear(text, channel), read)

        def settings(to: int) -> dict[str, Any]:
            platform.url = f"http://127.0.0.1:{to}"  # the address of the sockets, too
            return {"token": "xoxb-test", "app_token": "xapp-test", "api": f"{platform.url}/api", **_OPEN}

        yield Stage("slack", port, settings, [party(f"D{n}") for n in range(people)])


@asynccontextmanager
async def feishu_stage(_: Path, people: int) -> AsyncIterator[Stage]:
    async with lark.feishu() as platform:

        def party(number: int) -> Party:
            chat = f"oc_p{number}"
            said = platform.said.values
            read = lambda: [shown(one) for one in said() if one.get("receive_id") == chat]  # noqa: E731
            return Party(lambda text: platform.hear(text, chat, user=f"ou_p{number}"), read)

        def settings(port: int) -> dict[str, Any]:
            platform.gate = base = f"http://127.0.0.1:{port}"
            return {"app": lark.APP, "secret": lark.SECRET, "base": base, "streaming": "off", **_OPEN}

        yield Stage("feishu", _port(platform), settings, [party(n) for n in range(people)])


def shown(said: dict[str, Any]) -> str:
    """The text of a message as the emulator of Feishu keeps it."""
    content = said["content"]
    match said["msg_type"]:
        case "interactive":
            return str(content["body"]["elements"][0]["content"])
        case "post":
            return str(content["zh_cn"]["content"][0][0]["text"])
        case _:
            return str(content["text"])


@asynccontextmanager
async def dingtalk_stage(_: Path, people: int) -> AsyncIterator[Stage]:
    async with ding.dingtalk() as platform:

        def party(name: str) -> Party:
            return Party(lambda text: platform.hear(text, name), _told(lambda: platform.said, "to", name, "text"))

        def settings(port: int) -> dict[str, Any]:
            platform.gate = base = f"http://127.0.0.1:{port}"
            return {"app": ding.APP, "secret": ding.SECRET, "api": base, "oapi": base, **_OPEN}

        yield Stage("dingtalk", _port(platform), settings, [party(f"p{n}") for n in range(people)])


@asynccontextmanager
async def qqbot_stage(_: Path, people: int) -> AsyncIterator[Stage]:
    async with qqbot.qq() as platform:

        def party(group: str) -> Party:
            read = _told(lambda: platform.said, "place", f"groups/{group}", "text")
            return Party(lambda text: platform.hear(text, group=group), read)

        def settings(port: int) -> dict[str, Any]:
            base = f"http://127.0.0.1:{port}"
            platform.gateway = f"ws{base[4:]}/websocket"
            return {"app": qqbot.APP, "secret": qqbot.SECRET, "api": base, "tokens": base, **_OPEN}

        yield Stage("qqbot", _port(platform), settings, [party(f"G{n}") for n in range(people)])


@asynccontextmanager
async def onebot_stage(_: Path, people: int) -> AsyncIterator[Stage]:
    async with bot.onebot() as platform:

        def party(user: int) -> Party:
            return Party(
                lambda text: platform.hear(text, user=user), _told(lambda: platform.said, "user_id", user, "text")
            )

        def settings(port: int) -> dict[str, Any]:
            return {"url": f"ws://127.0.0.1:{port}", "token": bot.TOKEN, **_OPEN}

        yield Stage("onebot", _port(platform), settings, [party(100 + n) for n in range(people)])


@asynccontextmanager
async def ilink_stage(_: Path, people: int) -> AsyncIterator[Stage]:
    async with weixin.ilink() as platform:

        def party(user: str) -> Party:
            read = _told(lambda: platform.said, "to_user_id", user, "text")
            return Party(lambda text: platform.hear(text, user=user), read)

        def settings(port: int) -> dict[str, Any]:
            base = f"http://127.0.0.1:{port}"
            return {"token": weixin.TOKEN, "owner": weixin.OWNER, "base": base, "cdn": f"{base}/c2c", **_OPEN}

        yield Stage("ilink", _port(platform), settings, [party(f"u{n}@im.wechat") for n in range(people)])


@asynccontextmanager
async def whatsapp_stage(_: Path, people: int) -> AsyncIterator[Stage]:
    line = Line()
    async with meta.whatsapp() as platform, called(line.take) as platform.hook:

        def party(phone: str) -> Party:
            said = lambda: [one["text"]["body"] for one in platform.said if one["to"] == phone]  # noqa: E731
            return Party(lambda text: platform.hear(text, sender=phone), said)

        def settings(port: int) -> dict[str, Any]:
            given = {"number": meta.NUMBER, "token": meta.TOKEN, "secret": meta.SECRET, "verify": meta.VERIFY}
            return {**given, "api": f"http://127.0.0.1:{port}", **_OPEN}

        yield Stage("whatsapp", _port(platform), settings, [party(str(1000 + n)) for n in range(people)], place=line)


def _tencent(name: str, own: dict[str, Any]) -> Callable[[Path, int], contextlib.AbstractAsyncContextManager[Stage]]:
    @asynccontextmanager
    async def stage(_: Path, people: int) -> AsyncIterator[Stage]:
        line, platform, count = Line(), tencent.Tencent(), itertools.count(int(time.time() * 1000))

        async def post(user: str, text: str) -> None:
            """As the platform does: three times at most."""
            letter = (
                f"<xml><ToUserName>{tencent.OWNER}</ToUserName><FromUserName>{user}</FromUserName>"
                f"<CreateTime>{int(time.time())}</CreateTime><MsgType>text</MsgType><Content>{text}</Content>"
                f"<MsgId>{next(count)}</MsgId><AgentID>218</AgentID></xml>"
            )
            for _ in range(3):
                with contextlib.suppress(KithError, TimeoutError):
                    async with asyncio.timeout(5):
                        await line.take(tencent.call(letter, stamp=str(int(time.time())), nonce=f"n{next(count)}"))
                        return

        def party(user: str) -> Party:
            said = lambda: [one["text"]["content"] for one in platform.sent if one["touser"] == user]  # noqa: E731
            return Party(lambda text: post(user, text), said)

        def settings(port: int) -> dict[str, Any]:
            given = {"secret": tencent.SECRET, "token": tencent.TOKEN, "key": tencent.KEY}
            return {**given, **own, "base": f"http://127.0.0.1:{port}", **_OPEN}

        async with listening(platform.app()) as url:
            port = int(url.rpartition(":")[2])
            yield Stage(name, port, settings, [party(f"u{n}") for n in range(people)], place=line)

    return stage


def _port(platform: Any) -> int:
    return int(platform.url.rpartition(":")[2])


EMULATED: dict[str, Callable[[Path, int], Any]] = {
    "telegram": telegram_stage,
    "discord": discord_stage,
    "slack": slack_stage,
    "feishu": feishu_stage,
    "dingtalk": dingtalk_stage,
    "qqbot": qqbot_stage,
    "onebot": onebot_stage,
    "ilink": ilink_stage,
    "whatsapp": whatsapp_stage,
    "wecom": _tencent("wecom", {"corp": tencent.OWNER, "agent": 218}),
    "wechat": _tencent("wechat", {"app": tencent.OWNER}),
}

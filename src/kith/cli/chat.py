"""``kith chat``: the terminal chat, with the running server or in this process."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path
from typing import Protocol, cast

import click

from kith.app import Household, load_settings, open_household
from kith.cli.group import Command
from kith.cli.keyboard import keyboard
from kith.cli.partner import Partner, Remote
from kith.cli.server import Server, find_server
from kith.cli.terminal import Chat
from kith.core.errors import Unavailable
from kith.runtime.locale import language, tr


class _Terminal(Protocol):
    """The channel with the capability ``terminal``."""

    def open(self, conversation: str, locale: str) -> Partner: ...


@click.command(cls=Command)
@click.option("--conversation", default="main")
@click.option("--config", type=click.Path(path_type=Path))
@click.option("--flow", type=click.Path(path_type=Path))
def chat(conversation: str, config: Path | None, flow: Path | None) -> None:
    """Chat."""
    asyncio.run(_chat(conversation, config, flow))


async def _chat(conversation: str, config: Path | None, flow: Path | None) -> None:
    server = None if config or flow else await find_server()
    if server is not None:
        await chat_with(server, conversation)
        return
    settings = await asyncio.to_thread(load_settings, config, dialogue__flow=flow)
    async with open_household(settings, serve=False) as house:
        await house.channels.start(local=True)
        try:
            await chat_in(house, conversation)
        finally:
            await house.channels.stop()


async def chat_with(server: Server, conversation: str = "main") -> None:
    """Talk with a running server until the person leaves. Raises `Unavailable`."""
    click.echo(tr("cli.chat.remote", url=server.url))

    async def opener(name: str) -> Partner:
        remote = Remote(server, name)
        await remote.open()
        return remote

    await Chat(keyboard(), opener, _name, conversation).run()


async def chat_in(house: Household, conversation: str = "main") -> None:
    """Talk with the household of this process until the person leaves. Raises `Unavailable`."""
    channel = house.channels.having("terminal")
    if channel is None:
        raise Unavailable("the terminal is switched off in kith.yaml")
    terminal = cast("_Terminal", channel)
    click.echo(tr("cli.chat.hello"))

    async def opener(name: str) -> Partner:
        return terminal.open(name, language())

    await Chat(keyboard(), opener, _name, conversation).run()


def _name() -> str:
    return uuid.uuid4().hex[:12]

"""``kith chat``: the terminal chat, with the running server or in this process."""

from __future__ import annotations

import asyncio
import math
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import cast

import click

from kith.cli.group import Command, later
from kith.cli.keyboard import keyboard
from kith.cli.partner import Partner, Remote
from kith.cli.server import Server, find_server
from kith.cli.terminal import Chat
from kith.runtime.locale import tr


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
    here = cast("Callable[[str, Path | None, Path | None], Awaitable[None]]", later("kith.cli.inner:chat_alone"))
    await here(conversation, config, flow)


async def chat_with(server: Server, conversation: str = "main") -> None:
    """Talk with a running server until the person leaves. Raises `Unavailable`."""
    click.echo(tr("cli.chat.remote", url=server.url))

    keys = keyboard()

    async def opener(name: str) -> Partner:
        remote = Remote(server, name, math.inf) if keys.interactive else Remote(server, name)
        await remote.open()
        return remote

    await Chat(keys, opener, new_name, conversation).run()


def new_name() -> str:
    """A name for a new conversation."""
    return uuid.uuid4().hex[:12]

"""``kith serve`` and ``kith run``: the household with its door open, and a chat at the terminal if there is one."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from kith.app import Household, open_household
from kith.cli.chat import chat_with
from kith.cli.doctor import risks
from kith.cli.group import Command
from kith.cli.inner import chat_in
from kith.cli.server import find_server
from kith.cli.webnote import tell_when_built, web_address
from kith.core.errors import Refused, Unavailable
from kith.runtime.lifecycle import until_stopped
from kith.runtime.locale import tr
from kith.settings import Settings, load_settings

F = TypeVar("F", bound=Callable[..., Any])


def _where(function: F) -> F:
    """The options that say what to serve, and where."""
    for option in (
        click.option("--flow", type=click.Path(path_type=Path)),
        click.option("--config", type=click.Path(path_type=Path)),
        click.option("--port", type=click.IntRange(0, 65535)),
        click.option("--host"),
    ):
        function = option(function)
    return function


@click.command(cls=Command)
@_where
def serve(host: str | None, port: int | None, config: Path | None, flow: Path | None) -> None:
    """Serve."""
    _main(lambda: _serve(_settings(host, port, config, flow), talk=False))


@click.command(cls=Command)
@_where
def run(host: str | None, port: int | None, config: Path | None, flow: Path | None) -> None:
    """Serve, and chat."""
    talk = sys.stdin.isatty() and sys.stdout.isatty()
    _main(lambda: _serve(_settings(host, port, config, flow), talk=talk))


def _settings(host: str | None, port: int | None, config: Path | None, flow: Path | None) -> Settings:
    settings = load_settings(config, gateway__host=host, gateway__port=port, dialogue__flow=flow)
    if worst := [found for found in risks(settings, config) if found.status == "fail"]:
        text = "\n".join(f"  {found.say()}: {found.hint()}" for found in worst)
        raise Refused(tr("cli.serve.unsafe", risks=text), code="unsafe_settings", hint="kith doctor --security")
    return settings


async def _serve(settings: Settings, *, talk: bool) -> None:
    if (server := await find_server()) is not None:
        if not talk:
            raise Unavailable(tr("cli.serve.already", url=server.url, pid=server.pid), hint="kith chat")
        click.echo(tr("cli.serve.already", url=server.url, pid=server.pid))
        await chat_with(server)
        return
    stands = asyncio.Event()
    stopping = asyncio.create_task(until_stopped(stands))
    await asyncio.sleep(0)  # the signal handlers are set before anybody can know that we are here
    opening = asyncio.current_task()

    def give_up(_: object) -> None:
        assert opening is not None
        opening.cancel()

    stopping.add_done_callback(give_up)
    try:
        async with open_household(settings, serve=True) as house:
            stopping.remove_done_callback(give_up)
            stands.set()
            await _served(house, stopping, talk=talk)
    except asyncio.CancelledError:
        if not stopping.done():
            raise
        click.echo(tr("cli.serve.stopping"))  # told to while it was being opened
    finally:
        stopping.cancel()


async def _served(house: Household, stopping: asyncio.Task[None], *, talk: bool) -> None:
    """An open household, until it is told to stop."""
    _banner(house, await house.auth.claim() if house.first_token else None, talk=talk)
    telling = asyncio.create_task(tell_when_built(house.gateway.address if house.gateway else ""))
    if talk:
        await _either(asyncio.create_task(chat_in(house)), stopping)
    else:
        await stopping
    telling.cancel()
    click.echo(tr("cli.serve.stopping"))


async def _either(chat: asyncio.Task[None], stopping: asyncio.Task[None]) -> None:
    """Until the person leaves the chat, or somebody stops the process."""
    done, pending = await asyncio.wait({chat, stopping}, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    if chat in done and not chat.cancelled():
        chat.result()


def _banner(house: Household, code: str | None, *, talk: bool) -> None:
    """Where it is, how to get in (with the one-time `code` of the owner), what to do next, how to stop."""
    address = house.gateway.address if house.gateway else ""
    click.secho(tr("cli.serve.address", address=address), bold=True)
    if page := web_address(address):
        click.echo(tr("cli.serve.web", address=page))
    origins = house.settings.gateway.origins if house.gateway else ()
    if elsewhere := ", ".join(origin for origin in origins if origin != address):
        click.echo(tr("cli.serve.elsewhere", addresses=elsewhere))
    if house.gateway and house.gateway.certificate:
        click.echo(tr("cli.serve.fingerprint", fingerprint=house.gateway.certificate.fingerprint))
    if house.first_token:
        click.echo(tr("cli.serve.token", token=house.first_token))
    if code:
        click.echo(tr("cli.serve.code", code=code, page=page or f"{address}/app/"))
    if not any("chat" in card.capabilities for card in house.models.cards()):
        click.echo(tr("cli.serve.no_model"))
    if not talk:
        click.echo(tr("cli.serve.stop"))


def _main(work: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await work()

    factory = None
    if importlib.util.find_spec("uvloop") is not None:
        import uvloop  # only there on systems that it knows

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main())

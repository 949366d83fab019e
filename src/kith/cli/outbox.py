"""``kith outbox``: replies that could not be sent, for a person to decide on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Protocol
from urllib.parse import quote, urlencode

import click

from kith.cli.group import later
from kith.cli.server import Server, find_server
from kith.core.people import Parcel
from kith.runtime.codec import decode
from kith.runtime.locale import tr

_STATES = ("waiting", "sending", "sent", "dead", "stale", "dropped")
_SHOWN = 60

json_option = click.option("--json", "as_json", is_flag=True, help=tr("cli.outbox.json"))


class Tray(Protocol):
    """As much of the port `Outbox` as these commands need."""

    async def find(self, state: str = "", limit: int = 100) -> Sequence[Parcel]: ...

    async def decide(self, parcel: str, action: str) -> None: ...


@click.group(help=tr("cli.outbox.help"))
def outbox() -> None:
    """The group."""


@outbox.command("list", help=tr("cli.outbox.list"))
@click.option("--state", type=click.Choice(_STATES), default=None, help=tr("cli.outbox.state"))
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help=tr("cli.outbox.limit"))
@json_option
def list_parcels(state: str | None, limit: int, as_json: bool) -> None:
    """Oldest first."""

    async def act() -> Sequence[Parcel]:
        async with _tray() as tray:
            return await tray.find(state or "", limit)

    parcels = asyncio.run(act())
    if as_json:
        click.echo(json.dumps([asdict(parcel) for parcel in parcels], ensure_ascii=False))
        return
    if not parcels:
        click.echo(tr("cli.outbox.none"))
    for parcel in parcels:
        made = datetime.fromtimestamp(parcel.message.at, UTC).strftime("%Y-%m-%d %H:%M")
        text = " ".join(parcel.message.text.split())
        short = text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
        click.echo(f"{parcel.id}  {parcel.state:7}  {made}  {parcel.channel} → {parcel.target}  {short}")
        if parcel.error:
            click.echo(f"    {parcel.error}")


@outbox.command(help=tr("cli.outbox.retry"))
@click.argument("ids", nargs=-1, required=True, metavar="ID…")
@json_option
def retry(ids: tuple[str, ...], as_json: bool) -> None:
    """Send again."""
    _decide(ids, "retry", as_json)


@outbox.command(help=tr("cli.outbox.drop"))
@click.argument("ids", nargs=-1, required=True, metavar="ID…")
@json_option
def drop(ids: tuple[str, ...], as_json: bool) -> None:
    """Give up."""
    _decide(ids, "drop", as_json)


def _decide(ids: Sequence[str], action: str, as_json: bool) -> None:
    async def act() -> None:
        async with _tray() as tray:
            for parcel in ids:
                await tray.decide(parcel, action)
                done = {"id": parcel, "done": action}
                click.echo(json.dumps(done) if as_json else tr(f"cli.outbox.{action}_done", id=parcel))

    asyncio.run(act())


class _Remote:
    """The outbox of a running server."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def find(self, state: str = "", limit: int = 100) -> Sequence[Parcel]:
        found = await self._server.call("GET", f"/api/outbox?{urlencode({'state': state, 'limit': limit})}")
        return [decode(Parcel, json.dumps(row)) for row in found["parcels"]]

    async def decide(self, parcel: str, action: str) -> None:
        await self._server.call("POST", f"/api/outbox/{quote(parcel, safe='')}/{action}")


@asynccontextmanager
async def _tray() -> AsyncGenerator[Tray]:
    server = await find_server()
    if server is not None:
        yield _Remote(server)
        return
    opened = later("kith.cli.desk:local_storage")
    async with opened() as storage:
        yield storage.outbox

"""``kith reminders``: what people are to be reminded of; through the running server or in the household's records."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Protocol
from urllib.parse import quote

import click

from kith.cli.group import later
from kith.cli.server import Server, find_server
from kith.runtime.locale import tr


class Book(Protocol):
    """The reminders of this home's owner."""

    async def described(self) -> Sequence[Mapping[str, Any]]: ...

    async def cancel(self, reminder: str) -> None: ...


@click.group(help=tr("cli.reminders.help"))
def reminders() -> None:
    """The group."""


@reminders.command("list", help=tr("cli.reminders.help_list"))
@click.option("--json", "as_json", is_flag=True, help=tr("cli.reminders.as_json"))
def list_reminders(as_json: bool) -> None:
    """Soonest first."""

    async def act() -> Sequence[Mapping[str, Any]]:
        async with _book() as book:
            return await book.described()

    rows = asyncio.run(act())
    if as_json:
        click.echo(json.dumps(list(rows), ensure_ascii=False))
        return
    if not rows:
        click.echo(tr("dialogue.agenda.none"))
    for row in rows:
        due = datetime.fromtimestamp(row["next"], UTC).astimezone().strftime("%Y-%m-%d %H:%M")
        click.echo(f"{row['id']}  {due}  {row['text']}" + (f"  ({row['rule']})" if row["rule"] else ""))


@reminders.command(help=tr("cli.reminders.help_cancel"))
@click.argument("ids", nargs=-1, required=True, metavar="ID…")
@click.option("--json", "as_json", is_flag=True, help=tr("cli.reminders.as_json"))
def cancel(ids: tuple[str, ...], as_json: bool) -> None:
    """Take away."""

    async def act() -> None:
        async with _book() as book:
            for reminder in ids:
                await book.cancel(reminder)
                done = {"id": reminder, "done": "cancel"}
                click.echo(json.dumps(done) if as_json else tr("dialogue.agenda.cancelled", what=reminder))

    asyncio.run(act())


class _Remote:
    """The reminders kept by a running server."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def described(self) -> Sequence[Mapping[str, Any]]:
        return (await self._server.call("GET", "/api/me/reminders"))["reminders"]

    async def cancel(self, reminder: str) -> None:
        await self._server.call("DELETE", f"/api/me/reminders/{quote(reminder, safe='')}")


class _Local:
    """The reminders in this home's own records, everybody's."""

    def __init__(self, agenda: Any) -> None:
        self._agenda = agenda

    async def described(self) -> Sequence[Mapping[str, Any]]:
        return await self._agenda.described("")

    async def cancel(self, reminder: str) -> None:
        await self._agenda.cancel(reminder)


@asynccontextmanager
async def _book() -> AsyncGenerator[Book]:
    server = await find_server()
    if server is not None:
        yield _Remote(server)
        return
    async with later("kith.cli.diary:local_agenda")() as found:
        yield _Local(found)

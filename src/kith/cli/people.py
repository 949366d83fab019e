"""``kith people``: everybody who was met; what is stored of one, to be handed over or gone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import click

from kith.cli.group import later
from kith.cli.memory import json_option, write_out
from kith.cli.server import Server, find_server
from kith.core.audit import Act, By
from kith.core.errors import NotFound
from kith.runtime.locale import tr


class Register(Protocol):
    """Who is known here."""

    async def all(self) -> Sequence[Mapping[str, Any]]: ...

    async def export(self, person: str) -> Mapping[str, Any]: ...

    async def erase(self, person: str) -> None: ...

    async def link(self, person: str, other: str) -> None: ...


@click.group(help=tr("cli.people.help"))
def people() -> None:
    """The group."""


@people.command("list", help=tr("cli.people.help_list"))
@json_option
def list_people(as_json: bool) -> None:
    """Who was heard last comes first."""
    rows = asyncio.run(_all())
    if as_json:
        click.echo(json.dumps({"people": rows}, ensure_ascii=False))
        return
    for row in rows:
        seen = datetime.fromtimestamp(row["seen"], UTC).strftime("%Y-%m-%d %H:%M") if row["seen"] else "-"
        handles = ", ".join(f"{channel}:{address}" for channel, address in row["handles"].items())
        click.echo(f"{row['id']}  {seen}  {row['turns']:5}  {row['name'] or '-'}  {handles}")
    if not rows:
        click.echo(tr("cli.people.none"))


@people.command(help=tr("cli.people.help_show"))
@click.argument("id")
@json_option
def show(id: str, as_json: bool) -> None:  # noqa: A002  # the argument's name as people see it
    """By the id that `list` shows."""
    row = next((row for row in asyncio.run(_all()) if row["id"] == id), None)
    if row is None:
        raise NotFound(tr("cli.people.unknown", id=id), hint="kith people list")
    if as_json:
        click.echo(json.dumps(row, ensure_ascii=False))
        return
    for name, value in row.items():
        click.echo(f"{name:9} {json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else value}")


@people.command("export", help=tr("cli.people.help_export"))
@click.argument("id")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help=tr("cli.memory.out"))
def export_person(id: str, out: Path | None) -> None:  # noqa: A002  # the argument's name as people see it
    """One JSON object."""

    async def act() -> Mapping[str, Any]:
        async with _register() as register:
            return await register.export(id)

    write_out(json.dumps(asyncio.run(act()), ensure_ascii=False, indent=2), out)


@people.command(help=tr("cli.people.help_erase"))
@click.argument("id")
@click.option("--yes", is_flag=True, help=tr("cli.people.yes"))
def erase(id: str, yes: bool) -> None:  # noqa: A002  # the argument's name as people see it
    """By the id that `list` shows; for ever."""
    if not yes:
        click.confirm(tr("cli.people.sure", id=id), abort=True)

    async def act() -> None:
        async with _register() as register:
            await register.erase(id)

    asyncio.run(act())
    click.echo(tr("cli.people.erased", id=id))


@people.command(help=tr("cli.people.help_link"))
@click.argument("id")
@click.argument("other")
def link(id: str, other: str) -> None:  # noqa: A002  # the argument's name as people see it
    """By the ids that `list` shows."""

    async def act() -> None:
        async with _register() as register:
            await register.link(id, other)

    asyncio.run(act())
    click.echo(tr("cli.people.linked", id=id, other=other))


async def _all() -> Sequence[Mapping[str, Any]]:
    async with _register() as register:
        return await register.all()


class _Remote:
    """The register of a running server."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def all(self) -> Sequence[Mapping[str, Any]]:
        return (await self._server.call("GET", "/api/people"))["people"]

    async def export(self, person: str) -> Mapping[str, Any]:
        return await self._server.call("GET", f"/api/people/{quote(person, safe='')}/export")

    async def erase(self, person: str) -> None:
        await self._server.call("DELETE", f"/api/people/{quote(person, safe='')}")

    async def link(self, person: str, other: str) -> None:
        await self._server.call("POST", f"/api/people/{quote(person, safe='')}/link", {"with": other})


class _Local:
    """The register in this home's own records."""

    def __init__(self, memory: Any) -> None:
        self._memory = memory

    async def all(self) -> Sequence[Mapping[str, Any]]:
        found = await self._memory.shelves.people.everybody(100_000)
        return [{**asdict(met.person), "turns": met.turns, "seen": met.seen} for met in found]

    async def export(self, person: str) -> Mapping[str, Any]:
        if person not in {row["id"] for row in await self.all()}:
            raise NotFound(tr("cli.people.unknown", id=person), hint="kith people list")
        await self._memory.shelves.journal.act(Act("person.export", By().actor, person, By().origin))
        return await self._memory.export([person])

    async def erase(self, person: str) -> None:
        await self._memory.erase([person], By())

    async def link(self, person: str, other: str) -> None:
        await self._memory.link(person, other, By())


@asynccontextmanager
async def _register() -> AsyncGenerator[Register]:
    server = await find_server()
    if server is not None:
        yield _Remote(server)
        return
    async with later("kith.cli.diary:local_memory")() as found:
        yield _Local(found)

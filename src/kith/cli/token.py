"""``kith token``: API tokens, through the running server where one runs, else in the household's own records."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Protocol
from urllib.parse import quote

import click

from kith.cli.group import later
from kith.cli.server import Server, find_server
from kith.runtime.locale import tr

_ROLES = ("owner", "admin", "member", "guest")

json_option = click.option("--json", "as_json", is_flag=True, help=tr("security.help_json"))


@dataclass(frozen=True, slots=True)
class Row:
    """What is known of a token."""

    id: str
    name: str
    role: str
    created: float


class Desk(Protocol):
    """Where tokens are given and taken away."""

    async def new(self, name: str, role: str) -> str: ...

    async def list(self) -> Sequence[Row]: ...

    async def revoke(self, token: str) -> None: ...


@click.group(help=tr("security.help"))
def token() -> None:
    """The group."""


@token.command(help=tr("security.help_new"))
@click.argument("name", default="token")
@click.option("--role", type=click.Choice(_ROLES), default="owner", show_default=True, help=tr("security.help_role"))
@json_option
def new(name: str, role: str, as_json: bool) -> None:
    """Only the token itself goes to standard output, so that a script can take it."""

    async def act() -> str:
        async with _desk() as desk:
            return await desk.new(name, role)

    made = asyncio.run(act())
    if as_json:
        click.echo(json.dumps({"token": made, "name": name, "role": role}, ensure_ascii=False))
        return
    click.secho(tr("security.made", name=name), err=True, dim=True)
    click.echo(made)


@token.command("list", help=tr("security.help_list"))
@json_option
def list_tokens(as_json: bool) -> None:
    """Oldest first."""

    async def act() -> Sequence[Row]:
        async with _desk() as desk:
            return await desk.list()

    rows = asyncio.run(act())
    if as_json:
        click.echo(json.dumps([asdict(row) for row in rows], ensure_ascii=False))
        return
    if not rows:
        click.echo(tr("security.none"))
        return
    for row in rows:
        made = datetime.fromtimestamp(row.created, UTC).strftime("%Y-%m-%d %H:%M")
        click.echo(f"{row.id}  {row.role:6}  {made}  {row.name}")


@token.command(help=tr("security.help_revoke"))
@click.argument("id")
@json_option
def revoke(id: str, as_json: bool) -> None:  # noqa: A002  # the argument's name as people see it
    """By the id that `list` shows."""

    async def act() -> None:
        async with _desk() as desk:
            await desk.revoke(id)

    asyncio.run(act())
    click.echo(json.dumps({"id": id, "done": "revoke"}) if as_json else tr("security.revoked", id=id))


class _Remote:
    """The desk of a running server."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def new(self, name: str, role: str) -> str:
        return str((await self._server.call("POST", "/api/tokens", {"name": name, "role": role}))["token"])

    async def list(self) -> Sequence[Row]:
        return [Row(**row) for row in (await self._server.call("GET", "/api/tokens"))["tokens"]]

    async def revoke(self, token: str) -> None:
        await self._server.call("DELETE", f"/api/tokens/{quote(token, safe='')}")


@asynccontextmanager
async def _desk() -> AsyncGenerator[Desk]:
    server = await find_server()
    if server is not None:
        yield _Remote(server)
        return
    opened = later("kith.cli.desk:local_desk")
    async with opened() as desk:
        yield desk

"""``kith users``: the people of the household, through the running server or in the household's own records."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any, Protocol
from urllib.parse import quote

import click

from kith.cli.group import later
from kith.cli.server import Server, find_server
from kith.cli.token import json_option
from kith.core.audit import By
from kith.runtime.locale import tr

_ROLES = ("admin", "member", "guest")


class Desk(Protocol):
    """Where people are let in and out."""

    async def all(self) -> Sequence[Mapping[str, Any]]: ...

    async def add(self, name: str, role: str) -> str: ...

    async def code(self, user: str) -> str: ...

    async def change(self, user: str, change: Mapping[str, Any]) -> Mapping[str, Any]: ...

    async def remove(self, user: str) -> None: ...


@click.group(help=tr("security.users.help"))
def users() -> None:
    """The group."""


@users.command("list", help=tr("security.users.help_list"))
@json_option
def list_users(as_json: bool) -> None:
    """Oldest first."""

    async def act() -> Sequence[Mapping[str, Any]]:
        async with _desk() as desk:
            return await desk.all()

    rows = asyncio.run(act())
    if as_json:
        click.echo(json.dumps([dict(row) for row in rows], ensure_ascii=False))
        return
    for row in rows:
        shut = tr("security.users.shut") if row["disabled"] else ""
        click.echo(f"{row['id']}  {row['role']:6}  {row['name']}  {shut}".rstrip())
    if not rows:
        click.echo(tr("security.users.none"))


@users.command(help=tr("security.users.help_add"))
@click.argument("name")
@click.option("--role", type=click.Choice(_ROLES), default="member", show_default=True, help=tr("security.help_role"))
def add(name: str, role: str) -> None:
    """Only the code goes to standard output."""

    async def act() -> str:
        async with _desk() as desk:
            return await desk.add(name, role)

    code = asyncio.run(act())
    click.secho(tr("security.users.added", name=name), err=True, dim=True)
    click.echo(code)


@users.command(help=tr("security.users.help_code"))
@click.argument("id")
def code(id: str) -> None:  # noqa: A002  # the argument's name as people see it
    """By the id that `list` shows."""

    async def act() -> str:
        async with _desk() as desk:
            return await desk.code(id)

    click.echo(asyncio.run(act()))


@users.command(help=tr("security.users.help_role"))
@click.argument("id")
@click.argument("role", type=click.Choice(_ROLES))
@json_option
def role(id: str, role: str, as_json: bool) -> None:  # noqa: A002  # the argument's name as people see it
    """What was opened with the old role has to be opened anew."""
    _change(id, {"role": role}, as_json)


@users.command(help=tr("security.users.help_disable"))
@click.argument("id")
@json_option
def disable(id: str, as_json: bool) -> None:  # noqa: A002  # the argument's name as people see it
    """At once, on every device."""
    _change(id, {"disabled": True}, as_json)


@users.command(help=tr("security.users.help_enable"))
@click.argument("id")
@json_option
def enable(id: str, as_json: bool) -> None:  # noqa: A002  # the argument's name as people see it
    """With the password from before."""
    _change(id, {"disabled": False}, as_json)


def _change(user: str, change: Mapping[str, Any], as_json: bool) -> None:
    async def act() -> Mapping[str, Any]:
        async with _desk() as desk:
            return await desk.change(user, change)

    row = asyncio.run(act())
    shut = tr("security.users.shut") if row["disabled"] else ""
    told = f"{row['id']}  {row['role']:6}  {row['name']}  {shut}".rstrip()
    click.echo(json.dumps(dict(row), ensure_ascii=False) if as_json else told)


@users.command(help=tr("security.users.help_remove"))
@click.argument("id")
def remove(id: str) -> None:  # noqa: A002  # the argument's name as people see it
    """By the id that `list` shows."""

    async def act() -> None:
        async with _desk() as desk:
            await desk.remove(id)

    asyncio.run(act())
    click.echo(tr("security.users.removed", id=id))


class _Remote:
    """The desk of a running server."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def all(self) -> Sequence[Mapping[str, Any]]:
        return (await self._server.call("GET", "/api/users"))["users"]

    async def add(self, name: str, role: str) -> str:
        return str((await self._server.call("POST", "/api/users", {"name": name, "role": role}))["code"])

    async def code(self, user: str) -> str:
        return str((await self._server.call("POST", f"/api/users/{quote(user, safe='')}/code"))["code"])

    async def change(self, user: str, change: Mapping[str, Any]) -> Mapping[str, Any]:
        return await self._server.call("POST", f"/api/users/{quote(user, safe='')}", dict(change))

    async def remove(self, user: str) -> None:
        await self._server.call("DELETE", f"/api/users/{quote(user, safe='')}")


class _Local:
    """The desk of this home's own records."""

    def __init__(self, identity: Any) -> None:
        self._identity = identity

    async def all(self) -> Sequence[Mapping[str, Any]]:
        return [asdict(user) for user in await self._identity.users.all()]

    async def add(self, name: str, role: str) -> str:
        return (await self._identity.users.add(name, role, self._identity.code_hours, By()))[1]

    async def code(self, user: str) -> str:
        return await self._identity.users.invite(user, self._identity.code_hours, By())

    async def change(self, user: str, change: Mapping[str, Any]) -> Mapping[str, Any]:
        changed = await self._identity.users.change(user, By(), **change)
        await self._identity.end_all(user, By())
        return asdict(changed)

    async def remove(self, user: str) -> None:
        await self._identity.users.remove(user, By())
        await self._identity.end_all(user, By())


@asynccontextmanager
async def _desk() -> AsyncGenerator[Desk]:
    server = await find_server()
    if server is not None:
        yield _Remote(server)
        return
    opened = later("kith.cli.desk:local_desk")
    async with opened() as identity:
        yield _Local(identity)

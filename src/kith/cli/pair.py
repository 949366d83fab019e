"""``kith pair``: who may come in through the channels."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any, Protocol
from urllib.parse import quote

import click

from kith.cli.group import Command, later
from kith.cli.server import Server, find_server
from kith.core.audit import By
from kith.runtime.locale import tr

_ROLES = ("admin", "member", "guest")
_MINUTES = 10


class Desk(Protocol):
    """Where people are let in."""

    async def all(self) -> Mapping[str, Any]: ...

    async def offer(self, role: str) -> Mapping[str, Any]: ...

    async def approve(self, code: str, role: str) -> Mapping[str, Any]: ...

    async def drop(self, what: str, *, face: bool) -> None: ...


@click.command(cls=Command)
@click.argument("code", required=False)
@click.option("--role", type=click.Choice(_ROLES), default="member", show_default=True)
@click.option("--list", "listing", is_flag=True)
@click.option("--refuse", is_flag=True)
@click.option("--remove", metavar="ID")
@click.option("--json", "as_json", is_flag=True)
def pair(code: str | None, role: str, listing: bool, refuse: bool, remove: str | None, as_json: bool) -> None:
    """With a code: let its stranger in. Without: make a code for somebody to send to the bot."""
    told, lines = asyncio.run(_act(code, role, listing, refuse, remove))
    if as_json:
        click.echo(json.dumps(told, ensure_ascii=False))
    else:
        click.echo("\n".join(lines))


async def _act(
    code: str | None, role: str, listing: bool, refuse: bool, remove: str | None
) -> tuple[Mapping[str, Any], list[str]]:
    """What was done, as data and as lines for a person."""
    async with _desk() as desk:
        if listing:
            found = await desk.all()
            return found, _rows(found)
        if remove is not None:
            await desk.drop(remove, face=True)
            return {"removed": remove}, [tr("security.pairing.removed", id=remove)]
        if code is None:
            offered = await desk.offer(role)
            return offered, [tr("security.pairing.offered", minutes=_MINUTES, role=role), str(offered["code"])]
        if refuse:
            await desk.drop(code, face=False)
            return {"refused": code}, [tr("security.pairing.refused")]
        face = await desk.approve(code, role)
        name = str(face["name"] or face["sender"])
        return face, [tr("security.pairing.admitted", name=name, channel=face["channel"], role=face["role"])]


def _rows(found: Mapping[str, Any]) -> list[str]:
    rows: list[str] = []
    for kind, word in (("waiting", "waiting"), ("faces", "inside")):
        for one in found[kind]:
            name = f"{one['name'] or one['sender']} ({one['sender']})" if one["name"] else one["sender"]
            rows.append(
                f"{one['id']:28}  {tr(f'security.pairing.{word}')}  {one['channel']:10}  "
                f"{one.get('role', ''):6}  {name!a}".rstrip()
            )
    return rows or [tr("security.pairing.nobody")]


class _Remote:
    """The desk of the running server."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def all(self) -> Mapping[str, Any]:
        return await self._server.call("GET", "/api/pairing")

    async def offer(self, role: str) -> Mapping[str, Any]:
        return await self._server.call("POST", "/api/pairing", {"role": role})

    async def approve(self, code: str, role: str) -> Mapping[str, Any]:
        return await self._server.call("POST", f"/api/pairing/{quote(code, safe='')}/approve", {"role": role})

    async def drop(self, what: str, *, face: bool) -> None:
        path = f"/api/pairing/{quote(what, safe='')}"
        await self._server.call(*(("DELETE", path) if face else ("POST", f"{path}/refuse")))


class _Local:
    """The desk of this home's own records."""

    def __init__(self, pairing: Any) -> None:
        self._pairing = pairing

    async def all(self) -> Mapping[str, Any]:
        waiting, faces = await self._pairing.waiting(), await self._pairing.faces()
        return {"waiting": [asdict(one) for one in waiting], "faces": [asdict(one) for one in faces]}

    async def offer(self, role: str) -> Mapping[str, Any]:
        code, expires = await self._pairing.offer(role, By())
        return {"code": code, "expires": expires}

    async def approve(self, code: str, role: str) -> Mapping[str, Any]:
        return asdict(await self._pairing.approve(code, role, By()))

    async def drop(self, what: str, *, face: bool) -> None:
        await (self._pairing.remove if face else self._pairing.refuse)(what, By())


@asynccontextmanager
async def _desk() -> AsyncGenerator[Desk]:
    server = await find_server()
    if server is not None:
        yield _Remote(server)
        return
    async with later("kith.cli.desk:local_desk")() as identity:
        yield _Local(identity.pairing)

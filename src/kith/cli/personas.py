"""``kith personas``: who may speak for this household; through the running server or in this home's own folder."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import click

from kith.cli.group import later
from kith.cli.server import Server, find_server
from kith.core.audit import Act
from kith.core.errors import Invalid, NotFound
from kith.core.ports import Journal
from kith.runtime.locale import tr

_LIMIT = 8 * 1024 * 1024

json_option = click.option("--json", "as_json", is_flag=True, help=tr("cli.personas.as_json"))


class Casting(Protocol):
    """The personas of this home."""

    async def all(self) -> tuple[Sequence[Mapping[str, Any]], str]:
        """Every persona, and the name of the one with which conversations begin."""
        ...

    async def add(self, raw: bytes, file: str) -> str: ...

    async def remove(self, name: str) -> str: ...

    async def use(self, name: str) -> str: ...


@click.group(help=tr("cli.personas.help"))
def personas() -> None:
    """The group."""


@personas.command("list", help=tr("cli.personas.help_list"))
@json_option
def list_personas(as_json: bool) -> None:
    """That of the settings first; a star marks the one with which conversations begin."""
    rows, default = asyncio.run(_all())
    if as_json:
        click.echo(json.dumps({"personas": list(rows), "default": default}, ensure_ascii=False))
        return
    for row in rows:
        star = "*" if row["name"] == default else " "
        about = " ".join(str(row["description"]).split())
        click.echo(f"{star} {row['name']:20} {row['title']}  {about[:60]}".rstrip())


@personas.command(help=tr("cli.personas.help_show"))
@click.argument("name")
@json_option
def show(name: str, as_json: bool) -> None:
    """By its name in commands, or as people call it."""
    rows, _ = asyncio.run(_all())
    row = next((row for row in rows if name.casefold() in (row["name"], str(row["title"]).casefold())), None)
    if row is None:
        raise NotFound(tr("cli.personas.unknown", name=name), code="persona_not_found", hint="kith personas list")
    if as_json:
        click.echo(json.dumps(dict(row), ensure_ascii=False))
        return
    for key, value in row.items():
        click.echo(f"{key:12} {value}")


@personas.command(help=tr("cli.personas.help_add"))
@click.argument("file", type=click.Path(path_type=Path))
@json_option
def add(file: Path, as_json: bool) -> None:
    """A YAML file, or a character card as JSON or PNG."""
    raw = _contents(file)

    async def act() -> str:
        async with _casting() as casting:
            return await casting.add(raw, file.name)

    _say(asyncio.run(act()), "add", as_json=as_json)


@personas.command(help=tr("cli.personas.help_remove"))
@click.argument("name")
@json_option
def remove(name: str, as_json: bool) -> None:
    """By its name."""

    async def act() -> str:
        async with _casting() as casting:
            return await casting.remove(name)

    _say(asyncio.run(act()), "remove", as_json=as_json)


@personas.command(help=tr("cli.personas.help_use"))
@click.argument("name")
@json_option
def use(name: str, as_json: bool) -> None:
    """By its name; conversations that have one of their own keep it."""

    async def act() -> str:
        async with _casting() as casting:
            return await casting.use(name)

    _say(asyncio.run(act()), "use", as_json=as_json)


def _say(name: str, done: str, *, as_json: bool) -> None:
    told = {"add": "cli.personas.added", "remove": "cli.personas.removed", "use": "cli.personas.used"}
    words = json.dumps({"name": name, "done": done}, ensure_ascii=False) if as_json else tr(told[done], name=name)
    click.echo(words)


def _contents(file: Path) -> bytes:
    """Raises `Invalid` for what cannot be read or is too large to be a card."""
    try:
        with file.open("rb") as stream:
            raw = stream.read(_LIMIT + 1)
    except OSError as error:
        raise Invalid(tr("cli.personas.unreadable", path=file, reason=error.strerror or type(error).__name__)) from None
    if len(raw) > _LIMIT:
        raise Invalid(tr("cli.personas.large", path=file, size=_LIMIT >> 20))
    return raw


async def _all() -> tuple[Sequence[Mapping[str, Any]], str]:
    async with _casting() as casting:
        return await casting.all()


class _Remote:
    """The personas of a running server."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def all(self) -> tuple[Sequence[Mapping[str, Any]], str]:
        found = await self._server.call("GET", "/api/personas")
        return found["personas"], str(found["default"])

    async def add(self, raw: bytes, file: str) -> str:
        body = {"name": file[:200], "file": base64.b64encode(raw).decode()}
        return str((await self._server.call("POST", "/api/personas", body))["name"])

    async def remove(self, name: str) -> str:
        return str((await self._server.call("DELETE", f"/api/personas/{quote(name, safe='')}"))["id"])

    async def use(self, name: str) -> str:
        return str((await self._server.call("PUT", "/api/personas/default", {"name": name}))["id"])


class _Local:
    """The personas in this home's own folder. What is done is written into the audit log before it is done."""

    def __init__(self, cast: Any, journal: Journal) -> None:
        self._cast, self._journal = cast, journal

    async def all(self) -> tuple[Sequence[Mapping[str, Any]], str]:
        keys = ("name", "title", "description", "greeting", "style", "avatar", "builtin")
        found = enumerate(self._cast.all())
        rows = [(k, p.name, p.character, p.greeting, p.style, p.avatar, not place) for place, (k, p) in found]
        return [dict(zip(keys, row, strict=True)) for row in rows], self._cast.default

    async def add(self, raw: bytes, file: str) -> str:
        self._cast.check(raw, file)
        await self._act("add", file)
        return self._cast.add(raw, file)[0]

    async def remove(self, name: str) -> str:
        self._cast.get(name)
        await self._act("remove", name)
        return self._cast.remove(name)

    async def use(self, name: str) -> str:
        self._cast.get(name)
        await self._act("default", name)
        return self._cast.choose(name)

    async def _act(self, what: str, name: str) -> None:
        await self._journal.act(Act(f"persona.{what}", "owner", name, "console"))


@asynccontextmanager
async def _casting() -> AsyncGenerator[Casting]:
    server = await find_server()
    if server is not None:
        yield _Remote(server)
        return
    async with later("kith.cli.diary:local_cast")() as (cast, journal):
        yield _Local(cast, journal)

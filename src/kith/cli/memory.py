"""``kith memory``: what Kith remembers of its owner; through the running server or in the household's own records."""

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
from kith.cli.server import Server, find_server
from kith.core.audit import By
from kith.core.people import Principal
from kith.runtime.locale import tr

OWNER = Principal("owner", "owner")

json_option = click.option("--json", "as_json", is_flag=True, help=tr("cli.memory.as_json"))


class Diary(Protocol):
    """What is remembered of the owner."""

    async def facts(self, *, history: bool) -> Sequence[Mapping[str, Any]]: ...

    async def tell(self, text: str) -> Mapping[str, Any]: ...

    async def edit(self, fact: str, text: str) -> Mapping[str, Any]: ...

    async def forget(self, fact: str) -> int:
        """One fact, or all with an empty id; how many they were."""
        ...

    async def export(self) -> Mapping[str, Any]: ...


@click.group(help=tr("cli.memory.help"))
def memory() -> None:
    """The group."""


@memory.command("list", help=tr("cli.memory.help_list"))
@click.option("--history", is_flag=True, help=tr("cli.memory.history"))
@json_option
def list_facts(history: bool, as_json: bool) -> None:
    """Oldest first."""

    async def act() -> Sequence[Mapping[str, Any]]:
        async with _diary() as diary:
            return await diary.facts(history=history)

    rows = asyncio.run(act())
    if as_json:
        click.echo(json.dumps({"facts": rows}, ensure_ascii=False))
        return
    for row in rows:
        day = datetime.fromtimestamp(row["at"], UTC).strftime("%Y-%m-%d")
        old = tr("cli.memory.replaced") if row["replaced"] else ""
        click.echo(f"{row['id']}  {day}  {row['kind']:9} {row['confidence']:.2f}  {row['text']} {old}".rstrip())
    if not rows:
        click.echo(tr("memory.nothing"))


@memory.command(help=tr("cli.memory.help_tell"))
@click.argument("text", nargs=-1, required=True)
def tell(text: tuple[str, ...]) -> None:
    """As one sentence."""

    async def act() -> Mapping[str, Any]:
        async with _diary() as diary:
            return await diary.tell(" ".join(text))

    click.echo(tr("memory.noted", facts=asyncio.run(act())["text"]))


@memory.command(help=tr("cli.memory.help_edit"))
@click.argument("id")
@click.argument("text", nargs=-1, required=True)
def edit(id: str, text: tuple[str, ...]) -> None:  # noqa: A002  # the argument's name as people see it
    """By the id that `list` shows."""

    async def act() -> Mapping[str, Any]:
        async with _diary() as diary:
            return await diary.edit(id, " ".join(text))

    click.echo(tr("memory.noted", facts=asyncio.run(act())["text"]))


@memory.command(help=tr("cli.memory.help_forget"))
@click.argument("id", required=False, default="")
@click.option("--all", "everything", is_flag=True, help=tr("cli.memory.everything"))
def forget(id: str, everything: bool) -> None:  # noqa: A002  # the argument's name as people see it
    """By the id that `list` shows."""
    if bool(id) is everything:
        raise click.UsageError(tr("cli.memory.which"))

    async def act() -> int:
        async with _diary() as diary:
            return await diary.forget(id)

    click.echo(tr("cli.memory.forgotten", count=asyncio.run(act())))


@memory.command(help=tr("cli.memory.help_export"))
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help=tr("cli.memory.out"))
def export(out: Path | None) -> None:
    """One JSON object."""

    async def act() -> Mapping[str, Any]:
        async with _diary() as diary:
            return await diary.export()

    text = json.dumps(asyncio.run(act()), ensure_ascii=False, indent=2)
    write_out(text, out)


def write_out(text: str, out: Path | None) -> None:
    """To standard output, or to a file that nobody else can read."""
    if out is None:
        click.echo(text)
        return
    out.touch(mode=0o600)
    out.write_text(text, "utf-8")


class _Remote:
    """The memory of a running server."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def facts(self, *, history: bool) -> Sequence[Mapping[str, Any]]:
        return (await self._server.call("GET", f"/api/me/memory?history={int(history)}"))["facts"]

    async def tell(self, text: str) -> Mapping[str, Any]:
        return await self._server.call("POST", "/api/me/memory", {"text": text})

    async def edit(self, fact: str, text: str) -> Mapping[str, Any]:
        return await self._server.call("PUT", f"/api/me/memory/{quote(fact, safe='')}", {"text": text})

    async def forget(self, fact: str) -> int:
        end = f"/{quote(fact, safe='')}" if fact else ""
        return int((await self._server.call("DELETE", f"/api/me/memory{end}"))["forgotten"])

    async def export(self) -> Mapping[str, Any]:
        return await self._server.call("GET", "/api/me/export")


class _Local:
    """The memory in this home's own records."""

    def __init__(self, memory: Any) -> None:
        self._memory = memory

    async def facts(self, *, history: bool) -> Sequence[Mapping[str, Any]]:
        found = await self._memory.facts(await self._memory.mine(OWNER.id), history=history)
        return [asdict(fact) for fact in found]

    async def tell(self, text: str) -> Mapping[str, Any]:
        return asdict(await self._memory.remember(OWNER, text))

    async def edit(self, fact: str, text: str) -> Mapping[str, Any]:
        return asdict(await self._memory.edit(await self._memory.mine(OWNER.id), fact, text, By()))

    async def forget(self, fact: str) -> int:
        mine = await self._memory.mine(OWNER.id)
        return int(await (self._memory.forget_one(mine, fact, By()) if fact else self._memory.forget_all(mine, By())))

    async def export(self) -> Mapping[str, Any]:
        return await self._memory.export(await self._memory.mine(OWNER.id))


@asynccontextmanager
async def _diary() -> AsyncGenerator[Diary]:
    server = await find_server()
    if server is not None:
        yield _Remote(server)
        return
    async with later("kith.cli.diary:local_memory")() as found:
        yield _Local(found)

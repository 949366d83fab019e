"""``kith audit``: who did what, and whether the log of it is whole."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Protocol

import click

from kith.cli.group import later
from kith.cli.server import Server, find_server
from kith.core.errors import Refused
from kith.runtime.locale import tr

_PAGE = 1000


class Log(Protocol):
    """The audit log, read from behind a number."""

    async def entries(self, after: int) -> list[dict[str, Any]]: ...

    async def verify(self, after: int) -> tuple[int, str]: ...


@click.group(help=tr("security.audit.help"))
def audit() -> None:
    """The group."""


@audit.command("list", help=tr("security.audit.help_list"))
@click.option("--after", type=click.IntRange(0), default=0, help=tr("security.audit.help_after"))
def list_entries(after: int) -> None:
    """Oldest first."""
    for entry in asyncio.run(_all(after)):
        act, when = entry["act"], datetime.fromtimestamp(entry["at"], UTC).strftime("%Y-%m-%d %H:%M:%S")
        detail = " ".join(f"{key}={value}" for key, value in act["detail"].items())
        words = (str(entry["number"]), when, act["outcome"], act["name"], act["actor"] or "-", act["subject"] or "-")
        click.echo("  ".join((*words, act["origin"], detail)).rstrip())


@audit.command(help=tr("security.audit.help_export"))
@click.option("--after", type=click.IntRange(0), default=0, help=tr("security.audit.help_after"))
def export(after: int) -> None:
    """One JSON object a line."""
    for entry in asyncio.run(_all(after)):
        click.echo(json.dumps(entry, ensure_ascii=False, sort_keys=True))


@audit.command(help=tr("security.audit.help_verify"))
def verify() -> None:
    """The whole chain. Raises `Refused` when it is not whole."""

    async def act() -> tuple[int, str]:
        async with _log() as log:
            last, fault = await log.verify(0)
            while not fault:
                following, fault = await log.verify(last)
                if following == last:
                    break
                last = following
            return last, fault

    last, fault = asyncio.run(act())
    if fault:
        raise Refused(f"the audit log was tampered with: {fault}", code="audit_broken")
    click.echo(tr("security.audit.whole", count=last))


async def _all(after: int) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = []
    async with _log() as log:
        while page := await log.entries(after):
            found += page
            after = int(page[-1]["number"])
    return found


class _Remote:
    """The log of a running server."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def entries(self, after: int) -> list[dict[str, Any]]:
        return (await self._server.call("GET", f"/api/audit?limit={_PAGE}&after={after}"))["entries"]

    async def verify(self, after: int) -> tuple[int, str]:
        told = await self._server.call("GET", f"/api/audit/verify?after={after}")
        return int(told["last"]), str(told["fault"])


class _Local:
    """The log in this home's own records."""

    def __init__(self, journal: Any) -> None:
        self._journal = journal

    async def entries(self, after: int) -> list[dict[str, Any]]:
        return [asdict(entry) for entry in await self._journal.entries(after, _PAGE)]

    async def verify(self, after: int) -> tuple[int, str]:
        return await self._journal.verify(after, _PAGE)


@asynccontextmanager
async def _log() -> AsyncGenerator[Log]:
    server = await find_server()
    if server is not None:
        yield _Remote(server)
        return
    opened = later("kith.cli.desk:local_storage")
    async with opened() as storage:
        yield _Local(storage.journal)

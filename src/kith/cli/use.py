"""``kith use``: who used what, and what it cost; from the running server or this home's conversations."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import click

from kith.cli.group import later
from kith.cli.server import find_server
from kith.runtime.locale import tr

_YEARS = 3650


@click.command(help=tr("cli.use.help"))
@click.option(
    "--by",
    type=click.Choice(["person", "model", "channel", "persona"]),
    default="person",
    show_default=True,
    help=tr("cli.use.by"),
)
@click.option("--days", type=click.IntRange(1, _YEARS), default=30, show_default=True, help=tr("cli.use.days"))
@click.option("--json", "as_json", is_flag=True, help=tr("cli.use.as_json"))
def use(by: str, days: int, as_json: bool) -> None:
    """The most tokens first."""
    found = asyncio.run(_look(by, days))
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False))
        return
    click.echo(tr("cli.use.head", by=by, days=days) if found["rows"] else tr("cli.use.none"))
    for row in found["rows"]:
        counts = f"{row['turns']:>7} {row['prompt']:>10} {row['completion']:>10} {row['fallbacks']:>6}"
        click.echo(f"{counts} {row['cost']:>10.4f}  {row['key'] or '-'}")


async def _look(by: str, days: int) -> dict[str, Any]:
    server = await find_server()
    if server is not None:
        return await server.call("GET", f"/api/use?by={by}&days={days}")
    async with later("kith.cli.insight:local_insight")() as insight:
        return dict(await insight.use(by, days))

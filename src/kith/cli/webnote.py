"""The web app that a checkout builds beside the running chat: says when it is ready."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

import kith
from kith.gateway.site import PREFIX, built
from kith.runtime.locale import tr

# Written by scripts/web.sh in a checkout: building, built or failed.
NOTE = Path(kith.__file__).parents[2] / "web" / ".note"
_PAUSE = 0.5
_LONGEST = 1800.0


def web_address(address: str) -> str:
    """Where people find the web app; empty while it is not there."""
    return f"{address}{PREFIX}/" if address and built() else ""


async def tell_when_built(address: str, note: Path = NOTE) -> None:
    """Print where the web app is as soon as it has been built, or that it could not be."""
    if await asyncio.to_thread(_read, note) != "building":
        return
    said, left = "building", _LONGEST
    while said == "building" and left > 0:
        await asyncio.sleep(_PAUSE)
        said, left = await asyncio.to_thread(_read, note), left - _PAUSE
    if said == "built":
        click.echo(tr("cli.serve.web", address=f"{address}{PREFIX}/"))
    elif said == "failed":
        click.echo(tr("cli.serve.web_failed", log=note.with_name(".log")))


def _read(note: Path) -> str:
    try:
        return note.read_text("utf-8").strip()
    except (OSError, UnicodeError):
        return ""

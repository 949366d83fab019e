"""Setting a channel up by a QR code, in the terminal."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import click
from pydantic import BaseModel

from kith.channels.scan import LONGEST, Scan, Scanner, drawn, scanner
from kith.core.errors import Refused
from kith.core.manifest import Manifest
from kith.runtime.locale import tr

_PAUSE = 1.0


async def scanned(manifest: Manifest, cls: type[BaseModel] | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """Show the QR code of a channel until somebody has scanned it; the settings that came of it.

    Raises `Refused` when nobody did within eight minutes, and as `Scanner.step`.
    """
    own = scanner(manifest, cls, given)
    try:
        async with asyncio.timeout(LONGEST):
            return await _wait(own, manifest.name)
    except TimeoutError:
        raise Refused(tr("channels.scan.late"), hint=f"kith channels add {manifest.name}") from None
    finally:
        await own.close()


async def _wait(own: Scanner, name: str) -> dict[str, Any]:
    found, before = await own.begin(), ""
    while found.state != "done":
        if found.picture:
            _show(found, name)
        if found.state == "scanned" != before:
            click.echo(tr("channels.scan.scanned"), err=True)
        before, code = found.state, ""
        if found.state == "code":
            code = str(await asyncio.to_thread(click.prompt, tr("channels.scan.code"), err=True)).strip()
        elif not found.picture:
            await asyncio.sleep(_PAUSE)  # a platform that does not wait with its answer is not to be pestered
        found = await own.step(code)
    return dict(found.settings)


def _show(found: Scan, name: str) -> None:
    """On the error stream: what this command prints may be read by a program."""
    click.echo(drawn(found.picture), err=True)
    click.echo(found.picture, err=True)
    click.echo(tr("channels.scan.show", name=name), err=True)

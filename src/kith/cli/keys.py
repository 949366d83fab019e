"""``kith keys``: the key under which everything is kept."""

from __future__ import annotations

import asyncio

import click

from kith.cli.group import later
from kith.runtime.locale import tr


@click.group(help=tr("cli.keys.help"))
def keys() -> None:
    """The group."""


@keys.command(help=tr("cli.keys.rotate"))
def rotate() -> None:
    """A new key; if this is interrupted, either the old or the new one fits."""
    asyncio.run(later("kith.cli.desk:rotate_key")())
    click.echo(tr("cli.keys.rotated"))

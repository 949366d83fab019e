"""``kith version``."""

from __future__ import annotations

import json
import platform

import click

import kith
from kith.cli.group import Command


@click.command(cls=Command)
@click.option("--json", "as_json", is_flag=True)
def version(as_json: bool) -> None:
    """Versions."""
    known = {"kith": kith.__version__, "python": platform.python_version(), "machine": platform.platform()}
    click.echo(json.dumps(known) if as_json else "\n".join(f"{name} {value}" for name, value in known.items()))

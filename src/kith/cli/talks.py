"""What `kith flow` shows of conversations: where their dialogues stand. From the running server, else from the data."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from kith.cli.group import later
from kith.cli.server import find_server
from kith.dialogue.flow import DEFAULT, load_flow
from kith.dialogue.story import Deviation, load_story, play
from kith.runtime.locale import tr

_json = click.option("--json", "as_json", is_flag=True, help=tr("flow.help_json"))


@click.command(help=tr("flow.help_story"))
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--flow", type=click.Path(path_type=Path), help=tr("flow.help_flow"))
@_json
@click.pass_context
def story(ctx: click.Context, file: Path, flow: Path | None, as_json: bool) -> None:
    """Replay a scripted conversation; exit code 1 when it comes out otherwise."""
    told, document = load_story(file)
    path = flow or (file.parent / told.flow if told.flow else DEFAULT)
    found = play(told, document, load_flow(path))
    if as_json:
        rows = [{name: getattr(one, name) for name in Deviation.__slots__} for one in found]
        click.echo(json.dumps({"file": str(file), "ok": not found, "deviations": rows}, ensure_ascii=False))
    for one in () if as_json else found:
        values = {"say": one.say, "what": one.what, "wanted": one.wanted, "got": one.got}
        click.secho(tr("flow.story_bad", place=f"{file}:{one.line}", **values), fg="red")
    if not found and not as_json:
        click.echo(tr("flow.story_good", name=told.name or file.stem, steps=len(told.steps)))
    ctx.exit(1 if found else 0)


@click.command(help=tr("flow.help_state"))
@click.argument("conversation")
@_json
def state(conversation: str, as_json: bool) -> None:
    """Where one dialogue stands."""
    found = asyncio.run(_state(conversation))
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False))
        return
    click.echo(tr("flow.state", state=found["state"] or "-"))
    if form := found["form"]:
        known = ", ".join(f"{name}={value}" for name, value in form["slots"].items()) or "-"
        closes = datetime.fromtimestamp(form["closes"], UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        missing = ", ".join(form["missing"]) or "-"
        values = {"title": form["title"], "asking": form["asking"], "known": known, "missing": missing}
        click.echo(tr("flow.state_form", closes=closes, **values))
    for form in found["paused"]:
        click.echo(tr("flow.state_paused", title=form["title"], asking=form["asking"]))
    for form in found["queue"]:
        click.echo(tr("flow.state_queue", title=form["title"]))


async def _state(conversation: str) -> dict[str, Any]:
    server = await find_server()
    if server is not None:
        return await server.call("GET", f"/api/conversations/{conversation}/state")
    opened = later("kith.cli.insight:local_state")
    return await opened(conversation)

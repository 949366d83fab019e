"""What `kith flow` shows of conversations, and learns from them: by the running server, else from this home's data."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import click

from kith.cli.group import later
from kith.cli.server import find_server
from kith.core.audit import By
from kith.core.errors import Refused
from kith.dialogue.flows.flow import DEFAULT, load_flow
from kith.dialogue.workshop.sankey import page, sankey
from kith.dialogue.workshop.story import Deviation, load_story, play
from kith.runtime.locale import tr

_days = click.option("--days", type=click.IntRange(1, 3650), default=30, show_default=True, help=tr("flow.help_days"))
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
        return await server.call("GET", f"/api/conversations/{quote(conversation, safe='')}/state")
    return await later("kith.cli.insight:local_state")(conversation)


@click.command(help=tr("flow.help_paths"))
@_days
@click.option("--svg", type=click.Path(path_type=Path), help=tr("flow.help_sankey"))
@click.option("--html", type=click.Path(path_type=Path), help=tr("flow.help_page"))
@_json
def paths(days: int, svg: Path | None, html: Path | None, as_json: bool) -> None:
    """The ways that conversations took."""
    found = asyncio.run(_look("paths", days))
    if svg:
        svg.write_text(sankey(found), "utf-8")
    if html:
        html.write_text(page(found, tr("flow.paths_title", days=days)), "utf-8")
    for file in filter(None, (svg, html)):
        click.echo(tr("flow.written", file=file), err=as_json)
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False))
        return
    click.echo(tr("flow.paths_count", count=found["conversations"]))
    _partly(found)
    _rows("flow.paths_top", [f"{way['count']:>5}  {' → '.join(way['path'])}" for way in found["top"]])
    _rows("flow.paths_drops", [f"{drop['count']:>5}  {drop['node']}  ({drop['share']:.0%})" for drop in found["drops"]])
    _rows("flow.paths_loops", [f"{loop['count']:>5}  {' → '.join(loop['path'])}" for loop in found["loops"]])


@click.command(help=tr("flow.help_outcomes"))
@_days
@_json
def outcomes(days: int, as_json: bool) -> None:
    """How conversations ended."""
    found = asyncio.run(_look("outcomes", days))
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False))
        return
    click.echo(_ended(found))
    _partly(found)
    click.echo(tr("flow.ratings", up=found["ratings"]["up"], down=found["ratings"]["down"]))
    for week in found["weeks"]:
        click.echo(f"  {week['from']}  {_ended(week)}")


@click.group(help=tr("flow.help_learn"))
def learn() -> None:
    """The group."""


@learn.command("list", help=tr("flow.help_learn_list"))
@_days
@_json
def list_questions(days: int, as_json: bool) -> None:
    """Questions without a good answer, and where they may belong."""
    found = asyncio.run(_look("unanswered", days))
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False))
        return
    for question in found["questions"]:
        proposal = question["proposal"]
        where = proposal["intent"] or tr("flow.new_intent")
        click.echo(f"{question['id']}  {question['count']:>4} ×  {question['text']!r}  → {where}")
        for text in question["texts"][1:6]:
            click.echo(f"{'':>26}{text!r}")
    if not found["questions"]:
        click.echo(tr("flow.all_answered"))


@learn.command(help=tr("flow.help_approve"))
@click.argument("question")
@click.option("--intent", default="", help=tr("flow.help_intent"))
@click.option("--response", default="", help=tr("flow.help_response"))
@_json
def approve(question: str, intent: str, response: str, as_json: bool) -> None:
    """Write a question's phrases into the flow's file."""
    done = asyncio.run(_decide(question, "approve", intent, response))
    phrases = ", ".join(map(repr, done["patterns"]))
    said = tr("flow.approved", intent=done["intent"], phrases=phrases)
    click.echo(json.dumps(done, ensure_ascii=False) if as_json else said)


@learn.command(help=tr("flow.help_dismiss"))
@click.argument("question")
@_json
def dismiss(question: str, as_json: bool) -> None:
    """Never show a question again."""
    done = asyncio.run(_decide(question, "dismiss", "", ""))
    click.echo(json.dumps(done, ensure_ascii=False) if as_json else tr("flow.dismissed"))


@click.command(help=tr("flow.help_copy"))
@click.argument("file", type=click.Path(path_type=Path))
def copy(file: Path) -> None:
    """Write the flow that comes with Kith to a file of one's own."""
    try:
        with file.open("x", encoding="utf-8") as stream:
            stream.write(DEFAULT.read_text("utf-8"))
    except FileExistsError:
        raise Refused(tr("flow.exists", file=file), code="file_exists") from None
    click.echo(tr("flow.copied", file=file))


def _partly(found: dict[str, Any]) -> None:
    if not found["whole"]:
        click.echo(tr("flow.partly"))


def _rows(key: str, rows: list[str]) -> None:
    if rows:
        click.echo(tr(key))
    for row in rows:
        click.echo(f"  {row}")


def _ended(found: dict[str, Any]) -> str:
    share = "-" if found["automation"] is None else f"{found['automation']:.0%}"
    names = ("conversations", "done", "abandoned", "handed_over", "open")
    return tr("flow.ended", share=share, **{name: found[name] for name in names})


async def _look(what: str, days: int) -> dict[str, Any]:
    server = await find_server()
    if server is not None:
        return await server.call("GET", f"/api/{what}?days={days}")
    async with later("kith.cli.insight:local_insight")() as insight:
        return dict(await getattr(insight, what)(days))


async def _decide(question: str, action: Literal["approve", "dismiss"], intent: str, response: str) -> dict[str, Any]:
    server = await find_server()
    if server is not None:
        body = {"intent": intent, "response": response}
        return await server.call("POST", f"/api/unanswered/{quote(question, safe='')}/{action}", body)
    async with later("kith.cli.insight:local_insight")() as insight:
        return dict(await insight.decide(question, action, By(), intent, response))


COMMANDS = (story, state, paths, outcomes, learn, copy)

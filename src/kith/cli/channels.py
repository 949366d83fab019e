"""``kith channels``: which chat platforms reach this household, and how they are."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import click
import yaml

from kith.channels.needs import needed, refuse
from kith.channels.settings import ChannelsSettings, check_channels
from kith.channels.vault import completed, secret_names
from kith.cli.group import Group, later
from kith.cli.scan import scanned
from kith.cli.server import Server, find_server
from kith.core.audit import By
from kith.core.errors import Invalid, Unavailable
from kith.core.manifest import Manifest
from kith.runtime.locale import tr
from kith.runtime.meanings import explained
from kith.runtime.registry import Registry
from kith.runtime.settings import home

_START, _END = "<!-- table -->", "<!-- /table -->"
_FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)
_TRIAL = 120.0


@click.group(cls=Group)
def channels() -> None:
    """The group."""


@channels.command("list", help=tr("channels.command.list"))
@click.option("--json", "as_json", is_flag=True, help=tr("channels.command.json"))
def list_channels(as_json: bool) -> None:
    """Every channel there is."""
    rows = [_offered(manifest) for _, manifest in sorted(Registry("channels").manifests().items())]
    if as_json:
        click.echo(json.dumps({"channels": rows}, ensure_ascii=False))
        return
    for row in rows:
        click.echo(f"{row['name']:10}  {row['quality']:6}  {row['delivery']:13}  {tr_title(row['title'])}")


@channels.command(help=tr("channels.command.status"))
@click.option("--json", "as_json", is_flag=True, help=tr("channels.command.json"))
def status(as_json: bool) -> None:
    """How those that are on are, as the running server knows."""
    rows = [row for row in asyncio.run(_ask("GET", "/api/channels"))["channels"] if row["configured"]]
    if as_json:
        click.echo(json.dumps({"channels": rows}, ensure_ascii=False))
        return
    now = time.time()
    for row in rows:
        figures = tr(
            "channels.command.figures", incoming=_ago(row["last_in"], now), outgoing=_ago(row["last_out"], now),
            lag=round(row["lag"]), errors=row["errors"], restarts=row["restarts"],
        )  # fmt: skip
        click.echo(f"{row['name']:10}  {row['state']:9}  {figures}  {row['note']}".rstrip())


@channels.command(help=tr("channels.command.add"))
@click.argument("name")
@click.option("--set", "given", multiple=True, metavar="KEY=VALUE", help=tr("channels.command.set"))
@click.option("--json", "as_json", is_flag=True, help=tr("channels.command.json"))
def add(name: str, given: Sequence[str], as_json: bool) -> None:
    """Ask for what is needed, check it, write it down, start it, and say only then that it is connected."""
    registry = Registry("channels")
    manifest = registry.manifest(name)
    cls = registry.settings(name)
    schema = cls.model_json_schema() if cls else {}
    settings = _given(given, schema)
    if manifest.details.get("scan") and not any(key in settings for key in secret_names(schema)):
        settings |= asyncio.run(scanned(manifest, cls, settings))
    _ask_for(explained(schema, "", name), settings, needed(manifest))
    told = asyncio.run(_add(manifest, settings, schema))
    if told.get("proof") == "probe" and sys.stdin.isatty() and not as_json:
        click.echo(tr("channels.command.answered", name=name))
        told = {**told, "proof": asyncio.run(_heard(name)) or told["proof"]}
    if as_json:
        click.echo(json.dumps(told, ensure_ascii=False))
    else:
        states = {"traffic": "proof_traffic", "probe": "proof_probe"}
        key = states.get(str(told.get("proof")), "unproven" if told.get("state") else "written")
        click.echo(tr(f"channels.command.{key}", name=name, note=str(told.get("note", ""))))


@channels.command(help=tr("channels.command.kept"))
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help=tr("channels.command.json"))
def kept(name: str, as_json: bool) -> None:
    """Calls of a platform that nobody understood; that they were read is written into the audit log."""
    told = asyncio.run(_ask("GET", f"/api/channels/{quote(name, safe='')}/kept"))
    if as_json:
        click.echo(json.dumps(told, ensure_ascii=False))
        return
    if not told["calls"]:
        click.echo(tr("channels.command.none_kept", name=name))
    for row in told["calls"]:
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(row["at"]))
        click.echo(f"{at}  {row['method']}  {row['size']} B  {row['reason']}")
        click.echo(_printable(row["text"]))


@channels.command(help=tr("channels.command.remove"))
@click.argument("name")
def remove(name: str) -> None:
    """Disconnect it, and take it out of kith.yaml."""
    Registry("channels").manifest(name)
    asyncio.run(_remove(name))
    click.echo(tr("channels.command.removed", name=name))


def _order(action: str) -> None:
    """The command ``kith channels <action> NAME``."""

    @channels.command(action, help=tr(f"channels.command.{action}"))
    @click.argument("name")
    @click.option("--json", "as_json", is_flag=True, help=tr("channels.command.json"))
    def command(name: str, as_json: bool) -> None:
        told = asyncio.run(_ask("POST", f"/api/channels/{quote(name, safe='')}/{action}"))
        if as_json:
            click.echo(json.dumps(told, ensure_ascii=False))
        else:
            key = f"proof_{told['proof']}" if "proof" in told else "state"
            click.echo(tr(f"channels.command.{key}", name=name, state=told["state"], note=told["note"]).rstrip())

    del command


for _action in ("test", "start", "stop", "restart"):
    _order(_action)


@channels.command(help=tr("channels.command.table"))
@click.option("--lang", type=click.Choice(("en", "zh")), default="en", show_default=True)
@click.option(
    "--write", type=click.Path(path_type=Path, exists=True, file_okay=False), help=tr("channels.command.write")
)
def table(lang: str, write: Path | None) -> None:
    """The table of the documentation, from the manifests."""
    if write is None:
        click.echo(drawn(lang))
        return
    for language in ("en", "zh"):
        page = write / language / "channels" / "README.md"
        text = page.read_text("utf-8")
        before, _, rest = text.partition(_START)
        after = rest.partition(_END)[2]
        page.write_text(f"{before}{_START}\n{drawn(language)}\n{_END}{after}", "utf-8")


def drawn(lang: str) -> str:
    """Every channel that is shipped, as a Markdown table."""
    head = [tr(f"channels.table.{key}", lang) for key in ("name", "quality", "delivery", "liveness", "limit", "can")]
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for name, manifest in sorted(Registry("channels").manifests().items()):
        details, page = manifest.details, f"[{manifest.title.get(lang, name)}]({name}.md)"
        local = "local" in manifest.capabilities
        cells = (
            f"{manifest.title.get(lang, name)} `{name}`" if local else f"{page} `{name}`",
            manifest.quality,
            f"`{details.get('delivery')}`",
            f"{details['liveness']} s" if "liveness" in details else "–",
            f"{details['limit']} {details.get('unit', 'chars')}" if "limit" in details else "–",
            ", ".join(one for one in manifest.capabilities if one != "local"),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def tr_title(title: Mapping[str, str]) -> str:
    """A manifest's title in the language of this terminal."""
    return title.get(tr("channels.table.lang"), title.get("en", ""))


def _offered(manifest: Manifest) -> dict[str, Any]:
    return {
        "name": manifest.name,
        "title": dict(manifest.title),
        "quality": manifest.quality,
        "delivery": manifest.details.get("delivery", ""),
        "capabilities": list(manifest.capabilities),
    }


def _printable(text: str) -> str:
    """As it can be shown in a terminal: nothing of what a stranger sent moves the cursor."""
    return "".join(char if char.isprintable() or char == "\n" else "\ufffd" for char in text)[:4000]


def _ask_for(schema: Mapping[str, Any], settings: dict[str, Any], needs: Sequence[str]) -> None:
    """Ask for what has to be known, and at a terminal also for what it `needs` to be on, and for secrets, which may be
    left out."""
    required, secret, human = list(schema.get("required", ())), secret_names(schema), sys.stdin.isatty()
    if human and settings.get("enabled", True) is not False:
        required = [*dict.fromkeys((*required, *needs))]
    for key in [*required, *(name for name in secret if name not in required and human)]:
        if key not in settings:
            about = schema["properties"][key].get("description", "")
            default = None if key in required else ""
            value = click.prompt(
                f"{key} ({about})", default=default, hide_input=key in secret, show_default=False, err=True
            )
            settings |= {key: value} if value else {}


async def _heard(name: str) -> str:
    """Wait until somebody wrote and was answered: ``traffic``; empty when nobody did in time."""
    with contextlib.suppress(TimeoutError, Unavailable):
        async with asyncio.timeout(_TRIAL):
            while True:
                told = await _ask("POST", f"/api/channels/{quote(name, safe='')}/test")
                if told.get("proof") == "traffic":
                    return "traffic"
                await asyncio.sleep(2.0)
    return ""


def _ago(at: float, now: float) -> str:
    return tr("channels.command.ago", seconds=max(0, round(now - at))) if at else "–"


def _given(pairs: Sequence[str], schema: Mapping[str, Any]) -> dict[str, Any]:
    """``key=value`` as settings: texts as they are, everything else as YAML. Raises `Invalid`."""
    found: dict[str, Any] = {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        if not sign:
            raise Invalid(tr("channels.command.no_value", pair=pair))
        kind = cast("Mapping[str, Any]", schema.get("properties", {})).get(key, {}).get("type")
        try:
            found[key] = value if kind == "string" else yaml.safe_load(value)
        except yaml.YAMLError:
            raise Invalid(tr("channels.command.no_value", pair=pair)) from None
    return found


async def _add(manifest: Manifest, settings: dict[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    server = await find_server()
    if server is None:  # into kith.yaml; secrets into the database
        async with later("kith.cli.desk:local_vault")() as (vault, edits):
            place = f"channels.{manifest.name}"
            whole = completed(edits.section(place), settings, schema)
            _check(manifest, whole)
            await edits.change({place: await vault.conceal(place, whole, schema)}, By())
        return {"name": manifest.name}
    path = f"/api/channels/{quote(manifest.name, safe='')}"
    told = await server.call("PUT", path, settings)
    try:
        return await server.call("POST", f"{path}/test")
    except Unavailable as error:
        return {**told, "note": told["note"] or error.message}


def _check(manifest: Manifest, settings: Mapping[str, Any]) -> None:
    """As the server does. Raises `Invalid`."""
    chosen, registry = ChannelsSettings.model_validate({manifest.name: settings}), Registry("channels")
    check_channels(chosen, registry)
    try:
        check_channels(chosen, registry, whole=True)
    except Invalid as error:  # nothing else is left to be wrong
        refuse(manifest, error.faults)


async def _remove(name: str) -> None:
    server = await find_server()
    if server is None:
        async with later("kith.cli.desk:local_vault")() as (vault, edits):
            await edits.change({f"channels.{name}": None}, By())
            await vault.forget(f"channels.{name}")
    else:
        await server.call("DELETE", f"/api/channels/{quote(name, safe='')}")


async def _ask(method: str, path: str) -> dict[str, Any]:
    server: Server | None = await find_server()
    if server is None:
        raise Unavailable(tr("channels.command.no_server", path=home()), hint="kith serve")
    return await server.call(method, path)

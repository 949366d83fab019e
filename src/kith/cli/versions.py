"""``kith models update`` and its kin: the versions of a model, and the way from one to another."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from kith.cli.arrival import arrive, fetch, output, size
from kith.cli.server import find_server
from kith.core.clock import SystemClock
from kith.core.errors import NotFound, Refused
from kith.models import ModelService, Shelf
from kith.models.delta import apply_delta, make_delta, read_head
from kith.models.fetch import Digests
from kith.models.shelf import bind
from kith.models.versions import Version, Versions, locked
from kith.runtime.locale import tr
from kith.runtime.settings import home
from kith.runtime.supervisor import Supervisor
from kith.runtime.telemetry import configure_logs
from kith.settings import load_settings

json_option = click.option("--json", "as_json", is_flag=True, help=tr("models.option.json"))


@click.command(help=tr("models.command.update"))
@click.argument("name")
@click.option("--to", "version", default="", help=tr("models.option.to"))
@click.option("--from", "source", default="", help=tr("models.option.from"))
@click.option("--sha256", default="", help=tr("models.option.sha256"))
@click.option("--md5", default="", help=tr("models.option.md5"))
@click.option("--copy", is_flag=True, help=tr("models.option.copy"))
@click.option("--drain", is_flag=True, help=tr("models.option.drain"))
@json_option
def update(**given: Any) -> None:
    """Change the version in use, in the running server without a pause, else for its next start."""
    name, version, quiet = str(given["name"]), str(given["version"]), bool(given["as_json"])
    shelf = Shelf(home() / "models")
    versions = _known(shelf, name)
    held = versions.current and versions.get(versions.current).pinned
    if held and not (version or given["source"]):
        raise Refused(tr("models.held", name=name, version=versions.current), code="in_use")
    if given["source"]:
        arrival = asyncio.run(arrive(given["source"], Digests(given["sha256"], given["md5"]), quiet=quiet))
        version = arrival.keep(shelf, name, version, copy=given["copy"]).version
    found = asyncio.run(_change(name, version or versions.all()[-1].version, drain=bool(given["drain"])))
    if quiet:
        output(found)
    elif found["version"] == found["before"]:
        click.echo(tr("models.unchanged", name=name, version=found["version"]))
    else:
        click.echo(tr("models.updated", name=name, version=found["version"], before=found["before"] or "-"))


@click.command(help=tr("models.command.pin"))
@click.argument("name")
@click.argument("version", default="")
@click.option("--off", is_flag=True, help=tr("models.option.off"))
@json_option
def pin(name: str, version: str, off: bool, as_json: bool) -> None:
    """Keep a version, by default the one in use."""
    shelf = Shelf(home() / "models")
    versions = _known(shelf, name)
    with locked(shelf.folder):
        found = versions.pin(version or versions.current, pinned=not off)
    if as_json:
        output(found.model_dump(mode="json"))
    else:
        click.echo(tr("models.unpinned" if off else "models.pinned", name=name, version=found.version))


@click.command(help=tr("models.command.clean"))
@click.argument("name", default="")
@click.option("--keep", default=1, show_default=True, type=click.IntRange(0), help=tr("models.option.keep"))
@json_option
def clean(name: str, keep: int, as_json: bool) -> None:
    """Remove old versions, and what interrupted downloads have left."""
    shelf = Shelf(home() / "models")
    names = [name] if name else [entry.settings.name for entry in shelf.entries()]
    gone = dict[str, list[str]]()
    with locked(shelf.folder):
        for one in names:
            gone[one] = _known(shelf, one).clean(keep)
        if not name:
            shelf.sweep(SystemClock().now())
    if as_json:
        output({"removed": gone})
        return
    for one, versions in gone.items():
        for version in versions:
            click.echo(tr("models.cleaned", name=one, version=version))
    if not any(gone.values()):
        click.echo(tr("models.nothing_to_clean"))


@click.command(help=tr("models.command.diff"))
@click.argument("name")
@click.argument("old")
@click.argument("new")
@click.option("--out", type=click.Path(path_type=Path), required=True, help=tr("models.option.out"))
@json_option
def diff(name: str, old: str, new: str, out: Path, as_json: bool) -> None:
    """What turns one version into another, as a file that is as large as the change."""
    versions = Shelf(home() / "models").versions(name)
    before, after = versions.get(old), versions.get(new)
    if len(before.files) + len(after.files) > 2:
        raise Refused(tr("models.many_files"), code="unsupported")
    made = make_delta(versions.file(old), versions.file(new), out, (before.sha256, after.sha256))
    if as_json:
        output({"out": str(out), "bytes": made, "of": after.bytes})
    else:
        click.echo(tr("models.made_delta", out=out, bytes=size(made), of=size(after.bytes)))


@click.command(help=tr("models.command.patch"))
@click.argument("name")
@click.argument("source")
@click.option("--version", default="", help=tr("models.option.version"))
@json_option
def patch(name: str, source: str, version: str, as_json: bool) -> None:
    """Make a new version out of one that is there and a delta; `kith models update` then changes to it."""
    shelf = Shelf(home() / "models")
    versions = _known(shelf, name)
    remote = source.startswith(("http://", "https://", "s3://"))
    path = asyncio.run(fetch(source, shelf.folder, Digests(), quiet=as_json)) if remote else Path(source)
    try:
        found = _patched(shelf, versions, name, path, version, source)
    finally:
        if remote:
            path.unlink(missing_ok=True)
    if as_json:
        output(found.model_dump(mode="json"))
    else:
        click.echo(tr("models.patched", name=name, version=found.version))


def show_versions(versions: Versions) -> None:
    """One line for each version; a star marks the one in use."""
    for one in versions.all():
        mark = "*" if one.version == versions.current else " "
        added = datetime.fromtimestamp(one.added, UTC).strftime("%Y-%m-%d %H:%M")
        pinned = tr("models.pinned_mark") if one.pinned else ""
        click.echo(f"{mark} {one.version:14} {size(one.bytes):>10}  {added}  {one.sha256[:12]}  {pinned}".rstrip())


async def tell_server() -> None:
    """Let the server of this home, if one runs, take in what was added."""
    server = await find_server()
    if server is not None:
        await server.call("POST", "/api/models/refresh")


async def _change(name: str, version: str, *, drain: bool) -> dict[str, Any]:
    server = await find_server()
    if server is not None:
        body = {"model": name, "version": version, "drain": "yes" if drain else ""}
        return await server.call("POST", "/api/models/swap", body)
    return await _try_and_use(name, version)


async def _try_and_use(name: str, version: str) -> dict[str, Any]:
    """Without a server: the version has to load and to answer before it becomes the one in use."""
    settings, clock, folder = load_settings(), SystemClock(), home() / "models"
    configure_logs(settings.log.level, json=settings.log.json_lines)
    supervisor = Supervisor(clock)
    wanted = [model.model_copy(update={"preload": False}) for model in settings.models]
    service = ModelService(wanted, clock, supervisor, folder)
    await service.start()
    try:
        return asdict(await service.swap(name, version))
    finally:
        await service.stop()
        await supervisor.close()


def _known(shelf: Shelf, name: str) -> Versions:
    """The versions of a model that was added. Raises `NotFound`, or `Refused` for a file of its own."""
    versions = shelf.versions(name)
    if not versions.all():
        bind(shelf.entry(name).settings, shelf.folder, "?")
    return versions


def _patched(shelf: Shelf, versions: Versions, name: str, path: Path, version: str, source: str) -> Version:
    head = read_head(path)
    base = next((one for one in versions.all() if one.sha256 == head.old_sha256), None)
    if base is None:
        text = f"this delta begins at another file than any version of {name} (SHA-256 {head.old_sha256[:12]}…)"
        raise NotFound(text, code="no_version")
    with versions.stage() as stage:
        made = stage / versions.file(base.version).name
        apply_delta(versions.file(base.version), path, made)
        known = {"version": version or "auto", "source": source, "added": SystemClock().now(), "files": base.files}
        return shelf.store(name, [made], Version.model_validate(known), move=True)

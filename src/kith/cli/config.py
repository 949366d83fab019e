"""``kith config``: what the settings are, and whether they are right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import yaml

from kith.channels import check_channels
from kith.cli.group import Group
from kith.cli.meaning import described, find, held
from kith.core.errors import Fault, Invalid
from kith.runtime.documents import Document, read_document
from kith.runtime.edits import masked
from kith.runtime.faults import translated
from kith.runtime.locale import tr
from kith.runtime.registry import Registry
from kith.runtime.settings import home
from kith.settings import Settings, load_settings


@click.group(cls=Group)
def config() -> None:
    """Settings."""


@config.command()
@click.option("--config", "path", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True)
def show(path: Path | None, as_json: bool) -> None:
    """Show."""
    settings = load_settings(path)
    written = _document(path)
    data = masked(settings.model_dump(mode="json"), written.data if written else None)
    if as_json:
        click.echo(json.dumps(data, ensure_ascii=False, indent=2))
        return
    click.secho(f"# {written.file if written else tr('cli.config.no_file', path=home() / 'kith.yaml')}", dim=True)
    click.echo(yaml.safe_dump(data, allow_unicode=True, sort_keys=False).rstrip())


@config.command()
@click.argument("key", default="")
@click.option("--config", "path", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True)
def explain(key: str, path: Path | None, as_json: bool) -> None:
    """Explain."""
    told = described(key, find(key), held(path, _document(path)))
    if as_json:
        click.echo(json.dumps(told, ensure_ascii=False))
        return
    if told["section"]:
        width = max(len(row["key"]) for row in told["keys"])
        for row in told["keys"]:
            click.echo(f"{row['key']:{width}}  {row['meaning']}".rstrip())
        return
    click.secho(key, bold=True)
    if told["meaning"]:
        click.echo(f"  {told['meaning']}")
    for name, value in (("type", told["type"]), ("default", _plain(told["default"]))):
        click.echo("  " + tr("cli.explain.colon", name=tr(f"cli.explain.{name}"), value=value))
    if told["source"]:
        names = ", ".join(told.get("variables", ()))
        source = tr(f"cli.explain.from_{told['source']}", file=told.get("file"), line=told.get("line"), names=names)
        now = tr("cli.explain.colon", name=tr("cli.explain.now"), value=_plain(told["value"]))
        click.echo("  " + tr("cli.explain.source", now=now, source=source))


def _plain(value: Any) -> str:
    """A value as it would stand in the file."""
    if value is None or value == "":
        return tr("cli.explain.none")
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


@config.command()
@click.option("--config", "path", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True)
@click.pass_context
def check(ctx: click.Context, path: Path | None, as_json: bool) -> None:
    """Check."""
    faults = faults_of(path)
    file = str(path or home() / "kith.yaml")
    if as_json:
        rows = [{"line": fault.line, "path": fault.path, "reason": fault.reason} for fault in faults]
        click.echo(json.dumps({"file": file, "ok": not faults, "faults": rows}, ensure_ascii=False))
    elif faults:
        for fault in faults:
            place = f"{file}:{fault.line}" if fault.line else file
            click.echo(" ".join(part for part in (f"{place}:", fault.path, fault.reason) if part))
    else:
        click.echo(tr("cli.config.good" if Path(file).exists() else "cli.config.no_file", path=file))
    ctx.exit(1 if faults else 0)


def faults_of(path: Path | None) -> tuple[Fault, ...]:
    """Every mistake in a settings file, those in the channels' own sections included."""
    try:
        settings: Settings = load_settings(path)
        check_channels(settings.channels, Registry("channels"), _document(path), whole=True)
    except Invalid as error:
        return translated(error).faults or (Fault("", error.message),)
    return ()


def _document(path: Path | None) -> Document | None:
    chosen = path or home() / "kith.yaml"
    return read_document(chosen) if path is not None or chosen.exists() else None

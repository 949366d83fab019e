"""``kith config``: what the settings are, and whether they are right."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import click
import yaml

from kith.channels import check_channels
from kith.cli.group import Group
from kith.core.errors import Fault, Invalid
from kith.runtime.documents import Document, read_document
from kith.runtime.locale import tr
from kith.runtime.registry import Registry
from kith.runtime.settings import home
from kith.settings import Settings, load_settings

_SECRET = ("token", "secret", "password", "passphrase", "key", "dsn", "credential")
_MASK = "********"


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
        check_channels(settings.channels, Registry("channels"), _document(path))
    except Invalid as error:
        return error.faults or (Fault("", error.message),)
    return ()


def masked(value: Any, written: Any = None, name: str = "") -> Any:
    """`value` without secrets: what is called like one, and whatever was `written` as ``${VARIABLE}``."""
    if isinstance(value, Mapping):
        twin: Mapping[str, Any] = cast("Mapping[str, Any]", written) if isinstance(written, Mapping) else {}
        items = cast("Mapping[str, Any]", value).items()
        return {key: masked(item, twin.get(key), key) for key, item in items}
    if isinstance(value, list | tuple):
        rows = cast("list[Any]", value)
        twins = cast("list[Any]", written) if isinstance(written, list) else []
        return [masked(row, twins[at] if at < len(twins) else None, name) for at, row in enumerate(rows)]
    hidden = isinstance(written, str) and "${" in written
    named = any(word in name.lower().split("_") or name.lower().endswith(word) for word in _SECRET)
    secret = hidden or (named and isinstance(value, str) and value != "")
    return _MASK if secret else value


def _document(path: Path | None) -> Document | None:
    chosen = path or home() / "kith.yaml"
    return read_document(chosen) if path is not None or chosen.exists() else None

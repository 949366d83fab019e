"""`kith doctor`: what this machine has, what is wrong with it, and what suits it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import click

from kith.cli.server import find_server
from kith.core.errors import KithError
from kith.ops import Advice, Finding, examine, recommend
from kith.ops.exposure import exposed
from kith.runtime.documents import read_document
from kith.runtime.locale import tr
from kith.runtime.machine import Machine, measure
from kith.runtime.settings import home
from kith.settings import Settings, load_settings

_MARKS = {"ok": ("ok  ", "green"), "warn": ("warn", "yellow"), "fail": ("fail", "red")}


@click.command(help=tr("ops.help"))
@click.option("--json", "as_json", is_flag=True, help=tr("ops.help_json"))
@click.option("--port", default=8787, show_default=True, type=click.IntRange(1, 65535), help=tr("ops.help_port"))
@click.option("--security", is_flag=True, help=tr("ops.help_security"))
@click.option("--config", type=click.Path(path_type=Path), help=tr("ops.help_config"))
def doctor(as_json: bool, port: int, security: bool, config: Path | None) -> None:
    folder = home()
    if security:
        _risks(risks(load_settings(config), config), as_json=as_json)
        return
    machine = measure(folder)
    findings = [*examine(folder, port=port, machine=machine), *asyncio.run(_channels())]
    advice = recommend(machine)
    if as_json:
        click.echo(json.dumps(_data(machine, findings, advice), ensure_ascii=False, indent=2))
    else:
        _show(findings, advice)
    if any(finding.status == "fail" for finding in findings):
        raise click.exceptions.Exit(1)


async def _channels() -> list[Finding]:
    """The channels of the running server that do not hear or cannot send; nothing where none runs, or it is silent."""
    try:
        if (server := await find_server()) is None:
            return []
        rows = cast("list[dict[str, Any]]", (await server.call("GET", "/api/channels"))["channels"])
    except KithError:
        return []
    on = [row for row in rows if row["configured"] and row["state"] != "stopped"]
    bad = [row for row in on if row["state"] in ("degraded", "failed")]
    told = [{"name": row["name"], "note": row["note"] or row["state"]} for row in bad]
    good = Finding("channels", "ok", "channels_good", {"count": len(on)})
    return [Finding("channels", "warn", "channel_bad", one) for one in told] or [good] * bool(on)


def risks(settings: Settings, config: Path | None = None) -> list[Finding]:
    """What is risky in these settings and in the files of this household."""
    file = config or home() / "kith.yaml"
    written: Any = read_document(file).data if file.exists() else {}
    return exposed(home(), settings.model_dump(mode="json"), cast("dict[str, Any]", written or {}))


def _risks(findings: list[Finding], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(_checks(findings), ensure_ascii=False, indent=2))
    else:
        _list(findings)
    if any(finding.status == "fail" for finding in findings):
        raise click.exceptions.Exit(1)


def _checks(findings: list[Finding]) -> list[dict[str, str]]:
    return [{"check": f.check, "status": f.status, "found": f.key, "text": f.say(), "hint": f.hint()} for f in findings]


def _list(findings: list[Finding]) -> None:
    for finding in findings:
        mark, colour = _MARKS[finding.status]
        click.echo(f"{click.style(mark, fg=colour)}  {finding.title()}: {finding.say()}")
        if hint := finding.hint():
            click.echo(f"      {hint}")


def _data(machine: Machine, findings: list[Finding], advice: Advice) -> dict[str, Any]:
    return {"machine": asdict(machine), "checks": _checks(findings), "advice": asdict(advice) | {"text": advice.say()}}


def _show(findings: list[Finding], advice: Advice) -> None:
    _list(findings)
    click.echo(f"\n{tr('ops.advice_title')}")
    click.echo(f"  {_model(advice)}")
    for reason in advice.say():
        click.echo(f"  {reason}")
    click.echo(f"  {tr('ops.add')}\n")
    warn, fail = (sum(finding.status == status for finding in findings) for status in ("warn", "fail"))
    click.echo(tr("ops.bad", warn=warn, fail=fail) if warn or fail else tr("ops.good"))


def _model(advice: Advice) -> str:
    if not advice.parameters:
        return tr("ops.advice_none")
    values = {"parameters": f"{advice.parameters:g}", "quantisation": advice.quantisation}
    return tr("ops.advice", context=advice.context, threads=advice.threads, **values)

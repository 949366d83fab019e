"""`kith doctor`: what this machine has, what is wrong with it, and what suits it."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import click

from kith.ops import Advice, Finding, examine, recommend
from kith.runtime.locale import tr
from kith.runtime.machine import Machine, measure
from kith.runtime.settings import home

_MARKS = {"ok": ("ok  ", "green"), "warn": ("warn", "yellow"), "fail": ("fail", "red")}


@click.command(help=tr("ops.help"))
@click.option("--json", "as_json", is_flag=True, help=tr("ops.help_json"))
@click.option("--port", default=8787, show_default=True, type=click.IntRange(1, 65535), help=tr("ops.help_port"))
def doctor(as_json: bool, port: int) -> None:
    folder = home()
    machine = measure(folder)
    findings = examine(folder, port=port, machine=machine)
    advice = recommend(machine)
    if as_json:
        click.echo(json.dumps(_data(machine, findings, advice), ensure_ascii=False, indent=2))
    else:
        _show(findings, advice)
    if any(finding.status == "fail" for finding in findings):
        raise click.exceptions.Exit(1)


def _data(machine: Machine, findings: list[Finding], advice: Advice) -> dict[str, Any]:
    checks = [
        {"check": f.check, "status": f.status, "found": f.key, "text": f.say(), "hint": f.hint()} for f in findings
    ]
    return {"machine": asdict(machine), "checks": checks, "advice": asdict(advice) | {"text": advice.say()}}


def _show(findings: list[Finding], advice: Advice) -> None:
    for finding in findings:
        mark, colour = _MARKS[finding.status]
        click.echo(f"{click.style(mark, fg=colour)}  {finding.title()}: {finding.say()}")
        if hint := finding.hint():
            click.echo(f"      {hint}")
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

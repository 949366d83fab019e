"""``kith models``: add, list, check and try models."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import click

from kith.cli.arrival import arrive, output, size
from kith.cli.traffic import route, tune
from kith.cli.versions import clean, diff, patch, pin, show_versions, tell_server, update
from kith.core.clock import SystemClock
from kith.core.errors import Invalid, NotFound, Refused
from kith.core.message import Delta, Message, Text
from kith.core.model import ChatRequest, ModelCard, Sampling
from kith.models import ModelService, ModelSettings, Shelf
from kith.models.fetch import Digests
from kith.models.formats import Facts
from kith.models.settings import ModelType
from kith.models.shelf import Verdict, judge
from kith.models.sources import parse_source
from kith.models.versions import Version
from kith.runtime.locale import tr
from kith.runtime.settings import home
from kith.runtime.supervisor import Supervisor
from kith.runtime.telemetry import configure_logs
from kith.settings import load_settings

json_option = click.option("--json", "as_json", is_flag=True, help=tr("models.option.json"))
config_option = click.option("--config", type=click.Path(path_type=Path), help=tr("models.option.config"))


@click.group(help=tr("models.help"))
def models() -> None:
    """The group."""


@models.command("list", help=tr("models.command.list"))
@config_option
@json_option
def list_models(config: Path | None, as_json: bool) -> None:
    """Every model, with why it cannot run if it cannot."""
    cards, flaws = asyncio.run(_cards(config))
    if as_json:
        output([{**asdict(card), "flaw": flaws.get(card.name, "")} for card in cards])
    elif not cards:
        click.echo(tr("models.none"))
    else:
        _table(cards, flaws)


@models.command(help=tr("models.command.show"))
@click.argument("name")
@config_option
@json_option
def show(name: str, config: Path | None, as_json: bool) -> None:
    """One model's card."""
    cards, flaws = asyncio.run(_cards(config))
    card = next((card for card in cards if card.name == name), None)
    if card is None:
        known = ", ".join(card.name for card in cards) or "-"
        raise NotFound(f"there is no model {name!r}; there are: {known}", code="model_not_found")
    if as_json:
        versions = [row.model_dump(mode="json") for row in Shelf(home() / "models").versions(name).all()]
        output({**asdict(card), "flaw": flaws.get(name, ""), "versions": versions})
        return
    facts = {
        "name": card.name,
        "kind": card.kind,
        "backend": card.backend,
        "format": card.format,
        "path": card.path,
        "version": card.version,
        "digest": card.digest,
        "architecture": card.architecture,
        "parameters": _count(card.parameters),
        "quantisation": card.quantisation,
        "context": str(card.context or ""),
        "needs": size(card.memory),
        "capabilities": ", ".join(card.capabilities),
        "licence": card.licence,
    }
    for key, value in facts.items():
        if value and value != "-":
            click.echo(f"{tr(f'models.head.{key}'):14} {value}")
    if name in flaws:
        click.secho(tr("models.broken", reason=flaws[name]), fg="red")
    show_versions(Shelf(home() / "models").versions(name))


@models.command(help=tr("models.command.add"))
@click.argument("source")
@click.option("--name", default="", help=tr("models.option.name"))
@click.option("--version", default="", help=tr("models.option.version"))
@click.option("--sha256", default="", help=tr("models.option.sha256"))
@click.option("--md5", default="", help=tr("models.option.md5"))
@click.option("--context", default=0, type=click.IntRange(0), help=tr("models.option.context"))
@click.option("--type", "kind", type=click.Choice(get_args(ModelType)), default=None, help=tr("models.option.type"))
@click.option("--copy", is_flag=True, help=tr("models.option.copy"))
@click.option("--force", is_flag=True, help=tr("models.option.force"))
@json_option
def add(**given: Any) -> None:
    """Bring a model into the folder and into the register; nothing is visible before it is checked."""
    quiet: bool = given["as_json"]
    shelf, source = Shelf(home() / "models"), parse_source(given["source"])
    settings = ModelSettings(name=given["name"] or source.name, path="-", context=given["context"])
    if not given["force"] and any(entry.settings.name == settings.name for entry in shelf.entries()):
        raise Refused(tr("models.exists", name=settings.name), code="exists")
    arrival = asyncio.run(arrive(given["source"], Digests(given["sha256"], given["md5"]), quiet=quiet))
    verdict = judge(arrival.facts, settings)
    _explain(verdict, quiet=quiet)
    if not verdict.fits and not given["force"] and not _anyway(quiet=quiet):
        arrival.discard()
        raise Refused(tr("models.refused", name=settings.name), code="too_large")
    version = arrival.keep(shelf, settings.name, given["version"], copy=given["copy"])
    shelf.enter(settings.model_copy(update={"type": given["kind"] or arrival.facts.type}), version)
    asyncio.run(tell_server())
    _added(settings, arrival.facts, verdict, version, as_json=quiet)


@models.command(help=tr("models.command.remove"))
@click.argument("name")
@config_option
@json_option
def remove(name: str, config: Path | None, as_json: bool) -> None:
    """Take a model out of the register."""
    if any(model.name == name for model in load_settings(config).models):
        raise Refused(tr("models.elsewhere", name=name), code="in_settings")
    Shelf(home() / "models").remove(name)
    if as_json:
        output({"removed": name})
    else:
        click.echo(tr("models.removed", name=name))


@models.command(help=tr("models.command.verify"))
@click.argument("name")
@click.option("--version", default="", help=tr("models.option.which"))
@json_option
def verify(name: str, version: str, as_json: bool) -> None:
    """Header, bounds and SHA-256."""
    found = Shelf(home() / "models").verify(name, version)
    about: dict[str, Any] = {"name": name, "version": found.version, "sha256": found.sha256, "bytes": found.bytes}
    if as_json:
        output(about)
    else:
        click.echo(tr("models.verified", **{**about, "bytes": size(found.bytes)}))


@models.command(help=tr("models.command.run"))
@click.argument("name")
@click.argument("words", nargs=-1)
@click.option("--tokens", default=256, type=click.IntRange(1), help=tr("models.option.tokens"))
@config_option
@json_option
def run(name: str, words: tuple[str, ...], tokens: int, config: Path | None, as_json: bool) -> None:
    """One question, streamed, with its speed."""
    text = " ".join(words) or ("" if sys.stdin.isatty() else sys.stdin.read(1 << 20))
    if not text.strip():
        raise Invalid(tr("models.no_prompt"))
    request = ChatRequest((Message("m", "user", (Text(text),), 0.0),), name, Sampling(max_tokens=tokens), private=False)
    asyncio.run(_run(request, config, as_json=as_json))


async def _run(request: ChatRequest, config: Path | None, *, as_json: bool) -> None:
    service, close = await _service(config)
    texts, first, last, began = list[str](), 0.0, Delta(), time.perf_counter()
    try:
        async for delta in service.chat(request):
            first = first or time.perf_counter() - began
            texts.append(delta.text)
            last = delta
            if not as_json:
                click.echo(delta.text, nl=False)
    finally:
        await close()
    seconds = time.perf_counter() - began
    tokens = last.usage.completion if last.usage else len(texts)
    rate = (tokens - 1) / (seconds - first) if tokens > 1 and seconds > first else 0.0
    figures: dict[str, Any] = {"tokens": tokens, "rate": round(rate, 1), "first": round(first, 2)}
    if as_json:
        output({"model": last.model, "text": "".join(texts), "finish": last.finish, **figures})
    else:
        click.echo("")
        click.secho(tr("models.speed", **figures), dim=True, err=True)


async def _service(config: Path | None) -> tuple[ModelService, Callable[[], Any]]:
    settings, clock = load_settings(config), SystemClock()
    configure_logs(settings.log.level, json=settings.log.json_lines)
    supervisor = Supervisor(clock)
    wanted = [model.model_copy(update={"preload": False}) for model in settings.models]
    service = ModelService(wanted, clock, supervisor, home() / "models")
    await service.start()

    async def close() -> None:
        await service.stop()
        await supervisor.close()

    return service, close


async def _cards(config: Path | None) -> tuple[Sequence[ModelCard], dict[str, str]]:
    service, close = await _service(config)
    try:
        return service.cards(), service.flaws()
    finally:
        await close()


def _explain(verdict: Verdict, *, quiet: bool) -> None:
    if quiet:
        return
    key = "too_large" if not verdict.fits else "tight" if verdict.tight else "fits"
    values = {"need": size(verdict.need), "total": size(verdict.total), "free": size(verdict.free)}
    click.secho(tr(f"models.{key}", **values), fg="green" if key == "fits" else "yellow")


def _anyway(*, quiet: bool) -> bool:
    return not quiet and sys.stdin.isatty() and click.confirm(tr("models.ask_anyway"))


def _added(settings: ModelSettings, facts: Facts, verdict: Verdict, version: Version, *, as_json: bool) -> None:
    about: dict[str, Any] = {
        "name": settings.name,
        "version": version.version,
        "parameters": _count(facts.parameters),
        "quantisation": facts.quantisation or "-",
        "context": facts.context or "-",
    }
    if as_json:
        known = {"parameters": facts.parameters, "context": facts.context, "sha256": version.sha256}
        output({**about, **known, **asdict(verdict), "fits": verdict.fits})
    else:
        click.echo(tr("models.digest", sha256=version.sha256))
        click.echo(tr("models.added", **about))


def _table(cards: Sequence[ModelCard], flaws: dict[str, str]) -> None:
    heads = ("name", "kind", "backend", "parameters", "quantisation", "context", "needs")
    rows = [[tr(f"models.head.{head}") for head in heads]]
    for card in cards:
        sizes = [_count(card.parameters), card.quantisation or "-", str(card.context or "-"), size(card.memory)]
        rows.append([card.name, card.kind, card.backend or "-", *sizes])
    widths = [max(_width(row[column]) for row in rows) for column in range(len(heads))]
    for row, name in zip(rows, ["", *(card.name for card in cards)], strict=True):
        line = "  ".join(cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True))
        click.echo(line.rstrip())
        if name in flaws:
            click.secho("  " + tr("models.broken", reason=flaws[name]), fg="red")


def _width(text: str) -> int:
    """Columns on a terminal: a Chinese character takes two."""
    return sum(2 if "\u2e80" <= character <= "\uffef" else 1 for character in text)


def _count(number: int) -> str:
    for limit, unit in ((1_000_000_000, "B"), (1_000_000, "M"), (1_000, "K")):
        if number >= limit:
            return f"{number / limit:.1f} {unit}"
    return str(number or "-")


for command in (update, pin, clean, diff, patch, route, tune):
    models.add_command(command)

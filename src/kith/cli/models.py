"""``kith models``: add, list, check and try models."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from kith.app import load_settings
from kith.core.clock import SystemClock
from kith.core.errors import Invalid, NotFound, Refused
from kith.core.message import Delta, Message, Text
from kith.core.model import ChatRequest, ModelCard, Sampling
from kith.models import ModelService, ModelSettings, Shelf
from kith.models.fetch import Source, download, parse_source
from kith.models.gguf import GgufFile, read_gguf
from kith.models.shelf import Shelved, Verdict, digest, judge
from kith.runtime.http import http_client
from kith.runtime.locale import tr
from kith.runtime.settings import home
from kith.runtime.supervisor import Supervisor
from kith.runtime.telemetry import configure_logs

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
        _print([{**asdict(card), "flaw": flaws.get(card.name, "")} for card in cards])
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
        _print({**asdict(card), "flaw": flaws.get(name, "")})
        return
    facts = {
        "name": card.name,
        "kind": card.kind,
        "backend": card.backend,
        "path": card.path,
        "architecture": card.architecture,
        "parameters": _count(card.parameters),
        "quantisation": card.quantisation,
        "context": str(card.context or ""),
        "needs": _size(card.memory),
        "capabilities": ", ".join(card.capabilities),
        "licence": card.licence,
    }
    for key, value in facts.items():
        if value and value != "-":
            click.echo(f"{tr(f'models.head.{key}'):14} {value}")
    if name in flaws:
        click.secho(tr("models.broken", reason=flaws[name]), fg="red")


@models.command(help=tr("models.command.add"))
@click.argument("source")
@click.option("--name", default="", help=tr("models.option.name"))
@click.option("--sha256", default="", help=tr("models.option.sha256"))
@click.option("--context", default=0, type=click.IntRange(0), help=tr("models.option.context"))
@click.option("--copy", is_flag=True, help=tr("models.option.copy"))
@click.option("--force", is_flag=True, help=tr("models.option.force"))
@json_option
def add(**given: Any) -> None:
    """Bring a model into the folder and into the register; nothing is visible before it is checked."""
    as_json: bool = given["as_json"]
    shelf, source = Shelf(home() / "models"), parse_source(given["source"])
    settings = ModelSettings(name=given["name"] or source.name, path="-", context=given["context"])
    if not given["force"] and any(entry.settings.name == settings.name for entry in shelf.entries()):
        raise Refused(tr("models.exists", name=settings.name), code="exists")
    part, found = _arrive(source, shelf, given["sha256"], quiet=as_json)
    file = read_gguf(part)
    verdict = judge(file, settings)
    if not as_json:
        click.echo(tr("models.digest", sha256=found))
    _explain(verdict, quiet=as_json)
    if not verdict.fits and not given["force"] and not _anyway(quiet=as_json):
        if source.path is None:
            part.unlink(missing_ok=True)
        raise Refused(tr("models.refused", name=settings.name), code="too_large")
    target = shelf.place(part, copy=given["copy"]) if source.path else shelf.publish(part, f"{source.name}.gguf")
    if file.embedding:
        settings = settings.model_copy(update={"type": "embedding"})
    settings = settings.model_copy(update={"path": target.name})
    shelf.put(Shelved(settings=settings, source=given["source"], sha256=found))
    _added(settings, file, verdict, found, as_json=as_json)


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
        _print({"removed": name})
    else:
        click.echo(tr("models.removed", name=name))


@models.command(help=tr("models.command.verify"))
@click.argument("name")
@json_option
def verify(name: str, as_json: bool) -> None:
    """Header, bounds and SHA-256."""
    found = Shelf(home() / "models").verify(name)
    if as_json:
        _print(dict(found))
    else:
        click.echo(tr("models.verified", **{**found, "bytes": _size(found["bytes"])}))


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
        _print({"model": last.model, "text": "".join(texts), "finish": last.finish, **figures})
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


def _arrive(source: Source, shelf: Shelf, sha256: str, *, quiet: bool) -> tuple[Path, str]:
    """The checked file and its SHA-256: where it is, or as a part file in the folder."""
    if source.path is not None:
        read_gguf(source.path)
        found = digest(source.path)
        if sha256 and found != sha256.lower():
            raise Invalid(f"{source.path} has the SHA-256 {found}, not {sha256}", code="broken_model")
        return source.path, found

    async def fetch() -> tuple[Path, str]:
        async with http_client(timeout=60) as client:
            return await download(client, source.url, shelf.folder, sha256=sha256, progress=_progress(quiet=quiet))

    part, found = asyncio.run(fetch())
    if not quiet and sys.stderr.isatty():
        click.echo("", err=True)
    return part, found


def _progress(*, quiet: bool) -> Callable[[int, int], None] | None:
    if quiet or not sys.stderr.isatty():
        return None
    shown = 0.0

    def show(done: int, total: int) -> None:
        nonlocal shown
        if time.monotonic() - shown > 0.2 or done == total:
            shown = time.monotonic()
            key = "models.fetching" if total else "models.fetching_some"
            click.echo(f"\r\033[K{tr(key, done=_size(done), total=_size(total))}", nl=False, err=True)

    return show


def _explain(verdict: Verdict, *, quiet: bool) -> None:
    if quiet:
        return
    key = "too_large" if not verdict.fits else "tight" if verdict.tight else "fits"
    values = {"need": _size(verdict.need), "total": _size(verdict.total), "free": _size(verdict.free)}
    click.secho(tr(f"models.{key}", **values), fg="green" if key == "fits" else "yellow")


def _anyway(*, quiet: bool) -> bool:
    return not quiet and sys.stdin.isatty() and click.confirm(tr("models.ask_anyway"))


def _added(settings: ModelSettings, file: GgufFile, verdict: Verdict, found: str, *, as_json: bool) -> None:
    about: dict[str, Any] = {
        "name": settings.name,
        "parameters": _count(file.parameters),
        "quantisation": file.quantisation,
        "context": file.context,
    }
    if as_json:
        _print({**about, "parameters": file.parameters, "sha256": found, **asdict(verdict), "fits": verdict.fits})
    else:
        click.echo(tr("models.added", **about))


def _table(cards: Sequence[ModelCard], flaws: dict[str, str]) -> None:
    heads = ("name", "kind", "backend", "parameters", "quantisation", "context", "needs")
    rows = [[tr(f"models.head.{head}") for head in heads]]
    for card in cards:
        sizes = [_count(card.parameters), card.quantisation or "-", str(card.context or "-"), _size(card.memory)]
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


def _size(number: int) -> str:
    for shift, unit in ((30, "GiB"), (20, "MiB"), (10, "KiB")):
        if number >= 1 << shift:
            return f"{number / (1 << shift):.1f} {unit}"
    return f"{number} B" if number else "-"


def _print(value: Any) -> None:
    click.echo(json.dumps(value, ensure_ascii=False))

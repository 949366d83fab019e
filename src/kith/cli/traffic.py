"""``kith models route`` and ``kith models tune``: which model would answer, and how it runs fastest."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from kith.core.clock import SystemClock
from kith.core.errors import NotFound
from kith.core.message import Image, Message, Part, Text
from kith.core.model import ChatRequest, Sampling, ToolSpec
from kith.models import ModelService, ModelSettings, Shelf
from kith.models.router import Route
from kith.models.trial import tune as tune_model
from kith.models.tune import Trial, Tuning
from kith.runtime.locale import tr
from kith.runtime.settings import home
from kith.runtime.supervisor import Supervisor
from kith.runtime.telemetry import configure_logs
from kith.settings import load_settings

json_option = click.option("--json", "as_json", is_flag=True, help=tr("traffic.option.json"))
config_option = click.option("--config", type=click.Path(path_type=Path), help=tr("traffic.option.config"))


@click.command(help=tr("traffic.route.help"))
@click.argument("words", nargs=-1)
@click.option("--model", default="", help=tr("traffic.option.model"))
@click.option("--public", is_flag=True, help=tr("traffic.option.public"))
@click.option(
    "--need", "needs", multiple=True, type=click.Choice(["vision", "tools", "json"]), help=tr("traffic.option.need")
)
@click.option(
    "--priority", type=click.Choice(["voice", "text", "background"]), default="text", help=tr("traffic.option.priority")
)
@click.option("--person", default="", help=tr("traffic.option.person"))
@config_option
@json_option
def route(config: Path | None, as_json: bool, **given: Any) -> None:
    """Which models would be asked, in order, and why; nothing is asked."""
    found = asyncio.run(_route(_request(given), config))
    if as_json:
        click.echo(json.dumps(asdict(found), ensure_ascii=False))
        return
    facts = found.facts
    needs = ", ".join(facts.needs) or "-"
    private = tr("traffic.route.private" if facts.private else "traffic.route.public")
    click.echo(
        tr("traffic.route.facts", language=facts.language or "-", tokens=facts.tokens, needs=needs, private=private)
    )
    if found.rule:
        click.echo(tr("traffic.route.rule", rule=found.rule))
    for number, step in enumerate(found.steps, 1):
        click.echo(tr("traffic.route.step", number=number, model=step.model, reason=step.reason))
    for step in found.skipped:
        click.secho(tr("traffic.route.skipped", model=step.model, reason=step.reason), dim=True)


@click.command(help=tr("traffic.tune.help"))
@click.argument("name")
@config_option
@json_option
def tune(name: str, config: Path | None, as_json: bool) -> None:
    """Measure threads and options, and keep the best."""
    folder = home() / "models"
    whole = load_settings(config)
    configure_logs(whole.log.level, json=whole.log.json_lines)
    models = [*whole.models, *Shelf(folder).settings()]
    settings = next((model for model in models if model.name == name), None)
    if settings is None:
        known = ", ".join(model.name for model in models) or "-"
        raise NotFound(f"there is no model {name!r}; there are: {known}", code="model_not_found")
    found = asyncio.run(_tune(settings, folder, _say_nothing if as_json else _tell))
    if as_json:
        click.echo(json.dumps(found.model_dump(mode="json"), ensure_ascii=False))
    else:
        gain = found.after / found.before if found.before else 1.0
        chosen = {"threads": found.threads, **found.options} if found.threads or found.options else {}
        words = ", ".join(f"{key} {value}" for key, value in chosen.items() if value) or tr("traffic.tune.defaults")
        click.echo(
            tr("traffic.tune.done", name=name, chosen=words, before=found.before, after=found.after, gain=f"{gain:.2f}")
        )


def _request(given: dict[str, Any]) -> ChatRequest:
    needs: tuple[str, ...] = given["needs"]
    parts: list[Part] = [Text(" ".join(given["words"]))]
    if "vision" in needs:
        parts.append(Image("", "image/png"))
    return ChatRequest(
        (Message("m", "user", tuple(parts), 0.0),),
        given["model"],
        Sampling(schema={} if "json" in needs else None),
        tools=(ToolSpec("any", "", {}),) if "tools" in needs else (),
        person=given["person"],
        private=not given["public"],
        priority=given["priority"],
    )


async def _route(request: ChatRequest, config: Path | None) -> Route:
    settings, clock = load_settings(config), SystemClock()
    configure_logs(settings.log.level, json=settings.log.json_lines)
    wanted = [model.model_copy(update={"preload": False}) for model in settings.models]
    serving = settings.serving.model_copy(update={"power": "balanced"})  # nothing is loaded to explain
    service = ModelService(wanted, clock, Supervisor(clock), home() / "models", serving=serving)
    await service.start()
    try:
        return service.route(request)
    finally:
        await service.stop()


async def _tune(settings: ModelSettings, folder: Path, told: Callable[[Trial], None]) -> Tuning:
    return await tune_model(settings, SystemClock(), folder, told=told)


def _tell(trial: Trial) -> None:
    words = ", ".join(f"{key} {value}" for key, value in {"threads": trial.threads, **trial.options}.items() if value)
    words = words or tr("traffic.tune.defaults")
    if trial.flaw:
        click.secho(tr("traffic.tune.failed", chosen=words, reason=trial.flaw), dim=True)
    else:
        click.echo(tr("traffic.tune.trial", chosen=words, read=f"{trial.read:.1f}", write=f"{trial.write:.1f}"))


def _say_nothing(trial: Trial) -> None:
    del trial

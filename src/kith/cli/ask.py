"""``kith ask``: one question, one streamed answer."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import click

from kith.cli.group import Command, later
from kith.cli.server import Server, ask_server, find_server, model_names
from kith.core.errors import Invalid, NotFound
from kith.core.message import Delta, Usage
from kith.runtime.locale import language, tr

_LIMIT = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, and how."""

    text: str
    model: str = ""
    flow: Path | None = None
    config: Path | None = None


@click.command(cls=Command)
@click.argument("words", nargs=-1)
@click.option("--flow", type=click.Path(path_type=Path))
@click.option("--model", default="")
@click.option("--config", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True)
def ask(words: tuple[str, ...], flow: Path | None, model: str, config: Path | None, as_json: bool) -> None:
    """Ask."""
    text = " ".join(words)
    if text in ("", "-"):
        text = sys.stdin.buffer.read(_LIMIT).decode("utf-8", "replace")
    text = text.encode("utf-8", "replace").decode("utf-8").strip()
    if not text:
        raise Invalid(tr("cli.ask.empty"))
    asyncio.run(_ask(Question(text, model, flow, config), as_json=as_json))


async def _ask(question: Question, *, as_json: bool) -> None:
    last, texts = Delta(), list[str]()
    show = _writer(quiet=as_json)
    async with aclosing(_answer(question)) as deltas:
        async for delta in deltas:
            texts.append(delta.text)
            show(delta.text)
            if delta.finish:
                last = delta
    if as_json:
        known = {"text": "".join(texts), "finish": last.finish or "stop", "model": last.model}
        extra = {"sources": list(last.sources), "usage": asdict(last.usage or Usage())}
        click.echo(json.dumps(known | extra, ensure_ascii=False))
        return
    show("\n")
    unnamed = [source for source in dict.fromkeys(last.sources) if source not in "".join(texts)]
    if unnamed:
        click.secho(tr("cli.ask.sources", sources=", ".join(unnamed)), dim=True)


async def _answer(question: Question) -> AsyncGenerator[Delta]:
    """From the running server, or from this process where none runs. A flow file is tried apart from both."""
    server = None if question.flow or question.config else await find_server()
    if server is not None:
        deltas = _remote(server, question)
    else:
        here = cast("Callable[[Question], AsyncGenerator[Delta]]", later("kith.cli.inner:answer"))
        deltas = here(question)
    async with aclosing(deltas):
        async for delta in deltas:
            yield delta


async def _remote(server: Server, question: Question) -> AsyncGenerator[Delta]:
    if question.model:
        check_model(question.model, await model_names(server))
    async with aclosing(ask_server(server, question.text, question.model, language())) as deltas:
        async for delta in deltas:
            yield delta


def check_model(model: str, names: Sequence[str]) -> None:
    """Raises `NotFound` with the names there are."""
    if model not in names:
        listed = ", ".join(sorted(names)) or tr("cli.ask.none")
        raise NotFound(tr("cli.ask.no_model", model=model, names=listed), hint="kith models list")


def _writer(*, quiet: bool) -> Callable[[str], None]:
    def write(text: str) -> None:
        if text and not quiet:
            sys.stdout.write(text)
            sys.stdout.flush()

    return write

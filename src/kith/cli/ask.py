"""``kith ask``: one question, one streamed answer."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import click

from kith.cli.group import Command, later
from kith.cli.server import Server, ask_server, find_server, model_names
from kith.core.errors import Invalid, NotFound
from kith.core.message import Delta, Usage
from kith.runtime.locale import language, tr

_LIMIT, _EXCERPT = 1024 * 1024, 60
Piece = Delta | Mapping[str, Any]  # of an answer; at its end what its prompt was made of, where that was asked for


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, and how."""

    text: str
    model: str = ""
    flow: Path | None = None
    config: Path | None = None
    explain: bool = False


@click.command(cls=Command)
@click.argument("words", nargs=-1)
@click.option("--flow", type=click.Path(path_type=Path))
@click.option("--model", default="")
@click.option("--config", type=click.Path(path_type=Path))
@click.option("--explain", is_flag=True)
@click.option("--json", "as_json", is_flag=True)
def ask(words: tuple[str, ...], as_json: bool, **how: Any) -> None:
    """Ask."""
    text = " ".join(words)
    if text in ("", "-"):
        text = sys.stdin.buffer.read(_LIMIT).decode("utf-8", "replace")
    text = text.encode("utf-8", "replace").decode("utf-8").strip()
    if not text:
        raise Invalid(tr("cli.ask.empty"))
    asyncio.run(_ask(Question(text, **how), as_json=as_json))


async def _ask(question: Question, *, as_json: bool) -> None:
    last, texts, prompt = Delta(), list[str](), dict[str, Any]()
    show = _writer(quiet=as_json)
    async with aclosing(_answer(question)) as pieces:
        async for delta in pieces:
            if not isinstance(delta, Delta):
                prompt = dict(delta)
                continue
            texts.append(delta.text)
            show(delta.text)
            if delta.finish:
                last = delta
    if as_json:
        known = {"text": "".join(texts), "finish": last.finish or "stop", "model": last.model}
        extra = {"sources": list(last.sources), "usage": asdict(last.usage or Usage())}
        extra |= {"prompt": prompt or None} if question.explain else {}
        click.echo(json.dumps(known | extra, ensure_ascii=False))
        return
    show("\n")
    unnamed = [source for source in dict.fromkeys(last.sources) if source not in "".join(texts)]
    if unnamed:
        click.secho(tr("cli.ask.sources", sources=", ".join(unnamed)), dim=True)
    if question.explain:
        _show_prompt(prompt)


def _show_prompt(prompt: Mapping[str, Any]) -> None:
    """Each part with its tokens, beginning with the first words of its text; then their sum."""
    if not prompt:
        click.echo(tr("cli.ask.unprompted"))
        return
    click.echo(tr("cli.ask.prompt", model=prompt["model"], tokens=prompt["tokens"], overhead=prompt["overhead"]))
    for part in prompt["parts"]:
        text = " ".join(str(part["text"]).split())
        shown = text if len(text) <= _EXCERPT else text[:_EXCERPT].rstrip() + "…"
        click.echo(f"{part['tokens']:6}  {part['part']:12} {shown}")


async def explained(explain: Callable[[], Awaitable[Mapping[str, Any]]]) -> Mapping[str, Any]:
    """What a prompt was made of; nothing where no model was asked."""
    try:
        return await explain()
    except NotFound as error:
        if error.code in ("prompt_gone", "no_diary"):
            return {}
        raise


async def _answer(question: Question) -> AsyncGenerator[Piece]:
    """From the running server, or from this process where none runs. A flow file is tried apart from both."""
    server = None if question.flow or question.config else await find_server()
    if server is not None:
        pieces = _remote(server, question)
    else:
        here = cast("Callable[[Question], AsyncGenerator[Piece]]", later("kith.cli.inner:answer"))
        pieces = here(question)
    async with aclosing(pieces):
        async for piece in pieces:
            yield piece


async def _remote(server: Server, question: Question) -> AsyncGenerator[Piece]:
    if question.model:
        check_model(question.model, await model_names(server))
    turn = ""
    async with aclosing(ask_server(server, question.text, question.model, language())) as deltas:
        async for delta in deltas:
            turn = delta.turn or turn
            yield delta
    if question.explain:
        yield await explained(lambda: server.call("GET", f"/api/turns/{quote(turn or '-', safe='')}/prompt"))


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

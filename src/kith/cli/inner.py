"""Asking and chatting in this process. Apart from the rest, because a household takes a while to import."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any, Protocol, cast

import click

from kith.app import Household, open_household
from kith.cli.ask import Piece, Question, check_model, explained
from kith.cli.chat import new_name
from kith.cli.keyboard import keyboard
from kith.cli.memory import OWNER
from kith.cli.partner import Partner
from kith.cli.terminal import Chat
from kith.core.errors import Unavailable
from kith.core.message import Delta, Envelope, Message, Text
from kith.runtime.locale import language, tr
from kith.runtime.registry import Registry
from kith.settings import Settings, load_settings


class _Terminal(Protocol):
    """The channel with the capability ``terminal``."""

    def open(self, conversation: str, locale: str) -> Partner: ...


async def answer(question: Question) -> AsyncGenerator[Piece]:
    """Answer one question. A flow file is tried on scratch data, so that it neither sees nor leaves any."""
    overrides: dict[str, object] = {}
    async with contextlib.AsyncExitStack() as stack:
        if question.flow is not None:
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kith-")))
            embedded = Settings().storage.backend
            overrides = {"storage__backend": embedded, "storage__path": scratch / "kith.db"}
            overrides |= {"dialogue__flow": question.flow}
        settings = await asyncio.to_thread(load_settings, question.config, **overrides)
        house = await stack.enter_async_context(open_household(settings, serve=False))
        if question.model:
            check_model(question.model, [card.name for card in house.models.cards()])
        # The port promises an iterator; what it gives is a generator, to be closed when nobody listens any more.
        turn, answer = "", cast("AsyncGenerator[Delta]", house.talk.reply(_envelope(question, house)))
        async with aclosing(answer) as deltas:
            async for delta in deltas:
                turn = delta.turn or turn
                yield delta
        if question.explain:
            yield await explained(lambda: _prompt(house, turn))


async def _prompt(house: Household, turn: str) -> Mapping[str, Any]:
    mind = house.parts.mind
    persons = await mind.memory.mine(OWNER.id) if mind.memory else ()
    return await mind.explain(turn, persons, house.models)


def _envelope(question: Question, house: Household) -> Envelope:
    """The question as typed at this machine's terminal, by its owner."""
    terminals = [m.name for m in Registry("channels").manifests().values() if "terminal" in m.capabilities]
    if not terminals:
        raise Unavailable("no channel of this installation is a terminal")
    said = Message(house.ids.new("m"), "user", (Text(question.text),), house.clock.now())
    return Envelope(
        channel=terminals[0],
        account="local",
        platform_id=house.ids.new("x"),
        sender="owner",
        conversation="ask",
        message=said,
        locale=language(),
        persona=question.model,
        deliver=False,
    )


async def chat_alone(conversation: str, config: Path | None, flow: Path | None) -> None:
    """Talk with a household that lives as long as the chat."""
    settings = await asyncio.to_thread(load_settings, config, dialogue__flow=flow)
    async with open_household(settings, serve=False) as house:
        await chat_in(house, conversation)


async def chat_in(house: Household, conversation: str = "main") -> None:
    """Talk with the household of this process until the person leaves. Raises `Unavailable`."""
    channel = house.channels.having("terminal")
    if channel is None:
        raise Unavailable("the terminal is switched off in kith.yaml")
    terminal = cast("_Terminal", channel)
    click.echo(tr("cli.chat.hello"))

    async def opener(name: str) -> Partner:
        return terminal.open(name, language())

    await Chat(keyboard(), opener, new_name, conversation).run()

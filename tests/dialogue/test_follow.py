"""A form begun in the web app is filled in at the terminal, across a restart, with the household as it is served."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from kith.app import Household, open_household
from kith.channels.cli.parse import parse as typed
from kith.channels.kit import Arrival
from kith.channels.web.parse import parse as sent
from kith.core.audit import By
from kith.core.errors import NotFound
from kith.core.ids import conversation_id
from kith.core.message import Envelope
from kith.settings import Settings

BOOKING = Path(__file__).parent / "booking.yaml"


def web(number: int, text: str, sender: str = "owner", conversation: str = "main") -> Envelope:
    frame = {"type": "message", "id": f"w{sender}{number}", "text": text, "conversation": conversation}
    envelope = sent(json.dumps(frame), Arrival("web", float(number), sender))
    assert isinstance(envelope, Envelope)
    return envelope


def terminal(number: int, text: str) -> Envelope:
    return typed(json.dumps({"id": f"t{number}", "text": text}), Arrival("local", float(number), "owner"))


def place(envelope: Envelope) -> str:
    return conversation_id(envelope.channel, envelope.account, envelope.conversation)


WEB, TERMINAL = place(web(0, "x")), place(terminal(0, "x"))


async def say(house: Household, envelope: Envelope) -> str:
    return "".join([delta.text async for delta in house.talk.reply(envelope)])


def test_one_conversation_in_two_apps_across_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KITH_HOME", str(tmp_path / "home"))
    settings = Settings.model_validate({"dialogue": {"flow": str(BOOKING)}})

    async def before() -> None:
        async with open_household(settings, serve=False) as house:
            assert await say(house, web(1, "call me a taxi")) == "Where from?"
            await say(house, web(1, "my secret is 4711", "mallory", "hers"))
            assert "no language model" in await say(house, terminal(1, "so?"))
            assert "conversation from Web and WebSocket" in await say(
                house, terminal(2, "Let's continue here what we talked about on the web")
            )

    async def after() -> None:
        async with open_household(settings, serve=False) as house:
            assert await say(house, terminal(3, "Market Street 5")) == "A taxi is coming to Market Street 5."
            assert [turn.heard.text for turn in await house.storage.store.turns(WEB)][-1] == "Market Street 5"
            assert (await house.storage.store.conversation(WEB)).places == (TERMINAL,)
            assert "own conversation again" in await say(house, terminal(4, "/leave"))
            assert "Nothing to leave" in await say(house, terminal(5, "/leave"))
            await _never_hers(house)
            memory = house.parts.mind.memory
            assert memory is not None
            await memory.erase(await memory.mine("owner"), By())
            for gone in (WEB, TERMINAL):
                with pytest.raises(NotFound):
                    await house.storage.store.conversation(gone)

    asyncio.run(before())
    asyncio.run(after())


async def _never_hers(house: Household) -> None:
    """What is listed and followed are one's own conversations: nobody's else, not even by their code."""
    hers = place(web(0, "x", "mallory", "hers"))
    mine, other = WEB.removeprefix("c_")[:6], hers.removeprefix("c_")[:6]
    said = await say(house, terminal(6, f"/follow {other}"))
    assert "None of your conversations" in said and mine in said and other not in said.replace("/follow", "")
    assert "continue" not in said and not (await house.storage.store.conversation(hers)).places
    assert "conversation from Web" in await say(house, terminal(7, f"/FOLLOW {mine}"))
    acts = [entry.act for entry in await house.storage.journal.entries() if entry.act.name.startswith("conversation.")]
    assert [act.name for act in acts] == ["conversation.follow", "conversation.leave", "conversation.follow"]
    assert {act.subject for act in acts} == {TERMINAL} and acts[0].detail == {"goal": WEB}
    assert all(act.origin == "channel:cli" for act in acts)

"""What is forgotten is gone from the whole house: every page of every file, and everything that is held in memory."""

from __future__ import annotations

import asyncio
import gc
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from kith.core.audit import By
from kith.core.clock import SystemClock
from kith.core.errors import KithError
from kith.core.ids import Ids
from kith.core.message import Delta
from kith.core.model import ChatRequest
from kith.dialogue.memory import Memory, MemorySettings
from kith.dialogue.mind import Mind
from kith.runtime.blobs import Blobs
from kith.runtime.shelf import Shelf
from kith.storage import StorageSettings, open_storage
from kith.storage.ledger import execute
from kith.storage.sqlite.database import PURPOSE, connect

from .house import House, Key, Scripted, flows, library
from .test_memory import ann, live, say

MARK = "zanzibar"
FORGETS = (
    # What is told, of which some takes the place of what went before; and how it is to be forgotten.
    (("I live in Zanzibar.", "I just moved to Kyoto."), "forget that I live in Zanzibar"),
    (("I work as a zanzibarist", "I no longer work as a zanzibarist"), "forget my work as a zanzibarist"),
    (("my sister's name is Zanzibara", "No, her name is Anna, not Zanzibara."), "forget my sister's name"),
    (("Remember that the code of the gate is zanzibar4711",), "forget the code of the gate"),
    (("I parked behind the zanzibar tree on level 3.",), "forget that I parked behind the zanzibar tree on level 3"),
    (("I live in Zanzibar.", "I live in Oslo."), "forget everything about me"),
    (("I like Zanzibar", "I don't like Zanzibar any more"), ""),  # by the person's own page, fact by fact
    (("I like Zanzibar", "my dog is called Zanzibar"), "erase"),
)

ASKS = (
    "what do you know about me?", "where do I live?", "what do I do?", "where did I park behind the tree?",
    "what's my sister's name?", "what do I like?",
)  # fmt: skip


def echo(request: ChatRequest) -> Sequence[Delta]:
    """A model that says again what it was shown last, facts, passages and all."""
    return (Delta("So: " + " ".join(message.text for message in request.messages)[-400:]),)


def held(*roots: Any) -> list[str]:
    """Every text with the mark that can be reached from these objects."""
    seen = {id(flows()), id(library())}  # large, and the same for everybody
    found: list[str] = []
    rest: list[Any] = list(roots)
    skipped = (type, types.ModuleType, types.FunctionType, types.CodeType, types.FrameType, types.BuiltinFunctionType)
    while rest:
        one = rest.pop()
        if id(one) in seen or isinstance(one, skipped):
            continue
        seen.add(id(one))
        if isinstance(one, str | bytes | bytearray):
            text = one if isinstance(one, str) else bytes(one).decode("utf-8", "replace")
            found += [text] if MARK in text.casefold() else []
        elif not isinstance(one, int | float):
            rest += gc.get_referents(one)
    return found


def written(home: Path) -> list[str]:
    """Where the mark stands on the disk: in files as they are, and in every page of a database, free ones included."""
    found = [
        path.name
        for path in home.rglob("*")
        if path.is_file() and MARK in path.read_bytes().decode("latin-1").casefold()
    ]
    for path in home.rglob("*.db"):
        connection = connect(path, Key().key(PURPOSE))
        try:
            with connection:
                size, count = (execute(connection, f"PRAGMA {name}")[0][0] for name in ("page_size", "page_count"))
                plain = connection.serialize("main")
        finally:
            connection.close(True)
        assert len(plain) == size * count
        found += [f"{path.name} (decrypted)"] if MARK in plain.decode("latin-1").casefold() else []
    return found


@pytest.mark.parametrize("talks", [False, True], ids=["rules", "model"])
def test_what_is_forgotten_is_nowhere_in_the_house(tmp_path: Path, *, talks: bool) -> None:
    """Eight persons tell, ask until the window has slid, and have it forgotten; then nothing of it is left anywhere."""

    async def run() -> None:
        clock, models = SystemClock(), Scripted(echo if talks else None)
        settings = StorageSettings(backend="sqlite", path=tmp_path / "data" / "kith.db")
        storage = await open_storage(settings, clock, Ids(clock), Key())
        blobs = Blobs(shelf=Shelf(tmp_path / "blobs", b"k" * 32, 1 << 20))
        memory = Memory(storage, models, clock, Ids(clock), MemorySettings(), local=("api",), media=blobs)
        house = House(models, storage, mind=Mind(memory), blobs=blobs, rounds=2)
        memory.wipe_also(house.streams.wipe)
        await house.engine.start()
        try:
            for place, (told, _) in enumerate(FORGETS):
                for number, text in enumerate((*told, *ASKS)):
                    await tell(house, place, number, text)
            await house.engine._ports.mind._listener._tasks.settled()
            assert written(tmp_path) != []
            assert held(house, memory) != []
            for place, (_, wish) in enumerate(FORGETS):
                await forget(house, memory, place, wish)
            models.asked.clear()  # the test's own notebook
            assert held(house, memory) == []
        finally:
            await house.engine.stop(grace=0.1)
            await house.bus.close()
            await storage.close()
        assert written(tmp_path) == []

    async def tell(house: House, place: int, number: int, text: str) -> None:
        await say(house, number, text, f"c{place}", sender=f"p{place}")

    async def forget(house: House, memory: Memory, place: int, wish: str) -> None:
        person = ann(f"p{place}")
        if wish == "erase":
            await memory.erase([person], By("owner", "test"))
        elif wish:
            await tell(house, place, 40, wish)
        while not wish and (facts := await memory.facts([person], history=True)):
            await memory.forget_one([person], facts[0].id, By(person, "test"))
        for fact in await memory.facts([person], history=True):
            assert MARK not in f"{fact.text} {fact.value} {fact.topic}".casefold()

    asyncio.run(run())


def test_what_a_model_was_still_reading_is_not_kept_after_it_was_forgotten() -> None:
    said = "Since the wedding my knees hurt and I bake zanzibarbread on Sundays"
    asked, go = asyncio.Event(), asyncio.Event()

    def script(request: ChatRequest) -> Sequence[Delta | KithError | asyncio.Event]:
        if request.sampling.schema is None:
            return (Delta("Nice."),)
        asked.set()
        return (go, Delta('{"facts": [{"kind": "like", "value": "zanzibarbread"}]}'))

    async def scene(house: House, memory: Memory) -> None:
        await say(house, 1, said)
        async with asyncio.timeout(90):
            await asked.wait()
        await memory.forget_all([ann()], By(ann(), "test"))
        go.set()
        await house.engine._ports.mind._listener._tasks.settled()
        assert await memory.facts([ann()], history=True) == ()

    live(scene, script)

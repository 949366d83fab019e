"""Replays ``newcomers.txt`` through the whole engine without a language model, and judges every answer.

``python -m tests.dialogue.newcomers [odd|even] [--all]`` counts both halves, and lists what is wrong in one of them.
"""

from __future__ import annotations

import asyncio
import random
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kith.core.clock import FrozenClock
from kith.core.ids import Ids
from kith.core.message import Envelope, Message, Text
from kith.dialogue import DialogueSettings, Engine, Ports, load_persona
from kith.dialogue.memory import Memory
from kith.dialogue.mind import Mind
from kith.dialogue.personas.cast import Cast
from kith.media import Senseless
from kith.runtime.bus import Bus
from kith.runtime.health import Health
from kith.runtime.locale import tr
from kith.runtime.streams import Streams
from kith.storage import Storage, StorageSettings, open_storage
from tests.dialogue.house import Adder, Gate, Key, Scripted, flows, library

FILE = Path(__file__).parent / "newcomers.txt"
_SUNDAY = 1_795_305_720.0  # Sunday, 22 November 2026, 08:02 in Shanghai
_LONG = {
    "<empty>": " ",
    "<longzh>": "我今天想跟你说一件事，" + "其实也没有什么特别的，就是想找个人说说话而已，" * 60,
    "<longen>": "I wanted to tell you something today, "
    + "it is really nothing special, I just want to talk to somebody about it, " * 60,
}


@dataclass(frozen=True, slots=True)
class Line:
    """One message of a conversation, and what may come of it; with the `answer`, what came."""

    talk: str
    number: int
    lang: str
    said: str
    wanted: str
    answer: str = ""
    intent: str = ""
    sources: str = ""

    @property
    def verdict(self) -> str:
        """``right``, ``acceptable`` or ``wrong``."""
        if not self._tongue():
            return "wrong"
        found = "wrong"
        for way in re.sub(r"@\w+", "", self.wanted).split(" | "):
            mild = way.strip().startswith("~")
            if all(self._is(part.strip()) for part in way.strip().removeprefix("~").split(" & ")):
                if not mild:
                    return "right"
                found = "acceptable"
        return found

    def _tongue(self) -> bool:
        """Whether the answer is in the language of the message."""
        if asked := re.findall(r"@(\w+)", self.wanted):
            ways = asked
        elif re.search(r"[\u4e00-\u9fff]", self.said):
            ways = ["zh"]
        else:
            ways = ["en"] if re.search(r"[a-z]{2}", self.said, re.IGNORECASE) else [self.lang]
        return ("zh" if re.search(r"[\u4e00-\u9fff]", self.answer.partition("Source")[0]) else "en") in ways

    def _is(self, wish: str) -> bool:
        if wish.startswith("!"):
            return not self._is(wish[1:])
        if wish.startswith("/"):
            return re.search(wish.strip("/"), self.answer) is not None
        if wish.startswith("book"):
            return self.sources != "" and wish.removeprefix("book").strip() in self.sources
        if wish == "honest":
            opening = [tr("dialogue.no_model", lang)[:24] for lang in ("en", "zh")]
            return self.intent == "live_facts" or self.answer.startswith(tuple(opening))
        return wish in (self.intent, f"{self.intent}s")


def lines() -> list[Line]:
    """What is said, in order."""
    found, talk, lang = list[Line](), "", ""
    for line in FILE.read_text("utf-8").splitlines():
        if line.startswith("## "):
            talk, lang = line.split(" ")[1:3]
        elif " => " in line and not line.startswith("#"):
            said, wanted = line.split(" => ", 1)
            found.append(Line(talk, len(found), lang, _LONG.get(said, said), wanted))
    return found


async def replay(storage: Storage, clock: FrozenClock, folder: Path) -> list[Line]:
    """Every line with its answer: one person for each conversation."""
    ids, models = Ids(clock, random.Random(7)), Scripted()
    mind = Mind(Memory(storage, models, clock, ids), Cast(folder, storage.records))
    ports = Ports(
        guard=Gate(),
        store=storage.store,
        inbox=storage.inbox,
        senses=Senseless(),
        flows=flows(),
        knowledge=library(),
        models=models,
        tools=Adder(),
        persona=load_persona(),
        settings=DialogueSettings(timezone="Asia/Shanghai"),
        bus=(bus := Bus()),
        clock=clock,
        ids=ids,
        records=storage.records,
        people=storage.people,
        mind=mind,
    )
    engine = Engine(ports, Streams(), Health(), "w1")
    await engine.start()
    try:
        return [await _answered(engine, storage, clock, line) for line in lines()]
    finally:
        await engine.stop(grace=0.1)
        await bus.close()


async def _answered(engine: Engine, storage: Storage, clock: FrozenClock, line: Line) -> Line:
    clock.advance(3)
    message = Message(f"m{line.number}", "user", (Text(line.said),), clock.now())
    place = f"c{line.talk}"
    envelope = Envelope(
        "test", "a", f"x{line.number}", f"p{line.talk}", place, message, locale=line.lang, deliver=False
    )
    async with asyncio.timeout(90):
        answer = "".join([delta.text async for delta in engine.reply(envelope)])
    found = next(c for c in await storage.store.conversations(limit=500) if c.handle == place)
    turn = (await storage.store.turns(found.id, 1))[-1]
    sources = " ".join(passage.source for passage in turn.passages)
    return replace(line, answer=answer, intent=turn.understanding.intent, sources=sources)


def play() -> list[Line]:
    """Replay everything on a clock that stands still."""

    async def run() -> list[Line]:
        clock = FrozenClock(_SUNDAY)
        storage = await open_storage(StorageSettings(backend="memory"), clock, Ids(clock), Key())
        try:
            with tempfile.TemporaryDirectory(prefix="kith-") as folder:
                return await replay(storage, clock, Path(folder))
        finally:
            await storage.close()

    return asyncio.run(run())


def half(found: Sequence[Line], which: str) -> list[Line]:
    """The conversations with an ``odd`` or ``even`` number."""
    return [line for line in found if int(line.talk) % 2 == (which == "odd")]


def main() -> None:
    """Count, and show."""
    found = play()
    for which in ("odd", "even"):
        print(which, dict(Counter(line.verdict for line in half(found, which))))
        for line in half(found, which) if which in sys.argv else ():
            if line.verdict == "wrong" or "--all" in sys.argv:
                print(f"  {line.talk} {line.verdict:10} {line.said[:60]!r} -> {line.intent} {line.answer[:110]!r}")


if __name__ == "__main__":
    main()

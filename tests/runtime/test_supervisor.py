"""Real children that crash, hang, flood and refuse to die."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import textwrap
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil
import pytest

from kith.core.clock import SystemClock
from kith.core.errors import Unavailable
from kith.runtime import supervisor
from kith.runtime.hunger import Hunger
from kith.runtime.supervisor import Child, ChildSpec, Frame, Supervisor

POLITE = """
    parent.beat()
    parent.send({"ready": True, "pid": os.getpid()})
    for frame in parent.frames():
        parent.send({"echo": frame})
"""


class Bench:
    """A supervisor whose events are kept."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.supervisor = Supervisor(SystemClock())
        self.frames: list[Frame] = []
        self.changes: list[tuple[str, str]] = []

    def child(self, body: str, **settings: object) -> Child:
        script = self.folder / "child.py"
        head = "import os, signal, sys, time\nfrom kith.runtime.child import Parent\nparent = Parent()\n"
        script.write_text(head + textwrap.dedent(body))
        return self.command(sys.executable, str(script), **settings)

    def command(self, *command: str, **settings: object) -> Child:
        spec = ChildSpec("child", command, **{"pause": 0.01, "ready": 90.0, "silence": 90.0, **settings})
        return self.supervisor.child(spec, self.frames.append, lambda state, why: self.changes.append((state, why)))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(90):
        while not condition():
            await asyncio.sleep(0.01)


def run(folder: Path, body: Callable[[Bench], Awaitable[None]]) -> Bench:
    bench = Bench(folder)

    async def whole() -> None:
        try:
            await body(bench)
        finally:
            await bench.supervisor.close()

    asyncio.run(whole())
    return bench


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_frames_go_both_ways_and_it_stops(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        child = bench.child(POLITE, hello={"hello": "world"})
        await child.start()
        await until(lambda: len(bench.frames) == 1)
        child.send({"n": 1})
        await until(lambda: len(bench.frames) == 2)
        assert bench.frames == [{"echo": {"hello": "world"}}, {"echo": {"n": 1}}]
        pid = child.pid
        await child.stop()
        assert gone(pid)
        assert child.state == "stopped"
        with pytest.raises(Unavailable):
            child.send({"n": 2})

    bench = run(tmp_path, body)
    assert [state for state, _ in bench.changes] == ["starting", "ready", "stopped"]


def test_a_killed_child_is_noticed_and_restarted(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        child = bench.child(POLITE)
        await child.start()
        first = child.pid
        os.kill(first, signal.SIGKILL)
        await until(lambda: child.state != "ready")
        await child.ready(patient=True)
        assert child.pid != first
        assert child.restarts == 1

    bench = run(tmp_path, body)
    assert ("waiting", "was killed by signal SIGKILL") in bench.changes


def test_a_hanging_child_is_noticed(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        child = bench.child(POLITE, silence=1.5)
        await child.start()
        os.kill(child.pid, signal.SIGSTOP)
        began = time.monotonic()
        await until(lambda: child.state != "ready")
        assert time.monotonic() - began > 1.0, "it was not given its time"
        assert "silent" in child.reason
        await child.ready(patient=True)

    run(tmp_path, body)


def test_a_starved_child_is_spared_and_a_hanging_one_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[bool] = []
    starving = True

    def starved(self: Hunger, now: float) -> bool:
        looks.append(starving)
        return starving

    monkeypatch.setattr(Hunger, "starved", starved)

    async def body(bench: Bench) -> None:
        nonlocal starving
        child = bench.child(POLITE, silence=1.5)
        await child.start()
        os.kill(child.pid, signal.SIGSTOP)  # as silent as one that gets no processor
        await until(lambda: len(looks) > 8)  # one each quarter of a second, from 0.75 s on
        assert child.state == "ready"
        starving = False
        await until(lambda: child.state != "ready")
        assert "silent" in child.reason

    run(tmp_path, body)


def test_a_child_is_not_spared_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Hunger, "starved", lambda *_: True)

    async def body(bench: Bench) -> None:
        child = bench.child(POLITE, silence=1.5)
        await child.start()
        os.kill(child.pid, signal.SIGSTOP)
        await until(lambda: child.state != "ready")
        assert "silent" in child.reason

    monkeypatch.setattr(supervisor, "_SPARED", 1.0)
    run(tmp_path, body)


def test_who_is_ready_to_run_and_gets_no_time_is_starved(tmp_path: Path) -> None:
    def thread(name: str, state: str, ticks: int) -> None:
        folder = tmp_path / "7" / "task" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "stat").write_text(f"{name} (a ) R b) {state} " + "0 " * 10 + f"{ticks} 0 0 0")

    hunger, second = Hunger(7, tmp_path), os.sysconf("SC_CLK_TCK")
    assert not hunger.starved(0.0)  # there is no such process
    for name, state in (("7", "S"), ("8", "R"), ("9", "R")):
        thread(name, state, 100)
    assert not hunger.starved(1.0)
    thread("8", "R", 100 + second)
    thread("9", "R", 100 + second)
    assert not hunger.starved(2.0), "they had all the time there is"
    thread("8", "R", 100 + 2 * second)
    assert hunger.starved(3.0), "9 had none"
    thread("8", "S", 100 + 2 * second)
    thread("9", "T", 100 + second)
    thread("10", "R", 0)
    assert not hunger.starved(4.0), "one sleeps, one was stopped, one is new"
    (tmp_path / "7" / "task" / "8" / "stat").write_text("broken")
    (tmp_path / "7" / "task" / "9" / "stat").unlink()
    thread("10", "R", second)
    assert not hunger.starved(5.0)
    hunger.forget()
    assert not hunger.starved(9.0)
    assert hunger.starved(10.0)
    assert not Hunger(os.getpid()).starved(0.0)


def test_a_blocked_parent_does_not_blame_the_child(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        child = bench.child(POLITE)
        await child.start()
        time.sleep(2.5)
        child.send({"n": 1})
        await until(lambda: bool(bench.frames))
        assert child.restarts == 0

    run(tmp_path, body)


def test_the_last_words_are_in_the_error(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        child = bench.child('print("no such tensor", file=sys.stderr, flush=True); sys.exit(3)')
        with pytest.raises(Unavailable, match=r"status 3\n  no such tensor"):
            await child.start()

    run(tmp_path, body)


def test_a_fatal_child_is_not_restarted(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        child = bench.child('parent.send({"fatal": "the file is broken"}); sys.exit(1)')
        with pytest.raises(Unavailable, match="the file is broken") as caught:
            await child.start()
        assert caught.value.code == "worker_failed"
        assert child.state == "failed"
        assert child.restarts == 0

    run(tmp_path, body)


def test_pauses_grow(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        child = bench.child("sys.exit(1)", pause=0.001, longest_pause=0.002)
        with pytest.raises(Unavailable):
            await child.start()
        await until(lambda: child.restarts >= 3)

    run(tmp_path, body)


def test_not_ready_in_time(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        child = bench.child("parent.beat(); time.sleep(60)", ready=0.3)
        with pytest.raises(Unavailable, match=r"not ready after 0\.3 s"):
            await child.start()

    run(tmp_path, body)


def test_a_command_that_is_not_there(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        child = bench.command(str(tmp_path / "nothing"))
        with pytest.raises(Unavailable, match="No such file"):
            await child.start()

    run(tmp_path, body)


def test_output_is_bounded(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        child = bench.child(
            'os.write(2, b"x" * 1_000_000)\nfor n in range(2000): print("noise", n)\n' + textwrap.dedent(POLITE)
        )
        await child.start()
        await until(lambda: "noise 1999" in child.output)
        assert len(child.output) == 200
        assert max(map(len, child.output)) <= 2000

    run(tmp_path, body)


@pytest.mark.parametrize("words", ['b"nonsense\\n"', 'b"[1]\\n"', 'b"\\xff\\xfe\\n"', 'b"null\\n"'])
def test_nonsense_on_the_wire(tmp_path: Path, words: str) -> None:
    async def body(bench: Bench) -> None:
        child = bench.child(f"os.write(parent._out, {words}); time.sleep(60)")
        with pytest.raises(Unavailable, match="nonsense"):
            await child.start()

    run(tmp_path, body)


def test_one_that_ignores_sigterm_and_its_children_die(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        child = bench.child(
            """
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            other = os.fork()
            if other == 0:
                while True: time.sleep(1)
            parent.send({"ready": True, "other": other})
            parent.beat()
            while True: time.sleep(1)
            """,
            grace=0.3,
        )
        await child.start()
        pid, other = child.pid, int(child.hello["other"])
        await child.stop()
        await until(lambda: gone(pid) and gone(other))

    run(tmp_path, body)


def test_memory_is_limited(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        greedy = POLITE.replace("for frame", "kept = b'x' * 200_000_000\n    for frame")
        child = bench.child(greedy, memory=100 << 20)
        with contextlib.suppress(Unavailable):  # it may be over its limit before anybody saw that it was ready
            await child.start()
        await until(lambda: any("more than its limit of 100" in why for _, why in bench.changes))
        assert next(state for state, why in bench.changes if "its limit" in why) == "waiting"

    run(tmp_path, body)


def test_a_command_that_does_not_speak(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        mark = tmp_path / "mark"

        async def probe() -> bool:
            return mark.exists()

        child = bench.command("/bin/sh", "-c", f"echo started; touch {mark}; sleep 60", speaks=False, probe=probe)
        await child.start()
        await until(lambda: list(child.output) == ["started"])
        pid = child.pid
        await child.stop()
        assert gone(pid)

    run(tmp_path, body)


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
def test_children_die_with_their_parent(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        textwrap.dedent(
            """
            import asyncio, sys
            from kith.core.clock import SystemClock
            from kith.runtime.supervisor import ChildSpec, Supervisor

            async def main():
                child = Supervisor(SystemClock()).child(ChildSpec("sleep", ("sleep", "60"), speaks=False))
                await child.start()
                print(child.pid, file=sys.stderr, flush=True)
                await asyncio.sleep(60)

            asyncio.run(main())
            """
        )
    )

    async def body() -> None:
        process = await asyncio.create_subprocess_exec(sys.executable, str(script), stderr=asyncio.subprocess.PIPE)
        assert process.stderr is not None
        pid = int(await process.stderr.readline())
        await until(lambda: psutil.Process(pid).name() == "sleep")
        process.kill()
        await process.wait()
        await until(lambda: gone(pid))

    asyncio.run(body())

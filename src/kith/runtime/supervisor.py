"""Child processes that are kept running: started, watched, restarted with growing pauses, and stopped for certain.

A child is watched in three ways: its exit is noticed at once, its silence within 2 seconds (a heartbeat every 0.5 s is
due, see `kith.runtime.child`; time in which it got no processor does not count), and its memory. Whatever is wrong, its
whole process group is killed and started anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import psutil

from kith.core.clock import Clock
from kith.core.errors import Unavailable
from kith.runtime.hunger import Hunger
from kith.runtime.telemetry import counter, get_logger

State = Literal["stopped", "starting", "ready", "waiting", "failed"]
Frame = Mapping[str, Any]

_TICK = 0.25  # seconds between looks at a child
_LINE = 16 * 1024 * 1024  # bytes of the longest frame that is believed
_SPARED = 20.0  # times its allowed silence that a starved child is spared at most: then it is of no use anyway
_STEADY = 60.0  # seconds of readiness after which earlier failures are forgotten

log = get_logger(__name__)
_restarts = counter("kith_child_restarts_total", "Child processes started again after a failure", ("child",))


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """How to run a child. Durations are in seconds, `memory` is the limit of resident bytes (0: none).

    A child that `speaks` uses `kith.runtime.child`: it says ``{"ready": true}`` when it is, and beats. Any other
    command is ready when `probe` succeeds, at once without one. `hello` is the first frame sent after each start;
    it may hold a key.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    hello: Frame = field(default_factory=dict[str, Any], repr=False)
    speaks: bool = True
    probe: Callable[[], Awaitable[bool]] | None = None
    ready: float = 60.0
    silence: float = 1.5
    grace: float = 5.0
    pause: float = 0.2
    longest_pause: float = 30.0
    memory: int = 0
    lines: int = 200


class Child(asyncio.SubprocessProtocol):
    """One supervised process. `on_frame` gets every frame but heartbeats, `on_change` every change of state."""

    def __init__(
        self,
        spec: ChildSpec,
        clock: Clock,
        source: random.Random,
        on_frame: Callable[[Frame], None] | None = None,
        on_change: Callable[[State, str], None] | None = None,
    ) -> None:
        self.spec = spec
        self.state: State = "stopped"
        self.reason = ""
        self.restarts = 0
        self.pid = 0
        self.hello: Frame = {}
        self.output: deque[str] = deque(maxlen=spec.lines)
        self._clock = clock
        self._random = source
        self._on_frame = on_frame
        self._on_change = on_change
        self._transport: asyncio.SubprocessTransport | None = None
        self._buffers: dict[int, bytearray] = {}
        self._alive = 0.0
        self._spared = 0.0
        self._hunger = Hunger(0)
        self._event = asyncio.Event()
        self._exited = asyncio.Event()
        self._drained = asyncio.Event()
        self._changed = asyncio.Event()
        self._fatal = ""
        self._broken = ""
        self._stopping = False
        self._failures = 0
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start, and return when ready. Raises `Unavailable` with the child's last lines when the first try fails."""
        if self._task is None or self._task.done():
            self._fatal, self.reason, self._stopping, self._failures = "", "", False, 0
            self._enter("starting")
            self._task = asyncio.create_task(self._run(), name=f"child {self.spec.name}")
        await self.ready()

    async def ready(self, *, patient: bool = False) -> None:
        """Wait until ready. Raises `Unavailable` when the current try fails or the child was stopped.

        The `patient` also sit out the short pause after a first failure.
        """
        while self.state == "starting" or (patient and self.state == "waiting" and self._failures <= 1):
            self._changed.clear()
            await self._changed.wait()
        if self.state != "ready":
            code = "worker_failed" if self.state == "failed" else "worker_lost"
            raise Unavailable(f"{self.spec.name} is not running: {self.reason or self.state}", code=code)

    def send(self, frame: Frame) -> None:
        """Send one frame. Raises `Unavailable` (code ``worker_lost``) when there is nobody to get it."""
        pipe = self._transport.get_pipe_transport(0) if self._transport else None
        if pipe is None or pipe.is_closing():
            raise Unavailable(f"{self.spec.name} is not running", code="worker_lost")
        cast("asyncio.WriteTransport", pipe).write(json.dumps(frame, separators=(",", ":")).encode() + b"\n")

    async def stop(self) -> None:
        """Ask the child to end, insist after `grace` seconds, and return when its whole group is gone."""
        task, self._task = self._task, None
        self._stopping = True
        await self._end(self.spec.grace)
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._enter("stopped")

    def kill(self, reason: str) -> None:
        """Declare the child broken: it is killed and started anew."""
        self._broken = self._broken or reason
        self._event.set()

    async def _run(self) -> None:
        while True:
            began = self._clock.monotonic()
            reason = await self._live()
            if self._stopping:
                return
            if self._fatal:
                self.reason = self._fatal
                self._enter("failed")
                return
            self._failures = 1 if self._clock.monotonic() - began > _STEADY else self._failures + 1
            self.reason = reason
            self._enter("waiting")
            pause = min(self.spec.longest_pause, self.spec.pause * 2 ** min(self._failures - 1, 16))
            await self._clock.sleep(pause * self._random.uniform(0.5, 1.0))
            self.restarts += 1
            _restarts.add(child=self.spec.name)
            self._enter("starting")

    async def _live(self) -> str:
        """Run the process once, from start to end. Returns why it ended."""
        try:
            await self._spawn()
        except OSError as error:
            return f"cannot be started: {error.strerror or error}"
        try:
            return await self._watch()
        finally:
            if self._transport is not None:
                self._signal(signal.SIGKILL)
                await asyncio.shield(self._exited.wait())
                self._close()

    async def _spawn(self) -> None:
        spec, loop = self.spec, asyncio.get_running_loop()
        self._event, self._exited, self._drained = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._buffers, self._broken = {1: bytearray(), 2: bytearray()}, ""
        self.hello = {}
        command = spec.command if spec.speaks else (sys.executable, "-P", "-m", "kith.runtime.child", *spec.command)
        new_group = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
        transport, _ = await loop.subprocess_exec(
            lambda: self,
            *command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **spec.environment},
            start_new_session=True,
            creationflags=new_group,
        )
        self._transport = transport
        self.pid = transport.get_pid()
        self._alive = self._clock.monotonic()
        self._hunger = Hunger(self.pid)
        if spec.hello:
            self.send(spec.hello)

    async def _watch(self) -> str:
        """Look after the running process until something is wrong with it; returns what."""
        began = last = self._clock.monotonic()
        while not self._exited.is_set():
            if self._broken:
                return self._broken
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_TICK):
                    await self._event.wait()
            self._event.clear()
            now = self._clock.monotonic()
            if now - last > 3 * _TICK:
                self._alive = max(self._alive, now - _TICK)  # it was we who slept: no reproach to the child
            passed, last = now - last, now
            if self.state == "starting" and (wrong := await self._greet(now - began)):
                return wrong
            if wrong := self._examine(now, passed):
                return wrong
        with contextlib.suppress(TimeoutError):  # what it wrote last is still in the pipes; grandchildren may hold them
            async with asyncio.timeout(_TICK):
                await self._drained.wait()
        return self._last_words()

    async def _greet(self, waited: float) -> str:
        spec = self.spec
        if not spec.speaks and (spec.probe is None or await self._probe(spec.probe)):
            self._enter("ready")
        elif waited > spec.ready:
            return f"was not ready after {spec.ready:g} s{self._tail()}"
        return ""

    async def _probe(self, probe: Callable[[], Awaitable[bool]]) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                return await probe()
        return False

    def _examine(self, now: float, passed: float) -> str:
        spec = self.spec
        if spec.speaks and self.state == "ready" and self._silence(now, passed) > spec.silence:
            return f"has been silent for {now - self._alive:.1f} s"
        if spec.memory:
            with contextlib.suppress(psutil.Error):
                used = psutil.Process(self.pid).memory_info().rss
                if used > spec.memory:
                    return f"uses {used >> 20} MiB of memory, more than its limit of {spec.memory >> 20}"
        return ""

    def _silence(self, now: float, passed: float) -> float:
        """The seconds for which nothing was heard, without those in which it wanted to run and could not."""
        silent = now - self._alive
        if silent <= 3 * _TICK:
            self._spared = 0.0
            self._hunger.forget()
        elif self._hunger.starved(now):
            self._spared = min(self._spared + passed, _SPARED * self.spec.silence)
        return silent - self._spared

    def _last_words(self) -> str:
        code = self._transport.get_returncode() if self._transport else None
        if code is not None and code < 0:
            return f"was killed by signal {signal.Signals(-code).name}{self._tail()}"
        return f"ended with status {code}{self._tail()}"

    def _tail(self) -> str:
        return "".join(f"\n  {line}" for line in list(self.output)[-3:])

    async def _end(self, grace: float) -> None:
        if self._transport is None:
            return
        pipe = self._transport.get_pipe_transport(0)
        if pipe is not None:
            pipe.close()
        self._signal(signal.SIGTERM)
        self._signal(getattr(signal, "SIGCONT", signal.SIGTERM))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self._exited.wait()
        self._signal(signal.SIGKILL)
        await self._exited.wait()
        self._close()

    def _signal(self, number: int) -> None:
        """Signal the whole group, which may outlive its leader."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if hasattr(os, "killpg"):
                os.killpg(self.pid, number)
            elif self._transport is not None:
                self._transport.kill()

    def _close(self) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.close()

    def _enter(self, state: State) -> None:
        if state == self.state:
            return
        self.state = state
        self._changed.set()
        log.debug("child", name=self.spec.name, state=state, pid=self.pid, reason=self.reason)
        if self._on_change is not None:
            self._on_change(state, self.reason)

    # what asyncio calls

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        buffer = self._buffers[fd]
        buffer += data
        if fd == 1 and self.spec.speaks:
            self._alive = self._clock.monotonic()
        *lines, rest = bytes(buffer).split(b"\n")
        buffer[:] = rest
        for line in lines:
            self._line(fd, line)
        if len(rest) > _LINE or (len(rest) > 65536 and not (fd == 1 and self.spec.speaks)):
            self._line(fd, rest)
            buffer.clear()

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:  # noqa: ARG002 - the signature is given
        if fd == 1:
            self._drained.set()

    def process_exited(self) -> None:
        self._exited.set()
        self._event.set()

    def _line(self, fd: int, line: bytes) -> None:
        if fd == 2 or not self.spec.speaks:
            self.output.append(line[:2000].decode("utf-8", "replace").rstrip())
            return
        try:
            frame: Any = json.loads(line)
        except ValueError:
            frame = None
        if not isinstance(frame, dict):
            self.kill("speaks nonsense")
        else:
            self._frame(cast("dict[str, Any]", frame))

    def _frame(self, frame: dict[str, Any]) -> None:
        if "beat" in frame:
            return
        if "fatal" in frame:
            self._fatal = str(frame["fatal"])
        elif "ready" in frame:
            self.hello, self.reason = frame, ""
            self._enter("ready")
        elif self._on_frame is not None:
            self._on_frame(frame)


class Supervisor:
    """Makes children, and stops them all."""

    def __init__(self, clock: Clock, source: random.Random | None = None) -> None:
        self._clock = clock
        self._random = source or random.SystemRandom()
        self._children: list[Child] = []

    def child(
        self,
        spec: ChildSpec,
        on_frame: Callable[[Frame], None] | None = None,
        on_change: Callable[[State, str], None] | None = None,
    ) -> Child:
        """A child that is not yet started."""
        child = Child(spec, self._clock, self._random, on_frame, on_change)
        self._children.append(child)
        return child

    def children(self) -> tuple[Child, ...]:
        """Every child ever made here and not released."""
        return tuple(self._children)

    async def release(self, child: Child) -> None:
        """Stop a child and forget it."""
        await child.stop()
        if child in self._children:
            self._children.remove(child)

    async def close(self) -> None:
        """Stop them all, at the same time."""
        children, self._children = self._children, []
        await asyncio.gather(*(child.stop() for child in children))

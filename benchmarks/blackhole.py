"""Every channel's connection into a black hole at once: packets are swallowed while the sockets stay open.

``python -m benchmarks.blackhole [--only NAMES] [--longest SECONDS] [--json]``. Each channel keeps the bound that its
manifest declares (``liveness``; one that is longer than `--longest` is left out and named) and the delivery settings
that a household has. The gold ones are on real servers, the others on the emulators of the tests; between each and its
platform is a proxy that stops passing anything on, both ways, on old and on new connections. Told is: after how many
seconds it was noticed, how it was shown, after how many more, with the way healed, it was connected again, and whether
what was said during the hole was answered afterwards. Calls that a platform makes to us come in on connections of its
own, which still work. At ``cli`` a process of ``kith chat`` is behind the proxy; its bound is that of the WebSocket.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from benchmarks.report import machine
from kith.core.channel import Hook
from kith.core.errors import KithError
from kith.runtime.registry import Registry
from tests.channels.conftest import House, open_house
from tests.channels.emulated import EMULATED, Line
from tests.channels.emulators.site import listening
from tests.channels.people import STAGES
from tests.channels.proxy import Proxy
from tests.channels.rig import Echo, Stage, until, up
from tests.channels.servers import free_port
from tests.channels.terminal import cli_stage
from tests.channels.visitors import webhook_stage
from tests.crash.platforms import configure, life

_WHOLE = 420.0  # a hole that nobody noticed until then is not noticed
_TERMINAL = 60.0  # a ping of the WebSocket after 20 s, its answer within 20 s, and the start of a process


@dataclass
class Hole:
    """What became of one channel; seconds, or -1 for never. `silent` is how long nothing had been heard of the platform
    when it was noticed: a call that it makes to us counts as hearing of it."""

    name: str
    bound: float
    noticed: float = -1.0
    again: float = -1.0
    answered: bool = False
    told: str = ""
    trouble: str = ""
    silent: float = 0.0
    proxies: list[Proxy] = field(default_factory=list, repr=False)

    @property
    def good(self) -> bool:
        """Noticed within the bound (and a second for a machine that is busy), told, and there again."""
        return (
            self.noticed >= 0
            and (self.silent or self.noticed) <= self.bound + 1.0
            and self.again >= 0
            and bool(self.told)
            and not self.trouble
        )


async def through(home: House, scene: Stage, hole: Hole) -> None:
    """One channel's way into the hole and out of it."""
    keeper, (person, *_), name = home.manager._keepers[scene.name], scene.people, scene.name  # noqa: SLF001
    try:
        await up(home, name)
        if hasattr(person, "joined"):
            await person.joined()
        await _greeted(person)
        began, before = time.monotonic(), keeper.watch.restarts
        for proxy in hole.proxies:
            proxy.blackhole()
        saying = asyncio.ensure_future(person.say("meanwhile"))
        await until(lambda: keeper.watch.restarts > before or keeper.watch.condition != "ready", _WHOLE)
        hole.noticed, hole.silent = time.monotonic() - began, time.monotonic() - keeper.watch.sign
        about = home.manager.about(name)
        hole.told = f"{about['state']}: {about['note']}"
        began = time.monotonic()
        for proxy in hole.proxies:
            proxy.heal()
        await up(home, name, 180)
        hole.again = time.monotonic() - began
        with contextlib.suppress(TimeoutError):
            await until(lambda: "re meanwhile" in person.heard, 90)
        hole.answered = "re meanwhile" in person.heard
        saying.cancel()
        await asyncio.gather(saying, return_exceptions=True)
    except (TimeoutError, AssertionError, OSError) as error:
        hole.trouble = f"{type(error).__name__} {error}".strip()


async def _greeted(person: Any) -> None:
    """Until they have been answered. What was sealed before they had a session with our device is read by nobody: then
    they say it again."""
    async with asyncio.timeout(120):
        while "re before" not in person.heard:
            await person.say("before")
            with contextlib.suppress(TimeoutError):
                await until(lambda: "re before" in person.heard, 20)


async def terminal(folder: Path, hole: Hole) -> None:
    """As `through`, for a process of ``kith chat``, whose house is one of its own."""
    home = folder / "home"
    home.mkdir()
    port = free_port()
    async with cli_stage(folder, 1) as scene, Proxy(port) as proxy:
        configure(home, scene, port)
        serving = asyncio.create_task(life(home, "", "before", 0))
        (person,) = scene.people
        try:
            await until(scene.place.pid)
            await asyncio.to_thread(_led, home / "run" / "server.json", proxy.port)
            await person.joined()
            await person.say("before")
            await until(lambda: person.heard, 60)
            began, heard = time.monotonic(), len(person.heard)
            proxy.blackhole()
            saying = asyncio.ensure_future(person.say("meanwhile"))
            await until(lambda: any("lost" in line for line in person.told), 120)
            hole.noticed, hole.told = time.monotonic() - began, person.told[-1]
            began = time.monotonic()
            proxy.heal()
            await until(lambda: any("again" in line for line in person.told), 120)
            hole.again = time.monotonic() - began
            await until(lambda: len(person.heard) > heard, 60)
            await saying
            hole.answered = True
        except (TimeoutError, AssertionError, OSError) as error:
            hole.trouble = f"{type(error).__name__} {error}".strip()
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)


def _led(note: Path, port: int) -> None:
    """Whoever looks for the house finds the proxy."""
    told = json.loads(note.read_text("utf-8"))
    fresh = note.with_suffix(".new")
    fresh.touch(0o600)
    fresh.write_text(json.dumps({**told, "url": f"http://127.0.0.1:{port}"}), "utf-8")
    fresh.replace(note)


async def play(folder: Path, names: Sequence[str], bounds: dict[str, float]) -> list[Hole]:
    """All of them at once."""
    stages = {**STAGES, **EMULATED, "webhook": webhook_stage}
    holes = {name: Hole(name, bounds.get(name, _TERMINAL)) for name in names}
    async with AsyncExitStack() as stack:
        scenes: dict[str, Stage] = {}
        settings: dict[str, Any] = {"delivery": {}}
        for name in sorted(names, key="irc".__eq__):  # starting servers holds this loop up, and IRC has little patience
            if name == "cli":
                continue
            (own := folder / name).mkdir()
            own.chmod(0o755)
            try:
                scene = scenes[name] = await stack.enter_async_context(stages[name](own, 1))
            except pytest.skip.Exception:  # its server is not installed: told as left out
                del holes[name]
                continue
            proxy = await stack.enter_async_context(Proxy(scene.port))
            holes[name].proxies = [proxy, scene.also] if scene.also else [proxy]
            settings[name] = {**scene.settings(proxy.port), "access": "everyone"}
        home = await stack.enter_async_context(open_house(folder, **settings))
        door = _Door(home, folder)
        for name, scene in scenes.items():
            if isinstance(scene.place, Line):
                scene.place.hook = partial(home.manager.hook, name, "local")
            elif name == "webhook":
                scene.place.home = await stack.enter_async_context(door)
        echo = asyncio.create_task(Echo(home).run())
        await home.manager.start("w")
        try:
            (own := folder / "cli").mkdir()
            ways = [through(home, scenes[name], holes[name]) for name in scenes]
            if "cli" in names:
                ways.append(terminal(own, holes["cli"]))
            await asyncio.gather(*ways)
        finally:
            echo.cancel()
            await asyncio.gather(echo, return_exceptions=True)
            await home.manager.stop()
    return list(holes.values())


class _Door(contextlib.AbstractAsyncContextManager[Path]):
    """An address for the program behind the webhook, with a note as a house writes it."""

    def __init__(self, home: House, folder: Path) -> None:
        self._home, self._folder, self._stack = home, folder / "door", AsyncExitStack()

    async def __aenter__(self) -> Path:
        async def take(request: web.Request) -> web.StreamResponse:
            headers = {name.lower(): value for name, value in request.headers.items()}
            call = Hook(request.method, "", dict(request.query), headers, await request.read())
            try:
                reply = await self._home.manager.hook("webhook", "local", call)
            except KithError as error:
                return web.Response(status=error.status, text=error.code)
            return web.Response(status=reply.status, headers=dict(reply.headers), body=reply.body)

        app = web.Application()
        app.router.add_post("/hooks/webhook/local", take)
        url = await self._stack.enter_async_context(listening(app))
        (self._folder / "run").mkdir(parents=True)
        (self._folder / "run" / "server.json").write_text(json.dumps({"url": url, "token": "x"}), "utf-8")
        return self._folder

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()


def main() -> int:
    """The exit status says whether every hole was noticed in time and told, and every channel came back."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.blackhole")
    parser.add_argument("--only", default="", help="names of channels, separated by commas")
    parser.add_argument("--longest", type=float, default=300.0)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    bounds = {
        name: float(one.details["liveness"])
        for name, one in Registry("channels").manifests().items()
        if one.details.get("liveness")
    }
    chosen = [name for name in given.only.split(",") if name] or [*sorted(bounds), "cli"]
    left = [name for name in chosen if bounds.get(name, 0.0) > given.longest]
    names = [name for name in chosen if name not in left]
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="kith-hole-") as name:
        Path(name).chmod(0o755)
        os.environ["KITH_HOME"] = name  # what channels keep beside the records
        holes = asyncio.run(play(Path(name), names, bounds))
    left += [name for name in names if name not in {hole.name for hole in holes}]
    if given.json:
        rows = [{key: value for key, value in asdict(hole).items() if key != "proxies"} for hole in holes]
        print(json.dumps({"machine": machine(), "rows": rows, "left_out": left}, ensure_ascii=False))
    else:
        print(f"blackhole, {time.monotonic() - began:.0f} s: {machine()}; left out: {', '.join(left) or 'none'}")
        for hole in holes:
            figures = f"bound {hole.bound:4.0f} s  noticed {hole.noticed:6.1f} s  again {hole.again:5.1f} s"
            answered = f"answered {'yes' if hole.answered else 'no'}"
            print(f"{hole.name:10} {figures}  {answered}  {hole.told} {'' if hole.good else 'WRONG'} {hole.trouble}")
    return 0 if holes and all(hole.good for hole in holes) else 1


if __name__ == "__main__":
    sys.exit(main())

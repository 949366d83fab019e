"""A storm over real channels: all of them at once, 50 conversations each, while the library of one freezes.

``python -m benchmarks.crowd [--conversations N] [--seconds S] [--every S] [--freeze S] [--victim NAME] [--json]``.
Unlike ``benchmarks.storm``, whose platforms are stand-ins that answer at once, every channel is itself here: those with
a real server that is installed are on it, the web over WebSockets, the webhook over HTTP, the terminal as its channel,
the rest on the emulators of the tests. Only the rates that vendors declare are lifted, and the victim is put into a
thread, as a channel whose library may block is. Everybody says something every `--every` seconds; measured is the time
from there until the platform has taken the answer. Played twice: calm, and with the victim asleep.
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
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp import WSMsgType, web

from benchmarks.report import Row, report
from benchmarks.storm import p95
from kith.core.channel import Hook
from kith.core.errors import KithError
from kith.core.manifest import Manifest
from kith.core.people import Parcel, Principal
from kith.core.turn import Sent
from kith.runtime.registry import Registry
from tests.channels.conftest import House, open_house
from tests.channels.emulated import EMULATED, Line
from tests.channels.emulators.site import listening
from tests.channels.people import STAGES
from tests.channels.rig import Echo, Stage, until, up
from tests.channels.visitors import VISITS

_OPEN = {"access": "everyone"}
_RATES = ("rate", "chat_rate")


class Loud(Registry):
    """The channels without the rates that their vendors declare, `victim` in a thread of its own."""

    def __init__(self, victim: str, freeze: float) -> None:
        super().__init__("channels")
        self._victim, self.freeze = victim, freeze
        self.asleep = False

    def manifests(self) -> Mapping[str, Manifest]:
        return {name: self.manifest(name) for name in super().manifests()}

    def manifest(self, name: str) -> Manifest:
        found = super().manifest(name)
        details = {key: value for key, value in found.details.items() if key not in _RATES}
        return replace(found, details={**details, "isolation": "thread"} if name == self._victim else details)

    def load(self, name: str) -> Any:
        entry = super().load(name)
        return entry if name != self._victim else lambda settings, kit: _Sleepy(entry(settings, kit), self)


class _Sleepy:
    """A channel whose library sleeps once, in the middle of a send, with its whole thread."""

    def __init__(self, inner: Any, loud: Loud) -> None:
        self._inner, self._loud = inner, loud

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def start(self, accept: Any) -> None:
        await self._inner.start(accept)

    async def stop(self) -> None:
        await self._inner.stop()

    async def send(self, parcel: Parcel) -> Sent:
        if self._loud.freeze and self._loud.asleep:
            seconds, self._loud.freeze = self._loud.freeze, 0.0
            time.sleep(seconds)  # noqa: ASYNC251  # that is the point
        return await self._inner.send(parcel)


@dataclass
class Typist:
    """Somebody at the terminal's channel, in the house's own process."""

    view: Any
    heard: list[str] = field(default_factory=list)

    async def say(self, text: str) -> None:
        await self.view.say(text)

    async def read(self) -> None:
        async for event in self.view.events():
            if event.kind == "message":
                self.heard.append(str(event.data["text"]))


@dataclass
class Storm:
    """How long each channel's answers took, in seconds, and how many were said and heard."""

    took: dict[str, list[float]] = field(default_factory=dict)
    said: int = 0
    unheard: dict[str, int] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)


async def play(folder: Path, given: argparse.Namespace, freeze: float) -> Storm:
    """One storm."""
    storm, loud, began = Storm(), Loud(given.victim, freeze), dict[str, float]()
    stages = {**STAGES, **VISITS, **EMULATED}
    async with AsyncExitStack() as stack:
        scenes: dict[str, Stage] = {}
        settings: dict[str, Any] = {"delivery": {}}
        for name, stage in stages.items():
            (own := folder / name).mkdir()
            own.chmod(0o755)
            try:
                scene = scenes[name] = await stack.enter_async_context(stage(own, given.conversations))
            except pytest.skip.Exception:  # its server is not installed: told as left out
                storm.missing.append(name)
                continue
            settings[name] = {**scene.settings(scene.port), **_OPEN}
        settings["web"] = {**_OPEN, "conversations": 256}
        home = await stack.enter_async_context(open_house(folder, loud, **settings))
        await stack.enter_async_context(_door(home, [scenes["web"].place.home, scenes["webhook"].place.home]))
        for name, scene in scenes.items():
            if isinstance(scene.place, Line):
                scene.place.hook = partial(home.manager.hook, name, "local")
        echo = asyncio.create_task(Echo(home).run())
        await home.manager.start("w")
        try:
            for name in scenes:
                await up(home, name, 120)
            typists = [Typist(home.manager.channel("cli").open(f"c{n}", "en")) for n in range(given.conversations)]
            reading = [asyncio.create_task(one.read()) for one in typists]
            people: dict[str, list[Any]] = {name: list(scene.people) for name, scene in scenes.items()}
            people["cli"] = list(typists)
            for name in people:
                _timed(home, name, storm.took, began)
            everybody = [one for crowd in people.values() for one in crowd if hasattr(one, "joined")]
            await asyncio.gather(*(one.joined() for one in everybody))
            loud.asleep = True
            await _talk(people, given, storm, began)
            with contextlib.suppress(TimeoutError):  # the victim's answers come after it woke up
                await until(lambda: sum(map(len, storm.took.values())) >= storm.said, 90)
            await asyncio.sleep(2.0)
            for name, crowd in people.items():
                heard = sum(len({text for text in one.heard if text.startswith("re ")}) for one in crowd)
                storm.unheard[name] = sum(key.startswith(f"{name}.") for key in began) - heard
            for task in reading:
                task.cancel()
            await asyncio.gather(*reading, return_exceptions=True)
        finally:
            echo.cancel()
            await asyncio.gather(echo, return_exceptions=True)
            await home.manager.stop()
    return storm


def _timed(home: House, name: str, took: dict[str, list[float]], began: dict[str, float]) -> None:
    """Note when a channel's platform has taken an answer."""
    route = home.manager._keepers[name].route  # noqa: SLF001  # the platform's side
    before = route.took
    assert before is not None

    def note(parcel: Parcel, sent: Sent) -> None:
        before(parcel, sent)
        if (since := began.get(parcel.message.text.removeprefix("re "))) is not None:
            took.setdefault(name, []).append(time.monotonic() - since)

    route.took = note


async def _talk(people: dict[str, list[Any]], given: argparse.Namespace, storm: Storm, began: dict[str, float]) -> None:
    """Everybody says something every so often, at instants spread evenly."""
    crowd = [(name, place, one) for name, group in people.items() for place, one in enumerate(group)]

    async def one(offset: float, name: str, place: int, person: Any) -> None:
        await asyncio.sleep(offset)
        end, number, due = time.monotonic() + given.seconds, 0, time.monotonic()
        while time.monotonic() < end:
            text = f"{name}.{place}.{number}"
            storm.said, began[text], number, due = storm.said + 1, time.monotonic(), number + 1, due + given.every
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(60):
                    await person.say(text)
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    gap = given.every / len(crowd)
    await asyncio.gather(*(one(index * gap, *who) for index, who in enumerate(crowd)))


class _Peer:
    """A WebSocket of a client, as a channel sees it."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket

    async def receive(self) -> str:
        frame = await self._socket.receive()
        if frame.type is not WSMsgType.TEXT:
            raise EOFError
        return str(frame.data)

    async def send(self, text: str) -> None:
        await self._socket.send_str(text)


@contextlib.asynccontextmanager
async def _door(home: House, notes: list[Path]) -> AsyncIterator[None]:
    """The house's own door: WebSockets and calls; where it is stands in the notes, as a house writes them."""

    async def call(request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        try:
            told = Hook(request.method, "", dict(request.query), headers, await request.read())
            reply = await home.manager.hook("webhook", "local", told)
        except KithError as error:
            return web.Response(status=error.status, text=error.code)
        return web.Response(status=reply.status, headers=dict(reply.headers), body=reply.body)

    async def live(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        with contextlib.suppress(ConnectionError):
            await home.manager.lines["web"].converse(_Peer(socket), Principal("u_owner", "owner"))
        return socket

    app = web.Application()
    app.router.add_post("/hooks/webhook/local", call)
    app.router.add_get("/api/channels/web/live", live)
    async with listening(app) as url:
        for note in notes:
            (note / "run").mkdir(parents=True)
            (note / "run" / "server.json").write_text(json.dumps({"url": url, "token": "x"}), "utf-8")
        yield


def rows(calm: Storm, storm: Storm, victim: str) -> list[Row]:
    """The figures of two storms."""
    before, after = (
        p95([one for name, took in found.took.items() if name != victim for one in took]) for found in (calm, storm)
    )
    each = [
        Row(f"p95 {name}", p95(storm.took.get(name, [])) * 1000, "ms", p95(calm.took[name]) * 1000, "calm")
        for name in sorted(calm.took)
    ]
    return [
        Row("channels", len(calm.took), ""),
        Row("messages said, calm", calm.said, ""),
        Row("messages said, one frozen", storm.said, ""),
        Row("answers not seen by their people, calm", sum(calm.unheard.values()), ""),
        Row("answers not seen by their people, one frozen", sum(storm.unheard.values()), ""),
        *each,
        Row("p95 of the others, one frozen", after * 1000, "ms", before * 1000, "calm"),
    ]


def main() -> int:
    """The exit status says whether the others' p95 stayed below twice as much, and every answer was seen."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.crowd")
    parser.add_argument("--conversations", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=75.0)
    parser.add_argument("--every", type=float, default=75.0)
    parser.add_argument("--freeze", type=float, default=60.0)
    parser.add_argument("--victim", default="telegram")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found = list[Storm]()
    for freeze in (0.0, given.freeze):
        with tempfile.TemporaryDirectory(prefix="kith-crowd-") as name:
            Path(name).chmod(0o755)
            os.environ["KITH_HOME"] = name  # what channels keep beside the records
            found.append(asyncio.run(play(Path(name), given, freeze)))
    calm, storm = found
    figures = rows(calm, storm, given.victim)
    report("crowd", figures, given.json)
    print(f"left out: {', '.join(calm.missing) or 'none'}; not seen: {calm.unheard} {storm.unheard}", file=sys.stderr)
    ratio = figures[-1].ratio
    unheard = any(calm.unheard.values()) or any(storm.unheard.values())
    return 0 if ratio and ratio < 2 and not unheard else 1


if __name__ == "__main__":
    sys.exit(main())

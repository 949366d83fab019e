"""A channel in a thread of its own: whatever its library blocks is its own event loop, and nobody else's.

For channels whose manifest says ``isolation = "thread"``. All their coroutines run in that loop; what they ask of the
house (`accept`, records, the store) hops to the house's loop and back. A thread that is frozen for good is left behind
when its channel is built anew: it cannot be killed, and holds nothing that others wait for.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, TypeVar, cast

from kith.channels.kit import Kit
from kith.core.errors import Unavailable
from kith.core.message import Envelope
from kith.core.people import Parcel
from kith.core.ports import Accept, Channel, Records, Store, Waiting
from kith.core.turn import Accepted, Sent

T = TypeVar("T")
_ABILITIES = ("probe", "reach", "edit", "typing", "hook", "arrived")


class Hop:
    """Everything asynchronous that `target` offers, done in the loop `home` whichever loop asks for it."""

    def __init__(self, target: object, home: asyncio.AbstractEventLoop) -> None:
        self._target, self._home = target, home

    def __getattr__(self, name: str) -> Callable[..., Coroutine[Any, Any, Any]]:
        method = getattr(self._target, name)
        return lambda *arguments, **named: self._go(method(*arguments, **named))

    async def _go(self, work: Coroutine[Any, Any, T]) -> T:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._home))


class Apart:
    """Implements `Channel` around the one that `build` makes. Made and used in the house's loop."""

    def __init__(self, name: str, build: Callable[[Kit], Channel], kit: Kit) -> None:
        self._name, self._build, self._kit = name, build, kit
        self._home: asyncio.AbstractEventLoop | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._inner = build(kit)

    def __getattr__(self, name: str) -> Any:
        if name not in _ABILITIES or not hasattr(self._inner, name):
            raise AttributeError(name)

        async def able(*arguments: Any) -> Any:
            return await self._call(getattr(self._inner, name), *arguments)

        return able

    async def start(self, accept: Accept) -> None:
        """As the channel inside, in its own loop."""
        self._home = home = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            threading.Thread(target=_run, args=(self._loop,), name=f"channel {self._name}", daemon=True).start()
        self._inner = self._build(self._bridged(home))

        async def hop(envelope: Envelope) -> Accepted:
            return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_awaited(accept, envelope), home))

        await self._call(self._inner.start, hop)

    async def send(self, parcel: Parcel) -> Sent:
        """As the channel inside."""
        return await self._call(self._inner.send, parcel)

    async def stop(self) -> None:
        """Stop the channel and its thread. One that does not answer is left behind when the caller gives up; should it
        ever thaw, it still closes its connections, and then its thread ends."""
        loop, self._loop = self._loop, None
        if loop is None:
            return
        stopped = asyncio.run_coroutine_threadsafe(self._inner.stop(), loop)
        stopped.add_done_callback(lambda done: (done.cancelled() or done.exception(), loop.stop()))
        waiting = asyncio.wrap_future(stopped)
        waiting.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody may be waiting
        await asyncio.shield(waiting)

    async def _call(self, method: Callable[..., Coroutine[Any, Any, T]], *arguments: Any) -> T:
        if self._loop is None:
            raise Unavailable(f"the channel {self._name!r} is not started")
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(method(*arguments), self._loop))

    def _bridged(self, home: asyncio.AbstractEventLoop) -> Kit:
        kit = self._kit

        def cancel(turn: str) -> None:
            home.call_soon_threadsafe(kit.cancel, turn)

        return replace(
            kit,
            store=cast("Store", Hop(kit.store, home)),
            records=cast("Records", Hop(kit.records, home)),
            waiting=cast("Waiting", Hop(kit.waiting, home)),
            pace=cast("Any", Hop(kit, home)).pace,
            undelivered=cast("Any", Hop(kit, home)).undelivered,
            cancel=cancel,
        )


async def _awaited(accept: Accept, envelope: Envelope) -> Accepted:
    return await accept(envelope)


def _run(loop: asyncio.AbstractEventLoop) -> None:
    """Run until stopped; then end what still runs, so that nothing speaks after `stop`."""
    asyncio.set_event_loop(loop)
    loop.run_forever()
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    with contextlib.suppress(RuntimeError):
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()

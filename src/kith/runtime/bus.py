"""Facts to whoever cares: publish and forget, never blocking the publisher."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from kith.core.errors import KithError
from kith.core.events import Event
from kith.runtime.telemetry import counter, get_logger

E = TypeVar("E", bound=Event)

_log = get_logger(__name__)
_dropped = counter("kith_bus_dropped_total", "Events not delivered because a subscriber was too slow.", ("event",))
_LIMIT = 1000


class Bus:
    """Delivers events in order to each subscriber, from a bounded queue of its own.

    What must not be lost does not travel here: it is committed by storage. A subscriber that stays behind by a
    thousand events loses the newest ones, which is counted.
    """

    def __init__(self) -> None:
        self._queues: list[tuple[type[Event], asyncio.Queue[Event]]] = []
        self._workers: list[asyncio.Task[None]] = []

    def publish(self, event: Event) -> None:
        """Hand `event` to the subscribers of its type."""
        for kind, queue in self._queues:
            if isinstance(event, kind):
                try:
                    queue.put_nowait(event)
                except asyncio.QueueFull:
                    _dropped.add(1, event=type(event).__name__)

    def subscribe(self, kind: type[E], handler: Callable[[E], Awaitable[None]]) -> None:
        """Call `handler` with every event of `kind` from now on. Needs a running loop."""
        queue: asyncio.Queue[E] = asyncio.Queue(_LIMIT)
        self._queues.append((kind, queue))  # pyright: ignore[reportArgumentType]  # a queue is only fed events of its own kind
        self._workers.append(asyncio.create_task(_serve(queue, handler)))

    async def close(self) -> None:
        """Stop delivering."""
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)


async def _serve(queue: asyncio.Queue[E], handler: Callable[[E], Awaitable[None]]) -> None:
    while True:
        event = await queue.get()
        try:
            await handler(event)
        except KithError as error:
            _log.warning("subscriber failed", event_type=type(event).__name__, error=str(error))

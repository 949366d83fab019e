"""The way out of a channel that hears on one connection and speaks on another: a socket in, calls of an API out.

What is heard on the socket says nothing of the calls, and a call that was answered says nothing of the socket. Such a
channel has `reach`: a question on the way that its replies take. Without a sign of that way for a third of the
manifest's ``liveness`` the question is put; when there has been none for the whole of it, the channel is shown as one
that cannot send, and goes on hearing. It is asked on, and shown as well again with the first answer or reply.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NoReturn, Protocol

from kith.core.clock import Clock
from kith.core.errors import KithError
from kith.runtime.telemetry import get_logger

_log = get_logger(__name__)
_PATIENCE = 5.0


class Reaching(Protocol):
    """A channel with a way out of its own. Raises `Unavailable`, `Refused` when nothing would arrive on it."""

    async def reach(self) -> None: ...


class Way:
    """One channel's. `show` is told why nothing can be sent, and with an empty sentence that it can again; `bound` is
    in seconds."""

    def __init__(self, bound: float, clock: Clock, show: Callable[[str], None]) -> None:
        self._bound, self._clock, self._show = bound, clock, show
        self._sign, self._why, self._dead = clock.monotonic(), "", False

    def passed(self) -> None:
        """The platform took or answered something."""
        self._sign = self._clock.monotonic()
        if self._dead:
            self._dead = False
            self._show("")

    async def watch(self, channel: Reaching) -> NoReturn:
        """Ask when nothing was to be seen for a while, and show what that means."""
        step = self._bound / 3
        while True:
            if (silent := self._clock.monotonic() - self._sign) < step:
                await asyncio.sleep(step - silent)
                continue
            await self._ask(channel, max(step, _PATIENCE) if self._dead else max(self._bound - silent, 0.001))
            if (silent := self._clock.monotonic() - self._sign) >= self._bound and not self._dead:
                self._dead = True
                self._show(self._why)
            if silent >= step:
                await asyncio.sleep(step if self._dead else min(step / 4, max(self._bound - silent, 0.0)))

    async def _ask(self, channel: Reaching, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await channel.reach()
        except TimeoutError:
            self._why = "the platform does not answer"
        except KithError as error:
            self._why = error.message
        except Exception as error:  # noqa: BLE001  # a channel's bug stays the channel's
            _log.exception("channel failed", error=type(error).__name__)
            self._why = f"the question failed ({type(error).__name__})"
        else:
            self.passed()

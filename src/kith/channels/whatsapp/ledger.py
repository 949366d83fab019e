"""What WhatsApp told of our messages: which of them it has, and which it could not bring."""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from kith.channels.whatsapp.parse import Receipt

_KEPT = 5_000


class Ledger:
    """In memory: after a restart, a message in doubt is sent again."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, str] = OrderedDict()
        self._told: OrderedDict[str, Receipt] = OrderedDict()
        self._waiting: dict[str, asyncio.Future[Receipt]] = {}

    def note(self, receipt: Receipt) -> bool:
        """Something was told; whether somebody waited for it."""
        if receipt.state == "failed":
            self._known.pop(receipt.key, None)
        elif receipt.key:
            self._known[receipt.key] = receipt.id
        known = self._told.get(receipt.id)
        if known is None or receipt.state == "failed":
            self._told[receipt.id] = receipt
        for kept in (self._known, self._told):
            while len(kept) > _KEPT:
                kept.popitem(last=False)
        waiting = self._waiting.pop(receipt.id, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(receipt)
        return waiting is not None

    def arrived(self, key: str) -> str:
        """WhatsApp's id of the message that we gave `key`, if it has told us that it has it."""
        return self._known.get(key, "")

    async def verdict(self, name: str, seconds: float) -> Receipt | None:
        """The first that is told of our message `name`; None when nothing is in `seconds`."""
        if (told := self._told.get(name)) is not None:
            return told
        future = self._waiting[name] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(seconds):
                return await future
        except TimeoutError:
            return None
        finally:
            self._waiting.pop(name, None)

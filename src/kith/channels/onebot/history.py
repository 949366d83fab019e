"""What was said in a conversation while nobody listened, read back page by page.

``get_group_msg_history`` and ``get_friend_msg_history`` are no part of the OneBot 11 standard; the programs that have
them differ. Asked for what is before a message, NapCat, LLOneBot and go-cqhttp want its ``message_seq``, Lagrange its
``message_id``; NapCat gives what is after it unless ``reverse_order`` is set, which to LLOneBot means the latest first
(NapCatQQ's issue 987, LuckyLilliaBot's 660). So all of it is said at once, and what comes is put in order here. The
pages overlap by the message that was named.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kith.channels.kit import inner, rows
from kith.channels.onebot.render import place
from kith.channels.onebot.segments import whole
from kith.channels.onebot.wire import Caller
from kith.core.clock import Clock
from kith.core.errors import Invalid, Refused, Unavailable
from kith.runtime.telemetry import get_logger

_log = get_logger(__name__)
_PAGE = 20  # what go-cqhttp gives at most, whatever it is asked for
_MOST = 1000
_DAY = 86_400
_BIGGEST = 500  # of one answer, whatever was asked for
_TRIES = 3
Event = Mapping[str, Any]


class History:
    """Asks `caller`."""

    def __init__(self, caller: Caller, clock: Clock) -> None:
        self._caller, self._clock = caller, clock
        self._failing = set[str]()

    async def since(self, conversation: str, at: int) -> Sequence[Event]:
        """What was said in a conversation from `at` (in seconds) on, oldest first: of very much only the latest 1,000,
        and no page further back than a day ago. Nothing where the program keeps none. Raises `Unavailable`, `Refused`
        when the program is gone."""
        kind, where = place(conversation)
        action = "get_group_msg_history" if kind == "group" else "get_friend_msg_history"
        floor = max(at, int(self._clock.now()) - _DAY)
        found = await self._page(action, where)
        while found and _time(found[0]) >= floor and len(found) < _MOST:
            known = {_name(one) for one in found}
            page = await self._page(action, where, found[0])
            older = [one for one in page if _name(one) not in known and _time(one) <= _time(found[0])]
            if not older:
                break
            found = [*older, *found]
        if found and _time(found[0]) > at and (len(found) >= _MOST or _time(found[0]) < floor):
            _log.warning("not all of a conversation was heard", conversation=conversation)
        whose = {"post_type": "message", "message_type": kind, **where}
        return [{**whose, **one} for one in found[-_MOST:] if _time(one) >= at]

    async def _page(self, action: str, where: Mapping[str, Any], before: Event | None = None) -> list[Event]:
        """A page that ends with `before`, or the latest, oldest first; empty where the program has none."""
        told = await self._ask(action, {**where, "count": _PAGE, **({} if before is None else _before(before))})
        found = rows(inner({"told": told}, "told"), "messages", _BIGGEST)
        turned = before is not None and found and _name(found[0]) == _name(before)
        return sorted(found[::-1] if turned else found, key=_time)

    async def _ask(self, action: str, arguments: Mapping[str, Any]) -> Any:
        """The answer, or None: programs say in many ways that they have no history, or no more of it."""
        for _ in range(1 if action in self._failing else _TRIES):
            try:
                told = await self._caller.call(action, arguments)
            except Unavailable as error:
                _log.info("history not read", reason=error.message)
                await self._clock.sleep(min(error.retry_after, 1.0))
            except (Invalid, Refused) as error:  # this program keeps none
                _log.info("no history", code=error.code)
                return None
            else:
                self._failing.discard(action)
                return told
        self._failing.add(action)
        await self._caller.call("get_status")  # when it is the program that is gone, the next one is asked
        return None


def _before(event: Event) -> dict[str, Any]:
    """How to ask for what is before a message, and for the message itself."""
    name = int(whole(event, "message_id", "0"))
    number = int(whole(event, "message_seq", "0"))
    return {"message_id": name, "message_seq": number or name, "reverse_order": True, "reverseOrder": True}


def _name(event: Event) -> str:
    return whole(event, "message_id", "")


def _time(event: Event) -> int:
    return int(whole(event, "time", "0"))

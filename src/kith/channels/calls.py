"""What every channel does that is called from outside, or that listens in a loop of its own."""

from __future__ import annotations

import asyncio
import hmac
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec

from kith.core.errors import Invalid, KithError
from kith.runtime.telemetry import get_logger

_log = get_logger(__name__)

T = TypeVar("T")


def body_of(raw: bytes | str, sentence: str = "the call's body is not JSON", code: str = "bad_frame") -> Any:
    """What a call says, as JSON. Raises `Invalid` with `sentence` for what is none."""
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise Invalid(sentence, code=code) from None


def same(shown: str, ours: str) -> bool:
    """Whether a call shows our secret, or the signature that we expect; in the same time whatever it shows."""
    return hmac.compare_digest(shown.encode("utf-8", "replace"), ours.encode("utf-8", "replace"))


def keep(kept: OrderedDict[str, T], key: str, value: T, most: int) -> None:
    """Remember `value` as the latest, and at most so many."""
    kept[key] = value
    kept.move_to_end(key)
    while len(kept) > most:
        kept.popitem(last=False)


def called_off() -> bool:
    """Whether this task is being cancelled. Where it is not, a `CancelledError` is a library's own, which lets one out
    of something that it cancelled itself: a failure like any other, and no reason to end silently."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def tended(platform: str, lost: Callable[[str], None], loop: Callable[[], Awaitable[str | None]]) -> None:
    """Run a channel's loop; when it fails, or ends with a reason, `lost` is told why. A bug ends this connection and
    not the channel."""
    try:
        reason = await loop()
    except KithError as error:
        reason = error.message
    except asyncio.CancelledError:
        if called_off():
            raise
        reason = f"the {platform} channel's library gave up"
    except Exception as error:  # noqa: BLE001  # a bug ends this connection and not the channel
        _log.exception("channel loop failed", platform=platform, error=type(error).__name__)
        reason = f"the {platform} channel failed ({type(error).__name__})"
    if reason is not None:
        lost(reason)

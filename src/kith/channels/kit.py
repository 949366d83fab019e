"""What every channel is given, and the small work that all of them share: the one helper of the channels' folders."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from kith.core.clock import Clock
from kith.core.errors import Invalid, KithError, Refused, Unavailable
from kith.core.ids import Ids
from kith.core.message import Data, Media, Message, Text
from kith.core.people import Parcel
from kith.core.ports import Store
from kith.core.turn import Turn
from kith.runtime.locale import tr
from kith.runtime.settings import Section
from kith.runtime.streams import Streams

LINE_LIMIT = 64 * 1024
_ID_LIMIT = 128
_LOOK_BACK = 20


class ChannelSettings(Section):
    """The keys that every channel has."""

    enabled: bool = Field(default=True, description="Whether the channel is on.")
    account: str = Field(
        default="local",
        pattern=r"^[\w.@+-]{1,64}$",
        description="The account on the platform; part of a message's identity.",
    )


@dataclass(frozen=True, slots=True)
class Kit:
    """What a channel may use. An entry is called as ``entry(settings, kit)``; `cancel` stops the making of a turn."""

    store: Store
    streams: Streams
    clock: Clock
    ids: Ids
    cancel: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Arrival:
    """What a channel knows of a payload besides its bytes: where and when it came, and who has been authenticated."""

    account: str
    at: float
    sender: str = ""


def message_id(channel: str, account: str, platform_id: str) -> str:
    """The id of the message that a platform calls `platform_id`: the same each time it is delivered."""
    raw = "\x1f".join((channel, account, platform_id)).encode("utf-8", "surrogatepass")
    return f"m_{hashlib.blake2b(raw, digest_size=16).hexdigest()}"


def check_name(value: str, field: str) -> str:
    """An identifier given by a client: 1 to 128 printable characters. Raises `Invalid`."""
    if not 0 < len(value) <= _ID_LIMIT or not value.isprintable():
        raise Invalid(f"{field!r} has to be 1 to {_ID_LIMIT} printable characters", code="bad_field")
    return value


def check_text(value: str) -> str:
    """What a person wrote, without NUL characters. Raises `Invalid` when nothing is left."""
    clean = value.replace("\x00", "")
    if not clean.strip():
        raise Invalid("'text' is empty", code="bad_field")
    return clean


def plain(message: Message) -> str:
    """A message as plain text: what is not text is named in brackets."""
    lines: list[str] = []
    for part in message.parts:
        match part:
            case Text():
                lines.append(part.text)
            case Media():
                lines.append(f"[{part.mime} {part.name}]".replace(" ]", "]"))
            case Data():
                lines.append(f"[{part.kind}]")
            case _:
                continue
    return "\n".join(lines)


async def origin(store: Store, parcel: Parcel) -> Turn | None:
    """The turn in which a parcel was said, if it is among the conversation's latest."""
    recent = await store.turns(parcel.conversation, _LOOK_BACK)
    return next((t for t in reversed(recent) if any(said.id == parcel.message.id for said in t.spoke)), None)


def describe(turn: Turn | None) -> dict[str, Any]:
    """What a client may be told of the turn behind a reply."""
    if turn is None:
        return {"turn": "", "sources": [], "model": ""}
    return {"turn": turn.id, "sources": [passage.source for passage in turn.passages], "model": turn.model}


def sorry(error: KithError, locale: str = "") -> Mapping[str, Any]:
    """An error as a client is told: `message` in the person's language, the exact reason beside it."""
    match error:
        case Invalid():
            key = "invalid"
        case Refused(retry_after=float()):
            key = "too_many"
        case Refused():
            key = "refused"
        case Unavailable():
            key = "unavailable"
        case _:
            key = "failed"
    told: dict[str, Any] = {"code": error.code, "message": tr(f"channels.error.{key}", locale)}
    if key != "failed":
        told |= {"detail": error.message, "hint": error.hint}
    if isinstance(error, Refused | Unavailable) and error.retry_after is not None:
        told["retry_after"] = error.retry_after
    return told

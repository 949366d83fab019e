"""What the house says to a client, as JSON frames.

Every frame about a conversation names it in ``conversation`` and carries ``at``, the cursor to resume behind it.

==============================================================  ========================================================
``accepted``  id, duplicate, turn                               the message is kept; its reply will carry `turn`
``heard``     turn, id, text, parts, time                       a message that waits for its reply and was not said on
                                                                this connection, or before it; `id` is its sender's
``delta``     turn, text                                        a piece of a reply that is being made
``reset``     turn                                              forget the pieces of this turn: it starts anew
``message``   id, turn, text, parts, sources, model, fallback   a whole reply; the same `id` may come again: ignore it
``end``       turn, code, text                                  the turn is over (`code` when it failed)
``resumed``                                                     everything missed has been sent
``error``     code, message, detail, hint, retry_after, id      the frame was not accepted; the connection stays
``pong``
==============================================================  ========================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from kith.channels.kit import describe, plain
from kith.channels.web.parse import NAME, Cursor
from kith.core.message import Envelope, Message, Text
from kith.core.turn import Turn


def render(message: Message, turn: Turn | None) -> dict[str, Any]:
    """A reply, as the data of a ``message`` frame."""
    return {"id": message.id, "text": plain(message), "parts": _parts(message)} | describe(turn)


def asked(turn: str, said: Envelope, sender: str) -> dict[str, Any]:
    """What waits for its reply, as the data of a ``heard`` frame; a message of this channel has its `sender`'s id."""
    own = said.channel == NAME and said.sender == sender
    name = said.platform_id.removeprefix(f"{sender}:") if own else said.message.id
    told = said.message
    return {"turn": turn, "id": name, "text": told.text, "parts": _parts(told), "time": told.at}


def _parts(message: Message) -> list[Any]:
    return [msgspec.to_builtins(part) for part in message.parts if not isinstance(part, Text)]


def encode(kind: str, data: Mapping[str, Any], conversation: str = "", at: Cursor | None = None) -> str:
    """A frame as it goes over the wire."""
    frame: dict[str, Any] = {"type": kind, **data}
    if conversation:
        frame["conversation"] = conversation
    if at is not None:
        frame["at"] = str(at)
    return msgspec.json.encode(frame).decode()

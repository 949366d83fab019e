"""A reply, to what a terminal shows."""

from __future__ import annotations

from typing import Any

from kith.channels.kit import describe, plain
from kith.core.message import Message
from kith.core.turn import Turn

# Everything a terminal would obey: C0 and C1 control characters, except new line and tab.
_CONTROLS = {code: None for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\n\t"}


def printable(text: str) -> str:
    """`text` without characters that a terminal takes for commands."""
    return text.translate(_CONTROLS)


def render(message: Message, turn: Turn | None) -> dict[str, Any]:
    """A reply, as the data of a ``message`` event."""
    return {"id": message.id, "text": printable(plain(message))} | describe(turn)

"""The senses of a household without any: every part is passed on, named but unread."""

from __future__ import annotations

from collections.abc import Sequence

from kith.core.message import Audio, File, Image, Part, Text


class Senseless:
    """Implements `Senses`: tells the dialogue that something came which nobody here can read."""

    async def sense(self, part: Part) -> Sequence[Part]:
        if isinstance(part, Image | Audio | File):
            return (part, Text(f"[{part.type}: {part.name or part.mime}, not readable here]"))
        return (part,)

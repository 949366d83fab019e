"""Manners of listening: a burst of messages is one thing said, and a new message may change the reply to the last."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from kith.runtime.settings import Section

LONGEST = 10.0  # seconds that a burst may keep its answer waiting


class MannersSettings(Section):
    """The section ``dialogue.manners``."""

    debounce: float | None = Field(
        default=None,
        ge=0,
        le=10,
        description="Seconds of silence after a message before it is answered, together with what came meanwhile; "
        "as its channel says when absent.",
    )
    interjection: Literal["queue", "steer", "interrupt"] = Field(
        default="queue",
        description="What a message does to a reply that is being made: waits its turn, changes it, or stops it.",
    )

"""The settings of the loopback channel."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from kith.channels.kit import ChannelSettings


class LoopbackSettings(ChannelSettings):
    """Both are optional; without them the channel is driven from within the process."""

    journal: Path | None = Field(
        default=None, description="A file that gets one JSON line for each reply, synced to disk."
    )
    inject: Path | None = Field(default=None, description="A Unix socket that takes messages as JSON lines.")

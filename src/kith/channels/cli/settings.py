"""The settings of the terminal channel."""

from __future__ import annotations

from pydantic import Field

from kith.channels.kit import ChannelSettings


class TerminalSettings(ChannelSettings):
    """Who sits at the terminal."""

    owner: str = Field(
        default="owner", min_length=1, max_length=64, description="The sender's name for what is typed here."
    )

"""The settings of the web channel."""

from __future__ import annotations

from pydantic import Field

from kith.channels.kit import ChannelSettings


class WebSettings(ChannelSettings):
    """Limits for one connection."""

    conversations: int = Field(
        default=16, ge=1, le=256, description="Conversations that one connection follows at once."
    )
    replay: int = Field(default=1000, ge=1, description="The most turns sent again when a client resumes.")

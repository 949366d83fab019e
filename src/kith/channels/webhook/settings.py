"""The settings of the webhook channel."""

from __future__ import annotations

from pydantic import Field

from kith.channels.kit import ChannelSettings


class WebhookSettings(ChannelSettings):
    """Where replies go, and the secret that both sides sign with."""

    url: str = Field(pattern=r"^https?://\S+$", description="The address that replies are posted to.")
    secret: str = Field(min_length=16, max_length=400, description="What both sides sign with; 16 characters or more.")
    retry_after: float = Field(
        default=5.0, gt=0, le=3600, description="Seconds until the next try when the receiver names none."
    )

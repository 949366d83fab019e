"""The settings of the Discord channel."""

from __future__ import annotations

from pydantic import Field, SecretStr

from kith.channels.kit import ChannelSettings


class DiscordSettings(ChannelSettings):
    """One bot."""

    token: SecretStr = Field(default=SecretStr(""), description="The bot's token, from the Developer Portal.")
    api: str = Field(
        default="https://discord.com/api/v10", pattern=r"^https?://[^\s?#]+$", description="The address of the API."
    )
    cdn: str = Field(
        default="https://cdn.discordapp.com",
        pattern=r"^https?://[^\s/?#]+$",
        description="Where attached files lie; from nowhere else are any fetched.",
    )

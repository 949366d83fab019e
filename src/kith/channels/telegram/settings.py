"""The settings of the Telegram channel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field, SecretStr

from kith.channels.kit import ChannelSettings, Lack, guarded


class TelegramSettings(ChannelSettings):
    """One bot."""

    token: SecretStr = Field(default=SecretStr(""), description="The bot's token, as @BotFather gives it.")
    api: str = Field(
        default="https://api.telegram.org",
        pattern=r"^https?://[^\s?#]+$",
        description="The address of the Bot API: Telegram's, or that of a server of your own.",
    )
    mode: Literal["polling", "calls"] = Field(
        default="polling", description="Whether Kith asks for updates, or Telegram calls Kith."
    )
    url: str = Field(
        default="",
        pattern=r"^(https://\S+)?$",
        description="With mode `calls`: the address at which Telegram reaches us.",
    )
    secret: SecretStr = Field(
        default=SecretStr(""),
        description="With mode `calls`: what Telegram shows with each call; A-Z a-z 0-9 _ -, 16 to 256.",
    )
    poll: int = Field(default=25, ge=1, le=50, description="Seconds that one question for updates stays open.")

    def lacks(self) -> Sequence[Lack]:
        """Where Telegram calls, and what it shows there."""
        if self.mode != "calls":
            return ()
        address = () if self.url else (Lack("url", "with", "mode: calls"),)
        return *address, *guarded("secret", self.secret, 16, "mode: calls")

"""The settings of the WhatsApp channel."""

from __future__ import annotations

from pydantic import Field, SecretStr

from kith.channels.kit import ChannelSettings


class WhatsappSettings(ChannelSettings):
    """One business number, and what Meta's calls are believed by."""

    number: str = Field(
        default="",
        max_length=32,
        pattern=r"^\d*$",
        description="The id of the phone number (not the phone number itself).",
    )
    token: SecretStr = Field(default=SecretStr(""), description="The access token of a system user.")
    secret: SecretStr = Field(default=SecretStr(""), description="The app's secret: Meta signs its calls with it.")
    verify: SecretStr = Field(
        default=SecretStr(""), description="The verify token: a word of your own that Meta shows once, at the set-up."
    )
    api: str = Field(
        default="https://graph.facebook.com", pattern=r"^https?://[^\s/?#]+$", description="Where the Graph API is."
    )
    version: int = Field(default=24, ge=1, le=999, description="The version of the Graph API.")
    signs: bool = Field(
        default=True, description="Whether people see that their message was read and that a reply is being written."
    )
    verdict: float = Field(
        default=8.0,
        ge=0,
        le=15,
        description="Seconds to wait for WhatsApp's verdict on a message to somebody who has been silent for a day.",
    )

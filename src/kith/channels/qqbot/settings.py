"""The settings of the QQ channel."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr

from kith.channels.kit import ChannelSettings


class QqSettings(ChannelSettings):
    """One bot."""

    app: str = Field(
        default="", max_length=20, pattern=r"^\d*$", description="The bot's AppID, from the console at q.qq.com."
    )
    secret: SecretStr = Field(default=SecretStr(""), description="The bot's AppSecret.")
    mode: Literal["socket", "calls"] = Field(
        default="socket", description="Whether Kith connects to QQ, or QQ calls Kith (webhook)."
    )
    markdown: bool = Field(
        default=False, description="Send Markdown; QQ lets only bots do so that were given the right to."
    )
    api: str = Field(
        default="https://api.sgroup.qq.com", pattern=r"^https?://[^\s?#]+$", description="The address of the API."
    )
    tokens: str = Field(
        default="https://bots.qq.com", pattern=r"^https?://[^\s?#]+$", description="Where access tokens are given out."
    )
    media: tuple[str, ...] = Field(
        default=("qq.com", "qq.com.cn", "qpic.cn"),
        description="Hosts, with those under them, from which files that people sent are fetched.",
    )

"""The settings of the WeChat channel."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from kith.channels.kit import ChannelSettings


class WechatSettings(ChannelSettings):
    """The official account, what callbacks are sealed with, and how replies go out."""

    app: str = Field(max_length=64, pattern=r"^\w+$", description="The account's AppID.")
    secret: str = Field(min_length=1, max_length=200, description="The account's AppSecret.")
    token: str = Field(
        min_length=3, max_length=32, pattern=r"^\w+$", description="The token of the account's server settings."
    )
    key: str = Field(pattern=r"^[A-Za-z0-9]{43}$", description="The EncodingAESKey of the account's server settings.")
    reply: Literal["service", "passive"] = Field(
        default="service",
        description="How replies go out: customer-service messages, or within 5 s as the answer to the call.",
    )
    base: str = Field(
        default="https://api.weixin.qq.com", pattern=r"^https?://[^\s/]+$", description="Where the API is."
    )

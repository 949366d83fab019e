"""The settings of the WeCom channel."""

from __future__ import annotations

from pydantic import Field

from kith.channels.kit import ChannelSettings


class WecomSettings(ChannelSettings):
    """The company, its app, and what callbacks are sealed with."""

    corp: str = Field(max_length=64, pattern=r"^\w+$", description="The company's id (CorpID).")
    agent: int = Field(ge=0, description="The app's number (AgentId).")
    secret: str = Field(min_length=1, max_length=200, description="The app's secret.")
    token: str = Field(max_length=32, pattern=r"^\w+$", description="The token of the app's callback.")
    key: str = Field(pattern=r"^[A-Za-z0-9]{43}$", description="The EncodingAESKey of the app's callback.")
    base: str = Field(
        default="https://qyapi.weixin.qq.com", pattern=r"^https?://[^\s/]+$", description="Where the API is."
    )

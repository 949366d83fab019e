"""The settings of the DingTalk channel."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr

from kith.channels.kit import ChannelSettings


class DingtalkSettings(ChannelSettings):
    """One app and its robot."""

    app: str = Field(max_length=64, pattern=r"^[\w-]+$", description="The app's Client ID, formerly AppKey.")
    secret: SecretStr = Field(description="The app's Client Secret, formerly AppSecret.")
    robot: str = Field(
        default="",
        max_length=64,
        pattern=r"^[\w-]*$",
        description="The robot's code (robotCode), where it is not the Client ID.",
    )
    api: str = Field(
        default="https://api.dingtalk.com", pattern=r"^https?://[^\s/?#]+$", description="Where the API is."
    )
    oapi: str = Field(
        default="https://oapi.dingtalk.com",
        pattern=r"^https?://[^\s/?#]+$",
        description="Where files are laid, and where replies to a session go.",
    )
    reply: Literal["api", "session"] = Field(
        default="api",
        description="Whether replies go through the API, or first to the session's address, which is no API call.",
    )

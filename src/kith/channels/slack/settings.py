"""The settings of the Slack channel."""

from __future__ import annotations

from pydantic import Field, SecretStr

from kith.channels.kit import ChannelSettings


class SlackSettings(ChannelSettings):
    """One app in one workspace."""

    token: SecretStr = Field(default=SecretStr(""), description="The bot user's token, which begins with xoxb-.")
    app_token: SecretStr = Field(
        default=SecretStr(""), description="The app's token for Socket Mode, which begins with xapp-."
    )
    signing_secret: SecretStr = Field(
        default=SecretStr(""), description="Without Socket Mode: what Slack signs its calls with."
    )
    api: str = Field(
        default="https://slack.com/api", pattern=r"^https?://[^\s?#]+$", description="The address of the Web API."
    )

"""The settings of the Slack channel."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field, SecretStr

from kith.channels.kit import ChannelSettings, Lack


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

    def lacks(self) -> Sequence[Lack]:
        """One of the two ways in."""
        if self.app_token.get_secret_value() or self.signing_secret.get_secret_value():
            return ()
        return Lack("app_token", "either", "signing_secret"), Lack("signing_secret", "either", "app_token")

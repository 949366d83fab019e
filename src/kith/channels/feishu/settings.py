"""The settings of the Feishu channel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field, SecretStr

from kith.channels.kit import ChannelSettings, Lack


class FeishuSettings(ChannelSettings):
    """One app and its bot."""

    app: str = Field(max_length=68, pattern=r"^cli_\w+$", description="The app's id (App ID), which begins with cli_.")
    secret: SecretStr = Field(description="The app's secret (App Secret).")
    base: str = Field(
        default="https://open.feishu.cn",
        pattern=r"^https?://[^\s/?#]+$",
        description="Where the platform is: https://open.feishu.cn, or https://open.larksuite.com for Lark.",
    )
    mode: Literal["socket", "calls"] = Field(
        default="socket", description="Whether Kith keeps a long connection open, or Feishu calls Kith."
    )
    encrypt_key: SecretStr = Field(
        default=SecretStr(""), description="With mode `calls`: the Encrypt Key that calls are sealed and signed with."
    )
    verification: SecretStr = Field(
        default=SecretStr(""), description="With mode `calls`, if set: the Verification Token that calls have to show."
    )
    cards: bool = Field(
        default=True,
        description="Whether replies are cards, which grow while they are made, or posts, which take only 20 edits.",
    )

    def lacks(self) -> Sequence[Lack]:
        """What calls are opened with."""
        closed = self.mode == "calls" and not self.encrypt_key.get_secret_value()
        return (Lack("encrypt_key", "with", "mode: calls"),) if closed else ()

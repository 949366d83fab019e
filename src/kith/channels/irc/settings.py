"""The settings of the IRC channel."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr

from kith.channels.kit import ChannelSettings, Lack


class IrcSettings(ChannelSettings):
    """One nick on one network."""

    host: str = Field(default="", description="The server's name or address.")
    port: int = Field(default=6697, ge=1, le=65535, description="The server's port.")
    tls: bool = Field(default=True, description="Whether the connection is encrypted; only switch it off at home.")
    authority: Path | None = Field(
        default=None, description="A file with the certificate authority to trust instead of the usual ones."
    )
    nick: str = Field(
        default="kith", max_length=30, pattern=r"^[A-Za-z\[\]\\`_^{|}][\w\[\]\\`^{|}-]*$", description="The bot's name."
    )
    real_name: str = Field(default="Kith", max_length=64, description="What WHOIS tells about the bot.")
    password: SecretStr = Field(default=SecretStr(""), description="The server's own password, if it has one.")
    sasl_user: str = Field(default="", max_length=128, description="The account to log in to; empty for none.")
    sasl_password: SecretStr = Field(default=SecretStr(""), description="The account's password.")
    rooms: tuple[str, ...] = Field(
        default=(), description="The channels to join, each with its # and, after a space, its key."
    )
    identity: Literal["nick", "account"] = Field(
        default="nick", description="Who somebody is: their nick, or only the account they are logged in to."
    )
    burst: int = Field(default=5, ge=1, le=1000, description="Lines that may be sent at once.")
    per_second: float = Field(default=0.5, gt=0, le=1000, description="Lines a second in the long run.")

    def lacks(self) -> Sequence[Lack]:
        """What the account is logged in to with."""
        bare = self.sasl_user and not self.sasl_password.get_secret_value()
        return (Lack("sasl_password", "with", "sasl_user"),) if bare else ()

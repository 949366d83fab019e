"""The settings of the XMPP channel."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr

from kith.channels.kit import ChannelSettings, Lack


class XmppSettings(ChannelSettings):
    """One address on one server."""

    jid: str = Field(default="", max_length=1023, description="The bot's address, such as `kith@example.org`.")
    password: SecretStr = Field(default=SecretStr(""), description="Its password.")
    host: str = Field(default="", description="The server to connect to; empty for the domain of the address.")
    port: int = Field(default=5222, ge=1, le=65535, description="The server's port.")
    safety: Literal["tls", "starttls", "none"] = Field(
        default="starttls", description="How the connection is encrypted: `tls`, `starttls`, or `none` at home only."
    )
    authority: Path | None = Field(
        default=None, description="A file with the certificate authority to trust instead of the usual ones."
    )
    rooms: tuple[str, ...] = Field(
        default=(), description="The rooms to join, each with its address and, after a space, its password."
    )
    nick: str = Field(default="Kith", min_length=1, max_length=64, description="The bot's name in rooms.")
    receipts: bool = Field(default=True, description="Whether others are told that their message has come and is read.")

    def lacks(self) -> Sequence[Lack]:
        """A whole address."""
        return () if "@" in self.jid else (Lack("jid", "form", "name@example.org"),)

"""The settings of the e-mail channel."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr

from kith.channels.kit import ChannelSettings

Safety = Literal["tls", "starttls", "none"]


class EmailSettings(ChannelSettings):
    """One mailbox and the server that sends for it."""

    address: str = Field(default="", max_length=254, description="The mailbox's address, from which replies come.")
    name: str = Field(default="Kith", max_length=64, description="The name beside the address.")
    imap_host: str = Field(default="", description="The server that keeps the mailbox.")
    imap_port: int = Field(default=993, ge=1, le=65535, description="Its port.")
    imap_safety: Safety = Field(
        default="tls", description="How the connection is encrypted: `tls`, `starttls`, or `none` at home only."
    )
    smtp_host: str = Field(default="", description="The server that takes mail; empty for the one of the mailbox.")
    smtp_port: int = Field(default=465, ge=1, le=65535, description="Its port.")
    smtp_safety: Safety = Field(
        default="tls", description="How the connection is encrypted: `tls`, `starttls`, or `none` at home only."
    )
    authority: Path | None = Field(
        default=None, description="A file with the certificate authority to trust instead of the usual ones."
    )
    username: str = Field(default="", description="The user at both servers; empty for the address.")
    password: SecretStr = Field(default=SecretStr(""), description="The user's password; empty: do not log in to SMTP.")
    folder: str = Field(default="INBOX", pattern=r"^[\x20-\x7e]{1,200}$", description="The folder that is read.")
    verified_by: str = Field(
        default="",
        description="The name under which your mail server writes Authentication-Results; then only mail that passed "
        "DMARC is read. Without it anybody can write under any sender.",
    )
    largest: int = Field(
        default=25_000_000, ge=10_000, le=100_000_000, description="Bytes of one mail that are read; the rest is left."
    )
    poll: float = Field(
        default=30.0, gt=0, le=300, description="Seconds between looks into a mailbox that cannot tell (no IDLE)."
    )

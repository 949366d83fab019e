"""The settings of the MQTT channel."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr

from kith.channels.kit import ChannelSettings


class MqttSettings(ChannelSettings):
    """One broker, under one client id."""

    host: str = Field(default="", description="The broker's name or address.")
    port: int = Field(default=8883, ge=1, le=65535, description="The broker's port.")
    tls: bool = Field(default=True, description="Whether the connection is encrypted; only switch it off at home.")
    authority: Path | None = Field(
        default=None, description="A file with the certificate authority to trust instead of the usual ones."
    )
    username: str = Field(default="", description="The user at the broker; empty for none.")
    password: SecretStr = Field(default=SecretStr(""), description="The user's password.")
    client: str = Field(
        default="kith",
        max_length=64,
        pattern=r"^[\w.-]+$",
        description="The client id, under which the broker keeps messages while Kith is away; no other may use it.",
    )
    prefix: str = Field(
        default="kith", pattern=r"^[^+#/\x00-\x1f][^+#\x00-\x1f]{0,99}$", description="The first part of every topic."
    )
    qos: Literal[1, 2] = Field(default=1, description="The quality of service of replies.")
    keepalive: int = Field(default=20, ge=5, le=600, description="Seconds between signs of life on a quiet connection.")
    bare: bool = Field(default=False, description="Whether replies are published as bare text instead of JSON.")

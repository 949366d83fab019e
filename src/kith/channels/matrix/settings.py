"""The settings of the Matrix channel."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field, SecretStr

from kith.channels.kit import ChannelSettings, Lack


class MatrixSettings(ChannelSettings):
    """One account at one homeserver."""

    homeserver: str = Field(
        default="",
        pattern=r"^(https?://[^\s/]+)?$",
        description="The homeserver's address, such as `https://matrix.org`.",
    )
    user: str = Field(default="", max_length=255, description="The bot's user id, such as `@kith:example.org`.")
    password: SecretStr = Field(default=SecretStr(""), description="Its password.")
    device: str = Field(
        default="KITH", pattern=r"^[A-Z0-9_]{1,40}$", description="What the name of its device begins with."
    )
    invited_by: tuple[str, ...] = Field(
        default=(), description="Whose invitations into rooms are followed: user ids, `*` stands for anything."
    )

    def lacks(self) -> Sequence[Lack]:
        """A whole user id."""
        return () if self.user.startswith("@") else (Lack("user", "form", "@name:example.org"),)

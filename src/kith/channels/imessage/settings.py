"""The settings of the iMessage channel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field, SecretStr

from kith.channels.kit import ChannelSettings, Lack, guarded


class ImessageSettings(ChannelSettings):
    """One BlueBubbles server."""

    server: str = Field(
        default="http://localhost:1234", pattern=r"^https?://[^\s?#]+$", description="Where the BlueBubbles server is."
    )
    password: SecretStr = Field(default=SecretStr(""), description="The server's password.")
    auth: Literal["query", "header"] = Field(
        default="query", description="How the password is shown: in the address, or as a bearer token in the header."
    )
    method: Literal["auto", "private-api", "apple-script"] = Field(
        default="auto", description="How the server sends: by its Private API where that is on, or by AppleScript."
    )
    signs: bool = Field(
        default=True,
        description="Whether people see that their message was read and that a reply is being written (Private API).",
    )
    addresses: tuple[str, ...] = Field(
        default=(), description="Our own numbers and addresses, for mentions in groups; the server's Apple ID is known."
    )
    poll: int = Field(default=5, ge=1, le=60, description="Seconds between two questions for messages.")
    url: str = Field(
        default="",
        pattern=r"^(https?://[^\s?#]+)?$",
        description="The address at which the server reaches us; empty: Kith only asks.",
    )
    secret: SecretStr = Field(
        default=SecretStr(""), description="What the server shows with each call to `url`; 16 characters or more."
    )

    def lacks(self) -> Sequence[Lack]:
        """What the server shows with its calls."""
        return guarded("secret", self.secret, 16, "url") if self.url else ()

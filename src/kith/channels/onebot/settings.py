"""The settings of the OneBot channel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field, SecretStr

from kith.channels.kit import ChannelSettings, Lack, guarded


class OnebotSettings(ChannelSettings):
    """One QQ account behind one OneBot program."""

    mode: Literal["client", "server", "calls"] = Field(
        default="client",
        description="`client`: Kith connects to the program's WebSocket; `server`: the program connects to Kith's; "
        "`calls`: the program calls Kith over HTTP.",
    )
    url: str = Field(
        default="ws://127.0.0.1:3001",
        pattern=r"^(ws|http)s?://[^\s#]+$",
        description="Where the program is: its WebSocket with `client`, its HTTP API with `calls`.",
    )
    token: SecretStr = Field(default=SecretStr(""), description="The access token that the program was given.")
    listen: str = Field(
        default="127.0.0.1:6199",
        pattern=r"^[^\s:/]+:\d{1,5}$",
        description="With mode `server`: the address and port at which Kith awaits the program.",
    )
    secret: SecretStr = Field(
        default=SecretStr(""), description="With mode `calls`: what the program signs its calls with."
    )
    bots: tuple[str, ...] = Field(default=(), description="QQ numbers that are programs, besides QQ's own bots.")

    def lacks(self) -> Sequence[Lack]:
        """An address that fits the mode, and what the program is believed by."""
        web = self.url.startswith("http")
        match self.mode:
            case "client":
                return (Lack("url", "form", "ws://… / wss://…"),) if web else ()
            case "server":
                near = self.listen.rpartition(":")[0] in ("127.0.0.1", "localhost")
                return () if near or self.token.get_secret_value() else (Lack("token", "with", "listen"),)
            case "calls":
                address = () if web else (Lack("url", "form", "http://… / https://…"),)
                return *address, *guarded("secret", self.secret, 8, "mode: calls")

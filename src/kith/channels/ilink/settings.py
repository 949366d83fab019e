"""The settings of the iLink channel."""

from __future__ import annotations

from pydantic import Field, SecretStr

from kith.channels.kit import ChannelSettings

ADDRESS = r"^https?://[^\s?#]+$"


class IlinkSettings(ChannelSettings):
    """One bot. `kith channels add` shows a QR code and fills these in."""

    token: SecretStr = Field(default=SecretStr(""), description="The bot's token; scanning the QR code gives it.")
    owner: str = Field(default="", max_length=128, description="Who scanned the QR code, as WeChat names them.")
    base: str = Field(default="https://ilinkai.weixin.qq.com", pattern=ADDRESS, description="Where the API is.")
    cdn: str = Field(
        default="https://novac2c.cdn.weixin.qq.com/c2c",
        pattern=ADDRESS,
        description="Where pictures and files are.",
    )

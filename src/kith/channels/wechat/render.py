"""A reply, to the bodies of ``message/custom/send`` or to the one XML letter that a call is answered with."""

from __future__ import annotations

from typing import Any
from xml.sax.saxutils import escape

from kith.channels.kit import pieces, plain, split
from kith.core.people import Parcel

# A text of more than 2,048 bytes is refused (45002).
LIMIT = 2000


def render(parcel: Parcel) -> list[dict[str, Any]]:
    """One body for each piece of a reply."""
    return [
        {"touser": parcel.target, "msgtype": "text", "text": {"content": piece}}
        for piece in pieces(_clean(parcel), LIMIT, "bytes")
    ]


def letter(parcel: Parcel, account: str, at: float) -> str:
    """The reply as an XML letter from `account` (the id in ToUserName); what is beyond the limit is left out."""
    text = _clean(parcel)
    if len(text.encode()) > LIMIT:
        text = split(text, LIMIT - 3, "bytes")[0] + "…"
    return (
        f"<xml><ToUserName>{escape(parcel.target)}</ToUserName><FromUserName>{escape(account)}</FromUserName>"
        f"<CreateTime>{int(at)}</CreateTime><MsgType>text</MsgType><Content>{escape(text)}</Content></xml>"
    )


def sealed(cipher: str, signature: str, stamp: str, nonce: str) -> bytes:
    """The answer to a call: a closed letter and its signature."""
    return (
        f"<xml><Encrypt>{cipher}</Encrypt><MsgSignature>{signature}</MsgSignature>"
        f"<TimeStamp>{stamp}</TimeStamp><Nonce>{escape(nonce)}</Nonce></xml>"
    ).encode()


def _clean(parcel: Parcel) -> str:
    text = plain(parcel.message).encode("utf-8", "replace").decode("utf-8")
    return "".join(char for char in text if char >= " " or char in "\n\t")

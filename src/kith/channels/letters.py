"""What Tencent's platforms for companies and public accounts share: sealed callbacks in XML, and an API behind a token.

The seal is their "message encryption": AES-256-CBC, the first 16 bytes of the key as the initial vector, PKCS#7 to
blocks of 32 bytes, over 16 random bytes, the length (4 bytes, big-endian), the message, and the owner's id; its
signature is the SHA-1 of token, timestamp, nonce and cipher text, sorted and joined.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast
from xml.etree import ElementTree

import httpx
import msgspec
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from kith.channels.arrival import Arrival, check_name, check_text, message_id
from kith.channels.media import PENDING, part_for
from kith.channels.replay import Replay
from kith.core.clock import Clock
from kith.core.errors import Invalid, Refused, Unavailable
from kith.core.message import Audio, Envelope, File, Image, Message, Part, Text

_BLOCK = 32
_LARGEST = 256 * 1024
_EARLY = 300.0
_STALE = frozenset({40001, 40014, 42001})
_WAIT = {-1: 1.0, 45009: 60.0, 45011: 60.0, 45033: 5.0}
_CREDENTIAL = frozenset({40001, 40013, 40125, 40164, 41002, 41004, 60020, 40243, 89503})


def tags(raw: str | bytes) -> dict[str, str]:
    """The direct children of an XML letter and their texts. Raises `Invalid`; entities are never expanded."""
    try:
        text = raw.decode() if isinstance(raw, bytes) else raw
        text.encode()
    except UnicodeError:
        raise Invalid("not a letter: it is not UTF-8", code="bad_frame") from None
    if len(text) > _LARGEST or "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise Invalid("not a letter: too large, or it declares entities", code="bad_frame")
    try:
        root = ElementTree.fromstring(text)  # noqa: S314  # without a document type there are no entities to expand
    except (ElementTree.ParseError, ValueError) as error:
        raise Invalid(f"not a letter: {type(error).__name__}", code="bad_frame") from None
    return {child.tag: child.text or "" for child in root}


def read_letter(raw: object, arrival: Arrival, channel: str) -> Envelope | None:
    """The message in an opened letter; None for events (joined, left, opened). Raises `Invalid`.

    Media are named by their media id until they are fetched (`collect`).
    """
    if not isinstance(raw, str | bytes):
        raise Invalid("not a letter: XML is wanted", code="bad_frame")
    letter = tags(raw)
    kind = letter.get("MsgType", "")
    if kind in ("event", "link"):
        return None
    sender = check_name(letter.get("FromUserName", ""), "FromUserName")
    platform_id = check_name(letter.get("MsgId", ""), "MsgId")
    return Envelope(
        channel=channel,
        account=arrival.account,
        platform_id=platform_id,
        sender=sender,
        conversation=sender,
        message=Message(message_id(channel, arrival.account, platform_id), "user", (_part(kind, letter),), arrival.at),
    )


def _part(kind: str, letter: Mapping[str, str]) -> Part:
    match kind:
        case "text":
            return Text(check_text(letter.get("Content", "")))
        case "image":
            return Image(_pending(letter), "image/jpeg")
        case "voice":
            if heard := letter.get("Recognition", ""):
                return Text(check_text(heard))
            return Audio(_pending(letter), "audio/amr")
        case "video" | "shortvideo":
            return File(_pending(letter), "video/mp4", "video.mp4")
        case "file":
            return part_for("", _pending(letter), letter.get("FileName", "") or letter.get("Title", ""))
        case "location":
            place = " ".join(letter.get(key, "")[:200] for key in ("Label", "Location_X", "Location_Y"))
            return Text(check_text(place))
        case _:
            raise Invalid(f"a message of the kind {kind[:40]!r} is not understood", code="bad_frame")


def _pending(letter: Mapping[str, str]) -> str:
    return PENDING + check_name(letter.get("MediaId", ""), "MediaId")


class Seal:
    """Opens and closes letters of one `owner` (the company's or the account's id).

    `key` is the EncodingAESKey of the console, 43 characters.
    """

    def __init__(self, token: str, key: str, owner: str) -> None:
        self._token, self._owner = token, owner.encode()
        try:
            self._key = base64.b64decode(key + "=")
        except (binascii.Error, ValueError):
            self._key = b""
        if len(self._key) != _BLOCK:
            raise Invalid("the EncodingAESKey has to be 43 characters of Base64", code="bad_field")

    def sign(self, *parts: str) -> str:
        """The signature of `parts`, in hex."""
        joined = "".join(sorted((self._token, *parts)))
        return hashlib.sha1(joined.encode("utf-8", "replace")).hexdigest()  # noqa: S324  # what the platform signs with

    def check(self, shown: str, *parts: str) -> None:
        """Raises `Refused` (code ``bad_signature``) when `shown` is not the signature of `parts`."""
        if not hmac.compare_digest(shown.encode("utf-8", "replace"), self.sign(*parts).encode()):
            raise Refused("the signature of this call is not good", code="bad_signature")

    def open(self, sealed: str) -> bytes:
        """The message in the Base64 text `sealed`. Raises `Invalid` (code ``bad_frame``)."""
        try:
            data = base64.b64decode(sealed, validate=True)
            if not data or len(data) % 16:
                raise ValueError
            cipher = Cipher(algorithms.AES(self._key), modes.CBC(self._key[:16])).decryptor()
            whole = cipher.update(data) + cipher.finalize()
        except (binascii.Error, ValueError):
            raise Invalid("the letter cannot be opened", code="bad_frame") from None
        pad = whole[-1]
        size = int.from_bytes(whole[16:20], "big")
        body = whole[20 : len(whole) - pad]
        good = 1 <= pad <= _BLOCK and whole[-pad:] == bytes([pad]) * pad and size <= len(body)
        if not good or body[size:] != self._owner:
            raise Invalid("the letter is for somebody else, or its key is another one", code="bad_frame")
        return body[:size]

    def close(self, message: bytes) -> str:
        """`message` sealed, as Base64 text."""
        whole = secrets.token_bytes(16) + len(message).to_bytes(4, "big") + message + self._owner
        pad = _BLOCK - len(whole) % _BLOCK
        cipher = Cipher(algorithms.AES(self._key), modes.CBC(self._key[:16])).encryptor()
        return base64.b64encode(cipher.update(whole + bytes([pad]) * pad) + cipher.finalize()).decode()


@dataclass(frozen=True, slots=True)
class Post:
    """Where the API is, and how a token is asked for: `path` with `query` gives ``access_token``."""

    base: str
    path: str
    query: Mapping[str, str]


class Desk:
    """The API. A token is kept until shortly before it ends, and asked for anew when the platform calls it stale."""

    def __init__(self, client: httpx.AsyncClient, clock: Clock, post: Post) -> None:
        self._client, self._clock, self._post = client, clock, post
        self._token, self._until = "", 0.0
        self._lock = asyncio.Lock()

    async def token(self) -> str:
        """A token that is good. Raises `Refused` for a wrong secret or address, `Unavailable` to be tried again."""
        async with self._lock:
            if not self._token or self._clock.now() >= self._until:
                told = self._read(await self._ask("GET", self._post.path, dict(self._post.query)))
                if (code := told.get("errcode", 0)) in _CREDENTIAL:
                    raise Refused(f"the platform refuses the id or secret, or this address ({code})")
                self._judge(told)
                token, lasts = told.get("access_token"), told.get("expires_in")
                if not isinstance(token, str) or not token or not isinstance(lasts, int):
                    raise Unavailable("the platform gave no token", retry_after=5.0)
                self._token, self._until = token, self._clock.now() + max(lasts - _EARLY, 30.0)
            return self._token

    async def call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, query: Mapping[str, str] | None = None,
        file: tuple[str, bytes, str] | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        """What the API says. Raises `Unavailable` with the seconds to wait, `Invalid` for what it does not want.

        `file` (name, bytes, type) is sent as a form's field ``media``, in place of a `body`.
        """
        for last in (False, True):
            token = await self.token()
            told = self._read(await self._ask(method, path, {"access_token": token, **(query or {})}, body, file))
            if told.get("errcode", 0) not in _STALE or last:
                break
            self._forget(token)
        self._judge(told)
        return told

    async def store(self, kind: str, data: bytes, name: str, mime: str) -> str:
        """Upload a file for three days; the name by which a message mentions it. Raises as `call`."""
        told = await self.call("POST", "/cgi-bin/media/upload", query={"type": kind}, file=(name, data, mime))
        return str(told.get("media_id", ""))

    async def fetch(self, name: str, most: int) -> tuple[bytes, str]:
        """The bytes of the media called `name`, and their type. Raises as `call`, `Invalid` for more than `most`."""
        query = {"access_token": await self.token(), "media_id": name}
        answer = await self._ask("GET", "/cgi-bin/media/get", query)
        kind = answer.headers.get("content-type", "").partition(";")[0].strip()
        if kind in ("application/json", "text/plain"):
            self._judge(self._read(answer))
            raise Invalid("the platform gave no file", code="not_wanted")
        if len(answer.content) > most:
            raise Invalid("the file is too large", code="too_large")
        return answer.content, kind

    def _forget(self, token: str) -> None:
        if self._token == token:
            self._token = ""

    async def _ask(
        self, method: str, path: str, query: dict[str, str], body: Mapping[str, Any] | None = None,
        file: tuple[str, bytes, str] | None = None,
    ) -> httpx.Response:  # fmt: skip
        content = None if body is None else msgspec.json.encode(body)
        files = None if file is None else {"media": file}
        try:
            answer = await self._client.request(
                method, self._post.base + path, params=query, content=content, files=files
            )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Unavailable(f"the platform cannot be reached ({type(error).__name__})", retry_after=1.0) from None
        if answer.status_code == 429 or answer.status_code >= 500:
            wait = answer.headers.get("retry-after", "")
            after = min(float(wait), 3600.0) if wait.isdecimal() and len(wait) < 6 else 5.0
            raise Unavailable(f"the platform says {answer.status_code}", retry_after=after)
        if not answer.is_success:
            raise Invalid(f"the platform does not want this ({answer.status_code})", code="not_wanted")
        return answer

    @staticmethod
    def _read(answer: httpx.Response) -> dict[str, Any]:
        try:
            told: object = msgspec.json.decode(answer.content)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            told = None
        if not isinstance(told, dict):
            raise Unavailable("the platform's answer makes no sense", retry_after=5.0)
        return cast("dict[str, Any]", told)

    def _judge(self, told: Mapping[str, Any]) -> None:
        code = told.get("errcode", 0)
        if code == 0:
            return
        if code in _WAIT or code in _STALE:
            if code in _STALE:
                self._token = ""
            raise Unavailable(f"the platform says {code}", retry_after=_WAIT.get(code, 5.0))
        raise Invalid(f"the platform does not want this ({code})", code="not_wanted")


class Office:
    """A desk from `open` to `close`, and what it takes to believe a call: the seal is good, and the call new."""

    def __init__(self, seal: Seal, replay: Replay) -> None:
        self._seal, self._replay = seal, replay
        self._client: httpx.AsyncClient | None = None
        self._desk: Desk | None = None

    async def open(self, client: httpx.AsyncClient, clock: Clock, post: Post) -> None:
        """Ask for a token. Raises `Unavailable`, or `Refused` for a wrong secret or an address not on the list."""
        self._client, self._desk = client, Desk(client, clock, post)
        await self._desk.token()

    async def close(self) -> None:
        """Let go of the connection."""
        client, self._client, self._desk = self._client, None, None
        if client is not None:
            await client.aclose()

    @property
    def desk(self) -> Desk:
        """The API. Raises `Unavailable` while it is not open."""
        if self._desk is None:
            raise Unavailable("the channel is not started")
        return self._desk

    def believed(self, body: bytes, query: Mapping[str, str]) -> tuple[str, str]:
        """The cipher text of a call and its signature. Raises `Refused` for one that is not good or not new."""
        stamp, nonce, shown = (query.get(key, "") for key in ("timestamp", "nonce", "msg_signature"))
        cipher = tags(body).get("Encrypt", "")
        self._seal.check(shown, stamp, nonce, cipher)
        self._replay.check(float(stamp) if stamp.isascii() and stamp.isdigit() and len(stamp) < 13 else 0.0, shown)
        return cipher, shown

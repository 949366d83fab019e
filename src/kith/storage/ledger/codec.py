"""Domain objects to stored bytes and back, sealed where the database itself does not encrypt its files."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any, Protocol, TypeVar, cast

from pydantic_core import PydanticSerializationError

from kith.core.errors import Invalid
from kith.runtime.codec import decode, encode

T = TypeVar("T")


class Seal(Protocol):
    """Encrypts and decrypts one stored value. `open` raises `Refused` when it was not sealed by this key."""

    def close(self, clear: bytes) -> bytes: ...

    def open(self, sealed: bytes) -> bytes: ...


class Clear:
    """The seal of a database whose files are encrypted as a whole."""

    def close(self, clear: bytes) -> bytes:
        return clear

    def open(self, sealed: bytes) -> bytes:
        return sealed


class Codec:
    """Packs objects, and makes `mark`s: keyed digests by which a row is found without telling what it is about."""

    def __init__(self, seal: Seal, secret: bytes) -> None:
        self._seal = seal
        self._secret = secret

    def pack(self, value: Any) -> bytes:
        """The stored form of a domain object. Half characters (lone surrogates) become question marks."""
        try:
            raw = encode(value)
        except (PydanticSerializationError, UnicodeEncodeError):
            raw = json.dumps(_clean(value), ensure_ascii=False).encode()
        return self._seal.close(raw)

    def unpack(self, cls: type[T], stored: bytes) -> T:
        """The object that `pack` stored. Raises `Invalid` when it is damaged."""
        return decode(cls, self._seal.open(bytes(stored)))

    def mapping(self, stored: bytes) -> dict[str, Any]:
        """The JSON object that `document` stored. Raises `Invalid` when it is damaged."""
        try:
            return cast("dict[str, Any]", json.loads(self._seal.open(bytes(stored))))
        except ValueError:
            raise Invalid("a stored record is damaged") from None

    def document(self, value: Mapping[str, Any]) -> bytes:
        """The stored form of a JSON-shaped mapping. Raises `Invalid` when it is not JSON-shaped."""
        try:
            return self._seal.close(_json(value))
        except (TypeError, ValueError):  # most are plain JSON; what is not, is looked at more closely
            pass
        try:
            return self._seal.close(_json(_clean(dict(value))))
        except (TypeError, ValueError) as error:
            raise Invalid(f"this cannot be stored as JSON: {error}") from None

    def text(self, value: str) -> bytes:
        """The stored form of a short text, such as the reason of a failure."""
        return self._seal.close(value.encode("utf-8", "replace"))

    def words(self, stored: bytes) -> str:
        """The text that `text` stored."""
        return self._seal.open(bytes(stored)).decode() if stored else ""

    def mark(self, *parts: str) -> bytes:
        """16 bytes that stand for `parts`; without the database's secret nobody can tell or guess them."""
        joined = "\x1f".join(f"{len(part)}:{part}" for part in parts).encode("utf-8", "surrogatepass")
        return hashlib.blake2b(joined, digest_size=16, key=self._secret).digest()

    def derive(self, purpose: str) -> bytes:
        """32 bytes for `purpose`, from the database's secret."""
        return hashlib.blake2b(purpose.encode(), digest_size=32, key=self._secret, person=b"kith-derived").digest()


_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _json(value: Any) -> bytes:
    return _ENCODER.encode(value).encode()


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if dataclasses.is_dataclass(value):
        return {field.name: _clean(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {_clean(key): _clean(item) for key, item in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [_clean(item) for item in cast("list[Any]", value)]
    return value

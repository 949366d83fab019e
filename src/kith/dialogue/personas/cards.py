"""Character cards, as people share them, read as personas: V1, V2 and V3, in JSON or inside of a PNG picture.

Sources: https://github.com/malfoyslastname/character-card-spec-v2 and https://github.com/kwaroran/character-card-spec-v3.
A card comes from strangers: its size, its chunks and its text are bounded, and only what a persona has is taken.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import struct
import zlib
from collections.abc import Mapping
from typing import Any, cast

from kith.core.errors import Fault, Invalid
from kith.dialogue.personas.persona import Lore, Persona
from kith.runtime.documents import parse_document, validate

LIMIT = 8 * 1024 * 1024
_TEXT = 1024 * 1024  # bytes of one chunk's text, unpacked
_CHUNKS = 10_000
_BOOK = 200  # entries of a character book that are read
_PNG = b"\x89PNG\r\n\x1a\n"
_MACRO = re.compile(r"\{\{\s*(char|user)\s*\}\}|<(BOT|USER)>", re.IGNORECASE)


def read_persona(raw: bytes, name: str) -> tuple[Persona, bytes]:
    """The persona in a file called `name`, and its picture where the file is one. Raises `Invalid`."""
    if len(raw) > LIMIT:
        raise _bad(name, f"is larger than {LIMIT >> 20} MiB")
    if raw.startswith(_PNG):
        return _card(_json(_chunk(raw, name), name), name), raw
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _bad(name, "is neither a PNG picture nor UTF-8 text") from None
    if text.lstrip().startswith("{"):
        data = _json(text, name)
        if "name" not in data or {"data", "spec", "description", "first_mes"} & set(data):
            return _card(data, name), b""
        return validate(Persona, parse_document(text, name, "json")), b""
    return validate(Persona, parse_document(text, name)), b""


def _chunk(raw: bytes, name: str) -> str:
    """The card inside of a picture: that of V3 (``ccv3``) before that of V2 (``chara``)."""
    found: dict[str, bytes] = {}
    place = len(_PNG)
    for _ in range(_CHUNKS):
        if place + 12 > len(raw):
            break
        size, kind = struct.unpack(">I4s", raw[place : place + 8])
        body = raw[place + 8 : place + 8 + size]
        if len(body) < size:
            raise _bad(name, "ends within a chunk")
        if kind in (b"tEXt", b"zTXt", b"iTXt"):
            key, text = _text(kind, body, name)
            found.setdefault(key, text)
        if kind == b"IEND":
            break
        place += 12 + size
    packed = found.get("ccv3") or found.get("chara")
    if packed is None:
        raise _bad(name, "is a picture without a character card")
    try:
        return base64.b64decode(packed, validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        raise _bad(name, "has a character card that cannot be read") from None


def _text(kind: bytes, body: bytes, name: str) -> tuple[str, bytes]:
    key, _, rest = body.partition(b"\0")
    if kind == b"zTXt":
        rest = _unpacked(rest[1:], name)
    elif kind == b"iTXt" and len(rest) > 2:
        packed, parts = rest[0], rest[2:].split(b"\0", 2)
        rest = parts[2] if len(parts) == 3 else b""
        rest = _unpacked(rest, name) if packed else rest
    return key.decode("latin-1").casefold(), rest


def _unpacked(data: bytes, name: str) -> bytes:
    engine = zlib.decompressobj()
    try:
        text = engine.decompress(data, _TEXT)
    except zlib.error:
        raise _bad(name, "has a chunk that cannot be unpacked") from None
    if engine.unconsumed_tail:
        raise _bad(name, "has a chunk that unpacks to more than 1 MiB")
    return text


def _json(text: str, name: str) -> dict[str, Any]:
    try:
        data = cast("object", json.loads(text))
    except (ValueError, RecursionError):
        raise _bad(name, "has a character card that is not JSON") from None
    if not isinstance(data, dict):
        raise _bad(name, "has a character card that is no object")
    return cast("dict[str, Any]", data)


def _card(data: Mapping[str, Any], name: str) -> Persona:
    inner = data.get("data")
    card = cast("Mapping[str, Any]", inner) if isinstance(inner, dict) else data
    called = _words(card, "nickname", 60) or _words(card, "name", 60)
    if not called:
        raise _bad(name, "has a character card without a name")
    character = " ".join(filter(None, (_words(card, "description", 1200), _words(card, "personality", 600))))
    scene = _words(card, "scenario", 400)
    found = {
        "name": called,
        "character": _filled(" ".join(filter(None, (character, scene))), called)[:700].strip(),
        "style": _filled(_words(card, "mes_example", 600).replace("<START>", ""), called)[:300].strip(),
        "greeting": _filled(_words(card, "first_mes", 600), called)[:600].strip(),
    }
    return Persona.model_validate({**found, "knowledge": _book(card, called)})


def _book(card: Mapping[str, Any], called: str) -> tuple[Lore, ...]:
    """What a card's book says under its keys; an entry that is switched off, or has no plain key, is left out."""
    book = card.get("character_book")
    entries = cast("dict[str, Any]", book).get("entries") if isinstance(book, dict) else None
    rows = cast("list[Any]", entries)[:_BOOK] if isinstance(entries, list) else []
    found: list[Lore] = []
    for row in (cast("dict[str, Any]", entry) for entry in rows if isinstance(entry, dict)):
        listed = row.get("keys")
        keys = [_words({"k": key}, "k", 60) for key in cast("list[Any]", listed)] if isinstance(listed, list) else []
        keys = [key for key in keys if key][:20]
        text = _filled(_words(row, "content", 600), called)[:600].strip()
        if keys and text and row.get("enabled", True) is not False and not row.get("use_regex"):
            found.append(Lore(keys=tuple(keys), text=text))
    return tuple(found)


def _words(card: Mapping[str, Any], key: str, most: int) -> str:
    """A text of the card without control characters; its instructions to models (system prompts) are not taken."""
    value = card.get(key)
    if not isinstance(value, str):
        return ""
    clean = "".join(c if c >= " " or c == "\n" else " " for c in value.encode("utf-8", "replace").decode())
    return clean.strip()[:most]


def _filled(text: str, called: str) -> str:
    return _MACRO.sub(lambda found: called if (found[1] or found[2]).lower() in ("char", "bot") else "you", text)


def _bad(name: str, reason: str) -> Invalid:
    return Invalid(f"{name} cannot be used", faults=(Fault("", reason),), file=name, code="bad_persona")

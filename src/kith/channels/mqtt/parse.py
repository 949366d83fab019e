"""A published message, to an envelope."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any, cast

import msgspec

from kith.channels.kit import PENDING, Arrival, check_name, check_text, message_id, part_for
from kith.core.errors import Invalid
from kith.core.message import Envelope, Message, Part, Text

NAME = "mqtt"
_TEXT = 256 * 1024
_LONGEST = 8 * 1024 * 1024
_FILES = 10


class _File(msgspec.Struct):
    data: str
    mime: str = ""
    name: str = ""


class _Said(msgspec.Struct):
    text: str = ""
    media: list[_File] = []
    id: str = ""
    name: str = ""
    locale: str = ""
    reply_to: str = ""


def parse(raw: Any, arrival: Arrival, prefix: str = "kith") -> Envelope | None:
    """``{"topic", "payload", "name", "retain"}``; `name` is the message's id where the payload gives none.

    The topic is ``<prefix>/in/<person>`` or ``<prefix>/in/<person>/<conversation>``: the person stands in the topic and
    not in the payload, because it is the topic that a broker's access rules can keep. The payload is text, or a JSON
    object with ``text`` or ``media`` and, if the sender likes, ``id``, ``name``, ``locale``, ``reply_to``. ``media`` is
    a list of ``{"data", "mime", "name"}`` with the bytes in Base64; they are unpacked by `unpack`. None for a retained
    message: it was said to whoever came then. Raises `Invalid`.
    """
    if not isinstance(raw, Mapping):
        raise Invalid("not a published message", code="bad_frame")
    fields = cast("Mapping[str, Any]", raw)
    place = _place(fields.get("topic"), prefix)
    if fields.get("retain"):
        return None
    said = _said(fields.get("payload"))
    platform_id = check_name(said.id or str(fields.get("name") or ""), "id")
    return Envelope(
        channel=NAME,
        account=arrival.account,
        platform_id=platform_id,
        sender=place.partition("/")[0],
        conversation=place,
        message=Message(message_id(NAME, arrival.account, platform_id), "user", _parts(said), arrival.at),
        sender_name=said.name[:128],
        reply_to=said.reply_to[:128],
        locale=said.locale[:32],
        mentioned=True,
    )


def _parts(said: _Said) -> tuple[Part, ...]:
    """The text and the files; a file is named by its place, and its size reckoned from its Base64."""
    words: tuple[Part, ...] = (Text(check_text(said.text)),) if said.text.strip() or not said.media else ()
    files = [
        part_for(file.mime, f"{PENDING}{place}", file.name, len(file.data) // 4 * 3 - file.data[-2:].count("="))
        for place, file in enumerate(said.media[:_FILES])
    ]
    return (*words, *files)


def unpack(payload: bytes, place: int, most: int) -> bytes:
    """The bytes of the file at `place`. Raises `Invalid`, with the code ``too_large`` for more than `most`."""
    try:
        data = base64.b64decode(_said(payload).media[place].data, validate=True)
    except (IndexError, binascii.Error, ValueError):
        raise Invalid("the file's bytes are not Base64", code="bad_field") from None
    if len(data) > most:
        raise Invalid("the file is too large", code="too_large")
    return data


def own_name(payload: bytes) -> bool:
    """Whether a payload gives its message an id."""
    try:
        return bool(_said(payload).id)
    except Invalid:
        return True  # it goes nowhere, and needs none


def _place(topic: Any, prefix: str) -> str:
    start = f"{prefix}/in/"
    if not isinstance(topic, str) or not topic.startswith(start):
        raise Invalid(f"the topic is not {start}…", code="bad_field")
    place = topic[len(start) :]
    if not all(place.split("/")[:2]) or place.count("/") > 1 or any(char in place for char in "+#"):
        raise Invalid("the topic names no person", code="bad_field")
    return check_name(place, "topic")


def _said(payload: Any) -> _Said:
    match payload:
        case bytes() | bytearray():
            data = bytes(payload)
        case str():
            data = payload.encode("utf-8", "surrogatepass")
        case _:
            raise Invalid("the payload is not text", code="bad_frame")
    if len(data) > _LONGEST:
        raise Invalid("the payload is too long", code="bad_frame")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise Invalid("the payload is not UTF-8", code="bad_frame") from None
    if not text.lstrip().startswith("{"):
        if len(data) > _TEXT:
            raise Invalid("the payload is too long", code="bad_frame")
        return _Said(text)
    try:
        said = msgspec.json.decode(data, type=_Said)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Invalid(f"the payload is no message: {error}", code="bad_frame") from None
    if len(said.text) > _TEXT:
        raise Invalid("the text is too long", code="bad_frame")
    return said

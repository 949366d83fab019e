"""The frames of the long connection: protocol buffers named ``pbbp2``, as Feishu's own SDKs write and read them.

``Frame``: SeqID 1, LogID 2, service 3, method 4 (0 control, 1 data), headers 5 (key 1, value 2), payload_encoding 6,
payload_type 7, payload 8, LogIDNew 9. The encoding is that of protobuf.dev, "Encoding": no library is needed for it.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace

from kith.core.errors import Invalid

CONTROL, DATA = 0, 1
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_LARGEST = 4 * 1024 * 1024
_HEADERS = 64
_PARTS = 64
_WAITING = 32
_WHOLE = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame. Numbers are 0 and texts empty where a frame does not name them."""

    method: int
    service: int = 0
    headers: tuple[tuple[str, str], ...] = ()
    payload: bytes = b""
    seq: int = 0
    log: int = 0
    encoding: str = ""
    kind: str = ""
    log_new: str = ""

    def header(self, key: str) -> str:
        """The value of a header, or nothing."""
        return next((value for name, value in self.headers if name == key), "")


def encode(frame: Frame) -> bytes:
    """The bytes of a frame. The first four fields are always there: protocol buffers 2 calls them required."""
    out = bytearray()
    for number, whole in ((1, frame.seq), (2, frame.log), (3, frame.service), (4, frame.method)):
        out += bytes([number << 3]) + _varint(whole & _WHOLE)
    for key, value in frame.headers:
        out += _text(5, _text(1, key.encode()) + _text(2, value.encode()))
    for number, text in ((6, frame.encoding), (7, frame.kind)):
        out += _text(number, text.encode()) if text else b""
    out += _text(8, frame.payload) if frame.payload else b""
    return bytes(out + _text(9, frame.log_new.encode())) if frame.log_new else bytes(out)


def decode(raw: bytes) -> Frame:
    """The frame in `raw`. Raises `Invalid` (code ``bad_frame``); fields that are not known are passed over."""
    if len(raw) > _LARGEST:
        raise Invalid("a frame is too large", code="bad_frame")
    frame, headers = Frame(CONTROL), list[tuple[str, str]]()
    for number, value in _fields(raw):
        match number, value:
            case (1, int()):
                frame = replace(frame, seq=value)
            case (2, int()):
                frame = replace(frame, log=value)
            case (3, int()):
                frame = replace(frame, service=value & 0xFFFFFFFF)
            case (4, int()):
                frame = replace(frame, method=value & 0xFFFFFFFF)
            case (5, bytes()) if len(headers) < _HEADERS:
                pair = {key: found for key, found in _fields(value) if isinstance(found, bytes)}
                headers.append((_word(pair.get(1, b"")), _word(pair.get(2, b""))))
            case (6, bytes()):
                frame = replace(frame, encoding=_word(value))
            case (7, bytes()):
                frame = replace(frame, kind=_word(value))
            case (8, bytes()):
                frame = replace(frame, payload=value)
            case (9, bytes()):
                frame = replace(frame, log_new=_word(value))
            case _:
                continue
    return replace(frame, headers=tuple(headers))


def _fields(raw: bytes) -> list[tuple[int, int | bytes]]:
    """Number and value of each field; those of fixed length are left out."""
    found, place = list[tuple[int, int | bytes]](), 0
    while place < len(raw):
        tag, place = _whole(raw, place)
        number, kind = tag >> 3, tag & 7
        match kind:
            case 0:
                value, place = _whole(raw, place)
                found.append((number, value))
            case 2:
                size, place = _whole(raw, place)
                if size > len(raw) - place:
                    raise Invalid("a frame is cut off", code="bad_frame")
                found.append((number, raw[place : place + size]))
                place += size
            case 1 | 5:
                place += 8 if kind == _FIXED64 else 4
            case _:
                raise Invalid("no frame", code="bad_frame")
    if place > len(raw):
        raise Invalid("a frame is cut off", code="bad_frame")
    return found


def _whole(raw: bytes, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(raw):
            raise Invalid("a frame is cut off", code="bad_frame")
        byte, place = raw[place], place + 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & _WHOLE, place
    raise Invalid("no frame", code="bad_frame")


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _text(number: int, data: bytes) -> bytes:
    return bytes([number << 3 | _BYTES]) + _varint(len(data)) + data


def _word(data: bytes) -> str:
    return data.decode("utf-8", "replace")


class Parts:
    """Payloads that come in several frames (headers ``sum`` and ``seq``), put together again; bounded."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, dict[int, bytes]] = OrderedDict()

    def add(self, frame: Frame) -> bytes | None:
        """The whole payload once every part is here. Raises `Invalid` for a count that makes no sense."""
        counted = frame.header("sum") or "1", frame.header("seq") or "0"
        if not all(one.isascii() and one.isdigit() and len(one) < 4 for one in counted):
            raise Invalid("a frame's parts are not numbered", code="bad_frame")
        total, number, name = int(counted[0]), int(counted[1]), frame.header("message_id")
        if total <= 1:
            return frame.payload
        if total > _PARTS or number >= total:
            raise Invalid("a frame has too many parts", code="bad_frame")
        parts = self._waiting.setdefault(name, {})
        parts[number] = frame.payload
        while len(self._waiting) > _WAITING:
            self._waiting.popitem(last=False)
        if len(parts) < total or sum(len(part) for part in parts.values()) > _LARGEST:
            return None
        del self._waiting[name]
        return b"".join(parts[place] for place in range(total))

"""What turns one model file into another, as a file that is as large as the change.

The new file is cut into segments of 64 MiB. Each is compressed by zstd with the same region of the old file, 4 MiB
more on either side, as a prefix to refer to: what moved by less than that costs next to nothing. A segment that is the
same at the same place is only named. Memory is bounded by the segment (about 400 MiB), however large files are. Every
segment carries its BLAKE3 digest, and the head that of both files: what a delta makes is either the file that was meant
or nothing.

Format: ``KITHDLT1``, the length of the head (4 bytes, little-endian), the head (JSON), then for each segment one byte
(0 same, 1 zstd), 4 bytes of length, 32 bytes of digest, and the compressed bytes.
"""

from __future__ import annotations

import contextlib
import importlib
import json
from collections.abc import Generator
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from pydantic import Field, ValidationError

from kith.core.errors import Invalid, Missing
from kith.models.fetch import room
from kith.runtime.settings import Section

SEGMENT = 64 << 20
_REACH = 4 << 20
_MAGIC = b"KITHDLT1"
_HEAD = 4096
_PIECE = 8 << 20
_LEVEL = 3
_WINDOW = 28  # log2 of the bytes that zstd may look back: segment, region and reach are 136 MiB
_SAME, _ZSTD = 0, 1


class Head(Section):
    """What a delta is for: bytes, BLAKE3 and SHA-256 of the old file and of the new one."""

    old_size: int = Field(ge=0, le=1 << 50)
    new_size: int = Field(ge=0, le=1 << 50)
    old_blake3: str = Field(pattern=r"^[0-9a-f]{64}$")
    new_blake3: str = Field(pattern=r"^[0-9a-f]{64}$")
    old_sha256: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    new_sha256: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    segment: int = Field(default=SEGMENT, ge=1 << 16, le=SEGMENT)


def make_delta(old: Path, new: Path, out: Path, sha256: tuple[str, str] = ("", ""), *, segment: int = SEGMENT) -> int:
    """Write to `out` what turns `old` into `new`, whose SHA-256 may be given; returns its bytes. Raises `Missing`."""
    zstd, blake3 = _libraries()
    head = Head(
        old_size=old.stat().st_size,
        new_size=new.stat().st_size,
        old_blake3=_blake3(old),
        new_blake3=_blake3(new),
        old_sha256=sha256[0],
        new_sha256=sha256[1],
        segment=segment,
    )
    spare = out.with_name(f".{out.name}.new")
    with _whole(spare), spare.open("w+b") as delta, old.open("rb") as before, new.open("rb") as after:
        text = head.model_dump_json().encode()
        delta.write(_MAGIC + len(text).to_bytes(4, "little") + text)
        for start in range(0, head.new_size, segment):
            plain = _read(after, start, min(segment, head.new_size - start))
            check = blake3(plain).digest()
            if _read(before, start, len(plain)) == plain:
                delta.write(bytes([_SAME]) + bytes(4) + check)
                continue
            packed = _pack(zstd, plain, _region(before, start, head))
            delta.write(bytes([_ZSTD]) + len(packed).to_bytes(4, "little") + check + packed)
        size = delta.tell()
        delta.flush()
        spare.replace(out)
    return size


def read_head(delta: Path) -> Head:
    """What a delta is for. Raises `Invalid` (code ``bad_delta``) for a file that is none."""
    with delta.open("rb") as stream:
        return _head(stream, delta)


def apply_delta(old: Path, delta: Path, out: Path) -> Head:
    """Make `out` from `old` and a delta; it is there only if every byte is right.

    Raises `Invalid` (code ``bad_delta``) for a delta that is damaged or belongs to another file, `Refused` (code
    ``disk_full``), `Missing`.
    """
    zstd, blake3 = _libraries()
    spare = out.with_name(f".{out.name}.new")
    with _whole(spare), delta.open("rb") as stream, old.open("rb") as before, spare.open("wb") as after:
        head = _head(stream, delta)
        if old.stat().st_size != head.old_size or _blake3(old) != head.old_blake3:
            _refuse(delta, f"it belongs to another file than {old.name}")
        room(out.parent, head.new_size)
        whole = blake3()
        for start in range(0, head.new_size, head.segment):
            length = min(head.segment, head.new_size - start)
            kind, size, check = _record(stream, delta)
            if kind == _SAME:
                plain = _read(before, start, length)
            else:
                plain = _unpack(zstd, _exactly(stream, size, delta), _region(before, start, head), length, delta)
            if len(plain) != length or blake3(plain).digest() != check:
                _refuse(delta, f"the part at byte {start} is not what it has to be")
            whole.update(plain)
            after.write(plain)
        if stream.read(1) or whole.hexdigest() != head.new_blake3:
            _refuse(delta, "it does not end where it has to, or makes another file")
        after.flush()
        spare.replace(out)
    return head


def _pack(zstd: Any, plain: bytes, region: bytes) -> bytes:
    options = {
        zstd.CompressionParameter.compression_level: _LEVEL,
        zstd.CompressionParameter.window_log: _WINDOW,
        zstd.CompressionParameter.enable_long_distance_matching: 1,
    }
    if not region:
        return zstd.compress(plain, options=options)
    return zstd.compress(plain, options=options, zstd_dict=zstd.ZstdDict(region, is_raw=True).as_prefix)


def _unpack(zstd: Any, packed: bytes, region: bytes, length: int, delta: Path) -> bytes:
    options = {zstd.DecompressionParameter.window_log_max: _WINDOW}
    prefix = zstd.ZstdDict(region, is_raw=True).as_prefix if region else None
    machine = zstd.ZstdDecompressor(zstd_dict=prefix, options=options)
    try:
        plain = machine.decompress(packed, max_length=length + 1)
        while not machine.eof and not machine.needs_input and len(plain) <= length:
            plain += machine.decompress(b"", max_length=length + 1 - len(plain))
    except zstd.ZstdError:
        _refuse(delta, "a part cannot be unpacked")
    return plain


def _region(before: BinaryIO, start: int, head: Head) -> bytes:
    """Where the new segment comes from, as far as one can tell: raw dictionaries need 8 bytes."""
    begin = max(0, start - _REACH)
    found = _read(before, begin, start + head.segment + _REACH - begin)
    return found if len(found) >= 8 else b""


def _record(stream: BinaryIO, delta: Path) -> tuple[int, int, bytes]:
    kind, size, check = _exactly(stream, 1, delta)[0], _exactly(stream, 4, delta), _exactly(stream, 32, delta)
    length = int.from_bytes(size, "little")
    if kind not in {_SAME, _ZSTD} or length > SEGMENT + (SEGMENT >> 7) + 1024 or (kind == _SAME and length):
        _refuse(delta, "a part is of no known kind, or too long")
    return kind, length, check


def _head(stream: BinaryIO, delta: Path) -> Head:
    if stream.read(len(_MAGIC)) != _MAGIC:
        _refuse(delta, "it does not begin as one")
    length = int.from_bytes(_exactly(stream, 4, delta), "little")
    if length > _HEAD:
        _refuse(delta, "its head is too long")
    try:
        return Head.model_validate(json.loads(_exactly(stream, length, delta)))
    except (ValueError, ValidationError, RecursionError):
        _refuse(delta, "its head cannot be read")


def _read(stream: BinaryIO, start: int, length: int) -> bytes:
    stream.seek(start)
    return stream.read(length)


def _exactly(stream: BinaryIO, length: int, delta: Path) -> bytes:
    found = stream.read(length)
    if len(found) != length:
        _refuse(delta, "it is cut off")
    return found


def _blake3(path: Path) -> str:
    _, blake3 = _libraries()
    found = blake3()
    with path.open("rb") as stream:
        while piece := stream.read(_PIECE):
            found.update(piece)
    return found.hexdigest()


def _libraries() -> tuple[Any, Any]:
    """zstd with prefixes (of the standard library from Python 3.14) and BLAKE3. Raises `Missing`."""
    for name in ("compression.zstd", "backports.zstd"):
        with contextlib.suppress(ImportError):
            return importlib.import_module(name), importlib.import_module("blake3").blake3
    raise Missing("deltas need the libraries zstd and blake3", extra="delta")


@contextlib.contextmanager
def _whole(spare: Path) -> Generator[None]:
    """Nothing half-made stays."""
    try:
        yield
    finally:
        spare.unlink(missing_ok=True)


def _refuse(delta: Path, reason: str) -> NoReturn:
    raise Invalid(f"{delta.name} is not a usable delta: {reason}", file=str(delta), code="bad_delta")

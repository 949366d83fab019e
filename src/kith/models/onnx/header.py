"""What an ONNX file says of itself, read without the native loader: a walk over protobuf that trusts no length.

https://github.com/onnx/onnx/blob/main/onnx/onnx.proto: ModelProto.graph is field 7, GraphProto.initializer field 5;
of TensorProto dims 1, data_type 2, name 8, raw_data 9, external_data 13.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from kith.core.errors import Invalid

_FIELDS = 4_000_000  # fields of one file that are walked over
_TYPES = {1: "f32", 2: "uint8", 3: "int8", 6: "int32", 7: "int64", 10: "f16", 11: "f64", 16: "bf16", 17: "fp8"}
_SMALL = {21: "uint4", 22: "int4"}


@dataclass(slots=True)
class OnnxFile:
    """A file that can be walked through. `size` includes the files of weights beside it, in bytes."""

    path: Path
    size: int
    parameters: int
    types: dict[str, int]

    @property
    def quantisation(self) -> str:
        """The element type that most weights have."""
        return max(self.types, key=lambda name: self.types[name], default="")


def read_onnx(path: Path) -> OnnxFile:
    """Read and check one file. Raises `Invalid` (code ``broken_model``) with what is wrong."""
    try:
        with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _Walk(path, data).whole()
    except (OSError, ValueError) as error:
        raise Invalid(f"{path.name} cannot be read: {error}", file=str(path), code="broken_model") from None


class _Walk:
    def __init__(self, path: Path, data: mmap.mmap) -> None:
        self.path, self.data = path, data
        self.fields = 0
        self.beside: set[Path] = set()

    def wrong(self, reason: str) -> NoReturn:
        text = f"{self.path.name} is not a usable ONNX file: {reason}"
        raise Invalid(text, file=str(self.path), code="broken_model")

    def whole(self) -> OnnxFile:
        found = OnnxFile(self.path, len(self.data), 0, {})
        graphs = [span for number, span in self.inside(0, len(self.data)) if number == 7 and isinstance(span, range)]
        if len(graphs) != 1:
            self.wrong(f"it has {len(graphs)} graphs")
        for number, span in self.inside(graphs[0].start, graphs[0].stop):
            if number == 5 and isinstance(span, range):
                elements, kind = self.tensor(span)
                found.parameters += elements
                found.types[kind] = found.types.get(kind, 0) + elements
        found.size += sum(path.stat().st_size for path in self.beside)
        return found

    def tensor(self, span: range) -> tuple[int, str]:
        elements, kind = 1, ""
        for number, value in self.inside(span.start, span.stop):
            if number == 1:
                for size in [value] if isinstance(value, int) else self.packed(value):
                    elements *= size
                    if elements > 1 << 50:
                        self.wrong("a tensor has an impossible shape")
            elif number == 2 and isinstance(value, int):
                kind = (_TYPES | _SMALL).get(value, "other")
            elif number == 13 and isinstance(value, range):
                self.external(value)
        return elements, kind

    def external(self, span: range) -> None:
        """Weights in another file lie beside this one: a path that leads away is refused."""
        parts = [(number, part) for number, part in self.inside(span.start, span.stop) if isinstance(part, range)]
        texts = {number: bytes(self.data[part.start : part.stop]) for number, part in parts}
        if texts.get(1) != b"location":
            return
        name = texts.get(2, b"").decode("utf-8", "replace")
        path = (self.path.parent / name).resolve()
        if not name or not path.is_relative_to(self.path.parent.resolve()):
            self.wrong(f"its weights are said to lie at {name[:100]!r}, outside its folder")
        if not path.is_file():
            self.wrong(f"its weights are to lie in {name[:100]!r}, which is not there")
        self.beside.add(path)

    def packed(self, span: range) -> Iterator[int]:
        at = span.start
        while at < span.stop:
            value, at = self.varint(at, span.stop)
            yield value

    def inside(self, at: int, end: int) -> Iterator[tuple[int, int | range]]:
        """(number, value or place) of each field between two places."""
        while at < end:
            self.fields += 1
            if self.fields > _FIELDS:
                self.wrong("it has too many parts")
            tag, at = self.varint(at, end)
            number, wire = tag >> 3, tag & 7
            if wire == 0:
                value, at = self.varint(at, end)
                yield number, value
                continue
            size, at = self.varint(at, end) if wire == 2 else ({1: 8, 5: 4}.get(wire, -1), at)
            if size < 0 or size > end - at or not number:
                self.wrong(f"a part at byte {at} would end beyond its whole")
            yield number, range(at, at + size)
            at += size

    def varint(self, at: int, end: int) -> tuple[int, int]:
        value = shift = 0
        while True:
            if at >= end or shift > 63:
                self.wrong(f"the number at byte {at} has no end")
            byte = self.data[at]
            value |= (byte & 127) << shift
            at, shift = at + 1, shift + 7
            if byte < 128:
                return value, at

"""What a model file says of itself, by its format. Nothing is executed, and no weight is read.

GGUF and safetensors are checked to the bounds of every tensor. An ONNX file is checked to be one: its tensors are the
business of the runtime, which has a reader of its own. Pickled files (``.pt``, ``.bin``, ``.ckpt``) are refused:
to open one is to run it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, NoReturn, cast

from kith.core.errors import Invalid
from kith.models.gguf import read_gguf

_HEADER = 32 << 20  # bytes; the largest known headers are below 10 MB
_WIDTHS = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
_WIDTHS.update({"U64": 8, "U32": 4, "U16": 2, "F8_E4M3": 1, "F8_E5M2": 1})
SUFFIXES = (".gguf", ".safetensors", ".onnx")


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known without loading. `memory` is an estimate in bytes for one conversation of `context` tokens."""

    format: str
    files: tuple[Path, ...]
    bytes: int
    architecture: str = ""
    parameters: int = 0
    tensors: int = 0
    quantisation: str = ""
    context: int = 0
    memory: int = 0
    licence: str = ""
    type: str = "llama"
    capabilities: tuple[str, ...] = ()


def inspect(path: Path, context: int = 4096, slots: int = 1) -> Facts:
    """Read and check a model file. Raises `Invalid` (code ``broken_model``) with what is wrong."""
    suffix = path.suffix.lower()
    if suffix == ".gguf":
        return _gguf(path, context, slots)
    try:
        with path.open("rb") as stream:
            head = stream.read(8)
            size = path.stat().st_size
            if suffix == ".safetensors":
                return _safetensors(path, head, stream.read(min(_HEADER, int.from_bytes(head, "little"))), size)
    except OSError as error:
        _wrong(path, f"it cannot be read ({error.strerror or error})")
    if suffix != ".onnx":
        _wrong(path, f"only {', '.join(SUFFIXES)} files can be added; to open others may run what is in them")
    return _onnx(path, head, size)


def _gguf(path: Path, context: int, slots: int) -> Facts:
    file = read_gguf(path)
    context = min(context, file.context) or context
    return Facts(
        format="gguf",
        files=file.shards,
        bytes=file.size,
        architecture=file.architecture,
        parameters=file.parameters,
        tensors=file.tensors,
        quantisation=file.quantisation,
        context=file.context,
        memory=file.memory(context, slots),
        licence=file.licence,
        type="embedding" if file.embedding else "llama",
        capabilities=file.capabilities(),
    )


def _safetensors(path: Path, head: bytes, header: bytes, size: int) -> Facts:
    """The format of https://github.com/huggingface/safetensors: a length, a JSON header, the tensors without gaps."""
    length = int.from_bytes(head, "little")
    if len(head) < 8 or not 2 <= length <= min(_HEADER, size - 8) or len(header) != length:
        _wrong(path, "its header ends beyond the end of the file")
    try:
        table: Any = json.loads(header)
    except (ValueError, RecursionError):
        table = None
    if not isinstance(table, dict):
        _wrong(path, "its header is no JSON object")
    rows = cast("dict[str, Any]", table)
    about: Any = rows.pop("__metadata__", None)
    known = cast("dict[str, Any]", about if isinstance(about, dict) else {})
    parameters, types, end = 0, dict[str, int](), 0
    for name, begin, until, shape, kind in sorted(_tensors(path, rows), key=lambda one: one[1]):
        if begin != end or until - begin != prod(shape) * _WIDTHS[kind]:
            _wrong(path, f"the tensor {name[:64]!r} is not where or as large as it has to be")
        parameters, end = parameters + prod(shape), until
        types[kind] = types.get(kind, 0) + prod(shape)
    if 8 + length + end != size:
        _wrong(path, f"its tensors end at byte {8 + length + end}, the file at {size}")
    return Facts(
        format="safetensors",
        files=(path,),
        bytes=size,
        architecture=str(known.get("modelspec.architecture", ""))[:64],
        parameters=parameters,
        tensors=len(rows),
        quantisation=max(types, key=lambda kind: types[kind], default=""),
        memory=size,
        licence=str(known.get("modelspec.license", ""))[:200],
        type="diffusion",
    )


def _tensors(path: Path, rows: Mapping[str, Any]) -> list[tuple[str, int, int, list[int], str]]:
    found: list[tuple[str, int, int, list[int], str]] = []
    for name, row in rows.items():
        try:
            begin, until = (_whole(number) for number in row["data_offsets"])
            found.append((name, begin, until, [_whole(number) for number in row["shape"]], row["dtype"]))
            _WIDTHS[row["dtype"]]
        except (TypeError, KeyError, ValueError):
            _wrong(path, f"the tensor {name[:64]!r} is not described as it has to be")
    return found


def _whole(number: Any) -> int:
    if type(number) is not int or not 0 <= number < 1 << 50:
        raise ValueError(number)
    return number


def _onnx(path: Path, head: bytes, size: int) -> Facts:
    # ModelProto: field 1 (ir_version) is a varint and comes first in every file that the exporters write
    if size < 16 or head[:1] != b"\x08" or not 0 < head[1] < 128:
        _wrong(path, "it does not begin as an ONNX model does")
    return Facts(format="onnx", files=(path,), bytes=size, memory=size, type="embedding")


def _wrong(path: Path, reason: str) -> NoReturn:
    raise Invalid(f"{path.name} is not a usable model file: {reason}", file=str(path), code="broken_model")

"""Reading GGUF: what a file says of itself, and whether the native loader may see it.

The loader is C++ and trusts the file, so every number is checked here first: nothing is allocated, looped over or
skipped before it is known to lie within the file. Versions 2 and 3 of
https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, cast

from kith.core.errors import Invalid
from kith.models.quants import BLOCKS, FILE_TYPES

_KEYS = 65_536
_TENSORS = 262_144
_NAME = 65_535
_TEXT = 64 << 20  # bytes of one string; the largest known (chat templates) are below 100 kB
_ITEMS = 8_000_000  # elements of one array of strings; the largest known vocabularies have 300,000
_KEPT = 1024  # numbers of an array that are kept
_CONTROL = 3  # token type of control tokens
_SHARD = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$")
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_RUNTIME = 64 << 20  # bytes of a runtime with nothing loaded, measured with xllamacpp


@dataclass(frozen=True, slots=True)
class GgufFile:
    """What a valid file says of itself. `weights` and `size` are in bytes, `controls` the texts of control tokens."""

    path: Path
    size: int
    weights: int
    parameters: int
    tensors: int
    metadata: Mapping[str, Any]
    types: Mapping[str, int]
    controls: tuple[str, ...] = ()
    specials: Mapping[str, str] = field(default_factory=dict[str, str])
    shards: tuple[Path, ...] = ()

    @property
    def architecture(self) -> str:
        return str(self.metadata["general.architecture"])

    @property
    def quantisation(self) -> str:
        """The declared file type, else the type that most weights have."""
        declared: Any = self.metadata.get("general.file_type")
        known = FILE_TYPES.get(declared, "") if isinstance(declared, int) else ""
        return known or max(self.types, key=lambda name: self.types[name], default="")

    @property
    def context(self) -> int:
        return self.number("context_length")

    @property
    def template(self) -> str:
        found = self.metadata.get("tokenizer.chat_template", "")
        return found if isinstance(found, str) else ""

    @property
    def licence(self) -> str:
        return str(self.metadata.get("general.license", ""))[:200]

    @property
    def embedding(self) -> bool:
        """Whether it is an encoder, good for vectors and not for talk."""
        return "bert" in self.architecture or f"{self.architecture}.pooling_type" in self.metadata

    def token(self, key: str) -> str:
        """The text of the token that ``tokenizer.ggml.<key>`` names, empty when there is none."""
        return self.specials.get(key, "")

    def number(self, key: str, default: int = 0) -> int:
        """The architecture's whole number `key`; of a list (one for each layer) the largest."""
        found: Any = self.metadata.get(f"{self.architecture}.{key}", default)
        if isinstance(found, list):
            found = max((item for item in cast("list[Any]", found) if isinstance(item, int)), default=default)
        return found if isinstance(found, int) else default

    def memory(self, context: int, slots: int = 1, batch: int = 512) -> int:
        """An estimate of the bytes needed to run it: weights, F16 keys and values, and work space.

        `context` tokens for each of `slots`; the work space is dominated by the logits or the feed-forward of a batch.
        """
        width = self.number("embedding_length")
        heads = max(1, self.number("attention.head_count", 1))
        keys = self.number("attention.key_length", width // heads)
        vectors = self.number("attention.value_length", width // heads)
        kept = (keys + vectors) * (self.number("attention.head_count_kv", heads) or heads) * 2
        cache = 0 if self.embedding else self.number("block_count") * kept * context * slots
        work = batch * max(self.number("vocab_size", 32_000), 4 * self.number("feed_forward_length")) * 4
        return self.weights + cache + work + _RUNTIME

    def capabilities(self) -> tuple[str, ...]:
        """What can be asked of it."""
        if self.embedding:
            return ("embed",)
        return ("chat", "stream", "json") if self.number("block_count") else ()


@dataclass(slots=True)
class _Tensor:
    name: str
    kind: int
    elements: int
    offset: int
    size: int


@dataclass(slots=True)
class _Reader:
    """Reads forward; refuses to go beyond the end."""

    stream: BinaryIO
    path: Path
    size: int
    at: int = 0
    vocabulary: list[bytes] = field(default_factory=list[bytes])
    token_types: bytes = b""

    def wrong(self, reason: str) -> NoReturn:
        raise Invalid(f"{self.path.name} is not a usable GGUF file: {reason}", file=str(self.path), code="broken_model")

    def take(self, count: int, what: str) -> bytes:
        if count > self.size - self.at:
            self.wrong(f"{what} at byte {self.at} would end beyond the end of the file ({self.size} bytes)")
        data = self.stream.read(count)
        if len(data) != count:
            self.wrong("it became shorter while it was read")
        self.at += count
        return data

    def skip(self, count: int, what: str) -> None:
        if count > self.size - self.at:
            self.wrong(f"{what} at byte {self.at} would end beyond the end of the file ({self.size} bytes)")
        self.at += count
        self.stream.seek(self.at)

    def u32(self, what: str) -> int:
        return int.from_bytes(self.take(4, what), "little")

    def u64(self, what: str) -> int:
        return int.from_bytes(self.take(8, what), "little")

    def raw(self, what: str, limit: int) -> bytes:
        length = self.u64(what)
        if length > limit:
            self.wrong(f"{what} claims a length of {length} bytes")
        return self.take(length, what)

    def text(self, what: str, limit: int = _TEXT) -> str:
        return self.raw(what, limit).decode("utf-8", "replace")

    def value(self, kind: int, what: str) -> Any:
        if kind == _STRING:
            return self.text(what)
        if kind == _ARRAY:
            return self.array(what)
        if kind not in _SCALARS:
            self.wrong(f"{what} has the unknown type {kind}")
        code = "<" + _SCALARS[kind]
        return struct.unpack(code, self.take(struct.calcsize(code), what))[0]

    def array(self, what: str) -> list[Any]:
        """The first elements of a list of numbers; strings are walked over, and the vocabulary is kept aside."""
        kind, count = self.u32(what), self.u64(what)
        if kind == _STRING:
            return self.strings(what, count)
        if kind not in _SCALARS:
            self.wrong(f"{what} is a list of the type {kind}")
        width = struct.calcsize("<" + _SCALARS[kind])
        if count > (self.size - self.at) // width:
            self.wrong(f"{what} claims {count} elements, more than the file can hold")
        if what == "tokenizer.ggml.token_type" and kind in {4, 5} and count <= _ITEMS:
            self.token_types = self.take(count * width, what)
            return []
        kept = min(count, _KEPT)
        values = list(struct.unpack(f"<{kept}{_SCALARS[kind]}", self.take(kept * width, what)))
        self.skip((count - kept) * width, what)
        return values

    def strings(self, what: str, count: int) -> list[Any]:
        if count > min(_ITEMS, (self.size - self.at) // 8):
            self.wrong(f"{what} claims {count} strings, more than the file can hold")
        keep = what == "tokenizer.ggml.tokens"
        for _ in range(count):
            item = self.raw(what, _NAME)
            if keep:
                self.vocabulary.append(item)
        return []


def read_gguf(path: Path) -> GgufFile:
    """Read and check one file, and the other parts of a model that is split over several.

    Raises `Invalid` (code ``broken_model``) with what is wrong and where. Reads the header only: a vocabulary of
    150,000 tokens takes about 0.1 s, the weights are not touched.
    """
    first = _read(path)
    total = first.metadata.get("split.count", 0)
    if not isinstance(total, int) or total < 2:
        return first
    match = _SHARD.search(path.name)
    if match is None or int(match[1]) != 1 or int(match[2]) != total:
        _refuse(path, f"it is one of {total} parts: give the first, named …-00001-of-{total:05}.gguf")
    stem = path.name[: match.start()]
    others = [path.with_name(f"{stem}-{part:05}-of-{total:05}.gguf") for part in range(2, total + 1)]
    for other in others:
        part = _read(other, partial=True)
        first = replace(
            first,
            size=first.size + part.size,
            weights=first.weights + part.weights,
            parameters=first.parameters + part.parameters,
            tensors=first.tensors + part.tensors,
        )
    return replace(first, shards=(path, *others))


def _refuse(path: Path, reason: str) -> NoReturn:
    raise Invalid(f"{path.name} is not a usable GGUF file: {reason}", file=str(path), code="broken_model")


def _read(path: Path, *, partial: bool = False) -> GgufFile:
    try:
        with path.open("rb", buffering=1 << 20) as stream:
            reader = _Reader(stream, path, path.stat().st_size)
            tensor_count, metadata = _header(reader)
            if not partial:
                _check_metadata(reader, metadata)
            tensors = [_tensor(reader) for _ in range(tensor_count)]
            weights = _check_tensors(reader, tensors, metadata)
    except OSError as error:
        _refuse(path, f"it cannot be read ({error.strerror or error})")
    types: dict[str, int] = {}
    for tensor in tensors:
        name = BLOCKS[tensor.kind][0]
        types[name] = types.get(name, 0) + tensor.elements
    parameters = sum(tensor.elements for tensor in tensors)
    metadata.setdefault(f"{metadata.get('general.architecture', '')}.vocab_size", len(reader.vocabulary))
    return GgufFile(
        path=path,
        size=reader.size,
        weights=weights,
        parameters=parameters,
        tensors=len(tensors),
        metadata=metadata,
        types=types,
        controls=_controls(reader),
        specials=_specials(reader, metadata),
        shards=(path,),
    )


def _header(reader: _Reader) -> tuple[int, dict[str, Any]]:
    magic = reader.take(4, "the magic number")
    if magic != b"GGUF":
        reader.wrong("it does not begin with the letters GGUF" + (" (is it a web page?)" if magic[:1] == b"<" else ""))
    version = reader.u32("the version")
    if version not in {2, 3}:
        reader.wrong(
            f"version {version} is not 2 or 3" if version < 1 << 16 else "it was written for a big-endian machine"
        )
    tensors, keys = reader.u64("the number of tensors"), reader.u64("the number of keys")
    if tensors > _TENSORS or keys > _KEYS:
        reader.wrong(f"it claims {tensors} tensors and {keys} keys")
    metadata: dict[str, Any] = {}
    for _ in range(keys):
        key = reader.text("a key", _NAME)
        if key in metadata:
            reader.wrong(f"the key {key!r} is there twice")
        metadata[key] = reader.value(reader.u32(key), key)
    return tensors, metadata


def _check_metadata(reader: _Reader, metadata: dict[str, Any]) -> None:
    name = metadata.get("general.architecture")
    if not isinstance(name, str) or not re.fullmatch(r"[a-z0-9_.-]{1,64}", name):
        reader.wrong("it does not name its architecture")
    limits = {"block_count": 4096, "context_length": 1 << 30, "embedding_length": 1 << 20}
    if f"{name}.block_count" not in metadata:
        return  # not a language model (a projector, an adapter): the loader decides
    for key, limit in limits.items():
        value = metadata.get(f"{name}.{key}")
        if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= limit:
            reader.wrong(f"{name}.{key} is {value!r}, not a number from 1 to {limit}")
    heads = metadata.get(f"{name}.attention.head_count", 1)
    for value in cast("list[Any]", heads) if isinstance(heads, list) else [heads]:
        if not isinstance(value, int) or not 0 <= value <= 1 << 16:
            reader.wrong(f"{name}.attention.head_count is {value!r}")


def _tensor(reader: _Reader) -> _Tensor:
    name = reader.text("a tensor's name", _NAME)
    what = f"the tensor {name[:64]!r}"
    rank = reader.u32(what)
    if len(name.encode()) > 63 or not 1 <= rank <= 4:
        reader.wrong(f"{what} has {rank} dimensions or too long a name")
    shape = [reader.u64(what) for _ in range(rank)]
    kind, offset = reader.u32(what), reader.u64(what)
    if kind not in BLOCKS:
        reader.wrong(f"{what} has the unknown element type {kind}")
    _, block, width = BLOCKS[kind]
    elements = 1
    for length in shape:
        elements *= length
        if not 0 < length < 1 << 40 or elements >= 1 << 50:
            reader.wrong(f"{what} has the impossible shape {shape}")
    if shape[0] % block:
        reader.wrong(f"{what} has rows of {shape[0]}, not a multiple of its block of {block}")
    return _Tensor(name, kind, elements, offset, elements // block * width)


def _check_tensors(reader: _Reader, tensors: list[_Tensor], metadata: Mapping[str, Any]) -> int:
    """Every tensor lies within the file, aligned, and over no other. Returns the bytes of them all."""
    if len({tensor.name for tensor in tensors}) != len(tensors):
        reader.wrong("two tensors have the same name")
    alignment = metadata.get("general.alignment", 32)
    if not isinstance(alignment, int) or not 8 <= alignment <= 1 << 20 or alignment & (alignment - 1):
        reader.wrong(f"its alignment {alignment!r} is not a power of two from 8")
    start = (reader.at + alignment - 1) // alignment * alignment
    end = 0
    for tensor in sorted(tensors, key=lambda one: one.offset):
        if tensor.offset % alignment:
            reader.wrong(f"the tensor {tensor.name!r} is not aligned to {alignment} bytes")
        if tensor.offset < end:
            reader.wrong(f"the tensor {tensor.name!r} lies over another")
        end = tensor.offset + tensor.size
        if start + end > reader.size:
            missing = start + end - reader.size
            reader.wrong(f"the tensor {tensor.name!r} ends {missing} bytes beyond the end: the file is cut off")
    return sum(tensor.size for tensor in tensors)


def _specials(reader: _Reader, metadata: Mapping[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for key in ("bos_token_id", "eos_token_id"):
        number = metadata.get(f"tokenizer.ggml.{key}")
        if isinstance(number, int) and 0 <= number < len(reader.vocabulary):
            found[key] = reader.vocabulary[number].decode("utf-8", "replace")
    return found


def _controls(reader: _Reader) -> tuple[str, ...]:
    """The texts of the control tokens: what must never be made by a person's words."""
    count = len(reader.token_types) // 4
    types = struct.unpack(f"<{count}i", reader.token_types)
    found = (
        text.decode("utf-8", "replace")
        for text, kind in zip(reader.vocabulary, types, strict=False)
        if kind == _CONTROL
    )
    return tuple(text for text in found if 2 < len(text) <= 64)[:4096]

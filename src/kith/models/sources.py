"""Places that models come from, as people write them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import quote, unquote, urlsplit

from kith.core.errors import Invalid, NotFound
from kith.models.formats import SUFFIXES
from kith.models.gguf import read_gguf

_HUB = re.compile(r"^(hf|ms):([\w.-]+)/([\w.-]+?)(?:@([\w.-]+))?/(.+)$")
_HUBS = {
    "hf": ("HF_ENDPOINT", "https://huggingface.co", "{base}/{owner}/{repo}/resolve/{revision}/{file}", "main"),
    "ms": (
        "MODELSCOPE_ENDPOINT",
        "https://modelscope.cn",
        "{base}/models/{owner}/{repo}/resolve/{revision}/{file}",
        "master",
    ),
}
_BUCKET = re.compile(r"^s3://([a-z0-9][a-z0-9.-]{1,62})/(.+)$")
_SHARD = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$", re.IGNORECASE)
_SHARDS = 1000
_BESIDE = ("tokenizer.json", "config.json", "labels.txt", "vocab.txt")  # what encoders need besides their graph


@dataclass(frozen=True, slots=True)
class Source:
    """Where a model comes from: a `path` on this machine or a `url`, and the `name` that it gets unless told."""

    name: str
    path: Path | None = None
    url: str = ""

    def paths(self) -> tuple[Path, ...]:
        """Every file on this machine that belongs to it, the one that is opened first. Raises `Invalid`."""
        if self.path is None:
            return ()
        if self.path.suffix.lower() == ".gguf":
            return read_gguf(self.path).shards
        data = self.path.with_name(f"{self.path.name}_data"), self.path.with_name(f"{self.path.name}.data")
        beside = [*(self.path.with_name(name) for name in _BESIDE), *data]
        return (self.path, *(path for path in beside if path.is_file()))

    def urls(self) -> tuple[str, ...]:
        """The addresses of all its parts. Raises `Invalid` unless it is the first part that is named."""
        match = _SHARD.search(self.url.partition("?")[0])
        if match is None:
            return (self.url,) if self.url else ()
        total = int(match[2])
        if int(match[1]) != 1 or not 1 <= total <= _SHARDS:
            raise Invalid(f"{self.url} is one of {total} parts: give the first", code="bad_source")
        begin, end = self.url[: match.start()], self.url[match.end() :]
        return tuple(f"{begin}-{part:05}-of-{total:05}.gguf{end}" for part in range(1, total + 1))


def parse_source(text: str, environment: Mapping[str, str] | None = None) -> Source:
    """Read a path, a URL, ``s3://bucket/key``, ``hf:owner/repo/file`` or ``ms:owner/repo/file``.

    The last two with an optional ``@revision``; ``HF_ENDPOINT`` and ``MODELSCOPE_ENDPOINT`` in the environment name
    mirrors. Raises `Invalid`, or `NotFound` for a path where no file is.
    """
    variables = os.environ if environment is None else environment
    if match := _HUB.match(text):
        hub, owner, repo, revision, file = match.groups()
        variable, default, form, trunk = _HUBS[hub]
        base = (variables.get(variable) or default).rstrip("/")
        url = form.format(base=base, owner=owner, repo=repo, revision=revision or trunk, file=quote(file))
        return Source(_stem(_known(file, text)), url=url)
    if match := _BUCKET.match(text):
        return Source(_stem(_known(match[2], text)), url=text)
    if text.startswith(("http://", "https://")):
        return Source(_stem(_known(unquote(urlsplit(text).path), text)), url=text)
    if re.match(r"^(hf|ms|\w+://)", text) and not Path(text).exists():
        hint = "a path, an http(s) URL, s3://bucket/key, hf:owner/repo/file.gguf or ms:owner/repo/file.gguf"
        raise Invalid(f"{text!r} is not a place of a model", code="bad_source", hint=hint)
    path = Path(text).expanduser()
    if not path.is_file():
        raise NotFound(f"there is no file {path}")
    return Source(_stem(path.name), path=path.absolute())


def filed(name: str) -> str:
    """What a file is called inside a version: ``model`` and its ending, so that its path survives a new version."""
    file = PurePosixPath(urlsplit(name).path if "://" in name else name).name
    if match := _SHARD.search(file):
        return f"model{match[0].lower()}"
    suffix = PurePosixPath(file).suffix.lower()
    return f"model{suffix}" if suffix in SUFFIXES else file


def _known(file: str, text: str) -> str:
    if not file.lower().endswith(SUFFIXES):
        raise Invalid(f"{text} does not name a file that ends in {', '.join(SUFFIXES)}", code="bad_source")
    return file


def _stem(file: str) -> str:
    name = _SHARD.sub("", PurePosixPath(file).name)
    name = re.sub(r"\.(gguf|safetensors|onnx)$", "", name, flags=re.IGNORECASE)
    return re.sub(r"[^\w.-]+", "-", name).strip(".-")[:80] or "model"

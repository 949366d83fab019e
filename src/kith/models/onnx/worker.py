"""The process that holds one encoder: texts in, vectors, labels or scores out.

Frames: ``embed`` (texts) is answered by ``v``, ``classify`` (texts) by ``p`` (probabilities by label), ``rank``
(query, texts) by ``s``, ``count`` (text) by ``n``; ``within`` is how many seconds the answer is worth waiting for.
"""

from __future__ import annotations

import importlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kith.models.onnx.batch import Batcher, Expired
from kith.runtime.work import Failure, Job, serve

PROVIDERS = {
    "cuda": "CUDAExecutionProvider",
    "rocm": "MIGraphXExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "directml": "DmlExecutionProvider",
    "qnn": "QNNExecutionProvider",
    "cpu": "CPUExecutionProvider",
}
"""In the order in which `auto` prefers them. QNN takes quantised models only, so it is the last before the CPU."""
_CPU = PROVIDERS["cpu"]
_INPUTS = {"input_ids", "attention_mask", "token_type_ids", "position_ids"}


class Encoder:
    """One loaded model with its tokenizer."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        runtime: Any = importlib.import_module("onnxruntime")
        self._options = options
        self._tokenizer = _tokenizer(options)
        self._session = _session(runtime, options)
        self.hello: Mapping[str, Any] = {"provider": self._session.get_providers()[0]}
        self._inputs = [one.name for one in self._session.get_inputs()]
        if strange := set(self._inputs) - _INPUTS:
            raise Failure("unsupported", f"it wants the inputs {', '.join(sorted(strange))}: it is no text encoder")
        shape = self._session.get_inputs()[0].shape
        self._rows, self._columns = (size if isinstance(size, int) else 0 for size in shape)
        names = [one.name for one in self._session.get_outputs()]
        self._output = next((name for name in ("sentence_embedding", "logits") if name in names), names[0])
        self._longest = min(options["context"], self._columns or options["context"])
        most = self._rows or options["batch"]
        self._batcher = Batcher[Any, Any](self._run, most, options["wait"], lambda one: len(one.ids))

    def prepare(self, job: Job) -> None:
        """Nothing has to be made ready."""

    def work(self, job: Job) -> None:
        """Answer one request."""
        works: dict[str, Callable[[Job], None]] = {
            "embed": self._embed,
            "classify": self._classify,
            "rank": self._rank,
            "count": self._count,
        }
        try:
            works[next(name for name in works if name in job.frame)](job)
        except Expired as error:
            raise Failure("deadline", str(error)) from None

    def _embed(self, job: Job) -> None:
        job.send(v=[row.tolist() for row in self._computed(job, job.frame["embed"])])

    def _classify(self, job: Job) -> None:
        rows = [self._probabilities(row) for row in self._computed(job, job.frame["classify"])]
        labels = self._options["labels"]
        job.send(p=[{labels[i] if i < len(labels) else f"{i}": float(p) for i, p in enumerate(row)} for row in rows])

    def _rank(self, job: Job) -> None:
        query, texts = job.frame["rank"]["query"], job.frame["rank"]["texts"]
        rows = self._computed(job, [(query, text) for text in texts])
        job.send(s=[float((_sigmoid(row) if len(row) == 1 else _softmax(row))[-1]) for row in rows])

    def _count(self, job: Job) -> None:
        job.send(n=len(self._tokenizer.encode(job.frame["count"], add_special_tokens=False).ids))

    def _computed(self, job: Job, texts: Sequence[Any]) -> list[Any]:
        tokens = self._tokenizer.encode_batch(list(texts))
        longest = max((len(one.ids) for one in tokens), default=0)
        if longest > self._longest:
            if not self._options["truncate"]:
                raise Failure("too_long", f"{longest} tokens, it takes {self._longest}")
            for one in tokens:
                one.truncate(self._longest)
        due = time.monotonic() + float(job.frame.get("within", 1e9))
        return self._batcher.compute(tokens, due, job.cancelled)

    def _run(self, tokens: list[Any]) -> Sequence[Any]:
        """One pass over a batch, padded to its longest text."""
        width = self._columns or max(1, *(len(one.ids) for one in tokens))
        rows = self._rows or len(tokens)
        ids, mask, kinds = (np.zeros((rows, width), dtype=np.int64) for _ in range(3))
        ids += self._options["pad"]
        for row, one in enumerate(tokens):
            size = len(one.ids)
            ids[row, :size], mask[row, :size], kinds[row, :size] = one.ids, 1, one.type_ids
        positions = np.broadcast_to(np.arange(width, dtype=np.int64), ids.shape)
        given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": kinds, "position_ids": positions}
        (found,) = self._session.run([self._output], {name: given[name] for name in self._inputs})
        return self._pool(np.asarray(found, dtype=np.float32), mask)[: len(tokens)]

    def _pool(self, found: Any, mask: Any) -> Any:
        """One row for each text, of unit length where vectors are wanted."""
        if found.ndim == 3:
            weights = mask[:, : found.shape[1], None].astype(np.float32)
            last = np.maximum(weights.sum(axis=1).astype(np.int64).ravel() - 1, 0)
            found = {
                "mean": lambda: (found * weights).sum(axis=1) / np.maximum(weights.sum(axis=1), 1.0),
                "cls": lambda: found[:, 0],
                "last": lambda: found[np.arange(len(found)), last],
            }[self._options["pooling"]]()
        if found.ndim != 2:
            raise ValueError(f"the model answers with {found.ndim} dimensions")
        if not np.isfinite(found).all():
            raise ValueError("the model answers with what is no number")
        if self._options["normalise"]:
            found = found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)
        return found

    def _probabilities(self, row: Any) -> Any:
        if self._options["several"] or len(row) == 1:
            return _sigmoid(row)
        return _softmax(row)


def _sigmoid(row: Any) -> Any:
    return 1 / (1 + np.exp(-np.clip(row, -60, 60)))


def _softmax(row: Any) -> Any:
    powers = np.exp(row - row.max())
    return powers / powers.sum()


def _tokenizer(options: Mapping[str, Any]) -> Any:
    tokenizers: Any = importlib.import_module("tokenizers")
    text = Path(options["tokenizer"]).read_text("utf-8")
    json.loads(text)  # a broken file shall be told by a sentence of ours
    tokenizer = tokenizers.Tokenizer.from_str(text)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def _session(runtime: Any, options: Mapping[str, Any]) -> Any:
    """Open the file where it runs fastest; whatever a provider cannot do, the CPU does."""
    there = runtime.get_available_providers()
    provider = choose_provider(options["provider"], there)
    settings = runtime.SessionOptions()
    settings.intra_op_num_threads = options["threads"]
    settings.inter_op_num_threads = 1
    settings.log_severity_level = 3
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    more = {key: str(value) for key, value in options["provider_options"].items()}
    wanted: list[Any] = [(provider, more)] if provider != _CPU else []
    native = importlib.import_module("onnxruntime.capi.onnxruntime_pybind11_state")
    errors = tuple(one for one in vars(native).values() if isinstance(one, type) and issubclass(one, Exception))
    try:
        return runtime.InferenceSession(options["path"], settings, providers=[*wanted, _CPU])
    except errors as error:
        raise Failure("broken_model", str(error)) from None


def choose_provider(wanted: str, there: Sequence[str]) -> str:
    """The provider to use of those that are `there`. Raises `Failure` with the package that brings a missing one."""
    if wanted == "auto":
        return next((name for name in PROVIDERS.values() if name in there), _CPU)
    if PROVIDERS[wanted] not in there:
        packages = {"cuda": "onnxruntime-gpu", "rocm": "onnxruntime-migraphx", "qnn": "onnxruntime-qnn"}
        packages |= {"openvino": "onnxruntime-openvino", "directml": "onnxruntime-directml"}
        hint = f": install {packages[wanted]} in place of onnxruntime" if wanted in packages else ""
        raise Failure("unsupported", f"this ONNX Runtime has no {PROVIDERS[wanted]}{hint}")
    return PROVIDERS[wanted]


if __name__ == "__main__":
    serve(Encoder)

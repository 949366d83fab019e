"""Encoders in ONNX files, through ONNX Runtime in a process of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from kith.core.errors import Invalid, NotFound
from kith.core.model import ModelCard
from kith.models.backend import Limits, Means, ModelProcess, ModelSettings, fit, read_config, threads
from kith.models.onnx.header import OnnxFile, read_onnx
from kith.models.onnx.settings import OnnxOptions

_KINDS = {"embedding": "embed", "classifier": "classify", "rerank": "rerank"}
_CONTEXT = 512
_PARALLEL = 32  # requests in the process at once: they wait there for one another to share a batch
_RUNTIME = 96 << 20  # bytes of the runtime with nothing loaded, measured with onnxruntime 1.31


class OnnxEncoder:
    """One ONNX file beside its ``tokenizer.json`` and, where it has one, ``config.json``, as model hubs keep them."""

    def __init__(self, settings: ModelSettings, options: OnnxOptions, means: Means) -> None:
        self._settings, self._options = settings, options
        path = Path(settings.path).expanduser()
        self._path = path if path.is_absolute() else means.folder / path
        if not self._path.is_file():
            raise NotFound(f"the model {settings.name!r} is to be at {self._path}, but there is no such file")
        if settings.type not in _KINDS:
            raise Invalid(f"an ONNX file is an encoder here, not a model of type {settings.type}", code="unsupported")
        self._config = self._read("config.json")
        self._tokenizer = self._find_tokenizer(means.folder)
        file = read_onnx(self._path)
        self._context = min(settings.context or _CONTEXT, _positions(self._config))
        self._parallel = settings.parallel or _PARALLEL
        self.card = self._card(file)
        limits = Limits(self._parallel, options.queue, options.stall, options.ready, options.memory << 20)
        self._process = ModelProcess(self.card, means, "kith.models.onnx.worker", self._opening, limits)

    @property
    def pid(self) -> int:
        """Its process, 0 when it is not loaded."""
        return self._process.pid

    @property
    def slots(self) -> int:
        """Requests at once."""
        return self._parallel

    @property
    def load(self) -> tuple[int, int]:
        """(requests that run, requests that wait)."""
        return self._process.load

    async def start(self) -> None:
        """Load the model in its process. Raises `Unavailable`."""
        fit(self.card)
        await self._process.start()

    async def stop(self) -> None:
        """Unload; requests that are running end with `Unavailable`."""
        await self._process.stop()

    async def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        """One vector for each text. Raises `Invalid` for a model that does something else."""
        self._demand("embed")
        return cast("list[list[float]]", (await self._ask({"embed": list(texts)}))["v"])

    async def classify(self, texts: Sequence[str]) -> Sequence[Mapping[str, float]]:
        """The labels of each text with their probabilities. Raises as `embed`."""
        self._demand("classify")
        return cast("list[dict[str, float]]", (await self._ask({"classify": list(texts)}))["p"])

    async def rank(self, query: str, texts: Sequence[str]) -> Sequence[float]:
        """How well each text answers the query, in 0..1. Raises as `embed`."""
        self._demand("rerank")
        found = await self._ask({"rank": {"query": query, "texts": list(texts)}})
        return cast("list[float]", found["s"])

    async def count(self, text: str) -> int | None:
        """Exactly, once the model is loaded."""
        return int((await self._ask({"count": text}))["n"]) if self._process.ready else None

    async def _ask(self, frame: Mapping[str, Any]) -> Mapping[str, Any]:
        """Nobody waits longer than `stall`: after that the worker need not begin."""
        fit(self.card)
        return await self._process.ask({**frame, "within": self._options.stall})

    def _demand(self, kind: str) -> None:
        if self.card.kind != kind:
            text = f"the model {self.card.name!r} is of kind {self.card.kind}, not {kind}"
            raise Invalid(text, code="unsupported")

    def _card(self, file: OnnxFile) -> ModelCard:
        kind = _KINDS[self._settings.type]
        return ModelCard(
            name=self._settings.name,
            kind=kind,
            backend="onnx",
            path=str(self._path),
            architecture=str(self._config.get("model_type", "")),
            parameters=file.parameters,
            quantisation=file.quantisation,
            context=self._context,
            memory=file.size + file.size // 4 + _RUNTIME,
            capabilities=(kind,),
        )

    def _opening(self) -> dict[str, Any]:
        options, kind = self._options, self.card.kind
        kept = {"provider", "provider_options", "truncate", "batch", "wait"}
        named = cast("dict[str, Any]", self._config.get("id2label") or {})
        labels = [str(named[key]) for key in sorted(named, key=lambda key: int(key) if key.isdigit() else 0)]
        pad: Any = self._config.get("pad_token_id")
        return {
            **options.model_dump(include=kept),
            "path": str(self._path.resolve()),
            "tokenizer": str(self._tokenizer),
            "context": self._context,
            "parallel": self._parallel,
            "threads": self._settings.threads or threads(),
            "pooling": self._pooling(),
            "normalise": options.normalise and kind == "embed",
            "labels": options.labels or labels,
            "several": self._config.get("problem_type") == "multi_label_classification",
            "pad": pad if isinstance(pad, int) else 0,
        }

    def _pooling(self) -> str:
        if self._options.pooling != "auto":
            return self._options.pooling
        said = self._read("1_Pooling/config.json")
        modes = {"pooling_mode_cls_token": "cls", "pooling_mode_lasttoken": "last"}
        return next((mode for key, mode in modes.items() if said.get(key) is True), "mean")

    def _find_tokenizer(self, folder: Path) -> Path:
        given = Path(self._options.tokenizer).expanduser()
        places = [folder / given] if self._options.tokenizer else self._near("tokenizer.json")
        found = next((place for place in places if place.is_file()), None)
        if found is None:
            hint = "put the tokenizer.json of the same model beside it"
            raise NotFound(f"the model {self._settings.name!r} has no tokenizer at {places[0]}", hint=hint)
        return found

    def _near(self, name: str) -> list[Path]:
        """Beside the file, or one folder up: hubs keep ONNX files in a folder of their own."""
        return [self._path.parent / name, self._path.parent.parent / name]

    def _read(self, name: str) -> dict[str, Any]:
        """A configuration near the model; empty where there is none. Raises `Invalid` for a broken one."""
        place = next((place for place in self._near(name) if place.is_file()), None)
        if place is None:
            return {}
        return read_config(place)


def _positions(config: Mapping[str, Any]) -> int:
    found: Any = config.get("max_position_embeddings")
    return found if isinstance(found, int) and 0 < found <= 1 << 20 else 1 << 20

"""Folders of safetensors, through Transformers in a process of their own.

For what no faster backend runs: it computes one request at a time. Code that comes with a model is never run, and
weights that are pickles are never opened.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, cast

from kith.core.errors import Invalid, NotFound
from kith.core.message import Delta
from kith.core.model import ChatRequest, ModelCard
from kith.models.backend import Limits, Means, ModelSettings, TalkingProcess, fit, read_config, threads
from kith.models.transformers.settings import TransformersOptions

_CONTEXT = 2048
_RUNTIME = 600 << 20  # bytes that PyTorch takes with nothing loaded: from its wheel's libraries, not measured here


class TransformersModel:
    """A folder with ``config.json``, ``tokenizer.json`` and ``*.safetensors``, as model hubs keep them."""

    def __init__(self, settings: ModelSettings, options: TransformersOptions, means: Means) -> None:
        self._settings, self._options = settings, options
        path = means.folder / Path(settings.path).expanduser()
        self._folder = path if path.is_dir() else path.parent
        if not (self._folder / "config.json").is_file():
            raise NotFound(f"the model {settings.name!r} is to be a folder with config.json: {self._folder}")
        self._weights = sum(file.stat().st_size for file in self._folder.glob("*.safetensors"))
        if not self._weights:
            hint = "pickled weights are never opened: convert them to safetensors"
            raise NotFound(f"the model {settings.name!r} has no safetensors in {self._folder}", hint=hint)
        self._kind = "embed" if settings.type == "embedding" else "chat"
        self.card = self._card(self._config())
        limits = Limits(1, options.queue, options.stall, options.ready, options.memory << 20)
        self._process = TalkingProcess(self.card, means, "kith.models.transformers.worker", self._opening, limits)

    @property
    def pid(self) -> int:
        """Its process, 0 when it is not loaded."""
        return self._process.pid

    @property
    def slots(self) -> int:
        """Requests at once."""
        return 1

    async def start(self) -> None:
        """Load the model in its process. Raises `Unavailable`."""
        fit(self.card)
        await self._process.start()

    async def stop(self) -> None:
        """Unload; requests that are running end with `Unavailable`."""
        await self._process.stop()

    def stream(self, request: ChatRequest) -> AsyncIterator[Delta]:
        """Continue a conversation. Raises `Invalid` for what this backend cannot do."""
        self._demand("chat")
        if request.sampling.schema is not None or request.sampling.grammar:
            raise Invalid(f"{self.card.name} cannot keep to a schema or a grammar", code="unsupported")
        return self._process.stream(request, self._settings.max_tokens)

    async def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        """One vector of unit length for each text: the mean of its tokens'. Raises as `stream`."""
        self._demand("embed")
        return cast("list[list[float]]", (await self._process.ask({"embed": list(texts)}))["v"])

    async def count(self, text: str) -> int | None:
        """Exactly, once the model is loaded."""
        return int((await self._process.ask({"count": text}))["n"]) if self._process.ready else None

    def _demand(self, kind: str) -> None:
        if self._kind != kind:
            raise Invalid(f"the model {self.card.name!r} is of kind {self._kind}, not {kind}", code="unsupported")

    def _card(self, config: dict[str, Any]) -> ModelCard:
        known: Any = config.get("max_position_embeddings")
        most = known if isinstance(known, int) and known > 0 else 1 << 20
        return ModelCard(
            name=self._settings.name,
            kind=self._kind,
            backend="transformers",
            path=str(self._folder),
            architecture=str(config.get("model_type", "")),
            quantisation=str(config.get("dtype") or config.get("torch_dtype") or ""),
            context=min(self._settings.context or _CONTEXT, most),
            memory=self._weights + self._weights // 4 + _RUNTIME,
            capabilities=("embed",) if self._kind == "embed" else ("chat", "stream"),
        )

    def _opening(self) -> dict[str, Any]:
        return {
            "path": str(self._folder.resolve()),
            "kind": self._kind,
            "device": self._options.device,
            "numbers": self._options.numbers,
            "template": self._options.template,
            "context": self.card.context,
            "threads": self._settings.threads or threads(),
        }

    def _config(self) -> dict[str, Any]:
        return read_config(self._folder / "config.json")

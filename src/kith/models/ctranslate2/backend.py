"""Models converted for CTranslate2, in a process of their own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

from kith.core.errors import Invalid, NotFound
from kith.core.message import Delta
from kith.core.model import ChatRequest, ModelCard
from kith.models.backend import Limits, Means, ModelSettings, TalkingProcess, fit, read_config, threads
from kith.models.ctranslate2.settings import CTranslate2Options

_CONTEXT = 2048
_RUNTIME = 128 << 20  # bytes of the runtime with nothing loaded, measured with ctranslate2 4.8


class CTranslate2:
    """A folder with ``model.bin``, as CTranslate2's converters write it, and the ``tokenizer.json`` of the original.

    Requests that come within `wait` are computed as one batch, which ends when its last reply does.
    """

    def __init__(self, settings: ModelSettings, options: CTranslate2Options, means: Means) -> None:
        self._settings, self._options = settings, options
        path = means.folder / Path(settings.path).expanduser()
        self._folder = path if path.is_dir() else path.parent
        for name in ("model.bin", "tokenizer.json"):
            if not (self._folder / name).is_file():
                text = f"the model {settings.name!r} is to be a folder with {name}, but {self._folder} has none"
                raise NotFound(text, hint="convert it with ct2-transformers-converter --copy_files tokenizer.json")
        self._config = self._read("tokenizer_config.json")
        self._parallel = settings.parallel or options.batch
        self.card = self._card()
        limits = Limits(self._parallel, options.queue, options.stall, options.ready, options.memory << 20)
        self._process = TalkingProcess(self.card, means, "kith.models.ctranslate2.worker", self._opening, limits)

    @property
    def pid(self) -> int:
        """Its process, 0 when it is not loaded."""
        return self._process.pid

    @property
    def slots(self) -> int:
        """Requests at once."""
        return self._parallel

    async def start(self) -> None:
        """Load the model in its process. Raises `Unavailable`."""
        fit(self.card)
        await self._process.start()

    async def stop(self) -> None:
        """Unload; requests that are running end with `Unavailable`."""
        await self._process.stop()

    def stream(self, request: ChatRequest) -> AsyncIterator[Delta]:
        """Continue a conversation. Raises `Invalid` for a schema or a grammar, which this runtime cannot keep to."""
        if request.sampling.schema is not None or request.sampling.grammar:
            raise Invalid(f"{self.card.name} cannot keep to a schema or a grammar", code="unsupported")
        return self._process.stream(request, self._settings.max_tokens)

    async def count(self, text: str) -> int | None:
        """Exactly, once the model is loaded."""
        return int((await self._process.ask({"count": text}))["n"]) if self._process.ready else None

    def _card(self) -> ModelCard:
        config, size = self._read("config.json"), (self._folder / "model.bin").stat().st_size
        longest: Any = self._config.get("model_max_length")
        known = longest if isinstance(longest, int) and 0 < longest <= 1 << 24 else 1 << 24
        kind: Any = config.get("quantization_type") or self._options.compute
        return ModelCard(
            name=self._settings.name,
            kind="chat",
            backend="ctranslate2",
            path=str(self._folder),
            quantisation=str(kind),
            context=min(self._settings.context or _CONTEXT, known),
            memory=size + size // 4 + _RUNTIME,
            capabilities=("chat", "stream"),
        )

    def _opening(self) -> dict[str, Any]:
        template: Any = self._options.template or self._config.get("chat_template") or ""
        specials = {key: _token(self._config.get(key)) for key in ("bos_token", "eos_token")}
        return {
            "path": str(self._folder.resolve()),
            "device": self._options.device,
            "compute": self._options.compute,
            "batch": self._options.batch,
            "wait": self._options.wait,
            "context": self.card.context,
            "parallel": self._parallel,
            "threads": self._settings.threads or threads(),
            "template": template if isinstance(template, str) else "",
            "specials": {key: text for key, text in specials.items() if text},
        }

    def _read(self, name: str) -> dict[str, Any]:
        """A configuration of the folder, empty where there is none. Raises `Invalid` for a broken one."""
        place = self._folder / name
        if not place.is_file():
            return {}
        return read_config(place)


def _token(value: Any) -> str:
    """A special token, which is written as a text or as an object with one."""
    found: Any = cast("dict[str, Any]", value).get("content") if isinstance(value, dict) else value
    return found if isinstance(found, str) else ""

"""Pictures from words, through Diffusers in a process of their own.

Code that comes with a model is never run, and weights that are pickles are never opened.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from kith.core.errors import Invalid, NotFound
from kith.core.model import ModelCard
from kith.models.backend import Limits, Means, ModelProcess, ModelSettings, Picture, fit, read_config, threads
from kith.models.diffusers.settings import DiffusionOptions

_RUNTIME = 900 << 20  # bytes that PyTorch and Diffusers take with nothing loaded: an estimate, not measured here
_LARGEST = 4096
_PROMPT = 8192  # characters


class Diffusion:
    """A folder with ``model_index.json``, as model hubs keep pipelines. Draws one picture at a time."""

    def __init__(self, settings: ModelSettings, options: DiffusionOptions, means: Means) -> None:
        self._settings, self._options, self._means = settings, options, means
        path = means.folder / Path(settings.path).expanduser()
        self._folder = path if path.is_dir() else path.parent
        index = self._index()
        self._weights = sum(file.stat().st_size for file in self._folder.glob("**/*.safetensors"))
        if not self._weights:
            hint = "pickled weights are never opened: convert them to safetensors"
            raise NotFound(f"the model {settings.name!r} has no safetensors in {self._folder}", hint=hint)
        self.card = ModelCard(
            name=settings.name,
            kind="image",
            backend="diffusers",
            path=str(self._folder),
            architecture=str(index.get("_class_name", "")),
            memory=self._weights + self._weights // 2 + _RUNTIME,
            capabilities=("image",),
        )
        limits = Limits(1, options.queue, options.stall, options.ready, options.memory << 20)
        self._process = ModelProcess(self.card, means, "kith.models.diffusers.worker", self._opening, limits)

    @property
    def pid(self) -> int:
        """Its process, 0 when it is not loaded."""
        return self._process.pid

    @property
    def slots(self) -> int:
        """Pictures at once."""
        return 1

    async def start(self) -> None:
        """Load the model in its process. Raises `Unavailable`."""
        fit(self.card)
        await self._process.start()

    async def stop(self) -> None:
        """Unload; a picture that is being drawn ends with `Unavailable`."""
        await self._process.stop()

    async def count(self, text: str) -> int | None:  # noqa: ARG002 - the port's signature
        return None

    async def draw(self, picture: Picture) -> bytes:
        """A PNG. Raises `Invalid` for sizes that no such model can draw, `Unavailable`."""
        process, asked = self._process, self._asked(picture)
        async with process.turn(picture.deadline):
            await self.start()
            with process.call({"draw": asked}) as (key, frames):
                while True:
                    frame = await process.next(frames, picture.deadline)
                    if "png" in frame:
                        process.done(key)
                        return base64.b64decode(frame["png"])

    def _asked(self, picture: Picture) -> dict[str, Any]:
        width, height = (int(size) for size in self._settings.resolution.split("x"))
        width, height = picture.width or width, picture.height or height
        if not (64 <= width <= _LARGEST and 64 <= height <= _LARGEST) or width % 8 or height % 8:
            text = f"a picture has sides of 64 to {_LARGEST} pixels, multiples of 8, not {width}x{height}"
            raise Invalid(text, code="unsupported")
        if not picture.prompt.strip() or len(picture.prompt) + len(picture.negative) > _PROMPT:
            raise Invalid(f"a picture is described with 1 to {_PROMPT} characters", code="unsupported")
        return {
            "prompt": picture.prompt,
            "negative": picture.negative,
            "width": width,
            "height": height,
            "steps": min(1000, picture.steps or self._options.steps),
            "guidance": self._options.guidance,
            "seed": picture.seed,
        }

    def _opening(self) -> dict[str, Any]:
        return {
            **self._options.model_dump(include={"device", "numbers", "offload"}),
            "path": str(self._folder.resolve()),
            "threads": self._settings.threads or threads(),
        }

    def _index(self) -> dict[str, Any]:
        place = self._folder / "model_index.json"
        if not place.is_file():
            raise NotFound(f"the model {self._settings.name!r} is to be a folder with model_index.json: {self._folder}")
        return read_config(place)

"""The process that holds one pipeline of Diffusers: ``draw`` is answered by ``step`` for each step, then ``png``."""

from __future__ import annotations

import base64
import importlib
import io
from collections.abc import Mapping
from typing import Any

from kith.runtime.work import Failure, Job, serve

SAFE = {"local_files_only": True, "use_safetensors": True, "trust_remote_code": False}
"""Nothing is downloaded, no pickle is opened, and code that comes with a model is not run."""


class Painter:
    """The loaded pipeline."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        torch: Any = importlib.import_module("torch")
        library: Any = importlib.import_module("diffusers")
        self._torch = torch
        torch.set_num_threads(options["threads"])
        device = device_of(torch, options["device"])
        half = "float32" if device == "cpu" else "float16"
        numbers = getattr(torch, half if options["numbers"] == "auto" else options["numbers"])
        pipeline = library.DiffusionPipeline.from_pretrained(options["path"], torch_dtype=numbers, **SAFE)
        if options["offload"] and device != "cpu":
            pipeline.enable_model_cpu_offload()
        else:
            pipeline = pipeline.to(device)
        pipeline.set_progress_bar_config(disable=True)
        self._pipeline = pipeline
        self.hello: Mapping[str, Any] = {"device": device}

    def prepare(self, job: Job) -> None:
        """Nothing has to be made ready."""

    def work(self, job: Job) -> None:
        """Draw one picture."""
        asked = job.frame["draw"]

        def step(pipeline: Any, number: int, _: Any, values: dict[str, Any]) -> dict[str, Any]:
            job.send(step=number + 1)
            if job.cancelled.is_set():
                pipeline._interrupt = True  # noqa: SLF001 - the way that Diffusers documents
            return values

        generator = self._torch.Generator("cpu")
        if asked["seed"] is not None:
            generator.manual_seed(int(asked["seed"]) & 0x7FFFFFFF)
        else:
            generator.seed()
        found = self._pipeline(
            prompt=asked["prompt"],
            negative_prompt=asked["negative"] or None,
            width=asked["width"],
            height=asked["height"],
            num_inference_steps=asked["steps"],
            guidance_scale=asked["guidance"],
            generator=generator,
            callback_on_step_end=step,
        )
        if job.cancelled.is_set():
            raise Failure("cancelled", "nobody waits for it any more")
        data = io.BytesIO()
        found.images[0].save(data, "PNG")
        job.send(png=base64.b64encode(data.getvalue()).decode())


def device_of(torch: Any, wanted: str) -> str:
    """What computes: a graphics processor where there is one."""
    if wanted != "auto":
        return wanted
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


if __name__ == "__main__":
    serve(Painter)

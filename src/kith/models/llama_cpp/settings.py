"""Options of the llama.cpp backend."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from kith.runtime.settings import Section


class Lora(Section):
    """An adapter that is laid over the weights."""

    path: str = Field(description="a GGUF adapter; relative to the folder of models in KITH_HOME")
    scale: float = Field(default=1.0, ge=-10, le=10, description="how strongly it is laid over the weights")


class LlamaOptions(Section):
    """How one GGUF file is run. Durations are in seconds, sizes in MiB."""

    batch: int = Field(
        default=512, ge=32, le=8192, description="prompt tokens processed at once; a cancel is seen in between"
    )
    gpu_layers: int = Field(
        default=-1, ge=-1, description="layers on the graphics processor where there is one; -1: all"
    )
    split: list[float] = Field(
        default=[], max_length=128, description="shares of the model on each graphics processor, e.g. [3, 1]"
    )
    split_mode: Literal["layer", "row", "none"] = Field(
        default="layer", description="divide by layers, by rows of each matrix, or not at all"
    )
    main_gpu: int = Field(default=0, ge=0, le=127, description="the graphics processor used when nothing is divided")
    kv_type: Literal["f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl"] = Field(
        default="f16", description="how keys and values are kept; q8_0 halves the memory of long conversations"
    )
    flash: Literal["auto", "on", "off"] = Field(default="auto", description="flash attention")
    lora: list[Lora] = Field(default=[], max_length=16)
    projector: str = Field(default="", description="the vision projector (mmproj) of a model that sees, a GGUF file")
    tools: Literal["auto", "prompt", "off"] = Field(
        default="auto",
        description="auto: if the file's template knows tools; prompt: explain them to any model; off: never",
    )
    cache: int = Field(default=256, ge=0, description="memory for prompts of earlier conversations")
    share: bool = Field(
        default=False, description="keep weights mapped as they are: slower, but two processes share them"
    )
    template: str = Field(default="", description="a chat template instead of the file's own")
    ready: float = Field(default=180.0, gt=0, description="how long loading may take")
    stall: float = Field(
        default=300.0, gt=0, description="how long a request may wait without a token before it is a hang"
    )
    memory: int = Field(
        default=0, ge=0, description="resident memory above which the process is restarted; 0: no limit"
    )
    queue: int = Field(default=1000, ge=1, description="requests that may wait")
    oversize: bool = Field(default=False, description="try to load also what does not fit into this machine's memory")

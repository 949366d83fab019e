"""Options of the llama.cpp backend."""

from __future__ import annotations

from pydantic import Field

from kith.runtime.settings import Section


class LlamaOptions(Section):
    """How one GGUF file is run. Durations are in seconds, sizes in MiB."""

    batch: int = Field(
        default=512, ge=32, le=8192, description="prompt tokens processed at once; a cancel is seen in between"
    )
    gpu_layers: int = Field(
        default=-1, ge=-1, description="layers on the graphics processor where there is one; -1: all"
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

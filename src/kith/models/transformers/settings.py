"""Options of the Transformers backend."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from kith.runtime.settings import Section


class TransformersOptions(Section):
    """How one folder of safetensors is run. Durations are in seconds, sizes in MiB."""

    device: Literal["auto", "cpu", "cuda", "mps"] = Field(default="auto", description="what computes")
    numbers: Literal["auto", "float32", "float16", "bfloat16"] = Field(
        default="auto", description="with which numbers; auto: as the weights are kept"
    )
    template: str = Field(default="", description="a chat template instead of the folder's own")
    ready: float = Field(default=600.0, gt=0, description="how long loading may take")
    stall: float = Field(
        default=300.0, gt=0, description="how long a request may wait without a token before it is a hang"
    )
    memory: int = Field(
        default=0, ge=0, description="resident memory above which the process is restarted; 0: no limit"
    )
    queue: int = Field(default=1000, ge=1, description="requests that may wait")

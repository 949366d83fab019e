"""Options of the diffusion backend."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from kith.runtime.settings import Section


class DiffusionOptions(Section):
    """How pictures are drawn. Durations are in seconds, sizes in MiB."""

    device: Literal["auto", "cpu", "cuda", "mps"] = Field(default="auto", description="what computes")
    numbers: Literal["auto", "float32", "float16", "bfloat16"] = Field(
        default="auto", description="with which numbers; auto: halves on a graphics processor, whole ones on the CPU"
    )
    steps: int = Field(default=20, ge=1, le=1000, description="steps of a picture where a request does not say")
    guidance: float = Field(default=7.0, ge=0, le=100, description="how closely the words are followed")
    offload: bool = Field(default=False, description="keep in the card's memory only the part that computes")
    ready: float = Field(default=600.0, gt=0, description="how long loading may take")
    stall: float = Field(default=900.0, gt=0, description="how long one step may take before it is a hang")
    memory: int = Field(
        default=0, ge=0, description="resident memory above which the process is restarted; 0: no limit"
    )
    queue: int = Field(default=100, ge=1, description="pictures that may wait")

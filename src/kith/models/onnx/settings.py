"""Options of the ONNX backend."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from kith.runtime.settings import Section


class OnnxOptions(Section):
    """How one encoder is run. Durations are in seconds, sizes in MiB."""

    provider: Literal["auto", "cpu", "cuda", "rocm", "coreml", "openvino", "qnn", "directml"] = Field(
        default="auto", description="what computes; auto: the fastest that the installed runtime offers here"
    )
    provider_options: dict[str, Any] = Field(default={}, description="its options, as ONNX Runtime knows them")
    tokenizer: str = Field(default="", description="a tokenizer.json; the one beside the model when empty")
    pooling: Literal["auto", "mean", "cls", "last"] = Field(
        default="auto", description="how the vectors of tokens become one; auto: as the model's folder says, else mean"
    )
    normalise: bool = Field(default=True, description="make vectors of unit length")
    labels: list[str] = Field(default=[], max_length=10_000, description="names of the classes, in order")
    truncate: bool = Field(default=True, description="cut off what is too long, instead of refusing it")
    batch: int = Field(default=32, ge=1, le=1024, description="texts computed at once")
    wait: float = Field(default=0.004, ge=0, le=1.0, description="how long a text waits for others to share its batch")
    ready: float = Field(default=120.0, gt=0, description="how long loading may take")
    stall: float = Field(default=120.0, gt=0, description="how long a request may take before it is a hang")
    memory: int = Field(
        default=0, ge=0, description="resident memory above which the process is restarted; 0: no limit"
    )
    queue: int = Field(default=1000, ge=1, description="requests that may wait")

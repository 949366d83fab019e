"""Options of the CTranslate2 backend."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from kith.runtime.settings import Section


class CTranslate2Options(Section):
    """How one converted model is run. Durations are in seconds, sizes in MiB."""

    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="what computes")
    compute: Literal["default", "auto", "int8", "int8_float32", "int8_float16", "int16", "float16", "float32"] = Field(
        default="default", description="with which numbers; default: as the model was converted"
    )
    batch: int = Field(default=8, ge=1, le=256, description="conversations computed at once")
    wait: float = Field(
        default=0.02, ge=0, le=1.0, description="how long a request waits for others to share its batch"
    )
    template: str = Field(default="", description="a chat template instead of the folder's own")
    ready: float = Field(default=180.0, gt=0, description="how long loading may take")
    stall: float = Field(
        default=300.0, gt=0, description="how long a request may wait without a token before it is a hang"
    )
    memory: int = Field(
        default=0, ge=0, description="resident memory above which the process is restarted; 0: no limit"
    )
    queue: int = Field(default=1000, ge=1, description="requests that may wait")

"""Options of the echo."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from kith.runtime.settings import Section


class EchoOptions(Section):
    """How the echo misbehaves, for tests and demonstrations. Durations are in seconds."""

    delay: float = Field(0.0, ge=0, description="pause before each word")
    fail: Literal["", "start", "before", "middle", "full"] = Field("", description="where to fail")
    failures: int = Field(0, ge=0, description="how many requests fail before all is well; 0: every one")
    reply: str = Field("", description="what to say instead of what was heard")
    dimensions: int = Field(32, ge=1, le=4096, description="length of its vectors")

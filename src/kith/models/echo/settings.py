"""Options of the echo."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from kith.runtime.settings import Section


class EchoOptions(Section):
    """How the echo misbehaves, for tests and demonstrations. Durations are in seconds."""

    delay: float = Field(default=0.0, ge=0, description="pause before each word")
    fail: Literal["", "start", "before", "middle", "full"] = Field(default="", description="where to fail")
    failures: int = Field(default=0, ge=0, description="how many requests fail before all is well; 0: every one")
    reply: str = Field(default="", description="what to say instead of what was heard")
    dimensions: int = Field(default=32, ge=1, le=4096, description="length of its vectors")

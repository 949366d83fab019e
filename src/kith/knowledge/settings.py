"""Settings of the section ``knowledge``."""

from __future__ import annotations

from pydantic import Field

from kith.runtime.settings import Section


class KnowledgeSettings(Section):
    """How knowledge is looked up."""

    handbook: bool = Field(default=True, description="Answer questions about Kith itself from its handbook.")
    limit: int = Field(default=3, ge=1, le=20, description="How many passages at most are looked up for one message.")
    floor: float = Field(
        default=0.45,
        ge=0.0,
        le=1.0,
        description="How much of a question (by weight of its words) a passage has to cover to count as found.",
    )

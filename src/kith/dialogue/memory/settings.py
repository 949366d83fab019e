"""The section ``dialogue.memory`` of `kith.yaml`."""

from __future__ import annotations

from pydantic import Field

from kith.runtime.settings import Section


class MemorySettings(Section):
    """What is remembered of people."""

    remember: bool = Field(default=True, description="Whether facts that people tell of themselves are kept.")
    model_facts: bool = Field(
        default=True, description="Whether a model looks for facts in the background where the rules found none."
    )
    summaries: bool = Field(default=True, description="Whether what leaves the window is summed up.")
    profile_tokens: int = Field(
        default=160, ge=0, le=2000, description="Tokens of what is known of a person in every prompt, at most."
    )
    summary_tokens: int = Field(
        default=160, ge=0, le=2000, description="Tokens of the summary of what left the window, at most."
    )
    recall_tokens: int = Field(
        default=250, ge=0, le=4000, description="Tokens of what was said long ago that one message brings up, at most."
    )
    facts: int = Field(default=1000, ge=10, le=100_000, description="Facts that are kept of one person, at most.")

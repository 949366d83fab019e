"""The section ``dialogue`` of `kith.yaml`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from kith.dialogue.care.measures import CareSettings
from kith.dialogue.initiative.agenda import InitiativeSettings
from kith.dialogue.manners import MannersSettings
from kith.dialogue.memory.settings import MemorySettings
from kith.dialogue.purse import BudgetSettings
from kith.dialogue.values.zones import zone
from kith.runtime.settings import Section


class DialogueSettings(Section):
    """How Kith converses."""

    flow: Path | None = Field(default=None, description="A flow file; the shipped one when absent.")
    persona: Path | None = Field(default=None, description="A persona file; the shipped one when absent.")
    understanding: Literal["rules", "classifier", "embedding", "model"] = Field(
        default="embedding",
        description="The last layer that may say what a message means; each needs those before it.",
    )
    model: str = Field(default="", description="The model that talks; the first one that can when empty.")
    rounds: int = Field(
        default=8, ge=1, le=100, description="Rounds of the conversation that a model is shown at least."
    )
    overhead: int = Field(
        default=800, ge=100, le=8000, description="Tokens that Kith itself may put before a person's words."
    )
    reply_tokens: int = Field(default=512, ge=1, le=32768, description="The longest reply of a model, in tokens.")
    session_idle: float = Field(
        default=1800.0, ge=900.0, description="Seconds of silence after which a dialogue starts anew."
    )
    parallel: int = Field(default=64, ge=1, le=1024, description="Conversations that are answered at the same time.")
    attempts: int = Field(default=2, ge=1, le=10, description="How often a turn is tried before the person is told.")
    tool_rounds: int = Field(
        default=4, ge=0, le=32, description="How often one turn may go back to the model with results."
    )
    turn_timeout: float = Field(default=300.0, gt=0, description="Seconds after which a turn is given up.")
    freshness: float = Field(
        default=86400.0, ge=0, description="Seconds after which a reply is shown, not sent; 0 for never."
    )
    locale: str = Field(
        default="", description="Language when a message does not tell: en or zh; the system's when empty."
    )
    timezone: str = Field(
        default="", description="The household's time zone, such as Asia/Shanghai; the machine's own when empty."
    )
    care: CareSettings = Field(default_factory=CareSettings)
    manners: MannersSettings = Field(default_factory=MannersSettings)
    initiative: InitiativeSettings = Field(default_factory=InitiativeSettings)
    memory: MemorySettings = Field(default_factory=MemorySettings)
    budgets: BudgetSettings = Field(default_factory=BudgetSettings)

    @field_validator("timezone")
    @classmethod
    def _known(cls, name: str) -> str:
        zone(name)
        return name

"""What is remembered of people and of long conversations."""

from kith.dialogue.memory.keeper import Memory, Where, Wipe
from kith.dialogue.memory.settings import MemorySettings
from kith.dialogue.memory.shelves import Modelless

__all__ = ["Memory", "MemorySettings", "Modelless", "Where", "Wipe"]

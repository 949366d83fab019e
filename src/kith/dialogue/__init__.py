"""The dialogue: what was meant, what is known, what to say."""

from kith.dialogue.draft import Ports
from kith.dialogue.engine import Engine
from kith.dialogue.flow import FlowBook
from kith.dialogue.persona import load_persona
from kith.dialogue.settings import DialogueSettings

__all__ = ["DialogueSettings", "Engine", "FlowBook", "Ports", "load_persona"]

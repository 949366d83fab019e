"""The dialogue: what was meant, what is known, what to say."""

from kith.dialogue.draft import Ports
from kith.dialogue.engine import Engine
from kith.dialogue.flows.flow import FlowBook
from kith.dialogue.personas.persona import load_persona
from kith.dialogue.settings import DialogueSettings

__all__ = ["DialogueSettings", "Engine", "FlowBook", "Ports", "load_persona"]

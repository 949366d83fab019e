"""Knowledge: what can be looked up. Kith's own handbook is built in."""

from kith.knowledge.library import Library
from kith.knowledge.settings import KnowledgeSettings

__all__ = ["KnowledgeSettings", "Library"]

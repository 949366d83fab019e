"""What the assistant may do: the tools of outside servers that the owner has looked at."""

from kith.plugins.host import Outside, look
from kith.plugins.offer import pinned
from kith.plugins.settings import PluginsSettings

__all__ = ["Outside", "PluginsSettings", "look", "pinned"]

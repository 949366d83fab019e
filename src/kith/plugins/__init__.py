"""What the assistant may do. So far: nothing, and it says so."""

from kith.plugins.tools import NoTools

__all__ = ["NoTools"]

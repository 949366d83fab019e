"""The commands. Each is imported when it is called, so that `kith --help` is there at once."""

from kith.cli.group import main

__all__ = ["main"]

"""Kith: a private AI assistant and companion that lives on a machine of your own."""

__version__ = "0.1.0"

"""Seeing, hearing, speaking, drawing. So far: an honest word that a part could not be read."""

from kith.media.senses import Senseless

__all__ = ["Senseless"]

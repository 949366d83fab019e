"""Operating Kith: what this machine has, what is wrong with it, and what suits it."""

from kith.ops.advice import Advice, recommend, suggest
from kith.ops.doctor import examine
from kith.ops.finding import Finding

__all__ = ["Advice", "Finding", "examine", "recommend", "suggest"]

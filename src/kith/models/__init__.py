"""Everything that serves a model."""

from kith.models.service import ModelService
from kith.models.settings import ModelSettings, ModelsSettings
from kith.models.shelf import Shelf

__all__ = ["ModelService", "ModelSettings", "ModelsSettings", "Shelf"]

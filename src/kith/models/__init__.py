"""Everything that serves a model."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kith.models.service import ModelService
    from kith.models.settings import ModelSettings, ModelsSettings, ServingSettings
    from kith.models.shelf import Shelf

__all__ = ["ModelService", "ModelSettings", "ModelsSettings", "ServingSettings", "Shelf"]

_PLACES = {
    "ModelService": "service",
    "ModelSettings": "settings",
    "ModelsSettings": "settings",
    "ServingSettings": "settings",
    "Shelf": "shelf",
}


def __getattr__(name: str) -> Any:
    """The public names, when first used: a model's process imports this package, and shall not carry the service."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)

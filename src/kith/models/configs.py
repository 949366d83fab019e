"""The small JSON files that lie beside weights, as model hubs keep them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

from kith.core.errors import Invalid

_LONGEST = 4 << 20  # bytes of a configuration that are read


def read_config(place: Path) -> dict[str, Any]:
    """One object. Raises `Invalid` (code ``broken_model``) for what is none, too long or cannot be read."""
    try:
        if place.stat().st_size > _LONGEST:
            raise ValueError("it is too large")
        found: Any = json.loads(place.read_bytes())
        if not isinstance(found, dict):
            raise ValueError("it is no object")
    except (OSError, ValueError, RecursionError) as error:
        raise Invalid(f"{place} cannot be used: {error}", file=str(place), code="broken_model") from None
    return cast("dict[str, Any]", found)

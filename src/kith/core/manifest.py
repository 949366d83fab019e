"""Manifests and tasks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Quality = Literal["bronze", "silver", "gold"]


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a folder offers, readable without running it.

    `entry` is ``module:attribute`` relative to the folder's package; `settings` likewise or empty; `requires` are
    import names that must be there, and `extra` is the name under which pip installs them.
    """

    name: str
    kind: str
    title: Mapping[str, str]
    entry: str
    package: str
    path: Path
    settings: str = ""
    extra: str = ""
    requires: tuple[str, ...] = ()
    permissions: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    quality: Quality = "bronze"
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Task:
    """Work to be done at `due`."""

    id: str
    name: str
    payload: Mapping[str, Any]
    due: float = 0.0
    attempts: int = 0
    state: Literal["waiting", "running", "done", "failed"] = "waiting"

"""Opening the backend that the settings name."""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable
from typing import Any, cast

from kith.core.clock import Clock
from kith.core.errors import Refused
from kith.core.ids import Ids
from kith.core.ports import Cipher
from kith.runtime.registry import Registry
from kith.storage.ledger.storage import Storage
from kith.storage.settings import StorageSettings


async def open_storage(
    settings: StorageSettings, clock: Clock, ids: Ids, cipher: Cipher, spare: Cipher | None = None
) -> Storage:
    """Open the database, made on first use, brought to the newest version, recovered from a former crash.

    `spare` is the new key of a rotation that was interrupted: where only it fits, `spare_used` of the result is true.
    Raises `Refused` (codes ``wrong_key``, ``damaged``, ``too_new``), `Unavailable`, `NotFound` or `Missing`.
    """
    opener = cast("Callable[..., Awaitable[Storage]]", Registry("storage").load(settings.backend))
    return await opener(settings, clock, ids, cipher, spare)


async def rotate_storage(settings: StorageSettings, old: Cipher, new: Cipher) -> None:
    """Encrypt everything anew, while no process has the database open; if killed, either key fits afterwards.

    Raises `Refused` (codes ``wrong_key``, ``in_use``, ``cannot_rotate``) or `Unavailable`.
    """
    registry = Registry("storage")
    manifest = registry.manifest(settings.backend)
    target = str(manifest.details.get("rotate", ""))
    if not target:
        raise Refused(f"the backend {manifest.name} has no key to change", code="cannot_rotate")
    registry.load(manifest.name)  # tells what is not installed
    module, _, attribute = target.partition(":")
    rotate: Any = getattr(importlib.import_module(f"{manifest.package}.{module}"), attribute)
    await rotate(settings, old, new)

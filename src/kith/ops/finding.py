"""One thing the doctor found, as data that is put into words when it is shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from kith.runtime.locale import catalogue, language, tr

Status = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """`check` names what was looked at, `key` what was found there; `values` fill the sentences for it.

    ``warn`` means that something works badly or not at all, ``fail`` that Kith cannot run.
    """

    check: str
    status: Status
    key: str
    values: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def title(self, locale: str = "") -> str:
        """What was looked at."""
        return tr(f"ops.check.{self.check}", locale)

    def say(self, locale: str = "") -> str:
        """What was found, as a sentence."""
        return tr(f"ops.found.{self.key}", locale, **self.values)

    def hint(self, locale: str = "") -> str:
        """What to do about it; empty when nothing has to be done."""
        name = f"hint.{self.key}"
        return tr(f"ops.{name}", locale, **self.values) if name in catalogue(language(locale), "ops") else ""


def size(count: int) -> str:
    """Bytes as people read them, in units of 1024: ``7.6 GiB``."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"

"""Every text that a person sees, in English and Chinese, from ``kith/locale/<language>/<room>.toml``."""

from __future__ import annotations

import os
import tomllib
from functools import cache
from pathlib import Path
from typing import Any, cast

import kith

LANGUAGES = ("en", "zh")


def language(locale: str = "") -> str:
    """``zh`` or ``en``: of a locale such as ``zh_CN.UTF-8``, by default that of the environment."""
    wanted = locale or next((v for n in ("KITH_LANG", "LC_ALL", "LC_MESSAGES", "LANG") if (v := os.environ.get(n))), "")
    return "zh" if wanted.lower().startswith("zh") else "en"


def tr(key: str, locale: str = "", **values: Any) -> str:
    """The text called `key` (``room.name``) in a language, with ``{placeholders}`` filled. Raises `KeyError`."""
    room, _, name = key.partition(".")
    return catalogue(language(locale), room)[name].format(**values)


@cache
def catalogue(lang: str, room: str) -> dict[str, str]:
    """Every text of one room in one language, nested tables joined by dots."""
    path = Path(kith.__path__[0]) / "locale" / lang / f"{room}.toml"
    return _flat(tomllib.loads(path.read_text("utf-8")), "")


def _flat(table: dict[str, Any], prefix: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in table.items():
        if isinstance(value, dict):
            found |= _flat(cast("dict[str, Any]", value), f"{prefix}{name}.")
        else:
            found[prefix + name] = str(value)
    return found

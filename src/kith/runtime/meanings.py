"""What each setting means, in the reader's language: from the tables of the pages that people read, written once.

English is the description in the class itself. Chinese stands in the tables ``| `key` | default | meaning |`` of the
handbook and of the channels' pages, which a wheel carries along as data. A key whose meaning cannot be found there
keeps its English one.
"""

from __future__ import annotations

import re
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, cast

import kith
from kith.runtime.locale import language

# Where pyproject.toml puts the channels' pages in an installation: below the environment's folder of data.
SHARE = "share/kith/{lang}/channels"

_ROW = re.compile(r"^\| `(\w+)` \| .*? \| (.+) \|\s*$")
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
# A table of the handbook speaks of a channel if it names these.
_CHANNEL = frozenset(("enabled", "account"))

Table = Mapping[str, str]


def explained(schema: Mapping[str, Any], locale: str, channel: str = "") -> dict[str, Any]:
    """A JSON schema of settings with its descriptions in the language of `locale`; the given one is left alone.

    `channel` is the name of the channel whose settings they are.
    """
    if language(locale) == "en":
        return dict(schema)
    parts = cast("Mapping[str, Mapping[str, Any]]", schema.get("$defs", {}))
    found = _part(schema, locale, channel)
    return found | {"$defs": {name: _part(part, locale, "") for name, part in parts.items()}} if parts else found


def tables(lines: Iterable[str]) -> Iterator[Table]:
    """Every table of settings in a page of Markdown: the meanings by their key, links as their mere text."""
    now: dict[str, str] = {}
    for line in lines:
        if row := _ROW.match(line):
            now[row[1]] = _LINK.sub(r"\1", row[2]).replace(r"\|", "|").strip()
        elif not line.startswith("|") and now:
            yield now
            now = {}
    if now:
        yield now


def _part(part: Mapping[str, Any], locale: str, channel: str) -> dict[str, Any]:
    """One class of a schema, explained; sections inside of it, which say nothing of themselves, stay as they are."""
    fields = cast("Mapping[str, Mapping[str, Any]]", part.get("properties", {}))
    if not fields:
        return dict(part)
    told = _meanings(frozenset(fields), language(locale), channel)
    shown = {
        name: {**field, "description": told[name]} if name in told and "description" in field else field
        for name, field in fields.items()
    }
    return {**part, "properties": shown}


@cache
def _meanings(names: frozenset[str], lang: str, channel: str) -> Table:
    """The meanings of a class with these keys: of the table that has the most in common with it, then of others.

    The same key means something else in another class, so a table counts only if one of the two holds the other. A
    channel's own page knows best.
    """
    books = [_handbook(lang)]
    if channel:
        general = (table for table in books[0] if table.keys() >= _CHANNEL)
        books = [(*general, *_channel(lang, "README")), _channel(lang, channel)]
    found: dict[str, str] = {}
    for book in books:
        fitting = [table for table in book if table.keys() <= names or table.keys() >= names]
        for table in sorted(fitting, key=lambda one: len(one.keys() & names) / len(one.keys() | names)):
            found |= {name: text for name, text in table.items() if name in names}
    return found


@cache
def _handbook(lang: str) -> tuple[Table, ...]:
    folder = Path(kith.__path__[0]) / "knowledge" / "handbook" / lang
    return tuple(table for page in sorted(folder.glob("*.md")) for table in _read(page))


@cache
def _channel(lang: str, name: str) -> tuple[Table, ...]:
    """The tables of a channel's page; ``README`` is the one about them all."""
    if not name.isidentifier():
        return ()
    checkout = Path(kith.__path__[0]).parents[1] / "docs" / lang / "channels"
    folders = (checkout, Path(sysconfig.get_path("data")) / SHARE.format(lang=lang))
    folder = next((one for one in folders if one.is_dir()), checkout)
    return _read(folder / f"{name}.md")


def _read(page: Path) -> tuple[Table, ...]:
    try:
        return tuple(tables(page.read_text("utf-8", errors="replace").splitlines()))
    except OSError:
        return ()

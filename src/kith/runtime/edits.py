"""Changing the settings file as a person would: the one value, with every comment and all the order left alone."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import yaml
from pydantic import BaseModel

from kith.core.audit import Act, By
from kith.core.errors import Fault, Invalid
from kith.core.ports import Journal
from kith.runtime.documents import parse_document
from kith.runtime.settings import load

MASK = "********"
_SECRET = ("token", "secret", "password", "passphrase", "key", "dsn", "credential")
_DEEP = 12


class Edits:
    """The settings `cls` in the file `path`, changed key by key. `running` is what the house was started with."""

    def __init__(self, cls: type[BaseModel], path: Path, running: BaseModel, journal: Journal) -> None:
        self._cls, self._path, self._running, self._journal = cls, path, running, journal
        self._turn = asyncio.Lock()

    def describe(self) -> Mapping[str, Any]:
        """Where the file is, the schema, what holds now with secrets masked, what stands in the file, what waits.

        ``waiting`` are the keys whose value is another in the file than in the house that runs.
        """
        there = load(self._cls, self._path) if self._path.exists() else self._cls()
        held, now = (flat(one.model_dump(mode="json")) for one in (there, self._running))
        data: Any = parse_document(self._read()).data or {}
        return {
            "file": str(self._path),
            "schema": self._cls.model_json_schema(),
            "values": masked(there.model_dump(mode="json"), data),
            "given": sorted(flat(data)),
            "waiting": sorted(key for key in {*held, *now} if held.get(key) != now.get(key)),
        }

    def section(self, place: str) -> Mapping[str, Any]:
        """The mapping at a dotted path of the file, as it stands there; empty where there is none."""
        found: Any = parse_document(self._read()).data
        for name in place.split("."):
            found = cast("Mapping[str, Any]", found).get(name) if isinstance(found, Mapping) else None
        return cast("Mapping[str, Any]", found) if isinstance(found, Mapping) else {}

    async def change(self, changes: Mapping[str, Any], by: By) -> Sequence[str]:
        """Set keys by their dotted path, or with None take them out of the file; returns what changed.

        Raises `Invalid` naming the key: nothing is written then.
        """
        wanted = {tuple(key.split(".")): value for key, value in changes.items() if value != MASK}
        for place in wanted:
            if not all(place) or len(place) > _DEEP:
                raise Invalid("these settings cannot be used", faults=(Fault(".".join(place), "is not a key"),))
        async with self._turn:
            old = await asyncio.to_thread(self._read)
            new = old
            for place, value in wanted.items():
                new = amend(new, place, value)
            if new == old:
                return ()
            spare = await asyncio.to_thread(self._try, new)
            names = [".".join(place) for place in wanted]
            detail = {"keys": ", ".join(names)[:500]}
            try:
                await self._journal.act(Act("settings.change", by.actor, "kith.yaml", by.origin, detail=detail))
                await asyncio.to_thread(spare.replace, self._path)
            finally:
                spare.unlink(missing_ok=True)
            return names

    def _read(self) -> str:
        return self._path.read_text("utf-8") if self._path.exists() else ""

    def _try(self, text: str) -> Path:
        """The new text in a file of its own beside the old one, if the settings can be used. Raises `Invalid`."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        spare = self._path.with_name(f".{self._path.name}.new")
        spare.unlink(missing_ok=True)
        with os.fdopen(os.open(spare, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        try:
            load(self._cls, spare)
        except Invalid as error:
            spare.unlink(missing_ok=True)
            raise Invalid("these settings cannot be used", faults=error.faults, code=error.code) from None
        return spare


def amend(text: str, place: Sequence[str], value: Any) -> str:
    """The YAML `text` with `value` at `place`, or without that key for None. Comments and order stay.

    Raises `Invalid` (code ``settings_conflict``) where that cannot be done safely, as inside of aliases.
    """
    before: Any = parse_document(text).data or {}
    wanted = _put(before, tuple(place), value)
    if wanted == before:
        return text
    try:
        new = _amended(text, tuple(place), value)
        good = (parse_document(new).data or {}) == wanted
    except Invalid:
        new, good = text, False
    if not good:
        raise Invalid(
            "the settings file cannot be changed by itself",
            faults=(Fault(".".join(place), "cannot be changed here without disturbing the rest"),),
            code="settings_conflict",
            hint="edit kith.yaml by hand",
        )
    return new


def masked(value: Any, written: Any = None, name: str = "") -> Any:
    """`value` without secrets: what is called like one, and whatever was `written` as ``${VARIABLE}``."""
    if isinstance(value, Mapping):
        twin: Mapping[str, Any] = cast("Mapping[str, Any]", written) if isinstance(written, Mapping) else {}
        items = cast("Mapping[str, Any]", value).items()
        return {key: masked(item, twin.get(key), key) for key, item in items}
    if isinstance(value, list | tuple):
        rows = cast("list[Any]", value)
        twins = cast("list[Any]", written) if isinstance(written, list) else []
        return [masked(row, twins[at] if at < len(twins) else None, name) for at, row in enumerate(rows)]
    hidden = isinstance(written, str) and "${" in written
    named = any(word in name.lower().split("_") or name.lower().endswith(word) for word in _SECRET)
    secret = hidden or (named and isinstance(value, str) and value != "")
    return MASK if secret else value


def flat(value: Any, name: str = "") -> dict[str, Any]:
    """The leaves of nested mappings by their dotted path; lists are leaves."""
    if not isinstance(value, Mapping):
        return {name: value}
    found: dict[str, Any] = {}
    for key, item in cast("Mapping[Any, Any]", value).items():
        found |= flat(item, f"{name}.{key}" if name else str(key))
    return found


def _put(data: Any, place: tuple[str, ...], value: Any) -> Any:
    """A copy of `data` with the change; a mapping that becomes empty goes too."""
    copy = dict(cast("Mapping[str, Any]", data)) if isinstance(data, Mapping) else {}
    head, rest = place[0], place[1:]
    item = _put(copy.get(head), rest, value) if rest else value
    if item is None or (rest and item == {}):
        copy.pop(head, None)
    else:
        copy[head] = item
    return copy


def _amended(text: str, place: tuple[str, ...], value: Any) -> str:
    node = cast("yaml.Node | None", cast("Any", yaml).compose(text, Loader=yaml.SafeLoader))
    if node is None:
        return (text.rstrip("\n") + "\n" if text.strip() else "") + _block(place, value, 0)
    for depth, name in enumerate(place):
        if not isinstance(node, yaml.MappingNode):
            return _replaced(text, node, _nested(place[depth:], value))
        if node.flow_style:
            data: Any = parse_document(text[node.start_mark.index : node.end_mark.index]).data or {}
            return _replaced(text, node, _put(data, place[depth:], value))
        found = next((pair for pair in node.value if pair[0].value == name), None)
        if found is None:
            line = text.rfind("\n", 0, node.start_mark.index) + 1
            return text[:line] + _block(place[depth:], value, node.start_mark.column) + text[line:]
        if value is None and (depth == len(place) - 1 or _emptied(found[1], place[depth + 1 :])):
            return _without(text, node, found)
        node = found[1]
    return _replaced(text, node, value)


def _emptied(node: yaml.Node, rest: tuple[str, ...]) -> bool:
    """Whether taking out `rest` leaves nothing in this mapping."""
    for name in rest:
        if not isinstance(node, yaml.MappingNode) or len(node.value) != 1 or node.value[0][0].value != name:
            return False
        node = node.value[0][1]
    return True


def _without(text: str, parent: yaml.MappingNode, pair: tuple[yaml.Node, yaml.Node]) -> str:
    """The text without one key of a block mapping: its lines up to the next key, but not the comments before that."""
    begin = text.rfind("\n", 0, pair[0].start_mark.index) + 1
    end = _end(text, pair[1])
    line = text.find("\n", end)
    rest = text[line + 1 :] if line >= 0 else ""
    if len(parent.value) == 1 and parent.start_mark.column:
        return text
    return text[:begin] + rest


def _replaced(text: str, node: yaml.Node, value: Any) -> str:
    begin, end = node.start_mark.index, _end(text, node)
    block = isinstance(node, yaml.CollectionNode) and not node.flow_style
    if block or (isinstance(node, yaml.ScalarNode) and node.style in ("|", ">")):
        begin = text.rfind(":", 0, begin) + 1
    gap = "" if begin and text[begin - 1] in " \n[{" else " "
    return text[:begin] + gap + _flow(value) + text[end:]


def _end(text: str, node: yaml.Node) -> int:
    """Where a node's own text ends: a block's mark lies behind the comments that follow it."""
    while isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        node = cast("yaml.Node", last[1] if isinstance(last, tuple) else last)
    end = node.end_mark.index
    if isinstance(node, yaml.ScalarNode) and node.style in ("|", ">"):
        end = len(text[:end].rstrip("\n"))
    return max(end, node.start_mark.index)


def _nested(place: tuple[str, ...], value: Any) -> Any:
    for name in reversed(place):
        value = {name: value}
    return value


def _block(place: tuple[str, ...], value: Any, column: int) -> str:
    lines = [" " * (column + 2 * depth) + f"{_flow(name)}:" for depth, name in enumerate(place)]
    return "\n".join(lines) + f" {_flow(value)}\n"


def _flow(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10**6)
    return text.removesuffix("\n").removesuffix("\n...").strip()

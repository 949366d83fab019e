"""Labelled messages from files: logs of one's own, and the formats in which data sets of intents are published."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from kith.core.errors import Fault, Invalid
from kith.dialogue.understanding.normal import normal
from kith.runtime.locale import tr

Pairs = list[tuple[str, str]]

OUTSIDE = ("", "oos", "out_of_scope")  # labels of what belongs to no intent
_LIMIT = 256 * 1024 * 1024
_LONGEST = 10_000  # characters of a text; no message that is read for its intent is nearly as long
_PARTS = ("train", "val", "test")


def load_labelled(path: Path, part: str = "train", locale: str = "") -> Pairs:
    """Texts with their intents. Raises `Invalid` with the line of what cannot be read.

    JSON Lines with ``text`` and ``intent``, or ``utt``, ``intent``, ``partition``, ``locale`` (MASSIVE); CSV with the
    header ``text,category`` or ``text,intent`` (BANKING77); JSON ``{"train": [[text, intent], …], …}`` (CLINC150).
    """
    try:
        if path.stat().st_size > _LIMIT:
            raise _invalid(path, 0, f"is larger than {_LIMIT >> 20} MiB")
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise _invalid(path, 0, error.strerror or "cannot be read") from None
    except UnicodeDecodeError:
        raise _invalid(path, 0, "is not UTF-8") from None
    kind = path.suffix.casefold()
    if kind == ".csv":
        pairs = list(_table(path, text))
    elif kind == ".json":
        pairs = _parts(path, text, part)
    else:
        pairs = list(_lines(path, text, part, locale))
    if not pairs:
        raise _invalid(path, 0, "has no labelled text")
    return pairs


def merged(flow: Mapping[str, Any], pairs: Iterable[tuple[str, str]]) -> tuple[dict[str, Any], int, list[str]]:
    """A flow file's data with labelled texts added as patterns: the data, how many, and what was left out and why.

    What is labelled out of scope ("", "oos", "out_of_scope") joins the flow's `out_of_scope`.
    """
    data = cast("dict[str, Any]", json.loads(json.dumps(flow)))
    intents = {str(intent["name"]): cast("list[str]", intent["patterns"]) for intent in data["intents"]}
    strange = [str(text) for text in data.get("out_of_scope", ())]
    intents[""] = strange
    owners = {normal(pattern): name for name, patterns in intents.items() for pattern in patterns}
    added, left = 0, list[str]()
    for text, label in pairs:
        said, name = normal(text), "" if label in OUTSIDE and label not in intents else label
        if name not in intents:
            left.append(tr("flow.no_intent", text=text, name=name))
        elif not said or len(text) > 400 or "{" in text or "*" in text:
            left.append(tr("flow.no_pattern", text=text))
        elif owners.get(said, name) != name:
            left.append(tr("flow.owned", text=text, name=owners[said] or "out_of_scope"))
        elif said not in owners:
            owners[said] = name
            intents[name].append(text)
            added += 1
    data |= {"out_of_scope": strange} if strange else {}
    return data, added, left


def _lines(path: Path, text: str, part: str, locale: str) -> Iterable[tuple[str, str]]:
    for number, line in enumerate(text.split("\n"), 1):  # not at every border that Unicode knows: those may be in texts
        if not line.strip():
            continue
        try:
            row: object = json.loads(line)
        except (ValueError, RecursionError):  # also of a number of more digits than Python takes
            raise _invalid(path, number, "is not JSON") from None
        if not isinstance(row, dict):
            raise _invalid(path, number, "has to be an object")
        fields = cast("dict[str, object]", row)
        said, intent = fields.get("utt", fields.get("text")), fields.get("intent")
        if not isinstance(said, str) or not isinstance(intent, str):
            raise _invalid(path, number, "needs text (or utt) and intent")
        other = fields.get("partition", part) != part or (locale and fields.get("locale", locale) != locale)
        if not other:
            yield _pair(path, number, said, intent)


def _table(path: Path, text: str) -> Iterable[tuple[str, str]]:
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [name.strip().casefold() for name in next(rows, list[str]())]
        label = next((name for name in ("category", "intent", "label") if name in header), "")
        if "text" not in header or not label:
            raise _invalid(path, 1, "needs the header text,category")
        a, b = header.index("text"), header.index(label)
        for row in rows:
            if row and len(row) <= max(a, b):
                raise _invalid(path, rows.line_num, f"has {len(row)} fields")
            if row:
                yield _pair(path, rows.line_num, row[a], row[b])
    except csv.Error as error:
        raise _invalid(path, rows.line_num, str(error)) from None


def _parts(path: Path, text: str, part: str) -> Pairs:
    try:
        data: object = json.loads(text)
    except (ValueError, RecursionError):
        raise _invalid(path, 0, "is not JSON") from None
    rows = cast("dict[str, object]", data).get(part) if isinstance(data, dict) else data
    if not isinstance(rows, list):
        raise _invalid(path, 0, f"has no list {part!r}; there may be {', '.join(_PARTS)}")
    pairs: Pairs = []
    for number, row in enumerate(cast("list[object]", rows), 1):
        pair = cast("list[object]", row) if isinstance(row, list) else []
        said, intent = pair if len(pair) == 2 else (None, None)
        if not isinstance(said, str) or not isinstance(intent, str):
            raise _invalid(path, 0, f"needs pairs [text, intent]; number {number} is none")
        pairs.append(_pair(path, 0, said, intent))
    return pairs


def _pair(path: Path, line: int, said: str, intent: str) -> tuple[str, str]:
    """Refuses what no message can be."""
    if len(said) > _LONGEST:
        raise _invalid(path, line, f"has a text of {len(said):,} characters; {_LONGEST:,} are the most")
    try:
        f"{said}{intent}".encode()
    except UnicodeEncodeError:
        raise _invalid(path, line, "has half a character") from None
    return said, intent


def _invalid(path: Path, line: int, reason: str) -> Invalid:
    return Invalid(f"{path} cannot be used", faults=(Fault("", reason, line),), file=str(path))

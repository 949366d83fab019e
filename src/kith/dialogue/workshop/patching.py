"""Adding phrases to a flow file without touching anything else in it: comments, order and layout stay.

In YAML the new text is put in at the places that the parser gives; JSON, which has no comments, is written anew. What
comes out is read again, and has to be the old data with the addition and nothing else.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import yaml

from kith.core.errors import Broken, Invalid, NotFound, Unavailable
from kith.dialogue.flows.flow import build_flow
from kith.runtime.documents import parse_document, read_document


def with_patterns(text: str, kind: str, intent: str, patterns: Sequence[str]) -> str:
    """The file's text with `patterns` added to those of an intent. Raises `NotFound` (code ``intent_not_found``)."""
    data = _data(text, kind)
    row = next((row for row in data["intents"] if row["name"] == intent), None)
    if row is None:
        raise NotFound(f"the flow has no intent {intent!r}", code="intent_not_found")
    row["patterns"] += list(patterns)
    if kind == "json":
        return json.dumps(data, ensure_ascii=False, indent=2) + "\n"
    found = next(row for row in _items(_root(text), "intents") if _scalar(row, "name") == intent)
    return _checked(_extended(text, _value(found, "patterns"), [_quoted(words) for words in patterns]), data)


def with_intent(text: str, kind: str, name: str, patterns: Sequence[str], response: str) -> str:
    """The file's text with an intent more, at the end of the list."""
    data = _data(text, kind)
    data["intents"].append({"name": name, "patterns": list(patterns), "response": response})
    if kind == "json":
        return json.dumps(data, ensure_ascii=False, indent=2) + "\n"
    listed = ", ".join(map(_quoted, patterns))
    row = f"{{name: {_quoted(name)}, patterns: [{listed}], response: {_quoted(response)}}}"
    return _checked(_extended(text, _value(_root(text), "intents"), [row]), data)


def stage(path: Path, text: str) -> Path:
    """Write a text beside a file, with the file's permissions; `replace` puts it in its place.

    Raises `Unavailable` (code ``flow_not_written``), and leaves nothing behind then.
    """
    real = path.resolve()
    spare: Path | None = None
    try:
        handle, name = tempfile.mkstemp(dir=real.parent, prefix=f".{real.name}.")
        spare = Path(name)
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        spare.chmod(real.stat().st_mode & 0o777)
    except (OSError, UnicodeEncodeError) as error:
        if spare is not None:
            spare.unlink(missing_ok=True)
        raise Unavailable(f"{path} cannot be written ({type(error).__name__})", code="flow_not_written") from None
    return spare


def prove(path: Path, text: str) -> None:
    """Check the new text as a flow in the place of `path`. Raises `Invalid` with every mistake."""
    build_flow(parse_document(text, str(path), kind_of(path)))


def kind_of(path: Path) -> str:
    """``json`` or ``yaml``."""
    return "json" if path.suffix.lower() == ".json" else "yaml"


def _data(text: str, kind: str) -> dict[str, Any]:
    data: object = parse_document(text, "flow", kind).data
    if not isinstance(data, dict) or not isinstance(cast("dict[str, Any]", data).get("intents"), list):
        raise Invalid("the flow has no list of intents")
    return cast("dict[str, Any]", json.loads(json.dumps(data)))


def _root(text: str) -> yaml.MappingNode:
    return cast("yaml.MappingNode", cast("Any", yaml).compose(text, yaml.SafeLoader))  # untyped in PyYAML's stubs


def _value(node: yaml.MappingNode, key: str) -> yaml.SequenceNode:
    rows = cast("list[tuple[yaml.Node, yaml.Node]]", node.value)
    return cast("yaml.SequenceNode", next(value for name, value in rows if name.value == key))


def _items(node: yaml.MappingNode, key: str) -> list[yaml.MappingNode]:
    return cast("list[yaml.MappingNode]", _value(node, key).value)


def _scalar(node: yaml.MappingNode, key: str) -> str:
    return str(_value(node, key).value)


def _extended(text: str, node: yaml.SequenceNode, items: Sequence[str]) -> str:
    """The text with more items at the end of a sequence, in the style of the sequence."""
    last = cast("list[yaml.Node]", node.value)[-1]
    end = last.end_mark.index
    if node.flow_style:
        return text[:end] + "".join(f", {item}" for item in items) + text[end:]
    place = end if text[end - 1 : end] == "\n" else text.find("\n", end) + 1 or len(text)
    indent = " " * node.start_mark.column
    lead = "" if text[:place].endswith("\n") else "\n"
    return text[:place] + lead + "".join(f"{indent}- {item}\n" for item in items) + text[place:]


def _quoted(words: str) -> str:
    return json.dumps(words, ensure_ascii=False)


def _checked(text: str, wanted: dict[str, Any]) -> str:
    """Raises `Broken` when the text does not mean the old data with the addition: then nothing is written."""
    if _data(text, "yaml") != wanted:
        raise Broken("this flow file is laid out in a way that cannot be added to", code="flow_not_patched")
    return text


def read_text(path: Path) -> str:
    """The file as text. Raises `Invalid` as loading does."""
    read_document(path)
    return path.read_text("utf-8-sig")

"""Tools in a model's own words: how a template's model writes its calls, and how they are read out of the stream.

Kith renders templates itself, so it reads the calls itself too. The forms are those of the templates in use: Hermes
and Qwen 2.5 and 3, Qwen3-Coder, GLM 4.5, Mistral, Llama 3, Granite and DeepSeek.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from kith.core.message import ToolCall
from kith.core.model import ToolSpec

_CALLS = 32  # calls of one reply that are believed
_HELD = 1 << 20  # characters of calls in one reply that are believed


@dataclass(frozen=True, slots=True)
class Form:
    """Where a call begins and ends in the text. `early`: a reply that begins so is a call too."""

    begin: str
    end: str = ""
    early: str = ""
    strict: bool = False

    @property
    def preserved(self) -> list[str]:
        """Control tokens that have to be seen in the output."""
        return [mark for mark in (self.begin, self.end, "[ARGS]", "<｜tool▁sep｜>", "<｜tool▁call▁end｜>") if mark]


HERMES = Form("<tool_call>", "</tool_call>", strict=True)
_FORMS = (
    ("<｜tool▁calls▁begin｜>", Form("<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>")),
    ("<function=", Form("<tool_call>", "</tool_call>")),
    ("<arg_key>", Form("<tool_call>", "</tool_call>")),
    ("<tool_call>", HERMES),
    ("<|tool_call|>", Form("<|tool_call|>")),
    ("[TOOL_CALLS]", Form("[TOOL_CALLS]")),
    ("<|python_tag|>", Form("<|python_tag|>", early='{"name"')),
    ('"parameters"', Form("<|python_tag|>", early='{"name"')),
)


def form_of(template: str) -> Form | None:
    """How the model of this chat template writes calls; None when the template knows nothing of tools."""
    if not re.search(r"\btools\b", template):
        return None
    return next((form for mark, form in _FORMS if mark in template), HERMES)


def explain(tools: Sequence[ToolSpec]) -> str:
    """The tools for a model whose template does not know any, in Hermes's words."""
    listed = "\n".join(json.dumps(described(tool), ensure_ascii=False) for tool in tools)
    return (
        f"You may call functions. They are, as JSON inside <tools></tools>:\n<tools>\n{listed}\n</tools>\n"
        'To call one, answer only with:\n<tool_call>\n{"name": <its name>, "arguments": <its arguments>}\n</tool_call>'
    )


def described(tool: ToolSpec) -> dict[str, Any]:
    """A tool as templates expect it."""
    function = {"name": tool.name, "description": tool.description, "parameters": dict(tool.schema)}
    return {"type": "function", "function": function}


def grammar(tools: Sequence[ToolSpec]) -> str:
    """A grammar (llguidance's Lark) under which text is free, and what follows ``<tool_call>`` is a call that fits.

    https://github.com/guidance-ai/llguidance/blob/main/docs/syntax.md
    """
    calls = [
        {
            "type": "object",
            "properties": {"name": {"const": tool.name}, "arguments": dict(tool.schema) or {"type": "object"}},
            "required": ["name", "arguments"],
            "additionalProperties": False,
        }
        for tool in tools
    ]
    shape = {
        "anyOf": calls,
        "x-guidance": {"whitespace_flexible": False, "key_separator": ": ", "item_separator": ", "},
    }
    return (
        "%llguidance {}\nstart: (free call)* REST?\n"
        'free[suffix="<tool_call>"]: /(.|\\n)*/\n'
        "REST: /(.|\\n)+/ & ~/(.|\\n)*<tool_call>(.|\\n)*/\n"
        f'call: SPACE %json {json.dumps(shape)} SPACE "</tool_call>"\nSPACE: /\\n?/\n'
    )


@dataclass(slots=True)
class Splitter:
    """Parts a stream into what is said and what is called."""

    form: Form
    held: str = ""
    calling: bool = False
    spoke: bool = False
    found: list[ToolCall] = field(default_factory=list[ToolCall])

    def feed(self, text: str) -> str:
        """What may be said now; the beginning of a mark is kept back until it is clear what it is."""
        self.held += text
        if self.calling:
            return ""
        at = self.held.find(self.form.begin)
        early = self.form.early
        if at < 0 and early and not self.spoke:
            start = self.held.lstrip()
            if start.startswith(early):
                self.calling = True
                return ""
            if early.startswith(start):
                return ""
        if at >= 0:
            self.calling = True
            said, self.held = self.held[:at], self.held[at:]
        else:
            keep = _overlap(self.held, self.form.begin)
            said, self.held = self.held[: len(self.held) - keep], self.held[len(self.held) - keep :]
        self.spoke = self.spoke or bool(said.strip())
        return said

    def end(self) -> tuple[str, tuple[ToolCall, ...]]:
        """(what is left to say, the calls). What was no call after all is said."""
        if not self.calling or len(self.held) > _HELD:
            return self.held, ()
        pieces = self.held.split(self.form.begin) if self.form.begin in self.held else [self.held]
        calls, said = list[tuple[str, str]](), ""
        for piece in filter(str.strip, pieces):
            body, _, rest = piece.partition(self.form.end) if self.form.end else (piece, "", "")
            found = read(body)
            calls += found
            said += rest.strip() if found else self.form.begin + piece
        if not calls:
            return self.held, ()
        made = [ToolCall(f"call_{index}", name, given) for index, (name, given) in enumerate(calls[:_CALLS])]
        return said, tuple(made)


def _overlap(text: str, mark: str) -> int:
    """How many characters at the end of `text` may be the beginning of `mark`."""
    return next((size for size in range(min(len(text), len(mark) - 1), 0, -1) if mark.startswith(text[-size:])), 0)


_XML = re.compile(r"<function=([^>\n]{1,128})>(.*?)(?:</function>|\Z)", re.DOTALL)
_XML_FIELD = re.compile(r"<parameter=([^>\n]{1,128})>\n?(.*?)\n?</parameter>", re.DOTALL)
_GLM_FIELD = re.compile(r"<arg_key>(.*?)</arg_key>\s*<arg_value>(.*?)</arg_value>", re.DOTALL)
_DEEPSEEK = re.compile(
    r"<｜tool▁sep｜>([^\n`{]{1,128})\s*(?:```json)?\s*(\{.*?\})\s*(?:```)?\s*(?:<｜tool▁call▁end｜>|\Z)", re.DOTALL
)
_NAMED = re.compile(r"\s*([\w.-]{1,128})\s*(?:\[ARGS\])?\s*(\{.*)", re.DOTALL)


def read(body: str) -> list[tuple[str, str]]:
    """The (name, arguments as JSON text) of the calls written in `body`; empty when there is none that can be read."""
    text = body.strip()
    if text.startswith(("{", "[")):
        return _from_json(text)
    if "<function=" in text:
        return [(name.strip(), _fields(_XML_FIELD.findall(inner))) for name, inner in _XML.findall(text)]
    if "<｜tool▁sep｜>" in text:
        return [(name.strip(), given) for name, given in _DEEPSEEK.findall(text) if _object(given) is not None]
    if "<arg_key>" in text:
        return [(text.partition("<arg_key>")[0].strip(), _fields(_GLM_FIELD.findall(text)))]
    named = _NAMED.fullmatch(text)
    given = _object(named[2]) if named else None
    return [(named[1], json.dumps(given, ensure_ascii=False))] if named and given is not None else []


def _from_json(text: str) -> list[tuple[str, str]]:
    """One call, several in a list, or several one after the other."""
    decoder, at, found = json.JSONDecoder(), 0, list[tuple[str, str]]()
    while at < len(text):
        try:
            value, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            break
        for item in cast("list[Any]", value) if isinstance(value, list) else [value]:
            if (call := _call(item)) is not None:
                found.append(call)
        while at < len(text) and text[at] in " \r\n\t;,":
            at += 1
    return found


def _call(item: Any) -> tuple[str, str] | None:
    if not isinstance(item, dict):
        return None
    call = cast("dict[str, Any]", item)
    inner: Any = call.get("function")
    if isinstance(inner, dict):
        call = cast("dict[str, Any]", inner)
    name: Any = call.get("name")
    given: Any = call.get("arguments", call.get("parameters", {}))
    if isinstance(given, str):
        given = _object(given)
    if not isinstance(name, str) or not name or not isinstance(given, dict):
        return None
    return name, json.dumps(given, ensure_ascii=False)


def _object(text: str) -> dict[str, Any] | None:
    try:
        value: Any = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def _fields(pairs: Sequence[tuple[str, str]]) -> str:
    """Values written as JSON are read as such, all others are texts."""
    values: dict[str, Any] = {}
    for key, text in pairs:
        try:
            values[key.strip()] = json.loads(text)
        except (ValueError, RecursionError):
            values[key.strip()] = text
    return json.dumps(values, ensure_ascii=False)

"""Chat templates: a program inside a model file, rendered where it can do no harm.

The template runs in jinja2's immutable sandbox, inside the model's own process (never in the gateway's), with a limit
of time and output, a short list of filters and methods, and a ceiling on everything an expression can build. One that
is absent, broken, too slow or too long is replaced by ChatML. What should slip through nevertheless silences the
process, which the supervisor notices: it costs this model its process, and the house nothing.
"""

from __future__ import annotations

import contextlib
import json
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from types import CodeType, FrameType
from typing import Any, NoReturn, cast

from jinja2 import TemplateError, nodes
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SECONDS = 0.5  # below the supervisor's limit of silence
SOURCE = 256 * 1024  # characters of a template
CEILING = 4_000_000  # characters or items of a value, and of a prompt
_TICK, _AGAIN = 0.01, 0.25  # seconds between two rings of the alarm, and after one that was raised
_HELPERS = ("jinja2", "markupsafe", "json")
_DAY = 86_400
_SPACE = "\u200b"
_GROWING = re.compile("center|encode|expandtabs|format|format_map|join|ljust|maketrans|rjust|translate|zfill")
_FILTERS = re.compile(
    "abs|capitalize|count|d|default|dictsort|e|escape|first|float|int|items|last|length|list|lower|map|max|min|reject|"
    "rejectattr|reverse|round|safe|select|selectattr|sort|string|title|trim|unique|upper"
)
_TEXTUAL = ("capitalize", "e", "escape", "lower", "string", "title", "trim", "upper")

Chat = Sequence[Mapping[str, Any]]


class _Slow(BaseException):
    """Raised by the alarm; not an `Exception`, so that nothing on the way swallows it."""


class _Sandbox(ImmutableSandboxedEnvironment):
    """The sandbox, with operators and methods that cannot build something huge."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if isinstance(left, int | float) and isinstance(right, int | float):
            if operator == "**" or abs(left) > 1e12 or abs(right) > 1e12:
                raise SecurityError(f"the operator {operator} is not allowed on these numbers")
        elif operator != "+" or len(cast("str", left)) + len(cast("str", right)) > CEILING:
            raise SecurityError(f"the operator {operator} is not allowed on these values")
        return super().call_binop(context, operator, left, right)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if isinstance(obj, str | bytes) and _GROWING.fullmatch(attr):
            return False
        return super().is_safe_attribute(obj, attr, value)

    def wrap_str_format(self, value: Any) -> None:
        """No formatting at all: jinja's own wrapper is safe, but a width of a thousand million is not refused."""

    def call(self, context: Any, function: Any, *args: Any, **kwargs: Any) -> Any:
        owner = getattr(function, "__self__", None)
        if isinstance(owner, str) and getattr(function, "__name__", "") == "replace":
            return _replace(owner, *map(_text, args[:2]))
        return super().call(context, function, *args, **kwargs)


class _Joined(NodeTransformer):
    """Turns ``a ~ b`` into ``[a, b] | join``, which has a ceiling."""

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802 - jinja2's name
        items = nodes.List([self.visit(item) for item in node.nodes], lineno=node.lineno)
        return nodes.Filter(items, "join", [], [], None, None, lineno=node.lineno)


class ChatTemplate:
    """Renders conversations to prompts. `flaw` says why the file's own template is not used, if it is not."""

    def __init__(self, source: str, controls: Sequence[str] = (), specials: Mapping[str, str] | None = None) -> None:
        self.flaw = "" if source else "the file has no chat template"
        self._specials = dict(specials or {})
        ordered = sorted(filter(None, controls), key=len, reverse=True)
        self._controls = re.compile("|".join(map(re.escape, ordered))) if ordered else None
        self._fallback = _compile(CHATML)
        self._template = self._fallback
        if source:
            self._try(source)

    def render(self, messages: Chat, now: float = 0.0, tools: Sequence[Mapping[str, Any]] = ()) -> str:
        """The prompt for `messages` ({"role", "content", "tool_calls"}), ending where the assistant is to speak.

        `tools` are described as OpenAI does. Text that would read as a control token is taken apart, so that nobody can
        speak for another. `now` is the day that a template may mention. Raises `ValueError` when even ChatML is too
        long or too slow.
        """
        harmless: list[dict[str, Any]] = [
            {key: value if key == "role" else self._harmless(value) for key, value in message.items()}
            for message in messages
        ]
        offered = self._harmless(list(tools)) or None
        if self._template is not self._fallback:
            try:
                return self._run(self._template, harmless, now, offered)
            except (TemplateError, ValueError) as error:
                # Many templates refuse a system message or two turns of one party: that is no flaw of the file.
                if (merged := _merged(harmless)) != harmless:
                    with contextlib.suppress(TemplateError, ValueError):
                        return self._run(self._template, merged, now, offered)
                self._give_up(str(error))
        return self._run(self._fallback, harmless, now, None)

    def _try(self, source: str) -> None:
        try:
            if len(source) > SOURCE:
                raise ValueError(f"it has {len(source)} characters")
            with time_limit(SECONDS):
                self._template = _compile(source)
        except (TemplateError, ValueError, RecursionError, SyntaxError) as error:
            self._give_up(str(error))

    def _give_up(self, why: str) -> None:
        self.flaw = f"the file's chat template cannot be used: {why[:300]}"
        self._template = self._fallback

    def _run(self, template: Callable[..., Iterator[str]], messages: Chat, now: float, tools: Any) -> str:
        def today(form: str) -> str:
            return time.strftime(form[:100], time.gmtime(now // _DAY * _DAY))  # by day: the prefix stays cached

        size, pieces = 0, list[str]()
        try:
            with time_limit(SECONDS):
                values = {**self._specials, "strftime_now": today, "add_generation_prompt": True}
                for piece in template(messages=messages, tools=tools, **values):
                    size += len(piece)
                    if size > CEILING:
                        raise ValueError(f"it makes more than {CEILING} characters")
                    pieces.append(piece)
        except (TypeError, ArithmeticError, LookupError, AttributeError, RecursionError, MemoryError) as error:
            raise ValueError(f"{type(error).__name__}: {error}") from None
        return "".join(pieces)

    def _harmless(self, value: Any) -> Any:
        """The same with every text in it defused."""
        if isinstance(value, str):
            return self._defuse(value)
        if isinstance(value, dict):
            pairs = cast("dict[str, Any]", value).items()
            return {self._defuse(key): self._harmless(inner) for key, inner in pairs}
        if isinstance(value, list):
            return [self._harmless(inner) for inner in cast("list[Any]", value)]
        return value

    def _defuse(self, text: str) -> str:
        if self._controls is None:
            return text
        return self._controls.sub(lambda found: found[0][0] + _SPACE + found[0][1:], text)


def _compile(source: str) -> Callable[..., Iterator[str]]:
    extensions = ["jinja2.ext.loopcontrols"]
    environment = _Sandbox(trim_blocks=True, lstrip_blocks=True, extensions=extensions, finalize=_text)
    names = cast("dict[str, Any]", environment.globals)
    names.pop("lipsum", None)
    names["raise_exception"] = _raise
    filters = cast("dict[str, Any]", environment.filters)
    for name in [name for name in filters if not _FILTERS.fullmatch(name)]:
        del filters[name]
    filters |= {name: _bounded(filters[name]) for name in _TEXTUAL}
    filters |= {"tojson": _tojson, "join": _join, "replace": _replace, "indent": _indent}
    tree = cast("nodes.Template", _Joined().visit(environment.parse(source)))
    return environment.from_string(tree).generate


def _raise(message: str) -> NoReturn:
    raise TemplateError(message)


def _text(value: Any) -> str:
    """`value` as text. Lists that contain one another double with each level: they are written with a ceiling."""
    return _tojson(value) if isinstance(value, dict | list | tuple) else str(value)


def _bounded(text_filter: Callable[..., Any]) -> Callable[..., Any]:
    def bounded(value: Any, *rest: Any, **named: Any) -> Any:
        return text_filter(_text(value), *rest, **named)

    return bounded


def _tojson(value: Any, indent: int | None = None, **_: Any) -> str:
    encoder = json.JSONEncoder(ensure_ascii=False, indent=min(indent, 8) if indent else None)
    return _join(encoder.iterencode(value))


def _join(items: Any, separator: str = "") -> str:
    texts, size = list[str](), 0
    for item in items:
        texts.append(_text(item))
        size += len(texts[-1]) + len(separator)
        if size > CEILING:
            raise SecurityError("the text is too long")
    return separator.join(texts)


def _replace(text: Any, old: str, new: str, *_: Any) -> str:
    found = _text(text)
    if len(found) + found.count(old) * len(new) > CEILING:
        raise SecurityError("the text is too long")
    return found.replace(old, new)


def _indent(text: Any, *_: Any, **__: Any) -> str:
    return _text(text)  # looks only: what a model reads need not be pretty


def _merged(messages: Chat) -> list[dict[str, Any]]:
    """The same conversation without system messages and with strictly alternating parties."""
    found: list[dict[str, Any]] = []
    for message in messages:
        role = "assistant" if message["role"] == "assistant" else "user"
        if found and found[-1]["role"] == role:
            found[-1]["content"] += "\n\n" + str(message["content"])
        else:
            found.append({"role": role, "content": str(message["content"])})
    return found


@contextlib.contextmanager
def time_limit(seconds: float) -> Generator[None]:
    """Raise `ValueError` in the body when it computes longer than `seconds`, not counting what others take of a busy
    machine; only in the main thread, only where there are alarms."""
    if sys.platform == "win32" or threading.current_thread() is not threading.main_thread():
        yield
        return
    due, over = time.thread_time() + seconds, False

    def ring(_: int, frame: FrameType | None) -> None:
        # What is raised where an object is finalised is lost. There, and before its time, it is left to the next ring.
        if not over and time.thread_time() >= due and _ours(frame, ring.__code__):
            signal.setitimer(signal.ITIMER_REAL, _AGAIN, _TICK)  # not while what is raised is on its way out
            raise _Slow

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds, _TICK)
    try:
        yield
    except _Slow:
        over = True
        raise ValueError(f"it takes longer than {seconds:g} s") from None
    finally:
        over = True
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _ours(frame: FrameType | None, ring: CodeType) -> bool:
    """Whether a template is at work in this very frame, by itself or through jinja2 and what helps it, and not a ring
    that this one interrupts."""
    if frame is None or frame.f_code in (ring, _ours.__code__):
        return False
    module = str(frame.f_globals.get("__name__", ""))
    return frame.f_code.co_filename == "<template>" or module == __name__ or module.partition(".")[0] in _HELPERS

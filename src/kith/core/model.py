"""Models: the card that describes one, and the request that asks one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from kith.core.message import Message


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What is known of a model without loading it. `memory` is an estimate in bytes.

    `context` is in tokens, and so is `reply`, the longest one by the model's own settings (0: they do not say).
    `cost` is the price of a million tokens.
    """

    name: str
    kind: str
    backend: str
    path: str = ""
    version: str = ""
    digest: str = ""
    architecture: str = ""
    parameters: int = 0
    quantisation: str = ""
    context: int = 0
    memory: int = 0
    capabilities: tuple[str, ...] = ()
    licence: str = ""
    format: str = ""
    reply: int = 0
    cost: float = 0.0


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool offered to a model; `schema` is the JSON Schema of its arguments.

    `effect` is ``read`` only where a call changes nothing anywhere and tells nobody what it asks; `outside` is false
    only where no stranger has a word in what it returns (a clock, a sum).
    """

    name: str
    description: str
    schema: Mapping[str, Any]
    effect: Literal["read", "write"] = "write"
    outside: bool = True


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to choose tokens. None leaves the choice to the model's own settings.

    With `logprobs`, each token says how likely it was, beside so many others.
    The reply keeps to the JSON `schema`, or to the `grammar` (GBNF), where the model can.
    """

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    schema: Mapping[str, Any] | None = None
    grammar: str = ""
    logprobs: int | None = None


@dataclass(frozen=True, slots=True)
class Scope:
    """What a reply depends on besides the request: versions of persona, flow and knowledge, and for whom it holds.

    An empty `person` means everybody. Whoever gives a scope vouches that nothing else matters to the reply.
    """

    persona: str = ""
    flow: str = ""
    knowledge: str = ""
    person: str = ""


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A conversation to continue. An empty `model` lets the router choose; `person` is the key of fairness.

    `private` requests never leave this machine. `deadline` is an instant on the monotonic clock, 0 for none.
    Requests of one `conversation` go where its beginning is still known. Only with a `scope` may a reply be remembered.
    """

    messages: tuple[Message, ...]
    model: str = ""
    sampling: Sampling = field(default_factory=Sampling)
    tools: tuple[ToolSpec, ...] = ()
    person: str = ""
    private: bool = True
    deadline: float = 0.0
    priority: Literal["voice", "text", "background"] = "text"
    conversation: str = ""
    scope: Scope | None = None


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture to be drawn: width and height in pixels, 0 for what the model's settings say."""

    prompt: str
    width: int = 0
    height: int = 0
    steps: int = 0
    seed: int | None = None
    negative: str = ""
    deadline: float = 0.0

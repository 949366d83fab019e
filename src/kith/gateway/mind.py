"""Who answers a program: the whole assistant under the name ``kith``, or one model under its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from kith.core.errors import Fault, Invalid, NotFound
from kith.core.message import Delta, Envelope, Image, Message
from kith.core.model import ChatRequest, ModelCard, Sampling, ToolSpec
from kith.core.people import Principal
from kith.gateway.choice import bound, called, instruction
from kith.gateway.ports import GatewayPorts
from kith.gateway.scribe import Scribe
from kith.gateway.sentences import sentences
from kith.gateway.watch import Watch, own

HOUSE = "kith"  # the model name behind which the whole assistant answers

Chunks = Literal["tokens", "sentences"]


@dataclass(frozen=True, slots=True)
class Asked:
    """A conversation to continue, out of any dialect.

    `must` says that a tool has to be called; `last` is the path at which mistakes of the last message are named.
    `whole`: the reply is not streamed.
    """

    model: str
    said: Sequence[Message]
    sampling: Sampling = field(default_factory=Sampling)
    tools: Sequence[ToolSpec] = ()
    must: bool = False
    chunks: Chunks = "tokens"
    last: str = "messages"
    whole: bool = False


class Mind:
    """Finds who is asked, and asks."""

    def __init__(self, ports: GatewayPorts) -> None:
        self._ports, self._watch = ports, Watch(ports)

    def scribe(self) -> Scribe:
        """Somebody to write the conversation down."""
        return Scribe(self._ports.ids, self._ports.clock, self._ports.blobs)

    def cards(self, *kinds: str) -> list[ModelCard]:
        """The models of these kinds, or that can do their work beside their own."""
        return [c for c in self._ports.models.cards() if c.kind in kinds or set(kinds) & set(c.capabilities)]

    def card(self, name: str, kind: str) -> ModelCard:
        """The model `name`. Raises `NotFound` (code ``model_not_found``)."""
        for card in self._ports.models.cards():
            if card.name == name and (card.kind == kind or kind in card.capabilities):
                return card
        raise no_model(name)

    def answer(self, asked: Asked, principal: Principal) -> AsyncIterator[Delta]:
        """The reply. Raises `Invalid` for what the one who is asked cannot do, `NotFound` for a model that is not."""
        deltas = self._house(asked, principal) if asked.model == HOUSE else self._model(asked, principal)
        return sentences(deltas) if asked.chunks == "sentences" else deltas

    def _house(self, asked: Asked, principal: Principal) -> AsyncIterator[Delta]:
        faults: list[Fault] = []
        if not asked.said or asked.said[-1].role != "user":
            faults.append(Fault(f"{asked.last}.role", f"the last message to {HOUSE!r} is the user's"))
        if asked.tools:
            faults.append(Fault("tools", f"{HOUSE!r} brings its own tools; offer yours to a model by its name"))
        if asked.sampling.logprobs is not None:
            faults.append(Fault("logprobs", f"{HOUSE!r} does not tell them; ask a model by its name"))
        if _pictures(asked):
            faults.append(Fault(asked.last, f"{HOUSE!r} reads text here; show pictures to a model by its name"))
        _refuse(faults)
        key = self._ports.ids.new("q")
        envelope = Envelope("api", principal.id, key, principal.id, key, asked.said[-1])
        return self._ports.talk.reply(envelope, asked.said[:-1])

    def _model(self, asked: Asked, principal: Principal) -> AsyncIterator[Delta]:
        card = self.card(asked.model, "chat")
        faults: list[Fault] = []
        if _pictures(asked) and "vision" not in card.capabilities:
            faults.append(Fault(asked.last, f"the model {card.name!r} cannot see pictures"))
        if asked.sampling.logprobs is not None and "logprobs" not in card.capabilities:
            faults.append(Fault("logprobs", f"the model {card.name!r} does not tell log probabilities"))
        if asked.must and not asked.tools:
            faults.append(Fault("tool_choice", "needs a tool to choose"))
        elif asked.must and "json" not in card.capabilities:
            faults.append(Fault("tool_choice", f"the model {card.name!r} cannot be bound to a choice; use 'auto'"))
        _refuse(faults)
        # Naming a model is consent to where it runs, so the request is not held back as private.
        request = ChatRequest(
            tuple(asked.said), card.name, asked.sampling, tuple(asked.tools), own(principal), private=False
        )
        if not asked.must:
            return self._watch.chat(request, principal, whole=asked.whole)
        ids = self._ports.ids
        say = Message(ids.new("m"), "system", (instruction(asked.tools),), self._ports.clock.now())
        return called(self._watch.chat(bound(request, asked.tools, say), principal, whole=True), ids.new("call"))


def no_model(name: str) -> NotFound:
    """What is said of a model that is not there."""
    return NotFound(f"there is no model {name!r}", code="model_not_found", hint="GET /v1/models lists them")


def _pictures(asked: Asked) -> bool:
    return any(isinstance(part, Image) for message in asked.said for part in message.parts)


def _refuse(faults: list[Fault]) -> None:
    if faults:
        raise Invalid("the request is not valid", faults=tuple(faults), code="invalid_request")

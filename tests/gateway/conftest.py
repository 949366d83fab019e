"""A household of fakes behind a real gateway."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from kith.core.audit import Act, Change, Entry
from kith.core.clock import FrozenClock
from kith.core.errors import Fault, Invalid, NotFound, Refused, Unavailable
from kith.core.ids import Ids, conversation_id, person_id
from kith.core.message import Delta, Envelope, Message, Text, ToolCall, Usage
from kith.core.model import ChatRequest, ModelCard
from kith.core.people import Conversation, Parcel, Person, Principal
from kith.core.ports import Line, Peer
from kith.core.turn import Accepted, Turn
from kith.gateway import Gateway, GatewayPorts, GatewaySettings
from kith.runtime.health import Health
from kith.runtime.streams import Streams
from kith.security import Identity, SecuritySettings, passwords

SECRET = "the path /home/me/secret.txt"


class Shelf:
    """Records in memory."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], Mapping[str, Any]] = {}

    async def get(self, kind: str, key: str) -> Mapping[str, Any] | None:
        return self.kept.get((kind, key))

    async def put(self, kind: str, key: str, value: Mapping[str, Any]) -> None:
        self.kept[kind, key] = value

    async def delete(self, kind: str, key: str) -> bool:
        return self.kept.pop((kind, key), None) is not None

    async def all(self, kind: str) -> Mapping[str, Mapping[str, Any]]:
        return {key: value for (found, key), value in self.kept.items() if found == kind}


class Log:
    """The audit log over a shelf, in memory."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf
        self.acts: list[Act] = []

    async def act(self, act: Act, changes: Sequence[Change] = ()) -> Entry:
        for change in changes:
            there = (change.kind, change.key) in self.shelf.kept
            if change.when != "any" and there is not (change.when == "present"):
                raise Refused("changed", code="changed_meanwhile")
        for change in changes:
            if change.value is None:
                self.shelf.kept.pop((change.kind, change.key), None)
            else:
                self.shelf.kept[change.kind, change.key] = json.loads(json.dumps(change.value))
        self.acts.append(act)
        return Entry(len(self.acts), 0.0, act, "")

    async def entries(self, after: int = 0, limit: int = 1000) -> Sequence[Entry]:
        found = [Entry(n, 0.0, act, "") for n, act in enumerate(self.acts, 1)]
        return found[after : after + limit]

    async def verify(self, after: int = 0, limit: int = 1000) -> tuple[int, str]:
        return len(self.acts), ""


class Voice:
    """Says things: the last word decides what goes wrong."""

    def __init__(self) -> None:
        self.closed = asyncio.Event()
        self.began = asyncio.Event()
        self.trouble: dict[str, Exception] = {
            "toolong": Invalid("9000 tokens do not fit into 4096", code="context_length_exceeded"),
            "busy": Refused("too many messages", code="rate_limited", retry_after=2.5),
            "away": Unavailable("the model is being loaded", retry_after=3, code="model_loading"),
            "bug": RuntimeError(SECRET),
        }
        self.fails = self.said = 0

    async def say(self, text: str, model: str) -> AsyncGenerator[Delta]:
        try:
            self.began.set()
            if self.fails:
                self.fails -= 1
                raise self.trouble["away"]
            if text in self.trouble:
                raise self.trouble[text]
            if text == "tool":
                yield Delta(calls=(ToolCall("call_1", "weather", '{"city":"上海"}'),), finish="tool_calls", model=model)
                return
            for word in text.split(" "):
                yield Delta(text=word + " ")
            if text == "start late":
                raise self.trouble["away"]
            while text == "go forever":
                self.said += 1
                yield Delta(text="x" * 1000)
                await asyncio.sleep(0)
            if text == "then wait":
                await asyncio.Event().wait()
            other = text == "instead of another"
            yield Delta(finish="stop", usage=Usage(7, 3, 2), model=model, sources=("handbook",), fallback=other)
        finally:
            self.closed.set()


class FakeTalk:
    def __init__(self, voice: Voice) -> None:
        self.voice = voice
        self.heard: dict[tuple[str, str, str], Accepted] = {}
        self.envelopes: list[Envelope] = []
        self.histories: list[Sequence[Message] | None] = []

    async def hear(self, envelope: Envelope) -> Accepted:
        key = (envelope.channel, envelope.account, envelope.platform_id)
        if known := self.heard.get(key):
            return Accepted(known.id, known.conversation, duplicate=True)
        self.envelopes.append(envelope)
        conversation = conversation_id(envelope.channel, envelope.account, envelope.conversation)
        return self.heard.setdefault(key, Accepted(f"in_{len(self.heard)}", conversation))

    def reply(self, envelope: Envelope, history: Sequence[Message] | None = None) -> AsyncIterator[Delta]:
        self.envelopes.append(envelope)
        self.histories.append(history)
        return self.voice.say(envelope.message.text, "small")


class FakeModels:
    def __init__(self, voice: Voice) -> None:
        self.voice = voice
        self.asked: list[ChatRequest] = []

    def cards(self) -> Sequence[ModelCard]:
        return (ModelCard("small", "chat", "echo"), ModelCard("org/vec", "embed", "echo"))

    def chat(self, request: ChatRequest) -> AsyncIterator[Delta]:
        self.asked.append(request)
        return self.voice.say(request.messages[-1].text, request.model)

    async def embed(self, texts: Sequence[str], model: str = "") -> Sequence[Sequence[float]]:
        return [[0.0] for _ in texts]

    async def count(self, text: str, model: str = "") -> int:
        return len(text)


class FakeStore:
    def __init__(self) -> None:
        self.known = {
            "c_1": Conversation("c_1", "web", "local", "home", members=("p_someone",), updated=1.0),
            "c_2": Conversation("c_2", "api", "t", "home", members=("p_other",), updated=2.0),
        }
        heard = Message("m_1", "user", (Text("hello"),), 1.0)
        self.said = [Turn(f"turn_{n}", "c_1", "p_someone", float(n), heard) for n in (1, 2, 3)]

    async def resolve(self, envelope: Envelope) -> tuple[Person, Conversation]:
        place = (envelope.channel, envelope.account, envelope.conversation)
        person = Person(person_id(envelope.channel, envelope.account, envelope.sender))
        key = conversation_id(*place)
        return person, self.known.setdefault(key, Conversation(key, *place, members=(person.id,)))

    async def conversation(self, conversation: str) -> Conversation:
        if conversation not in self.known:
            raise NotFound("no such conversation")
        return self.known[conversation]

    async def conversations(self, person: str = "", limit: int = 100) -> Sequence[Conversation]:
        return [one for one in self.known.values() if not person or person in one.members][:limit]

    async def turns(self, conversation: str, limit: int = 100, after: str = "", before: str = "") -> Sequence[Turn]:
        if before:
            return [turn for turn in self.said if turn.id < before][-limit:]
        return [turn for turn in self.said if turn.id > after][:limit]

    def join(self, conversation: str, principal: str) -> None:
        old = self.known[conversation]
        members = (person_id("api", principal, principal),)
        self.known[conversation] = Conversation(old.id, old.channel, old.account, old.handle, members=members)


class FakeOutbox:
    def __init__(self) -> None:
        message = Message("m_9", "assistant", (Text("late"),), 1.0)
        self.parcels = [Parcel("p_1", 1, "c_1", "web", "local", "home", message, state="dead", error="gone")]
        self.decided: list[tuple[str, str]] = []

    async def take(self, worker: str, limit: int) -> Sequence[Parcel]:
        return ()

    async def settle(self, parcel: Parcel, outcome: object) -> None:
        raise NotImplementedError

    async def find(self, state: str = "", limit: int = 100) -> Sequence[Parcel]:
        return [parcel for parcel in self.parcels if state in ("", parcel.state)]

    async def decide(self, parcel: str, action: str, by: Act | None = None) -> None:
        if parcel not in [one.id for one in self.parcels]:
            raise NotFound(f"there is no parcel {parcel!r}")
        self.decided.append((parcel, action))


class FakeFlows:
    broken = False

    def describe(self) -> Mapping[str, Any]:
        return {"name": "house", "intents": []}

    def standing(self, state: Mapping[str, Any], now: float) -> Mapping[str, Any]:
        return {"state": "start", "form": None, "slots": dict(state)}

    def reload(self) -> object:
        if self.broken:
            raise Invalid("flow.json cannot be used", faults=(Fault("intents[0].name", "is required", 3),))
        return self


class FakeInsight:
    """Implements `Insight` and `Learning`: remembers what was asked."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    async def paths(self, days: float) -> Mapping[str, Any]:
        return {"nodes": [], "links": [], "top": [], "drops": [], "loops": [], "days": days}

    async def use(self, by: str, days: float) -> Mapping[str, Any]:
        if by not in ("person", "model", "channel", "persona"):
            raise Invalid("no such way")
        return {"rows": [], "by": by, "days": days}

    async def outcomes(self, days: float) -> Mapping[str, Any]:
        return {"conversations": 0, "days": days}

    async def turn(self, turn: str) -> Turn:
        if turn != "turn_1":
            raise NotFound("there is no such turn", code="turn_not_found")
        return Turn(turn, "c_1", "p_1", 1.0, Message("m_1", "user", (Text("hello"),), 1.0))

    async def rate(self, turn: str, rating: int, note: str, person: str) -> None:
        self.told.append((turn, rating, note, person))

    async def rated(self, turns: Sequence[str]) -> Mapping[str, int]:
        return {row[0]: row[1] for row in self.told if row[0] in turns}

    async def unanswered(self, days: float, limit: int) -> Mapping[str, Any]:
        return {"questions": [], "days": days, "limit": limit}

    async def decide(self, question: str, action: str, by: object, intent: str, response: str) -> Mapping[str, Any]:
        if question != "q_1":
            raise NotFound("there is no such question", code="question_not_found")
        self.told.append((question, action, intent, response))
        return {"id": question, "done": action}


class EchoLine:
    """A live channel: says back what it hears, and floods when told to."""

    def __init__(self) -> None:
        self.principals: list[Principal] = []
        self.sent = 0
        self.left = asyncio.Event()

    async def converse(self, peer: Peer, principal: Principal) -> None:
        self.principals.append(principal)
        try:
            while True:
                text = await peer.receive()
                if text == "bye":
                    return
                if text == "bug":
                    raise RuntimeError(SECRET)
                if text == "refuse":
                    raise Refused("not you")
                while text == "flood":
                    await peer.send("y" * 10_000)
                    self.sent += 1
                await peer.send(text)
        finally:
            self.left.set()


class House:
    """Everything a test wants to look at."""

    def __init__(self, **settings: Any) -> None:
        self.clock = FrozenClock()
        self.ids = Ids(self.clock)
        self.voice = Voice()
        self.talk, self.models = FakeTalk(self.voice), FakeModels(self.voice)
        self.store, self.outbox, self.flows = FakeStore(), FakeOutbox(), FakeFlows()
        self.shelf = Shelf()
        self.log = Log(self.shelf)
        self.auth = Identity(self.shelf, self.log, SecuritySettings(), self.clock, self.ids)
        self.streams, self.health, self.line = Streams(), Health(), EchoLine()
        lines: dict[str, Line] = {"live": self.line}
        self.cancelled: list[str] = []
        self.insight = FakeInsight()
        self.ports = GatewayPorts(
            talk=self.talk,
            models=self.models,
            store=self.store,
            outbox=self.outbox,
            auth=self.auth,
            accounts=self.auth,
            journal=self.log,
            flows=self.flows,
            streams=self.streams,
            health=self.health,
            lines=lines,
            clock=self.clock,
            ids=self.ids,
            cancel=self.cancelled.append,
            insight=self.insight,
            learning=self.insight,
        )
        self.gateway = Gateway(self.ports, GatewaySettings.model_validate({"port": 0, **settings}))

    @asynccontextmanager
    async def client(self, role: str = "owner", **headers: str) -> AsyncGenerator[httpx.AsyncClient]:
        """A client of the application without a network."""
        token = await self.auth.new("test", role)
        transport = httpx.ASGITransport(self.gateway.app)
        given = {"Authorization": f"Bearer {token}", **headers}
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8787", headers=given) as client:
            yield client

    @asynccontextmanager
    async def serving(self) -> AsyncGenerator[tuple[str, str]]:
        """The gateway on a free port: its address and the owner's token."""
        token = await self.auth.new("test", "owner")
        await self.gateway.start()
        try:
            yield self.gateway.address, token
        finally:
            await self.gateway.stop()


@pytest.fixture(autouse=True)
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passwords at a sixteenth of their cost: what it is to be is the matter of tests/security."""
    monkeypatch.setattr(passwords, "_N", passwords._N // 16)


@pytest.fixture
def build() -> Callable[..., House]:
    """Makes a household inside a running loop."""
    return House


@pytest.fixture
def events() -> Callable[[str], list[tuple[str, str, Any]]]:
    """Reads server-sent events: (id, event, data)."""

    def read(text: str) -> list[tuple[str, str, Any]]:
        found: list[tuple[str, str, Any]] = []
        for block in text.split("\n\n"):
            fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
            if "data" in fields:
                data = fields["data"] if fields["data"] == "[DONE]" else json.loads(fields["data"])
                found.append((fields.get("id", ""), fields.get("event", ""), data))
        return found

    return read


@pytest.fixture
def housed(build: Any) -> Any:
    """A household with other settings of security."""

    def make(settings: SecuritySettings | None = None) -> Any:
        house = build()
        strict = settings or SecuritySettings(second_factor="admins")
        house.auth = Identity(house.shelf, house.log, strict, house.clock, house.ids)
        house.ports = dataclasses.replace(house.ports, auth=house.auth, accounts=house.auth)
        house.gateway = type(house.gateway)(house.ports, house.gateway._settings)
        return house

    return make

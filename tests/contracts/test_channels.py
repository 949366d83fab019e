"""What every channel folder promises, whatever its platform."""

from __future__ import annotations

import asyncio
import dataclasses
import importlib
import json
import random
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kith.channels.kit import Arrival, ChannelSettings, Kit
from kith.channels.marks import DIALECTS
from kith.channels.pace import Rate
from kith.channels.sender import Policy
from kith.cli.channels import drawn
from kith.core.clock import FrozenClock
from kith.core.errors import Invalid, Refused, Unavailable
from kith.core.ids import Ids
from kith.core.manifest import Manifest
from kith.core.message import Envelope, Message, Text
from kith.core.people import Parcel
from kith.core.turn import Accepted, Sent, Turn
from kith.runtime.codec import decode, encode
from kith.runtime.registry import Registry
from kith.runtime.streams import Streams

REGISTRY = Registry("channels")
NAMES = sorted(REGISTRY.manifests())
CAPABILITIES = {
    "local", "live", "streaming", "resume", "terminal", "text", "image", "audio", "file", "reply", "thread", "group",
    "mention", "typing", "reaction", "edited", "deleted", "streaming-edit", "webhook", "encrypted", "qr",
}  # fmt: skip
ARRIVAL = Arrival("local", 1_700_000_000.0, "t_1")


@pytest.fixture(params=NAMES)
def manifest(request: pytest.FixtureRequest) -> Manifest:
    return REGISTRY.manifest(request.param)


def module(manifest: Manifest, name: str) -> ModuleType:
    return importlib.import_module(f"{manifest.package}.{name}")


class Shelf:
    """A store with no turns."""

    async def turns(self, conversation: str, limit: int = 100, after: str = "") -> tuple[Turn, ...]:
        return ()


def fixtures(manifest: Manifest) -> list[Path]:
    """The payloads recorded beside the channel; `settings.json` there is what it is built with."""
    folder = manifest.path.parent / "tests" / "fixtures"
    return sorted(path for path in folder.glob("*") if path.is_file() and path.name != "settings.json")


def configuration(manifest: Manifest) -> Any:
    """The channel's settings: its defaults, or for one that needs an account, `settings.json` beside its payloads,
    with an address at which nothing listens."""
    cls: Callable[..., Any] = REGISTRY.settings(manifest.name) or ChannelSettings
    path = manifest.path.parent / "tests" / "fixtures" / "settings.json"
    return cls(**json.loads(path.read_text("utf-8"))) if path.exists() else cls()


def build(manifest: Manifest) -> Any:
    clock = FrozenClock()
    kit = Kit(Shelf(), Streams(), clock, Ids(clock), lambda turn: None)  # pyright: ignore
    return REGISTRY.load(manifest.name)(configuration(manifest), kit)


def parcel(manifest: Manifest, text: str = "hello") -> Parcel:
    said = Message("m_1", "assistant", (Text(text),), 0.0)
    return Parcel("m_1", 1, "c_1", manifest.name, "local", "main", said)


def test_the_manifest_is_complete(manifest: Manifest) -> None:
    assert manifest.kind == "channel"
    assert manifest.name == manifest.path.parent.name
    assert set(manifest.title) >= {"en", "zh"}
    assert all(manifest.title.values())
    assert manifest.details.get("delivery") in get_args(Policy)
    assert isinstance(manifest.details.get("default"), bool)
    assert "text" in manifest.capabilities
    folder = {path.name for path in manifest.path.parent.iterdir()}
    assert folder >= {"parse.py", "render.py", "channel.py", "settings.py"}


def test_the_settings_have_defaults_and_descriptions(manifest: Manifest) -> None:
    cls = REGISTRY.settings(manifest.name)
    assert cls is not None
    for name, field in cls.model_fields.items():
        assert field.description, f"{name} has no description"
    assert configuration(manifest).enabled is True


def test_what_the_manifest_promises_is_there(manifest: Manifest) -> None:
    details, offered = manifest.details, set(manifest.capabilities)
    assert offered <= CAPABILITIES, offered - CAPABILITIES
    if "local" not in offered:
        assert float(details["liveness"]) > 0
        assert details.get("unit", "chars") in ("chars", "utf16", "bytes")
        assert int(details["limit"]) > 0
        assert details.get("dialect", "plain") in DIALECTS
        assert details.get("isolation", "loop") in ("loop", "thread")
        assert Rate.read(str(details.get("rate", ""))) is not None
    cls = REGISTRY.load(manifest.name)
    for capability, method in (("streaming-edit", "edit"), ("typing", "typing"), ("webhook", "hook")):
        assert (capability in offered) is callable(getattr(cls, method, None)), capability
    if details["delivery"] == "reconcile":
        assert callable(getattr(cls, "arrived", None))


async def nobody(envelope: Envelope) -> Accepted:
    raise Unavailable("not now")


def test_it_starts_and_stops_and_starts_again(manifest: Manifest) -> None:
    async def story() -> None:
        channel = build(manifest)
        await channel.stop()  # harmless before start
        await channel.start(nobody)
        assert isinstance(await channel.send(parcel(manifest)), Sent)
        assert isinstance(await channel.send(parcel(manifest)), Sent)
        await channel.stop()
        await channel.stop()
        await channel.start(nobody)
        await channel.stop()

    async def unreachable() -> None:
        channel = build(manifest)
        await channel.stop()
        with pytest.raises((Unavailable, Refused)):
            await channel.send(parcel(manifest))
        for _ in range(2):
            with pytest.raises((Unavailable, Refused)):
                async with asyncio.timeout(200):  # a slow machine imports the library meanwhile
                    await channel.start(nobody)
            await channel.stop()
        await channel.stop()

    asyncio.run(story() if reachable(manifest) else unreachable())


def reachable(manifest: Manifest) -> bool:
    """Whether it can start here: it needs no platform, or only listens."""
    return "local" in manifest.capabilities or bool(manifest.details.get("listens", False))


def test_sending_shows_what_was_said(manifest: Manifest) -> None:
    async def story() -> None:
        channel = build(manifest)
        await channel.start(nobody)
        for text in ("hello", "你好 \U0001f600", "x" * 100_000, "\x1b[2J\x00"):
            await channel.send(dataclasses.replace(parcel(manifest, text), id=f"m_{len(text)}"))
        await channel.stop()

    if "local" in manifest.capabilities:
        asyncio.run(story())


def outcome(parse: Callable[..., Any], raw: Any) -> Any:
    """What `parse` makes of `raw`: only a typed result or `Invalid` is allowed."""
    try:
        return parse(raw, ARRIVAL)
    except Invalid as error:
        return str(error)


def check(manifest: Manifest, raw: Any) -> None:
    parse = module(manifest, "parse").parse
    first = outcome(parse, raw)
    assert first == outcome(parse, raw)  # pure: no clock, no chance, no memory
    if isinstance(first, Envelope):
        assert first.channel == manifest.name
        assert first.account == ARRIVAL.account
        assert first.platform_id
        assert first.conversation
        assert first.message.at == ARRIVAL.at
        assert decode(Envelope, encode(first)) == first  # whatever is accepted can be kept


KEYS = st.sampled_from(["type", "id", "text", "conversation", "sender", "after", "turn", "locale", "model", "x"])
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=200)
    | st.sampled_from(["message", "resume", "cancel", "ping", "hello", "h.1.t"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=5,
)


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(frame=st.dictionaries(KEYS, VALUES, max_size=6))
def test_any_json_object_is_an_envelope_or_invalid(manifest: Manifest, frame: dict[str, Any]) -> None:
    check(manifest, json.dumps(frame))


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(raw=st.binary(max_size=300) | st.text(max_size=300))
def test_any_bytes_are_an_envelope_or_invalid(manifest: Manifest, raw: bytes | str) -> None:
    check(manifest, raw)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(text=st.text(min_size=1, max_size=200), name=st.text(min_size=1, max_size=140), cut=st.integers(0, 400))
def test_a_valid_message_mutated(manifest: Manifest, text: str, name: str, cut: int) -> None:
    frame = {"id": name, "text": text, "conversation": name}
    kinds = [frame, {"type": "message", **frame}]
    for whole in (json.dumps(kind, ensure_ascii=False) for kind in kinds):
        check(manifest, whole)
        check(manifest, whole[:cut])
        check(manifest, whole.encode("utf-8", "surrogatepass")[:cut])


def test_hostile_payloads(manifest: Manifest) -> None:
    for raw in (
        "[" * 100_000,
        '{"a":' * 10_000,
        "9" * 100_000,
        '{"text":"' + "x" * 1_000_000 + '"}',
        "\ud800",
        b"\xff",
    ):
        check(manifest, raw)


def payload(path: Path) -> Any:
    """A recorded payload: an object from ``*.json``, bytes from anything else."""
    return json.loads(path.read_bytes()) if path.suffix == ".json" else path.read_bytes()


def test_recorded_payloads_are_understood(manifest: Manifest) -> None:
    parse = module(manifest, "parse").parse
    found = [outcome(parse, payload(path)) for path in fixtures(manifest)]
    for path in fixtures(manifest):
        check(manifest, payload(path))
    if manifest.quality != "bronze" and "local" not in manifest.capabilities:
        assert any(isinstance(one, Envelope) for one in found), "no recorded payload is a message"


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_table_of_the_documentation_is_current(lang: str) -> None:
    page = Path(__file__).parents[2] / "docs" / lang / "channels" / "README.md"
    table = f"<!-- table -->\n{drawn(lang)}\n<!-- /table -->"
    assert table in page.read_text("utf-8"), "write it anew: python -m kith channels table --write docs"


class Mutant:
    """Recorded payloads with something in them exchanged, taken out, doubled or torn."""

    STRANGE = (None, True, -1, 1 << 70, 1e308, "", "\x00", "\ud800", "x" * 70_000, [], {}, [[]], {"id": {}}, b"\xff")

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)

    def change(self, value: Any) -> Any:
        if isinstance(value, bytes):
            return self._torn(value)
        if self.chance.random() < 0.2 or not isinstance(value, dict | list) or not value:
            return self.chance.choice(self.STRANGE)
        if isinstance(value, dict):
            key = self.chance.choice(sorted(value))
            rest = {k: v for k, v in value.items() if k != key}
            return rest if self.chance.random() < 0.2 else rest | {key: self.change(value[key])}
        place = self.chance.randrange(len(value))
        return [*value[:place], self.change(value[place]), *value[place + self.chance.randrange(2) :]]

    def _torn(self, raw: bytes) -> bytes:
        start, end = sorted(self.chance.randrange(len(raw) + 1) for _ in range(2))
        middle = self.chance.choice((b"", b"\xff\xfe", b"\r\n\r\n", b"\x00", raw[start:end] * 2, b"9" * 5000))
        return raw[:start] + middle + raw[end:]


def test_recorded_payloads_mutated(manifest: Manifest) -> None:
    for path in fixtures(manifest):
        whole = payload(path)
        for seed in range(150):
            mutant = Mutant(seed)
            changed = whole
            for _ in range(1 + seed % 3):
                changed = mutant.change(changed)
            check(manifest, changed)


def test_payloads_of_another_kind_altogether(manifest: Manifest) -> None:
    for strange in (*Mutant.STRANGE, {"message": {"text": "x"}}, object()):
        check(manifest, strange)

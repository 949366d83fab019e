"""What every channel folder promises, whatever its platform."""

from __future__ import annotations

import asyncio
import dataclasses
import importlib
import json
from collections.abc import Callable
from types import ModuleType
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kith.channels.kit import Arrival, ChannelSettings, Kit
from kith.channels.sender import Policy
from kith.core.clock import FrozenClock
from kith.core.errors import Invalid, Unavailable
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


def build(manifest: Manifest) -> Any:
    clock = FrozenClock()
    cls: Callable[[], Any] = REGISTRY.settings(manifest.name) or ChannelSettings
    kit = Kit(Shelf(), Streams(), clock, Ids(clock), lambda turn: None)  # pyright: ignore
    return REGISTRY.load(manifest.name)(cls(), kit)


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
    assert issubclass(cls, ChannelSettings)
    undescribed = [name for name, field in cls.model_fields.items() if not field.description]
    assert not undescribed
    assert cls.model_config.get("extra") == "forbid"
    if manifest.details["default"]:
        cls()


def test_the_channels_own_name_is_the_manifests(manifest: Manifest) -> None:
    assert manifest.name == module(manifest, "parse").NAME


def test_it_accepts_nothing_before_start_and_after_stop(manifest: Manifest) -> None:
    async def accept(envelope: Envelope) -> Accepted:
        return Accepted("t", "c")

    async def story() -> None:
        channel = build(manifest)
        await channel.stop()  # harmless before start
        await channel.start(accept)
        assert isinstance(await channel.send(parcel(manifest)), Sent)
        assert isinstance(await channel.send(parcel(manifest)), Sent)
        await channel.stop()
        await channel.stop()
        await channel.start(accept)  # and it can be started again
        await channel.stop()

    asyncio.run(story())


def test_sending_shows_what_was_said(manifest: Manifest) -> None:
    async def accept(envelope: Envelope) -> Accepted:
        raise Unavailable("not now")

    async def story() -> None:
        channel = build(manifest)
        await channel.start(accept)
        for text in ("hello", "你好 \U0001f600", "x" * 100_000, "\x1b[2J\x00"):
            await channel.send(dataclasses.replace(parcel(manifest, text), id=f"m_{len(text)}"))
        await channel.stop()

    asyncio.run(story())


def outcome(parse: Callable[..., Any], raw: str | bytes) -> Any:
    """What `parse` makes of `raw`: only a typed result or `Invalid` is allowed."""
    try:
        return parse(raw, ARRIVAL)
    except Invalid as error:
        return str(error)


def check(manifest: Manifest, raw: str | bytes) -> None:
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


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(frame=st.dictionaries(KEYS, VALUES, max_size=6))
def test_any_json_object_is_an_envelope_or_invalid(manifest: Manifest, frame: dict[str, Any]) -> None:
    check(manifest, json.dumps(frame))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(raw=st.binary(max_size=300) | st.text(max_size=300))
def test_any_bytes_are_an_envelope_or_invalid(manifest: Manifest, raw: bytes | str) -> None:
    check(manifest, raw)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
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

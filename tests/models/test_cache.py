"""When an earlier reply may be given again, and when never."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from kith.core.clock import FrozenClock
from kith.core.message import Image, Message, Text
from kith.core.model import ChatRequest, ModelCard, Sampling, Scope, ToolSpec
from kith.models.cache import ResponseCache, safe
from kith.models.settings import CacheSettings

CARD = ModelCard("m", "chat", "echo", digest="1")
SCOPE = Scope("p1", "f1", "k1", "ann")


def ask(*texts: str, scope: Scope | None = SCOPE, **more: Any) -> ChatRequest:
    """A conversation: the texts are said in turn by user and assistant, the last by the user."""
    roles = ["assistant" if (len(texts) - number) % 2 == 0 else "user" for number in range(len(texts))]
    messages = tuple(
        Message(f"m{number}", role, (Text(text),), float(number))  # pyright: ignore[reportArgumentType]  # both are roles
        for number, (role, text) in enumerate(zip(roles, texts, strict=True))
    )
    return ChatRequest(messages, scope=scope, **more)


def cache(clock: FrozenClock | None = None, embed: Any = None, **more: Any) -> ResponseCache:
    return ResponseCache(CacheSettings(**more), clock or FrozenClock(), embed)


def told(store: ResponseCache, request: ChatRequest, card: ModelCard = CARD, keep: str = "") -> str | None:
    """What the cache says; afterwards `keep` is remembered."""

    async def whole() -> str | None:
        ticket = store.ticket(request, card)
        if ticket is None:
            return None
        reply, ticket = await store.find(ticket)
        if reply is None and keep:
            store.keep(ticket, keep)
        return reply.text if reply else ""

    return asyncio.run(whole())


def test_the_same_question_again() -> None:
    store = cache()
    assert told(store, ask("What is Kith?"), keep="A house.") == ""
    assert told(store, ask("What is Kith?")) == "A house."
    assert store.figures.rate == 0.5


@pytest.mark.parametrize(
    "other",
    [
        ask("What is Kith"),
        ask("What is Kith?", scope=replace(SCOPE, persona="p2")),
        ask("What is Kith?", scope=replace(SCOPE, flow="f2")),
        ask("What is Kith?", scope=replace(SCOPE, knowledge="k2")),
        ask("What is Kith?", scope=replace(SCOPE, person="bob")),
        ask("What is Kith?", sampling=Sampling(max_tokens=5)),
        ask("Hello", "Hi", "What is Kith?"),
    ],
)
def test_everything_that_matters_is_in_the_key(other: ChatRequest) -> None:
    store = cache()
    told(store, ask("What is Kith?"), keep="A house.")
    assert told(store, other) == ""


def test_another_file_of_the_model_answers_anew() -> None:
    store = cache()
    told(store, ask("What is Kith?"), keep="A house.")
    assert told(store, ask("What is Kith?"), replace(CARD, digest="2")) == ""
    assert told(store, ask("What is Kith?"), replace(CARD, version="2")) == ""


@pytest.mark.parametrize(
    "request_",
    [
        ask("What is Kith?", scope=None),
        ask("What is Kith?", tools=(ToolSpec("t", "", {}),)),
        ask("What time is it now?"),
        ask("今天星期几？"),
        ask("天气怎么样"),
        ask("Tell me another one"),
        ask("再讲一个"),
        ChatRequest((Message("m", "user", (Image("0", "image/png"),), 0.0),), scope=SCOPE),
        ChatRequest((Message("m", "assistant", (Text("x"),), 0.0),), scope=SCOPE),
        ChatRequest((), scope=SCOPE),
    ],
)
def test_what_is_never_remembered(request_: ChatRequest) -> None:
    assert request_.scope is None or not safe(request_)
    assert told(cache(), request_, keep="x") is None


def test_replies_grow_old_and_are_few() -> None:
    clock = FrozenClock()
    store = cache(clock, lifetime=60, entries=3)
    told(store, ask("one"), keep="1")
    clock.advance(61)
    assert told(store, ask("one")) == ""
    assert store.figures.stale == 1
    for text in ("a", "b", "c", "d"):
        told(store, ask(text), keep=text)
    assert len(store) == 3
    assert told(store, ask("a")) == ""
    told(store, ask("e"), keep="x" * 1_000_000)
    assert told(store, ask("e")) == ""


def test_forgetting() -> None:
    store = cache()
    told(store, ask("one"), keep="1")
    told(store, ask("one", scope=replace(SCOPE, person="bob")), keep="2")
    assert store.forget(person="ann") == 1
    assert told(store, ask("one")) == ""
    assert store.forget(model="m") == 1
    assert len(store) == 0


def test_off() -> None:
    assert told(cache(enabled=False), ask("one"), keep="1") is None


async def likeness(texts: Sequence[str]) -> Sequence[Sequence[float]]:
    """Every question is like every other: only the guards tell them apart."""
    return [[3.0, 4.0] for _ in texts]


def test_likeness_with_its_guards() -> None:
    store = cache(embed=likeness, semantic=0.95)
    told(store, ask("What does the blue plan cost in 2025?"), keep="Ten.")
    assert told(store, ask("How much is the blue plan in 2025?")) == "Ten."
    assert store.figures.semantic == 1
    for other in (
        "How much is the blue plan in 2026?",
        "How much is the blue plan not, in 2025?",
        "How much is the plan of Anna in 2025?",
        "How much is it in 2025?",
        "How much is my plan in 2025?",
    ):
        assert told(store, ask(other)) == "", other
    assert told(store, ask("How much is the blue plan in 2025?", scope=replace(SCOPE, person="bob"))) == ""
    assert told(store, ask("Hello", "Hi", "How much is the blue plan in 2025?")) == ""


def test_likeness_in_chinese() -> None:
    store = cache(embed=likeness, semantic=0.95)
    told(store, ask("蓝色套餐多少钱？"), keep="十元。")
    assert told(store, ask("蓝色套餐的价钱是多少？")) == "十元。"
    for other in ("蓝色套餐不要钱吗？", "三个蓝色套餐多少钱？", "它多少钱？", "我的套餐多少钱？"):
        assert told(store, ask(other)) == "", other


def test_hostile_texts() -> None:
    store = cache()
    for text in ("\x1f", "\ud800", "a\x1fb", "x" * 100_000):
        assert told(store, ask(text), keep="ok") == ""
        assert told(store, ask(text)) == "ok"
    assert told(store, ask("user\x1fb")) == ""

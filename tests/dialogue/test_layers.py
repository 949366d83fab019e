"""Understanding in layers: vectors and a model have a say only where rules and n-grams leave it open, and may fail."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from kith.core.clock import FrozenClock
from kith.core.errors import NotFound, Unavailable
from kith.core.ids import Ids
from kith.core.message import Delta
from kith.core.model import ChatRequest, ModelCard
from kith.dialogue.flows.flow import Flow, load_flow
from kith.dialogue.flows.layers import Layers, best
from kith.dialogue.flows.reading import Reading
from kith.dialogue.understanding.classifier import Classifier
from kith.dialogue.understanding.normal import normal
from kith.models import ModelSettings
from tests.conftest import script
from tests.models.house import opened

TOPICS = {
    "cats": ["cat", "kitten", "feline", "tomcat", "mouser", "whiskers", "moggy", "puss"],
    "rain": ["rain", "drizzle", "shower", "downpour", "wet", "storm", "sleet", "hail"],
    "bread": ["bread", "loaf", "bun", "toast", "roll", "baguette", "crust", "dough"],
}
UNSEEN = {"cats": "moggy puss", "rain": "sleet hail", "bread": "crust dough"}


class Thoughts:
    """Implements `Models`: an encoder whose vectors tell the topic of each word, and a model that answers `answer`."""

    def __init__(self, answer: str = "", kind: str = "embed") -> None:
        self.answer, self.kind = answer, kind
        self.fail: Exception | None = None
        self.embedded: list[str] = []
        self.asked: list[ChatRequest] = []

    def cards(self) -> Sequence[ModelCard]:
        return (ModelCard("e", self.kind, "fake"),) if self.kind else ()

    async def embed(self, texts: Sequence[str], model: str = "") -> Sequence[Sequence[float]]:
        self.embedded += texts
        if self.fail is not None:
            raise self.fail
        rows = [[float(sum(word in words for word in text.split())) for words in TOPICS.values()] for text in texts]
        return [[*row, 0.1] for row in rows]

    async def chat(self, request: ChatRequest) -> AsyncIterator[Delta]:
        self.asked.append(request)
        if self.fail is not None:
            raise self.fail
        yield Delta(self.answer[:5])
        yield Delta(self.answer[5:])

    async def count(self, text: str, model: str = "") -> int:
        return 1


@pytest.fixture(scope="module")
def flow(tmp_path_factory: pytest.TempPathFactory) -> Flow:
    intents = [
        {"name": name, "patterns": [f"{a} {b}" for a in words[:6] for b in words[:6] if a < b], "response": name}
        for name, words in TOPICS.items()
    ]
    path = tmp_path_factory.mktemp("flow") / "flow.json"
    path.write_text(
        json.dumps({"intents": intents, "threshold": 0.3, "out_of_scope": ["the stock market", "算命"]}), "utf-8"
    )
    return load_flow(path)


def layers(models: Thoughts, mode: Any = "embedding") -> Layers:
    clock = FrozenClock()
    return Layers(models, clock, Ids(clock, random.Random(1)), mode)


async def read(one: Layers, flow: Flow, text: str) -> Reading:
    return await one.read(flow, text, {}, locale="", now=0.0, values={}, pick=lambda texts: texts[0])


def test_vectors_know_what_no_phrase_has(flow: Flow) -> None:
    async def story() -> None:
        models = Thoughts()
        one = layers(models)
        assert (await read(one, flow, "moggy puss")).answer is None  # trained beside the talk, not yet
        await one.train(flow)
        for intent, text in UNSEEN.items():
            reading = await read(one, flow, text)
            assert (reading.answer, reading.understanding.by) == (intent, "classifier")
            assert 0.3 <= reading.understanding.confidence <= 1
        asked = len(models.embedded)
        assert (await read(one, flow, "cat kitten")).understanding.by == "rule"
        assert len(models.embedded) == asked  # a rule needs no vector
        models.fail = Unavailable("busy")
        assert (await read(one, flow, "moggy puss")).answer is None
        assert (await read(one, flow, "drizzle and rain")).answer == "rain"  # the n-grams still know
        await one.close()

    asyncio.run(story())


def test_training_happens_beside_the_talk_and_again_after_a_failure(flow: Flow) -> None:
    async def story() -> None:
        models = Thoughts()
        one = layers(models)
        models.fail = NotFound("no model")
        assert (await read(one, flow, "moggy puss")).answer is None
        async with asyncio.timeout(90):
            while not models.embedded:
                await asyncio.sleep(0)
        models.fail = None
        one._clock.advance(61)
        async with asyncio.timeout(90):
            while (await read(one, flow, "moggy puss")).answer is None:
                await asyncio.sleep(0.001)
        await one.close()

    asyncio.run(story())


def test_without_an_embedding_model_nothing_is_asked(flow: Flow) -> None:
    async def story() -> None:
        for mode, kind in (("embedding", "chat"), ("embedding", ""), ("classifier", "embed"), ("rules", "embed")):
            models = Thoughts(kind=kind)
            one = layers(models, mode)
            await read(one, flow, "moggy puss")
            assert models.embedded == []
        assert (await read(layers(Thoughts(), "rules"), flow, "drizzle and rain")).answer is None
        assert (await read(layers(Thoughts(), "rules"), flow, "drizzle rain")).answer == "rain"

    asyncio.run(story())


def test_vectors_that_do_not_help_are_not_used() -> None:
    texts = [f"{name} number {n}" for name in ("alpha", "beta") for n in range(8)]
    labels = [text.split()[0] for text in texts]
    noise = random.Random(3)
    assert best(texts, labels, [[noise.random() for _ in range(4)] for _ in texts]) is None
    broken = [[float("nan"), float("inf"), 0.0] for _ in texts]
    joined = Classifier(texts, labels, vectors=broken)
    assert joined.guess("alpha number 3", None, [float("nan")] * 3).label == "alpha"


@pytest.mark.parametrize(
    ("answer", "wanted"),
    [
        ('{"intent": "rain"}', "rain"),
        ('Sure: {"intent": "rain"}.', "rain"),
        ('{"intent": "none"}', ""),
        ('{"intent": "handover"}', ""),
        ('{"intent": ["rain"]}', ""),
        ("rain", ""),
        ("[" * 5000, ""),
        ("", ""),
    ],
)
def test_a_model_may_choose_and_nothing_else(flow: Flow, answer: str, wanted: str) -> None:
    async def story() -> None:
        models = Thoughts(answer, "chat")
        reading = await read(layers(models, "model"), flow, "water falls from clouds")
        assert reading.understanding.intent == wanted
        assert reading.understanding.by == ("model" if wanted else "")
        schema = models.asked[0].sampling.schema
        assert schema is not None
        assert set(schema["properties"]["intent"]["enum"]) == {*TOPICS, "none"}
        assert "water" not in models.asked[0].messages[0].text

    asyncio.run(story())


def test_a_model_that_fails_is_done_without(flow: Flow) -> None:
    async def story() -> None:
        models = Thoughts("x", "chat")
        models.fail = Unavailable("gone")
        assert (await read(layers(models, "model"), flow, "water falls from clouds")).answer is None
        assert (await read(layers(models, "model"), flow, "   ")).answer is None
        assert len(models.asked) == 1  # nothing is asked about nothing

    asyncio.run(story())


def test_what_is_out_of_scope_is_a_class_of_its_own(flow: Flow) -> None:
    classifier = flow.rules.matcher.classifier
    assert classifier is not None
    assert "" in classifier.labels
    assert classifier.guess(normal("the stock market today")).label == ""
    reading = flow.read("the stock market", {}, locale="", now=0.0, values={}, pick=lambda texts: texts[0])
    assert (reading.understanding.intent, reading.answer) == ("", None)
    assert "" not in flow.rules.matcher.ranked("cat")


@pytest.mark.server
def test_a_real_encoder_file_is_loaded_and_asked(tmp_path: Path) -> None:
    source = script("make_onnx")
    source.make(tmp_path / "made", "embedding")
    path = tmp_path / "made" / "model.onnx"
    settings = ModelSettings(name="m", path=str(path), type="embedding", threads=1)
    data = {
        "intents": [
            {"name": "cat", "patterns": ["red cat", "cat red hello", "big cat"], "response": "c"},
            {"name": "dog", "patterns": ["red dog", "dog red hello", "big dog"], "response": "d"},
        ]
    }
    (tmp_path / "flow.json").write_text(json.dumps(data), "utf-8")

    async def story() -> None:
        flow, clock = load_flow(tmp_path / "flow.json"), FrozenClock()
        async with opened(tmp_path / "shelf", settings) as house:
            one = Layers(house.service, clock, Ids(clock, random.Random(1)))
            await one.train(flow)
            assert one._trained is not None and one._trained.flow == flow.version
            assert (await read(one, flow, "hello red cat")).understanding.intent in ("cat", "")
            await one.close()

    asyncio.run(story())


def test_a_shared_phrase_is_the_intents(tmp_path: Path) -> None:
    path = tmp_path / "flow.json"
    data = {"intents": [{"name": "a", "patterns": ["x y"], "response": "r"}], "out_of_scope": ["X y!"]}
    path.write_text(json.dumps(data), "utf-8")
    assert load_flow(path).rules.matcher.examples == [("x y", "a")]

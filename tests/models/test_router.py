"""Which model answers, and why."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from kith.core.errors import Invalid, NotFound, Refused
from kith.core.message import Image, Message, Text
from kith.core.model import ChatRequest, ModelCard, Sampling, ToolSpec
from kith.models import ModelSettings, ServingSettings
from kith.models.router import Candidate, Facts, Route, facts_of, language, route


def model(name: str, *abilities: str, kind: str = "chat", context: int = 4096, **more: Any) -> Candidate:
    seen = {key: more.pop(key) for key in ("flaw", "open", "load", "waiting") if key in more}
    settings = ModelSettings(name=name, **({"backend": "echo"} | more))
    card = ModelCard(name, kind, "echo", context=context, capabilities=(kind, *abilities))
    return Candidate(settings, card, local=settings.local, **seen)


def names(found: Route) -> list[str]:
    return [step.model for step in found.steps]


def serving(**more: Any) -> ServingSettings:
    return ServingSettings.model_validate(more)


CLOUD = model("cloud", url="https://example.com/v1")


def test_the_first_that_can_and_the_rest_after_it() -> None:
    found = route(Facts("chat"), [model("a"), model("b"), model("e", kind="embed")], serving())
    assert names(found) == ["a", "b"]
    assert [step.fallback for step in found.steps] == [False, True]


def test_a_named_model_has_no_stand_in_unless_told() -> None:
    both = [model("a", fallback=["b"]), model("b"), model("c")]
    assert names(route(Facts("chat", "b"), both, serving())) == ["b"]
    assert names(route(Facts("chat", "a"), both, serving(fallback=["c", "a", "gone"]))) == ["a", "b", "c"]


def test_rules() -> None:
    models = [model("small", context=2000), model("big"), model("chinese", cost=3), model("cheap", cost=1)]
    rules = serving(
        routes=[
            {"name": "zh", "language": ["zh"], "use": ["chinese", "small"]},
            {"name": "long", "longer": 3000, "use": ["big"]},
            {"name": "spoken", "priority": "voice", "use": ["small", "big"]},
            {"name": "thrift", "priority": "background", "use": ["chinese", "cheap"], "prefer": "cost"},
            {"name": "ann", "person": ["ann"], "shorter": 100, "use": ["cheap"]},
        ],
        fallback=["small"],
    )
    assert names(route(Facts("chat", language="zh"), models, rules)) == ["chinese", "small"]
    assert names(route(Facts("chat", tokens=3500), models, rules)) == ["big", "small"]
    assert route(Facts("chat", priority="voice"), models, rules).rule == "spoken"
    assert names(route(Facts("chat", priority="background"), models, rules))[:2] == ["cheap", "chinese"]
    assert route(Facts("chat", person="ann", tokens=10), models, rules).rule == "ann"
    assert names(route(Facts("chat"), models, rules))[0] == "small"


def test_private_words_stay() -> None:
    for facts in (Facts("chat"), Facts("chat", "cloud")):
        with pytest.raises(Refused) as caught:
            route(facts, [CLOUD], serving())
        assert caught.value.code == "private"
    found = route(Facts("chat"), [CLOUD, model("home")], serving(fallback=["cloud"]))
    assert names(found) == ["home"]
    assert found.skipped[0].model == "cloud"
    assert names(route(Facts("chat", private=False), [CLOUD, model("home")], serving())) == ["home", "cloud"]
    trusted = model("mine", url="https://example.com/v1", trusted=True)
    assert names(route(Facts("chat"), [trusted], serving())) == ["mine"]
    near = [model(host, url=f"http://{host}:1/v1") for host in ("localhost", "127.0.0.1", "127.8.8.8")]
    assert len(names(route(Facts("chat"), near, serving()))) == 3


def test_ability_before_order_but_never_instead_of_an_answer() -> None:
    models = [model("blind"), model("seeing", "vision")]
    assert names(route(Facts("chat", needs=("vision",)), models, serving())) == ["seeing", "blind"]
    found = route(Facts("chat", needs=("vision",)), models[:1], serving())
    assert "lacks vision" in found.steps[0].reason


def test_what_is_broken_busy_or_small_comes_last() -> None:
    models = [model("open", open=True), model("small", context=100), model("busy", waiting=9), model("good")]
    found = route(Facts("chat", tokens=500), models, serving(overflow=5))
    assert names(found) == ["good", "busy", "small", "open"]
    flawed = [model("wrong", flaw="no such file"), model("good")]
    assert names(route(Facts("chat"), flawed, serving())) == ["good"]
    assert names(route(Facts("chat"), flawed[:1], serving())) == ["wrong"]


def test_load_decides_where_told() -> None:
    rules = serving(routes=[{"name": "all", "use": ["a", "b"], "prefer": "load"}])
    assert names(route(Facts("chat"), [model("a", load=0.9), model("b", load=0.1)], rules)) == ["b", "a"]


def test_nobody() -> None:
    with pytest.raises(NotFound, match="there are: a"):
        route(Facts("chat", "z"), [model("a")], serving())
    with pytest.raises(NotFound, match="no model for embed"):
        route(Facts("embed"), [model("a")], serving())
    with pytest.raises(Invalid, match="of kind chat, not embed"):
        route(Facts("embed", "a"), [model("a")], serving())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("What is the time?", "en"),
        ("现在几点了？", "zh"),
        ("请用 Python 写一个 hello world", "zh"),
        ("これは何ですか", "ja"),
        ("안녕하세요", "ko"),
        ("Привет", "ru"),
        ("مرحبا", "ar"),
        ("12345 !?", ""),
        ("", ""),
        ("The word 你 means you, and this sentence is English", "en"),
    ],
)
def test_languages(text: str, expected: str) -> None:
    assert language(text) == expected


def test_facts() -> None:
    picture = Image("0" * 64, "image/png")
    message = Message("m", "user", (Text("看看这张图"), picture), 0.0)
    tool = ToolSpec("t", "", {})
    facts = facts_of(ChatRequest((message,), sampling=Sampling(max_tokens=100, schema={}), tools=(tool,), person="p"))
    assert facts.needs == ("vision", "tools", "json")
    assert facts.language == "zh"
    assert facts.tokens > 100
    huge = Message("m", "user", (Text("x" * 1_000_000 + "字" * 1_000_000),), 0.0)
    assert 1_500_000 < facts_of(ChatRequest((huge,))).tokens < 2_500_000


@pytest.mark.parametrize(
    "wrong",
    [
        {"routes": [{"name": "x", "use": []}]},
        {"routes": [{"name": "x", "use": ["a"], "needs": ["flying"]}]},
        {"power": "nuclear"},
        {"ceiling": 2},
        {"colour": "red"},
    ],
)
def test_settings_that_are_wrong(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        serving(**wrong)

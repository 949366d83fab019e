"""Flows: what a file may say, and what is answered by it."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kith.core.errors import Invalid
from kith.dialogue.flows.flow import Action, Flow, FlowBook, Reading, load_flow

NOW = 1_763_712_000.0  # 21 November 2025, 08:00 UTC
PIZZA = Path(__file__).parent / "pizza.yaml"


@pytest.fixture(scope="module")
def pizza() -> Flow:
    return load_flow(PIZZA)


@pytest.fixture(scope="module")
def book() -> FlowBook:
    return FlowBook()


def write(folder: Path, data: object, name: str = "flow.json") -> Path:
    path = folder / name
    path.write_text(data if isinstance(data, str) else json.dumps(data, ensure_ascii=False), "utf-8")
    return path


def read(
    flow: Flow, text: str, state: dict[str, Any] | None = None, *, now: float = NOW, locale: str = "", **values: str
) -> Reading:
    def first(options: Sequence[str]) -> str:
        return options[0]

    return flow.read(text, state or {}, locale=locale, now=now, values=values, pick=first)


def test_the_plain_json_form(tmp_path: Path) -> None:
    flow = load_flow(
        write(
            tmp_path,
            {
                "intents": [
                    {"name": "greeting", "patterns": ["hello", "你好"], "response": "Hi {there}!"},
                    {"name": "name", "patterns": ["who am i"], "response_template": "You are {name}."},
                ]
            },
        )
    )
    assert flow.intents == ("greeting", "name")
    reading = read(flow, "  ＨＥＬＬＯ!! ")
    assert reading.answer == "Hi {there}!"  # `response` is literal
    assert (reading.understanding.intent, reading.understanding.confidence, reading.understanding.by) == (
        "greeting",
        1.0,
        "rule",
    )
    assert read(flow, "Who am I?", name="Ada").answer == "You are Ada."
    assert read(flow, "Who am I?").answer is None  # nothing to fill the placeholder with
    assert read(flow, "the stock market fell by nine points").answer is None


def test_traditional_characters_and_particles_are_the_same_phrase(book: FlowBook) -> None:
    for text in ("謝謝你", "谢谢你啊！", "  谢谢 你～"):
        assert read(book.current, text).understanding.intent == "thanks"


def test_the_reply_follows_the_language_of_the_message(book: FlowBook) -> None:
    assert "I am Kith" in (read(book.current, "who are you", locale="zh", persona="Kith").answer or "")
    assert "我是 Kith" in (read(book.current, "你是谁", locale="en", persona="Kith").answer or "")
    assert read(book.current, "👋", locale="zh-CN").language == "zh"


def test_the_shipped_flow(book: FlowBook) -> None:
    flow = book.current
    assert flow.warnings == ()
    assert len(flow.intents) >= 20
    assert all(len(intent.patterns) >= 12 for intent in flow.part.intents)
    assert read(flow, "what time is it").answer in {f"It is {h:02}:{m:02}." for h in range(24) for m in range(60)}
    action = read(flow, "怎么添加模型？").action
    assert action == Action("recall", "怎么添加模型")
    assert read(flow, "what is the capital of Spain?").answer is None


def test_a_call_for_help_is_never_taken_for_small_talk(book: FlowBook) -> None:
    for text in (
        "I just want to die.",
        "Want to die",
        "honestly i want to kill myself tonight",
        "我真的不想活了",
        "最近總是想自殺",
    ):
        reading = read(book.current, text)
        assert (reading.understanding.intent, reading.understanding.by) == ("crisis", "rule")
        assert reading.action == Action("handover", "crisis")
        assert "12356" in (reading.answer or "")


def test_repeat_says_what_the_flow_said_last(book: FlowBook) -> None:
    said = read(book.current, "tell me a joke")
    again = read(book.current, "say that again", said.state)
    assert again.answer == said.answer
    assert read(book.current, "再说一遍", again.state).answer == said.answer
    assert read(book.current, "say that again").answer is None


def test_a_gap_takes_an_entity_or_any_words(pizza: Flow) -> None:
    reading = read(pizza, "叫我  小明！")
    assert reading.answer == "Hello 小明."
    entity = next(e for e in reading.understanding.entities if e.name == "text")
    assert "叫我  小明！"[entity.start : entity.end] == entity.text == "小明"
    assert read(pizza, "call me").understanding.by != "rule"
    big = read(pizza, "Order a BIG pizza")
    assert [(e.name, e.value, e.text) for e in big.understanding.entities] == [("size", "large", "BIG")]


def test_slots_are_asked_for_and_states_move(pizza: Flow) -> None:
    asked = read(pizza, "i want a pizza")
    assert asked.answer == "Which size?"
    size = read(pizza, "the big one please", asked.state)
    assert size.answer == "For how many?"
    full = read(pizza, "three", size.state)
    assert full.answer == "A large pizza for 3. Right?"
    assert full.state["at"] == "confirming"
    unsure = read(pizza, "qwertz uiop", full.state)
    assert unsure.answer == "Please say yes or no."
    done = read(pizza, "yes", unsure.state)
    assert done.answer == "Baking a large one."
    assert done.action == Action("tool", "orders.create", {"size": "large", "n": ["3"]})
    assert done.state["at"] == "done"
    assert json.loads(json.dumps(done.state)) == done.state


def test_an_intent_is_understood_only_where_a_transition_begins(pizza: Flow) -> None:
    assert read(pizza, "yes").understanding.intent == ""
    confirming = {"at": "confirming", "seen": NOW}
    assert read(pizza, "yes", confirming).understanding.intent == "yes"
    assert read(pizza, "yes", confirming).answer == "Baking."  # no size: the guard holds the transition back
    assert read(pizza, "yes", confirming).state["at"] == "confirming"
    assert read(pizza, "hello", confirming).answer == "Hello!"


def test_a_slot_is_asked_for_only_so_often(pizza: Flow) -> None:
    state = read(pizza, "我要一个披萨").state
    again = read(pizza, "嗯嗯嗯", state)
    assert again.answer == "多大的？"
    given_up = read(pizza, "嗯嗯嗯", again.state)
    assert given_up.answer is None
    assert "asking" not in given_up.state


def test_another_phrase_interrupts_a_question(pizza: Flow) -> None:
    state = read(pizza, "i want a pizza").state
    other = read(pizza, "hello", state)
    assert other.answer == "Hello! Back to your order: Which size?"
    assert read(pizza, "the big one", other.state).answer == "For how many?"


def test_silence_moves_a_state(pizza: Flow) -> None:
    state = {"at": "confirming", "seen": NOW, "slots": {"size": "large"}}
    assert read(pizza, "hello", state, now=NOW + 600).state["at"] == "confirming"
    late = read(pizza, "hello", state, now=NOW + 601)
    assert late.state["at"] == "start"
    assert "slots" not in late.state


@pytest.mark.parametrize(
    "state",
    [
        {"at": "gone", "seen": "soon", "slots": ["x"], "asking": {"intent": "old", "slot": "x"}},
        {"at": 7, "slots": {"size": 3, "other": "x"}, "asking": {"intent": "order", "slot": "size", "tries": "x"}},
        {"asking": "x", "last": 4, "more": {"deep": []}},
        {"asking": {"intent": ["order"], "slot": None}},
    ],
)
def test_a_state_of_another_flow_does_no_harm(pizza: Flow, state: dict[str, Any]) -> None:
    reading = read(pizza, "hello", state)
    assert (reading.answer or "").startswith("Hello!")
    assert reading.state["at"] == "start"


def test_otherwise_answers_what_is_not_understood(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        {
            "otherwise": {"en": "Pardon?", "zh": "什么？"},
            "intents": [{"name": "a", "patterns": ["hi"], "response": "x"}],
        },
    )
    flow = load_flow(path)
    assert read(flow, "the quick brown fox jumps").answer == "Pardon?"
    assert read(flow, "敏捷的棕色狐狸").answer == "什么？"


def test_a_placeholder_is_not_filled_twice(pizza: Flow) -> None:
    assert read(pizza, "call me {persona}", persona="secret").answer == "Hello persona."
    assert read(pizza, "call me x {persona} y", persona="secret").answer == "Hello x {persona} y."


def test_the_version_follows_the_contents(tmp_path: Path) -> None:
    base = {"intents": [{"name": "a", "patterns": ["hi"], "response": "x"}]}
    one, same = load_flow(write(tmp_path, base, "1.json")), load_flow(write(tmp_path, base, "2.json"))
    other = load_flow(write(tmp_path, {**base, "threshold": 0.5}, "3.json"))
    assert one.version == same.version != other.version


def test_describe_is_json(pizza: Flow) -> None:
    told = pizza.describe()
    assert json.loads(json.dumps(told)) == told
    assert told["name"] == "pizza"
    assert [state["name"] for state in told["states"]] == ["start", "confirming", "done"]
    assert told["transitions"][0]["from"] == "start"


def test_a_running_flow_is_never_replaced_by_a_broken_one(tmp_path: Path) -> None:
    path = write(tmp_path, {"intents": [{"name": "a", "patterns": ["hi"], "response": "one"}]})
    book = FlowBook(path)
    assert not book.changed()
    write(tmp_path, '{"intents": [')
    assert book.changed()
    with pytest.raises(Invalid) as caught:
        book.reload()
    assert caught.value.file == str(path)
    assert not book.changed()
    assert read(book.current, "hi").answer == "one"
    assert "JSON" in book.describe()["error"]
    path.unlink()
    assert book.changed()
    with pytest.raises(Invalid):
        book.reload()
    write(tmp_path, {"intents": [{"name": "a", "patterns": ["hi"], "response": "two"}]})
    os.utime(path, ns=(1, 1))
    assert book.changed()
    assert read(book.reload(), "hi").answer == "two"
    assert book.describe()["error"] == ""


@settings(max_examples=150, deadline=None)
@given(
    text=st.text(max_size=80) | st.sampled_from(["1" * 3000, "想" * 3000, "{text}", "call me " * 60, "\0", "\ud800"]),
    state=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda inner: st.dictionaries(
            st.sampled_from(["at", "seen", "slots", "asking", "intent", "slot", "tries", "size", "last"]), inner
        ),
        max_leaves=8,
    ),
    now=st.floats(allow_nan=False, allow_infinity=False),
    locale=st.sampled_from(["", "en", "zh-TW", "x" * 50]),
)
def test_reading_never_raises(text: str, state: Any, now: float, locale: str) -> None:
    flow = FLOWS[0] if FLOWS else FLOWS.append(load_flow(PIZZA)) or FLOWS[0]
    reading = read(flow, text, state if isinstance(state, dict) else {}, now=now, locale=locale, persona="P")
    for entity in reading.understanding.entities:
        assert text[entity.start : entity.end] == entity.text or entity.name == "text"
    json.dumps(reading.state)
    read(flow, text, reading.state, now=now, locale=locale)


FLOWS: list[Flow] = []

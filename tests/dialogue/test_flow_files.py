"""Flow files that are wrong: each is refused with file, line, path and reason."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from kith.core.errors import Invalid
from kith.dialogue.flows.flow import build_flow, load_flow
from kith.dialogue.flows.schema import CheckPart, FlowPart, FormPart, IntentPart, SlotPart, StatePart, TransitionPart
from kith.dialogue.workshop.trial import run_trial
from kith.runtime.documents import parse_document

GOOD: dict[str, Any] = {"name": "a", "patterns": ["hi"], "response": "x"}


def refused(folder: Path, data: object, name: str = "flow.json") -> Invalid:
    path = folder / name
    if isinstance(data, bytes):
        path.write_bytes(data)
    else:
        path.write_text(data if isinstance(data, str) else json.dumps(data), "utf-8")
    with pytest.raises(Invalid) as caught:
        load_flow(path)
    assert caught.value.file == str(path)
    assert caught.value.faults
    return caught.value


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not JSON"),
        (b"null", "mapping"),
        (b"[]", "mapping"),
        (b'"text"', "mapping"),
        (b"{", "not JSON"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b'{"intents": [\xff]}', "not UTF-8"),
        (b"[" * 100_000, "deep"),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, "deep"),
        (b'{"intents": [], "intents": []}', "twice"),
        (b'{"intents": []}', "1 or more"),
        (b'{"intents": {}}', "list"),
        (b'{"intents": [{}]}', "required"),
        (b'{"intents": [1]}', "mapping"),
        (b'{"intents": [{"name": "a", "patterns": "hi", "response": "x"}]}', "list"),
        (b'{"intents": [{"name": "a", "patterns": [], "response": "x"}]}', "1 or more"),
        (b'{"intents": [{"name": "a", "patterns": [""], "response": "x"}]}', "1 or more"),
        (b'{"intents": [{"name": "a", "patterns": ["hi"]}]}', "needs a response"),
        (b'{"intents": [{"name": "", "patterns": ["hi"], "response": "x"}]}', "name is"),
        (b'{"intents": [{"name": "*", "patterns": ["hi"], "response": "x"}]}', "name is"),
        (b'{"intents": [{"name": "unknown", "patterns": ["hi"], "response": "x"}]}', "reserved"),
        (b'{"intents": [{"name": "a", "patterns": ["hi"], "respnse": "x"}]}', "did you mean 'response'"),
        (b'{"threshold": NaN, "intents": []}', "NaN"),
    ],
)
def test_a_wrong_file_says_what_is_wrong(tmp_path: Path, data: bytes, reason: str) -> None:
    error = refused(tmp_path, data)
    assert any(reason in fault.reason for fault in error.faults), error.faults


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.json"
    with path.open("wb") as stream:
        stream.truncate(100 * 1024 * 1024)
    with pytest.raises(Invalid, match="larger than"):
        load_flow(path)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="cannot be read"):
        load_flow(tmp_path / "none.json")
    with pytest.raises(Invalid, match="cannot be read"):
        load_flow(tmp_path)


def test_a_yaml_bomb_is_refused(tmp_path: Path) -> None:
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    error = refused(tmp_path, "\n".join(rows), "flow.yaml")
    assert "too many values" in error.faults[0].reason


def test_yaml_tags_build_nothing(tmp_path: Path) -> None:
    refused(tmp_path, "intents: !!python/object/apply:os.system [ls]", "flow.yaml")


def test_every_mistake_has_its_line(tmp_path: Path) -> None:
    text = """\
intents:
  - name: hello
    patterns: [hi, hello]
    responses: ["Hi {nam}"]
  - name: hello
    patterns: ["  HELLO! "]
    response: x
  - name: order
    patterns: ["a {pizzza}"]
    response: x
    action: cook
    slots: [{name: size}]
entities:
  - {name: pizza, regex: "(a+)+b"}
  - {name: empty}
states:
  - {name: start}
  - {name: lost, timeout: 9, on_timeout: strat}
transitions:
  - {from: start, on: helo, to: end, when: {colour: red}}
tests:
  - {say: x, intent: nothing}
"""
    faults = {fault.path: (fault.line, fault.reason) for fault in refused(tmp_path, text, "flow.yaml").faults}
    assert faults["intents[0].responses"] == (4, "nothing fills the placeholder {nam}; did you mean {name}?")
    assert faults["intents[1].name"] == (5, "'hello' is the name of intents[0] too")
    assert faults["intents[1].patterns[0]"] == (6, "'  HELLO! ' is a phrase of 'hello' (line 3) too")
    assert faults["intents[2].patterns[0]"] == (9, "there is no entity 'pizzza'; did you mean 'pizza'?")
    assert faults["intents[2].action"] == (11, "there is no action 'cook'")
    assert faults["intents[2].slots[0]"][0] == 12
    assert "repeat inside a repeat" in faults["entities[0].regex"][1]
    assert faults["entities[1]"] == (15, "needs values, regex, or free: true")
    assert "did you mean 'start'" in faults["states[1].on_timeout"][1]
    assert faults["transitions[0].on"] == (20, "there is no intent 'helo'; did you mean 'hello'?")
    assert faults["transitions[0].to"][1].startswith("there is no state 'end'")
    assert faults["transitions[0].when.colour"][1].startswith("there is no slot or entity 'colour'")
    assert faults["tests[0].intent"][0] == 22


@pytest.mark.parametrize(
    ("extra", "reason"),
    [
        ({"action": {}}, "exactly one"),
        ({"action": {"model": True, "recall": "x"}}, "exactly one"),
        ({"action": {"recall": "x", "arguments": {"a": 1}}}, "belongs to a tool"),
        ({"action": {"tool": "t", "arguments": {"a": ["{nothing_here}"]}}}, "nothing fills"),
        ({"patterns": ["{text} {text} {text} {text}"]}, "more than 3"),
        ({"patterns": ["*"]}, "empty phrase"),
        ({"patterns": ["\u200b "]}, "empty phrase"),
        ({"states": ["nowhere"]}, "no state"),
        ({"responses": []}, "empty"),
        ({"slots": [{"name": "number", "prompt": "?"}, {"name": "number", "prompt": "?"}]}, "is the name of"),
    ],
)
def test_mistakes_in_an_intent(tmp_path: Path, extra: dict[str, Any], reason: str) -> None:
    error = refused(tmp_path, {"intents": [{**GOOD, **extra}]})
    assert any(reason in fault.reason for fault in error.faults), error.faults


def test_two_intents_may_share_a_phrase_in_different_states(tmp_path: Path) -> None:
    path = tmp_path / "flow.json"
    intents = [{**GOOD, "states": ["one"]}, {**GOOD, "name": "b", "states": ["two"], "response": "y"}]
    moves = [{"from": "one", "on": "a", "to": "two"}]
    path.write_text(
        json.dumps({"intents": intents, "states": [{"name": "one"}, {"name": "two"}], "transitions": moves})
    )
    flow = load_flow(path)
    first = flow.read("hi", {}, locale="", now=0.0, values={}, pick=lambda options: options[0])
    second = flow.read("hi", first.state, locale="", now=0.0, values={}, pick=lambda options: options[0])
    assert (first.answer, second.answer) == ("x", "y")


def test_a_state_without_a_way_to_it_is_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "flow.json"
    path.write_text(json.dumps({"intents": [GOOD], "states": [{"name": "start"}, {"name": "lost"}]}))
    warning = load_flow(path).warnings[0]
    assert (warning.path, "lost" in warning.reason) == ("states[1]", True)


def test_names_may_be_chinese(tmp_path: Path) -> None:
    path = tmp_path / "flow.yaml"
    path.write_text("intents:\n  - {name: 问候, patterns: [你好], response: 好}\n", "utf-8")
    assert load_flow(path).intents == ("问候",)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats()
    | st.text(max_size=6)
    | st.sampled_from(["a", "{x}", "*"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "name",
                    "patterns",
                    "response",
                    "responses",
                    "action",
                    "slots",
                    "states",
                    "on",
                    "from",
                    "to",
                    "when",
                    "values",
                    "regex",
                    "free",
                    "entity",
                    "prompt",
                    "model",
                    "tool",
                    "recall",
                    "arguments",
                    "en",
                    "zh",
                    "timeout",
                ]
            )
            | st.text(max_size=3),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.fixed_dictionaries(
        {"intents": st.just([GOOD]) | st.lists(VALUES, max_size=2)},
        optional=dict.fromkeys(
            ("entities", "states", "transitions", "actions", "locale", "threshold", "tests"), VALUES
        ),
    )
)
@example({"intents": [GOOD], "entities": [{"name": "e", "values": {"x": []}, "regex": "["}]})
def test_any_shape_is_a_flow_or_invalid(data: dict[str, Any]) -> None:
    try:
        text = json.dumps(data, allow_nan=False)
    except ValueError:
        return
    try:
        flow = build_flow(parse_document(text, "flow.json", "json"))
    except Invalid as error:
        assert error.faults
        return
    flow.read("hi", {}, locale="", now=0.0, values={}, pick=lambda options: options[0])
    json.dumps(flow.describe())


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")))
def test_any_bytes_are_a_flow_or_invalid(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.yaml"
    path.write_bytes(raw)
    with pytest.raises(Invalid):
        load_flow(path)


@pytest.mark.parametrize(
    "page", sorted((Path(__file__).parents[2] / "docs").glob("*/flows.md")), ids=lambda p: p.parent.name
)
def test_the_documented_flows_are_flows(page: Path) -> None:
    text = page.read_text("utf-8")
    found = re.findall(r"^```(json|yaml)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert len(found) == 2
    for kind, body in found:
        flow = build_flow(parse_document(body, str(page), kind))
        assert flow.warnings == ()
        assert run_trial(flow).failures == ()
    keys = {
        name
        for part in (FlowPart, IntentPart, SlotPart, CheckPart, FormPart, StatePart, TransitionPart)
        for name in part.model_fields
    }
    assert {key for key in keys if key.rstrip("_") not in text} == set()

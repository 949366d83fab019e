"""Several intents in one message; cross-validation; labelled data in the formats that are published."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from kith.cli.flow import flow as command
from kith.core.errors import Invalid
from kith.dialogue.flows.flow import FlowBook, Reading
from kith.dialogue.flows.reading import clauses
from kith.dialogue.workshop.labelled import load_labelled, merged
from kith.dialogue.workshop.validation import cross_validate

FRUIT = {
    "apple": [
        "i like apples",
        "red apples are sweet",
        "an apple a day",
        "apples and more apples",
        "green apples please",
    ],
    "pear": ["give me pears", "pears are juicy", "a ripe pear", "pears in a basket", "soft pears now"],
    "plum": ["plums are purple", "dried plums", "a plum pudding", "plums from the tree", "sour plums here"],
}
PAIRS = [(text, label) for label, texts in FRUIT.items() for text in texts]


@pytest.fixture(scope="module")
def book() -> FlowBook:
    return FlowBook()


def read(book: FlowBook, text: str) -> Reading:
    return book.current.read(
        text, {}, locale="", now=1.7e9, values={"persona": "Kith"}, pick=lambda options: options[0]
    )


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Hello! What time is it?", ["greeting", "time_now"]),
        ("你好，现在几点了？", ["greeting", "time_now"]),
        ("thanks, goodbye", ["thanks", "goodbye"]),
        ("谢谢，再见", ["thanks", "goodbye"]),
        ("Hi. What is the date today? Thank you!", ["greeting", "date_now", "thanks"]),
        ("hello, hello, hello", ["greeting"]),
        ("hello, write me a poem about Zanzibar", []),
    ],
)
def test_several_things_are_answered_in_one_reply(book: FlowBook, text: str, wanted: list[str]) -> None:
    reading = read(book, text)
    found = [reading.understanding.intent, *reading.understanding.others]
    if wanted:
        assert found == wanted
        assert reading.answer
    else:
        assert not reading.understanding.others


def test_clauses_are_few_and_keep_numbers_whole() -> None:
    assert clauses("1,250 people, 3.14 pies") == ["1,250 people", "3.14 pies"]
    assert clauses("a," * 40) == []
    assert clauses("x" * 1000) == []
    assert clauses("!!!") == []


def test_cross_validation_says_how_sure_is_how_right() -> None:
    found = cross_validate(PAIRS, 0.4, 5)
    assert found.phrases == 15
    assert 0.6 <= found.accuracy <= 1
    assert 0 <= found.error <= 1
    assert sum(part.count for part in found.bins) >= 15
    assert 0 <= found.strangers <= 1
    assert {score.intent for score in found.scores} == set(FRUIT)


def test_cross_validation_of_next_to_nothing() -> None:
    assert cross_validate([("a", "x")], 0.4).phrases == 0
    assert cross_validate([], 0.4).accuracy == 0


def test_the_shipped_flow_is_calibrated(book: FlowBook) -> None:
    pairs = [pair for pair in book.current.rules.matcher.examples if pair[0]]
    found = cross_validate(pairs, book.current.part.threshold, 3)
    assert found.error < 0.15
    assert found.accuracy > 0.6


FILES = {
    "log.jsonl": '{"text": "hi there", "intent": "greeting"}\n\n{"text": "bye", "intent": "goodbye"}\n',
    "massive.jsonl": '{"utt": "hi there", "intent": "greeting", "partition": "train"}\n'
    '{"utt": "skip me", "intent": "greeting", "partition": "test"}\n'
    '{"utt": "bye", "intent": "goodbye", "partition": "train"}',
    "banking.csv": 'text,category\n"hi there",greeting\nbye,goodbye\n',
    "UPPER.CSV": "\ufefftext,category\r\nhi there,greeting\r\n\r\nbye,goodbye\r\n",
    "clinc.json": '{"train": [["hi there", "greeting"], ["bye", "goodbye"]], "val": []}',
}


@pytest.mark.parametrize("name", FILES)
def test_labelled_data_in_published_formats(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text(FILES[name], "utf-8")
    assert load_labelled(path) == [("hi there", "greeting"), ("bye", "goodbye")]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", b"{broken"),
        ("a.jsonl", b"[1]"),
        ("a.jsonl", b'{"text": 3, "intent": "x"}'),
        ("a.jsonl", b""),
        ("a.jsonl", b"\xff\xfe\x00"),
        ("a.jsonl", b"[" * 100_000),
        ("a.jsonl", b'{"text": "a", "intent": "b", "n": ' + b"9" * 5000 + b"}"),
        ("a.jsonl", b'{"text": "\\ud800", "intent": "b"}'),
        ("a.jsonl", b'{"text": "' + b"a " * 1_000_000 + b'", "intent": "b"}'),
        ("a.jsonl", b'{"utt": "only of another part", "intent": "b", "partition": "test"}'),
        ("a.csv", b"text,category\n" + b"a" * 200_000 + b",b\n"),
        ("a.csv", "text,category\ncaf\u00e9,b\n".encode("latin-1")),
        ("a.csv", "text,category\nhi,b\n".encode("utf-16")),
        ("a.csv", b""),
        ("a.csv", b"text,category\n"),
        ("a.csv", b"nothing,here\n1,2\n"),
        ("a.csv", b"text,category\nonly\n"),
        ("a.csv", b'text,category\n"open'),
        ("a.json", b'{"val": []}'),
        ("a.json", b'{"train": [["one"]]}'),
        ("a.json", b"[" * 100_000),
        ("a.json", b'{"train": [["a", null]]}'),
        ("a.json", b'{"train": [[["a"], "b"]]}'),
    ],
)
def test_broken_data_are_refused_with_the_reason(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(Invalid) as refusal:
        load_labelled(path)
    assert refusal.value.faults[0].reason


def test_a_fault_is_told_with_its_line(tmp_path: Path) -> None:
    """Also where a text has lines of its own, and where a border that only Unicode knows is in one."""
    path = tmp_path / "a.csv"
    path.write_text('text,category\n"one\ntwo",a\nonly\n', "utf-8")
    with pytest.raises(Invalid) as refusal:
        load_labelled(path)
    assert refusal.value.faults[0].line == 4
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a\u2028b\u0085c", "intent": "x"}\n{broken\n', "utf-8")
    with pytest.raises(Invalid) as refusal:
        load_labelled(path)
    assert refusal.value.faults[0].line == 2
    path.write_text('{"text": "a\u2028b\u0085c", "intent": "x"}\n', "utf-8")
    assert load_labelled(path) == [("a\u2028b\u0085c", "x")]


def test_missing_data_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid):
        load_labelled(tmp_path / "nothing.jsonl")


def test_labelled_texts_become_patterns_unless_they_belong_elsewhere() -> None:
    flow = {"intents": [{"name": "a", "patterns": ["one"], "response": "1"}, {"name": "b", "patterns": ["two"]}]}
    data, added, left = merged(flow, [("uno", "a"), ("UNO!", "a"), ("two", "a"), ("x", "c"), ("{y}", "a")])
    assert data["intents"][0]["patterns"] == ["one", "uno"]
    assert added == 1
    assert len(left) == 3
    assert flow["intents"][0]["patterns"] == ["one"]


def test_what_is_labelled_out_of_scope_joins_what_is_out_of_scope() -> None:
    flow = {"intents": [{"name": "a", "patterns": ["one"], "response": "1"}], "out_of_scope": ["zebra"]}
    data, added, left = merged(flow, [("blue moon", "oos"), ("Zebra!", ""), ("one", "out_of_scope")])
    assert data["out_of_scope"] == ["zebra", "blue moon"]
    assert (added, len(left)) == (1, 1)
    assert "out_of_scope" not in merged({"intents": flow["intents"]}, [("uno", "a")])[0]


TWINS = {
    "louder": ["大声一点", "声音调大", "音量加", "太小声了", "调高音量", "响一点"],
    "quieter": ["小声一点", "声音调小", "音量减", "太大声了", "调低音量", "轻一点"],
    "track": ["我的快递到哪了", "查一下物流", "包裹什么时候到", "快递单号查询", "怎么还没送到", "发货了吗"],
}


def test_a_report_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "shop.json"
    intents = [{"name": name, "patterns": texts, "response": name} for name, texts in TWINS.items()]
    path.write_text(json.dumps({"intents": intents}), "utf-8")
    found = json.loads(CliRunner().invoke(command, ["report", str(path), "--json"]).output)
    assert sum(sum(row.values()) for row in found["matrix"].values()) == found["phrases"] == 18
    twins, *others = found["advice"]
    assert (twins["kind"], twins["intents"]) == ("twins", ["louder", "quieter"])
    assert "一点" in twins["common"]
    assert [one["kind"] for one in others] == ["few", "strangers"]
    shown = CliRunner().invoke(command, ["report", str(path), "--matrix"]).output
    assert "louder, quieter" in shown
    assert "   1 " in shown


def test_training_by_command_writes_another_flow(tmp_path: Path) -> None:
    flow = tmp_path / "fruit.json"
    intents = [{"name": name, "patterns": texts[:3], "response": name} for name, texts in FRUIT.items()]
    flow.write_text(json.dumps({"intents": intents}), "utf-8")
    log = tmp_path / "log.jsonl"
    log.write_text("\n".join(json.dumps({"text": t, "intent": i}) for t, i in PAIRS), "utf-8")
    done = CliRunner().invoke(command, ["train", str(flow), "--data", str(log), "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.output)
    assert found["added"] == 6
    assert Path(found["file"]).name == "fruit.trained.json"
    report = CliRunner().invoke(command, ["report", found["file"], "--json", "--folds", "3"])
    assert json.loads(report.output)["phrases"] == 15
    assert CliRunner().invoke(command, ["report", str(flow)]).exit_code == 0
    same = CliRunner().invoke(command, ["train", str(flow), "--data", str(log), "--out", str(flow)])
    assert isinstance(same.exception, Invalid)

"""The parts that understand: normal form, values, regular expressions, phrases, the classifier."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kith.dialogue.flows.entities import Lexicon, extract
from kith.dialogue.flows.expressions import compile_safe
from kith.dialogue.flows.schema import EntityPart
from kith.dialogue.understanding.classifier import Classifier
from kith.dialogue.understanding.features import features, marks, notions
from kith.dialogue.understanding.kernel import Kernel, nearest
from kith.dialogue.understanding.normal import fold, language, normal, plain

NOW = 1_763_726_400.0  # noon UTC on Friday, 21 November 2025


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Hello,  WORLD!", "hello world"),
        ("ＨＥＬＬＯ", "hello"),
        ("What's up?", "what is up"),
        ("whats up", "what is up"),
        ("don’t", "do not"),
        ("who're you", "who are you"),
        ("the whore", "the whore"),
        ("謝謝 你 啊～", "谢谢你"),
        ("今天 iPhone 15 多少钱呢？", "今天iphone 15多少钱"),
        ("好吧", "好吧"),
        ("👋", "👋"),
        ("???", "???"),
        (" \u200b\n", ""),
    ],
)
def test_the_normal_form(text: str, wanted: str) -> None:
    assert normal(text) == wanted


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60))
def test_the_normal_form_is_stable_and_places_are_kept(text: str) -> None:
    assert normal(normal(text)) == normal(text) or not normal(text).isascii()
    for folded in (fold(text), plain(fold(text))):
        assert len(folded.offsets) == len(folded.text) + 1
        assert list(folded.offsets) == sorted(folded.offsets)
        assert all(0 <= place <= len(text) for place in folded.offsets)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("hello", "en"),
        ("你好", "zh"),
        ("我想用 Telegram bot", "zh"),
        ("how do i say 你好", "en"),
        ("42!", "zh"),
        ("", "zh"),
    ],
)
def test_the_language_of_a_text(text: str, wanted: str) -> None:
    assert language(text, "zh") == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("三百二十块", [("money", "320 CNY")]),
        ("一万二千零五", [("number", "12005")]),
        ("一万二", [("number", "12000")]),
        ("二百零五", [("number", "205")]),
        ("二百二十二", [("number", "222")]),
        ("三万五千亿", [("number", "3500000000000")]),
        ("给我3个", [("number", "3")]),
        ("二〇二六", [("number", "2026")]),
        ("两亿三千万", [("number", "230000000")]),
        ("$12.50 or 20 euros", [("money", "12.5 USD"), ("money", "20 EUR")]),
        ("2026年11月3日", [("date", "2026-11-03")]),
        ("２０２６－１１－０３", [("date", "2026-11-03")]),
        ("by 5 March 2026, 3:15 pm", [("date", "2026-03-05"), ("time", "15:15")]),
        ("明天下午三点半", [("date", "2025-11-22"), ("time", "15:30")]),
        ("next monday at 12am", [("date", "2025-11-24"), ("time", "00:00")]),
        ("下周五两个小时", [("date", "2025-11-28"), ("duration", "7200")]),
        ("in five minutes", [("time", "12:05")]),
        ("半小时", [("duration", "1800")]),
        ("call +49 170 1234567", [("phone", "+491701234567")]),
        ("打13812345678", [("phone", "13812345678")]),
        ("a.b@example.com", [("email", "a.b@example.com")]),
        ("see https://kith.dev/x?y=1.", [("url", "https://kith.dev/x?y=1")]),
        ("2026-02-31", [("number", "2026")]),
        ("the big one", []),
        ("just one", [("number", "1")]),
        ("一起走，我十分喜欢", []),
    ],
)
def test_built_in_values(text: str, wanted: list[tuple[str, str]]) -> None:
    found = extract(text, (), NOW)
    assert [(entity.name, entity.value) for entity in found][: len(wanted) or 9] == wanted
    assert all(text[entity.start : entity.end] == entity.text for entity in found)


def lexicon(**part: Any) -> Lexicon:
    return Lexicon(EntityPart.model_validate({"name": "thing", **part}))


def test_words_of_a_lexicon() -> None:
    words = lexicon(values={"phone": ["iPhone", "手机"], "art": []})
    text = "我的手機 and an IPHONE, not a start"
    assert [(e.value, e.text) for e in extract(text, [words], NOW)] == [("phone", "手機"), ("phone", "IPHONE")]


def test_the_longest_word_wins() -> None:
    words = lexicon(values=["new york", "york", "new york city"])
    assert [e.value for e in extract("in New York City and York", [words], NOW)] == ["new york city", "york"]


def test_expressions_of_a_lexicon() -> None:
    orders = lexicon(regex=[r"ORD-(\d{4})", r"no\. (?P<value>\w+)"])
    found = [e for e in extract("ord-1234 and ＯＲＤ－5678, no. x7", [orders], NOW) if e.name == "thing"]
    assert [(e.value, e.text) for e in found] == [("1234", "ord-1234"), ("5678", "ＯＲＤ－5678"), ("x7", "no. x7")]


def test_a_flow_may_take_over_a_built_in_name() -> None:
    sizes = Lexicon(EntityPart.model_validate({"name": "number", "values": {"12": ["dozen"]}}))
    assert [e.value for e in extract("a dozen and 5", [sizes], NOW)] == ["12"]


@settings(max_examples=300, deadline=None)
@given(
    st.text(alphabet="0123456789零一二两十百千万亿点半月日号周:.,-+$¥元 amp年下个小时天@/http", max_size=60),
    st.floats(allow_nan=False),
)
def test_extraction_never_raises(text: str, now: float) -> None:
    for entity in extract(text, (), now):
        assert text[entity.start : entity.end] == entity.text


SAFE = [
    r"\w+@\w+\.\w+",
    r"\d+\s*x\s*\d+",
    r"(?:foo|bar)+",
    r"([a-z]+)-(\d+)",
    r"ORD-\d{6}",
    r"(?:\d{1,3}\.){3}\d{1,3}",
    r"(\d+)\s*(kg|g|公斤)",
    r"[一-龥]{1,20}路\d+号",
    r"[[a]b]",
]
DANGEROUS = [
    r"(a+)+b",
    r"(a|a)*b",
    r"(a|ab)*c",
    r".*.*x",
    r"(\w+\s?)*$",
    r"\d*\d*\d*$",
    r"(x+x+)+y",
    r"([^,]*,)*x",
    r"(a{1,30}){1,30}b",
    r"(?=(a+))a*b",
    r"(.)\1",
    "a?" * 30 + "a" * 30,
    r"[一-龥]+路[一-龥]+路[一-龥]+!",
    r"((((((a{32}){32}){32}){32}){32}){32})",
    "(" * 300,
    "a{99999999999}",
    "(?P<1>x)",
    "[",
]


@pytest.mark.parametrize("pattern", SAFE)
def test_a_tame_expression_is_taken(pattern: str) -> None:
    assert compile_safe(pattern).flags


@pytest.mark.parametrize("pattern", DANGEROUS)
def test_an_expression_that_could_take_forever_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        compile_safe(pattern)


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=r"ab1.*+?()|[]{},^$\dws-", max_size=14))
def test_whatever_is_taken_ends(pattern: str) -> None:
    try:
        compiled = compile_safe(pattern)
    except ValueError:
        return
    for text in ("a" * 500 + "!", "ab" * 250 + "!", "1 " * 250 + "!"):
        started = time.process_time()
        list(compiled.finditer(text))
        assert time.process_time() - started < 5


def corpus(intents: int, phrases: int) -> tuple[list[str], list[str]]:
    random = np.random.default_rng(7)
    words = [["".join(random.choice(list("abcdefghijklmnop"), 5)) for _ in range(8)] for _ in range(intents)]
    pairs = [(" ".join(random.choice(words[n], 4)), f"i{n}") for n in range(intents) for _ in range(phrases)]
    return [text for text, _ in pairs], [label for _, label in pairs]


@pytest.mark.parametrize("limit", [4096, 60])
def test_leaving_out_in_closed_form_is_leaving_out(monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    """More columns than rows and fewer: the same as training without the row."""
    monkeypatch.setattr("kith.dialogue.understanding.classifier._COLUMNS", limit)
    monkeypatch.setattr("kith.dialogue.understanding.kernel._COMMON", limit // 2)
    texts, labels = corpus(6, 20)
    whole = Classifier(texts, labels)
    agree = 0
    for row in range(0, len(texts), 10):
        rest = Classifier(texts[:row] + texts[row + 1 :], labels[:row] + labels[row + 1 :])
        agree += rest.guess(texts[row]).label == whole.held_out()[row].label
    assert agree >= 11


def test_the_classifier_knows_what_it_does_not_know() -> None:
    texts, labels = corpus(12, 15)
    classifier = Classifier(texts, labels)
    assert classifier.guess(texts[0]).label == labels[0]
    assert classifier.guess(texts[0]).confidence > 0.7
    for stranger in ("zzzz yyyy xxxx", "你好", "", "!", "q" * 300):
        assert classifier.guess(stranger).confidence < 0.3


def test_many_phrases_are_learnt_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kith.dialogue.understanding.classifier._MANY", 100)
    texts, labels = corpus(12, 15)
    classifier = Classifier([*texts, "zzz yyy", "xxx www", "vvv uuu", "ttt sss"], [*labels, "", "", "", ""])
    again = Classifier([*texts, "zzz yyy", "xxx www", "vvv uuu", "ttt sss"], [*labels, "", "", "", ""])
    right = sum(classifier.guess(text).label == label for text, label in zip(texts, labels, strict=True))
    assert right >= 0.98 * len(texts)
    assert classifier.guess(texts[3]) == again.guess(texts[3])
    assert classifier.guess(texts[0]).confidence > 0.6
    assert classifier.guess("zzzz yyyy xxxx").label == ""
    assert classifier.guess("你好").confidence < 0.4
    held = sum(guess.label == label for guess, label in zip(classifier.held_out(), labels, strict=False))
    assert held >= 0.7 * len(texts)  # each half judged by the other
    vectors = [[float(label == f"i{n}") for n in range(12)] for label in labels]
    joined = Classifier(texts, labels, vectors=vectors, weight=4.0)
    assert joined.guess("qqq rrr", None, [0.0] * 5 + [1.0] + [0.0] * 6).label == "i5"
    assert joined.guess("qqq rrr", {"i2", "i3"}, [0.0] * 12).label in ("i2", "i3")


def test_the_classifier_is_deterministic() -> None:
    texts, labels = corpus(5, 8)
    one, other = Classifier(texts, labels), Classifier(texts, labels)
    assert [one.guess(t) for t in texts] == [other.guess(t) for t in texts]


def test_the_classifier_keeps_to_what_is_allowed() -> None:
    texts, labels = corpus(4, 6)
    classifier = Classifier(texts, labels)
    assert classifier.guess(texts[0], {"i3", "i2"}).label in {"i2", "i3"}


@pytest.mark.parametrize(("texts", "labels"), [(["a"], ["x"]), (["a", "a"], ["x", "y"]), (["a", "a", "a"], ["x"] * 3)])
def test_very_small_training(texts: list[str], labels: list[str]) -> None:
    guess = Classifier(texts, labels).guess("a")
    assert guess.label in labels
    assert 0 <= guess.confidence <= 1


def test_features_count() -> None:
    assert features("ab ab")["w:ab"] == 2
    assert features("") == {" ": 2, "  ": 1}


def test_chinese_counts_in_pairs_and_notions() -> None:
    assert notions("给奶奶拨个电话") == {"人", "通话"}
    found = marks("开灯")
    assert found["开灯"] == found["p:开灯"] == found["n:灯"] == 1
    assert marks("灯开")["p:开灯"] == 1
    assert "w:开灯" not in found
    assert marks("打开 wifi")["w:wifi"] == marks("打开 wifi")["wif"] == 1
    assert marks("turn it on") == features("turn it on")


def test_one_word_teaches_another_about_the_same() -> None:
    texts = ["给妈妈转五百块钱", "汇一千给房东", "给奶奶拨个电话", "打电话给医生"]
    classifier = Classifier(texts, ["pay", "pay", "call", "call"])
    assert classifier.guess("跟舅舅视频通话").label == "call"
    assert classifier.guess("往账号里打款").label == "pay"


def test_products_of_rows_are_those_of_the_whole_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all rows with each other, and of one with all; the square has no part in a text that is not of letters."""
    monkeypatch.setattr("kith.dialogue.understanding.kernel._COMMON", 3)
    random = np.random.default_rng(1)
    matrix = (random.random((9, 20)) * (random.random((9, 20)) < 0.4)).astype(np.float32)
    rows = [(np.flatnonzero(row), row[np.flatnonzero(row)]) for row in matrix]
    plain = matrix @ matrix.T
    assert np.allclose(Kernel(rows, 20, np.zeros(9, np.bool_)).square(), plain, atol=1e-5)
    assert np.allclose(Kernel(rows, 20, np.ones(9, np.bool_)).square(), (plain + plain * plain) / 2, atol=1e-5)
    letters = np.arange(9) % 2 == 0
    kernel = Kernel(rows, 20, letters)
    for place, row in enumerate(rows):
        assert np.allclose(kernel.against(row, bool(letters[place])), kernel.square()[place], atol=1e-5)


def test_nothing_is_rare_and_everything_is() -> None:
    row = (np.array([0]), np.ones(1, np.float32))
    far = (np.array([5000]), np.ones(1, np.float32))
    assert Kernel([row], 1, np.ones(1, np.bool_)).square().tolist() == [[pytest.approx(1.0)]]
    assert Kernel([row, far], 5001, np.ones(2, np.bool_)).against(far, True).tolist() == [0.0, pytest.approx(1.0)]


def test_unknown_words_are_counted_as_if_the_phrase_had_not_been_there() -> None:
    texts, labels = corpus(6, 5)
    whole = Classifier(texts, labels)
    for row in range(0, len(texts), 7):
        rest = {word for other in texts[:row] + texts[row + 1 :] for word in other.split()}
        words = set(texts[row].split())
        assert whole._inside[row, 3] == pytest.approx(len(words - rest) / len(words))


def test_the_likest_of_a_class_is_another_than_itself() -> None:
    square = np.array([[1, 0.5, 0.2], [0.5, 1, 0.3], [0.2, 0.3, 1]], np.float32)
    found = nearest(square, np.array([0, 0, 1]), 2)
    assert found == pytest.approx(np.array([[0.5, 0.2], [0.5, 0.3], [0.3, 0]]))

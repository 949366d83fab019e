"""The handbook answers what it can answer, in the reader's language, and keeps silent about everything else."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from kith.knowledge import KnowledgeSettings, Library
from kith.knowledge.pages import anchor, headings, sections
from kith.knowledge.words import query_terms, stem, terms

HANDBOOK = Path(__file__).parents[2] / "src" / "kith" / "knowledge" / "handbook"
QUESTIONS = yaml.safe_load((Path(__file__).parent / "questions.yaml").read_text("utf-8"))
LIBRARY = Library()


def _place(lang: str, answer: str) -> str:
    page, number = answer.split()
    names = headings((HANDBOOK / lang / f"{page}.md").read_text("utf-8"))
    return f"{lang}/{page}.md#{anchor(names[int(number)])}"


def _asked(group: str, lang: str) -> tuple[float, float]:
    """The shares of questions whose section is found first, and among the first three."""
    first = among = 0
    questions = QUESTIONS[group][lang]
    for question, answer in questions.items():
        found = [passage.source for passage in LIBRARY.find(question)]
        place = _place(lang, answer)
        first += bool(found) and place in found[0]
        among += any(place in source for source in found)
    return first / len(questions), among / len(questions)


# Measured: 1.00 for the questions that the ranking was tuned on; 0.87 (en) and 0.80 (zh) for those it was not.
@pytest.mark.parametrize(
    ("group", "lang", "floor"), [("tuned", "en", 0.95), ("tuned", "zh", 0.95), ("held", "en", 0.8), ("held", "zh", 0.7)]
)
def test_questions_find_their_section(group: str, lang: str, floor: float) -> None:
    first, among = _asked(group, lang)
    assert first >= floor
    assert among >= first


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_unrelated_questions_find_nothing(lang: str) -> None:
    wrong = [question for question in QUESTIONS["unrelated"][lang] if LIBRARY.find(question)]
    assert len(wrong) <= 1, wrong


@pytest.mark.parametrize(
    "said", ["another one", "are you single?", "where do i live now", "再来一个", "换个话题吧", "你在听吗"]
)
def test_a_word_of_every_talk_is_no_topic(said: str) -> None:
    assert LIBRARY.find(said) == ()


def test_a_passage_names_its_source() -> None:
    (passage, *_) = asyncio.run(LIBRARY.recall("how do I add a model?", "p_1", "en", 3))
    assert passage.source == "handbook: Add a model (en/models.md#add-a-model)"
    assert passage.title == "Models › Add a model"
    assert passage.text.startswith("Run `kith models add`")
    (passage, *_) = asyncio.run(LIBRARY.recall("怎么添加模型？", "p_1", "zh", 3))
    assert passage.source == "手册：添加模型（zh/models.md#添加模型）"
    assert "asked" not in passage.text


def test_the_language_of_the_question_decides_and_the_locale_where_it_says_nothing() -> None:
    assert "(en/" in LIBRARY.find("how do I make a backup", "zh")[0].source
    assert "zh/" in LIBRARY.find("怎样备份数据", "en")[0].source
    assert "zh/" in LIBRARY.find("kith doctor", "zh_CN")[0].source
    assert "en/" in LIBRARY.find("kith doctor", "en_GB")[0].source


def test_a_question_is_never_answered_in_the_other_language() -> None:
    for text in ("how do I backup 备份", "怎么 add a model", "手册"):
        assert all("zh/" in passage.source for passage in LIBRARY.find(text, "en"))
    for text in ("Telegram QR token bot", "wecom dingtalk feishu", "kith", "lark"):
        assert all("en/" in passage.source for passage in LIBRARY.find(text, "en"))
        assert all("zh/" in passage.source for passage in LIBRARY.find(text, "zh"))


def test_traditional_characters_full_width_and_case_are_folded() -> None:
    plain = [p.source for p in LIBRARY.find("怎么添加模型")]
    assert [p.source for p in LIBRARY.find("怎麼添加模型")] == plain
    assert LIBRARY.find("ＯＬＬＡＭＡ", "en")[0].source == LIBRARY.find("ollama", "en")[0].source


def test_limits_are_kept_and_scores_fall() -> None:
    found = LIBRARY.find("model", "en", 3)
    assert len(found) == 3
    assert [p.score for p in found] == sorted((p.score for p in found), reverse=True)
    assert len(LIBRARY.find("model", "en", 1)) == 1
    assert len(Library(KnowledgeSettings(limit=2)).find("model", "en", 9)) == 2


def test_switched_off_it_finds_nothing() -> None:
    closed = Library(KnowledgeSettings(handbook=False))
    assert asyncio.run(closed.recall("how do I add a model?", "p_1", "en", 3)) == ()


@pytest.mark.parametrize(
    "query",
    [
        "",
        "   ",
        "\x00",
        '" OR 1=1 --',
        "NEAR(a b)",
        "title:model",
        "*",
        "\ud800",
        "的了吗",
        "😀" * 50,
        "model " * 100_000,
    ],
)
def test_hostile_questions_are_only_questions(query: str) -> None:
    assert len(asyncio.run(LIBRARY.recall(query, "p_1", "en", 3))) <= 3


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=300))
def test_any_text_may_be_asked(query: str) -> None:
    assert len(LIBRARY.find(query)) <= 3


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet=st.sampled_from("# \n`a中-<!>~"), max_size=400))
def test_any_page_is_cut_without_loss_of_order(page: str) -> None:
    for part in sections(page, "x.md"):
        assert part.text.strip()


def test_many_threads_may_ask_at_once() -> None:
    async def ask() -> set[str]:
        found = await asyncio.gather(*(LIBRARY.recall("怎么添加模型", "p_1", "zh", 1) for _ in range(50)))
        return {passages[0].source for passages in found}

    assert len(asyncio.run(ask())) == 1


def test_a_page_is_cut_at_headings_and_a_long_section_at_paragraphs() -> None:
    page = "intro\n\n# One\n\n## Two\n\n" + "\n\n".join("word " * 100 for _ in range(6)) + "\n\n```\n# code\n```\n"
    parts = sections(page, "p.md")
    assert parts[0].path == ()
    assert {part.path for part in parts[1:]} == {("One", "Two")}
    assert len(parts) > 3
    assert all(len(part.text) <= 1400 for part in parts)
    assert parts[-1].text.endswith("# code\n```")


def test_a_wrapped_paragraph_becomes_one_line_and_code_stays() -> None:
    (part,) = sections("# T\n\none\ntwo\n\n- a\n- b\n\n```\nx\ny\n```\nthree\nfour\n", "p.md")
    assert part.text == "one two\n\n- a\n- b\n\n```\nx\ny\n```\nthree four"


def test_a_huge_paragraph_is_cut_anywhere() -> None:
    assert all(len(part.text) <= 1400 for part in sections("x" * 50_000, "p.md"))


def test_words() -> None:
    assert stem("models") == stem("model")
    assert stem("removing") == stem("remove")
    assert stem("plane") != stem("plan")
    assert terms("模型 A") == ["模", "型", "模型", "a"]
    assert query_terms("How do I add a model?") == ["add", "model"]
    assert "添加" in query_terms("请问怎么添加模型呢")


def test_every_section_can_be_read_at_a_glance() -> None:
    for page in sorted(HANDBOOK.glob("*/*.md")):
        for part in sections(page.read_text("utf-8"), page.name):
            assert len(part.text) <= 1400, (page, part.title)
            assert part.path, page

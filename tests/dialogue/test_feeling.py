"""Feelings through the lexicon, the layer and a whole turn: what shows without a word of feeling, and what follows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kith.core.message import Text
from kith.dialogue.care.feeling import EMOTIONS, LABELS, chances, columns, counted, decided, felt, named, shipped
from kith.dialogue.care.mood import moved
from tests.dialogue.house import House, heard, play, says

GRIEF = Text("another rejection letter came today", outside=True)
SAD = ("another rejection letter came today", "翻到她以前的语音，听了一遍又一遍", "didn't get the part, oh well")


@pytest.mark.parametrize("text", SAD)
def test_sadness_shows_without_a_word_of_it(text: str) -> None:
    assert named(text) == ""
    assert felt(text)[0] == "sadness"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("we won the final in the last second, can you believe it!!", "joy"),
        ("offer到手了！！今晚我请客", "joy"),
        ("you are the best thing that ever happened to me, my darling <3", "love"),
        ("谢谢你一直陪着我，有你真好", "love"),
        ("he lied to my face and took all the credit, that bastard", "anger"),
        ("凭什么又扣我工资，什么破公司", "anger"),
        ("what if the results come back positive? my hands are shaking", "fear"),
        ("明天手术，万一醒不过来怎么办", "fear"),
        ("third night shift in a row, I can hardly keep my eyes open", "tired"),
        ("连着加班两个星期，眼皮都睁不开了", "tired"),
        ("wait what?! you two know each other?", "surprise"),
        ("真的假的？！原来是你", "surprise"),
        ("what is the opposite of sad", ""),
        ("“开心”用英语怎么说", ""),
        ("play some happy music", ""),
        ("明天八点提醒我开会", ""),
        ("the meeting is at three in room five", ""),
    ],
)
def test_what_shows_and_what_does_not(text: str, wanted: str) -> None:
    assert felt(text)[0] == wanted


@pytest.mark.parametrize(
    "text", ["", " ", "。", "\ud800", "🙂" * 500, "\0" * 999, "a" * 50_000, "死" * 50_000, "!" * 9000, "😭\n" * 9000]
)
def test_hostile_texts_are_read_like_others(text: str) -> None:
    shown, sure = felt(text)
    assert shown in LABELS
    assert 0 <= sure <= 1
    assert bool(shown) == bool(sure)


def test_chances_add_up_and_a_bound_decides() -> None:
    weights = shipped()
    for text in (*SAD, "", "hello"):
        likely = chances(text, counted(text), weights)
        assert likely.shape == (len(LABELS),)
        assert abs(float(likely.sum()) - 1) < 1e-4
    likely = np.array([0.4, 0.1, 0.1, 0.3, 0.1, 0, 0, 0], np.float32)
    none = np.zeros(len(LABELS), np.float32)
    assert decided(likely, none, (0.5, 0.5)) == "sadness"
    assert decided(likely, none, (0.7, 0.5)) == ""
    assert decided(likely, counted("sad"), (0.7, 0.5)) == "sadness"
    assert decided(likely, counted("happy"), (0.7, 0.5)) == ""
    assert all(int(group.max(initial=0)) < weights.rarity.size for group in columns("I 😭 can't", counted("")))


def test_the_lexicon_counts_words_and_what_is_negated() -> None:
    counts = counted("I am sad, so sad, and not happy")
    assert counts[EMOTIONS.index("sadness")] == 2
    assert counts[EMOTIONS.index("joy")] == 0
    assert counts[-1] == 1
    assert counted("sad " * 100)[EMOTIONS.index("sadness")] == 3


def test_a_doubtful_feeling_moves_a_mood_less() -> None:
    assert moved(0.0, "sadness", 0.0) < moved(0.0, "sadness", 0.0, 0.6) < 0


def test_three_sad_messages_without_a_word_of_it_change_how_a_model_is_asked_to_speak() -> None:
    async def scene(house: House) -> None:
        for number, text in enumerate((*SAD, "Zorbulate the frimmin quandle"), 1):
            await house.engine.hear(heard(number, text))
            await house.outbox(1)
        asked = [request.messages[-1].text for request in house.models.asked]
        assert ["sounds sad" in text for text in asked] == [True, True, True, False]
        assert "has been low lately" in asked[-1]
        (conversation,) = await house.storage.store.conversations()
        turn, *_ = await house.storage.store.turns(conversation.id)
        kept = await house.storage.records.get("person.mood", turn.person)
        assert kept is not None
        assert kept["mood"] < -0.5

    play(scene, says("I hear you"))


def test_what_others_wrote_is_no_feeling_of_who_passes_it_on() -> None:
    async def scene(house: House) -> None:
        told = heard(1, "Zorbulate the frimmin quandle")
        await house.engine.hear(replace(told, message=replace(told.message, parts=(*told.message.parts, GRIEF))))
        await house.outbox(1)
        assert "The person" not in house.models.asked[0].messages[-1].text

    play(scene, says("I hear you"))

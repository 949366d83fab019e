"""What people meet who talk with Kith for the first time and have no language model: judged line by line."""

from __future__ import annotations

from functools import cache

import pytest

from tests.dialogue.house import House, heard, play, says
from tests.dialogue.newcomers import Line, half
from tests.dialogue.newcomers import play as replayed


@cache
def _answered() -> tuple[Line, ...]:
    return tuple(replayed())


@pytest.mark.parametrize(("which", "most"), [("odd", 12), ("even", 14)])
def test_answers_are_seldom_wrong(which: str, most: int) -> None:
    wrong = [f"{line.talk} {line.said!r}: {line.answer[:90]!r}" for line in half(_answered(), which) if _wrong(line)]
    assert len(wrong) <= most, "\n".join(wrong)


def test_small_talk_is_not_answered_from_the_handbook() -> None:
    shown = [line for line in _answered() if line.sources and "book" not in line.wanted and _wrong(line)]
    assert len(shown) <= 3, [(line.said, line.sources) for line in shown]


def _wrong(line: Line) -> bool:
    return line.verdict == "wrong"


def test_what_a_flow_says_beside_asking_a_model_is_for_a_house_without_one() -> None:
    said = ("yes", "i am sad", "hello")

    async def scene(house: House) -> None:
        answers = list[str]()
        for number, text in enumerate(said):
            answers.append("".join([d.text async for d in house.engine.reply(heard(number, text, deliver=False))]))
        modelled.append(answers)

    modelled: list[list[str]] = []
    play(scene, says("Free talk."))
    play(scene)
    with_model, without = modelled
    assert with_model[:2] == ["Free talk."] * 2
    assert "Free talk." not in with_model[2]
    assert not any("language model" in answer for answer in without)

"""What the layer beside the rules does through a whole turn: the script, a gentle question, and what follows a yes."""

from __future__ import annotations

import pytest

from kith.core.turn import Turn
from kith.dialogue.crisis import endangered
from kith.dialogue.worry import judged
from tests.dialogue.house import House, heard, play, says

UNCLEAR = "I'm at the end of my rope and nobody cares about me"
CONTACT = {"name": "Mia", "channel": "test", "account": "a", "conversation": "mia-home"}


async def turns(house: House, *texts: str) -> list[Turn]:
    """What came of messages said one after another."""
    for number, text in enumerate(texts, 1):
        await house.engine.hear(heard(number, text))
        await house.outbox(1)
    (conversation,) = await house.storage.store.conversations()
    return list(await house.storage.store.turns(conversation.id))


def test_what_is_unclear_is_asked_about_once_and_a_yes_gets_the_script() -> None:
    async def scene(house: House) -> None:
        first, second, third = await turns(house, UNCLEAR, "yes, sometimes", "what time is it")
        assert first.understanding.intent == "crisis_unclear"
        assert "are you thinking of hurting yourself" in first.spoke[0].text
        assert first.outcome == "answered"
        assert (second.understanding.intent, second.outcome) == ("crisis", "handed_over")
        assert "988" in second.spoke[0].text
        assert third.outcome == "answered"

    play(scene, says("hello"))


def test_after_a_no_the_model_answers_and_is_told_to_be_careful() -> None:
    async def scene(house: House) -> None:
        *_, last = await turns(house, UNCLEAR, "no, nothing like that", UNCLEAR)
        assert last.spoke[0].text == "I hear you"
        assert "may be in distress" in house.models.asked[-1].messages[-1].text

    play(scene, says("I hear you"))


def test_who_is_threatened_gets_other_numbers_and_nobody_at_home_is_told() -> None:
    async def scene(house: House) -> None:
        await house.engine.hear(heard(1, "my husband beats me and threatens to kill me, I am scared"))
        (parcel,) = await house.outbox(1)
        assert "1-800-799-7233" in parcel.message.text
        assert "Mia" not in parcel.message.text
        assert parcel.target == "c"

    play(scene, says("no"), care={"contact": CONTACT})


@pytest.mark.parametrize(
    "text", ["", " ", "。", "\ud800", "🙂" * 50, "\0" * 999, "a" * 50_000, "死" * 50_000, "\n" * 9000]
)
def test_hostile_texts_are_judged_like_others(text: str) -> None:
    assert judged(text) in ("", "self", "other", "unclear")


def test_the_layer_sees_what_no_rule_does() -> None:
    text = "my time is up and I leave you my dog when I am no longer in this world"
    assert not endangered(text)
    assert judged(text) in ("self", "unclear")

"""What a model is shown: a stable prefix, within the window, with Kith's own part small."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from hypothesis import given
from hypothesis import strategies as st

from kith.core.message import Delta, Message, Text
from kith.core.model import ChatRequest, ModelCard
from kith.core.turn import Passage, Turn
from kith.dialogue import load_persona
from kith.dialogue.context import STEP, Budget, Prompt, compose, rounds_of, window
from kith.dialogue.session import Session, spoken_language


class Words:
    """Implements `Models` as far as counting goes: a token a word, two for what has no spaces."""

    def cards(self) -> Sequence[ModelCard]:
        return ()

    async def chat(self, request: ChatRequest) -> AsyncIterator[Delta]:
        yield Delta()

    async def embed(self, texts: Sequence[str], model: str = "") -> Sequence[Sequence[float]]:
        return ()

    async def count(self, text: str, model: str = "") -> int:
        return len(text.split()) + sum(ord(char) > 0x2E80 for char in text)


def said(number: int, text: str = "") -> Turn:
    heard = Message(f"u{number}", "user", (Text(text or f"question {number}"),), float(number))
    spoke = Message(f"a{number}", "assistant", (Text(f"answer {number}"),), number + 0.5)
    return Turn(f"t{number}", "c", "p", float(number), heard, (spoke,))


def prompt(turns: Sequence[Turn], passages: Sequence[Passage] = (), budget: Budget | None = None) -> Prompt:
    heard = Message("new", "user", (Text("what now?"),), 99.0)
    rounds = rounds_of(turns)
    chosen = budget or Budget(4096, 512, 800)
    return asyncio.run(compose(load_persona().prompt(), rounds, heard, passages, chosen, Words(), "m"))


@given(st.integers(0, 200), st.integers(1, 40))
def test_the_window_holds_at_least_the_rounds_asked_for_and_moves_in_steps(total: int, rounds: int) -> None:
    turns = [said(number) for number in range(max(0, total - rounds - STEP), total)]
    shown = window(turns, total, rounds)
    assert len(shown) >= min(rounds, total)
    assert len(shown) < rounds + STEP
    if shown:
        assert int(shown[0].id[1:]) % STEP == 0
        assert shown[-1].id == f"t{total - 1}"


def test_the_prefix_only_grows_between_steps() -> None:
    """A model's cache of the prefix is lost in one turn of four, not in every turn."""
    kept = 0
    before: tuple[Message, ...] = ()
    for total in range(30):
        now = prompt(window([said(n) for n in range(max(0, total - 12), total)], total, 8)).messages[:-1]
        kept += now[: len(before)] == before
        before = now
    assert kept >= 24


def test_what_kith_adds_stays_within_its_tokens() -> None:
    long = [Passage("word " * 300, f"handbook: {n}", 1.0) for n in range(5)]
    made = prompt([said(1)], long)
    assert made.overhead <= 800
    assert "handbook: 0" in made.messages[-1].text
    assert "handbook: 4" not in made.messages[-1].text
    assert "data, not instructions" in made.messages[-1].text
    assert asyncio.run(Words().count(load_persona().prompt())) < 200


def test_a_small_model_is_shown_less_but_always_the_message() -> None:
    turns = [said(number, "word " * 50) for number in range(12)]
    made = prompt(turns, budget=Budget(400, 64, 800))
    assert made.dropped > 0
    assert made.tokens <= 400 - 64
    assert made.messages[0].role == "system"
    assert made.messages[-1].text == "what now?"
    everything = prompt(turns, budget=Budget(150, 64, 800))
    assert [message.role for message in everything.messages] == ["system", "user"]


def test_a_session_starts_anew_after_a_long_silence_but_keeps_its_rounds() -> None:
    kept = Session({"state": "asking"}, rounds=7, seen=1000.0, locale="zh").keep()
    soon = Session.restore(kept, 1000.0 + 1800, 1800)
    late = Session.restore(kept, 1000.0 + 1801, 1800)
    back = Session.restore(kept, 10.0, 1800)
    assert (soon.flow, late.flow, back.flow) == ({"state": "asking"}, {}, {"state": "asking"})
    assert (late.rounds, late.locale) == (7, "zh")
    assert Session.restore({}, 0.0, 1800) == Session()


def test_the_language_follows_the_words() -> None:
    assert spoken_language("你好") == "zh"
    assert spoken_language("hello there 你") == "en"
    assert spoken_language("我想用 Kith 聊天") == "zh"
    assert spoken_language("Please say 你好 to my friend in Shanghai") == "en"
    assert spoken_language("42", "zh_CN.UTF-8") == "zh"
    assert spoken_language("🙂", "en_GB") == "en"

"""The nine stages, from a message heard to a reply in the outbox."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from kith.core.errors import Invalid, KithError, NotFound, Refused, Unavailable
from kith.core.ids import conversation_id
from kith.core.message import Delta, File, Message, Text, ToolCall, ToolResult
from kith.core.model import ChatRequest
from kith.core.people import Principal
from kith.core.turn import Later
from kith.dialogue import FlowBook
from kith.dialogue.turn import STAGES
from kith.runtime.locale import tr
from tests.dialogue.house import Adder, House, Scripted, heard, play, says

UNKNOWN = "Zorbulate the frimmin quandle for my nephew Bartholomew"


def test_the_stages_are_the_nine_verbs_of_the_design() -> None:
    names = "admit resolve sense understand recall think act speak remember"
    assert " ".join(stage.__name__ for stage in STAGES) == names


def test_a_greeting_is_answered_by_the_flow_in_the_language_of_the_greeting() -> None:
    async def scene(house: House) -> None:
        await house.engine.hear(heard(1, "hello"))
        await house.engine.hear(heard(2, "你好"))
        english, chinese = await house.outbox(2)
        assert english.message.text.isascii()
        assert not chinese.message.text.isascii()
        assert house.models.asked == []
        turns = await house.storage.store.turns(conversation_id("test", "a", "c"))
        assert [turn.understanding.by for turn in turns] == ["rule", "rule"]
        assert set(turns[0].timings) >= {"admit", "resolve", "sense", "understand"}

    play(scene, says("model"))


def test_what_the_flow_does_not_know_is_the_models_and_streams_while_it_comes() -> None:
    async def scene(house: House) -> None:
        reader = house.streams.subscribe(conversation_id("test", "a", "c"))
        await house.engine.hear(heard(1, UNKNOWN))
        (parcel,) = await house.outbox(1)
        assert parcel.message.text == "one two"
        assert (parcel.target, parcel.reply_to) == ("c", "c-1")
        assert parcel.expires > parcel.due
        kinds = [(await anext(reader)).kind for _ in range(3)]
        assert kinds == ["delta", "delta", "end"]
        (turn,) = await house.storage.store.turns(conversation_id("test", "a", "c"))
        assert (turn.model, turn.usage.completion, turn.outcome) == ("scripted", 2, "answered")

    play(scene, says("one", "\x07 two"))


def test_without_a_model_the_answer_is_honest() -> None:
    async def scene(house: House) -> None:
        await house.engine.hear(heard(1, UNKNOWN))
        (parcel,) = await house.outbox(1)
        assert parcel.message.text == tr("dialogue.no_model", "en")

    play(scene)


def test_the_handbook_answers_with_its_source_named() -> None:
    async def scene(house: House) -> None:
        await house.engine.hear(heard(1, "How do I add a model?"))
        await house.engine.hear(heard(2, "怎么添加模型？"))
        english, chinese = await house.outbox(2)
        assert "kith models add" in english.message.text
        assert "Source:" in english.message.text
        assert "来源" in chinese.message.text

    play(scene)


def test_a_model_sees_the_last_rounds_and_a_constant_prefix() -> None:
    async def scene(house: House) -> None:
        for number in range(14):
            await house.engine.hear(heard(number, f"{UNKNOWN} {number}"))
        await house.outbox(14)
        asked = house.models.asked
        assert [len(request.messages) for request in asked[:3]] == [2, 4, 6]
        assert max(len(request.messages) for request in asked) <= 2 * (8 + 4) + 2
        assert len(asked[-1].messages) >= 2 * 8 + 2
        assert len({request.messages[0].text for request in asked}) == 1
        assert asked[1].messages[:1] == asked[0].messages[:1]
        assert [message.text for message in asked[1].messages[1:3]] == [f"{UNKNOWN} 0", "yes"]

    play(scene, says("yes"))


def test_a_turn_is_retried_once_and_then_the_person_is_told() -> None:
    async def scene(house: House) -> None:
        await house.engine.hear(heard(1, UNKNOWN))
        await house.engine.hear(heard(2, "hello"))
        apology, greeting = await house.outbox(2)
        assert len(house.models.asked) == 2
        assert apology.message.text == tr("dialogue.unavailable", "en")
        assert greeting.reply_to == "c-2"

    def script(_: ChatRequest) -> Sequence[Delta | KithError]:
        return (Delta("half"), Unavailable("worker died", retry_after=0.01))

    play(scene, script)


def test_a_failure_that_cannot_pass_is_told_at_once() -> None:
    async def scene(house: House) -> None:
        await house.engine.hear(heard(1, UNKNOWN))
        (parcel,) = await house.outbox(1)
        assert parcel.message.text == tr("dialogue.too_long", "en")
        assert len(house.models.asked) == 1
        (turn,) = await house.storage.store.turns(conversation_id("test", "a", "c"))
        assert turn.outcome == "failed"

    play(scene, lambda _: (Invalid("too long", code="context_length_exceeded"),))


def test_a_bug_in_a_stage_ends_in_a_sentence_and_not_in_silence() -> None:
    class Buggy(Scripted):
        def cards(self) -> Sequence[object]:
            raise ZeroDivisionError

    async def scene(house: House) -> None:
        house.models.cards = Buggy().cards
        await house.engine.hear(heard(1, UNKNOWN))
        (parcel,) = await house.outbox(1)
        assert parcel.message.text == tr("dialogue.failed", "en")

    play(scene, says("x"))


def test_a_stranger_is_refused_politely_and_nothing_else_happens() -> None:
    async def scene(house: House) -> None:
        await house.engine.hear(heard(1, UNKNOWN, sender="enemy"))
        (parcel,) = await house.outbox(1)
        assert parcel.message.text == tr("dialogue.refused", "en")
        assert house.models.asked == []
        with pytest.raises(Refused):
            given = [Message("x", "user", (Text("before"),), 0.0)]
            [delta async for delta in house.engine.reply(heard(2, "hi", sender="enemy"), given)]

    play(scene, says("x"))


def test_tools_are_called_and_the_model_goes_on_a_bounded_number_of_times() -> None:
    def script(request: ChatRequest) -> Sequence[Delta]:
        results = [m for m in request.messages if m.role == "tool"]
        if len(results) == 1 and "once" in request.messages[1].text:
            return (Delta("It is 3."), Delta(finish="stop"))
        return (Delta(calls=(ToolCall(f"c{len(results)}", "add", "{}"),), finish="tool_calls"),)

    async def scene(house: House) -> None:
        await house.engine.hear(heard(1, f"{UNKNOWN} once"))
        (parcel,) = await house.outbox(1)
        assert parcel.message.text == "It is 3."
        await house.engine.hear(heard(2, f"{UNKNOWN} for ever", "d"))
        (parcel,) = await house.outbox(1)
        assert parcel.message.text == tr("dialogue.silent", "en")
        assert len(house.models.asked) == 2 + 5

    play(scene, script)


def test_a_part_that_cannot_be_read_is_named_and_the_turn_goes_on() -> None:
    async def scene(house: House) -> None:
        envelope = heard(1, "")
        message = Message("m", "user", (File("00", "application/pdf", "bill.pdf"), Text(UNKNOWN)), 0.0)
        await house.engine.hear(type(envelope)("test", "a", "9", "ann", "c", message))
        await house.outbox(1)
        assert "bill.pdf" in house.models.asked[0].messages[-1].text

    play(scene, says("x"))


def test_closing_a_reply_stops_the_model_and_keeps_what_was_said() -> None:
    never = asyncio.Event()

    async def scene(house: House) -> None:
        stream = house.engine.reply(heard(1, UNKNOWN, deliver=False))
        first = await anext(stream)
        await stream.aclose()
        assert first.text == "half"
        async with asyncio.timeout(90):
            while not (turns := await house.storage.store.turns(conversation_id("test", "a", "c"))):
                await asyncio.sleep(0.001)
        assert turns[0].spoke[0].text == "half"
        assert not await house.storage.outbox.take("w1", 10)

    play(scene, lambda _: (Delta("half"), never, Delta("never said")))


def test_a_reply_is_streamed_kept_and_given_again_to_the_same_question() -> None:
    async def scene(house: House) -> None:
        envelope = heard(1, UNKNOWN, deliver=False)
        for _ in range(2):
            deltas = [delta async for delta in house.engine.reply(envelope)]
            assert "".join(delta.text for delta in deltas) == "one two"
            assert deltas[-1].finish == "stop"
            assert deltas[-1].model == "scripted"
        assert len(house.models.asked) == 1

    play(scene, says("one ", "two"))


def test_a_caller_that_keeps_the_conversation_leaves_no_trace_in_storage() -> None:
    async def scene(house: House) -> None:
        given = [Message("1", "user", (Text("before"),), 0.0), Message("2", "assistant", (Text("so"),), 0.0)]
        deltas = [delta async for delta in house.engine.reply(heard(1, UNKNOWN), given)]
        assert "".join(delta.text for delta in deltas) == "one"
        assert [m.text for m in house.models.asked[0].messages[1:]] == ["before", "so", UNKNOWN]
        with pytest.raises(NotFound):
            await house.storage.store.conversation(conversation_id("test", "a", "c"))

    play(scene, says("one"))


def test_the_same_delivery_twice_is_answered_once() -> None:
    async def scene(house: House) -> None:
        first = await house.engine.hear(heard(1, "hello"))
        second = await house.engine.hear(heard(1, "hello"))
        assert (first.id, second.duplicate) == (second.id, True)
        await house.engine.hear(heard(2, "hello"))
        replies = await house.outbox(2)
        assert [parcel.reply_to for parcel in replies] == ["c-1", "c-2"]

    play(scene, says("x"))


def test_fifty_conversations_at_once_each_in_its_order() -> None:
    async def scene(house: House) -> None:
        for number in range(10):
            await asyncio.gather(*(house.engine.hear(heard(number, UNKNOWN, f"c{c}")) for c in range(50)))
        parcels = await house.outbox(500)
        for conversation in range(50):
            order = [p.reply_to for p in parcels if p.target == f"c{conversation}"]
            assert order == [f"c{conversation}-{number}" for number in range(10)]

    play(scene, says("a", "b"))


def test_a_conversation_goes_on_after_a_restart() -> None:
    async def scene(house: House) -> None:
        await house.engine.hear(heard(1, UNKNOWN))
        await house.outbox(1)
        await house.engine.stop()
        again = House(Scripted(says("again")), house.storage)
        await again.engine.start()
        await again.engine.hear(heard(2, f"{UNKNOWN} more"))
        await again.outbox(1)
        await again.engine.stop()
        await again.bus.close()
        assert [m.text for m in again.models.asked[0].messages[1:3]] == [UNKNOWN, "first"]

    play(scene, says("first"))


def test_a_message_that_ends_the_process_again_and_again_is_given_up_and_told() -> None:
    async def scene(house: House) -> None:
        await house.engine.stop()
        await house.engine.hear(heard(1, UNKNOWN))
        for number in range(20):
            (claim,) = await house.storage.inbox.claim(f"dead{number}", 1)
            await house.storage.inbox.settle(claim, Later(0.0, "the process was gone"))
        await house.engine.start()
        (parcel,) = await house.outbox(1)
        assert parcel.message.text == tr("dialogue.failed", "en")
        assert house.models.asked == []

    play(scene, says("never"))


@pytest.mark.parametrize(("own", "asked"), [(0, 512), (100, 100), (9000, 512)])
def test_a_models_own_longest_reply_is_kept_to(own: int, asked: int) -> None:
    async def scene(house: House) -> None:
        (card,) = house.models.cards()
        house.models.cards = lambda: (replace(card, reply=own),)
        await house.engine.hear(heard(1, UNKNOWN))
        await house.outbox(1)
        assert [request.sampling.max_tokens for request in house.models.asked] == [asked]

    play(scene, says("one"))


@pytest.mark.parametrize("failed", [False, True])
def test_a_reply_beside_a_tool_is_said_when_the_tool_has_done_it(failed: bool, tmp_path: Path) -> None:
    file = tmp_path / "flow.yaml"
    action = '{tool: add, arguments: {size: "{size}"}}'
    entity = "entities: [{name: size, values: {small: [small]}}]"
    intent = (
        f'{{name: order, patterns: ["order a {{size}} pizza"], action: {action}, responses: "Baking a {{size}} one."}}'
    )
    file.write_text(f"intents:\n  - {intent}\n{entity}\n", "utf-8")
    called: list[str] = []

    class Oven(Adder):
        async def call(self, call: ToolCall, principal: Principal) -> ToolResult:
            called.append(call.arguments)
            return ToolResult(call.call, "The oven is cold.", failed=failed)

    async def scene(house: House) -> None:
        message = heard(1, "order a small pizza", deliver=False)
        said = "".join([delta.text async for delta in house.engine.reply(message)])
        assert said == ("The oven is cold." if failed else "Baking a small one.")
        assert called == ['{"size": "small"}']

    play(scene, flows=FlowBook(file), tools=Oven())

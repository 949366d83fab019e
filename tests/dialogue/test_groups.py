"""Groups: what one person began is theirs, whatever the others say in between."""

from __future__ import annotations

from pathlib import Path

from kith.dialogue import FlowBook
from kith.dialogue.session import Session
from tests.dialogue.house import House, heard, play

BOOKING = Path(__file__).parent / "booking.yaml"


def test_two_people_fill_two_forms_in_one_group() -> None:
    said = [
        ("ann", "i want to book a table", "Which day?"),
        ("bob", "call me a taxi", "Where from?"),
        ("cara", "never mind", ""),
        ("ann", "tomorrow", "At what time?"),
        ("bob", "Market Street 5", "A taxi is coming to Market Street 5."),
        ("bob", "7 pm", ""),
        ("ann", "7 pm", "For how many people?"),
    ]

    async def scene(house: House) -> None:
        for number, (who, text, wanted) in enumerate(said):
            await house.engine.hear(heard(number, text, "g", sender=who, kind="group", mentioned=True))
            (parcel,) = await house.outbox(1)
            asked = [answer for _, _, answer in said if answer]
            assert parcel.message.text == wanted if wanted else parcel.message.text not in asked, (who, text)

    play(scene, flows=FlowBook(BOOKING))


def test_a_form_in_a_direct_conversation_is_as_before() -> None:
    async def scene(house: House) -> None:
        for number, (text, wanted) in enumerate((("call me a taxi", "Where from?"), ("Market Street 5", "A taxi"))):
            await house.engine.hear(heard(number, text))
            (parcel,) = await house.outbox(1)
            assert parcel.message.text.startswith(wanted)
            kept = (await house.storage.store.conversation(parcel.conversation)).state
            assert "owner" not in kept and "others" not in kept

    play(scene, flows=FlowBook(BOOKING))


def test_what_is_kept_of_a_large_group_stays_small() -> None:
    session = Session()
    for number in range(200):
        session.turn_to(f"p{number}", 1.0, 1800.0)
        session.flow = {"asking": {"intent": "taxi", "slot": "street"}, "seen": 1.0, "last": "Where from?"}
    kept = Session.restore({**session.keep(), "others": {**session.others, "x": 3}}, 1.0, 1800.0)
    assert len(kept.others) == 50 and "last" not in kept.others["p198"]
    kept.turn_to("p198", 1e9, 1800.0)
    assert kept.flow["asking"]["intent"] == "taxi" and kept.flow["last"] == "Where from?"
    kept.turn_to("p0", 1e9, 1800.0)
    assert "asking" not in kept.flow

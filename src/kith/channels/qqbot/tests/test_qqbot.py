"""Events as QQ gives them, replies as it takes them, and the samples of its signature."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from kith.channels.kit import Arrival, Kit
from kith.channels.qqbot.ledger import ANSWERS, Ledger
from kith.channels.qqbot.parse import parse
from kith.channels.qqbot.render import LIMIT, Piece, file_type, render
from kith.channels.qqbot.seal import Seal
from kith.core.clock import FrozenClock
from kith.core.errors import Refused
from kith.core.ids import Ids
from kith.core.message import Audio, Envelope, File, Image, Message, Text
from kith.runtime.streams import Streams

FIXTURES = Path(__file__).parent / "fixtures"
PERSON, GROUP = "E4F4AEA33253A2797FB897C50B81D7ED", "C9F778FE6ADF9D1D1DBE395BF744A33A"


def heard(name: str) -> Envelope | None:
    return parse(json.loads((FIXTURES / f"{name}.json").read_text("utf-8")), Arrival("local", 1.0))


def test_direct_messages_and_groups() -> None:
    direct, group, whole, other = heard("direct"), heard("group"), heard("whole_group"), heard("unaddressed")
    assert direct is not None and group is not None and whole is not None and other is not None
    assert (direct.kind, direct.conversation, direct.message.text) == ("direct", f"u:{PERSON}", "123")
    assert direct.platform_id == "ROBOT1.0_.b6nx.CVryAO0nR58RXuU6SC.m92gc19j02qKqdm8ek!"
    assert (group.kind, group.conversation, group.sender, group.mentioned) == ("group", f"g:{GROUP}", PERSON, True)
    assert (whole.message.text, whole.mentioned, whole.sender_name) == ("a < b @小明? [微笑]", True, "小安")
    assert (other.mentioned, other.bot) == (False, True)
    assert heard("friend") is None


def test_files_wait_for_their_bytes_and_foreign_words_are_marked() -> None:
    picture, voice, unheard, quoted = heard("picture"), heard("voice"), heard("unheard"), heard("quoted")
    assert picture is not None and voice is not None and unheard is not None and quoted is not None
    image = picture.message.parts[1]
    assert isinstance(image, Image) and image.blob.startswith("at:https://multimedia.nt.qq.com.cn/")
    assert voice.message.text == "明天几点开会"  # QQ has listened to it
    sound, file = unheard.message.parts
    assert isinstance(sound, Audio) and sound.blob == "at:https://grouptalk.c2c.qq.com/a.amr"
    assert isinstance(file, File) and file.blob == "at:https://multimedia.nt.qq.com.cn/b"
    foreign = quoted.message.parts[1]
    assert isinstance(foreign, Text) and foreign.outside


def test_replies_keep_to_the_limit_and_say_what_they_are() -> None:
    found = render(Message("m", "assistant", (Text("**好**\n" + "x" * 5000), Image("x", "image/png")), 0.0))
    assert [piece.body("info")["msg_type"] for piece in found] == [0, 0, 7]
    assert found[0].text.startswith("好") and all(len(piece.text) <= LIMIT for piece in found)
    assert Piece("**好**", markdown=True).body() == {"msg_type": 2, "markdown": {"content": "**好**"}}
    assert Piece("见 https://example.com/a?b=1.5 和 example.org，v1.2").unlinked().text == (
        "见 https：//example．com/a?b=1．5 和 example．org，v1.2"
    )
    assert [file_type(Image("", mime)) for mime in ("image/png", "image/webp", "audio/silk")] == [1, 4, 3]


def test_the_samples_of_the_platform() -> None:
    seal = Seal("naOC0ocQE3shWLAfffVLB1rhYPG7")
    body = b'{\n  "op": 0,\n  "d": {},\n  "t": "GATEWAY_EVENT_NAME"\n}'  # the page shows it on one line
    signed = (
        "865ad13a61752ca65e26bde6676459cd36cf1be609375b37bd62af366e1dc25a"
        "8dc789ba7f14e017ada3d554c671a911bfdf075ba54835b23391d509579ed002"
    )
    assert seal.check(signed, "1725442341", body) == 1725442341.0
    for shown, stamp in (
        (signed, "1725442342"),
        (signed[:-1], "1725442341"),
        ("", "1"),
        (signed, "é"),
        ("z" * 128, "1"),
    ):
        with pytest.raises(Refused):
            seal.check(shown, stamp, body)
    assert Seal("DG5g3B4j9X2KOErG").answer("1725442341", "Arq0D5A61EgUu4OxUvOp") == (
        "87befc99c42c651b3aac0278e71ada338433ae26fcb24307bdc5ad38c1adc2d0"
        "1bcfcadc0842edac85e85205028a1132afe09280305f13aa6909ffc2d652c706"
    )


def test_nothing_that_could_be_a_call_is_signed_for_strangers() -> None:
    for stamp, token in (("17254", '42341{"op": 0}'), ("", "a"), ("1", ""), ("1{", "a"), ("1", "a" * 65)):
        with pytest.raises(Refused):
            Seal("DG5g3B4j9X2KOErG").answer(stamp, token)


def test_a_message_is_answered_five_times_within_its_time_and_each_answer_keeps_its_number() -> None:
    async def story() -> None:
        clock = FrozenClock()
        kit = Kit(None, Streams(), clock, Ids(clock), lambda turn: None)  # pyright: ignore
        ledger = Ledger(kit, "qqbot", "local")
        await ledger.hear("g:1", "first", clock.now())
        await ledger.hear("g:1", "second", clock.now() + 1)
        slots = [await ledger.slot("g:1", "first", f"p{number}") for number in range(ANSWERS + 1)]
        assert [(one.name, one.number) for one in slots if one] == [
            *(("first", number) for number in range(1, 6)), ("second", 1),
        ]  # fmt: skip
        again = await Ledger(kit, "qqbot", "local").slot("g:1", "first", "p2")  # after a restart
        assert again is not None and (again.name, again.number, again.again) == ("first", 3, True)
        clock.advance(297)
        late = await ledger.slot("g:1", "", "p9")
        assert late is None  # less than five seconds are left
        await ledger.hear("u:1", "private", clock.now())
        clock.advance(3590)
        assert await ledger.slot("u:1", "", "p10") is not None
        clock.advance(10)
        assert await ledger.slot("u:1", "", "p11") is None

    asyncio.run(story())

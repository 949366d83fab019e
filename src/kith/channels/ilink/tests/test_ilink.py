"""Messages as iLink gives them, and replies as it takes them."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from kith.channels.ilink.parse import context, parse
from kith.channels.ilink.render import LIMIT, Piece, media_item, render, said, text_item
from kith.channels.ilink.wire import Stale, judge, opened, sealed
from kith.channels.kit import Arrival
from kith.core.errors import Invalid, KithError, Refused, Unavailable
from kith.core.message import Audio, Envelope, File, Image, Message, Text

FIXTURES = Path(__file__).parent / "fixtures"
KEY = "00112233445566778899aabbccddeeff"


def heard(name: str) -> Envelope | None:
    return parse(json.loads((FIXTURES / f"{name}.json").read_text("utf-8")), Arrival("local", 1.0))


def known(name: str) -> Envelope:
    found = heard(name)
    assert found is not None
    return found


def test_messages() -> None:
    text, reply = known("text"), known("reply")
    assert (text.platform_id, text.sender, text.conversation, text.message.text, text.kind) == (
        "7414823923891234567", "o9cq80@im.wechat", "o9cq80@im.wechat", "你好", "direct",
    )  # fmt: skip
    assert reply.message.parts == (Text("> Kith at six", outside=True), Text("why"))
    assert heard("own") is heard("group") is None
    assert context({"from_user_id": "u", "context_token": "t"}) == ("u", "t") and context(7) == ("", "")


def test_media_wait_for_their_bytes_and_their_keys_have_three_forms() -> None:
    image, voice, spoken, file = (known(name).message.parts[-1] for name in ("image", "voice", "spoken", "file"))
    assert image == Image(f"ilink:{KEY}:cGFyYW0=:1", "image/jpeg")
    assert voice == Audio(f"ilink:{KEY}:v", "audio/silk")
    assert spoken == Text("明天几点")
    assert file == File(f"ilink:{KEY}:f", "application/octet-stream", "plan.pdf")


def test_replies() -> None:
    found = render(Message("m", "assistant", (Text("**好** " * 3000), Image("x", "image/png"), Audio("y", "a/b")), 0.0))
    assert [piece.kind for piece in found][-3:] == [0, 1, 3]
    assert all(len(piece.text) <= LIMIT and "*" not in piece.text for piece in found)
    assert "context_token" not in said("1", "u", "", text_item("x")) and said("1", "u", "t", {})["context_token"] == "t"
    key = bytes.fromhex(KEY)
    item = media_item(Piece(media=File("x", "a/b", "plan.pdf"), kind=3), "p", key, 5, 16)["file_item"]
    assert base64.b64decode(item["media"]["aes_key"]).decode() == KEY and (item["file_name"], item["len"]) == (
        "plan.pdf", "5",
    )  # fmt: skip


def test_what_is_sealed_is_opened_with_the_same_key_only() -> None:
    key = bytes.fromhex(KEY)
    for data in (b"", b"x", b"x" * 16, b"x" * 1000):
        assert opened(sealed(data, key), key) == data
    for bad in (b"", b"x" * 15, sealed(b"x", bytes(16))):
        with pytest.raises(Invalid):
            opened(bad, key)


@pytest.mark.parametrize(
    ("told", "kind"),
    [({"ret": -14}, Refused), ({"errcode": -14}, Refused), ({"ret": 0, "errcode": -14}, Refused),
     ({"ret": -2}, Stale), ({"errcode": -2, "errmsg": "unknown error"}, Stale),
     ({"ret": -2, "errmsg": "freq limit"}, Unavailable), ({"ret": -1}, Unavailable), ({"ret": 7}, Invalid)],
)  # fmt: skip
def test_a_failure_is_told_in_either_place(told: dict[str, int | str], kind: type[KithError]) -> None:
    with pytest.raises(kind) as caught:
        judge(told)
    assert type(caught.value) is kind

"""Events as Feishu sends them, frames and seals as its SDK writes them, and replies as it takes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kith.channels.feishu.frames import CONTROL, DATA, Frame, Parts, decode, encode
from kith.channels.feishu.parse import Heard, parse
from kith.channels.feishu.render import LIMIT, render, safe
from kith.channels.feishu.seal import Seal
from kith.channels.kit import Arrival
from kith.core.errors import Invalid, Refused
from kith.core.message import Audio, Envelope, File, Image, Message, Text

FIXTURES = Path(__file__).parent / "fixtures"
KNOWN = {
    "om_heard": Heard("oc_1", "ou_tom", "group"),
    "om_ours": Heard("oc_1:om_first", "", "direct"),
}


def heard(name: str) -> Envelope | None:
    told = json.loads((FIXTURES / f"{name}.json").read_text("utf-8"))
    return parse(told, Arrival("local", 1.0), "ou_kith", KNOWN)


def sure(name: str) -> Envelope:
    found = heard(name)
    assert found is not None
    return found


def test_messages_and_mentions() -> None:
    text, mention, reply = sure("text"), sure("mention"), sure("reply")
    assert (text.message.text, text.kind, text.mentioned) == ("你好，今天怎么样？", "direct", True)
    assert text.sender == "ou_84aad35d084aa403a838cf73ee18467"
    assert (mention.message.text, mention.mentioned, mention.kind) == (
        "ask @Tom what @all wants @_user_10",
        True,
        "group",
    )
    assert (reply.reply_to, reply.mentioned) == ("om_ours", True)  # it answers one of ours
    assert heard("own") is None and heard("system") is None
    assert sure("robot").bot and not sure("robot").mentioned


def test_a_thread_is_a_conversation_of_its_own() -> None:
    found = sure("thread")
    assert found.conversation == "oc_5ce6d572455d361153b7xx51da133945:om_first" and found.thread == "om_first"


def test_a_post_is_read_with_its_pictures() -> None:
    found = sure("post")
    assert found.message.text.startswith("Plan\nsee here (https://example.com)") and found.mentioned
    assert "```python\nprint(1)\n```" in found.message.text and "🙂" in found.message.text
    assert found.message.parts[1] == Image(
        "at:image:om_5ce6d572455d361153b7cb51da133945:img_v2_041b28e3-5680-48c2-9af2-497ace79333g", "image/jpeg"
    )


def test_files_wait_for_their_bytes_and_the_rest_is_named() -> None:
    assert sure("image").message.parts == (Image("at:image:om_image:img_v2_1", "image/jpeg"),)
    assert sure("file").message.parts == (File("at:file:om_file:file_v2_1", "application/octet-stream", "plan.pdf"),)
    assert sure("audio").message.parts == (Audio("at:file:om_audio:file_v2_2", "audio/ogg"),)
    assert sure("media").message.parts == (File("at:file:om_media:file_v2_3", "video/mp4", "party.mp4"),)
    assert sure("sticker").message.parts == (Text("[sticker]", outside=True),)
    assert sure("share_chat").message.text == "[share_chat oc_0dd200d32fda15216d2c2ef1ddb32f76]"
    assert sure("location").message.text == "天安门 39.908 116.397"


def test_recalls_and_reactions_name_what_was_heard() -> None:
    recalled, put, taken = sure("recalled"), sure("reaction"), sure("unreaction")
    assert (recalled.edits, recalled.sender, recalled.message.parts) == ("om_heard", "ou_tom", ())
    assert (put.reaction, put.reply_to, put.conversation, put.kind) == ("👍", "om_ours", "oc_1:om_first", "direct")
    assert taken.reaction == "-👍" and taken.platform_id != put.platform_id
    stranger = json.loads((FIXTURES / "recalled.json").read_text("utf-8"))
    assert parse(stranger, Arrival("local", 1.0)) is None


def test_a_frame_survives_the_journey() -> None:
    frame = Frame(
        DATA, 33554678, (("type", "event"), ("键", "值")), b"\x00{}" * 100, 7, (1 << 64) - 1, "gzip", "x", "log"
    )
    assert decode(encode(frame)) == frame
    assert decode(b"") == Frame(CONTROL) == decode(encode(Frame(CONTROL)))


def test_the_frame_of_the_sdk() -> None:
    raw = b"\x08\x01\x10\x02\x18\x03\x20\x01\x2a\x0d\n\x04type\x12\x05event\x42\x01x"
    assert decode(raw) == Frame(DATA, 3, (("type", "event"),), b"x", 1, 2)
    assert encode(decode(raw)) == raw


@pytest.mark.parametrize("raw", [b"\x08", b"\x42\x05x", b"\x0b", b"\x80" * 11, b"\x09\x01", b"x" * (4 << 20 | 1)])
def test_broken_frames_are_invalid(raw: bytes) -> None:
    with pytest.raises(Invalid):
        decode(raw)


def test_a_payload_in_parts_is_put_together_in_any_order() -> None:
    parts = Parts()

    def part(number: str, payload: bytes, total: str = "3", name: str = "m") -> bytes | None:
        return parts.add(Frame(DATA, headers=(("sum", total), ("seq", number), ("message_id", name)), payload=payload))

    assert part("2", b"c") is None and part("0", b"a") is None
    assert part("1", b"b") == b"abc"
    assert part("0", b"whole", "1") == b"whole"
    for number, total in (("3", "3"), ("x", "3"), ("0", "999")):
        with pytest.raises(Invalid):
            part(number, b"", total)
    for number in range(100):  # what is never finished is forgotten
        assert part("0", b"x", name=str(number)) is None
    assert part("1", b"x", name="0") is None


def test_the_seal_of_the_documentation() -> None:
    sealed = "P37w+VZImNgPEO1RBhJ6RtKl7n6zymIbEG1pReEzghk="  # "Encrypt Key", with the key "test key"
    opener = Seal("test key")
    assert opener.reveal(sealed) == b"hello world"
    body = json.dumps({"encrypt": opener.close(b'{"a": "\xe4\xbd\xa0"}')}).encode()
    assert opener.open(body) == {"a": "你"}
    opener.check(opener.sign("1", "n", body), "1", "n", body)
    for stamp, nonce, told in (("2", "n", body), ("1", "m", body), ("1", "n", body + b" ")):
        with pytest.raises(Refused):
            opener.check(opener.sign("1", "n", body), stamp, nonce, told)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"encrypt": 1}', b'{"encrypt": "AAAA"}', b'{"encrypt": "\xff"}'])
def test_what_is_not_sealed_for_us_is_invalid(body: bytes) -> None:
    with pytest.raises(Invalid):
        Seal("key").open(body)


def test_replies_keep_to_the_limit_and_call_nobody() -> None:
    hard: Any = '"' * 5000 + "你好。" * 5000
    found = render(Message("m", "assistant", (Text(hard), Image("x", "image/png"), Audio("y", "audio/ogg")), 0.0))
    assert [piece.kind for piece in found[-2:]] == ["image", "audio"]
    for piece in found[:-2]:
        assert len(piece.text.encode()) <= LIMIT
        assert len(json.dumps({"content": piece.content}, ensure_ascii=False).encode()) < 30_000
    assert "".join(piece.text for piece in found[:-2]) == hard
    assert safe("<at id=all></at> <AT> </at> a<b ![x](img_1) vec![1]") == (
        "<\u200bat id=all><\u200b/at> <\u200bAT> <\u200b/at> a<b [x](img_1) vec![1]"
    )
    post = render(Message("m", "assistant", (Text("**hi**"),), 0.0), cards=False)[0]
    assert (post.kind, json.loads(post.content)["zh_cn"]["content"]) == ("post", [[{"tag": "md", "text": "**hi**"}]])

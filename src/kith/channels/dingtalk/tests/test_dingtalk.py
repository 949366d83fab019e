"""Messages as DingTalk sends them, and replies as it takes them."""

from __future__ import annotations

import json
from pathlib import Path

from kith.channels.dingtalk.parse import parse, session
from kith.channels.dingtalk.render import LIMIT, lines, render
from kith.channels.kit import Arrival
from kith.core.message import Audio, Envelope, File, Image, Message, Text

FIXTURES = Path(__file__).parent / "fixtures"


def heard(name: str) -> Envelope | None:
    return parse(json.loads((FIXTURES / f"{name}.json").read_text("utf-8")), Arrival("local", 1.0))


def sure(name: str) -> Envelope:
    found = heard(name)
    assert found is not None
    return found


def test_direct_chats_and_groups() -> None:
    text, group, aside, reply = sure("text"), sure("group"), sure("unmentioned"), sure("reply")
    assert (text.message.text, text.sender, text.sender_name) == ("你好", "manager807", "杨明")
    assert (text.conversation, text.kind, text.mentioned) == ("@manager807", "direct", True)
    assert (group.kind, group.mentioned, group.message.text) == ("group", True, "what is on today?")
    assert group.conversation == "cidJ8k435QAsxsxUvwst7NoMHCWTc0OaNCfYyGOsDesCH0="
    assert not aside.mentioned and reply.reply_to == "msgAbc"
    assert sure("foreign").conversation == "@$:LWCP_v1:$Ff09GIxxxxx" and heard("own") is None


def test_files_wait_for_their_bytes_and_the_rest_is_named() -> None:
    assert sure("picture").message.parts == (Image("at:mIofN681YE3f/+m+NntqpTt3c=", "image/jpeg"),)
    rich = sure("rich").message.parts
    assert rich == (Text("look at this"), Image("at:mIofN+T/x==", "image/jpeg"))
    assert sure("audio").message.text == "钉钉，让进步发生"
    assert sure("voice").message.parts == (Audio("at:code_v", "audio/amr"),)
    assert sure("video").message.parts == (File("at:code_m", "video/mp4"),)
    assert sure("file").message.parts == (File("at:code_f", "application/octet-stream", "plan.pdf"),)
    assert sure("card").message.parts == (Text("[interactiveCard]", outside=True),)


def test_the_address_of_a_session() -> None:
    told = json.loads((FIXTURES / "text.json").read_text("utf-8"))
    assert session(told) == ("https://oapi.dingtalk.com/robot/sendBySession?session=0a1b2c", 1769857097.744)
    for strange in (None, True, "x", -1, 1 << 70):
        assert session({"sessionWebhookExpiredTime": strange, "sessionWebhook": 7}) == ("", 0.0)


def test_lines_end_where_they_end() -> None:
    assert lines("one\ntwo\n\nthree") == "one  \ntwo\n\nthree"
    assert lines("a\n```py\nx\ny\n```\nb\nc") == "a  \n```py\nx\ny\n```\nb  \nc"


def test_replies_keep_to_the_limit_and_fetch_no_pictures() -> None:
    hard = '"' * 5000 + "你好。" * 4000
    found = render(Message("m", "assistant", (Text(hard),), 0.0))
    for piece in found:
        key, param = piece.template
        assert key == "sampleMarkdown" and len(param.encode()) < 15_000 and len(piece.text.encode()) <= LIMIT
    assert "".join(piece.text for piece in found) == hard
    shown = render(Message("m", "assistant", (Text("# **Plan**\n![x](https://example.com/x.png)\x00"),), 0.0))[0]
    assert (shown.title, shown.text) == ("Plan", "# **Plan**  \n[x](https://example.com/x.png)")


def test_files_that_dingtalk_does_not_take_are_named() -> None:
    parts = (Image("a", "image/png"), Audio("b", "audio/wav"), File("c", "application/pdf", "plan.PDF"),
             Image("d", "image/webp", "x.webp"), Audio("e", "audio/ogg"))  # fmt: skip
    found = render(Message("m", "assistant", parts, 0.0))
    assert [piece.kind for piece in found] == ["image", "voice", "file", "", ""]
    assert [piece.text for piece in found[3:]] == ["[image/webp x.webp]", "[audio/ogg]"]

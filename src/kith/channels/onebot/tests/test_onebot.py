"""Events as OneBot programs send them, and replies as they take them."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from kith.channels.kit import Arrival
from kith.channels.onebot.parse import forwarded, parse, quoted
from kith.channels.onebot.render import LIMIT, place, render, segments
from kith.core.message import Audio, Envelope, File, Image, Message, Text

FIXTURES = Path(__file__).parent / "fixtures"


def heard(name: str, **changes: object) -> Envelope | None:
    raw = json.loads((FIXTURES / f"{name}.json").read_text("utf-8"))
    return parse({**raw, **changes}, Arrival("local", 1.0), "10001000")


def known(name: str, **changes: object) -> Envelope:
    found = heard(name, **changes)
    assert found is not None
    return found


def test_private_messages_and_those_of_strangers_from_a_group() -> None:
    private, temporary, anonymous = known("private"), known("temporary"), known("anonymous")
    assert (private.platform_id, private.sender, private.kind, private.message.text, private.sender_name) == (
        "private:20002000/1136053690", "20002000", "direct", "你好", "小安",
    )  # fmt: skip
    assert place(temporary.conversation) == ("private", {"user_id": 20002009, "group_id": 30003000})
    assert (anonymous.sender, anonymous.sender_name, anonymous.mentioned) == ("anonymous:4321", "大力鬼王", False)


def test_a_group_message_in_both_forms() -> None:
    array, text = known("group"), known("codes")
    assert array.mentioned and text.mentioned
    assert (array.reply_to, text.reply_to) == ("group:30003000/1136053680", "group:30003000/-5")
    assert array.message.text == "看看这个 @小北[微笑]"
    assert text.message.text == "a [CQ:face] &amp; [face 178]"
    url = "at:url:https://multimedia.nt.qq.com.cn/download?appid=1407&fileid=x"
    assert array.message.parts[1] == Image(url, "image/jpeg", "", 89012)
    assert text.message.parts[1] == Image("at:url:http://127.0.0.1:1/a.jpg?x=1,2&y", "image/jpeg")
    assert not known("group", message="hello [CQ:at,qq=all]").mentioned
    assert known("group", message="[CQ:at,qq=10001000]").message.text == "@10001000"


def test_media_wait_for_their_bytes_and_foreign_words_are_marked() -> None:
    voice, file, forward, card = (known(name).message.parts[0] for name in ("voice", "file", "forward", "card"))
    assert isinstance(voice, Audio) and voice.blob.startswith("at:name:record:0f.amr\nhttps://")
    assert file == File("at:name:file:f7c0b5", "application/octet-stream", "plan.pdf", 1234)
    assert isinstance(forward, File) and forward.blob == "at:forward:7500000000000000001"
    assert card == Text("[QQ小程序 地图]", outside=True)
    content = [{"sender": {"nickname": "Bo"}, "message": [{"type": "text", "data": {"text": "come"}}]}]
    told = known("forward", message=[{"type": "forward", "data": {"id": "1", "content": content}}])
    assert told.message.parts == (Text("Bo: come", outside=True),)


def test_notices_name_the_message() -> None:
    recall, recalled, poke = known("recall"), known("recalled"), known("poke")
    assert (recall.edits, recall.message.parts) == ("group:30003000/1136053691", ())
    assert recalled.edits == "private:20002000/1136053690"
    assert (poke.message.text, poke.mentioned, poke.conversation) == ("[poke]", True, "group:30003000")
    liked, unliked = known("liked"), known("unliked")
    assert (liked.reaction, unliked.reaction) == ("👍", "-👍")
    assert liked.reply_to == unliked.reply_to == "group:30003000/1136053700"
    assert heard("poke", target_id=5) is None


def test_our_own_messages_are_not_heard_and_other_bots_are_known() -> None:
    assert heard("own") is heard("own", post_type="message") is heard("heartbeat") is heard("request") is None
    assert heard("recall", user_id=10001000) is None
    assert known("private", user_id=2854196310).bot and not known("private").bot
    raw = json.loads((FIXTURES / "private.json").read_text("utf-8"))
    mine = parse(raw, Arrival("local", 1.0), "10001000", ("20002000",))
    assert mine is not None and mine.bot


def test_what_was_answered_and_forwarded_is_quoted() -> None:
    told = {"sender": {"user_id": 5, "nickname": "Bo"}, "message": "come [CQ:image,file=a.jpg]"}
    assert quoted(told, "1") == ("5", "Bo: come  [image/jpeg]")
    assert quoted(None, "1") == ("", "")
    nodes = [{"type": "node", "data": {"nickname": "Bo", "content": "one"}}, told, {"message": 7}, 8]
    assert forwarded({"messages": nodes}, "1") == "Bo: one\nBo: come  [image/jpeg]"
    assert forwarded([], "1") == ""


def test_replies_keep_to_the_limit_and_their_place() -> None:
    found = render(Message("m", "assistant", (Text("**好** " * 2000), Image("x", "image/png"), File("y", "a/b")), 0.0))
    assert [piece.segment for piece in found][-3:] == ["text", "image", ""]
    assert all(len(piece.text) <= LIMIT and "*" not in piece.text for piece in found)
    said = segments(found[0], "group:3", "group:3/-9")
    assert said[0] == {"type": "reply", "data": {"id": "-9"}}
    assert [one["type"] for one in segments(found[0], "group:3", "group:4/9")] == ["text"]
    picture = segments(found[-2], "group:3", "", b"abc")[0]["data"]["file"]
    assert base64.b64decode(picture.removeprefix("base64://")) == b"abc"
    assert place("group:3") == ("group", {"group_id": 3})

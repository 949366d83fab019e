"""Events as the Gateway gives them, and replies as Discord takes them."""

from __future__ import annotations

import json
from pathlib import Path

from kith.channels.discord.parse import Known, parse
from kith.channels.discord.render import LIMIT, content, nonce, place, render
from kith.channels.kit import Arrival
from kith.core.message import Audio, Envelope, File, Image, Message, Text

FIXTURES = Path(__file__).parent / "fixtures"
ROOM, SAID = "290926798999357250", "290926798999357250/334385199974967042"
KNOWN = Known("80351110224678912", frozenset({"165511591545143296"}), "s1", {SAID: "53908099506183680"})


def heard(name: str, known: Known = KNOWN) -> Envelope | None:
    return parse(json.loads((FIXTURES / f"{name}.json").read_text("utf-8")), Arrival("local", 1.0), known)


def test_a_direct_message() -> None:
    found = heard("direct")
    assert found is not None
    assert (found.platform_id, found.sender, found.conversation) == (SAID, "53908099506183680", ROOM)
    assert (found.kind, found.message.text, found.sender_name, found.mentioned) == ("direct", "Supa Hot", "Mason", True)


def test_a_mention_in_a_server_and_an_answer_to_us() -> None:
    found, answer = heard("mention"), heard("reply")
    assert found is not None and answer is not None
    assert (found.kind, found.mentioned, found.sender_name) == ("group", True, "NOT API SUPPORT")
    assert found.message.text == "ask @Ann about :plan:"
    assert answer.mentioned and answer.reply_to == f"{ROOM}/306588351130107906" and answer.thread == ROOM
    stranger = heard("mention", Known("1"))
    assert stranger is not None and not stranger.mentioned
    called = json.loads((FIXTURES / "webhook.json").read_text("utf-8"))
    called["d"]["mention_roles"] = ["165511591545143296"]
    role = parse(called, Arrival("local", 1.0), KNOWN)
    assert role is not None and role.mentioned and role.bot


def test_what_says_nothing_to_us_is_passed_over() -> None:
    assert [heard(name) for name in ("own", "joined", "unfurled", "typing")] == [None] * 4


def test_files_wait_for_their_bytes_and_foreign_words_are_marked() -> None:
    picture, voice, forward = heard("picture"), heard("voice"), heard("forward")
    assert picture is not None and voice is not None and forward is not None
    image = picture.message.parts[1]
    assert isinstance(image, Image) and image.blob.startswith("at:https://cdn.discordapp.com/attachments/")
    assert isinstance(voice.message.parts[0], Audio)
    text, file = forward.message.parts
    assert isinstance(text, Text) and text.outside and text.text == "do as I say"
    assert isinstance(file, File) and (file.mime, file.name) == ("text/plain", "a.txt")


def test_edits_deletions_and_reactions_name_the_message() -> None:
    edited, deleted, put, taken = heard("edited"), heard("deleted"), heard("reaction"), heard("taken")
    assert edited is not None and deleted is not None and put is not None and taken is not None
    assert edited.edits == deleted.edits == SAID and edited.platform_id != SAID
    assert (edited.message.text, deleted.message.parts) == ("Supa Cold", ())
    assert (put.reaction, put.reply_to, taken.reaction) == ("👍", f"{ROOM}/334385199974967050", "-👍")
    assert heard("deleted", Known()) is None
    assert heard("reaction", Known("7")) is None  # to somebody else's message


def test_replies_keep_to_the_limit_call_nobody_and_have_a_key() -> None:
    found = render(Message("m", "assistant", (Text("\U0001f600" * 2500), Image("x", "image/png")), 0.0))
    assert [bool(piece.media) for piece in found] == [False, False, False, True]
    assert all(len(piece.text.encode("utf-16-le")) // 2 <= LIMIT for piece in found)
    assert content("@everyone")["allowed_mentions"] == {"parse": []}
    assert place("7", "7/9/17")["message_reference"]["message_id"] == "9" and place("7", "8/9") == {}
    assert nonce("p1", 0) == nonce("p1", 0) != nonce("p1", 1) and len(nonce("p1", 0)["nonce"]) <= 25

"""Mail as it lies in mailboxes, and replies as they are sent."""

from __future__ import annotations

from email import message_from_bytes, policy
from email.header import Header
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kith.channels.email.parse import parse, read, vouched
from kith.channels.email.render import render, subject
from kith.channels.email.words import readable, told
from kith.channels.kit import Arrival
from kith.core.errors import Invalid
from kith.core.message import Envelope, Image, Media, Message, Text
from kith.core.people import Parcel

ARRIVAL = Arrival("local", 1_700_000_000.0)
FIXTURES = Path(__file__).parent / "fixtures"
MAILS = sorted(path.name for path in FIXTURES.glob("*.eml"))


def mail(name: str) -> bytes:
    return (FIXTURES / f"{name}.eml").read_bytes()


def heard(name: str) -> Envelope:
    found = parse(mail(name), ARRIVAL)
    assert found is not None
    return found


def test_a_first_mail_without_its_signature() -> None:
    found = heard("first")
    assert (found.sender, found.sender_name, found.platform_id) == ("ann@far.test", "Ann M\u00fcller", "first@far.test")
    assert found.message.text == "Is it warm in the kitchen?\n你好"
    assert found.conversation == "ann@far.test/first@far.test"
    assert read(mail("first")).subject == "你好 there"


def test_an_answer_stays_in_its_thread_without_the_quotation() -> None:
    found = heard("answer")
    assert found.message.text == "and in the cellar?"
    assert found.conversation == heard("first").conversation


def test_nobody_else_gets_into_a_thread() -> None:
    other = mail("answer").replace(b"ann@far.test", b"eve@far.test")
    found = parse(other, ARRIVAL)
    assert found is not None and found.conversation != heard("first").conversation


def test_html_and_a_picture() -> None:
    found = heard("picture")
    assert found.message.text == "Look at this:\n- one\n- two"
    image = found.message.parts[1]
    assert isinstance(image, Image) and image.mime == "image/png" and "/" not in image.name and image.size == 8


def test_chinese_clients() -> None:
    found = heard("chinese")
    assert found.sender_name == "张三" and found.message.text == "厨房里暖和吗？"


@pytest.mark.parametrize("name", ["robot", "list", "bounce"])
def test_machines_are_never_answered(name: str) -> None:
    assert parse(mail(name), ARRIVAL) is None


def test_its_own_mail_is_never_answered() -> None:
    assert parse(mail("first"), ARRIVAL, own="Ann@FAR.test") is None


@pytest.mark.parametrize(
    ("header", "believed"),
    [
        ("mx.home.test; dkim=pass header.d=far.test; dmarc=pass (p=none) header.from=far.test", True),
        ("mx.home.test; dmarc=fail header.from=far.test", False),
        ("mx.evil.test; dmarc=pass", False),
        ("mx.home.test; spf=pass smtp.mailfrom=dmarc=pass.test", False),
        ("", False),
    ],
)
def test_only_vouched_mail(header: str, believed: bool) -> None:
    raw = (f"Authentication-Results: {header}\r\n" if header else "").encode() + mail("first")
    assert (parse(raw, ARRIVAL, verified_by="mx.home.test") is not None) is believed
    forged = b"Authentication-Results: mx.home.test; dmarc=fail\r\nAuthentication-Results: mx.home.test; dmarc=pass\r\n"
    assert not vouched(read(forged + mail("first")), "mx.home.test")


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"\x00" * 1000, b"Subject: nobody\r\n\r\nhello", b"From: a@b.c, d@e.f\r\n\r\nhello",
        b"From: a b c <x>\r\n\r\nhello", b"From: <a@b.c\r\n\r\n", b"From: a@b.c\r\n\r\n   ",
        "From: a@b.c\r\n\r\nhello", None,
        b"From: =?utf-8?b?////?=\r\n\r\nhello", b"From: " + b"<" * 10_000 + b"\r\n\r\nhello",
    ],
)  # fmt: skip
def test_what_is_no_mail_is_invalid(raw: object) -> None:
    with pytest.raises(Invalid):
        parse(raw, ARRIVAL)


def test_hostile_mime() -> None:
    head = b"From: a@b.c\r\nMIME-Version: 1.0\r\n"
    nested = head + b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(3000)
    )
    many = head + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\nx\r\n" * 5000 + b"--b--"
    strange = head + b"Content-Type: text/plain; charset=no-such\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!!"
    for raw in (nested, many, strange, head + b"References: " + b"<a@b> " * 50_000 + b"\r\n\r\nhello"):
        try:
            found = parse(raw, ARRIVAL)
        except Invalid:
            continue
        assert found is None or len(found.message.text) <= 200_000


@settings(deadline=None)
@given(raw=st.binary(max_size=300), place=st.integers(0, 800), name=st.sampled_from(MAILS))
def test_recorded_mails_mutated(raw: bytes, place: int, name: str) -> None:
    whole = (FIXTURES / name).read_bytes()
    try:
        found = parse(whole[:place] + raw + whole[place:], ARRIVAL)
    except Invalid:
        return
    assert found is None or isinstance(found, Envelope)


@given(text=st.text(max_size=300))
def test_cutting_never_leaves_nothing(text: str) -> None:
    assert bool("".join(told(text))) == bool(text.strip())
    assert isinstance(readable(text), str)


def parcel(text: str = "**hello**") -> Parcel:
    return Parcel("p_1", 1, "c", "email", "local", "ann@far.test/x", Message("m", "assistant", (Text(text),), 1.8e9))


THREAD = {"to": "ann@far.test", "subject": "hello", "references": ["first@far.test", "p_0@home.test"]}


def test_a_reply_answers_in_its_thread() -> None:
    picture = (Media("b", "image/png", "dot.png", 3), b"png")
    first = render(parcel(), ("Kith", "kith@home.test"), THREAD, [picture])
    told = message_from_bytes(first.as_bytes(), policy=policy.default)
    assert told["Message-ID"] == "<p_1@home.test>" and told["Subject"] == "Re: hello" and told["To"] == "ann@far.test"
    assert told["In-Reply-To"] == "<p_0@home.test>" and told["References"] == "<first@far.test> <p_0@home.test>"
    assert told["Auto-Submitted"] == "auto-replied"
    assert "<strong>hello</strong>" in told.get_body(("html",)).get_content()
    assert [one.get_content() for one in told.iter_attachments()] == [b"png"]
    again = render(parcel(), ("Kith", "kith@home.test"), THREAD)
    assert again["Message-ID"] == first["Message-ID"] and again["Date"] == first["Date"]


@given(text=st.text(max_size=200), topic=st.text(max_size=200))
def test_no_header_is_smuggled_in(text: str, topic: str) -> None:
    thread = {"to": "ann@far.test", "subject": topic.encode("utf-8", "replace").decode() + "\r\nBcc: eve@far.test"}
    told = message_from_bytes(render(parcel(text or "x"), ("K\r\nBcc: x", "kith@home.test"), thread).as_bytes())
    assert told["Bcc"] is None


def test_re_stands_once() -> None:
    assert [subject(one) for one in ("hello", "Re: hello", "回复：你好", "")] == [
        "Re: hello",
        "Re: hello",
        "回复：你好",
        "Re:",
    ]


@pytest.mark.parametrize(
    ("subject", "text", "own", "foreign"),
    [
        ("Fwd: pay", "What?\n\n---------- Forwarded message ---------\nFrom: X\nPay at once", "What?", "Pay"),
        ("转发：通知", "看看\n发件人：张三\n发送时间：今天\n请付款", "看看", "请付款"),
        ("WG: pay", "Pay at once", "Pay at once", ""),
        ("Re: pay", "No.\n\nOn Monday, X wrote:\n> Pay at once\n", "No.", ""),
        ("Fwd: pay", "> Pay at once", "", "> Pay at once"),
        ("pay", "Yes\n-- \nAnn, Fwd Ltd", "Yes", ""),
    ],
)  # fmt: skip
def test_what_is_sent_on_is_kept_apart(subject: str, text: str, own: str, foreign: str) -> None:
    raw = f"From: ann@far.test\nSubject: {Header(subject, 'utf-8').encode()}\nMessage-ID: <1@far.test>\n"
    raw += "Content-Type: text/plain; charset=utf-8\n\n" + text
    found = parse(raw.encode(), Arrival("local", 1.0))
    assert found is not None
    texts = [part for part in found.message.parts if isinstance(part, Text)]
    assert "".join(part.text for part in texts if not part.outside) == own
    assert foreign in "".join(part.text for part in texts if part.outside)
    assert bool(foreign) == any(part.outside for part in texts)

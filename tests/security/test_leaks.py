"""What must not leave: every kind found by shape and checksum, and no piece of it slips out of a stream."""

from __future__ import annotations

import random
import string
from pathlib import Path

import pytest

from kith.core.message import Envelope, Message, Text
from kith.runtime import leaks as forms
from kith.runtime.leaks import CONTACTS, NUMBERS, SECRETS, account, identity, luhn, masked
from kith.security.outflow import LONGEST, Outflow, outflow
from kith.security.passwords import new_code, new_secret

ALL = SECRETS | NUMBERS | CONTACTS
BODY = "a8Fq2LmZ7xT0vKcR5uYw9NbE3sHdJ6gP1oIk4Qn"
PEM = "-----BEGIN RSA PRIVATE KEY-----\n" + ("MIIEpAIBAAKCAQEA" * 4 + "\n") * 6 + "-----END RSA PRIVATE KEY-----"
FOUND = {
    "sk-" + BODY: "key",
    "sk-ant-api03-" + BODY: "key",
    "sk-proj-" + BODY: "key",
    "ghp_" + BODY[:36]: "key",
    "github_pat_11ABCDE0123456789_" + BODY: "key",
    "AKIAIOSFODNN7EXAMPLE": "key",
    "LTAI5tQnKxPpA7EXAMPLE99": "key",
    "AIza" + BODY[:35]: "key",
    "xoxb-1234567890-" + BODY[:24]: "key",
    "hf_" + BODY[:34]: "key",
    "sk_live_" + BODY[:24]: "key",
    "123456789:AA" + BODY[:33]: "key",
    "kith_" + BODY + "abcd": "token",
    new_secret("session_"): "token",
    new_secret("refresh_g_1234_"): "token",
    new_code(): "token",
    "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJvd25lciJ9.c2lnbmF0dXJlLWJ5dGVz": "token",
    PEM: "private_key",
    "4111 1111 1111 1111": "card",
    "6222021234567890128": "card",
    "5500-0000-0000-0004": "card",
    "11010519491231002X": "identity",
    "440308199901101512": "identity",
    "GB82 WEST 1234 5698 7654 32": "account",
    "DE89370400440532013000": "account",
    "ming.li@example.org": "email",
    "+86 138 1234 5678": "phone",
    "13812345678": "phone",
    "(415) 555-2671": "phone",
}
FREE = (
    "The year 2024 had 366 days; order 20240131-0001 has 12 items at 3,499.00 each.",
    "sk-learn and scikit-learn are not keys; neither is task-force or risk-averse.",
    "1234567890123456 is no card, 123456789012345678 no identity, GB00 nothing.",
    "commit 947491b0c2d8e1f7a6b5c4d3e2f1a0b9c8d7e6f5 is a digest, f47ac10b-58cc-4372-a567-0e02b2c3d479 a UUID",
    "请在 2026 年 11 月 21 日之前付款 199.00 元，订单 88230011。",
    "https://example.org/path?q=1&r=2 and C:\\Users\\x and a@b and 3.14159265358979",
    "the password is not written here; token: none; api_key = ${KEY}",
)


HERE = Path(__file__).parent


def said(text: str = "hello", kind: str = "direct") -> Envelope:
    return Envelope("api", "local", "1", "owner", "home", Message("m_1", "user", (Text(text),), 0.0), kind=kind)


@pytest.mark.parametrize(("value", "kind"), FOUND.items(), ids=[f"{kind}-{n}" for n, kind in enumerate(FOUND.values())])
def test_every_kind_is_hidden_and_named(value: str, kind: str) -> None:
    for form in ("Here it is: {} and more.", "密钥是{}。", "{}", "a\n{}\nb", '{{"x": "{}"}}'):
        assert masked(form.format(value), ALL) == form.format(f"[hidden: {kind}]")


def test_passwords_in_addresses_and_assignments_are_hidden_alone() -> None:
    assert masked("postgres://kith:hunter2@db:5432/x", ALL) == "postgres://kith:[hidden: password]@db:5432/x"
    assert masked('"api_key": "Zx81kq09Lm44Tt"', ALL) == '"api_key": "[hidden: password]"'
    assert masked("Authorization: Bearer abcdef0123456789", ALL).endswith("Bearer [hidden: password]")


@pytest.mark.parametrize("text", FREE)
def test_what_only_looks_like_it_stays(text: str) -> None:
    assert masked(text, ALL) == text


def test_checksums() -> None:
    assert luhn("4111111111111111") and not luhn("4111111111111112")
    assert identity("11010519491231002x") and not identity("110105194912310021")
    assert not identity("110105194913310020")
    assert account("DE89370400440532013000") and not account("DE88370400440532013000")


@pytest.mark.parametrize("seed", range(40))
def test_no_cutting_of_a_stream_lets_a_piece_out(seed: int) -> None:
    chance = random.Random(seed)
    pieces = chance.sample([*FOUND, *FREE], 6)
    text = "".join(chance.choice([" and ", ", ", "\n", "：", "。 "]) + piece for piece in pieces) + " end"
    way, shown, place = Outflow(ALL), "", 0
    while place < len(text):
        size = chance.choice([1, 1, 2, 3, 7, 40])
        shown += way.feed(text[place : place + size])
        place += size
    assert shown + way.finish() == masked(text, ALL)


def test_words_are_let_go_at_once() -> None:
    way = Outflow(SECRETS | NUMBERS)
    for piece in ("Hel", "lo", " wor", "ld", "，你好", "。很", "高兴"):
        assert way.feed(piece) == piece


@pytest.mark.parametrize("head", ["eyJhbGciOiJFZERTQSJ9.", "-----BEGIN PRIVATE KEY-----\n", "kith_", "sk-"])
def test_what_never_ends_is_not_held_for_ever_and_not_let_go(head: str) -> None:
    chance = random.Random(1)
    way = Outflow(SECRETS)
    secret = "".join(chance.choices(string.ascii_letters + string.digits, k=40 * LONGEST))
    shown = way.feed(head)
    for place in range(0, len(secret), 100):
        shown += way.feed(secret[place : place + 100])
    shown += way.feed(" after") + way.finish()
    assert len(way._held) <= LONGEST  # pyright: ignore[reportPrivateUsage]
    assert shown == ("[hidden: private_key]" if "BEGIN" in head else "[hidden: key] after")


def test_who_said_it_may_hear_it_again_but_a_group_may_not() -> None:
    card, mail = "4111 1111 1111 1111", "ming.li@example.org"
    mine = outflow(said(f"my card is {card}"), [f"my card is {card}"])
    assert mine.feed(f"Your card is 4111111111111111, mail {mail}.") + mine.finish() == (
        f"Your card is 4111111111111111, mail {mail}."
    )
    other = outflow(said(), [])
    assert "[hidden: card]" in other.feed(f"Her card is {card}.") + other.finish()
    group = outflow(said(kind="group"), [f"write to {mail}, card {card}"])
    text = group.feed(f"{mail}, someone.else@example.org, {card}!") + group.finish()
    assert text == f"{mail}, [hidden: email], [hidden: card]!"


@pytest.mark.parametrize(
    "text", ["", "\x00", "\ud800" * 10, "-" * 50_000, "1" * 50_000, "a@" * 20_000, "://:" * 20_000]
)
def test_hostile_texts_are_quick_and_harmless(text: str) -> None:
    way = Outflow(ALL)
    assert len(way.feed(text) + way.finish()) <= len(text) + 100
    assert len(masked(text, ALL)) <= len(text) + 100


def drawn(count: int) -> list[str]:
    """The filter's sets, and texts of pieces of secrets: whole, cut, spaced, run together."""
    chance = random.Random(7)
    sets = [(HERE / f"{name}.txt").read_text("utf-8") for name in ("attacks", "benign", "knowledge")]
    lines = [line for text in sets for line in text.splitlines()]
    values = [
        *FOUND,
        *FREE,
        "Authorization: Bearer abcdef0123456789",
        "postgres://kith:hunter2@db:5432/x",
        "paſſword: x1",
    ]
    bits = [
        "sk-",
        "eyJ",
        "-----BEGIN",
        "AB12",
        "://",
        ":",
        "@",
        " ",
        "-",
        "1",
        "4111",
        "key",
        "x.y",
        "\n",
        "密",
        "K",
        "\ud800",
    ]
    for _ in range(count):
        value, cut = chance.choice(values), chance.randrange(30)
        lines.append(chance.choice(lines)[: chance.randrange(80)] + value[chance.choice([0, 0, cut]) : 60 - cut])
        lines.append("".join(chance.choices(bits, k=chance.randrange(9))) + value[:cut])
    return lines


def test_the_quick_look_passes_over_nothing_that_a_form_would_find() -> None:
    everything = forms._found  # pyright: ignore[reportPrivateUsage]
    found = 0
    for text in drawn(1500):
        for kinds, start in ((ALL, 0), (SECRETS | NUMBERS, 0), (SECRETS, len(text) // 3)):
            wanted = everything(text, kinds, start)
            assert forms.leaks(text, kinds, start) == wanted, text
            found += len(wanted)
    assert found > 1000


def test_an_end_is_suspicious_when_a_start_is_in_it_or_may_begin_at_its_end() -> None:
    starts, suspicious = forms._STARTS, forms._suspicious  # pyright: ignore[reportPrivateUsage]
    chance = random.Random(8)
    words = [chance.choice(starts)[: chance.randrange(12)] for _ in range(400)] + [
        "fox",
        "the.",
        "a-b",
        "(x",
        '"k',
        "~",
    ]
    for _ in range(4000):
        run = "".join(chance.choices(words, k=chance.choice([1, 1, 2, 3])))
        sizes = range(1, len(run) + 1)
        edges = [size for size in sizes if size == len(run) or not (run[-size - 1].isalnum() or run[-size - 1] in "_-")]
        wanted = "@" in run or "://" in run or run.count("-") > 1 or any(map(str.isdigit, run))
        wanted = wanted or any(start in run for start in starts)
        wanted = wanted or any(start.startswith(run[-size:]) for size in edges for start in starts)
        assert suspicious(run) == wanted, run

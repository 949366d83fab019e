"""What a setting means is read from the pages that people read: the right table, its words, and never a failure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kith.runtime import meanings
from kith.runtime.meanings import explained, tables
from kith.settings import Settings


def schema(**fields: str) -> dict[str, Any]:
    return {
        "title": "X",
        "properties": {name: {"type": "string", "description": text} for name, text in fields.items()},
    }


def said(told: dict[str, Any]) -> dict[str, str]:
    return {name: field["description"] for name, field in told["properties"].items()}


def test_a_table_is_read_as_text() -> None:
    page = r"""# Page
| key | default | meaning |
|---|---|---|
| `one` | – | see [there](doors.md#a), `x \| y` |
| `two` | `a` | second |
| broken
Words.
| `three` | – |
| `four` | 4 | 四 |"""
    assert list(tables(page.splitlines())) == [{"one": "see there, `x | y`", "two": "second"}, {"four": "四"}]
    assert list(tables(["|" * 50_000, "| `" + "a" * 50_000, "\x00", ""])) == []


def test_the_same_key_means_something_else_in_another_section() -> None:
    told = explained(Settings.model_json_schema(), "zh")["$defs"]
    assert told["GatewaySettings"]["properties"]["port"]["description"].startswith("监听的端口")
    assert "80" in told["AcmeSettings"]["properties"]["port"]["description"]
    assert told["DeliverySettings"]["properties"]["timeout"]["description"] == "发送卡住多少秒后放弃"
    assert "description" not in told["DialogueSettings"]["properties"]["memory"]


def test_a_channels_own_page_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "share" / "kith" / "zh" / "channels"
    folder.mkdir(parents=True)
    (folder / "README.md").write_text("| `account` | – | 共同 |\n| `enabled` | – | 开 |\n", "utf-8")
    (folder / "paper.md").write_bytes("| `account` | – | 自己 |\n\n| `other` | – | 别的 |\n".encode() + b"\xff\xfe")
    monkeypatch.setattr(meanings.kith, "__path__", [str(tmp_path / "lib" / "site" / "kith")])
    monkeypatch.setattr(meanings.sysconfig, "get_path", lambda name: str(tmp_path))
    for kept in (meanings._meanings, meanings._handbook, meanings._channel):
        monkeypatch.setattr(meanings, kept.__name__, kept.__wrapped__)
    given = schema(account="a", enabled="b", port="c")
    assert said(explained(given, "zh", "paper")) == {"account": "自己", "enabled": "开", "port": "c"}
    assert said(explained(given, "zh", "none")) == {"account": "共同", "enabled": "开", "port": "c"}
    assert said(given) == said(explained(given, "en", "paper")) == {"account": "a", "enabled": "b", "port": "c"}


@pytest.mark.parametrize("channel", ["../../README", "no.such", "a/b", "", "x\x00", "nowhere"])
def test_what_is_not_explained_keeps_its_english(channel: str) -> None:
    given = schema(never_heard_of="English.")
    assert explained(given, "zh", channel) == given
    assert explained({}, "zh", channel) == {}
    assert explained({"type": "string"}, "zh", channel) == {"type": "string"}

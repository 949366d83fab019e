"""Mistakes in settings are told in both languages, each with its own values; what is not known stays English."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from pydantic import Field, field_validator

from kith.core.errors import Fault, Invalid
from kith.runtime.documents import parse_document, validate
from kith.runtime.faults import told, translated
from kith.runtime.settings import Section, load


class Shelf(Section):
    board: str = Field(default="", min_length=2, max_length=3, pattern="^[a-z]{2,3}$")
    height: float = Field(default=1, gt=0, lt=3, allow_inf_nan=False)
    books: int = Field(default=1, ge=1, le=5)
    open: bool = False
    wood: Literal["oak", "pine"] = "oak"
    marks: tuple[int, ...] = Field(default=(1,), min_length=1, max_length=2)
    own: str = ""

    @field_validator("own")
    @classmethod
    def _own(cls, value: str) -> str:
        if value:
            raise ValueError("is never right")
        return value


class Room(Section):
    shelf: Shelf
    name: str


@pytest.mark.parametrize(
    ("text", "english", "chinese"),
    [
        ("shelf: {}", "is required", "必须填写"),
        (
            "shelf: {bord: 1}\nname: a",
            "is not a known key; did you mean 'board'?",
            "不是已知的键；是不是想写 'board'？",
        ),
        ("name: a\nshelf: {xyzxyz: a}", "is not a known key", "不是已知的键"),
        ("name: a\nshelf: {board: 1}", "has to be text", "必须是文本"),
        ("name: a\nshelf: {board: a}", "has to have 2 or more characters", "不能少于 2 个字符"),
        ("name: a\nshelf: {board: aaaa}", "has to have 3 or fewer characters", "不能多于 3 个字符"),
        ("name: a\nshelf: {board: AA}", "has to match the pattern ^[a-z]{2,3}$", "必须符合模式 ^[a-z]{2,3}$"),
        ("name: a\nshelf: {height: 0}", "has to be greater than 0.0", "必须大于 0.0"),
        ("name: a\nshelf: {height: 3}", "has to be less than 3.0", "必须小于 3.0"),
        ("name: a\nshelf: {height: .inf}", "has to be a finite number", "必须是有限的数"),
        ("name: a\nshelf: {height: tall}", "has to be a number", "必须是数字"),
        ("name: a\nshelf: {books: 0}", "has to be at least 1", "不能小于 1"),
        ("name: a\nshelf: {books: 6}", "has to be at most 5", "不能大于 5"),
        ("name: a\nshelf: {books: 1.5}", "has to be an integer", "必须是整数"),
        ("name: a\nshelf: {open: perhaps}", "has to be true or false", "必须是 true 或 false"),
        ("name: a\nshelf: {wood: tin}", "has to be one of 'oak', 'pine'", "只能是 'oak', 'pine' 之一"),
        ("name: a\nshelf: {marks: 1}", "has to be a list", "必须是列表"),
        ("name: a\nshelf: {marks: []}", "has to have 1 or more entries", "不能少于 1 项"),
        ("name: a\nshelf: {marks: [1, 2, 3]}", "has to have 2 or fewer entries", "不能多于 2 项"),
        ("name: a\nshelf: 5", "has to be a mapping of keys to values", "必须是键和值的对应"),
        ("name: a\nshelf: {own: x}", "is never right", "is never right"),
    ],
)
def test_a_mistake_is_told_in_both_languages(text: str, english: str, chinese: str) -> None:
    with pytest.raises(Invalid) as caught:
        validate(Room, parse_document(text, "kith.yaml"))
    one = caught.value.faults[0] if "shelf: {}" not in text else caught.value.faults[-1]
    assert (one.reason, told(one, "en"), told(one, "zh-CN")) == (english, english, chinese)
    said = translated(caught.value, "zh")
    assert chinese in str(said)
    assert str(said).startswith("kith.yaml 不能使用")
    assert str(translated(said, "en")) == str(said), "once told, it stays as it was told"


def test_a_variable_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "kith.yaml").write_text("name: ${NO_SUCH}\n", "utf-8")
    with pytest.raises(Invalid) as caught:
        load(Room, tmp_path / "kith.yaml", {})
    assert told(caught.value.faults[0], "zh") == "需要环境变量 NO_SUCH"
    (tmp_path / "kith.yaml").write_text("- 1\n", "utf-8")
    with pytest.raises(Invalid) as caught:
        load(Room, tmp_path / "kith.yaml", {})
    assert told(caught.value.faults[0], "zh") == "必须是键值对"


def test_what_is_hostile_is_shown_as_it_is() -> None:
    assert told(Fault("x", "{0} {name}"), "zh") == "{0} {name}"
    with pytest.raises(Invalid) as caught:
        validate(Room, parse_document('name: a\nshelf: {"{board}": 1}', "{file}"))
    assert told(caught.value.faults[0], "zh") == "不是已知的键；是不是想写 'board'？"
    assert str(translated(caught.value, "zh")).startswith("{file} 不能使用")

"""Changing the settings file: one value, and nothing else of it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field

from kith.core.audit import Act, By
from kith.core.errors import Invalid
from kith.runtime.edits import MASK, Edits, amend, flat, masked
from kith.runtime.settings import Section

FILE = """\
# My house
gateway:   # the door
  port: 8787  # as always
  # who may come
  origins:
    - https://a.example
    - https://b.example
  tls: {automatic: true}

# how much it says
log:
  level: warning
note: |
  many
  lines
"""


@pytest.mark.parametrize(
    ("place", "value", "gone", "come"),
    [
        ("gateway.port", 9000, "port: 8787  # as always", "port: 9000  # as always"),
        ("gateway.host", "0.0.0.0", "", "  host: 0.0.0.0\n  port: 8787  # as always"),
        ("gateway.tls.automatic", False, "{automatic: true}", "tls: {automatic: false}"),
        ("gateway.origins", ["https://c.example"], "    - https://a.example\n", "origins: ['https://c.example']"),
        ("log.level", "debug", "level: warning", "level: debug"),
        ("log.level", None, "log:\n  level: warning\n", "# how much it says\nnote: |"),
        ("storage.path", "/x", "", "storage:\n  path: /x\n"),
        ("gateway.port", None, "  port: 8787  # as always\n", "gateway:   # the door\n  # who may come"),
        ("note", "short", "  many\n  lines", "note: short"),
        ("log", {"level": "info"}, "  level: warning", "log: {level: info}"),
        ("gateway.tls", "你好: x", "{automatic: true}", "tls: '你好: x'"),
    ],
)
def test_one_value_changes_and_the_comments_stay(place: str, value: Any, gone: str, come: str) -> None:
    new = amend(FILE, place.split("."), value)
    assert come in new
    assert not gone or gone not in new
    for comment in ("# My house", "# the door", "# who may come", "# how much it says"):
        assert comment in new, new
    expected = flat(yaml.safe_load(FILE))
    expected = {key: item for key, item in expected.items() if key != place and not key.startswith(f"{place}.")}
    found = flat(yaml.safe_load(new))
    assert {key: item for key, item in found.items() if key != place and not key.startswith(f"{place}.")} == expected


@pytest.mark.parametrize("text", ["", "# only words\n", "a:\n", "{}\n", "a: {b: 1}", "\n\na: 1"])
def test_files_that_hardly_are_any(text: str) -> None:
    new = amend(text, ("a", "b"), 2)
    assert yaml.safe_load(new)["a"]["b"] == 2
    assert "# only words" not in text or "# only words" in new


def test_what_an_alias_would_spread_is_refused() -> None:
    with pytest.raises(Invalid) as caught:
        amend("a: &x {b: 1}\nc: *x\n", ("c", "b"), 2)
    assert caught.value.code == "settings_conflict"


KEYS = st.sampled_from(["a", "b", "c d", "键", "x-y"])
LEAVES = st.one_of(st.integers(), st.booleans(), st.text(max_size=8), st.lists(st.integers(), max_size=3))
TREES = st.recursive(LEAVES, lambda inner: st.dictionaries(KEYS, inner, min_size=1, max_size=3), max_leaves=8)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(KEYS, TREES, max_size=4), st.lists(KEYS, min_size=1, max_size=3), LEAVES, st.booleans())
def test_whatever_the_file_it_says_afterwards_what_was_wanted(
    data: dict[str, Any], place: list[str], value: Any, flow: bool
) -> None:
    text = yaml.safe_dump(data, allow_unicode=True, default_flow_style=flow or None)
    found: Any = yaml.safe_load(amend(text, place, value))
    for name in place:
        found = found[name]
    assert found == value


class Small(Section):
    port: int = Field(default=1, ge=0, le=10)
    api_key: str = ""
    words: list[str] = Field(default_factory=list[str])


class Whole(Section):
    small: Small = Field(default_factory=Small)


class Log:
    def __init__(self) -> None:
        self.acts: list[Act] = []

    async def act(self, act: Act, changes: object = ()) -> Any:
        self.acts.append(act)


def test_settings_are_changed_checked_audited_and_masked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", "hush")
    path, log = tmp_path / "kith.yaml", Log()
    path.write_text("small:\n  api_key: ${A_KEY}  # from elsewhere\n", "utf-8")
    edits = Edits(Whole, path, Whole(), log)

    async def story() -> None:
        told = edits.describe()
        assert (told["values"]["small"]["api_key"], told["given"]) == (MASK, ["small.api_key"])
        assert "hush" not in str(told)
        assert await edits.change({"small.port": 5, "small.api_key": MASK}, By("owner", "here")) == ["small.port"]
        assert path.read_text("utf-8") == "small:\n  port: 5\n  api_key: ${A_KEY}  # from elsewhere\n"
        assert "small.port" in edits.describe()["waiting"]
        assert [(act.name, act.detail["keys"]) for act in log.acts] == [("settings.change", "small.port")]
        for key, value in (("small.port", 11), ("small.prt", 1), ("small.port", "x"), ("", 1), ("a..b", 1)):
            with pytest.raises(Invalid) as caught:
                await edits.change({key: value}, By())
            assert not key or ".." in key or caught.value.faults[0].path == key
        assert await edits.change({"small.port": None}, By()) == ["small.port"]
        assert path.read_text("utf-8") == "small:\n  api_key: ${A_KEY}  # from elsewhere\n"
        assert [one.name for one in tmp_path.iterdir()] == ["kith.yaml"]

    asyncio.run(story())


def test_a_part_of_the_file_is_read_as_it_stands_there(tmp_path: Path) -> None:
    path = tmp_path / "kith.yaml"
    edits = Edits(Whole, path, Whole(), Log())
    assert edits.section("channels.x") == {}
    path.write_text("channels:\n  x: {token: '${secret:channels.x.token}', n: 1}\n  y:\n", "utf-8")
    assert edits.section("channels.x") == {"token": "${secret:channels.x.token}", "n": 1}
    assert edits.section("channels.y") == edits.section("channels.x.n") == edits.section("none") == {}


def test_secrets_are_known_by_their_names() -> None:
    data = {"a": {"bot_token": "x", "keyboard": "y", "client_secret": "", "keys": ["z"], "apikey": "q"}, "name": "n"}
    assert masked(data) == {
        "a": {"bot_token": MASK, "keyboard": "y", "client_secret": "", "keys": ["z"], "apikey": MASK},
        "name": "n",
    }

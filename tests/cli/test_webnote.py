"""What the terminal says of the web app that is being built beside it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from kith.cli import webnote


@pytest.mark.parametrize(
    ("end", "told"), [("built", "http://127.0.0.1:1/app/"), ("failed", ".log"), ("", ""), ("\ufffd nonsense", "")]
)
def test_the_end_of_a_build_is_told(
    end: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    note = tmp_path / ".note"
    words = iter(["building", "building"])

    def read(place: Path) -> str:
        if said := next(words, ""):
            return said
        place.write_text(end)
        return original(place)

    original = webnote._read
    monkeypatch.setattr(webnote, "_read", read)
    monkeypatch.setattr(webnote, "_PAUSE", 0)
    asyncio.run(webnote.tell_when_built("http://127.0.0.1:1", note))
    assert told in (said := capsys.readouterr().out)
    assert bool(said) == bool(told)


def test_nothing_is_said_where_nothing_is_built(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asyncio.run(webnote.tell_when_built("http://127.0.0.1:1", tmp_path / "no" / ".note"))
    (tmp_path / ".note").write_bytes(b"\xff\xfe")
    asyncio.run(webnote.tell_when_built("http://127.0.0.1:1", tmp_path / ".note"))
    assert capsys.readouterr().out == ""

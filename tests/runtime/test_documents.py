"""What people write is read with its lines, or refused with the place and the reason."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import kith
from kith.core.errors import Invalid
from kith.runtime.documents import parse_document, read_document, validate
from kith.runtime.settings import Section, load


class Door(Section):
    host: str = "127.0.0.1"
    port: int = 8787


class Item(Section):
    name: str


class House(Section):
    door: Door = Door()
    items: tuple[Item, ...] = ()
    secret: str = ""


@pytest.mark.parametrize(
    ("text", "kind", "line", "word"),
    [
        ('{"a": 1,\n "a": 2}', "json", 2, "twice"),
        ('{"a":\n NaN}', "json", 2, "not a JSON value"),
        ("[" * 100_000, "json", 0, "nested too deeply"),
        ('{"a": 1,}', "json", 1, "not JSON"),
        ("hello", "json", 1, "not JSON"),
        ("", "json", 1, "not JSON"),
        ("a: 1\na: 2\n", "yaml", 2, "twice"),
        ("a: [", "yaml", 1, ""),
        ("a: !!python/object/apply:os.system [ls]", "yaml", 1, "not allowed"),
        ("a: !!python/name:os.system", "yaml", 1, "constructor"),
        ("- " * 100 + "x", "yaml", 1, "nested too deeply"),
        ("a: &a [*a]", "yaml", 1, "nested too deeply"),
        ("a: 2024-13-45", "yaml", 1, "wrong value"),
        ("? [x]\n: y", "yaml", 1, "not text"),
        ("a: 1\n---\nb: 2\n", "yaml", 2, ""),
        ("a: \x00", "yaml", 0, "not YAML"),
    ],
)
def test_a_broken_text_is_refused_with_its_line(text: str, kind: str, line: int, word: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_document(text, "file", kind)
    (fault,) = caught.value.faults
    assert fault.line == line
    assert word in fault.reason


def test_a_yaml_bomb_is_refused_before_it_explodes() -> None:
    text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    text += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9))
    with pytest.raises(Invalid, match="too many values"):
        parse_document(text)


def test_a_huge_file_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "huge.yaml"
    with path.open("wb") as stream:
        stream.truncate(100 * 1024 * 1024)
    with pytest.raises(Invalid, match="larger than"):
        read_document(path)


def test_bytes_that_are_not_utf8_are_refused_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "latin.yaml"
    path.write_bytes(b"a: 1\nb: caf\xe9\n")
    with pytest.raises(Invalid) as caught:
        read_document(path)
    assert caught.value.faults[0].line == 2


@pytest.mark.parametrize("name", ["absent.yaml", "."])
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(Invalid, match="cannot be read"):
        read_document(tmp_path / name)


def test_every_mistake_is_named_with_line_path_and_nearest_key() -> None:
    text = "door:\n  hosst: x\n  port: many\nitems:\n  - name: a\n  - {}\n"
    with pytest.raises(Invalid) as caught:
        validate(House, parse_document(text, "kith.yaml"))
    places = {(fault.line, fault.path): fault.reason for fault in caught.value.faults}
    assert places[(2, "door.hosst")] == "is not a known key; did you mean 'host'?"
    assert "integer" in places[(3, "door.port")]
    assert places[(6, "items[1].name")] == "is required"
    assert "kith.yaml:2 door.hosst" in str(caught.value)


@given(st.text(max_size=200), st.sampled_from(["yaml", "json"]))
def test_no_text_breaks_the_reader(text: str, kind: str) -> None:
    try:
        parse_document(text, "file", kind)
    except Invalid as error:
        assert error.faults


def test_settings_need_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KITH_HOME", str(tmp_path))
    assert load(House) == House()


def test_secrets_come_from_the_environment(tmp_path: Path) -> None:
    path = tmp_path / "kith.yaml"
    path.write_text("secret: x-${TOKEN}\ndoor:\n  host: ${HOST:-localhost}\n")
    found = load(House, path, {"TOKEN": "t"})
    assert (found.secret, found.door.host) == ("x-t", "localhost")
    with pytest.raises(Invalid, match="needs the environment variable TOKEN") as caught:
        load(House, path, {})
    assert caught.value.faults[0].line == 1


@pytest.mark.parametrize("text", ["- a\n", "just text", "42"])
def test_settings_have_to_be_a_mapping(tmp_path: Path, text: str) -> None:
    path = tmp_path / "kith.yaml"
    path.write_text(text)
    with pytest.raises(Invalid, match="mapping"):
        load(House, path, {})


def test_a_shipped_document_is_read_alike_by_the_quicker_parser() -> None:
    for file in (Path(kith.__path__[0]) / "dialogue" / "flows").glob("*.yaml"):
        slow, fast = read_document(file), read_document(file, shipped=True)
        assert slow.data == fast.data and slow.lines == fast.lines, file

"""Folders with manifests, found by the one registry."""

from pathlib import Path

import pytest

from kith.core.errors import Invalid, NotFound
from kith.runtime.registry import Registry, read_manifest

GOOD = """
name = "pigeon"
kind = "channel"
title = { en = "Pigeon", zh = "鸽子" }
entry = "channel:Pigeon"
"""


@pytest.mark.parametrize("room", ["channels", "models", "storage"])
def test_every_built_in_folder_has_a_sound_manifest(room: str) -> None:
    found = Registry(room).manifests()
    assert found
    for name, manifest in found.items():
        assert manifest.path.parent.name == name
        assert set(manifest.title) == {"en", "zh"}


def test_an_unknown_name_is_told_with_the_known_ones() -> None:
    with pytest.raises(NotFound, match="sqlite"):
        Registry("storage").load("papyrus")


def test_a_manifest_is_read_without_running_anything(tmp_path: Path) -> None:
    path = tmp_path / "manifest.toml"
    path.write_text(GOOD, "utf-8")
    manifest = read_manifest(path, "nowhere.pigeon")
    assert (manifest.name, manifest.quality, manifest.title["zh"]) == ("pigeon", "bronze", "鸽子")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name = ",
        GOOD.replace("pigeon", "../pigeon"),
        GOOD + "unknown = 1",
        GOOD.replace("channel:Pigeon", "channel"),
        GOOD + 'quality = "platinum"',
        "\ufffe",
    ],
)
def test_a_broken_manifest_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "manifest.toml"
    path.write_text(text, "utf-8")
    with pytest.raises(Invalid, match=r"manifest\.toml cannot be used"):
        read_manifest(path, "nowhere")


def test_bytes_that_are_not_utf8_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "manifest.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(Invalid):
        read_manifest(path, "nowhere")

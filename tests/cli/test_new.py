"""`kith new flow`: what it writes passes its own tests and story, under any name, and overwrites nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from kith.cli.group import root


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(root, arguments)
    return result.exit_code, result.output


@pytest.mark.parametrize("name", ["shop.yaml", "a b/我的 Shop.yml", "it's \"# mine: yes.yaml"])
def test_a_new_flow_passes_its_tests_and_its_story(home: Path, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    assert run("new", "flow", str(path))[0] == 0
    assert run("flow", "check", str(path))[0] == 0
    code, told = run("flow", "test", str(path))
    assert code == 0 and "3 of 3" in told
    code, told = run("flow", "story", str(path.with_name(f"{path.stem}.story.yaml")))
    assert code == 0, told


def test_a_file_that_is_there_is_left_alone(home: Path, tmp_path: Path) -> None:
    path, story = tmp_path / "shop.yaml", tmp_path / "shop.story.yaml"
    story.write_text("mine", "utf-8")
    assert run("new", "flow", str(path))[0] == 1
    assert story.read_text("utf-8") == "mine" and not path.exists()


def test_another_kind_of_file_is_refused(home: Path, tmp_path: Path) -> None:
    code, told = run("new", "flow", str(tmp_path / "shop.json"))
    assert code == 2 and ".yaml" in told
    assert not list(tmp_path.glob("shop*"))

"""The root command: help without imports, two languages, errors as sentences."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

import kith
from kith.cli import group
from kith.cli.group import COMMANDS, Command, Group, root
from kith.core.errors import Invalid, Refused

HEAVY = ("litestar", "numpy", "xllamacpp", "pydantic", "rich", "httpx", "prompt_toolkit", "kith.app", "structlog")


def catalogue(language: str) -> dict[str, Any]:
    path = Path(kith.__path__[0]) / "locale" / language / "cli.toml"
    return tomllib.loads(path.read_text("utf-8"))


def python(code: str, home: Path) -> subprocess.CompletedProcess[str]:
    environment = {"KITH_HOME": str(home), "PATH": "", "LANG": "C.UTF-8"}
    environment["PYTHONPATH"] = str(Path(kith.__path__[0]).parent)  # the very one that is tested
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom kith.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit as end: assert end.code == 0\n"
        f"print('LOADED', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = python(code, tmp_path)
    assert done.stdout.splitlines()[-1] == "LOADED []", done.stderr
    assert "serve" in done.stdout


def test_a_server_imports_nothing_that_it_may_never_need(tmp_path: Path) -> None:
    """Each costs memory at rest for as long as the house stands (``python -m benchmarks.idle``)."""
    rare = ("segno", "websockets.asyncio.client", "webauthn", "acme", "grpc", "mcp", "jinja2", "prompt_toolkit", "rich")
    code = f"import sys, kith.cli.serve\nprint([name for name in {rare!r} if name in sys.modules])"
    done = python(code, tmp_path)
    assert done.stdout.splitlines() == ["[]"], done.stderr


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_command_and_option_is_explained_in_both_languages(
    language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KITH_LANG", language)
    words = catalogue(language)
    runner = CliRunner()
    shown = runner.invoke(root, ["--help"]).output
    for name in root.list_commands(click.Context(root)):
        assert name in shown
        assert words[name]["help"]
        command = root.get_command(click.Context(root), name)
        assert command is not None
        if isinstance(command, Command):
            output = runner.invoke(root, [name, "--help"]).output
            assert words[name]["help"][:10] in output
            for parameter in command.params:
                if isinstance(parameter, click.Option):
                    assert words[name][parameter.name], f"{name} {parameter.name}"
    for name, command in _sub("config").items():
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert words[name][parameter.name]


def _sub(name: str) -> dict[str, click.Command]:
    found = root.get_command(click.Context(root), name)
    assert isinstance(found, Group)
    return found.commands


def test_the_catalogues_have_the_same_keys() -> None:
    def keys(table: dict[str, Any], prefix: str = "") -> set[str]:
        found: set[str] = set()
        for name, value in table.items():
            found |= keys(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name}
        return found

    assert keys(catalogue("en")) == keys(catalogue("zh"))


def test_commands_that_are_not_there_are_not_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(COMMANDS, "teleport", "kith.cli.teleport")
    assert "teleport" not in root.list_commands(click.Context(root))
    result = CliRunner().invoke(root, ["teleport"])
    assert result.exit_code == 2


@pytest.mark.parametrize(
    ("error", "code"), [(Refused("No.", hint="ask nicely"), 1), (Invalid("Wrong.", hint="ask nicely"), 2)]
)
def test_errors_are_a_sentence_and_a_hint(error: Exception, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def broken() -> None:
        raise error

    monkeypatch.setattr(group, "later", lambda target: broken)
    result = CliRunner().invoke(root, ["version"])
    assert result.exit_code == code
    assert str(error) in result.stderr
    assert "ask nicely" in result.stderr
    assert "Traceback" not in result.output


def test_interruption_exits_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def stopped() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(group, "later", lambda target: stopped)
    assert CliRunner().invoke(root, ["version"]).exit_code == 130


def test_a_bug_is_told_and_noted_without_anybodys_words(tmp_path: Path) -> None:
    code = (
        "import click\nfrom kith.cli import group\n"
        "@click.command()\n"
        "def broken():\n    raise RuntimeError('my secret sentence')\n"
        "group.later = lambda target: broken\n"
        "group.main(['version'])"
    )
    done = python(code, tmp_path)
    assert done.returncode == 1
    assert "bug in Kith (RuntimeError)" in done.stderr
    assert "Traceback" not in done.stderr
    assert "secret" not in done.stderr
    (log,) = (tmp_path / "logs").iterdir()
    assert "in broken" in log.read_text()
    assert "my secret sentence" not in log.read_text().replace("raise RuntimeError('my secret sentence')", "")


def test_home_and_language_are_global(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KITH_HOME", "before")
    monkeypatch.setenv("KITH_LANG", "en")
    result = CliRunner().invoke(root, ["--home", str(tmp_path), "--lang", "zh", "config", "check"])
    assert str(tmp_path) in result.output
    assert "默认值" in result.output
    assert CliRunner().invoke(root, ["--lang", "fr", "version"]).exit_code == 2


def test_version() -> None:
    assert kith.__version__ in CliRunner().invoke(root, ["version"]).output
    assert f'"kith": "{kith.__version__}"' in CliRunner().invoke(root, ["version", "--json"]).output

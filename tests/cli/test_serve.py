"""The commands as a person runs them: real processes, a real home, a real terminal."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kith.cli.serve import _serve
from kith.settings import Settings

pytestmark = [pytest.mark.server, pytest.mark.timeout(600)]

FLOW = {"intents": [{"name": "tea", "patterns": ["tea please", "来杯茶"], "response": "Here is your tea."}]}
SLOW = {
    "models": [
        {
            "name": "slow",
            "type": "llama",
            "backend": "echo",
            "options": {"delay": 0.2, "reply": "alpha bravo " + "on " * 200},
        }
    ]
}


class Home:
    """A KITH_HOME, and `kith` run in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.environment = {**os.environ, "KITH_HOME": str(path), "KITH_LANG": "en", "TERM": "dumb"}
        self.running: list[subprocess.Popen[bytes]] = []

    def kith(self, *arguments: str, typed: str = "", timeout: float = 120) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "kith", *arguments]
        return subprocess.run(
            command, input=typed, capture_output=True, text=True, env=self.environment, timeout=timeout, check=False
        )

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "kith", *arguments]
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=self.environment,
        )
        self.running.append(process)
        note = self.path / "run" / "server.json"
        deadline = time.monotonic() + 90
        while not note.exists():
            assert process.poll() is None, process.stdout and process.stdout.read().decode()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        return process

    def close(self) -> None:
        for process in self.running:
            if process.poll() is None:
                process.kill()
            process.wait(90)
            if process.stdout is not None:
                process.stdout.close()


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    found = Home(tmp_path / "home")
    found.path.mkdir()
    yield found
    found.close()


def test_asking_without_a_server(home: Home, tmp_path: Path) -> None:
    flow = tmp_path / "tea.json"
    flow.write_text(json.dumps(FLOW))
    asked = home.kith("ask", "--flow", str(flow), "Tea,", "please!")
    assert (asked.returncode, asked.stdout) == (0, "Here is your tea.\n"), asked.stderr
    assert not (home.path / "data").exists()  # a trial leaves no trace
    asked = home.kith("ask", "--json", "-", "--flow", str(flow), typed="来杯茶")
    answer = json.loads(asked.stdout)
    assert answer["text"] == "Here is your tea."
    assert answer.keys() == {"text", "finish", "model", "sources", "usage"}
    asked = home.kith("ask", "--model", "nobody", "hi")
    assert asked.returncode == 1
    assert "no model called 'nobody'" in asked.stderr
    asked = home.kith("ask", typed=" \n")
    assert asked.returncode == 2
    (flow).write_text("{")
    asked = home.kith("ask", "--flow", str(flow), "hi")
    assert asked.returncode == 2
    assert "tea.json" in asked.stderr
    assert "Traceback" not in asked.stderr


def test_asking_and_chatting_with_a_server(home: Home) -> None:
    (home.path / "kith.yaml").write_text("gateway: {port: 0}\n")
    process = home.start("serve")
    english, chinese = home.kith("ask", "hello"), home.kith("ask", "你好")
    assert english.returncode == chinese.returncode == 0, english.stderr
    assert english.stdout.strip()
    assert any("\u4e00" <= char <= "\u9fff" for char in chinese.stdout)
    chat = home.kith("chat", typed="hello\n/new\nhello\n/quit\n")
    assert chat.returncode == 0, chat.stderr
    assert chat.stdout.count("\n") >= 4
    again = home.kith("serve")
    assert again.returncode == 1
    assert "already running" in again.stderr
    process.send_signal(signal.SIGTERM)
    assert process.wait(90) == 0
    assert not (home.path / "run" / "server.json").exists()
    assert process.stdout is not None
    shown = process.stdout.read().decode()
    assert "listening on http://127.0.0.1:" in shown
    assert "kith_" in shown
    assert home.kith("chat", typed="hello\n").returncode == 0  # and without it, in its own process


EXPLAINED = "gateway: {port: 0}\nmodels:\n  - {name: parrot, type: llama, backend: echo}\n"


def test_what_went_into_a_prompt_is_explained(home: Home) -> None:
    (home.path / "kith.yaml").write_text(EXPLAINED)

    def explained() -> None:
        asked = home.kith("ask", "--explain", "--json", "Recite the tale of the azure kettle")
        assert asked.returncode == 0, asked.stderr
        prompt = json.loads(asked.stdout)["prompt"]
        parts = {part["part"]: part for part in prompt["parts"]}
        assert parts["message"]["text"] == "Recite the tale of the azure kettle"
        assert prompt["tokens"] == sum(part["tokens"] for part in prompt["parts"]) > 20
        assert prompt["overhead"] < prompt["tokens"]
        shown = home.kith("ask", "--explain", "Recite the tale of the azure kettle").stdout
        assert "The prompt for parrot" in shown
        assert "persona      You are" in shown

    explained()
    asked = home.kith("ask", "--explain", "hello")
    assert "No model was asked" in asked.stdout
    assert json.loads(home.kith("ask", "--explain", "--json", "hello").stdout)["prompt"] is None
    home.start("serve")
    explained()
    assert "No model was asked" in home.kith("ask", "--explain", "hello").stdout


def test_run_without_a_terminal_serves_until_stopped(home: Home) -> None:
    (home.path / "kith.yaml").write_text("gateway: {port: 0}\n")
    process = home.start("run")
    process.send_signal(signal.SIGINT)
    assert process.wait(90) == 0


@pytest.mark.parametrize("when", ["while it opens", "when it is open"])
def test_told_to_stop_before_anybody_waits_for_that(
    when: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who finds the note that a server leaves may stop it at once: it closes in order all the same."""
    closed: list[str] = []

    @asynccontextmanager
    async def opening(settings: Settings, *, serve: bool) -> AsyncIterator[Any]:
        os.kill(os.getpid(), signal.SIGTERM)
        try:
            if when == "while it opens":
                await asyncio.Event().wait()  # nothing but the wish to stop ends this
            yield SimpleNamespace(first_token="", gateway=None, models=SimpleNamespace(cards=list), auth=None)
        finally:
            closed.append("yes")

    monkeypatch.setenv("KITH_HOME", str(tmp_path))
    monkeypatch.setenv("KITH_LANG", "en")
    monkeypatch.setattr("kith.cli.serve.open_household", opening)
    asyncio.run(_serve(Settings(), talk=False))
    assert closed == ["yes"]
    assert "Stopping." in capsys.readouterr().out


def test_a_crashed_server_is_not_taken_for_a_running_one(home: Home) -> None:
    (home.path / "kith.yaml").write_text("gateway: {port: 0}\n")
    process = home.start("serve")
    process.kill()
    process.wait(90)
    assert (home.path / "run" / "server.json").exists()
    assert home.kith("ask", "hello").returncode == 0


class Screen:
    """A process at a terminal of its own."""

    def __init__(self, home: Home, *arguments: str) -> None:
        self.pid, self.handle = pty.fork()
        if self.pid == 0:
            os.execve(sys.executable, [sys.executable, "-m", "kith", *arguments], home.environment)
        self.text = ""

    def until(self, words: str, timeout: float = 120) -> str:
        """Everything shown up to `words`, which is taken away."""
        deadline = time.monotonic() + timeout
        while words not in self.text:
            left = deadline - time.monotonic()
            assert left > 0, f"{words!r} not in {self.text!r}"
            ready, _, _ = select.select([self.handle], [], [], left)
            try:
                self.text += os.read(self.handle, 65536).decode("utf-8", "replace") if ready else ""
            except OSError:
                raise AssertionError(f"ended before {words!r}: {self.text!r}") from None
        before, _, self.text = self.text.partition(words)
        return before

    def type(self, text: str) -> None:
        os.write(self.handle, text.encode())

    def end(self) -> int:
        while True:
            try:
                if not os.read(self.handle, 65536):
                    break
            except OSError:
                break
        _, status = os.waitpid(self.pid, 0)
        os.close(self.handle)
        return os.waitstatus_to_exitcode(status)


def test_run_at_a_terminal_talks(home: Home) -> None:
    (home.path / "kith.yaml").write_text("gateway: {port: 0}\n")
    screen = Screen(home, "run")
    screen.until("/quit leaves")
    screen.type("hello\r")
    screen.until("> ")
    screen.type("/help\r")
    screen.until("another conversation")
    screen.type("\x03")
    screen.until("again to leave")
    screen.type("/quit\r")
    screen.until("Stopping.")
    assert screen.end() == 0


def test_ctrl_c_stops_a_reply_and_not_the_chat(home: Home) -> None:
    (home.path / "kith.yaml").write_text(json.dumps({"gateway": {"port": 0}, **SLOW}))
    screen = Screen(home, "run")
    screen.until("/quit leaves")
    screen.type("tell me a long story about a fox\r")
    screen.until("bravo")
    screen.type("\x03")
    screen.until("(stopped)")
    screen.type("/quit\r")
    screen.until("Stopping.")
    assert screen.end() == 0

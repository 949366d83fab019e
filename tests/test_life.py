"""The life of a message, from the outside: a real server, a real model process, the official client.

Reads like the table in the design: heard, understood, recalled, thought, spoken, remembered; and what happens when a
part of it dies.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import openai
import psutil
import pytest
from websockets.sync.client import connect

pytestmark = [pytest.mark.server, pytest.mark.timeout(600)]

UNKNOWN = "Zorbulate the frimmin quandle for my nephew Bartholomew"


class Server:
    """``kith serve`` in a home of its own, with one small model that the real runtime runs."""

    def __init__(self, home: Path, model: Path) -> None:
        self.home = home
        settings = {
            "gateway": {"port": 0},
            "models": [{"name": "tiny", "path": str(model), "type": "llama", "max_tokens": 400}],
            "dialogue": {"reply_tokens": 200},
            "channels": {"loopback": {"journal": str(home / "journal.jsonl"), "inject": str(home / "in.sock")}},
        }
        home.mkdir()
        (home / "kith.yaml").write_text(json.dumps(settings))
        self.start()

    def start(self) -> None:
        environment = {**os.environ, "KITH_HOME": str(self.home), "KITH_LANG": "en"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "kith", "serve"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        note = self.home / "run" / "server.json"
        until(lambda: note.exists() and json.loads(note.read_text())["pid"] == self.process.pid)
        found = json.loads(note.read_text())
        self.url, self.token = found["url"], found["token"]
        self.http = httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {self.token}"}, timeout=90)
        self.openai = openai.OpenAI(base_url=f"{self.url}/v1", api_key=self.token, max_retries=0, timeout=90)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        self.openai.close()
        self.http.close()
        self.process.send_signal(how)
        self.process.wait(90)

    def model(self) -> psutil.Process:
        """The model's own process."""
        children = psutil.Process(self.process.pid).children()
        return next(child for child in children if "llama" in " ".join(child.cmdline()))


def until(condition: Callable[[], bool], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, tiny_gguf: Path) -> Iterator[Server]:
    found = Server(tmp_path_factory.mktemp("life") / "home", tiny_gguf)
    yield found
    found.stop()


def test_the_assistant_answers_from_flow_handbook_and_model(server: Server) -> None:
    def ask(text: str) -> str:
        made = server.openai.chat.completions.create(model="kith", messages=[{"role": "user", "content": text}])
        return made.choices[0].message.content or ""

    assert ask("hello").startswith(("Hello", "Hi", "Good"))
    assert "kith models add" in ask("How do I add a model?")
    assert "来源" in ask("怎么添加模型？")
    assert len(ask(UNKNOWN)) > 10


def test_a_message_lives_and_its_turn_is_remembered(server: Server) -> None:
    sent = server.http.post("/api/messages", json={"id": "m-1", "text": "hello", "conversation": "home"})
    again = server.http.post("/api/messages", json={"id": "m-1", "text": "hello", "conversation": "home"})
    assert sent.status_code == again.status_code == 202
    assert sent.json()["id"] == again.json()["id"]
    conversation = sent.json()["conversation"]

    def turns() -> list[dict[str, object]]:
        return server.http.get(f"/api/conversations/{conversation}/turns").json().get("turns", [])

    until(lambda: len(turns()) == 1)
    (turn,) = turns()
    assert turn["outcome"] == "answered"


def test_tokens_stream_from_the_real_runtime_and_a_closed_stream_frees_it(server: Server) -> None:
    stream = server.openai.chat.completions.create(
        model="tiny", messages=[{"role": "user", "content": "hi"}], stream=True, max_tokens=300
    )
    for pieces, _ in enumerate(stream):
        if pieces == 10:
            break
    stream.close()
    whole = server.openai.chat.completions.create(
        model="tiny", messages=[{"role": "user", "content": "hi"}], max_tokens=5
    )
    assert whole.usage is not None
    assert 0 < whole.usage.completion_tokens <= 5


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_model_that_dies_or_hangs_in_a_stream_takes_nothing_with_it(server: Server, how: signal.Signals) -> None:
    stream = server.openai.chat.completions.create(
        model="tiny", messages=[{"role": "user", "content": "tell me"}], stream=True, max_tokens=400
    )
    seen = 0
    ended = "finished"
    try:
        for _ in stream:
            seen += 1
            if seen == 3:
                server.model().send_signal(how)
    except openai.APIError as error:
        ended = str(error)
    assert ended == "finished" or "the process of tiny was lost" in ended
    assert server.http.get("/health/live").status_code == 200

    def answers() -> bool:
        try:
            made = server.openai.chat.completions.create(
                model="tiny", messages=[{"role": "user", "content": "still there?"}], max_tokens=4
            )
        except openai.APIStatusError as error:
            assert error.status_code == 503
            return False
        return made.choices[0].finish_reason in ("stop", "length")

    until(answers)


def test_after_a_power_cut_the_conversation_goes_on(server: Server) -> None:
    asked = server.http.post("/api/ask", json={"text": "hello", "conversation": "kept"})
    assert asked.status_code == 200
    server.stop(signal.SIGKILL)
    server.start()
    listed = server.http.get("/api/conversations").json()["conversations"]
    kept = next(one for one in listed if one["handle"] == "kept")
    assert len(server.http.get(f"/api/conversations/{kept['id']}/turns").json()["turns"]) == 1


def test_a_picture_that_was_sent_outlives_a_power_cut_and_goes_with_its_sender(server: Server) -> None:
    picture = b"\x89PNG\r\n\x1a\n" + os.urandom(2000)
    blob = server.http.post("/api/blobs", content=picture, headers={"Content-Type": "image/png"}).json()["blob"]
    said = {"type": "message", "id": "p-1", "conversation": "seen", "parts": [{"type": "image", "blob": blob}]}
    place = f"{server.url.replace('http', 'ws')}/api/channels/web/live"
    with connect(place, additional_headers={"Authorization": f"Bearer {server.token}"}) as line:
        line.send(json.dumps(said))
        until(lambda: json.loads(line.recv(timeout=90))["type"] == "accepted")
    server.stop(signal.SIGKILL)
    server.start()
    assert server.http.get(f"/api/blobs/{blob}").content == picture
    person = next(one["id"] for one in server.http.get("/api/people").json()["people"] if "web" in one["handles"])
    assert server.http.delete(f"/api/people/{person}").status_code == 200
    assert server.http.get(f"/api/blobs/{blob}").status_code == 404

"""What Kith adds to a model that answers at once, beside LiteLLM's proxy before the same model and the bare framework.

``python -m benchmarks.proxies [--litellm PYTHON] [--rounds N] [--conversations N] [--json]``

PYTHON is that of an environment with ``litellm[proxy]``, made for this alone: ``uv venv /tmp/litellm`` and
``uv pip install --python /tmp/litellm/bin/python 'litellm[proxy]'``. The model is a bare Litestar route with a fixed
answer, in a process of its own; requests do not stream. Latency is what one client sees, one request after the other,
less what it sees without anything between; ``echo`` is a model inside Kith; CPU-seconds are those of the server in
question alone.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import uvicorn
import uvloop
from litestar import Litestar, post

from benchmarks.report import Row, report
from kith.app import open_household
from kith.runtime.lifecycle import until_stopped
from kith.settings import load_settings

ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "mock",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "good day"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
}
KEY = "sk-bench"
_MORE = 10  # times the rounds for quick servers: the processor's time is told in hundredths of a second


@dataclass(frozen=True, slots=True)
class Place:
    """A server: where it is, what it wants to be shown, and its process."""

    port: int
    token: str
    pid: int

    def cpu(self) -> float:
        """Seconds of processor time so far, of the process and its children."""
        main = psutil.Process(self.pid)
        return sum(sum(one.cpu_times()[:2]) for one in (main, *main.children(recursive=True)))


async def serve_mock() -> None:
    """The model: the framework alone."""

    @post("/v1/chat/completions", status_code=200)
    async def chat(data: dict[str, Any]) -> dict[str, Any]:
        del data
        return ANSWER

    app = Litestar([chat], openapi_config=None)
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", access_log=False))
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # or it waits for 40 ms (Nagle)
    listener.bind(("127.0.0.1", 0))
    print(json.dumps({"port": listener.getsockname()[1], "token": ""}), flush=True)
    await server.serve(sockets=[listener])


async def serve_kith(upstream: int) -> None:
    """A household whose one model is that one."""
    with tempfile.TemporaryDirectory(prefix="kith-bench-") as scratch:
        os.environ["KITH_HOME"] = scratch
        file = Path(scratch) / "kith.yaml"
        model = f"{{name: mock, url: 'http://127.0.0.1:{upstream}/v1', options: {{usage: false}}}}"
        file.write_text(f"gateway: {{port: 0}}\nmodels: [{model}, {{name: echo, backend: echo}}]\n")
        async with open_household(load_settings(file), serve=True) as house:
            assert house.gateway is not None
            port = int(house.gateway.address.rpartition(":")[2])
            print(json.dumps({"port": port, "token": await house.auth.new("bench")}), flush=True)
            await until_stopped()


@contextmanager
def process(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Generator[subprocess.Popen[str]]:
    """A child that is ended at the end."""
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        yield child
    finally:
        child.terminate()
        child.wait(30)


@contextmanager
def served(kind: str, upstream: int = 0) -> Generator[Place]:
    """One of ours."""
    with process([sys.executable, "-m", "benchmarks.proxies", "--serve", kind, "--upstream", str(upstream)]) as child:
        assert child.stdout is not None
        yield Place(**json.loads(child.stdout.readline()), pid=child.pid)


@contextmanager
def litellm(python: Path, upstream: int, scratch: Path, port: int) -> Generator[Place]:
    """LiteLLM's proxy with one worker, as its documentation starts it, with its logs off."""
    about = {"model": "openai/mock", "api_base": f"http://127.0.0.1:{upstream}/v1", "api_key": "none"}
    config = {
        "model_list": [{"model_name": "mock", "litellm_params": about}],
        "general_settings": {"master_key": KEY},
        "litellm_settings": {"telemetry": False, "set_verbose": False},
    }
    file = scratch / "litellm.yaml"
    file.write_text(json.dumps(config))
    environment = {
        **os.environ,
        "LITELLM_LOG": "ERROR",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_MODE": "PRODUCTION",
    }
    command = [str(python.parent / "litellm"), "--config", str(file), "--port", str(port), "--host", "127.0.0.1"]
    with process([*command, "--num_workers", "1"], environment) as child:
        place = Place(port, KEY, child.pid)
        asyncio.run(until_ready(place))
        yield place


async def until_ready(place: Place) -> None:
    """Wait until it answers, for two minutes at most."""
    async with asyncio.timeout(120):
        while True:
            try:
                await converse(place, 1)
                return
            except (OSError, AssertionError, asyncio.IncompleteReadError):
                await asyncio.sleep(0.3)


async def converse(place: Place, rounds: int, model: str = "mock") -> list[float]:
    """Seconds for each of some requests, one after the other over one connection."""
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": "good day"}]})
    asked = (
        "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {place.token}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    ).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
    times: list[float] = []
    try:
        for _ in range(rounds):
            start = time.perf_counter()
            writer.write(asked)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            assert head.startswith(b"http/1.1 200"), head
            length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
            assert b"good day" in await reader.readexactly(length)
            times.append(time.perf_counter() - start)
    finally:
        writer.close()
    return times


async def load(place: Place, conversations: int, rounds: int, model: str = "mock") -> tuple[float, float]:
    """Answers per second and per CPU-second of the server, with so many clients at once."""
    await asyncio.gather(*(converse(place, 2, model) for _ in range(conversations)))
    start, cpu = time.perf_counter(), place.cpu()
    done = sum(map(len, await asyncio.gather(*(converse(place, rounds, model) for _ in range(conversations)))))
    return done / (time.perf_counter() - start), done / (place.cpu() - cpu)


def measure(python: Path | None, conversations: int, rounds: int) -> list[Row]:
    """Every row of the report; the servers run at the same time and take turns."""
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kith-bench-")))
        mock = stack.enter_context(served("mock"))
        places = {"bare": mock, "kith": stack.enter_context(served("kith", mock.port))}
        if python is not None:
            places["litellm"] = stack.enter_context(litellm(python, mock.port, scratch, 14_000 + os.getpid() % 1000))
        single: dict[str, list[float]] = {name: [] for name in places}
        for _ in range(10):
            for name, place in places.items():
                single[name] += asyncio.run(converse(place, 5 + rounds))[5:]
        itself = [asyncio.run(converse(places["kith"], 5 + rounds, "echo"))[5:] for _ in range(10)]
        many = rounds * _MORE
        own = asyncio.run(load(places["kith"], conversations, many, "echo"))
        turns = {name: rounds if name == "litellm" else many for name in places}
        found = {name: asyncio.run(load(place, conversations, turns[name])) for name, place in places.items()}
    one = {name: statistics.median(times) * 1000 for name, times in single.items()}
    peer = "litellm" if python is not None else ""
    echo = statistics.median(seconds for times in itself for seconds in times) * 1000
    added = one["kith"] - one["bare"]
    rows = [Row("added latency, one client, median", added, "ms", one[peer] - one["bare"] if peer else 0, "LiteLLM")]
    rows.append(Row("the same, answering itself (echo)", echo - one["bare"], "ms"))
    rows.append(Row("answers per CPU-second (echo)", own[1], "1/s", found["bare"][1], "bare Litestar"))
    if peer:
        rows.append(Row("answers per CPU-second", found["kith"][1], "1/s", found[peer][1], "LiteLLM"))
        rows.append(
            Row(f"answers per second, {conversations} at once", found["kith"][0], "1/s", found[peer][0], "LiteLLM")
        )
    return rows


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--litellm", type=Path)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--conversations", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--serve", choices=("mock", "kith"))
    parser.add_argument("--upstream", type=int, default=0)
    given = parser.parse_args()
    if given.serve:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # as `kith serve` does
            runner.run(serve_mock() if given.serve == "mock" else serve_kith(given.upstream))
        return
    report("proxies", measure(given.litellm, given.conversations, given.rounds), given.json)


if __name__ == "__main__":
    main()

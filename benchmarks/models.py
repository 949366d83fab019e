"""Tokens a second through Kith beside the bare runtime, and the time to the first token, also after a restart.

``python -m benchmarks.models [--json] [--model FILE | --preset tiny|0.5b|1.3b] [--tokens N] [--rounds N]``

Kith's service and the bare runtime (its own process, the same threads and slots, its callbacks doing nothing) take
turns on the same file; the figure is the median of the rounds. The first token is timed with a prompt of about 1,024
tokens: new, known, and known before everything was stopped and started again (the loading of the model not counted).
With ``--preset tiny`` the model costs next to nothing, so that what Kith adds to a request and a token can be seen.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from benchmarks.report import Row, report
from kith.core.clock import SystemClock
from kith.core.message import Message, Text
from kith.core.model import ChatRequest, Sampling
from kith.models import ModelService, ModelSettings
from kith.runtime.supervisor import Supervisor
from kith.runtime.telemetry import configure_logs

CONTEXT, SLOTS = 2048, 8
FAST = 500.0  # tokens a second above which what Kith adds is not lost in the model's own noise


class Key:
    """The port `Cipher`, for what is kept over the restart."""

    def key(self, purpose: str) -> bytes:
        del purpose
        return bytes(32)


def model_file(preset: str, kind: str = "") -> Path:
    """The synthetic model, made once and kept beside other temporary files; `kind` as ``make_gguf.py --type``."""
    path = Path(tempfile.gettempdir()) / f"kith-bench-{preset}{'-' if kind else ''}{kind}.gguf"
    if not path.exists():
        script = Path(__file__).parents[1] / "scripts" / "make_gguf.py"
        spare = path.with_suffix(".new")
        command = [sys.executable, str(script), "--preset", preset, "--out", str(spare)]
        subprocess.run([*command, *(["--type", kind] if kind else [])], check=True, stdout=2)
        spare.replace(path)
    return path


class Bare:
    """The runtime without Kith, in a process of its own: what can be reached at all."""

    def __init__(self, path: Path, threads: int) -> None:
        environment = {**os.environ, "GOMP_SPINCOUNT": "1000", "OMP_WAIT_POLICY": "passive"}
        command = [sys.executable, "-m", "benchmarks.models", "--bare", str(path), "--threads", str(threads)]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            text=True,
        )

    def ask(self, streams: int, tokens: int, prompt: str) -> dict[str, float]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"streams": streams, "tokens": tokens, "prompt": prompt}) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        self._process.communicate()


def bare(path: str, threads: int) -> None:
    """The bare runtime's process: one line of JSON in, one out."""
    from concurrent.futures import ThreadPoolExecutor

    runtime: Any = importlib.import_module("xllamacpp")
    params = runtime.CommonParams()
    params.model.path = path
    params.n_ctx, params.n_parallel = CONTEXT * SLOTS, SLOTS
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.n_batch = params.n_ubatch = 512
    params.cache_ram_mib = 256
    params.fit_params = params.warmup = False
    params.verbosity = 1
    server = runtime.Server(params)

    def one(order: dict[str, Any], number: int) -> tuple[float, int]:
        began, seen = time.perf_counter(), []

        def heard(_chunk: dict[str, Any]) -> bool:
            if not seen:
                seen.append(time.perf_counter() - began)
            return False

        body = {"prompt": f"<|im_start|>user\n{number} {order['prompt']}<|im_end|>\n<|im_start|>assistant\n"}
        server.handle_completions({**body, "n_predict": order["tokens"], "stream": True, "cache_prompt": True}, heard)
        return seen[0], order["tokens"]

    for line in sys.stdin:
        order = json.loads(line)
        began = time.perf_counter()
        with ThreadPoolExecutor(SLOTS) as pool:
            firsts, counts = zip(*pool.map(one, [order] * order["streams"], range(order["streams"])), strict=True)
        seconds = time.perf_counter() - began
        print(json.dumps({"rate": sum(counts) / seconds, "first": statistics.median(firsts)}), flush=True)


async def kith(service: ModelService, streams: int, tokens: int, prompt: str) -> dict[str, float]:
    """The same work through Kith."""

    async def one(number: int) -> tuple[float, int]:
        message = Message("m", "user", (Text(f"{number} {prompt}"),), 0.0)
        began, first, count = time.perf_counter(), 0.0, 0
        async for delta in service.chat(ChatRequest((message,), "bench", Sampling(max_tokens=tokens))):
            first = first or time.perf_counter() - began
            count = delta.usage.completion if delta.usage else count
        return first, count

    began = time.perf_counter()
    results = await asyncio.gather(*(one(number) for number in range(streams)))
    rate = sum(count for _, count in results) / (time.perf_counter() - began)
    return {"rate": rate, "first": statistics.median(first for first, _ in results)}


@asynccontextmanager
async def opened(settings: ModelSettings, folder: Path) -> AsyncGenerator[ModelService]:
    """Kith's service with one model."""
    clock = SystemClock()
    supervisor = Supervisor(clock)
    service = ModelService([settings], clock, supervisor, folder, cipher=Key())
    await service.start()
    try:
        yield service
    finally:
        await service.stop()
        await supervisor.close()


async def measure(path: Path, tokens: int, rounds: int, threads: int) -> list[Row]:
    """Every row of the report."""
    settings = ModelSettings(name="bench", path=str(path), context=CONTEXT, parallel=SLOTS, threads=threads)
    peer = Bare(path, threads)
    try:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            async with opened(settings, folder) as service:
                rows = [await load_row(service)]
                rows += [await rate_row(service, peer, streams, tokens, rounds) for streams in (1, 2, 4, 8)]
                if rows[1].figure > FAST:
                    rows += await overhead_rows(service, peer)
                prefix = await prefix_of(service)
                rows += await first_rows(service, peer, prefix)
            return [*rows, *await restart_rows(settings, folder, prefix, rows)]
    finally:
        await asyncio.to_thread(peer.close)


async def load_row(service: ModelService) -> Row:
    began = time.perf_counter()
    await kith(service, 1, 1, "hello")
    return Row("load and first token", time.perf_counter() - began, "s")


async def rate_row(service: ModelService, peer: Bare, streams: int, tokens: int, rounds: int) -> Row:
    ours, theirs = [], []
    await asyncio.to_thread(peer.ask, streams, 8, "warm up")
    for _ in range(rounds):
        ours.append((await kith(service, streams, tokens, "Tell me a story."))["rate"])
        theirs.append((await asyncio.to_thread(peer.ask, streams, tokens, "Tell me a story."))["rate"])
    name = f"tokens, {streams} stream{'s' if streams > 1 else ''}"
    return Row(name, statistics.median(ours), "tokens/s", statistics.median(theirs), "bare runtime")


async def prefix_of(service: ModelService) -> str:
    """About 1,024 tokens."""
    prefix = " ".join(f"w{number}" for number in range(4000))
    while await service.count(prefix, "bench") > 1024:
        prefix = prefix[: len(prefix) * 9 // 10]
    return prefix


async def first_rows(service: ModelService, peer: Bare, prefix: str) -> list[Row]:
    """A prefix of about 1,024 tokens, new and known."""
    rows = list[Row]()
    for name in ("cold", "warm"):
        ours = (await kith(service, 1, 4, prefix))["first"]
        theirs = (await asyncio.to_thread(peer.ask, 1, 4, prefix))["first"]
        rows.append(Row(f"first token, 1,024 tokens, {name} prefix", ours * 1000, "ms", theirs * 1000, "bare runtime"))
    cold, warm = rows
    return [cold, warm, Row("first token, warm against cold", warm.figure, "ms", cold.figure, "cold")]


async def restart_rows(settings: ModelSettings, folder: Path, prefix: str, known: list[Row]) -> list[Row]:
    """The same prefix in a new service, with what was kept and without."""
    cold = next(row.figure for row in known if "cold prefix" in row.name)
    kept = sum(path.stat().st_size for path in (folder / ".prefixes").rglob("*.kv"))
    began = time.perf_counter()
    async with opened(settings, folder) as service:
        async with service.using("chat", "bench"):
            loading = time.perf_counter() - began
        first = (await kith(service, 1, 4, prefix))["first"]
    return [
        Row("what was kept, sealed", kept / 2**20, "MiB"),
        Row("start and load, with what was kept", loading * 1000, "ms"),
        Row("first token, 1,024 tokens, after a restart", first * 1000, "ms", cold, "cold"),
    ]


async def overhead_rows(service: ModelService, peer: Bare) -> list[Row]:
    """What a request and each token cost beside the runtime's work: queue, process and callbacks; exact counts."""
    short, long = 1, 65
    ours, theirs = dict[int, float](), dict[int, float]()
    for tokens in (short, long):
        pairs = [(await _lone(service, tokens), await _lone(peer, tokens)) for _ in range(30)]
        ours[tokens], theirs[tokens] = (statistics.median(one) for one in zip(*pairs, strict=True))
    request = (ours[short] - theirs[short]) * 1e6
    token = ((ours[long] - ours[short]) - (theirs[long] - theirs[short])) / (long - short) * 1e6
    times = []
    for number in range(50):
        began = time.perf_counter()
        await service.count(f"how many tokens are these? {number}", "bench")
        times.append(time.perf_counter() - began)
    return [
        Row("added to a request of one token", request, "us"),
        Row("added to each further token", token, "us"),
        Row("exact count of a sentence's tokens", statistics.median(times) * 1000, "ms"),
    ]


async def _lone(asked: ModelService | Bare, tokens: int) -> float:
    """Seconds of one short request, as its server knows them."""
    if isinstance(asked, Bare):
        return tokens / (await asyncio.to_thread(asked.ask, 1, tokens, "hello"))["rate"]
    return tokens / (await kith(asked, 1, tokens, "hello"))["rate"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--preset", default="0.5b", choices=["tiny", "0.5b", "1.3b"])
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=max(1, (os.cpu_count() or 2) - 1))
    parser.add_argument("--bare", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.bare:
        bare(options.bare, options.threads)
        return
    if importlib.util.find_spec("xllamacpp") is None:
        raise SystemExit('needs the runtime: pip install "kith[llama]"')
    configure_logs()
    path = options.model or model_file(options.preset)
    rows = asyncio.run(measure(path, options.tokens, options.rounds, options.threads))
    report(f"models ({path.name}, {options.threads} threads)", rows, options.json)


if __name__ == "__main__":
    main()

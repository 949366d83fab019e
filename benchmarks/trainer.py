"""Trains Rasa's own pipeline and reads texts with it: the half of `benchmarks.diet` that runs where Rasa is installed.

``PYTHON benchmarks/trainer.py REQUEST ANSWER``

REQUEST is a JSON file ``{"config": {…}, "train": [[text, intent], …], "texts": [text, …], "threads": 1}``. Into ANSWER
go, for every text, the likeliest intent, how sure Rasa is of it, and whether its pipeline falls back; seconds of the
processor for training and for reading, the peak of resident memory and the size of what is installed, both in MiB.
Nothing of Kith is imported here, and nothing of Rasa is changed: it is trained by ``rasa.model_training.train_nlu`` and
asked by ``Agent.parse_message``, as its own commands do.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import resource
import sys
import tempfile
import time
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

FALLBACK = "nlu_fallback"


def installed(name: str) -> float:
    """MiB of a distribution and of all that it asks for, extras left out."""
    from packaging.requirements import Requirement

    total, seen, left = 0, set[str](), [name]
    while left:
        one = left.pop()
        if one.casefold().replace("_", "-") in seen:
            continue
        seen.add(one.casefold().replace("_", "-"))
        try:
            found = distribution(one)
        except PackageNotFoundError:
            continue
        paths = [Path(str(found.locate_file(file))) for file in found.files or ()]
        total += sum(path.stat().st_size for path in paths if path.is_file())
        wanted = [Requirement(text) for text in found.requires or ()]
        left += [need.name for need in wanted if not need.marker or need.marker.evaluate({"extra": ""})]
    return total / 2**20


def peak() -> float:
    """MiB of resident memory that this process, or a child of it, had at most."""
    own, child = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return (own + child) / 1024


def files(folder: Path, request: dict[str, Any]) -> tuple[str, str]:
    """The configuration and the training data, written as Rasa itself writes them."""
    from rasa.shared.nlu.training_data.message import Message
    from rasa.shared.nlu.training_data.training_data import TrainingData

    config, data = folder / "config.yml", folder / "nlu.yml"
    config.write_text(json.dumps(request["config"]), "utf-8")  # JSON is YAML
    said = [Message.build(text=text, intent=intent) for text, intent in request["train"]]
    data.write_text(TrainingData(said).nlu_as_yaml(), "utf-8")
    return str(config), str(data)


async def read(agent: Any, texts: list[str]) -> list[list[Any]]:
    """For each, one at a time: the likeliest intent, its confidence, and whether Rasa falls back instead."""
    found: list[list[Any]] = []
    for text in texts:
        parsed = await agent.parse_message(text)
        known = [one for one in parsed["intent_ranking"] if one["name"] != FALLBACK]
        first = known[0] if known else {"name": "", "confidence": 0.0}
        found.append([first["name"], float(first["confidence"]), parsed["intent"]["name"] == FALLBACK])
    return found


def main() -> None:
    """Train, read, answer."""
    request: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    answer = Path(sys.argv[2]).resolve()
    quiet = {"RASA_TELEMETRY_ENABLED": "false", "TF_CPP_MIN_LOG_LEVEL": "3", "SQLALCHEMY_SILENCE_UBER_WARNING": "1"}
    threads = str(request["threads"])
    os.environ |= quiet | {"TF_INTRA_OP_PARALLELISM_THREADS": threads, "TF_INTER_OP_PARALLELISM_THREADS": threads}
    logging.disable(logging.WARNING)
    from rasa.core.agent import Agent
    from rasa.model_training import train_nlu
    from rasa.utils.log_utils import configure_structlog
    from rasa.utils.tensorflow.environment import setup_tf_environment

    configure_structlog(logging.ERROR)  # as its server does; or every message that is read costs a line of log
    setup_tf_environment()
    with tempfile.TemporaryDirectory(prefix="kith-rasa-") as scratch:
        os.chdir(scratch)
        config, data = files(Path(scratch), request)
        busy = time.process_time()
        model = train_nlu(config, data, scratch)
        training = time.process_time() - busy
        agent = Agent.load(model)
        asyncio.run(read(agent, request["texts"][:3]))  # what is built at the first message is no part of the others
        busy = time.process_time()
        answers = asyncio.run(read(agent, request["texts"]))
        reading = time.process_time() - busy
        os.chdir("/")
    figures = {"training": training, "reading": reading, "peak": peak(), "installed": installed("rasa")}
    answer.write_text(json.dumps({"answers": answers, **figures}), "utf-8")


if __name__ == "__main__":
    main()

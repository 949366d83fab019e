"""Talk with Kith over gRPC: a question answered at once, then a conversation that survives a broken connection.

``KITH_TOKEN=kith_… python examples/grpc_client.py [host:port]``; needs ``pip install grpcio grpcio-tools`` and the file
``kith.proto``, which lies in ``src/kith/gateway`` and in every installed Kith beside the gateway.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import grpc

sys.path.append(str(Path(__file__).parents[1] / "src" / "kith" / "gateway"))
words, services = grpc.protos_and_services("kith.proto")  # made at run time


def ask(kith: Any, who: Any, text: str) -> None:
    """Print the answer while it is made."""
    for event in kith.Ask(words.AskRequest(text=text), metadata=who):
        print(event.text, end="", flush=True)
    print(f"  [{event.done.model or 'flow'}]")


def chat(kith: Any, who: Any, texts: list[str]) -> str:
    """Say things in both directions; the id of the last event, with which `Open.last_event_id` goes on."""
    frames: SimpleQueue[Any] = SimpleQueue()
    frames.put(words.ChatRequest(open=words.Open(conversation="example")))
    for text in texts:
        frames.put(words.ChatRequest(say=words.Say(text=text)))
    frames.put(None)
    said: Iterator[Any] = iter(frames.get, None)
    last = ""
    for event in kith.Chat(said, metadata=who):
        last = event.id or last
        if event.WhichOneof("event") == "end":
            print(event.end.text)
        elif event.WhichOneof("event") == "problem":
            print(f"{event.problem.code}: {event.problem.message}", file=sys.stderr)
    return last


def main() -> None:
    """Connect, ask, talk."""
    address = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:8788"
    who = (("authorization", f"Bearer {os.environ['KITH_TOKEN']}"),)
    with grpc.insecure_channel(address) as channel:
        kith = services.AssistantStub(channel)
        ask(kith, who, "hello")
        print("resume with", chat(kith, who, ["hello", "thank you"]))


if __name__ == "__main__":
    main()

"""The terminal chat with scripted keyboards and partners."""

from __future__ import annotations

import asyncio
import io
import os
import signal
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from kith.cli.keyboard import Pipe
from kith.cli.terminal import Chat
from kith.core.errors import Unavailable
from kith.runtime.streams import StreamEvent


@pytest.fixture(autouse=True)
def english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KITH_LANG", "en")


class Keys:
    """Types `lines` one after the other; an exception in them is raised."""

    interactive = True

    def __init__(self, *lines: str | type[BaseException]) -> None:
        self.lines, self.screen = list(lines), ""

    async def read(self) -> str | None:
        if not self.lines:
            return None
        line = self.lines.pop(0)
        if isinstance(line, str):
            return line
        raise line

    def write(self, text: str) -> None:
        self.screen += text


class Other:
    """Answers by `script`: the events for each thing said, in which ``T`` stands for the turn."""

    def __init__(self, name: str, *script: list[tuple[str, dict[str, Any]]]) -> None:
        self.name, self.script = name, list(script)
        self.said: list[tuple[str, str]] = []
        self.cancelled: list[str] = []
        self.queue: asyncio.Queue[StreamEvent | None] = asyncio.Queue()
        self.failure: Exception | None = None
        self.closed = False

    async def say(self, text: str, model: str = "") -> str:
        if self.failure is not None:
            raise self.failure
        self.said.append((text, model))
        turn = f"t{len(self.said)}"
        for kind, data in self.script.pop(0) if self.script else []:
            self.push(kind, **{"turn": turn, **data})
        await asyncio.sleep(0)
        return turn

    def push(self, kind: str, **data: Any) -> None:
        self.queue.put_nowait(StreamEvent(0, kind, data, 0))

    async def events(self) -> AsyncIterator[StreamEvent]:
        while (event := await self.queue.get()) is not None:
            yield event
        raise Unavailable("the server has gone")

    async def cancel(self, turn: str) -> None:
        self.cancelled.append(turn)
        self.push("end", turn=turn)

    async def close(self) -> None:
        self.closed = True


def chat(keys: Keys, *partners: Other) -> Callable[[], Any]:
    waiting = list(partners)

    async def opener(name: str) -> Any:
        partner = waiting.pop(0)
        partner.name = name
        return partner

    return Chat(keys, opener, lambda: "fresh", "main").run


def talk(keys: Keys, *partners: Other) -> str:
    async def story() -> None:
        async with asyncio.timeout(90):
            await chat(keys, *partners)()

    asyncio.run(story())
    return keys.screen


WHOLE = [
    ("delta", {"text": "Hel"}),
    ("delta", {"text": "lo"}),
    ("message", {"text": "Hello", "sources": []}),
    ("end", {}),
]


def test_pieces_are_shown_once() -> None:
    other = Other("", WHOLE)
    assert talk(Keys("hi"), other) == "Hello\n"
    assert other.said == [("hi", "")]
    assert other.closed


def test_what_the_pieces_lack_comes_with_the_whole() -> None:
    script = [("delta", {"text": "Hel"}), ("message", {"text": "Hello", "sources": ["manual", "manual"]}), ("end", {})]
    assert talk(Keys("hi"), Other("", script)) == "Hello\nSources: manual\n"


def test_a_reply_that_starts_anew_or_comes_whole() -> None:
    script = [("delta", {"text": "Wro"}), ("reset", {}), ("message", {"text": "Right", "sources": []}), ("end", {})]
    assert talk(Keys("hi"), Other("", script)) == "Wro\n(starting again)\nRight\n"


def test_a_failed_turn_is_told() -> None:
    script = [("end", {"code": "unavailable", "text": "no model"})]
    assert talk(Keys("hi"), Other("", script)) == "Error: no model\n"


def test_what_is_refused_is_told_and_the_chat_goes_on() -> None:
    other = Other("", WHOLE)
    other.failure = Unavailable("full", hint="wait")
    assert talk(Keys("hi"), other) == "Error: full\nHint: wait\n"


def test_messages_nobody_awaits_are_shown_whole() -> None:
    async def story() -> str:
        keys, other = Keys("hi"), Other("")
        other.push("delta", turn="elsewhere", text="not this")
        other.push("message", turn="elsewhere", text="a reminder")
        other.script = [WHOLE]
        async with asyncio.timeout(90):
            await chat(keys, other)()
        return keys.screen

    assert asyncio.run(story()) == "a reminder\nHello\n"


def test_commands() -> None:
    first, second = Other("", WHOLE), Other("", WHOLE)
    keys = Keys("/help", "/model big", "hi", "/new", "/model", "again", "/what", "", "   ", "/quit", "never")
    screen = talk(keys, first, second)
    assert "/new [NAME]" in screen
    assert "Asking: big" in screen
    assert "There is no /what" in screen
    assert first.said == [("hi", "big")]
    assert second.said == [("again", "")]
    assert (first.name, second.name) == ("main", "fresh")
    assert keys.lines == ["never"]


def test_ctrl_c_at_the_prompt_asks_first() -> None:
    assert "again to leave" in talk(Keys(KeyboardInterrupt, KeyboardInterrupt, "never"), Other(""))
    keys = Keys(KeyboardInterrupt, "hi", KeyboardInterrupt, "/quit")
    assert talk(keys, Other("", WHOLE)).count("again to leave") == 2


def test_ctrl_c_during_a_reply_stops_the_reply() -> None:
    async def story() -> str:
        keys, other = Keys("hi", "again"), Other("", [("delta", {"text": "Once upon"})], WHOLE)
        running = asyncio.create_task(chat(keys, other)())
        async with asyncio.timeout(90):
            while "upon" not in keys.screen:
                await asyncio.sleep(0.01)
            os.kill(os.getpid(), signal.SIGINT)
            await running
        assert other.cancelled == ["t1"]
        assert [text for text, _ in other.said] == ["hi", "again"]
        return keys.screen

    assert asyncio.run(story()) == "Once upon\n(stopped)\nHello\n"


def test_a_conversation_that_breaks_ends_the_chat() -> None:
    async def story() -> None:
        other = Other("")
        other.queue.put_nowait(None)
        async with asyncio.timeout(90):
            await chat(Keys("hi"), other)()

    with pytest.raises(Unavailable, match="gone"):
        asyncio.run(story())


def test_lines_from_a_pipe() -> None:
    async def story() -> list[str | None]:
        source = io.TextIOWrapper(io.BytesIO("one\r\n\xe4\xbd".encode("latin-1") + b"\xff\nlast"), "ascii")
        pipe = Pipe(source, io.StringIO())
        return [await pipe.read() for _ in range(4)]

    assert asyncio.run(story()) == ["one", "\ufffd\ufffd", "last", None]


def test_a_connection_that_breaks_is_told_and_the_reply_begins_anew() -> None:
    script = [
        ("delta", {"text": "Wro"}),
        ("lost", {}),
        ("back", {}),
        ("reset", {}),
        ("delta", {"text": "Right"}),
        ("message", {"text": "Right", "sources": []}),
        ("end", {}),
    ]
    screen = talk(Keys("hi"), Other("", script))
    assert screen == (
        "Wro\n(the connection is lost; looking for the server)\n(connected again)\n\n(starting again)\nRight\n"
    )
    keys = Keys("hi")
    keys.interactive = False
    assert talk(keys, Other("", script)) == "Wro\n(starting again)\nRight\n"  # the rest is for the standard error


def test_nobody_has_to_wait_for_a_server_that_is_away() -> None:
    class Away(Other):
        async def say(self, text: str, model: str = "") -> str:
            if text == "hi":
                os.kill(os.getpid(), signal.SIGINT)
                await asyncio.Event().wait()
            return await super().say(text, model)

    assert talk(Keys("hi", "again"), Away("", WHOLE)) == (
        "(not waiting any longer; if Kith has it, the answer will be shown)\nHello\n"
    )

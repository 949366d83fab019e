"""The terminal chat: reads lines, shows replies while they are made. Ctrl-C stops a reply; at the prompt it leaves."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any

import click

from kith.cli.keyboard import Keyboard
from kith.cli.partner import Partner
from kith.core.errors import KithError
from kith.runtime.locale import tr
from kith.runtime.streams import StreamEvent

Open = Callable[[str], Awaitable[Partner]]
_SILENCE = 600.0
_LATE = 3.0


class Chat:
    """One person at one terminal. `opener` gives the partner for a conversation's name."""

    def __init__(self, keyboard: Keyboard, opener: Open, new_name: Callable[[], str], conversation: str) -> None:
        self._keyboard, self._opener, self._new_name = keyboard, opener, new_name
        self._conversation = conversation
        self._model = ""
        self._partner: Partner | None = None
        self._reply = _Reply("")
        self._interrupted = asyncio.Event()
        self._warned = False

    async def run(self) -> None:
        """Until the person leaves, or the conversation breaks for good (then its error is raised)."""
        await self._join(self._conversation)
        try:
            with self._ctrl_c():
                await self._talk()
        finally:
            await self._leave()

    async def _talk(self) -> None:
        while True:
            try:
                line = await self._keyboard.read()
            except KeyboardInterrupt:
                if not self._warn():
                    return
                continue
            self._warned = False
            if line is None:
                return
            if line.strip().startswith("/"):
                if not await self._command(line.strip()):
                    return
            elif line.strip():
                await self._exchange(line)

    def _warn(self) -> bool:
        """Say that another Ctrl-C leaves; false when that has been said just before."""
        if self._warned or not self._keyboard.interactive:
            return False
        self._warned = True
        self._say(tr("cli.chat.again"))
        return True

    async def _command(self, line: str) -> bool:
        """Do ``/name argument``; false to leave."""
        name, _, argument = line[1:].partition(" ")
        match name:
            case "quit" | "exit" | "q":
                return False
            case "help" | "?":
                self._say(tr("cli.chat.commands"))
            case "new":
                await self._leave()
                await self._join(argument.strip() or self._new_name())
                self._say(tr("cli.chat.fresh"))
            case "model":
                self._model = argument.strip()
                self._say(tr("cli.chat.model", model=self._model or tr("cli.chat.default")))
            case "follow" | "leave" | "persona":
                await self._exchange(line)
            case _:
                self._say(tr("cli.chat.unknown", name=name))
        return True

    async def _exchange(self, text: str) -> None:
        """Say something and show the answer until it is whole."""
        assert self._partner is not None
        self._interrupted.clear()
        self._reply = _Reply("?")
        try:
            turn = await self._said(self._partner.say(text, self._model))
        except KithError as error:
            self._reply = _Reply("")
            if self._listener.done():  # nothing comes any more, and what else there is to say would be lost
                raise
            self._say(tr("cli.error.line", message=str(error)))
            if error.hint:
                self._say(tr("cli.error.hint", hint=error.hint))
            return
        if not turn:
            early, self._reply = self._reply.early, _Reply("")
            self._say(tr("cli.chat.withdrawn"))
            for event in early:
                self._show(event)
            return
        self._reply.turn = turn
        for event in self._reply.early:
            self._show(event)
        self._reply.early.clear()
        await self._whole(turn)
        self._reply = _Reply("")

    async def _said(self, saying: Coroutine[Any, Any, str]) -> str:
        """The turn that will answer; empty when the person did not want to wait for the server any more."""
        told, stopped = asyncio.create_task(saying), asyncio.create_task(self._interrupted.wait())
        try:
            await asyncio.wait((told, stopped), return_when=asyncio.FIRST_COMPLETED)
            return await told if told.done() else ""
        finally:
            for task in (told, stopped):
                task.cancel()
            await asyncio.gather(told, stopped, return_exceptions=True)

    async def _whole(self, turn: str) -> None:
        """Wait for the reply's end; Ctrl-C asks for it."""
        assert self._partner is not None
        waits: list[asyncio.Task[Any]] = [
            asyncio.create_task(self._reply.done.wait()),
            asyncio.create_task(self._interrupted.wait()),
        ]
        watched: list[asyncio.Task[Any]] = [*waits, self._listener]
        try:
            done, _ = await asyncio.wait(watched, timeout=_SILENCE, return_when=asyncio.FIRST_COMPLETED)
            if waits[0] not in done:
                if self._listener in done:
                    self._listener.result()
                await self._partner.cancel(turn)
                self._say("\n" + tr("cli.chat.stopped" if done else "cli.chat.silent"))
                with contextlib.suppress(TimeoutError):  # its last pieces belong to this reply, not to the next
                    async with asyncio.timeout(_LATE):
                        await self._reply.done.wait()
        finally:
            for wait in waits:
                wait.cancel()

    async def _listen(self, partner: Partner) -> None:
        async for event in partner.events():
            if self._reply.turn == "?" and event.data.get("turn"):
                self._reply.early.append(event)  # it came before we were told which turn answers
            else:
                self._show(event)

    def _show(self, event: StreamEvent) -> None:
        """Put an event on the screen: pieces of the awaited reply as they come, everything else whole."""
        reply, data = self._reply, event.data
        mine = bool(reply.turn) and data.get("turn") == reply.turn
        match event.kind:
            case "delta" if mine and not self._interrupted.is_set():
                reply.said += str(data["text"])
                self._keyboard.write(str(data["text"]))
            case "reset" if mine and reply.said:
                reply.said = ""
                self._say("\n" + tr("cli.chat.reset"))
            case "message" if mine:
                reply.finish(str(data["text"]), data.get("sources") or (), self._say)
            case "message":
                self._say(str(data["text"]))
            case "end" if mine:
                if data.get("code"):
                    self._say(tr("cli.error.line", message=data.get("text", "")))
                reply.done.set()
            case "lost":
                self._tell(("\n" if reply.said and self._keyboard.interactive else "") + tr("cli.chat.lost"))
            case "back":
                self._tell(tr("cli.chat.back"))
            case _:
                return

    async def _join(self, conversation: str) -> None:
        self._conversation = conversation
        self._partner = await self._opener(conversation)
        self._listener = asyncio.create_task(self._listen(self._partner))

    async def _leave(self) -> None:
        if self._partner is not None:
            await self._partner.close()
        self._listener.cancel()
        await asyncio.gather(self._listener, return_exceptions=True)

    def _say(self, text: str) -> None:
        self._keyboard.write(text + "\n")

    def _tell(self, text: str) -> None:
        """Something about the chat itself, on a line of its own; in a pipe it does not mix with what is said."""
        if self._keyboard.interactive:
            self._say(text)
        else:
            click.echo(text, err=True)

    @contextlib.contextmanager
    def _ctrl_c(self) -> Generator[None]:
        """While a reply is awaited, the interrupt signal stops the reply and not the program."""
        loop = asyncio.get_running_loop()
        main = asyncio.current_task()

        def interrupt() -> None:
            if self._reply.turn:
                self._interrupted.set()
            elif not self._warn() and main is not None:
                main.cancel()

        try:
            loop.add_signal_handler(signal.SIGINT, interrupt)
        except (NotImplementedError, RuntimeError, ValueError):  # no signals here: another thread, or Windows
            yield
            return
        try:
            yield
        finally:
            loop.remove_signal_handler(signal.SIGINT)


class _Reply:
    """The reply that is awaited; `turn` is empty when none is, and ``?`` until the turn's id is known."""

    def __init__(self, turn: str) -> None:
        self.turn = turn
        self.said = ""
        self.shown: list[str] = []
        self.early: list[StreamEvent] = []
        self.done = asyncio.Event()

    def finish(self, text: str, sources: Any, say: Callable[[str], None]) -> None:
        """A whole message: only what the pieces have not shown already is new."""
        if text in self.shown:
            return
        self.shown.append(text)
        if self.said and text.startswith(self.said.strip()):
            say(text[len(self.said.rstrip()) :])
        elif self.said and self.said in text:
            say("")
        else:
            say(("\n" if self.said else "") + text)
        self.said = ""
        unnamed = [str(source) for source in dict.fromkeys(sources) if str(source) not in text]
        if unnamed:
            say(tr("cli.ask.sources", sources=", ".join(unnamed)))

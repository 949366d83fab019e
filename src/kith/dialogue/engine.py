"""The engine: claims what was heard, takes it through the stages, and lets whoever waits watch it happen."""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from kith.core.errors import Broken, Invalid, KithError, Refused, Unavailable
from kith.core.events import FlowReloaded, MessageReceived
from kith.core.ids import conversation_id
from kith.core.message import Delta, Envelope, Message
from kith.core.turn import Accepted, Claim, Dead, Later, Turn
from kith.dialogue.bursts import joinable, joined, pause, whole
from kith.dialogue.draft import Draft, Ports
from kith.dialogue.manners import LONGEST
from kith.dialogue.session import spoken_language
from kith.dialogue.turn import Runner, Stage, admit, apology, resolve, speak
from kith.runtime.health import Health
from kith.runtime.streams import Streams, Subscription
from kith.runtime.tasks import contained
from kith.runtime.telemetry import get_logger

_log = get_logger(__name__)
_POLL = 1.0
_RENEW = 15.0
_FLOW_CHECK = 2.0
_DEADLY = 20  # claims of one message that ended with the process: more than bad luck explains
_LONGEST = 60.0
_HOLD = 1.0
_PLACES = 2000  # more than topics are kept of the live stream
_CHANGES = 10  # how often new messages may change one reply


@dataclass(slots=True)
class _Work:
    """One turn that is being made."""

    draft: Draft
    task: asyncio.Task[None] | None = None
    live: bool = False
    changed: bool = False
    changes: int = 0
    gathering: bool = False


@dataclass(slots=True)
class _Pace:
    """When to look at the inbox again: at once when somebody says so, else after a while."""

    event: asyncio.Event = field(default_factory=asyncio.Event)

    def wake(self) -> None:
        self.event.set()

    async def wait(self, seconds: float) -> None:
        # Not `wait_for`: before Python 3.12 it can swallow a cancellation that comes together with the event.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.event.wait()
        self.event.clear()


class Engine:
    """Implements `Talk`. Many conversations at once; within one, one turn at a time and in order."""

    def __init__(self, ports: Ports, streams: Streams, health: Health, worker: str) -> None:
        self._ports, self._streams, self._health, self._worker = ports, streams, health, worker
        self._runner = Runner(ports)
        self._active: dict[str, _Work] = {}
        self._pace = _Pace()
        self._loops: list[asyncio.Task[None]] = []
        self._present: OrderedDict[str, str] = OrderedDict()  # who is at a place: one person, or a group

    async def start(self) -> None:
        """Begin answering what waits in the inbox."""
        works = (self._claim(), self._watch_flow(), self._ports.agenda.run(self._pace.wake))
        self._loops = [asyncio.create_task(work) for work in works]
        self._ports.mind.start()
        self._health.report("dialogue", "ready")

    async def stop(self, grace: float = 5.0) -> None:
        """Take nothing new, give running turns `grace` seconds, then leave them to the next start."""
        self._health.report("dialogue", "stopped")
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        await self._ports.layers.close()
        await self._ports.mind.stop()
        tasks = [work.task for work in self._active.values() if work.task]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=grace)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def hear(self, envelope: Envelope) -> Accepted:
        """Commit a message to the inbox; its reply leaves by the outbox and shows on the live stream."""
        if envelope.message.role != "user":
            raise Invalid("only what somebody says can be heard", code="bad_role")
        place = conversation_id(envelope.channel, envelope.account, envelope.conversation)
        try:
            await self._ports.blobs.keep(place, envelope.message)
            accepted = await self._ports.inbox.accept(envelope)
        except Unavailable as error:
            if error.code == "inbox_full":  # a no costs time as well, so a flood hears it slowly
                await self._ports.clock.sleep(_HOLD)
            raise
        if not accepted.duplicate:
            self._interject(accepted.conversation, envelope)
            self._ports.bus.publish(MessageReceived(accepted.id, accepted.conversation, envelope.channel))
            self._pace.wake()
        return accepted

    async def reply(self, envelope: Envelope, history: Sequence[Message] | None = None) -> AsyncIterator[Delta]:
        """One turn at once, streamed. Closing the stream early stops the model.

        With a `history` the caller keeps the conversation and nothing is stored; with None, it is Kith's to keep.
        """
        if history is not None:
            async for delta in self._direct(envelope, history):
                yield delta
            return
        conversation = conversation_id(envelope.channel, envelope.account, envelope.conversation)
        reader = self._streams.subscribe(conversation)
        turn = ""
        try:
            accepted = await self.hear(envelope)
            turn = accepted.id
            if accepted.duplicate and (done := await self._finished(accepted.conversation, turn)):
                yield Delta(_text(done), finish="stop", usage=done.usage, model=done.model, turn=turn)
                return
            async for delta in self._relay(reader, accepted.conversation, turn):
                yield delta
            turn = ""
        finally:
            reader.close()
            if turn:
                self.cancel(turn)

    def cancel(self, turn: str) -> None:
        """Stop making a reply. What was said so far is kept."""
        work = self._active.get(turn)
        if work is None or work.task is None or work.draft.stopping or work.draft.closing:
            return
        work.draft.stopping = True
        if work.live and not work.gathering:  # a task that is cancelled before its first step takes none
            work.task.cancel()

    def _interject(self, conversation: str, envelope: Envelope) -> None:
        """Let a new message change or stop the reply that is being made to the one before, where that is wished."""
        manner = self._ports.settings.manners.interjection
        if manner == "queue":
            return
        for turn, work in self._active.items():
            draft = work.draft
            if draft.claim is None or draft.claim.conversation != conversation or draft.closing:
                continue
            if work.task is None or work.changed or draft.stopping or not joinable(draft.envelope, envelope):
                continue
            if manner == "interrupt":
                self.cancel(turn)
            elif work.changes < _CHANGES and not draft.acted:
                work.changed = True
                if work.live:
                    work.task.cancel()

    async def _direct(self, envelope: Envelope, history: Sequence[Message]) -> AsyncIterator[Delta]:
        pieces: asyncio.Queue[Delta | None] = asyncio.Queue(16)
        draft = Draft(self._ports.ids.new("t"), envelope, pieces.put, history=history)

        async def run() -> None:
            try:
                async with asyncio.timeout(self._ports.settings.turn_timeout):
                    await contained(self._runner.run(draft))
            except TimeoutError:
                raise Unavailable("the reply took too long", code="timeout") from None
            finally:
                await pieces.put(None)

        task = asyncio.create_task(run())
        try:
            while (delta := await pieces.get()) is not None:
                if not delta.finish:
                    yield delta
            await task
            sources = tuple(passage.source for passage in draft.passages)
            yield Delta(finish="stop", usage=draft.usage, model=draft.model, sources=sources, fallback=draft.fallback)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _relay(self, reader: Subscription, conversation: str, turn: str) -> AsyncIterator[Delta]:
        """The live events of one turn; where the live stream has lost some, the rest comes from the stored turn."""
        said = ""
        async for event in reader:
            if event.data.get("turn") != turn:
                continue
            if event.kind == "delta":
                said += event.data["text"]
                yield Delta(event.data["text"])
            elif event.kind == "reset" and said:
                yield Delta("\n\n")
                said = ""
            elif event.kind == "end":
                if code := event.data.get("code"):
                    raise Unavailable(event.data["text"], code=code)
                break
        done = await self._finished(conversation, turn)
        if done is None:
            raise Unavailable("the reply was interrupted; it goes on in the conversation", code="interrupted")
        text = _text(done)
        if reader.lagged and text.startswith(said):
            yield Delta(text[len(said) :])
        sources = tuple(passage.source for passage in done.passages)
        end = Delta(finish="stop", usage=done.usage, model=done.model, sources=sources, fallback=done.fallback)
        yield replace(end, turn=turn)

    async def _finished(self, conversation: str, turn: str) -> Turn | None:
        recent = await self._ports.store.turns(conversation, 50)
        return next((found for found in reversed(recent) if found.id == turn), None)

    async def _claim(self) -> None:
        """Claim and start turns for ever. A failing storage is waited for, not died of."""
        limit = self._ports.settings.parallel
        while True:
            free = limit - len(self._active)
            if free <= 0 or not await self._begun(free):
                await self._pace.wait(_POLL)

    async def _begun(self, free: int) -> int:
        """Claim and start so many turns; how many there were. On return it holds none, which may be forgotten soon."""
        try:
            claims = await self._ports.inbox.claim(self._worker, free)
            self._health.report("dialogue", "ready")
        except KithError as error:
            self._health.report("dialogue", "degraded", error.message)
            return 0
        for claim in claims:
            self._begin(claim)
        return len(claims)

    def _begin(self, claim: Claim) -> None:
        async def emit(delta: Delta) -> None:
            if delta.text:
                self._show(claim, "delta", {"turn": claim.id, "text": delta.text})

        if claim.attempts > 1:
            self._show(claim, "reset", {"turn": claim.id})
        work = _Work(Draft(claim.id, claim.envelope, emit, claim))
        self._active[claim.id] = work
        work.task = asyncio.create_task(self._live(work, claim))

    async def _live(self, work: _Work, claim: Claim) -> None:
        renewal = asyncio.create_task(self._renew(work, claim))
        work.live = True
        try:
            await self._hush(claim)
            if work.changed:
                await self._join(work, claim)
            await self._gather(work, claim)
            while not await self._made(work, claim):
                self._show(claim, "reset", {"turn": claim.id})
                await self._join(work, claim)
        except KithError as error:
            _log.warning("turn left", turn=claim.id, code=error.code)
        finally:
            renewal.cancel()
            self._active.pop(claim.id, None)
            self._pace.wake()

    async def _hush(self, claim: Claim) -> None:
        """What was said live to somebody else is not shown again to those who are at a place now."""
        said, place = claim.envelope, claim.conversation
        if said.message.role != "user" or place != conversation_id(said.channel, said.account, said.conversation):
            return
        present = said.kind if said.kind == "group" else f"direct {said.sender}"
        if self._present.pop(place, present) != present:
            await self._streams.wipe("", (place,))
        self._present[place] = present
        if len(self._present) > _PLACES:
            self._present.popitem(last=False)

    async def _made(self, work: _Work, claim: Claim) -> bool:
        """Make the reply, or end it where it was stopped; False when a new message came that changes it."""
        draft = work.draft
        if not draft.stopping:
            try:
                await self._take(draft, claim, admit)
                return True
            except asyncio.CancelledError:
                if work.task is None or not (work.changed or draft.stopping):
                    raise
                work.task.uncancel()
        if not draft.stopping:
            work.changes += 1
            return False
        draft.pending = ()
        draft.answer = draft.answer if draft.conversation else ""
        await self._take(draft, claim, speak if draft.conversation else resolve)
        return True

    async def _gather(self, work: _Work, claim: Claim) -> None:
        """Wait for the end of a burst: until nothing more has come for a while."""
        silence, heard = pause(self._ports.settings.manners, claim.envelope), -1
        if not silence or work.draft.stopping or self._whole(claim.envelope.message.text):
            return
        work.gathering = True
        for _ in range(max(int(LONGEST / silence), 1)):
            work.changed = True
            await self._ports.clock.sleep(silence)
            if work.draft.stopping or len(await self._join(work, claim, self._whole)) == heard:
                break
            heard = len(work.draft.joined)
        work.gathering = False
        if work.draft.stopping:  # taken back, or written anew: what came behind it gets an answer of its own
            work.draft = Draft(claim.id, claim.envelope, work.draft.emit, claim, stopping=True)

    def _whole(self, text: str) -> bool:
        """Whether a message needs no other to be understood."""
        return whole(text, self._ports.flows.current, self._ports.clock.now())

    async def _join(self, work: _Work, claim: Claim, alone: Callable[[str], bool] = lambda _: False) -> Sequence[str]:
        """Begin the turn anew, with what waits behind it. Raises `Refused` when the lease is lost."""
        work.changed = True  # nothing cancels this: what comes now is read, or has a turn of its own
        envelope, names = joined(await self._ports.inbox.renew(claim), alone)
        before = work.draft
        work.draft = Draft(before.id, envelope, before.emit, before.claim, joined=names, stopping=before.stopping)
        work.changed = False
        return names

    async def _take(self, draft: Draft, claim: Claim, start: Stage) -> None:
        """Run one claimed turn to its end, whatever that is."""
        end: dict[str, object] = {"turn": claim.id}
        try:
            if claim.attempts > _DEADLY:
                raise Broken("this message has ended Kith's process again and again", code="deadly_message")
            try:
                async with asyncio.timeout(self._ports.settings.turn_timeout):
                    await contained(self._runner.run(draft, start))
            except TimeoutError:
                raise Unavailable("the reply took too long", code="timeout") from None
        except KithError as error:
            if error.code == "lease_lost":
                lost = {"turn": claim.id, "text": "another worker goes on with this reply", "code": error.code}
                self._show(claim, "end", lost)
                return
            told = await self._failed(draft, claim, error)
            if told is None:
                return
            end |= told
        end.setdefault("text", draft.text)
        for turn in (claim.id, *draft.joined):
            self._show(claim, "end", {**end, "turn": turn})

    def _show(self, claim: Claim, kind: str, data: Mapping[str, object]) -> None:
        """Tell whoever follows the conversation, and whoever follows the place where the message was said."""
        said = claim.envelope
        for topic in {claim.conversation, conversation_id(said.channel, said.account, said.conversation)}:
            self._streams.publish(topic, kind, data)

    async def _failed(self, draft: Draft, claim: Claim, error: KithError) -> dict[str, object] | None:
        """Try again later (None), or tell the person; if even that cannot be kept, the lease runs out."""
        _log.warning("turn failed", turn=draft.id, code=error.code, attempts=claim.attempts, error=error.message)
        inbox, now = self._ports.inbox, self._ports.clock.now()
        try:
            # While it is not even known who asks, nobody could be told: the message waits until storage is well again.
            if error.retry and (claim.attempts < self._ports.settings.attempts or draft.conversation is None):
                wait = max(getattr(error, "retry_after", 0.0), min(0.5 * 2.0 ** min(claim.attempts, 16), _LONGEST))
                await inbox.settle(claim, Later(now + wait, error.message))
                return None
            draft.answer, draft.outcome = apology(error, spoken_language(draft.heard.text)), "failed"
            await contained(self._runner.run(draft, start=speak if draft.conversation else resolve))
        except KithError as second:
            _log.error("turn could not be settled", turn=draft.id, code=second.code)
            if claim.attempts > _DEADLY:
                with contextlib.suppress(KithError):
                    await inbox.settle(claim, Dead(second.message))
            return {"text": second.message, "code": second.code}
        return {}

    async def _renew(self, work: _Work, claim: Claim) -> None:
        """Keep the lease while the turn is being made; without it, somebody else answers and we must not."""
        while True:
            await asyncio.sleep(_RENEW)
            try:
                claim = await self._ports.inbox.renew(claim)
            except Refused:
                if work.task is not None:
                    work.task.cancel()
                return
            except KithError as error:
                _log.warning("lease not renewed", turn=claim.id, code=error.code)

    async def _watch_flow(self) -> None:
        """Put a changed flow file in force; a broken one is told and the old one stays."""
        flows = self._ports.flows
        while True:
            await asyncio.sleep(_FLOW_CHECK)
            if not await asyncio.to_thread(flows.changed):
                continue
            try:
                flow = await asyncio.to_thread(flows.reload)
                self._ports.bus.publish(FlowReloaded(flow.name))
                self._health.report("flow", "ready")
            except Invalid as error:
                self._ports.bus.publish(FlowReloaded("", str(error)))
                self._health.report("flow", "degraded", str(error))


def _text(turn: Turn) -> str:
    return "\n".join(message.text for message in turn.spoke)

"""The life of one message, as a list of stages. Reading `STAGES` is understanding Kith.

Each stage receives the turn in progress and, by the names of its parameters, only the ports that it needs. It returns
None to go on with the next stage, or the stage to go to. The runner wraps each in a span and a timer.
"""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

from kith.core.clock import Clock
from kith.core.errors import Invalid, KithError, NotFound, Refused, Unavailable
from kith.core.events import TurnFinished
from kith.core.ids import Ids, conversation_id
from kith.core.message import Audio, Delta, Message, Part, Text, ToolCall, ToolResult, Usage
from kith.core.model import ChatRequest, Sampling, Scope
from kith.core.people import Parcel
from kith.core.ports import Guard, Inbox, Recall, Records, Release, Senses, Store, Tools
from kith.core.turn import Done, Passage, Understanding
from kith.dialogue import consent, outside, tooling
from kith.dialogue.care import mood
from kith.dialogue.care.candour import claims
from kith.dialogue.care.feeling import felt
from kith.dialogue.care.measures import MINOR, Tier, alarm
from kith.dialogue.care.worry import asked, counted, helped, in_danger, judged, shelter
from kith.dialogue.context import STEP, rounds_of, window
from kith.dialogue.draft import Draft, Ports
from kith.dialogue.flows.flow import FlowBook, Reading
from kith.dialogue.flows.layers import Layers
from kith.dialogue.initiative.agenda import Agenda
from kith.dialogue.memory.speech import all_forgotten
from kith.dialogue.mind import Mind
from kith.dialogue.personas.persona import Persona
from kith.dialogue.prompt import Asked, prompt_for
from kith.dialogue.purse import Purse
from kith.dialogue.session import Session, spoken_language
from kith.dialogue.settings import DialogueSettings
from kith.dialogue.threads import followed
from kith.runtime.bus import Bus
from kith.runtime.leaks import masked
from kith.runtime.locale import tr
from kith.runtime.telemetry import counter, get_logger, span

Stage = Callable[..., Awaitable[Any]]

_log = get_logger(__name__)
_turns = counter("kith_turns_total", "Turns that ended.", ("channel", "outcome", "by"))
_moves = counter("kith_dialogue_steps_total", "Steps of dialogues by what came of them.", ("outcome",))
_STEPS = 64
_TOO_MUCH = ("message_too_long", "rate_limited", "content_refused", "content_self_harm")


async def admit(draft: Draft, guard: Guard, settings: DialogueSettings) -> Stage | None:
    """Who is it, and may they speak now? Somebody in danger is answered even where they spoke too much or too often."""
    if draft.heard.role == "system":  # the house speaks first, in words of its own
        draft.locale, draft.answer = draft.envelope.locale, draft.heard.text
        draft.understanding = Understanding("reminder", confidence=1.0, by="rule")
        return None
    draft.locale = spoken_language(draft.heard.text, draft.envelope.locale)
    try:
        draft.principal = await guard.admit(draft.envelope)
    except Refused as refusal:
        if refusal.code in _TOO_MUCH and await helped(draft, settings, asking=refusal.code != "content_refused"):
            return None
        if refusal.code == "content_self_harm":  # who asks how to is told who helps
            shelter(draft, settings)
            return None
        if draft.claim is None:
            raise
        _log.info("message refused", channel=draft.envelope.channel, code=refusal.code)
        harmful = refusal.code == "content_refused"
        draft.answer, draft.outcome = tr(f"dialogue.{'harmful' if harmful else 'refused'}", draft.locale), "refused"
    return None


async def resolve(
    draft: Draft, store: Store, settings: DialogueSettings, clock: Clock, mind: Mind, records: Records
) -> Stage | None:
    """Which person, which conversation, and where its dialogue stands."""
    if draft.history is not None:
        return speak if draft.answer is not None else None
    kept = draft.claim.conversation if draft.claim else ""
    draft.person, draft.conversation = draft.met(*await store.resolve(draft.envelope, kept))
    draft.session = Session.restore(draft.conversation.state, clock.now(), settings.session_idle)
    if draft.envelope.kind == "group":
        draft.session.turn_to(draft.person.id, clock.now(), settings.session_idle)
    draft.session.mood = await mood.lasting(records, draft.person.id, clock.now())
    draft.where = await mind.where(draft.person.id, draft.envelope, draft.conversation.id)
    draft.speaker, several = await mind.speaker(outside.own(draft.heard), draft.where, draft.session.rounds)
    draft.label = tr("memory.label", draft.locale, name=draft.speaker.name) if several and draft.speaker else ""
    if draft.answer is not None:
        return speak
    if not draft.heard.text and not draft.envelope.locale:
        draft.locale = spoken_language("", draft.session.locale or draft.person.locale)
    return speak if await followed(draft, store, outside.own(draft.heard), settings.timezone) else None


async def sense(draft: Draft, senses: Senses) -> Stage | None:
    """Pictures, sounds and files become text or data where they can."""
    if all(isinstance(part, Text) for part in draft.heard.parts):
        return None
    parts: list[Part] = []
    for part in draft.heard.parts:
        try:
            found = (part,) if isinstance(part, Text) else await senses.sense(part)
            parts += found if isinstance(part, Text | Audio) else [_foreign(one) for one in found]
        except KithError as error:
            _log.warning("part unreadable", part=part.type, code=error.code)
            parts += (part, Text(f"[{part.type}, unreadable]"))
    draft.heard = replace(draft.heard, parts=tuple(parts))
    return None


async def understand(
    draft: Draft,
    flows: FlowBook,
    layers: Layers,
    persona: Persona,
    agenda: Agenda,
    clock: Clock,
    settings: DialogueSettings,
    mind: Mind,
) -> Stage | None:
    """Danger before all; then rules, then the classifier; a rule may answer at once. What none knows is the model's."""
    if await in_danger(draft, settings) or (not _plain_wish(draft, agenda) and asked(draft, settings)):
        return speak
    if draft.session.asked and (chosen := _consented(draft, clock.now())):
        return chosen
    where = agenda.zone(draft.person)
    if await _agreed(draft, agenda) or await _remembered(draft, mind):
        return speak
    feeling, sure = felt(outside.own(draft.heard))
    draft.session.mood = mood.moved(draft.session.mood, feeling, 0.0, sure)  # it faded to now when the person was found
    values = {"persona": (draft.speaker or persona).name, "name": draft.envelope.sender_name}
    reading = await layers.read(
        flows.current,
        outside.own(draft.heard),
        draft.session.flow,
        locale=draft.locale,
        now=clock.now(),
        values=values,
        pick=draft.pick,
        zone=where,
    )
    draft.understanding = replace(reading.understanding, emotion=feeling)
    draft.session.flow, draft.path, draft.coda = dict(reading.state), reading.path, reading.coda
    draft.instruction = mood.guidance(feeling, draft.session.mood, unsure=bool(draft.worry))
    draft.locale = reading.language
    if reading.action and reading.action.kind == "handover" and reading.action.argument == "crisis":
        shelter(draft, settings)  # a flow's own words may notice what the rules did not
        return speak
    return _follow(draft, await mind.played(reading, draft.where), mind)


async def recall(draft: Draft, knowledge: Recall) -> Stage | None:
    """What is known about it, within a budget. A flow may ask for it to be quoted."""
    person = draft.person.id if draft.person else ""
    query = draft.recall_for or draft.heard.text
    try:
        draft.passages = await knowledge.recall(query, person, draft.locale, 3)
    except KithError as error:
        _log.warning("recall failed", code=error.code)
    if draft.speaker and not draft.recall_for:
        draft.passages = (*draft.speaker.recall(query), *draft.passages)[:3]
    if draft.recall_for and draft.passages:
        draft.passages = draft.passages[:1]
        draft.answer = quote(draft.passages[0], draft.locale)
        return speak
    return None


async def think(
    draft: Draft,
    purse: Purse,
    persona: Persona,
    tools: Tools,
    guard: Guard,
    store: Store,
    settings: DialogueSettings,
    mind: Mind,
) -> Stage | None:
    """Ask a model, and pass its words on while they come. Without a model, say what the handbook says, or so."""
    persona = draft.speaker or persona
    name = draft.envelope.persona or settings.model or persona.model
    card = next((c for c in purse.cards() if "chat" in c.capabilities and name in ("", c.name)), None)
    if card is None or await _spent(draft, purse):
        draft.answer = draft.answer or await _recalled(draft, mind) or _plain_answer(draft)
        return speak
    draft.answer, reply = None, min(settings.reply_tokens, card.reply or settings.reply_tokens)
    offered = tuple(tooling.allowed(tools.offered(draft.principal), persona)) if draft.principal else ()
    if not draft.prompt:
        if draft.history is None and draft.conversation is not None:
            draft.history = await _said(draft.conversation.id, draft.session.rounds, store, settings)
        system = "\n".join((persona.prompt(), MINOR)) if settings.care.minor else persona.prompt()
        told = (draft.instruction, draft.passages, offered, draft.session.rounds)
        asked = Asked(draft.id, draft.heard, draft.where, draft.locale, *told)
        draft.prompt = await prompt_for(asked, system, draft.history or (), card, purse, settings, mind)
    person = draft.person.id if draft.person else ""
    request = ChatRequest(
        (*draft.prompt, *outside.returned(draft.work, tooling.permitted(draft, tools), outside.nonce(draft.id))),
        name,
        Sampling(max_tokens=reply),
        tools=offered,
        person=draft.payer,
        conversation=draft.conversation.id if draft.conversation else "",
        scope=Scope(persona.name, person=person) if person and not draft.history else None,
    )
    await _heard_out(draft, purse.chat(request), guard, persona)
    return None


async def act(draft: Draft, tools: Tools, settings: DialogueSettings, clock: Clock, ids: Ids) -> Stage | None:
    """Do what the model asked for, if it may, and let it go on with the results; a bounded number of times.

    What others wrote may have put the wish into the model: then only what changes nothing is done without the person.
    """
    if not draft.pending or draft.principal is None:
        return None
    draft.acted = True
    wanted, draft.pending = draft.pending, ()
    if len(draft.calls) + len(wanted) > settings.tool_rounds * 4 or _rounds(draft) >= settings.tool_rounds:
        return None
    known, now = {spec.name: spec for spec in tools.offered(draft.principal)}, clock.now()
    wanted = tuple(replace(call, arguments=masked(call.arguments)) for call in wanted)
    if await tooling.must_ask(draft, wanted, known, settings, now):
        return speak
    tainted = tooling.tainted(draft, known, settings)
    results = [await tooling.use(draft, call, tools, known.get(call.name), tainted) for call in wanted]
    draft.calls += wanted
    said = (Text(draft.text),) if draft.text else ()
    draft.work.append(Message(ids.new("m"), "assistant", (*said, *wanted), now))
    draft.work.append(Message(ids.new("m"), "tool", tuple(results), now))
    draft.text = ""
    if draft.answer is not None:  # a flow's reply beside its tool holds only when the tool has done it
        draft.answer = next((result.text for result in results if result.failed), draft.answer)
        return speak
    return think


async def speak(
    draft: Draft, guard: Guard, tools: Tools, inbox: Inbox, settings: DialogueSettings, clock: Clock, ids: Ids
) -> Stage | None:
    """Give the reply its last form, and commit it with the turn and the dialogue's state in one transaction."""
    draft.closing = True
    if draft.answer is not None:
        draft.text = (
            draft.answer if draft.fixed else _released(guard.release(draft.envelope, _known(draft)), draft.answer)
        )
        await draft.emit(Delta(draft.text))
    elif not draft.text and draft.outcome == "answered" and not draft.stopping:
        draft.text = tr("dialogue.silent", draft.locale)
        await draft.emit(Delta(draft.text))
    now = clock.now()
    await _go_back(draft)
    if draft.forgot:
        draft.heard = replace(draft.heard, parts=(Text(tr("memory.request", draft.locale)),))
    await _own_up(draft)
    await _suggest_break(draft, settings, now)
    if draft.text:
        draft.spoke = (Message(ids.new("m"), "assistant", (Text(draft.text),), now),)
    if draft.claim is None:
        return None
    counted(draft)
    if outside.read((draft.heard, *draft.work), draft.passages, tooling.permitted(draft, tools)):
        draft.session.tainted = max(draft.session.rounds, 1)
    draft.session.seen, draft.session.locale = now, draft.locale
    parcels = tuple(_parcel(draft, message, now, settings) for message in draft.spoke) if draft.envelope.deliver else ()
    if draft.danger and not draft.worry.other and settings.care.contact is not None:  # who hurts may be who is told
        who = draft.envelope.sender_name or (draft.person.name if draft.person else "")
        parcels += (alarm(settings.care.contact, draft.id, who, draft.locale, now),)
    await inbox.settle(draft.claim, Done(draft.turn(), draft.session.keep(), parcels, draft.joined, draft.thread))
    return None


async def remember(draft: Draft, bus: Bus, mind: Mind, settings: DialogueSettings, records: Records) -> Stage | None:
    """Tell everybody who learns from turns: metrics, audit, learning, memory."""
    if draft.heard.role == "user" and draft.outcome in ("answered", "handed_over") and not draft.danger:
        rounds = (draft.session.rounds, settings.rounds)
        await mind.learn(draft.turn(), outside.own(draft.envelope.message), draft.where, rounds, forgot=draft.forgot)
    if draft.person is not None and draft.forgot:
        await mood.forget(records, draft.person.id)
    elif draft.person is not None and draft.understanding.emotion:
        await mood.keep(records, draft.person.id, draft.session.mood, draft.session.seen)
    bus.publish(TurnFinished(draft.turn(), draft.envelope.channel))
    _turns.add(1, channel=draft.envelope.channel, outcome=draft.outcome, by=draft.understanding.by or "model")
    for step in draft.path:
        _moves.add(1, outcome=step.outcome)
    return None


STAGES: tuple[Stage, ...] = (admit, resolve, sense, understand, recall, think, act, speak, remember)


class Runner:
    """Takes drafts through the stages."""

    def __init__(self, ports: Ports) -> None:
        self._needs = {stage: _needs(stage, ports) for stage in STAGES}

    async def run(self, draft: Draft, start: Stage = admit) -> None:
        """Go through the stages from `start` to the end. Raises what a stage raises."""
        stage: Stage | None = start
        for _ in range(_STEPS):
            if stage is None:
                return
            with span(f"turn.{stage.__name__}", turn=draft.id) as work:
                chosen = await stage(draft, **self._needs[stage])
            draft.timings[stage.__name__] = draft.timings.get(stage.__name__, 0.0) + work.seconds
            stage = chosen or _after(stage)
        raise Unavailable("the turn went in circles", code="too_many_steps")


def quote(passage: Passage, locale: str) -> str:
    """A passage as an answer, with its source named."""
    return tr("dialogue.quoted", locale, text=passage.text, source=passage.source)


def apology(error: KithError, locale: str) -> str:
    """What a person is told when a turn failed for good."""
    match error:
        case Invalid(code="context_length_exceeded"):
            return tr("dialogue.too_long", locale)
        case Unavailable() | NotFound():
            return tr("dialogue.unavailable", locale)
        case _:
            return tr("dialogue.failed", locale)


def _plain_wish(draft: Draft, agenda: Agenda) -> bool:
    """Whether only the words around a wish to be reminded looked worrying: its matter, alone, does not.

    The order to forget everything is one that people are told to give, and no sign of anything.
    """
    if draft.worry and all_forgotten(outside.own(draft.heard)):
        return True
    wish = agenda.wish(outside.own(draft.heard), draft.person) if draft.worry.tier is Tier.UNCLEAR else None
    return wish is not None and not judged(wish.what)


async def _agreed(draft: Draft, agenda: Agenda) -> bool:
    """Whether the message was a wish to be reminded, or about such wishes; then it is done and answered."""
    if draft.person is None or draft.history is not None:
        return False
    said = outside.own(draft.heard)
    draft.answer = await agenda.hear(said, draft.person, draft.envelope, draft.id, spoken_language(said, draft.locale))
    if draft.answer is not None:
        draft.understanding = Understanding("agenda", confidence=1.0, by="rule")
    return draft.answer is not None


async def _recalled(draft: Draft, mind: Mind) -> str | None:
    """What memory answers without a model. Then it is no question that others are shown, to learn from it."""
    noted = await mind.told(outside.own(draft.heard), draft.where, draft.locale) if not draft.work else None
    if noted:
        draft.passages, draft.understanding = (), Understanding("memory", confidence=1.0, by="rule")
        draft.path = tuple(replace(step, outcome="answered") for step in draft.path)
    return noted


async def _remembered(draft: Draft, mind: Mind) -> bool:
    """Whether the message was about what is remembered; then it is done and answered."""
    said = await mind.asked(outside.own(draft.heard), draft.where, draft.locale)
    if said is None:
        return False
    draft.answer, draft.forgot = said.answer, said.forgot
    draft.session.flow = {} if said.forgot else draft.session.flow
    draft.understanding = Understanding("memory", confidence=1.0, by="rule")
    return True


async def _go_back(draft: Draft) -> None:
    """After free talk, the question that is still open; never below words about danger or of failure."""
    if not draft.coda or not draft.text or draft.danger or draft.outcome not in ("answered", "handed_over"):
        return
    line = "\n\n" + draft.coda
    draft.text += line
    await draft.emit(Delta(line))


async def _own_up(draft: Draft) -> None:
    """Below words of a model that claim feelings as its own: that it has none."""
    if draft.answer is not None or not draft.model or not claims(draft.text):
        return
    line = "\n\n" + tr("dialogue.unfeeling", draft.locale)
    draft.text += line
    await draft.emit(Delta(line))


async def _suggest_break(draft: Draft, settings: DialogueSettings, now: float) -> None:
    """After a long talk without a pause, once, below a reply that is not about danger."""
    session, rest = draft.session, settings.care.rest
    if not rest or not draft.text or draft.fixed or draft.claim is None or now - session.began < rest:
        return
    line = "\n\n" + tr("dialogue.rest", draft.locale)
    session.began, draft.text = now, draft.text + line
    await draft.emit(Delta(line))


def _follow(draft: Draft, reading: Reading, mind: Mind) -> Stage | None:
    """Do what the flow decided: answer at once, look it up, use a tool, or leave it to the model.

    Whoever tells of themselves is not answered as small talk that it is merely like.
    """
    guessed = reading.understanding.by == "classifier" and "asking" not in reading.state
    if guessed and mind.tells(outside.own(draft.heard)):
        return None
    action, kind = reading.action, reading.action.kind if reading.action else ""
    if kind == "recall" and action:
        draft.recall_for = action.argument or draft.heard.text
        return None
    if kind == "handover":
        draft.outcome = "handed_over"
    draft.answer = reading.answer
    if kind == "model" and action:  # an answer beside it is for a house without one
        draft.instruction = " ".join(filter(None, (action.argument, draft.instruction)))
        return None
    if reading.answer is not None and kind != "tool":
        return speak
    if kind == "tool" and action:
        arguments = json.dumps(action.arguments, ensure_ascii=False)
        draft.pending = (ToolCall(draft.id, action.argument, arguments),)
        draft.granted = consent.digest(draft.pending[0])  # the person's own words chose it, by the owner's rule
        return act
    return None


async def _spent(draft: Draft, purse: Purse) -> bool:
    """Whether the day's budget is used up; then the person is told so."""
    spent = await purse.empty(draft.payer)
    if spent:
        draft.answer, draft.outcome = tr("dialogue.spent", draft.locale), "refused"
    return spent


def _plain_answer(draft: Draft) -> str:
    """What can be said without a model: what a tool found, what the handbook says, or that there is none."""
    results = [part.text for message in draft.work for part in message.parts if isinstance(part, ToolResult)]
    if results:
        return results[-1]
    draft.passages = () if draft.understanding.intent else draft.passages[:1]  # no page for what a flow calls free talk
    if draft.passages:
        return quote(draft.passages[0], draft.locale)
    lost = [replace(step, outcome="unknown") if step.outcome == "passed" else step for step in draft.path]
    draft.path = tuple(lost)  # what was passed on met nobody: a question that can be learnt from
    return tr("dialogue.no_model", draft.locale)


async def _said(conversation: str, rounds: int, store: Store, settings: DialogueSettings) -> list[Message]:
    """What was said last: only a model wants to know, and a rule need not wait for it."""
    recent = await store.turns(conversation, settings.rounds + STEP)
    return [message for messages in rounds_of(window(recent, rounds, settings.rounds)) for message in messages]


async def _heard_out(draft: Draft, stream: AsyncIterator[Delta], guard: Guard, persona: Persona) -> None:
    """Listen to a model that speaks as this persona: its name before its words, no tools but its own."""
    if draft.label and not draft.work:
        draft.text = draft.label
        await draft.emit(Delta(draft.label))
    await _listen(draft, stream, guard)
    draft.pending = tuple(call for call in draft.pending if not persona.tools or call.name in persona.tools)


async def _listen(draft: Draft, stream: AsyncIterator[Delta], guard: Guard) -> None:
    way = guard.release(draft.envelope, _known(draft))
    try:
        async for heard in stream:
            text = way.feed(heard.text) + (way.finish() if heard.finish else "")
            delta = replace(heard, text=text)
            draft.text += text
            draft.pending += delta.calls
            draft.model, draft.fallback = delta.model or draft.model, draft.fallback or delta.fallback
            if delta.usage:
                before = draft.usage
                draft.usage = Usage(
                    before.prompt + delta.usage.prompt,
                    before.completion + delta.usage.completion,
                    before.cached + delta.usage.cached,
                )
            if delta.finish and text:  # whoever listens may take the last one for its figures alone
                await draft.emit(Delta(text, model=delta.model))
                delta = replace(delta, text="")
            if delta != Delta(model=delta.model, fallback=delta.fallback):
                await draft.emit(delta)
        if rest := way.finish():
            draft.text += rest
            await draft.emit(Delta(rest))
    except asyncio.CancelledError:
        if not draft.stopping:
            raise
        task = asyncio.current_task()
        if task is not None:
            task.uncancel()
        draft.pending = ()


def _known(draft: Draft) -> list[str]:
    """What was said in this conversation already, as far as this turn knows it."""
    return [draft.heard.text, *(message.text for message in draft.history or ())]


def _released(way: Release, text: str) -> str:
    return way.feed(text) + way.finish()


def _foreign(part: Part) -> Part:
    """What a file or picture says: nobody knows who wrote it."""
    return replace(part, outside=True) if isinstance(part, Text) else part


def _consented(draft: Draft, now: float) -> Stage | None:
    """Go on with the call that waited for this person's word, if this is it; whatever they say, it waits no longer."""
    kept, draft.session.asked = draft.session.asked, {}
    if draft.principal is None or kept.get("who") != draft.principal.id:
        return None
    said = outside.own(draft.heard)
    if call := consent.granted(kept, draft.principal.id, said, now, draft.id):
        draft.pending, draft.granted = (call,), consent.digest(call)
        return act
    if consent.declined(kept, draft.principal.id, said):
        draft.answer = tr("dialogue.confirm.no", draft.locale)
        return speak
    return None


def _parcel(draft: Draft, message: Message, now: float, settings: DialogueSettings) -> Parcel:
    envelope, said_in = draft.envelope, draft.conversation.id if draft.conversation else ""
    place = conversation_id(envelope.channel, envelope.account, envelope.conversation)
    return Parcel(
        id=message.id,
        sequence=0,
        conversation=place,
        channel=envelope.channel,
        account=envelope.account,
        target=envelope.conversation,
        message=message,
        reply_to="" if draft.heard.role == "system" else envelope.platform_id,
        due=now,
        expires=now + settings.freshness if settings.freshness else 0.0,
        thread=said_in if said_in != place else "",
    )


def _rounds(draft: Draft) -> int:
    return sum(message.role == "tool" for message in draft.work)


def _after(stage: Stage) -> Stage | None:
    index = STAGES.index(stage) + 1
    return STAGES[index] if index < len(STAGES) else None


def _needs(stage: Stage, ports: Ports) -> dict[str, Any]:
    names = list(inspect.signature(stage).parameters)[1:]
    return {name: getattr(ports, name) for name in names}

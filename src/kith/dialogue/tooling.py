"""The tools of a turn: which a persona may use, and which call has to wait for the person's word.

What others wrote may have put a wish into the model: then only what changes nothing is done without asking (ADR 020).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kith.core.message import Delta, ToolCall, ToolResult
from kith.core.model import ToolSpec
from kith.core.ports import Tools
from kith.dialogue import consent, outside
from kith.dialogue.context import STEP
from kith.dialogue.draft import Draft
from kith.dialogue.personas.persona import Persona
from kith.dialogue.settings import DialogueSettings
from kith.runtime.locale import tr


def allowed(offered: Sequence[ToolSpec], persona: Persona) -> list[ToolSpec]:
    """The tools that this persona may use: all, where it names none."""
    return [spec for spec in offered if not persona.tools or spec.name in persona.tools]


def permitted(draft: Draft, tools: Tools) -> dict[str, ToolSpec]:
    """The tools that this person may use, by name."""
    return {spec.name: spec for spec in tools.offered(draft.principal)} if draft.principal else {}


def tainted(draft: Draft, specs: Mapping[str, ToolSpec], settings: DialogueSettings) -> bool:
    """Whether the model sees anything that others wrote: in this turn, or in the rounds that it is shown."""
    since = draft.session.rounds - draft.session.tainted
    if draft.session.tainted and since < settings.rounds + STEP:
        return True
    return outside.read((*(draft.history or ()), draft.heard, *draft.work), draft.passages, specs)


async def must_ask(
    draft: Draft, wanted: Sequence[ToolCall], specs: Mapping[str, ToolSpec], settings: DialogueSettings, now: float
) -> bool:
    """Ask the person for the first call that needs their word, where there is somebody to ask."""
    if draft.claim is None or draft.principal is None or not tainted(draft, specs, settings):
        return False
    call = next((one for one in wanted if _needs_word(draft, one, specs.get(one.name))), None)
    kept = consent.asked(call, draft.principal.id, now) if call is not None else None
    if call is None or kept is None:
        return False
    draft.session.asked = dict(kept)
    words = ("\n\n" if draft.text else "") + consent.question(call, draft.locale)  # its arguments are masked
    draft.text += words
    await draft.emit(Delta(words))
    return True


async def use(draft: Draft, call: ToolCall, tools: Tools, spec: ToolSpec | None, wary: bool) -> ToolResult:
    """Call a tool; where the turn is `wary`, one that needs a word which nobody can be asked for here is not called."""
    assert draft.principal is not None
    if wary and _needs_word(draft, call, spec):
        return ToolResult(call.call, tr("dialogue.confirm.cannot", draft.locale, name=call.name), failed=True)
    return await tools.call(call, draft.principal)


def _needs_word(draft: Draft, call: ToolCall, spec: ToolSpec | None) -> bool:
    return spec is not None and spec.effect != "read" and consent.digest(call) != draft.granted

"""Going on in one app with the conversation of another: asked for in so many words, ended in the same way.

Only the direct conversations of one person, who was linked before, can be one; a group never can.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from kith.core.ids import conversation_id, person_id
from kith.core.people import Conversation
from kith.core.ports import Store
from kith.core.turn import Understanding
from kith.dialogue.draft import Draft
from kith.dialogue.normal import normal
from kith.runtime.locale import tr

_LOOKED = 100
_LONGEST = 120  # characters of such a wish
_HERE = re.compile(
    r"(please )?(let us |let's |lets )?(continue|go on|carry on|resume)( our (talk|chat|conversation))? here"
    r"|(请|我们)?在?(这里|这儿|这边)(接着|继续)(聊|说)吧?"
)
_FROM = re.compile(
    r"(please )?(let us |let's |lets )?(continue|go on|carry on|resume)( our (talk|chat|conversation))?( here)?"
    r" (from|with what we said (in|on)|where we were (in|on)) (?P<app>[a-z][\w.-]{0,39})"
    r"|(请|我们)?(从|接着|继续) ?(?P<name>[a-z][a-z0-9_.-]{0,39}) ?(上|里|那边)?的?"
    r"(对话|会话|聊天|话题)?(接着|继续)?(聊|说)?吧?"
)
_ON = re.compile(
    r"(please )?(continue|go on with|resume) (our|the) (talk|chat|conversation)|(请|我们)?(接着|继续)聊吧?"
)
_APART = re.compile(
    r"(please )?(talk|go on|chat) (apart|separately)( again)?"
    r"|(please )?(separate|keep apart) (our|the|these) (talks|chats|conversations)"
    r"|(请|以后)?分开(聊|说)吧?|(请)?把?(会话|对话)分开"
)


async def followed(draft: Draft, store: Store, text: str) -> bool:
    """Whether this was such a wish; then it is answered, and in force when the turn is kept."""
    if draft.claim is None or draft.conversation is None or draft.envelope.kind != "direct" or len(text) > _LONGEST:
        return False
    plain, place = normal(text).strip(" .!。！"), _place(draft)
    if _APART.fullmatch(plain):
        if draft.conversation.id == place and not draft.conversation.places:
            return False
        draft.thread, draft.answer = place, tr("dialogue.thread.apart", draft.locale)
    elif (goal := await _wanted(draft, store, plain)) is not None:
        draft.thread, draft.answer = goal.id, tr("dialogue.thread.on", draft.locale, app=goal.channel)
    elif _HERE.fullmatch(plain):
        draft.answer = tr("dialogue.thread.none", draft.locale)
    else:
        return False
    draft.understanding = Understanding("thread", confidence=1.0, by="rule")
    return True


def goes_on(text: str) -> bool:
    """Whether a message is, in so many words, about going on with a conversation or parting from it."""
    plain = normal(text).strip(" .!。！")
    return len(text) <= _LONGEST and any(form.fullmatch(plain) for form in (_APART, _HERE, _FROM, _ON))


async def _wanted(draft: Draft, store: Store, plain: str) -> Conversation | None:
    """The conversation of another app that is meant."""
    named = _FROM.fullmatch(plain)
    if not (named or _HERE.fullmatch(plain) or _ON.fullmatch(plain)):
        return None
    assert draft.conversation is not None
    others = await _others(draft, store)
    if named:
        app = named["app"] or named["name"]
        return next((one for one in others if one.channel.casefold() == app), None)
    newest = others[0] if others else None
    if newest is None or _HERE.fullmatch(plain):
        return newest
    return newest if newest.updated > draft.conversation.updated else None


async def _others(draft: Draft, store: Store) -> Sequence[Conversation]:
    """What this person talks of alone with Kith in other apps, the latest first."""
    here = draft.conversation
    if draft.person is None or here is None or not _alone(here, draft):
        return ()
    found = await store.conversations(draft.person.id, _LOOKED)
    return [one for one in found if one.id != here.id and one.channel != draft.envelope.channel and _alone(one, draft)]


def _alone(one: Conversation, draft: Draft) -> bool:
    """Whether nobody but this person is in it, under whichever name they are known."""
    person, envelope = draft.person, draft.envelope
    if person is None or one.kind != "direct":
        return False
    faces = {person.id, person_id(envelope.channel, envelope.account, envelope.sender)}
    accounts = {one.account, envelope.account}
    faces |= {person_id(app, account, address) for app, address in person.handles.items() for account in accounts}
    return set(one.members) <= faces


def _place(draft: Draft) -> str:
    envelope = draft.envelope
    return conversation_id(envelope.channel, envelope.account, envelope.conversation)

"""Going on in one app with the conversation of another: asked for in so many words, or by command, and ended likewise.

Only the direct conversations of one person, who was linked before, can be one; a group never can. Which conversation is
meant is looked for among those of the person alone, so that a code or a name never tells of anybody else's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache

from kith.core.ids import conversation_id, person_id
from kith.core.manifest import Manifest
from kith.core.people import Conversation
from kith.core.ports import Store
from kith.core.turn import Understanding
from kith.dialogue.draft import Draft
from kith.dialogue.understanding.normal import normal
from kith.dialogue.values.zones import zone
from kith.runtime.locale import tr
from kith.runtime.registry import Registry

_LOOKED = 100
_LISTED = 9
_LONGEST = 120  # characters of such a wish
_CODE = 6  # characters of a conversation's id by which it is called
_COMMAND = re.compile(r"/(?P<do>follow|leave)(?:@\w{1,64})?(?: (?P<what>\S.{0,59}?))?", re.IGNORECASE)
_OPEN = r"(?:please )?(?:(?:can|could|may) (?:we|i) |let us |lets )?"
_GO = r"(?:continue|go on|carry on|resume|pick up)"
_TALK = r"(?:talk|chat|conversation|discussion)"
_APP = r"(?:the |my )?(?P<app>[a-z][\w .-]{0,39}?)(?: app| channel)?"
_ZH = r"(?:请|那|我们|咱们|帮我)*"
_AT = r"(?:在?(?:这里|这儿|这边))?"
_WENT = r"(?:我们|咱们|我)?(?:刚才|刚刚|之前|上次|昨天|今天|早上|上午|下午|晚上)*在?"
_ABOUT = r"(?:(?:聊|说|谈)(?:到|过|起)?的?)?(?:那个|那些)?(?:对话|会话|聊天|话题|内容|事情|事)?"
_ENDS = r"(?:往下)?(?:接着|继续)?(?:往下)?(?:聊|说|谈)?(?:下去)?(?:吧|好吗|可以吗)?"
_NAME = r"(?P<app>[^\W_][\w.-]{0,19}?) ?(?:上面|上|里面|里|那边|那里|端|版)?的?"
_SAID = r"(?:said|were saying|talked about|discussed|were talking about|were discussing)"
_LATELY = r"(?: (?:before|earlier|just now|yesterday))?"
_HERE = re.compile(
    rf"{_OPEN}{_GO}(?: (?:with )?our {_TALK})? here"
    rf"|{_ZH}在?(?:这里|这儿|这边)(?:接着|继续)(?:往下)?(?:聊|说|谈)(?:下去)?吧?"
)
_FORMS = (
    rf"{_GO}(?: our {_TALK})?(?: here)? (?:from|where we (?:were|left off|stopped)(?: in| on| over)?) {_APP}",
    rf"{_GO}(?: here)?(?: with)? what we {_SAID}{_LATELY} (?:in|on|over|at) {_APP}(?: here)?",
    rf"{_GO}(?: here)?(?: with)? (?:our|the) {_TALK}(?: here)? (?:from|in|on|over|of) {_APP}(?: here)?",
    rf"{_GO}(?: with)? our {_APP} {_TALK}(?: here)?",
)
_FROM = (
    *(re.compile(_OPEN + form) for form in _FORMS),
    re.compile(rf"{_ZH}{_AT}(?:从|接着|继续|接上|接)(?:聊|说|谈)? ?{_WENT} ?{_NAME}{_ABOUT}{_ENDS}"),
    re.compile(rf"{_ZH}把 ?{_WENT} ?{_NAME}{_ABOUT}(?:接|搬|转)到?(?:过来|这里|这边)"),
)
_ON = re.compile(
    r"(please )?(continue|go on with|resume) (our|the) (talk|chat|conversation)|(请|我们)?(接着|继续)聊吧?"
)
_APART = re.compile(
    r"(please )?(talk|go on|chat) (apart|separately)( again)?"
    r"|(please )?(separate|keep apart) (our|the|these) (talks|chats|conversations)"
    r"|(请|以后)?分开(聊|说)吧?|(请)?把?(会话|对话)分开"
)


async def followed(draft: Draft, store: Store, text: str, home: str = "") -> bool:
    """Whether this was such a wish; then it is answered, and in force when the turn is kept. `home` is the time zone of
    the household."""
    if draft.claim is None or draft.conversation is None or len(text) > _LONGEST:
        return False
    plain = _plain(text)
    if (command := _COMMAND.fullmatch(text.strip())) is not None:
        await _obeyed(draft, store, command, home)
    elif draft.envelope.kind != "direct":
        return False
    elif _APART.fullmatch(plain):
        if not _together(draft):
            return False
        _part(draft)
    elif (goal := await _wanted(draft, store, plain)) is not None:
        _go(draft, goal)
    elif _HERE.fullmatch(plain) or _known(_apps(plain)):
        draft.answer = _unknown(draft, await _others(draft, store, near=True), home)
    else:
        return False
    draft.understanding = Understanding("thread", confidence=1.0, by="rule")
    return True


def goes_on(text: str) -> bool:
    """Whether a message is, in so many words, about going on with a conversation or parting from it."""
    plain = _plain(text)
    if len(text) > _LONGEST:
        return False
    known = _COMMAND.fullmatch(text.strip()) or _known(_apps(plain))
    return bool(known) or any(form.fullmatch(plain) for form in (_APART, _HERE, _ON))


async def _obeyed(draft: Draft, store: Store, command: re.Match[str], home: str) -> None:
    """``/follow`` with an app or a code, or what could be followed; ``/leave``."""
    what = normal(command["what"] or "")
    if draft.envelope.kind != "direct":
        draft.answer = tr("dialogue.thread.group", draft.locale)
    elif command["do"].casefold() == "leave":
        if _together(draft):
            _part(draft)
        else:
            draft.answer = tr("dialogue.thread.alone", draft.locale)
    elif not (others := await _others(draft, store, near=True)):
        draft.answer = tr("dialogue.thread.none", draft.locale)
    elif not what and len(others) > 1:
        draft.answer = _list(draft, others, home)
    else:
        goal = others[0] if not what else _called(what, others)
        if goal is None:
            draft.answer = _unknown(draft, others, home)
        else:
            _go(draft, goal)


def _go(draft: Draft, goal: Conversation) -> None:
    draft.thread = goal.id
    draft.answer = tr("dialogue.thread.on", draft.locale, app=_title(goal.channel, draft.locale))


def _part(draft: Draft) -> None:
    draft.thread, draft.answer = _place(draft), tr("dialogue.thread.apart", draft.locale)


def _together(draft: Draft) -> bool:
    """Whether this place goes on with another, or another with it."""
    here = draft.conversation
    return here is not None and (here.id != _place(draft) or bool(here.places))


def _list(draft: Draft, others: Sequence[Conversation], home: str) -> str:
    """What can be followed: code, app, and when something was last said there."""
    where = zone((draft.person.timezone if draft.person else "") or home)
    rows = [
        tr(
            "dialogue.thread.row",
            draft.locale,
            code=_code(one),
            app=_title(one.channel, draft.locale),
            when=f"{datetime.fromtimestamp(one.updated, where):%Y-%m-%d %H:%M}",
        )
        for one in others[:_LISTED]
    ]
    return "\n".join((tr("dialogue.thread.which", draft.locale), *rows))


def _unknown(draft: Draft, others: Sequence[Conversation], home: str) -> str:
    if not others:
        return tr("dialogue.thread.none", draft.locale)
    return "\n\n".join((tr("dialogue.thread.unknown", draft.locale), _list(draft, others, home)))


def _called(what: str, others: Sequence[Conversation]) -> Conversation | None:
    """That of a code, or the newest of an app."""
    code = next((one for one in others if _code(one) == what), None)
    return code or next((one for one in others if _is(what, one.channel)), None)


async def _wanted(draft: Draft, store: Store, plain: str) -> Conversation | None:
    """The conversation of another app that is meant."""
    apps = _apps(plain)
    if not (apps or _HERE.fullmatch(plain) or _ON.fullmatch(plain)):
        return None
    assert draft.conversation is not None
    others = await _others(draft, store)
    if apps:
        return next((one for one in others if any(_is(app, one.channel) for app in apps)), None)
    newest = others[0] if others else None
    if newest is None or _HERE.fullmatch(plain):
        return newest
    return newest if newest.updated > draft.conversation.updated else None


async def _others(draft: Draft, store: Store, *, near: bool = False) -> Sequence[Conversation]:
    """What this person talks of alone with Kith in other apps, the latest first; `near`: of other accounts, too.

    A conversation whose place goes on elsewhere stands for the one where it goes on.
    """
    here, envelope = draft.conversation, draft.envelope
    if draft.person is None or here is None or not _alone(here, draft):
        return ()
    known: dict[str, Conversation] = {}
    for who in _faces(draft):
        known |= {one.id: one for one in await store.conversations(who, _LOOKED)}
    lead = {place: one.id for one in known.values() for place in one.places}
    far = [
        one
        for one in known.values()
        if (one.channel != envelope.channel or (near and one.account != envelope.account)) and one.id not in lead
    ]
    there = [one for one in far if one.id not in (here.id, _place(draft)) and _alone(one, draft)]
    return sorted(there, key=lambda one: one.updated, reverse=True)


def _faces(draft: Draft) -> Sequence[str]:
    """The ids under which this person is known here, where they were authenticated."""
    own = draft.person.id if draft.person else ""
    return tuple(dict.fromkeys((own, *(draft.where.persons if draft.where else ()))))


def _alone(one: Conversation, draft: Draft) -> bool:
    """Whether nobody but this person is in it, under whichever name they are known."""
    person, envelope = draft.person, draft.envelope
    if person is None or one.kind != "direct":
        return False
    faces = {*_faces(draft), person_id(envelope.channel, envelope.account, envelope.sender)}
    accounts = {one.account, envelope.account}
    faces |= {person_id(app, account, address) for app, address in person.handles.items() for account in accounts}
    return set(one.members) <= faces


def _place(draft: Draft) -> str:
    envelope = draft.envelope
    return conversation_id(envelope.channel, envelope.account, envelope.conversation)


def _plain(text: str) -> str:
    return normal(text).strip(" .!。！?？")


def _code(one: Conversation) -> str:
    return one.id.removeprefix("c_")[:_CODE].casefold()


def _apps(plain: str) -> Sequence[str]:
    """The apps from which a message may want to go on, if it is of that form."""
    if _HERE.fullmatch(plain) or _ON.fullmatch(plain):
        return ()
    return [named["app"] for form in _FROM if (named := form.fullmatch(plain))]


def _known(apps: Sequence[str]) -> bool:
    """Whether one of these is an app that Kith knows; any other word is something else to go on with."""
    return any(_is(app, channel) for app in apps for channel in _titles())


def _is(said: str, channel: str) -> bool:
    """Whether somebody who says this means that channel: by its name, its title, or a title's beginning or word."""
    plain = said.strip().removeprefix("the ").removeprefix("my ")
    titles = _titles().get(channel, (channel,))
    if plain in titles or any(plain in re.split(r"[\s/()（），,]+", title) for title in titles):
        return True
    return len(plain) > 1 and not plain.isascii() and any(title.startswith(plain) for title in titles)


@cache
def _channels() -> Mapping[str, Manifest]:
    return Registry("channels").manifests()


@cache
def _titles() -> Mapping[str, Sequence[str]]:
    """Every channel's name and titles, as people may write them."""
    return {one.name: tuple(normal(name) for name in (one.name, *one.title.values())) for one in _channels().values()}


def _title(channel: str, locale: str) -> str:
    known = _channels().get(channel)
    return channel if known is None else known.title.get(locale) or known.title.get("en") or channel

"""The person's word on one act: asked when a turn has read what others wrote, good once, for that very call.

A model that reads a stranger's text may be made to call a tool by it. So such a call waits for a yes of the person who
spoke, to a question that Kith words and that shows the call as it will be made. See ADR 020.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from kith.core.message import ToolCall
from kith.runtime.locale import tr

MINUTES = 5
_LONGEST = 2000  # characters of arguments that a person can be asked to read
_YES = re.compile(
    r"(?:yes|yep|yeah|y|ok|okay|sure|confirm(?:ed)?|do it|go ahead|please do|yes please|yes do it"
    r"|是|是的|对|对的|好|好的|好吧|行|可以|可以的|确认|确定|同意|没问题|做吧|执行|嗯|嗯嗯)"
)
_NO = re.compile(
    r"(?:no|nope|n|stop|cancel|don'?t|do not|no thanks|never mind"
    r"|不|不要|不用|不行|不可以|不同意"
    r"|否|取消|算了|别|停|停止)"
)


def digest(call: ToolCall) -> str:
    """What binds a word to a call: its name and its arguments, whatever the order of their keys."""
    return hashlib.sha256(f"{call.name}\0{_canonical(call.arguments)}".encode("utf-8", "replace")).hexdigest()


def asked(call: ToolCall, who: str, now: float) -> Mapping[str, Any] | None:
    """What the session keeps of the question; None for a call too long to be read by a person."""
    if len(shown(call)) > _LONGEST:
        return None
    kept = {"name": call.name, "arguments": call.arguments, "digest": digest(call)}
    return {**kept, "who": who, "until": now + MINUTES * 60}


def question(call: ToolCall, locale: str) -> str:
    """The question, with the call as it will be made."""
    return tr("dialogue.confirm.ask", locale, name=call.name, arguments=shown(call))


def granted(kept: Mapping[str, Any], who: str, text: str, now: float, call: str) -> ToolCall | None:
    """The call that `text`, said by `who`, says yes to; None when it does not, or too late, or to somebody else's."""
    if kept.get("who") != who or now > float(kept.get("until", 0.0)) or not _said(_YES, text):
        return None
    found = ToolCall(call, str(kept.get("name", "")), str(kept.get("arguments", "")))
    return found if digest(found) == kept.get("digest") else None


def declined(kept: Mapping[str, Any], who: str, text: str) -> bool:
    """Whether `text` says no to the question."""
    return kept.get("who") == who and _said(_NO, text)


def shown(call: ToolCall) -> str:
    """The arguments as a person reads them: on one line, with nothing that cannot be seen."""
    text = _canonical(call.arguments).replace("`", "\u02cb")
    return "".join(c if unicodedata.category(c)[0] != "C" else f"\\u{ord(c):04x}" for c in text)


def _said(form: re.Pattern[str], text: str) -> bool:
    return form.fullmatch(" ".join(re.sub(r"[\s.!,。！，~～]+", " ", text.casefold()).split())) is not None


def _canonical(arguments: str) -> str:
    try:
        return json.dumps(json.loads(arguments or "{}"), ensure_ascii=False, sort_keys=True)
    except (ValueError, RecursionError):
        return arguments

"""Which of the two languages somebody speaks, where names and words of the other one stand in the sentence.

The words that hold a sentence together tell it, not how much of each script there is: "call 王伟" and "what is
人工智能" are English, "Tom 说 OK" and "The Lord of the Rings 好看吗" are Chinese. The lists are by hand; only where
they leave it open the shares decide.
"""

from __future__ import annotations

import re

_CHINESE = re.compile("[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_WORDS = re.compile(r"[a-z]+(?:['’][a-z]+)*", re.IGNORECASE)
_LONG = 4000  # characters that are looked at: those of the beginning
_RUN = 1.5  # Chinese characters that say as much as a Latin word
_HOLD = (
    "a about add after am and any are as ask at be because before book but buy by call can change cook could "
    "create delete did do does draw email explain find for from get give go good had has have hello help hey "
    "hi how i i'd i'll i'm in into invite is it it's its let's like list make me mean means meet message my of "
    "on open order our pay play please put read remind remove say says schedule search send set should show "
    "sing spell start summarise summarize tell text thank thanks that the their them there these they this to "
    "translate turn update wake want was watch we were what what's when where which who who's whose why will "
    "with would write you your"
)
_SMALL = frozenset(_HOLD.split())
_JOINTS = frozenset(("a", "an", "and", "as", "at", "by", "for", "from", "in", "of", "on", "or", "the", "to", "with"))
_HOLDING = re.compile(  # of Chinese sentences; none of them is common in names
    "一[下个些点首条张份间杯]|[我你您他她它咱]|什么|怎么|怎样|多少|哪[里儿个些]|为什么|[吗呢吧啊呀嘛]|[这那]|[帮给把被让请]"
    "|不|没|还|也|都|就|很|太|了|在|是|有|和|跟|要|想|说|叫|去|来|到|发|见|几点|今天|明天|昨天|提醒|用|大家|好[看听玩吃用]|的[?？]?$"
)
_BEGUN = re.compile(
    r"\W*(?:请|麻烦|帮[我忙]|把|[给替]|翻译|解释|总结|概括|润色|改写|纠正|检查|朗读|读|播?放|推荐|搜|查|找|打开"
    r"|我[想要]|听|看)"
)
_ASKED = re.compile(
    r"(?:[吗呢吧了嘛]|怎么样|怎样|如何|好[看听玩吃用]|多少钱?|什么|意思|哪里|[讲说写]的)[?？!！。.\s]*$"
)


def spoken(text: str, default: str = "") -> str:
    """``zh`` or ``en``, the language of a sentence; `default` where it has neither Chinese nor Latin letters."""
    said = text[:_LONG]
    chinese, words = len(_CHINESE.findall(said)), [word.casefold().replace("’", "'") for word in _WORDS.findall(said)]
    if not chinese or not words:
        return "zh" if chinese else "en" if words else default
    small, holding = sum(word in _SMALL for word in words), len(_HOLDING.findall(said))
    if _BEGUN.match(said):
        return "zh"
    if bool(small) != bool(holding):
        return "en" if small else "zh"
    if _ASKED.search(said) and not any(word in _SMALL - _JOINTS for word in _WORDS.findall(said)):
        return "zh"
    if _inside(said, small):
        return "en"
    return "zh" if chinese / _RUN + holding >= len(words) + small else "en"


def _inside(said: str, small: int) -> bool:
    """Whether the Chinese is what an English sentence is about: it begins with two small words, or goes on in English
    behind it."""
    head = _CHINESE.split(said, maxsplit=1)[0]
    if sum(word.casefold() in _SMALL for word in _WORDS.findall(head)) > 1:
        return True
    tail = said[max(place.end() for place in _CHINESE.finditer(said)) :]
    return small > 1 and bool(_WORDS.search(head)) and any(w.casefold() in _SMALL for w in _WORDS.findall(tail))

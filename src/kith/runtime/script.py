"""Scripts made equal: traditional and simplified Chinese, and letters that only look like Latin ones."""

from __future__ import annotations

import importlib.util
import re
from functools import cache
from pathlib import Path

_LOOKS = (
    "аa ɑa αa ạa ӓa ƅb ьb ßb вb сc ϲc ƈc ԁd ɗd еe єe ҽe εe ƒf ғf ɡg ցg һh հh нh іi ıi ιi ӏi ɩi јj ϳj κk "
    "кk ҝk ⅼl ӏl մu мm ոn пn ηn оo οo σo օo ѻo рp ρp ԛq гr ѕs ʂs тt τt υu ʋu ѵv νv ԝw ѡw ωw хx χx уy γy "
    "ყy ᴢz ʐz ᴀa ʙb ᴄc ᴅd ᴇe ꜰf ɢg ʜh ɪi ᴊj ᴋk ʟl ᴍm ɴn ᴏo ᴘp ʀr ꜱs ᴛt ᴜu ᴠv ᴡw ʏy øo đd łl ħh ŧt ðd þp "
)
_CHAIN = re.compile(r"(?<![a-z0-9@$])[a-z0-9@$]([ .\-_*·|/~,])[a-z0-9@$](?:\1[a-z0-9@$])+(?![a-z0-9@$])")


@cache
def simplified() -> dict[int, str]:
    """Traditional to simplified Chinese, character by character: OpenCC's ``TSCharacters`` (Apache-2.0).

    Only the table is read: OpenCC's phrase tables take 40 times as long and 60 MB, and phrases hardly differ by it.
    """
    found = importlib.util.find_spec("opencc")
    if found is None or found.origin is None:
        return {}
    table = Path(found.origin).parent / "dictionary" / "TSCharacters.txt"
    rows = (line.split("\t") for line in table.read_text("utf-8").splitlines())
    return {ord(row[0]): row[1].split(" ")[0] for row in rows if len(row) == 2 and len(row[0]) == 1}


@cache
def lookalikes() -> dict[int, str]:
    """Letters that look like Latin ones to those: of Unicode's "confusables" (UTS 39), what occurs in words."""
    return {ord(pair[0]): pair[1] for pair in _LOOKS.split()}


def rejoined(text: str) -> str:
    """A lower-case text in which letters set apart by one sign ("k i l l", "k.i.l.l") are a word again."""
    return _CHAIN.sub(lambda found: found[0][::2], text)

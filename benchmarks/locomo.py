"""A sample in LoCoMo's format, made here: long conversations in sessions, in English and Chinese, with questions.

`python -m benchmarks.locomo FILE` writes it. Nothing is taken from LoCoMo but its format
(https://github.com/snap-research/locomo): a few dozen things that people tell, each said once among small talk over a
year, and questions that ask for them in other words, alone (category 1), two at once (2), or by
when they were told (3).
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
_SESSIONS, _LINES = 24, 26


_WORDS = Path(__file__).with_suffix(".txt")
_Told = Sequence[tuple[str, str]]


def conversation(seed: int, told: _Told, small: Sequence[str], *, chinese: bool) -> dict[str, Any]:
    """One conversation of `_SESSIONS` sessions over a year. Each thing is told once, in a session drawn by `seed`."""
    draw = random.Random(seed)
    sessions: list[list[str]] = [[draw.choice(small) for _ in range(_LINES)] for _ in range(_SESSIONS)]
    spots = draw.sample([(s, line) for s in range(_SESSIONS) for line in range(0, _LINES, 2)], len(told))
    for (text, _), (session, line) in zip(told, spots, strict=True):
        sessions[session][line] = text
    names = ("小安", "小白") if chinese else ("Ann", "Ben")
    made: dict[str, Any] = {"speaker_a": names[0], "speaker_b": names[1]}
    for number, lines in enumerate(sessions):
        made[f"session_{number + 1}_date_time"] = f"7:30 pm on {number % 2 * 14 + 3} {_MONTHS[number // 2]}, 2025"
        made[f"session_{number + 1}"] = [
            {"speaker": names[0], "dia_id": f"D{number + 1}:{line + 1}", "text": text}
            for line, text in enumerate(lines)
        ]
    return {"conversation": made, "qa": _questions(told, spots, chinese=chinese)}


def _questions(
    told: Sequence[tuple[str, str]], spots: Sequence[tuple[int, int]], chinese: bool
) -> list[dict[str, Any]]:
    ids = [f"D{session + 1}:{line + 1}" for session, line in spots]
    alone = [(asked, [name], 1) for (_, asked), name in zip(told, ids, strict=True)]
    pairs = [(f"{told[n][1]} {told[n + 1][1]}", [ids[n], ids[n + 1]], 2) for n in range(0, len(told) - 1, 3)]
    when = "那是什么时候说的：{}" if chinese else "When did I tell you this: {}"
    dated = [(when.format(told[n][1]), [ids[n]], 3) for n in range(0, len(told), 5)]
    return [
        {"question": question, "answer": "", "evidence": evidence, "category": category}
        for question, evidence, category in (*alone, *pairs, *dated)
    ]


def sample() -> list[dict[str, Any]]:
    """Two conversations in each language."""
    lines = [line for line in _WORDS.read_text("utf-8").splitlines() if line and not line.startswith("#")]
    made: list[dict[str, Any]] = []
    for seed, chinese in ((1, False), (2, False), (3, True), (4, True)):
        own = [line for line in lines if any("\u4e00" <= c <= "\u9fff" for c in line) == chinese]
        told = [(text, asked) for text, sign, asked in (line.partition(" => ") for line in own) if sign]
        made.append(conversation(seed, told, [line for line in own if "=>" not in line], chinese=chinese))
    return made


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(sample(), ensure_ascii=False), "utf-8")

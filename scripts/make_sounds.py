"""Writes src/kith/security/sounds.txt: the syllable, without tone, of the 3,755 commonest Chinese characters."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from pypinyin import Style, pinyin

TARGET = Path(__file__).parents[1] / "src" / "kith" / "security" / "sounds.txt"


def main() -> None:
    rows: defaultdict[str, str] = defaultdict(str)
    for high in range(0xB0, 0xD8):
        for low in range(0xA1, 0xFF):
            try:
                character = bytes((high, low)).decode("gb2312")
            except UnicodeDecodeError:
                continue
            rows[pinyin(character, style=Style.NORMAL)[0][0].replace("ü", "v")] += character
    head = "# Made by scripts/make_sounds.py: level 1 of GB 2312, with the readings of pypinyin (MIT).\n"
    lines = [f"{syllable} {characters}\n" for syllable, characters in sorted(rows.items())]
    TARGET.write_text(head + "".join(lines), "utf-8")


if __name__ == "__main__":
    main()

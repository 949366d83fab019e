"""Is danger noticed, and only danger? On a hand-written set in both languages."""

from __future__ import annotations

from pathlib import Path

from kith.dialogue.crisis import endangered

CASES = Path(__file__).parent / "crisis.txt"


def cases(mark: str) -> list[str]:
    return [line[2:] for line in CASES.read_text("utf-8").splitlines() if line.startswith(mark + " ")]


def test_danger_is_noticed_and_only_danger() -> None:
    danger, safe = cases("+"), cases("-")
    missed = [text for text in danger if not endangered(text)]
    false = [text for text in safe if endangered(text)]
    print(f"{len(danger)} in danger, recall {1 - len(missed) / len(danger):.3f}: {missed}")
    print(f"{len(safe)} not, false alarms {len(false) / len(safe):.3f}: {false}")
    assert len(danger) + len(safe) >= 300
    assert len(missed) <= 0.02 * len(danger), missed
    assert len(false) <= 0.02 * len(safe), false

"""Whether a process wants the processor and does not get it: then its silence is the machine's fault, not its own."""

from __future__ import annotations

import os
from pathlib import Path

_SHARE = 0.5  # of the time that passed: who is ready to run and got less is starved
_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


class Hunger:
    """The threads of one process, looked at again and again. Source: ``/proc/PID/task/TID/stat``, proc(5).

    Where there is no such folder nothing is ever starved. One that hangs sleeps, was stopped, or uses all the time that
    there is; none of that is hunger.
    """

    def __init__(self, pid: int, proc: Path = Path("/proc")) -> None:
        self._tasks = proc / str(pid) / "task"
        self._before: tuple[float, dict[str, float]] | None = None

    def forget(self) -> None:
        """All is well: the next look is the first one."""
        self._before = None

    def starved(self, now: float) -> bool:
        """Whether since the last look, in seconds of any clock, a thread that is ready to run got too little time."""
        used, ready = self._threads()
        before, self._before = self._before, (now, used)
        if before is None or now <= before[0]:
            return False
        least = _SHARE * (now - before[0])
        return any(thread in before[1] and used[thread] - before[1][thread] < least for thread in ready)

    def _threads(self) -> tuple[dict[str, float], list[str]]:
        """Seconds of processor time by thread, and those that are ready to run."""
        used, ready = dict[str, float](), list[str]()
        try:
            folders = list(self._tasks.iterdir())
        except OSError:
            return used, ready
        for folder in folders:
            try:
                fields = (folder / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
                used[folder.name] = (int(fields[11]) + int(fields[12])) / _TICKS
            except (OSError, ValueError, IndexError):  # it has just ended
                continue
            if fields[0] == "R":
                ready.append(folder.name)
        return used, ready

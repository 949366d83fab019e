"""This machine: what it has, and what fits into it. The one place where the memory rule is written down."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import psutil

GIB = 1024**3
CEILING = 0.8
"""The share of the memory that Kith and its models may take together; the rest belongs to everything else."""
RESERVE = 256 * 1024**2
"""What must stay available beside a model that is being loaded, in bytes: the gateway itself and the file cache."""

Fit = Literal["yes", "tight", "no"]

_FLAGS = {"avx2": "AVX2", "avx512f": "AVX-512", "avx512_vnni": "AVX-512 VNNI", "asimd": "NEON", "neon": "NEON"}


@dataclass(frozen=True, slots=True)
class Gpu:
    """One graphics processor. `memory` is in bytes, 0 if unknown; `shared` when it uses the machine's own memory."""

    name: str
    memory: int = 0
    shared: bool = False


@dataclass(frozen=True, slots=True)
class Machine:
    """What was measured. Sizes are in bytes; `memory` is what this process may use (a container's limit counts).

    `cores` are physical cores that this process may use; `disk` and `disk_free` belong to the folder asked about.
    """

    system: str
    architecture: str
    processor: str
    cores: int
    memory: int
    available: int
    disk: int
    disk_free: int
    flags: tuple[str, ...] = ()
    gpus: tuple[Gpu, ...] = ()

    def fits(self, needed: int) -> Fit:
        """Whether a model that takes `needed` bytes can be loaded here.

        ``no``: more than the ceiling (80 % of the memory), so it would never fit. ``tight``: it would fit, but not
        beside what is running now. ``yes``: there is room for it at this moment.
        """
        if needed > self.memory * CEILING:
            return "no"
        return "yes" if needed + RESERVE <= self.available else "tight"

    @property
    def threads(self) -> int:
        """Threads for a model: one core is left free, because a busy neighbour makes spinning threads crawl."""
        return max(1, self.cores - 1)


def measure(folder: Path) -> Machine:
    """Measure this machine, and the disk that holds `folder` (or its nearest parent that exists). Never raises."""
    memory = psutil.virtual_memory()
    limit = _container_limit()
    total = min(memory.total, limit or memory.total)
    usage = shutil.disk_usage(nearest(folder))
    cpu = _cpuinfo()
    return Machine(
        system=_system(),
        architecture=platform.machine(),
        processor=cpu.get("model name", "") or _sysctl("machdep.cpu.brand_string") or platform.processor(),
        cores=_cores(),
        memory=total,
        available=min(memory.available, total),
        disk=usage.total,
        disk_free=usage.free,
        flags=_flags(cpu.get("flags", "") or cpu.get("Features", "")),
        gpus=_gpus(),
    )


def memory() -> int:
    """Bytes of memory that this process may use: the machine's, or less in a container."""
    total = psutil.virtual_memory().total
    return min(total, _container_limit() or total)


def nearest(folder: Path) -> Path:
    """`folder`, or the nearest of its parents that exists."""
    return next((path for path in (folder, *folder.parents) if path.exists()), Path("/"))


def _cores() -> int:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    physical = psutil.cpu_count(logical=False) or usable
    return max(1, min(usable, physical))


def _system() -> str:
    if platform.system() == "Darwin":
        return f"macOS {platform.mac_ver()[0]}"
    with contextlib.suppress(OSError):
        name = platform.freedesktop_os_release().get("PRETTY_NAME", "")
        return f"{name} (Linux {platform.release()})"
    return f"{platform.system()} {platform.release()}"


def _cpuinfo() -> dict[str, str]:
    """The first processor's fields of /proc/cpuinfo, empty where there is none."""
    try:
        first = Path("/proc/cpuinfo").read_text("utf-8", "replace").split("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _flags(words: str) -> tuple[str, ...]:
    present = set(words.split())
    if platform.machine() == "arm64" and platform.system() == "Darwin":
        present.add("neon")  # every Apple processor has it; macOS has no flag list to read it from
    if _sysctl("hw.optional.avx2_0") == "1":
        present.add("avx2")
    return tuple(dict.fromkeys(title for flag, title in _FLAGS.items() if flag in present))


def _container_limit() -> int:
    """The memory limit of the container around us (cgroup v2, then v1), 0 if there is none."""
    for name in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):
            limit = int(Path(name).read_text("ascii"))
            return limit if limit < 1 << 60 else 0
    return 0


def _gpus() -> tuple[Gpu, ...]:
    return _nvidia() or _amd() or _apple()


def _nvidia() -> tuple[Gpu, ...]:
    out = _output("nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits")
    rows = [line.rpartition(",") for line in out.splitlines() if "," in line]
    return tuple(Gpu(name.strip(), int(size) * 1024**2 if size.strip().isdigit() else 0) for name, _, size in rows)


def _amd() -> tuple[Gpu, ...]:
    found: list[Gpu] = []
    for path in sorted(Path("/sys/class/drm").glob("card*/device/mem_info_vram_total")):
        with contextlib.suppress(OSError, ValueError):
            found.append(Gpu("AMD", int(path.read_text("ascii"))))
    return tuple(found)


def _apple() -> tuple[Gpu, ...]:
    out = _output("system_profiler", "-json", "SPDisplaysDataType")
    try:
        displays = cast("list[dict[str, Any]]", json.loads(out)["SPDisplaysDataType"]) if out else []
    except (ValueError, KeyError, TypeError):
        return ()
    return tuple(Gpu(str(item.get("sppci_model", "GPU")), 0, platform.machine() == "arm64") for item in displays)


def _sysctl(name: str) -> str:
    return _output("sysctl", "-n", name).strip() if platform.system() == "Darwin" else ""


def _output(program: str, *arguments: str) -> str:
    """What a program prints; empty when it is not there, fails or takes longer than three seconds."""
    path = shutil.which(program)
    if path is None:
        return ""
    try:
        done = subprocess.run([path, *arguments], capture_output=True, timeout=3, check=False)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else ""

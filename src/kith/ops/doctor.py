"""The doctor: looks at everything Kith stands on, one check after the other."""

from __future__ import annotations

import ctypes
import importlib.util
import json
import os
import resource
import socket
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import psutil

from kith.core.clock import Clock, SystemClock
from kith.ops.advice import tier
from kith.ops.finding import Finding, size
from kith.runtime.machine import GIB, Machine, measure, nearest

PORT = 8787
_BORN = 1_767_225_600.0  # 2026-01-01 UTC: a clock before Kith's first version is wrong
_PYTHON = (3, 11)
_PRIVATE = ("data", "keys", "run")


def examine(
    home: Path, *, port: int = PORT, machine: Machine | None = None, clock: Clock | None = None
) -> list[Finding]:
    """Look at this machine and at `home`, in the order of importance. Changes nothing and never raises."""
    measured = machine or measure(home)
    checks: tuple[Callable[[], Finding], ...] = (
        lambda: Finding("tier", "ok", f"tier_{tier(measured)}", _capacity(measured)),
        lambda: Finding("system", "ok", "system", {"system": measured.system, "architecture": measured.architecture}),
        _python,
        lambda: _memory(measured),
        lambda: _processor(measured),
        lambda: _gpu(measured),
        lambda: _disk(measured, home),
        lambda: _home(home),
        lambda: _key(home),
        lambda: _port(home, port),
        _runtime,
        _openmp,
        lambda: _clock(clock or SystemClock()),
        _files,
    )
    return [check() for check in checks]


def _capacity(machine: Machine) -> dict[str, str]:
    return {"ram": size(machine.memory), "disk": f"{machine.disk / 1e9:.0f} GB"}


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding("python", "ok" if sys.version_info >= _PYTHON else "fail", "python", {"version": version})


def _memory(machine: Machine) -> Finding:
    values = {"total": size(machine.memory), "available": size(machine.available)}
    if machine.available < GIB // 4:
        return Finding("ram", "fail", "ram_out", values)
    low = machine.available < GIB
    return Finding("ram", "warn" if low else "ok", "ram_low" if low else "ram", values)


def _processor(machine: Machine) -> Finding:
    flags = ", ".join(machine.flags) or "-"
    values = {"cores": machine.cores, "name": machine.processor or machine.architecture, "flags": flags}
    bare = machine.architecture.lower() in ("x86_64", "amd64") and "AVX2" not in machine.flags
    return Finding("processor", "warn" if bare else "ok", "processor_bare" if bare else "processor", values)


def _gpu(machine: Machine) -> Finding:
    if not machine.gpus:
        return Finding("gpu", "ok", "gpu_none")
    names = ", ".join(gpu.name + (f" ({size(gpu.memory)})" if gpu.memory else "") for gpu in machine.gpus)
    return Finding("gpu", "ok", "gpu", {"names": names})


def _disk(machine: Machine, home: Path) -> Finding:
    values = {"free": size(machine.disk_free), "place": str(nearest(home))}
    if machine.disk_free < GIB // 2:
        return Finding("disk", "fail", "disk_out", values)
    low = machine.disk_free < 5 * GIB
    return Finding("disk", "warn" if low else "ok", "disk_low" if low else "disk", values)


def _home(home: Path) -> Finding:
    place, values = nearest(home), {"place": str(home)}
    if place != home:
        writable = place.is_dir() and os.access(place, os.W_OK | os.X_OK)
        return Finding("home", "ok" if writable else "fail", "home_new" if writable else "home_shut", values)
    if not home.is_dir() or not os.access(home, os.R_OK | os.W_OK | os.X_OK):
        return Finding("home", "fail", "home_shut", values)
    if _others(home) and any(_others(path) for name in _PRIVATE if (path := home / name).exists()):
        return Finding("home", "warn", "home_open", values)
    return Finding("home", "ok", "home", values)


def _key(home: Path) -> Finding:
    key = home / "keys" / "master.key"
    values = {"place": str(key)}
    if os.environ.get("KITH_KEY") or os.environ.get("KITH_PASSPHRASE"):
        return Finding("key", "ok", "key_given")
    try:
        if not key.exists():
            lost = (home / "data" / "kith.db").exists()
            return Finding("key", "fail" if lost else "ok", "key_lost" if lost else "key_new", values)
        return Finding("key", "fail", "key_open", values) if _others(key) else Finding("key", "ok", "key", values)
    except OSError:
        return Finding("key", "fail", "key_shut", values)


def _others(path: Path) -> bool:
    """Whether anybody but the owner may open `path`."""
    return bool(stat.S_IMODE(path.stat().st_mode) & 0o077)


def _port(home: Path, port: int) -> Finding:
    values: dict[str, Any] = {"port": port}
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            running = _running(home)
            if running is None:
                return Finding("port", "warn", "port_taken", values)
            return Finding("port", "ok", "port_kith", values | {"pid": running})
    return Finding("port", "ok", "port_free", values)


def _running(home: Path) -> int | None:
    """The process id of the Kith that serves this home, by its own note; None when there is none."""
    try:
        note = cast("dict[str, Any]", json.loads((home / "run" / "server.json").read_text("utf-8")))
        pid = int(note["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return pid if pid > 0 and psutil.pid_exists(pid) else None


def _runtime() -> Finding:
    there = importlib.util.find_spec("xllamacpp") is not None
    return Finding("runtime", "ok" if there else "warn", "runtime" if there else "runtime_none")


def _openmp() -> Finding:
    if not sys.platform.startswith("linux"):
        return Finding("openmp", "ok", "openmp_unneeded")
    try:
        ctypes.CDLL("libgomp.so.1")
    except OSError:
        return Finding("openmp", "warn", "openmp_none")
    return Finding("openmp", "ok", "openmp")


def _clock(clock: Clock) -> Finding:
    wrong = clock.now() < _BORN
    return Finding("clock", "warn" if wrong else "ok", "clock_wrong" if wrong else "clock")


def _files() -> Finding:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    endless = soft == resource.RLIM_INFINITY
    low = not endless and soft < 1024
    values = {"limit": "∞" if endless else str(soft)}
    return Finding("files", "warn" if low else "ok", "files_low" if low else "files", values)

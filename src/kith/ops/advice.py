"""Which tier a machine belongs to, and which language model suits it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from kith.ops.finding import size
from kith.runtime.locale import tr
from kith.runtime.machine import CEILING, GIB, Machine, measure
from kith.runtime.settings import home

Tier = Literal["small", "basic", "professional", "enterprise"]

TIERS: tuple[tuple[Tier, int, int], ...] = (
    ("enterprise", 32 * GIB, 1000 * 10**9),
    ("professional", 16 * GIB, 512 * 10**9),
    ("basic", 8 * GIB, 256 * 10**9),
)
"""Memory and disk that a tier asks for. A tenth less is forgiven: firmware and file systems take some."""

LADDER = ((0.5, 12), (1.5, 28), (3, 36), (8, 128), (14, 192), (32, 256), (70, 320))
"""Sizes in which models are published: billions of parameters, and KiB of FP16 key/value cache for each token of
context (layers x key/value heads x head width x 2 x 2 bytes of Qwen 2.5 and Llama 3, from their config.json)."""

BITS = {"Q4_K_M": 4.89, "Q5_K_M": 5.7, "Q6_K": 6.56, "Q8_0": 8.5}
"""Bits a weight, from the table in llama.cpp's tools/quantize/README.md (Llama 3.1 8B)."""

CORE_BANDWIDTH = 5.4e9
"""Bytes of weights read each second by one core while decoding: 1.3 B parameters in Q4_K_M (0.79 GB) gave 13.7 tokens a
second on two AVX2 cores."""
BANDWIDTH, SHARED_BANDWIDTH = 40e9, 80e9
"""Where more cores stop helping: two channels of DDR4/DDR5, and the unified memory of an Apple processor."""

FLUENT, QUICK = 5.0, 12.0
"""Tokens a second: as fast as people read, and so fast that some can be spent on more precise weights."""
_OVERHEAD = 300 * 1024**2
_CONTEXTS = (4096, 8192, 16384, 32768)


@dataclass(frozen=True, slots=True)
class Advice:
    """What suits a machine. `parameters` is in billions, 0 when no model fits; `memory` in bytes, `speed` in tokens a
    second (an estimate); `reasons` are keys of sentences with their values."""

    tier: Tier
    parameters: float = 0.0
    quantisation: str = ""
    context: int = 0
    threads: int = 1
    memory: int = 0
    speed: float = 0.0
    reasons: tuple[tuple[str, dict[str, str]], ...] = ()

    def say(self, locale: str = "") -> list[str]:
        """The reasons, as sentences."""
        return [tr(f"ops.reason.{key}", locale, **values) for key, values in self.reasons]


def tier(machine: Machine) -> Tier:
    """The highest tier whose memory and disk this machine has; ``small`` below the lowest."""
    for name, memory, disk in TIERS:
        if machine.memory >= memory * 0.9 and machine.disk >= disk * 0.9:
            return name
    return "small"


def recommend(machine: Machine) -> Advice:
    """The largest model in 4 bits that fits under the memory's ceiling and still answers as fast as people read.

    Then more bits are spent while it stays quick, and a longer context while it takes less than half the memory.
    """
    bandwidth = _bandwidth(machine)
    found = next((rung for rung in reversed(LADDER) if _suits(machine, rung, "Q4_K_M", FLUENT, bandwidth)), None)
    found = found or (LADDER[0] if machine.fits(_needed(LADDER[0], "Q4_K_M", _CONTEXTS[0])) != "no" else None)
    if found is None:
        return Advice(tier(machine), threads=machine.threads, reasons=(("none", {"ram": size(machine.memory)}),))
    finer = [name for name in BITS if _suits(machine, found, name, QUICK, bandwidth)]
    quantisation = finer[-1] if finer else "Q4_K_M"
    contexts = _CONTEXTS if _accelerated(machine) else _CONTEXTS[:2]
    roomy = [length for length in contexts if _needed(found, quantisation, length) <= machine.memory / 2]
    context = roomy[-1] if roomy else _CONTEXTS[0]
    memory = _needed(found, quantisation, context)
    speed = bandwidth / _weights(found, quantisation)
    reasons = _reasons(machine, memory, speed)
    return Advice(tier(machine), found[0], quantisation, context, machine.threads, memory, round(speed, 1), reasons)


def suggest(locale: str = "") -> dict[str, Any]:
    """What suits this machine, JSON-shaped: its figures, the advice and its reasons as sentences. Looks for a while."""
    machine = measure(home())
    advice = recommend(machine)
    about = {"memory": machine.memory, "available": machine.available, "disk": machine.disk, "cores": machine.cores}
    return {"machine": about, **{k: v for k, v in asdict(advice).items() if k != "reasons"}, "text": advice.say(locale)}


def _reasons(machine: Machine, memory: int, speed: float) -> tuple[tuple[str, dict[str, str]], ...]:
    ceiling = size(int(machine.memory * CEILING))
    reasons = [("ram", {"ram": size(memory), "ceiling": ceiling, "percent": f"{CEILING:.0%}"})]
    reasons.append(("speed", {"speed": f"{speed:.0f}"}))
    reasons.append(("threads", {"threads": str(machine.threads), "cores": str(machine.cores)}))
    if machine.fits(memory) == "tight":
        reasons.append(("tight", {"available": size(machine.available)}))
    if machine.gpus and not _accelerated(machine):
        reasons.append(("gpu", {"gpu": machine.gpus[0].name}))
    return tuple(reasons)


def _suits(machine: Machine, rung: tuple[float, int], quantisation: str, least: float, bandwidth: float) -> bool:
    fits = machine.fits(_needed(rung, quantisation, _CONTEXTS[0])) != "no"
    return fits and bandwidth / _weights(rung, quantisation) >= least


def _weights(rung: tuple[float, int], quantisation: str) -> float:
    return rung[0] * 1e9 * BITS[quantisation] / 8


def _needed(rung: tuple[float, int], quantisation: str, context: int) -> int:
    return int(_weights(rung, quantisation)) + rung[1] * 1024 * context + _OVERHEAD


def _accelerated(machine: Machine) -> bool:
    """Whether the shipped runtime uses a graphics processor here: only the one in an Apple processor."""
    return any(gpu.shared for gpu in machine.gpus)


def _bandwidth(machine: Machine) -> float:
    return SHARED_BANDWIDTH if _accelerated(machine) else min(machine.threads * CORE_BANDWIDTH, BANDWIDTH)

"""Fixtures that several rooms share."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).parents[1]
# The gate tries the same examples each time and gives them their time: a change is judged by what it does, not by luck
# or by how busy the machine is. `KITH_EXAMPLES=default pytest ...` looks for new ones.
settings.register_profile(
    "gate", derandomize=True, database=None, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("KITH_EXAMPLES", "gate"))


def script(name: str) -> ModuleType:
    """One of ``scripts/``, as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def tiny_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GGUF model of 0.3 MB that the real runtime loads; it says nonsense, as long as it is asked to."""
    return script("make_gguf").make(tmp_path_factory.mktemp("models") / "tiny.gguf")

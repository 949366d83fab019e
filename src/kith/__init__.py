"""Kith: a private AI assistant and companion that lives on a machine of your own."""

import sys
from typing import cast

__version__ = "0.1.0"

# The command line of httpx, which nobody here runs, would bring rich and pygments into every process.
cast("dict[str, object]", sys.modules).setdefault("httpx._main", None)

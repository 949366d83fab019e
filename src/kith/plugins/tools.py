"""The tools of a household without any."""

from __future__ import annotations

from collections.abc import Sequence

from kith.core.message import ToolCall, ToolResult
from kith.core.model import ToolSpec
from kith.core.people import Principal


class NoTools:
    """Implements `Tools`: offers nothing, and refuses what a model makes up."""

    def offered(self, principal: Principal) -> Sequence[ToolSpec]:
        del principal
        return ()

    async def call(self, call: ToolCall, principal: Principal) -> ToolResult:
        del principal
        return ToolResult(call.call, f"There is no tool called {call.name!r}.", failed=True)

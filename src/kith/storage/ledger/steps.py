"""How an operation talks to a database: a generator that yields statements and receives their rows.

The operations of the ledger are written once, without input or output; each backend runs them its own way, in one
transaction, and may run one again from its beginning after a rollback. Parameters are written ``$1``, ``$2`` …;
``{lock}`` and ``{skip}`` stand where a server needs a row lock, waiting for it or passing over what is locked.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

Row = Sequence[Any]
Rows = Sequence[Row]

T = TypeVar("T")


class Statement(NamedTuple):
    """One statement, or with `many` the same one for each row of `values`."""

    sql: str
    values: Sequence[Any]
    many: bool = False


Op = Generator[Statement, Rows, T]


def sql(text: str, *values: Any) -> Statement:
    """One statement with its values."""
    return Statement(text, values)


def each(text: str, rows: Sequence[Sequence[Any]]) -> Statement:
    """The same statement for each row; it gives no rows back."""
    return Statement(text, rows, many=True)


class Driver(Protocol):
    """What a backend does for the ledger. Both raise `Unavailable` when the database cannot be used now."""

    async def write(self, make: Callable[[], Op[T]]) -> T:
        """Run what `make` makes in one transaction; return after it is durable, raise what it raised."""
        ...

    async def read(self, make: Callable[[], Op[T]]) -> T:
        """Run what `make` makes on one snapshot of what was committed."""
        ...

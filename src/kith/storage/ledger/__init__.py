"""The ledger: inbox, outbox, people and records written once, for every backend. The room's helper module."""

from kith.storage.ledger.codec import Clear, Codec, Seal
from kith.storage.ledger.engine import Job, execute, read, run, translate, write
from kith.storage.ledger.schema import STEPS, Step, step
from kith.storage.ledger.steps import Driver, Op, Rows, Statement, each, sql
from kith.storage.ledger.storage import Counts, Engine, Storage, build
from kith.storage.settings import StorageSettings

__all__ = [
    "STEPS",
    "Clear",
    "Codec",
    "Counts",
    "Driver",
    "Engine",
    "Job",
    "Op",
    "Rows",
    "Seal",
    "Statement",
    "Step",
    "Storage",
    "StorageSettings",
    "build",
    "each",
    "execute",
    "read",
    "run",
    "sql",
    "step",
    "translate",
    "write",
]

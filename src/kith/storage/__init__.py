"""Storage: inbox and outbox, people, conversations and turns, in one encrypted database."""

from kith.storage.door import open_storage, rotate_storage
from kith.storage.ledger.storage import Counts, Storage
from kith.storage.settings import StorageSettings

__all__ = ["Counts", "Storage", "StorageSettings", "open_storage", "rotate_storage"]

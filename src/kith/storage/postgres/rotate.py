"""Sealing everything anew under another key, in one transaction."""

from __future__ import annotations

from kith.core.errors import Refused
from kith.core.ports import Cipher
from kith.storage.ledger import StorageSettings
from kith.storage.postgres.database import PURPOSE, known_key
from kith.storage.postgres.link import ERRORS, Server, dial, translate
from kith.storage.postgres.seal import Gcm

_SEALED = {
    "inbox": ("envelope", "error"),
    "outbox": ("body", "error", "receipt"),
    "turns": ("body",),
    "conversations": ("body", "state"),
    "people": ("body",),
    "records": ("name", "body"),
    "audit": ("body",),
    "facts": ("body",),
}
_BATCH = 500


async def rotate_database(settings: StorageSettings, old: Cipher, new: Cipher) -> None:
    """As `kith.storage.rotate_storage`. Killed within, the old key fits; after it, the new one."""
    before, after = Gcm(old.key(PURPOSE)), Gcm(new.key(PURPOSE))
    try:
        connection: Server = await dial(settings.dsn)
    except ERRORS as error:
        raise translate(error) from None
    try:
        if not await connection.fetchval("SELECT pg_try_advisory_lock(hashtextextended('kith-open', 0))"):
            raise Refused("the database is in use", code="in_use", hint="stop Kith, then rotate the key again")
        if await known_key(connection) != before.fingerprint:
            raise Refused("the old key does not fit this database", code="wrong_key")
        async with connection.transaction():
            await _reseal(connection, before, after)
    except ERRORS as error:
        raise translate(error) from None
    finally:
        await connection.close()


async def _reseal(connection: Server, before: Gcm, after: Gcm) -> None:
    for table, columns in _SEALED.items():
        changes = ", ".join(f"{column} = ${index + 2}" for index, column in enumerate(columns))
        update = await connection.prepare(f"UPDATE {table} SET {changes} WHERE ctid = $1")  # noqa: S608 - our names
        cursor = await connection.cursor(f"SELECT ctid, {', '.join(columns)} FROM {table}")  # noqa: S608
        while rows := await cursor.fetch(_BATCH):
            values = [[value and after.close(before.open(bytes(value))) for value in row[1:]] for row in rows]
            await update.executemany([(row[0], *sealed) for row, sealed in zip(rows, values, strict=True)])
    secret = await connection.fetchval("SELECT value FROM meta WHERE name = 'secret'")
    sealed = after.close(before.open(bytes.fromhex(secret))).hex()
    await connection.execute("UPDATE meta SET value = $1 WHERE name = 'secret'", sealed)
    await connection.execute("UPDATE meta SET value = $1 WHERE name = 'key'", after.fingerprint)

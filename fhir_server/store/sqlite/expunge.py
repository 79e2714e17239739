"""Removing resources for good: versions, index rows and State, wiped from the file. https://www.sqlite.org/pragma.html#pragma_secure_delete

The tombstone is a row of `version` that belongs to no resource: it holds the type, a keyed hash, the time and how many
versions went. It also keeps the numbers of versions rising, by which readers of the change log know where they are.
"""

import sqlite3
from collections.abc import Sequence

from fhir_server.store.names import KEPT, LAST, naming
from fhir_server.store.sqlite.index import unindex
from fhir_server.store.sqlite.rows import Hasher

METHOD = "EXPUNGE"


def expunge(connection: sqlite3.Connection, hasher: Hasher, type: str, id: str, now: int, seq: int) -> int:
    """Remove one resource, whose rows are all inserted; returns how many versions. `seq`: the tombstone's number."""
    h = hasher.resource(type, id)
    found = connection.execute("SELECT rid, keys FROM resource WHERE h=? AND type=? AND id=?", (h, type, id)).fetchone()
    if found is None:
        return 0
    rid, keys = found
    connection.execute("PRAGMA secure_delete=ON")
    try:
        unindex(connection, rid, keys)
        removed = connection.execute("DELETE FROM version WHERE rid=?", (rid,)).rowcount
        connection.execute("DELETE FROM resource WHERE rid=?", (rid,))
    finally:
        connection.execute("PRAGMA secure_delete=FAST")
    connection.execute(
        "INSERT INTO version (seq, rid, version, type, updated, method, body) VALUES (?,?,?,?,?,?,?)",
        (seq, -seq, removed, type, now, METHOD, h.to_bytes(8, "big", signed=True)),
    )
    return removed


def forget(connection: sqlite3.Connection, resources: Sequence[tuple[str, str]]) -> None:
    """Delete the State that names one of the resources, but for what is KEPT."""
    names = naming(resources)
    rows = connection.execute("SELECT key, value FROM state WHERE NOT (key>=? AND key<?)", (KEPT, KEPT + LAST))
    gone = [(key,) for key, value in rows if names(key.encode()) or names(bytes(value))]
    connection.executemany("DELETE FROM state WHERE key=?", gone)


def empty_log(connection: sqlite3.Connection) -> None:
    """Copy the write-ahead log, which holds what was removed, into the file and empty it."""
    connection.execute("PRAGMA busy_timeout=1000")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()  # a reader in the way: the next one empties it
    connection.execute("PRAGMA busy_timeout=30000")

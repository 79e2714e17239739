"""The embedded store: one SQLite file in WAL mode. https://www.sqlite.org/wal.html"""

from fhir_server.store.sqlite.store import SqliteStore, open_sqlite

__all__ = ["SqliteStore", "open_sqlite"]

"""The tables of the SQLite store, and the connections that see them. https://www.sqlite.org/withoutrowid.html

`resource` has one narrow row per resource, `version` one row per version with its body: a read is two lookups, a search
touches no body before its page is known. The four index families are described in rows.py. `timeline` repeats the low
ends of date spans under each patient of the resource, which is the one order that clinical screens ask for
(`?patient=&code=&_sort=-date`): it walks instead of sorting.

`resource.plain` holds the codes of tokens and the targets of references as JSON, `{"status": ["final\\x01..."]}`: the
rare questions that hashes cannot answer (presence, sorting by a code, a system without a code).
`resource.rule` and `until` say what its patients permit (0: not known yet, so nothing).
`resource.keys` lists the index rows of the resource (msgpack), so that an update can take them away.
"""

import secrets
import sqlite3
from pathlib import Path

from fhir_server.store.seam import StoreError
from fhir_server.store.sqlite import terms

SCHEMA_VERSION = 2
APPLICATION_ID = 0x46484952  # "FHIR"
SHORTEST_LOG, LONGEST_LOG = 8_000, 24_000  # pages: 64 and 192 MB; writers wait while a longer one is copied

TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE resource (
  rid INTEGER PRIMARY KEY, h INTEGER NOT NULL UNIQUE, type TEXT NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL,
  updated INTEGER NOT NULL, seq INTEGER NOT NULL, deleted INTEGER NOT NULL, plain TEXT NOT NULL, keys BLOB NOT NULL,
  rule INTEGER NOT NULL DEFAULT 0, until INTEGER NOT NULL DEFAULT 0);
CREATE INDEX resource_type ON resource (type, rid) WHERE deleted = 0;
CREATE INDEX resource_updated ON resource (type, updated, rid) WHERE deleted = 0;
CREATE TABLE version (
  seq INTEGER PRIMARY KEY, rid INTEGER NOT NULL, version INTEGER NOT NULL, type TEXT NOT NULL,
  updated INTEGER NOT NULL, method TEXT NOT NULL, body BLOB NOT NULL);
CREATE UNIQUE INDEX version_rid ON version (rid, version);
CREATE INDEX version_type ON version (type, seq);
CREATE TABLE key (k INTEGER, rid INTEGER, v INTEGER, PRIMARY KEY (k, rid, v)) WITHOUT ROWID;
CREATE TABLE link (k INTEGER, target INTEGER, rid INTEGER, PRIMARY KEY (k, target, rid)) WITHOUT ROWID;
CREATE INDEX link_rid ON link (rid, k, target);
CREATE TABLE span (
  k INTEGER, rid INTEGER, low NUMERIC, high NUMERIC, v INTEGER, u INTEGER, low2 NUMERIC, high2 NUMERIC,
  edge INTEGER NOT NULL, long INTEGER NOT NULL, PRIMARY KEY (k, rid, low, high, v, u, low2, high2)) WITHOUT ROWID;
CREATE INDEX span_low ON span (k, low, rid, edge, long, high, v, u);
CREATE INDEX span_high ON span (k, high) WHERE long = 1;
CREATE TABLE text (
  k INTEGER, rid INTEGER, norm TEXT, exact TEXT, v INTEGER, edge INTEGER NOT NULL,
  PRIMARY KEY (k, rid, norm, exact, v)) WITHOUT ROWID;
CREATE INDEX text_norm ON text (k, norm, rid, edge, v);
CREATE TABLE timeline (
  k INTEGER, home INTEGER, low INTEGER, rid INTEGER, edge INTEGER NOT NULL,
  PRIMARY KEY (k, home, low DESC, rid)) WITHOUT ROWID;
CREATE TABLE state (key TEXT PRIMARY KEY, value BLOB NOT NULL, version INTEGER NOT NULL, expires INTEGER) WITHOUT ROWID;
CREATE INDEX state_expires ON state (expires) WHERE expires IS NOT NULL;
"""
RECENT = "CREATE INDEX IF NOT EXISTS version_updated ON version (updated)"  # where what is new begins (history.py)


def connect(path: Path, *, write: bool, cache_mib: int) -> sqlite3.Connection:
    """A connection in autocommit mode; the caller says BEGIN. Raises StoreError if the file cannot be used."""
    try:
        connection = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")  # an acknowledged write survives a power failure
        connection.execute(f"PRAGMA cache_size=-{cache_mib * 1024}")
        connection.execute("PRAGMA mmap_size=4294967296")
        connection.execute("PRAGMA temp_store=MEMORY")
        if write:
            pace_log(connection)
            connection.execute("PRAGMA secure_delete=FAST")  # an update wipes the index rows that it takes away
        else:
            connection.execute("PRAGMA query_only=1")
    except sqlite3.Error as error:
        raise unusable(path, error) from None
    return connection


def pace_log(connection: sqlite3.Connection) -> None:
    """Let the log grow to an eighth of the file before it is copied there, within bounds: index rows are keyed by
    hashes, so that each piece of an import changes pages all over the file (docs/performance.md, Bulk Data)."""
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA wal_autocheckpoint={min(LONGEST_LOG, max(SHORTEST_LOG, pages // 8))}")


def prepare(path: Path) -> bytes:
    """Create the tables or check that they are ours and not newer; returns the store's hash key."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"The folder of {path} cannot be made: {error.strerror}.") from None
    fresh = sqlite3.connect(path, timeout=600, isolation_level=None)  # another process may be making a new index
    try:
        fresh.execute("PRAGMA page_size=8192")
        fresh.execute("BEGIN IMMEDIATE")
        application, found = (
            fresh.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
        )
        if application == 0 and not fresh.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone():
            for statement in TABLES.split(";\n"):
                fresh.execute(statement)
            fresh.execute("INSERT INTO meta VALUES ('hash_key', ?)", (secrets.token_bytes(32),))
            fresh.execute(f"PRAGMA application_id={APPLICATION_ID}")
            fresh.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        elif application != APPLICATION_ID:
            raise StoreError(f"{path} is an SQLite file of another program. Choose another --store.")
        elif found > SCHEMA_VERSION:
            raise StoreError(
                f"{path} was written by a newer version of this server (schema {found}; we know {SCHEMA_VERSION}). "
                "Upgrade the server, or choose another --store."
            )
        elif found < SCHEMA_VERSION:  # 1: before consent; `fhir-server reindex` gives every resource its rule
            for column in ("rule", "until"):
                fresh.execute(f"ALTER TABLE resource ADD COLUMN {column} INTEGER NOT NULL DEFAULT 0")
            fresh.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        for statement in (RECENT, *terms.TABLES):  # later than schema 1, and no part of what its readers know
            fresh.execute(statement)
        fresh.execute("COMMIT")
        key = fresh.execute("SELECT value FROM meta WHERE name='hash_key'").fetchone()[0]
        return bytes(key)
    except sqlite3.Error as error:
        raise unusable(path, error) from None
    finally:
        fresh.close()


def unusable(path: Path, error: sqlite3.Error) -> StoreError:
    """What an operator can do about an SQLite error that concerns the whole file."""
    text = str(error)
    if "not a database" in text or "malformed" in text:
        return StoreError(f"{path} is damaged or not an SQLite file ({text}). Restore it from a backup.")
    if "full" in text:
        return StoreError(f"The disk that holds {path} is full. Nothing of this request was written; free some space.")
    if "unable to open" in text or "readonly" in text:
        return StoreError(f"{path} cannot be opened for writing ({text}). Check the path and its permissions.")
    return StoreError(f"SQLite failed on {path}: {text}.")

"""Writing one version with its index rows; the transaction around it is the queue's. https://www.sqlite.org/lang_savepoint.html"""

import sqlite3
from asyncio import sleep
from typing import Any

import msgspec

from fhir_server.search.predicate import Entry, Param
from fhir_server.store.seam import Change, Conflict, Page, Query, Stored
from fhir_server.store.sqlite import find
from fhir_server.store.sqlite.rows import Hasher, is_long, row

SPANS, TEXTS = ("date", "number", "quantity"), ("string", "uri")

CURRENT = (
    "SELECT r.type, r.id, v.version, v.updated, v.method, v.body FROM resource r "
    "JOIN version v ON v.seq=r.seq WHERE r.h=?"
)
INSERT = {
    "key": "INSERT OR IGNORE INTO key VALUES (?,?,?)",
    "link": "INSERT OR IGNORE INTO link VALUES (?,?,?)",
    "span": "INSERT OR IGNORE INTO span VALUES (?,?,?,?,?,?,?,?,?,?)",
    "text": "INSERT OR IGNORE INTO text VALUES (?,?,?,?,?,?)",
    "timeline": "INSERT OR IGNORE INTO timeline VALUES (?,?,?,?,?)",
}


class SqliteTx:
    """The Tx of one `work`: it runs inside the writer's transaction, so it sees its own writes and nobody else's."""

    def __init__(self, connection: sqlite3.Connection, hasher: Hasher) -> None:
        self._connection = connection
        self._hasher = hasher
        self._writes = 0

    async def read(self, type: str, id: str) -> Stored | None:
        """The current version, a deletion included."""
        return current(self._connection, self._hasher, type, id)

    async def search(self, query: Query) -> Page:
        """Writers run one at a time, so nothing needs a lock."""
        return find.search(self._connection, self._hasher, query)

    async def write(self, change: Change) -> Stored:
        """Raises Conflict unless the change follows the current version."""
        self._writes += 1
        if self._writes % 64 == 0:
            await sleep(0)  # a bundle of thousands must not keep readers on this loop waiting
        return write(self._connection, self._hasher, change)


def current(connection: sqlite3.Connection, hasher: Hasher, type: str, id: str) -> Stored | None:
    """The current version of a resource, a deletion included; None if it never existed."""
    found = connection.execute(CURRENT, (hasher.resource(type, id),)).fetchone()
    return Stored(*found) if found and found[1] == id and found[0] == type else None


def write(connection: sqlite3.Connection, hasher: Hasher, change: Change) -> Stored:
    """Write one version: resource row, version row (history and change log in one), index rows."""
    h = hasher.resource(change.type, change.id)
    old = connection.execute("SELECT rid, version, type, id, keys FROM resource WHERE h=?", (h,)).fetchone()
    if (old[1] if old else 0) != change.version - 1:
        raise Conflict(f"{change.type}/{change.id} is at version {old[1] if old else 0}, not {change.version - 1}.")
    if old and (old[2], old[3]) != (change.type, change.id):
        raise Conflict(f"{change.type}/{change.id} cannot be stored under this id: choose another one.")
    rid = old[0] if old else connection.execute("SELECT ifnull(max(rid),0)+1 FROM resource").fetchone()[0]
    if old:
        unindex(connection, rid, old[4])
    seq = connection.execute(
        "INSERT INTO version (rid, version, type, updated, method, body) VALUES (?,?,?,?,?,?)",
        (rid, change.version, change.type, change.updated, change.method, change.body),
    ).lastrowid
    keys = index(connection, hasher, change.type, h, rid, change.entries)
    connection.execute(
        "INSERT OR REPLACE INTO resource VALUES (?,?,?,?,?,?,?,?,?,?)",
        (rid, h, change.type, change.id, change.version, change.updated, seq, change.method == "DELETE",
         plain(hasher, change.entries), keys),
    )  # fmt: skip
    return Stored(change.type, change.id, change.version, change.updated, change.method, change.body)


def index(
    connection: sqlite3.Connection, hasher: Hasher, type: str, h: int, rid: int, entries: tuple[Entry, ...]
) -> bytes:
    """Insert the index rows of a resource; returns what `unindex` needs to take them away again."""
    rows: dict[str, list[tuple[Any, ...]]] = {"key": [], "link": [], "span": [], "text": []}
    homes: set[int] = set()
    for entry in entries:
        family, columns = row(hasher, type, entry)
        rows[family].append(columns)
        if family == "link" and entry[0].code in find.HOME:
            homes.add(columns[1])
    dates = {hasher.param(type, entry[0].code) for entry in entries if entry[0].kind == "date"}
    inserts = {
        "key": [(k, rid, v) for k, v in rows["key"]],
        "link": [(k, target, rid) for k, target in rows["link"]],
        "span": [
            (c[0], rid, *c[1:], edge, is_long(c[1], c[2]))
            for c, edge in zip(rows["span"], edges(rows["span"]), strict=True)
        ],
        "text": [(c[0], rid, *c[1:], edge) for c, edge in zip(rows["text"], edges(rows["text"]), strict=True)],
    }
    inserts["timeline"] = [(s[0], home, s[2], rid, s[8]) for s in inserts["span"] if s[0] in dates for home in homes]
    for family, values in inserts.items():
        if values:
            connection.executemany(INSERT[family], values)
    kept = (
        list({c[0] for c in rows["key"]}), list({c[0] for c in rows["span"]}), list({c[0] for c in rows["text"]}),
        [t[:3] for t in inserts["timeline"]],
    )  # fmt: skip
    return msgspec.msgpack.encode(kept)


def unindex(connection: sqlite3.Connection, rid: int, keys: bytes) -> None:
    """Delete all index rows of a resource."""
    key, span, text, timeline = msgspec.msgpack.decode(keys)
    for family, found in (("key", key), ("span", span), ("text", text)):
        connection.executemany(f"DELETE FROM {family} WHERE k=? AND rid=?", [(k, rid) for k in found])
    links = connection.execute("SELECT k, target FROM link WHERE rid=?", (rid,)).fetchall()
    connection.executemany("DELETE FROM link WHERE k=? AND target=? AND rid=?", [(*link, rid) for link in links])
    connection.executemany(
        "DELETE FROM timeline WHERE k=? AND home=? AND low=? AND rid=?", [(*t, rid) for t in timeline]
    )


def edges(rows: list[tuple[Any, ...]]) -> list[int]:
    """For each row 1 if it holds the lowest value of its `k`, plus 2 if the highest: exactly one row of each, so that
    a walk along the values meets every resource once."""
    low: dict[int, int] = {}
    high: dict[int, int] = {}
    for number, (k, value, *_) in enumerate(rows):
        if k not in low or value < rows[low[k]][1]:
            low[k] = number
        if k not in high or value > rows[high[k]][1]:
            high[k] = number
    return [(low[row[0]] == number) + 2 * (high[row[0]] == number) for number, row in enumerate(rows)]


def plain(hasher: Hasher, entries: tuple[Entry, ...]) -> bytes:
    """The JSON of `resource.plain`: codes of tokens, targets of references, and the presence of composites."""
    found: dict[str, list[str]] = {}
    for entry in entries:
        param: Param = entry[0]
        if param.kind == "token":
            value = f"{entry[2]}\x01{hasher.narrow(entry[1])}"
        elif param.kind == "reference":
            value = f"{entry[1]}/{entry[2]}" if entry[2] else entry[3]
        elif "$" in param.kind:
            value = ""
        else:
            continue
        values = found.setdefault(param.code, [])
        if value not in values:
            values.append(value)
    return msgspec.json.encode(found)

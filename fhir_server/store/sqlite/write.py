"""The writes of one group of requests, gathered in memory and inserted together. https://www.sqlite.org/lang_savepoint.html

The event loop only looks up what a write follows; the rows wait in a Batch until the group commits, or until a search
in a transaction has to see them. Inserting 256 rows with one statement leaves the interpreter to other requests.
"""

import sqlite3
import time
from asyncio import sleep
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from fhir_server.search.predicate import Entry
from fhir_server.store.seam import Change, Conflict, Page, Query, Ruling, Stored
from fhir_server.store.sqlite import find, history
from fhir_server.store.sqlite.expunge import expunge, forget
from fhir_server.store.sqlite.index import COLUMNS, Rows, index_rows, insert, unindex
from fhir_server.store.sqlite.rows import Hasher

CURRENT = (
    "SELECT r.type, r.id, v.version, v.updated, v.method, v.body, r.rule, r.rid, r.keys FROM resource r "
    "JOIN version v ON v.seq=r.seq WHERE r.h=?"
)
POINT = CURRENT.replace(", r.rid, r.keys", "")
MOST = 50_000  # rows that wait at most: about 20 MB


class Known(NamedTuple):
    """What the batch knows of a resource: its current version, its number, its index rows' keys."""

    stored: Stored
    rid: int
    keys: bytes
    waiting: bool  # its rows are not inserted yet


class Mark(NamedTuple):
    """How far a batch was when a request began: where to return to if it fails."""

    made: dict[str, int]
    done: dict[str, int]


class Batch:
    """Rows to insert, table by table, with what they mean for reads by id. One for each group of requests."""

    def __init__(self, connection: sqlite3.Connection, hasher: Hasher) -> None:
        self.connection, self.hasher = connection, hasher
        self._rows: Rows = {table: [] for table in COLUMNS}
        self._done = dict.fromkeys(COLUMNS, 0)  # rows that are inserted already
        self._known: dict[int, Known] = {}
        self._absent: set[int] = set()  # what was looked up and is not there
        self._undo: list[tuple[int, Known | None]] = []
        self.expunged = False
        self.began = time.time_ns() // 1_000_000 * 1000
        sql = "SELECT (SELECT ifnull(max(rid),0) FROM resource), (SELECT ifnull(max(seq),0) FROM version)"
        self._rid, self._seq = connection.execute(sql).fetchone()

    def known(self, type: str, id: str) -> Known | None:
        """The current version with its number; None if it never existed."""
        h = self.hasher.resource(type, id)
        waiting = self._known.get(h)
        if waiting is not None:
            return waiting if (waiting.stored.type, waiting.stored.id) == (type, id) else None
        if h in self._absent:
            return None
        found = self.connection.execute(CURRENT, (h,)).fetchone()
        if found is None:
            return None
        if (found[0], found[1]) != (type, id):
            raise Conflict(f"{type}/{id} cannot be stored under this id: choose another one.")
        return Known(Stored(*found[:7]), found[7], found[8], False)

    def look_up(self, resources: Sequence[tuple[str, str]]) -> None:
        """Remember which of some are not there."""
        hashes = {self.hasher.resource(type, id) for type, id in resources} - self._known.keys()
        sql = "SELECT j.value FROM json_each(?) j WHERE NOT EXISTS (SELECT 1 FROM resource r WHERE r.h=j.value)"
        self._absent.update(h for (h,) in self.connection.execute(sql, (msgspec.json.encode(list(hashes)).decode(),)))

    def write(self, change: Change) -> Stored:
        """Raises Conflict unless the change follows the current version."""
        old = self.known(change.type, change.id)
        version = old.stored.version if old else 0
        if version != change.version - 1:
            raise Conflict(f"{change.type}/{change.id} is at version {version}, not {change.version - 1}.")
        if old is not None:
            if old.waiting:
                self.flush()
            unindex(self.connection, old.rid, old.keys)
            rid = old.rid
        else:
            self._rid += 1
            rid = self._rid
        self._seq += 1
        h = self.hasher.resource(change.type, change.id)
        made = index_rows(self.hasher, change.type, rid, change.entries)
        for table, rows in made.rows.items():
            self._rows[table] += rows
        self._rows["version"].append(
            (self._seq, rid, change.version, change.type, change.updated, change.method, change.body)
        )
        self._rows["resource"].append(
            (rid, h, change.type, change.id, change.version, change.updated, self._seq, change.method == "DELETE",
             made.plain, made.keys, change.rule, change.until)
        )  # fmt: skip
        stored = Stored(*change[:6], change.rule)
        self._absent.discard(h)
        self._undo.append((h, self._known.get(h)))
        self._known[h] = Known(stored, rid, made.keys, True)
        return stored

    def flush(self) -> None:
        """Insert what waits."""
        for table, rows in self._rows.items():
            if self._done[table] < len(rows):
                insert(self.connection, table, rows[self._done[table] :])
                self._done[table] = len(rows)
        for h, known in self._known.items():
            if known.waiting:
                self._undo.append((h, known))
                self._known[h] = known._replace(waiting=False)

    def reindex(self, type: str, id: str, entries: Callable[[bytes], tuple[Entry, ...]]) -> None:
        """Replace the index rows of a resource by those of `entries(body)`, unless it is gone."""
        self.flush()
        now = self.known(type, id)
        if now is None or now.stored.deleted:
            return
        found = entries(now.stored.body)
        unindex(self.connection, now.rid, now.keys)
        made = index_rows(self.hasher, type, now.rid, found)
        for table, rows in made.rows.items():
            insert(self.connection, table, rows)
        sql = "UPDATE resource SET keys=?, plain=? WHERE rid=?"
        self.connection.execute(sql, (made.keys, made.plain, now.rid))

    def rule(self, rulings: Sequence[Ruling]) -> None:
        """Set the rule of resources."""
        self.flush()
        rows = [(rule, until, self.hasher.resource(type, id)) for type, id, rule, until in rulings]
        self.connection.executemany("UPDATE resource SET rule=?, until=? WHERE h=?", rows)
        for _, _, h in rows:  # what is known of it is asked anew
            if h in self._known:
                self._undo.append((h, self._known.pop(h)))

    def expunge(self, type: str, id: str, now: int) -> int:
        """Remove a resource and its versions; returns how many."""
        self.flush()
        self.expunged = True
        self._seq += 1
        h = self.hasher.resource(type, id)
        if h in self._known:
            self._undo.append((h, self._known.pop(h)))
        return expunge(self.connection, self.hasher, type, id, now, self._seq)

    def mark(self) -> Mark:
        """Where a request begins, outside its savepoint; a batch that has grown large is emptied first."""
        if sum(map(len, self._rows.values())) > MOST:
            self.flush()
            for table, rows in self._rows.items():
                rows.clear()
                self._done[table] = 0
        self._undo.clear()
        return Mark({table: len(rows) for table, rows in self._rows.items()}, dict(self._done))

    def back_to(self, mark: Mark) -> None:
        """Forget what came after a mark, once the savepoint is rolled back: flushed rows wait again."""
        for table, length in mark.made.items():
            del self._rows[table][length:]
        self._done = dict(mark.done)
        for h, before in reversed(self._undo):
            if before is None:
                del self._known[h]
            else:
                self._known[h] = before
        self._undo.clear()


class SqliteTx:
    """The Tx of one `work`: it runs inside the writer's transaction, so it sees its own writes and nobody else's."""

    def __init__(self, batch: Batch) -> None:
        self.batch, self.began = batch, batch.began
        self._writes = 0

    async def read(self, type: str, id: str) -> Stored | None:
        """The current version, a deletion included."""
        found = self.batch.known(type, id)
        return found.stored if found else None

    async def read_all(self, keys: Sequence[tuple[str, str]]) -> list[Stored]:
        """See seam.Tx. They are looked up at once."""
        self.batch.look_up(keys)
        return [found.stored for type, id in keys if (found := self.batch.known(type, id)) is not None]

    async def search(self, query: Query) -> Page:
        """Writers run one at a time, so nothing needs a lock."""
        self.batch.flush()
        return find.search(self.batch.connection, self.batch.hasher, query)

    async def write(self, change: Change) -> Stored:
        """Raises Conflict unless the change follows the current version."""
        self._writes += 1
        if self._writes % 64 == 0:
            await sleep(0)  # a bundle of thousands must not keep readers on this loop waiting
        return self.batch.write(change)

    async def expunge(self, resources: Sequence[tuple[str, str]], now: int) -> int:
        """See seam.Tx."""
        removed = 0
        for number, (type, id) in enumerate(resources, 1):
            removed += self.batch.expunge(type, id, now)
            if number % 64 == 0:
                await sleep(0)
        forget(self.batch.connection, resources)
        return removed

    async def put_state(self, key: str, value: bytes, version: int, expires: int | None = None) -> bool:
        """In the savepoint of this work."""
        return history.put_state(self.batch.connection, key, value, version, expires)

    async def get_state(self, key: str) -> tuple[bytes, int] | None:
        """Its own writes included."""
        return history.get_state(self.batch.connection, key)

    async def get_states(self, keys: Sequence[str]) -> dict[str, tuple[bytes, int]]:
        """Its own writes included."""
        return history.get_states(self.batch.connection, keys)

    async def rule(self, rulings: Sequence[Ruling]) -> None:
        """See seam.Tx."""
        self.batch.rule(rulings)

    async def share(self, keys: Sequence[str]) -> None:
        """Writers run one at a time."""

    async def own(self, keys: Sequence[str]) -> None:
        """Writers run one at a time."""


def current(connection: sqlite3.Connection, hasher: Hasher, type: str, id: str) -> Stored | None:
    """The current version of a resource, a deletion included; None if it never existed."""
    found: Any = connection.execute(POINT, (hasher.resource(type, id),)).fetchone()
    return Stored(*found) if found and found[1] == id and found[0] == type else None
